"""Two servers on one database: one acts, and when it is killed the other takes over."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml

from actuary import client as clients
from actuary.cli import settings
from actuary.state import database, tables
from component.kill import campaigns


@pytest.fixture
def serve(place):
    """Starts servers of all services; those that live are ended afterwards."""
    place.data.mkdir()
    started = []

    def start() -> tuple[subprocess.Popen, str]:
        where = settings.ProcessSettings().for_folder(place.data)
        words = ("serve", *settings.SERVICES, "--address", "127.0.0.1:0", "--metrics-port", "0")
        said = (place.root / f"said-{len(started)}").open("w+")
        process = subprocess.Popen(
            [sys.executable, "-m", "actuary.cli.main", *words],
            env=place.environment(
                ACTUARY_DATABASE_URL=where.database_url,
                ACTUARY_STORE_URI=where.store_uri,
                ACTUARY_LEASE_SECONDS="10",  # so long a machine at work may keep the leader from renewing it
            ),
            stdin=subprocess.DEVNULL,
            stderr=said,
        )
        started.append((process, said))

        def address():
            assert process.poll() is None
            return re.search(r" on (127\.0\.0\.1:\d+)$", Path(said.name).read_text(), re.MULTILINE)

        return process, campaigns.wait_for(address, "the server's address").group(1)

    yield start
    for process, said in started:
        if process.poll() is None:
            process.terminate()
        assert process.wait(60) in (0, -9, -15, 143)
        said.close()


def holders(db: database.Database) -> dict[str, set[int]]:
    """Process ids that hold the controllers' leases; a lease that lapsed is still somebody's row."""
    with db.read() as connection:
        rows = connection.execute(sa.select(tables.leases.c.name, tables.leases.c.holder)).all()
    return {name: {int(holder.split("-")[-2])} for name, holder in rows if name.startswith("controllers/")}


@pytest.mark.slow
def test_of_two_servers_one_acts_and_the_other_takes_over_when_it_is_killed(place, serve, undisturbed):
    first, one = serve()
    db = database.Database.open(f"sqlite:///{place.data}/actuary.db")
    try:
        every = {f"controllers/{service}" for service in settings.SERVICES}
        mine = {name: {first.pid} for name in every}
        campaigns.wait_for(lambda: holders(db) == mine, "the first server leads")
        second, two = serve()
        document = yaml.safe_load(place.spec_file.read_text())
        with clients.Client(one) as client:
            client.create(document, campaign_id=place.name)
        with clients.Client(two) as client:
            reached = set()

            def half_way() -> bool:
                reached.update(campaigns.children(second.pid))
                return client.get(place.campaign).stage in ("annotate", "criticise", "plan")

            campaigns.wait_for(half_way, "half of the campaign")
            assert reached == set(), "the second server started workers while the first led"
            assert holders(db) == mine
            first.kill()
            first.wait()
            for _ in client.watch(place.campaign):
                pass
        assert holders(db) == {name: {second.pid} for name in every}
    finally:
        db.close()
    # the same command, now without a server, only says what there is
    left = place.left(place.run())
    assert json.dumps(left.balance) == json.dumps(undisturbed.balance)
    assert left == undisturbed
    campaigns.check_sound(left, items=182)
    assert place.repeated() <= campaigns.CHUNK * campaigns.WORKERS

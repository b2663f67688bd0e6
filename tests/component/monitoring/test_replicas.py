"""Two processes that serve the same campaigns: figures count once, and the death of a leader is told."""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import actuary
from actuary.campaign import samples
from actuary.v1 import campaign_pb2
from component.flows import newcomer
from component.monitoring import prometheus
from contract.state import servers

pytestmark = [pytest.mark.real, pytest.mark.slow]

SERVICES = ("campaign", "annotator", "critic", "sampler", "review", "trainer")
(GROUP,) = yaml.safe_load((prometheus.CHART / "rules" / "actuary.yaml").read_text(encoding="utf-8"))["groups"]
RULES = {rule["alert"]: rule["expr"] for rule in GROUP["rules"]}
POOL = samples.SYNTHETIC_ITEMS - len(range(10, samples.SYNTHETIC_ITEMS, 11))
"""Items to label; one in eleven is kept for tests."""
LABELLED = 'sum(actuary_items_total{stage="annotate",outcome="LABELLED"})'
LED = "sum by (loop) (actuary_leader) == 1"


@dataclasses.dataclass(frozen=True, slots=True)
class Replica:
    """One of the processes."""

    process: subprocess.Popen[bytes]
    address: str
    metrics: str


@contextlib.contextmanager
def serving(folder: Path, name: str, database: str) -> Iterator[Replica]:
    address, port = f"127.0.0.1:{prometheus.free_port()}", prometheus.free_port()
    command = [*newcomer.COMMAND, "serve", *SERVICES, "--address", address, "--metrics-port", str(port)]
    environment = {
        **newcomer.ENVIRONMENT,
        "ACTUARY_DATABASE_URL": database,
        "ACTUARY_STORE_URI": f"file://{folder}/store",
        "ACTUARY_LEASE_SECONDS": "3",
        "ACTUARY_START_SECONDS": "60",
    }
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield Replica(process, address, f"127.0.0.1:{port}")
        finally:
            process.kill()
            process.wait(60)


@pytest.fixture
def database() -> Iterator[str]:
    programs = servers.find_postgres()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with servers.postgres(programs) as address:
        yield servers.create_database(address, "replicas")


def ended_state(client: actuary.Client) -> str:
    """The state in which the campaign has ended; empty before."""
    state = campaign_pb2.Campaign.State.Name(client.get("twice").state)
    return state if state in ("SUCCEEDED", "FAILED", "CANCELLED") else ""


def test_figures_count_once_and_survive_the_process_that_led(tmp_path, database):
    with contextlib.ExitStack() as stack:
        first, second = (
            stack.enter_context(serving(tmp_path, name, database)) for name in ("first", "second")
        )
        ports = [int(each.metrics.rsplit(":", 1)[1]) for each in (first, second)]
        server = stack.enter_context(prometheus.scraping(tmp_path / "prometheus", ports))
        client = stack.enter_context(actuary.Client(second.address))
        newcomer.wait_for(
            lambda: len(server.values(LED)) == len(SERVICES), "every loop to have a leader", 120
        )

        client.create(samples.campaign("synthetic"), campaign_id="twice")
        ended = newcomer.wait_for(lambda: ended_state(client), "the campaign to end", 300)
        assert ended == "SUCCEEDED"
        counted = newcomer.wait_for(
            lambda: (
                server.values('sum(actuary_campaigns{state="SUCCEEDED"}) == 1') and server.values(LABELLED)
            ),
            "the page to say so",
            60,
        )
        assert [value for _, value in counted] == [POOL]
        assert server.values(RULES["ActuaryNoLeader"]) == []
        assert server.values(RULES["ActuaryTwoLeaders"]) == []
        assert server.values(RULES["ActuaryProcessDown"]) == []

        leads = f'actuary_leader{{loop="annotator",instance="{first.metrics}"}} == 1'
        leader, other = (first, second) if server.values(leads) else (second, first)
        leader.process.kill()
        newcomer.wait_for(
            lambda: server.values(f'sum(actuary_leader{{instance="{other.metrics}"}}) == {len(SERVICES)}'),
            "the other to lead all",
            120,
        )
        down = newcomer.wait_for(lambda: server.values(RULES["ActuaryProcessDown"]), "the alert's query", 60)
        assert [labels["instance"] for labels, _ in down] == [leader.metrics]
        again = newcomer.wait_for(lambda: server.values(LABELLED), "the other to show the totals", 60)
        assert [value for _, value in again] == [POOL]
        assert server.values(RULES["ActuaryNoLeader"]) == []
        assert server.values("sum by (state) (actuary_campaigns) == 1") == [({"state": "SUCCEEDED"}, 1.0)]

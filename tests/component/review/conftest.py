"""A desk on a real database and a real store, with a plan and a clock that a test turns."""

import dataclasses
import datetime
import hashlib
import itertools
import threading

import pyarrow as pa
import pytest

from actuary.review import batch, settings
from actuary.review import desk as desks
from actuary.state import database
from actuary.storage import artifacts, location, schemas, tables
from contract.state import servers

CLASSES = ("cat", "dog", "鳥")
BATCH = "campaigns/c/reviewBatches/b"
SHARDS = 3


class FakeClock:
    """A clock that a test turns."""

    def __init__(self):
        self.now = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += datetime.timedelta(seconds=seconds)


@dataclasses.dataclass
class Item:
    """A row of a plan, and what is known about its item."""

    id: str
    stratum: str = "drawn"
    rank: float = 0.0
    wanted: int = 1
    truth: str = "cat"

    @property
    def shard(self):
        return hashlib.sha256(self.id.encode()).digest()[0] % SHARDS


def write_artifact(store, uri, table, rows):
    """Writes rows (dicts with `_shard`) as an artifact."""
    schema = schemas.of(table)
    refs = []
    for shard in range(SHARDS):
        here = sorted((row for row in rows if row["_shard"] == shard), key=lambda row: row["item_id"])
        if here:
            columns = {f.name: pa.array([row.get(f.name) for row in here], f.type) for f in schema}
            refs.append(
                tables.write_table(
                    store, tables.shard_key(uri, shard), pa.table(columns), schema, shard=shard
                )
            )
    manifest = artifacts.Manifest(
        uri=uri, table=table, version=1, objects=tuple(refs), code_version="t", shards=SHARDS
    )
    artifacts.write_manifest(store, manifest)
    return uri


def write_campaign(store, items, name="campaigns/c"):
    """Items, sealed truth and plan of a campaign."""
    write_artifact(
        store,
        f"{name}/items",
        "items",
        [
            {"_shard": i.shard, "item_id": i.id, "text": f"text of {i.id}", "split": "pool", "u": 0.5}
            for i in items
        ],
    )
    truth = [{"_shard": i.shard, "item_id": i.id, "label": i.truth} for i in items if i.truth]
    write_artifact(store, f"sealed/{name}/items", "truth", truth)
    plan = [
        {
            "_shard": i.shard, "item_id": i.id, "wave": 1, "stratum": i.stratum,
            "s": 1.0, "pi": 1.0, "u": 0.5, "rank": i.rank, "tau": 0.1, "cost_micros": 7,
            "blind": i.stratum in ("pilot", "audit"),
            "labels_wanted": i.wanted, "label": "dog",
        }
        for i in items
    ]  # fmt: skip
    write_artifact(store, f"{name}/plans/p", "plan", plan)


def make_spec(**changes):
    fields = {
        "name": BATCH, "campaign": "campaigns/c", "plan": "campaigns/c/plans/p", "items": "campaigns/c/items",
        "wave": 1, "label_cap": 1000, "classes": tuple(batch.ClassDefinition(name=n) for n in CLASSES),
        "truth": "sealed/campaigns/c/items", **changes,
    }  # fmt: skip
    return batch.BatchSpec(**fields)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def store(tmp_path):
    return location.open_store(str(tmp_path / "store"))


@pytest.fixture(scope="session")
def postgres_address():
    programs = servers.find_postgres()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with servers.postgres(programs) as address:
        yield address


_numbers = itertools.count(1)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def url(request, tmp_path):
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state.db"
    return servers.create_database(request.getfixturevalue("postgres_address"), f"review{next(_numbers)}")


@pytest.fixture
def db(url):
    opened = database.Database.open(url)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def desk(db, store, clock):
    return desks.Desk(db, store, clock, settings.ReviewSettings(window=4, segment_rows=5, replay_tasks=3))


@pytest.fixture
def opened(desk, store):
    """Opens a batch for items (or so many plain ones) and returns the desk."""

    def run(items=3, **changes):
        if isinstance(items, int):
            items = [Item(f"i{place:03d}", rank=place) for place in range(items)]
        write_campaign(store, items)
        desk.open_batch(make_spec(**changes))
        return desk

    return run


@pytest.fixture
def together():
    """Runs functions at the same moment in threads and returns what each returned or raised."""

    def run(*functions):
        results = [None] * len(functions)
        gate = threading.Barrier(len(functions))

        def call(place, function):
            gate.wait()
            try:
                results[place] = function()
            except Exception as error:
                results[place] = error

        threads = [threading.Thread(target=call, args=pair) for pair in enumerate(functions)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "a reviewer hangs"
        return results

    return run

"""A small campaign's items in a folder, and the processes that annotate them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from actuary.jobs import protocol, receipts
from actuary.storage import artifacts, folder, schemas, tables

PROGRAM = Path(__file__).with_name("program.py")
ITEMS = 60
SHARDS = 3
CHUNK = 8
INDEXES = 2


class Bench:
    """One store with items, and ways to run an annotation Job's processes over it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.program = PROGRAM
        self.store = folder.FolderStore(root / "store")
        self.ids = [f"ítem-{n:03d}" for n in range(ITEMS)]
        self.calls = root / "calls"
        self.calls.touch()
        refs = []
        for shard in range(SHARDS):
            mine = [*sorted(self.ids[shard::SHARDS]), f"zz-test-{shard}"]
            table = pa.table(
                {
                    "item_id": mine,
                    "text": [f"text of {i}" for i in mine],
                    "split": ["pool"] * (len(mine) - 1) + ["test"],
                    "u": [0.5] * len(mine),
                }
            )
            key = tables.shard_key("campaigns/c/items", shard)
            conformed = schemas.conform(table, schemas.ITEMS)
            refs.append(tables.write_table(self.store, key, conformed, schemas.ITEMS, shard=shard))
        manifest = artifacts.Manifest(
            uri="campaigns/c/items",
            table="items",
            version=1,
            objects=tuple(refs),
            code_version="test",
            shards=SHARDS,
        )
        artifacts.write_manifest(self.store, manifest)

    def spec(self, name: str = "a1", *, kind: str = "annotation", indexes: int = INDEXES, **parameters):
        """A Job; keyword arguments are further parameters, those of the model among them."""
        options = parameters.pop("options", {})
        prices = {"input_micros_per_1000_tokens": str(parameters.pop("price", 100_000))}
        prices = parameters.pop("prices", prices)
        return protocol.JobSpec(
            name=f"campaigns/c/annotationJobs/{name}",
            kind=kind,
            campaign="campaigns/c",
            indexes=indexes,
            parallelism=indexes,
            artifact=f"campaigns/c/{name}",
            parents=("campaigns/c/items",),
            parameters={
                "items": "campaigns/c/items",
                "task": {"instruction": "Which?", "classes": [{"name": "ja"}, {"name": "nein"}]},
                "model": {
                    "kind": "null",
                    "options": options,
                    "prices": prices,
                },
                "calls": str(self.calls),
                **parameters,
            },
            store_uri=self.store.uri,
            chunk_items=CHUNK,
            shards=SHARDS if kind == "annotation" else 1,
        )

    def start(
        self,
        spec: protocol.JobSpec,
        index: int = 0,
        attempt: int = 0,
        *,
        stdin=subprocess.PIPE,
        **environment,
    ):
        """Starts one process; its standard input is a pipe that this process holds."""
        return subprocess.Popen(
            [
                *(sys.executable, str(PROGRAM), protocol.write(self.store, spec)),
                *("--index", str(index), "--attempt", str(attempt)),
            ],
            stdin=stdin,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
        )

    def run(self, spec: protocol.JobSpec, index: int = 0, attempt: int = 0, **environment: str) -> int:
        """Runs one process to its end; returns its exit code."""
        return self.end(self.start(spec, index, attempt, **environment))

    def end(self, process: subprocess.Popen) -> int:
        """Waits for a process with its standard input open, since it dies when that ends."""
        sys.stderr.write(process.stderr.read().decode())
        code = process.wait(timeout=60)
        process.stderr.close()
        if process.stdin is not None:
            process.stdin.close()
        return code

    def finish(self, spec: protocol.JobSpec) -> artifacts.Manifest:
        return receipts.finish(self.store, spec, "test")

    def table(self, spec: protocol.JobSpec) -> list[dict]:
        """All rows, by id, without what differs between two runs of the same work."""
        manifest = self.finish(spec)
        rows = [
            row
            for shard in range(spec.shards)
            for row in tables.read_shard(self.store, manifest, shard)
            .drop_columns(["compute_seconds"])
            .to_pylist()
        ]
        return sorted(rows, key=lambda row: row["item_id"])

    @property
    def calls_made(self) -> int:
        """Items that the model was asked about, all processes together."""
        return sum(int(line) for line in self.calls.read_text().split())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """What an annotation comes to when nothing happens to it."""
    bench = Bench(tmp_path_factory.mktemp("undisturbed"))
    spec = bench.spec()
    assert [bench.run(spec, index) for index in range(INDEXES)] == [0, 0]
    return bench.table(spec)


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    """A pipe on which a process says that it is at work."""
    path = tmp_path / "started"
    os.mkfifo(path)
    return path

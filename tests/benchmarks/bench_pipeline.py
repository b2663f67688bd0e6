"""Measures the annotate stage and the memory of its workers; prints one JSON object a line.

- `pipeline.annotate_null_rate`: items a second, 1,000,000 text items, 2 worker processes, with reports
- `pipeline.annotate_null_ratio`: time of the stage over that of a bare pyarrow read and write of its bytes
- `pipeline.worker_memory_mb`: peak resident memory of a worker
- `pipeline.worker_memory_growth`: that peak over the one with a tenth of the items
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from actuary.annotator import work
from actuary.jobs import local, protocol, receipts, worker
from actuary.jobs import settings as job_settings
from actuary.stats import prn
from actuary.storage import artifacts, folder, objects, schemas, tables

ITEMS = 1_000_000
WORKERS = 2
SHARDS = 20
CHUNK_ITEMS = 2_000
CLASSES = ("negative", "neutral", "positive")
_WORDS = np.array(["the", "of", "and", "with", "great", "film", "plot", "slow", "actor", "scene", "once"])


class _Counting:
    """A reporter as quick as a service: it allows what is asked and writes down what it heard."""

    def report(self, progress: protocol.Progress) -> protocol.Allowance:
        spent = progress.cost_micros + progress.next_slice_micros
        return protocol.Allowance(money_micros=spent, next_report_seconds=0.5)


class _Measured:
    """The task, and afterwards the peak memory of its process."""

    def run(self, context: worker.WorkContext) -> None:
        work.Task().run(context)
        # not ru_maxrss: that begins with the memory of the process that started this one
        status = Path("/proc/self/status").read_text(encoding="ascii")
        peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024
        context.store.put(f"peaks/{context.spec.artifact}/{context.index}", str(peak).encode())


def _emit(benchmark: str, value: float, unit: str, **more: object) -> None:
    line = {"benchmark": benchmark, "value": round(value, 4), "unit": unit, **more}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _items(store: objects.ObjectStore, uri: str, items: int) -> None:
    """Writes an items artifact of short texts."""
    rng = np.random.default_rng(7)
    ids = np.array([f"item-{n:08d}" for n in range(items)])
    shard = tables.shard_of(prn.digest(ids.tolist(), prn.project_key(0))[0], SHARDS)
    refs = []
    for number in range(SHARDS):
        mine = np.sort(ids[shard == number])
        words = _WORDS[rng.integers(0, len(_WORDS), (len(mine), 20))]
        table = pa.table(
            {
                "item_id": mine,
                "text": [" ".join(row) for row in words.tolist()],
                "split": pa.repeat("pool", len(mine)),
                "u": rng.random(len(mine)),
            }
        )
        key = tables.shard_key(uri, number)
        refs.append(
            tables.write_table(store, key, schemas.conform(table, schemas.ITEMS), schemas.ITEMS, shard=number)
        )
    artifacts.write_manifest(
        store,
        artifacts.Manifest(
            uri=uri,
            table="items",
            version=1,
            objects=tuple(refs),
            code_version="bench",
            counts={"pool": items},
            shards=SHARDS,
        ),
    )


def _spec(store: objects.ObjectStore, name: str, items: str) -> protocol.JobSpec:
    return protocol.JobSpec(
        name=f"campaigns/bench/annotationJobs/{name}",
        kind="annotation",
        campaign="campaigns/bench",
        indexes=WORKERS,
        parallelism=WORKERS,
        artifact=f"campaigns/bench/annotations-{name}",
        parents=(items,),
        parameters={
            "items": items,
            "task": {
                "instruction": "Which sentiment has the text?",
                "classes": [{"name": name} for name in CLASSES],
            },
            "model": {
                "kind": "null",
                "prices": {"input_micros_per_1000_tokens": "150", "output_micros_per_1000_tokens": "600"},
            },
        },
        store_uri=store.uri,
        chunk_items=CHUNK_ITEMS,
        shards=SHARDS,
    )


def _annotate(store: objects.ObjectStore, name: str, items: str, logs: Path) -> tuple[float, int]:
    """Runs the stage with real processes; returns its seconds, with the manifest, and the highest peak."""
    spec = _spec(store, name, items)
    runner = local.LocalRunner(
        job_settings.JobsSettings(cores=WORKERS, log_folder=logs),
        command=[sys.executable, os.path.abspath(__file__), "--work"],
    )
    start = time.perf_counter()
    runner.launch(spec, protocol.write(store, spec))
    status = runner.wait(spec.name, 600)
    if status.state != "succeeded":
        raise SystemExit(f"the stage failed: {status}")
    receipts.finish(store, spec, "bench")
    seconds = time.perf_counter() - start
    runner.close()
    return seconds, max(int(store.get(info.key)) for info in store.list(f"peaks/{spec.artifact}/"))


_BARE = """
import pathlib, sys, pyarrow.parquet as pq
items, made, target = map(pathlib.Path, sys.argv[1:4])
for path in sorted(items.glob("*.parquet"))[int(sys.argv[4])::int(sys.argv[5])]:
    pq.read_table(path)
    table = pq.read_table(made / path.name)
    pq.write_table(table, target / path.name, compression="snappy")
"""


def _bare(root: Path, items: str, made: str, target: Path) -> float:
    """Reads the same items and writes the same annotations with nothing but pyarrow, in as many processes."""
    target.mkdir()
    start = time.perf_counter()
    folders = [str(root / items), str(root / made), str(target)]
    children = [
        subprocess.Popen([sys.executable, "-c", _BARE, *folders, str(index), str(WORKERS)])
        for index in range(WORKERS)
    ]
    if any(child.wait() for child in children):
        raise SystemExit("the bare read and write failed")
    return time.perf_counter() - start


def main() -> None:
    """Prints the lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=ITEMS)
    items = parser.parse_args().items
    with tempfile.TemporaryDirectory(prefix="actuary-bench-") as scratch:
        root = Path(scratch)
        store = folder.FolderStore(root / "store")
        _items(store, "campaigns/bench/items-small", items // 10)
        _items(store, "campaigns/bench/items", items)
        _, small = _annotate(store, "small", "campaigns/bench/items-small", root / "logs")
        seconds, peak = _annotate(store, "full", "campaigns/bench/items", root / "logs")
        made = sorted((root / "store/campaigns/bench/annotations-full").glob("*.parquet"))
        assert sum(pq.ParquetFile(path).metadata.num_rows for path in made) == items
        bare = _bare(
            root / "store", "campaigns/bench/items", "campaigns/bench/annotations-full", root / "bare"
        )
        _emit("pipeline.annotate_null_rate", items / seconds, "items/s", against=50_000, workers=WORKERS)
        _emit("pipeline.annotate_null_ratio", seconds / bare, "ratio", bare_seconds=round(bare, 2))
        _emit("pipeline.worker_memory_mb", peak / 2**20, "MiB", against=400)
        _emit("pipeline.worker_memory_growth", peak / small, "ratio", against=1.1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        uri, _, index, _, attempt = sys.argv[2:]
        code = worker.main(uri, int(index), int(attempt), {"annotation": _Measured()}, lambda *_: _Counting())
        sys.exit(code)
    main()

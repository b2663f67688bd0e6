"""Planning a wave from Parquet shards: items a second beside a bare pyarrow scan, and memory.

Wave 1 reads every item's text, label and score, prices it, writes its risk and draws; the bare scan reads the
same columns of the same files in batches, checks no digest and looks at no value. Each plan runs in a process
of its own, on one thread. Its memory is what its peak passes that of the process before it began, of a pool
and of one of four times the shards: it should hardly differ.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from actuary.jobs import protocol, reporting, worker
from actuary.jobs import settings as job_settings
from actuary.sampler import work
from actuary.storage import artifacts, folder, schemas, tables

_ROWS = 62_500
"""Of a shard."""
_SHARDS = (8, 32)
_PILOT = 500
_COLUMNS = {
    "items": ["item_id", "split", "u", "text", "question"],
    "annotations": ["item_id", "outcome", "label", "confidence", "probabilities"],
    "critiques": ["item_id", "critic_id", "raw_score"],
}
_PLANS: dict[str, dict[str, Any]] = {
    "threshold": {"rule": "threshold"},
    "hybrid": {"rule": "hybrid", "gamma": 0.3},
    "hybrid, gamma tuned": {"rule": "hybrid"},
}


def _tables(number: int) -> dict[str, pa.Table]:
    """One shard of every table: two classes, a critic that tells something, texts of 60 characters."""
    rng = np.random.default_rng([5, number])
    ids = pa.array([f"item-{number:03d}-{row:07d}" for row in range(_ROWS)])
    doubt = rng.beta(0.7, 2.0, _ROWS)
    label = rng.integers(0, 2, _ROWS)
    names = pa.array(["no", "yes"])
    shares = np.stack([np.where(label == 0, 1.0 - doubt, doubt), np.where(label == 1, 1.0 - doubt, doubt)], 1)
    zeros, empty = np.zeros(_ROWS, dtype=np.int64), pa.array([""] * _ROWS)
    spent = {
        "model": empty, "prompt_digest": empty, "tokens_in": zeros, "tokens_out": zeros,
        "cost_micros": zeros, "compute_seconds": np.zeros(_ROWS), "outcome": pa.array(["LABELLED"] * _ROWS),
    }  # fmt: skip
    return {
        "items": pa.table(
            {
                "item_id": ids,
                "text": pa.array(["a text of some words that is neither short nor very long at all"] * _ROWS),
                "split": pa.array(["pool"] * _ROWS),
                "u": (rng.integers(0, 2**53, _ROWS) + 0.5) * 2.0**-53,
            }
        ),
        "annotations": pa.table(
            {
                "item_id": ids,
                "label": names.take(pa.array(label)),
                "confidence": 1.0 - doubt / 2.0,
                "probabilities": pa.ListArray.from_arrays(
                    pa.array(np.arange(0, 2 * _ROWS + 1, 2, dtype=np.int32)), pa.array(shares.ravel())
                ),
                **spent,
            }
        ),
        "critiques": pa.table(
            {"item_id": ids, "critic_id": pa.array(["critic"] * _ROWS), "raw_score": doubt, **spent}
        ),
        "truth": pa.table(
            {"item_id": ids, "label": names.take(pa.array(label ^ (rng.random(_ROWS) < doubt)))}
        ),
    }


def _write(root: Path, shards: int) -> None:
    """Writes a pool, its pilot with answers and its risk model."""
    store = folder.FolderStore(root)
    refs: dict[str, list[tables.ObjectRef]] = {}
    truth = []
    for number in range(shards):
        for kind, table in _tables(number).items():
            if kind == "truth":
                truth.append(table)
                continue
            schema = schemas.of(kind)
            ref = tables.write_table(store, tables.shard_key(kind, number), table, schema, shard=number)
            refs.setdefault(kind, []).append(ref)
    for kind, found in refs.items():
        _manifest(store, kind, kind, found, shards)
    _run(root, "plan", "plan-0", wave=0, label_count=_PILOT)
    told = dict(zip(*(column.to_pylist() for column in pa.concat_tables(truth).columns), strict=True))
    found = []
    for ref in artifacts.read_manifest(store, "plan-0")[0].objects:
        with tables.open_shard(store, ref, ["item_id"]) as reader:
            ids = reader.read()["item_id"].to_pylist()
        rows = [
            {
                "item_id": item, "wave": 0, "label": told[item], "answers": 1, "agreement": 1.0,
                "method": "single", "position": 0,
            }
            for item in ids
        ]  # fmt: skip
        answers = pa.Table.from_pylist(rows, schema=schemas.RESOLVED)
        key = tables.shard_key("resolved", ref.shard or 0)
        found.append(tables.write_table(store, key, answers, schemas.RESOLVED, shard=ref.shard))
    _manifest(store, "resolved", "resolved", found, shards)
    _run(root, "risk", "risk", resolved=["resolved"])


def _manifest(
    store: folder.FolderStore, uri: str, kind: str, refs: list[tables.ObjectRef], shards: int
) -> None:
    manifest = artifacts.Manifest(
        uri=uri, table=kind, version=schemas.version_of(schemas.of(kind)), objects=tuple(refs),
        code_version="bench", shards=shards,
    )  # fmt: skip
    artifacts.write_manifest(store, manifest)


def _run(root: Path, kind: str, uri: str, **asked: Any) -> None:
    store = folder.FolderStore(root)
    spec = protocol.JobSpec(
        name="campaigns/c/plans/x", kind=kind, campaign="campaigns/c", indexes=1, parallelism=1,
        artifact=uri, parents=("items",), store_uri=str(root),
        parameters={
            "items": "items", "annotations": ["annotations"], "critiques": ["critiques"],
            "classes": ["no", "yes"], "seed": 1, **asked,
        },
    )  # fmt: skip
    stop, settings = threading.Event(), job_settings.JobsSettings()
    with reporting.Session(protocol.Unsupervised(), stop, settings) as session:
        context = worker.WorkContext(
            spec=spec, index=0, attempt=0, store=store, session=session, stop=stop, scratch=root,
            settings=settings,
        )  # fmt: skip
        work.TASKS[kind].run(context)


def _plan(root: Path, name: str, shards: int) -> None:
    """Plans wave 1, in this process; prints what it took."""
    pa.set_memory_pool(pa.system_memory_pool())
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    before = _peak()
    start = time.process_time()
    _run(
        root,
        "plan",
        f"plan-{name.replace(' ', '-')}",
        wave=1,
        label_count=shards * _ROWS // 100,
        sampling={"audit_items": 2_000, **_PLANS[name]},
        risk_model="risk",
        earlier_plans=["plan-0"],
        earlier_resolved=["resolved"],
    )
    seconds = time.process_time() - start
    print(json.dumps({"seconds": seconds, "memory": _peak() - before}))


def _peak() -> float:
    """Most memory that this process has had, in MB; getrusage would tell its parent's as well."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / 1e6


def _scanned(root: Path) -> float:
    """Seconds of a bare scan."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    start = time.process_time()
    for kind, columns in _COLUMNS.items():
        for path in sorted((root / kind).glob("*.parquet")):
            with pq.ParquetFile(path) as file:
                for _ in file.iter_batches(batch_size=2**16, columns=columns):
                    pass
    return time.process_time() - start


def main() -> None:
    """Prints JSON lines."""
    held: dict[str, float] = {}
    for shards in _SHARDS:
        items = shards * _ROWS
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            _write(root, shards)
            scan = min(_scanned(root) for _ in range(3))
            for plan in _PLANS:
                command = [sys.executable, __file__, name, plan, str(shards)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found = json.loads(done.stdout)
                more = {"rule": plan, "items": items, "labels": items // 100, "shard_items": _ROWS}
                _line(
                    "sampler.plan_items_per_second", items / found["seconds"], "items/s", items / scan, more
                )
                _line("sampler.plan_memory_mb", found["memory"], "MB", held.get(plan), more)
                held[plan] = found["memory"]


def _line(name: str, value: float, unit: str, against: float | None, more: dict[str, Any]) -> None:
    line = {"benchmark": name, "value": round(value), "unit": unit, "against": against and round(against)}
    print(json.dumps({**line, **more}), flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _plan(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
    else:
        main()

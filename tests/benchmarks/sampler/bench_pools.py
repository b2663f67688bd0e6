"""Selecting from the Parquet shards of a risks artifact, beside a bare pyarrow scan of the same columns.

Times are of the processor, of one thread, the least of three repeats in which both sides take turns. The
bare scan neither checks digests nor looks at a value; the product's scan does both, in each of its passes.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from actuary.sampler import pools
from actuary.stats import orders, streams
from actuary.storage import artifacts, folder, schemas, tables

_SHARDS = 8
_ROWS = 500_000
_BUDGET = _SHARDS * _ROWS // 100


def _shard(number: int) -> pa.Table:
    rng = np.random.default_rng([3, number])
    label = pa.array(["a"] * _ROWS)
    risk = rng.beta(0.5, 2.0, _ROWS)
    return pa.table(
        {
            "item_id": [f"item-{number}-{row:08d}" for row in range(_ROWS)],
            "machine_label": label,
            "label": label,
            "flipped": np.zeros(_ROWS, dtype=np.bool_),
            "risk": risk,
            "machine_risk": risk,
            "probabilities": pa.nulls(_ROWS, pa.list_(pa.float64())),
            "fold": np.zeros(_ROWS, dtype=np.int8),
            "u": (rng.integers(0, 2**53, _ROWS) + 0.5) * 2.0**-53,
            "outcome": pa.array(["OK"] * _ROWS),
        }
    )


def _least(works: dict[str, Callable[[], object]]) -> dict[str, float]:
    best = dict.fromkeys(works, float("inf"))
    for _ in range(3):
        for name, work in works.items():
            start = time.process_time()
            work()
            best[name] = min(best[name], time.process_time() - start)
    return best


def main() -> None:
    """Prints JSON lines."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    with tempfile.TemporaryDirectory() as name:
        store = folder.FolderStore(Path(name))
        refs = []
        for number in range(_SHARDS):
            key = tables.shard_key("risks", number)
            refs.append(tables.write_table(store, key, _shard(number), schemas.RISKS, shard=number))
        manifest = artifacts.Manifest(
            uri="risks", table="risks", version=1, objects=tuple(refs), code_version="bench", shards=_SHARDS
        )

        def bare() -> None:
            for ref in refs:
                with store.open(ref.key) as source, pq.ParquetFile(source) as file:
                    for _ in file.iter_batches(batch_size=pools.CHUNK_ROWS, columns=["risk", "u"]):
                        pass

        best = _least(
            {
                "pyarrow": bare,
                "scan": lambda: [None for _ in pools.chunks(store, manifest)],
                "priority": lambda: streams.take(
                    lambda: (orders.by_priority(c.risk, c.u, c.place) for c in pools.chunks(store, manifest)),
                    _BUDGET,
                ),
            }
        )
    for work, seconds in best.items():
        line = {
            "benchmark": f"sampler.parquet_{work}_rate",
            "value": round(_SHARDS * _ROWS / seconds),
            "unit": "rows/s",
            "against": None if work == "pyarrow" else round(_SHARDS * _ROWS / best["pyarrow"]),
        }
        print(json.dumps(line))


if __name__ == "__main__":
    main()

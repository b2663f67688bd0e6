"""How long an import takes, against pyarrow reading and writing the same rows in the same process.

Run as `python tests/benchmarks/bench_import.py [rows]`; prints one JSON object a line. Both sides are run in
turn, after a small run that loads what is loaded once; the ratio is that of the medians.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from actuary.campaign import ingest, sources
from actuary.storage import folder

ROUNDS = 5
AGAINST = "pyarrow read+write"
READERS = {"csv": pyarrow.csv.read_csv, "parquet": pq.read_table}


def rows(count: int) -> pa.Table:
    """Ids in no order and texts of about 40 characters."""
    rng = np.random.default_rng(0)
    words = np.array(["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india"])
    texts = [" ".join(row) for row in words[rng.integers(0, len(words), (count, 7))].tolist()]
    return pa.table({"item_id": [f"item-{i:07d}" for i in rng.permutation(count)], "text": texts})


def ours(path: Path, base: Path) -> tuple[float, ingest.IngestResult]:
    """Seconds of an import, its opening included."""
    with tempfile.TemporaryDirectory(dir=base) as scratch:
        store = folder.FolderStore(Path(scratch) / "store")
        start = time.perf_counter()
        result = ingest.ingest(
            sources.open_source(str(path), sources.Columns()),
            store,
            items_uri="campaigns/bench/items",
            truth_uri=None,
            exemplars_uri=None,
            shards=None,
            key=b"a key of sixteen",
            scratch=Path(scratch),
            classes=None,
            progress=lambda phase, done, total: None,
        )
        return time.perf_counter() - start, result


def theirs(path: Path, base: Path) -> float:
    """Seconds of pyarrow's own reader and writer, with its defaults."""
    start = time.perf_counter()
    pq.write_table(READERS[path.suffix[1:]](path), base / "theirs.parquet")
    return time.perf_counter() - start


def emit(name: str, value: float, unit: str, **more: object) -> None:
    """Prints one line."""
    print(json.dumps({"benchmark": name, "value": round(value, 4), "unit": unit, **more}), flush=True)


def main(count: int) -> None:
    """Writes the inputs, measures, prints."""
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        for size, stem in ((1000, "warm"), (count, "full")):
            table = rows(size)
            pyarrow.csv.write_csv(table, base / f"{stem}.csv")
            pq.write_table(table, base / f"{stem}.parquet")
        for kind in READERS:
            ours(base / f"warm.{kind}", base)
            theirs(base / f"warm.{kind}", base)
            path = base / f"full.{kind}"
            measured = []
            for _ in range(ROUNDS):
                baseline = theirs(path, base)
                measured.append((*ours(path, base), baseline))
            seconds = statistics.median(m[0] for m in measured)
            against = statistics.median(m[2] for m in measured)
            more = {"seconds": round(seconds, 4), "against_seconds": round(against, 4), "rows": count}
            emit(f"pipeline.import_{kind}_ratio", seconds / against, "ratio", against=AGAINST, **more)
            for phase in ingest.PHASES:
                busy = statistics.median(m[1].phases[phase] for m in measured)
                emit(
                    f"pipeline.import_{kind}_{phase}_seconds",
                    busy,
                    "seconds",
                    note="busy seconds summed over threads; phases overlap",
                )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)

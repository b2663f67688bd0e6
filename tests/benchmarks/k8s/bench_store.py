"""Measures reading and writing shards against the plain `minio` client; prints one JSON object a line.

- `k8s.store_read_ratio`: bytes a second of a shard that is fetched, digested and opened, as workers do, over
  those of `get_object` of the same object
- `k8s.store_write_ratio`: bytes a second of a table that is encoded, digested and sent, as workers do, over
  those of `put_object` of the same bytes, which lie ready

Two processes at once, against a MinIO server of its own. Both sides take turns in one run; a round counts
until the slower process is done, and medians of the rounds are compared. First over a link of 10 Gbit/s, in a
network namespace of its own, where `unshare` and `tc` may make one: a checksum is computed while bytes
arrive, so what it costs depends on how fast they do. Then over loopback, which no network is as fast as.
Everywhere server, clients, digests and checksums share the processors.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import minio
import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[2]))

from actuary.storage import digests, minio_store, schemas, tables
from contract.storage import conftest as servers

BUCKET = "bench"
PROCESSES = 2
SHARDS = 8
"""Objects a process, side and round."""
ROWS = 4_096
IMAGE_BYTES = 3_800
"""Of an item; 4,096 of them are a shard of about 16 MB."""
SIDES = ("ours", "theirs")
LINK = "10gbit"
_SHAPED = "ACTUARY_BENCH_LINK"
"""Says that this process runs in the namespace with that link."""


def _table(seed: int) -> pa.Table:
    """Items with images, which no codec makes smaller."""
    rng = np.random.default_rng(seed)
    ids = [f"item-{n:08d}" for n in range(ROWS)]
    images = [rng.bytes(IMAGE_BYTES) for _ in range(ROWS)]
    columns = {"item_id": ids, "image": images, "split": ["pool"] * ROWS, "u": rng.random(ROWS)}
    return schemas.conform(pa.table(columns), schemas.ITEMS)


def _actions(url: str, number: int) -> Mapping[tuple[str, str], Callable[[int], int]]:
    """What a process does of each side: takes the number of a shard, returns its bytes."""
    store = minio_store.MinioStore(BUCKET, "ours", servers.minio_settings(url))
    plain = minio.Minio(
        endpoint=urllib.parse.urlsplit(url).netloc,
        access_key=servers.ACCESS,
        secret_key=servers.SECRET,
        secure=False,
        region="us-east-1",
    )
    table = _table(number)
    refs = {
        n: tables.write_table(store, _key(number, n), table, schemas.ITEMS, shard=n) for n in range(SHARDS)
    }
    data = store.get(_key(number, 0))
    if digests.of(data, digests.DIGEST) != refs[0].digest:
        raise SystemExit("the store returned other bytes than were written")

    def read(shard: int) -> int:
        with tables.open_shard(store, refs[shard], table="items") as reader:
            if reader.rows != ROWS:
                raise SystemExit(f"expected {ROWS} rows; got {reader.rows}")
        return refs[shard].bytes

    def write(shard: int) -> int:
        return tables.write_table(store, _key(number, shard), table, schemas.ITEMS, shard=shard).bytes

    def get(shard: int) -> int:
        response = plain.get_object(BUCKET, f"ours/{_key(number, shard)}")
        try:
            return len(response.read())
        finally:
            response.close()
            response.release_conn()

    def put(shard: int) -> int:
        plain.put_object(BUCKET, f"theirs/{_key(number, shard)}", io.BytesIO(data), len(data))
        return len(data)

    return {
        ("read", "ours"): read,
        ("read", "theirs"): get,
        ("write", "ours"): write,
        ("write", "theirs"): put,
    }


def _key(process: int, shard: int) -> str:
    return f"process-{process}/shard-{shard:05d}.parquet"


def _process(url: str, number: int, rounds: int, together: Any, told: Any) -> None:
    """Takes its turns with the other processes, and tells seconds and bytes of each."""
    actions = _actions(url, number)
    for turn in range(rounds):
        for what in ("read", "write"):
            for side in SIDES if turn % 2 == 0 else SIDES[::-1]:
                together.wait()
                start = time.perf_counter()
                size = sum(actions[what, side](shard) for shard in range(SHARDS))
                told.put((what, side, turn, time.perf_counter() - start, size))


def _rates(url: str, rounds: int) -> dict[tuple[str, str], list[float]]:
    """Bytes a second of all processes together, by what is done and who does it, a number a round."""
    context = multiprocessing.get_context("spawn")
    together, told = context.Barrier(PROCESSES), context.Queue()
    processes = [
        context.Process(target=_process, args=(url, number, rounds, together, told))
        for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    seconds: dict[tuple[str, str, int], float] = {}
    sizes: dict[tuple[str, str, int], int] = {}
    for _ in range(2 * len(SIDES) * rounds * PROCESSES):
        what, side, turn, took, size = told.get(timeout=300)
        key = (what, side, turn)
        seconds[key] = max(seconds.get(key, 0.0), took)
        sizes[key] = sizes.get(key, 0) + size
    for process in processes:
        process.join()
    rates: dict[tuple[str, str], list[float]] = {}
    for (what, side, turn), size in sizes.items():
        rates.setdefault((what, side), []).append(size / seconds[what, side, turn])
    return rates


def _over_a_link(arguments: Sequence[str]) -> bool:
    """Measures in a namespace whose loopback is as slow as a network; False where none can be made."""
    shape = f"ip link set lo up && tc qdisc add dev lo root tbf rate {LINK} burst 4mb latency 50ms"
    made = ["unshare", "--map-root-user", "--net", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*made, shape], check=False).returncode:
        return False
    again = shlex.join([sys.executable, __file__, *arguments])
    subprocess.run([*made, f"{shape} && exec {again}"], check=True, env={**os.environ, _SHAPED: LINK})
    return True


def main() -> None:
    """Prints the lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    link = os.environ.get(_SHAPED)
    if link is None and not _over_a_link(sys.argv[1:]):
        sys.stderr.write("no link of a known speed can be made here: loopback only\n")
    binary = os.environ.get("ACTUARY_TEST_MINIO") or shutil.which("minio")
    if not binary:
        raise SystemExit(
            "expected a MinIO server: put `minio` on the PATH, or its path in ACTUARY_TEST_MINIO"
        )
    with tempfile.TemporaryDirectory(prefix="actuary-bench-") as scratch:
        data = Path(scratch, "data")
        data.mkdir()
        with servers.running_minio(binary, data) as url:
            rates = _rates(url, rounds)
    for what, plain in (("read", "get_object"), ("write", "put_object")):
        ours, theirs = rates[what, "ours"], rates[what, "theirs"]
        line: dict[str, object] = {
            "benchmark": f"k8s.store_{what}_ratio" if link else f"k8s.store_{what}_loopback_ratio",
            "value": round(statistics.median(ours) / statistics.median(theirs), 3),
            "unit": "ratio",
            "of": f"bytes a second of {PROCESSES} processes over those of minio's {plain}; medians of rounds",
            "link": link or "loopback",
            "ours_mb_per_second": [round(rate / 1e6) for rate in ours],
            "theirs_mb_per_second": [round(rate / 1e6) for rate in theirs],
        }
        if link:
            line["against"] = 0.9
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

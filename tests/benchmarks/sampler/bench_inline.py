"""`Allocate` inline with 100,000 rows, against the bare function on the same rows.

The server is a process of its own with every interceptor, as it is served; the bare function runs here, in
turns with the calls, so that both sides meet the same machine. A tenth of the rows is drawn by the
square-root rule.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import tempfile
import time
import uuid
from multiprocessing.connection import Connection

import numpy as np

from actuary.rpc import channels, server
from actuary.sampler import inline, service
from actuary.state import database, jobs
from actuary.stats import weighing
from actuary.v1 import campaign_pb2, sampler_service_pb2, sampler_service_pb2_grpc

ROWS = 100_000
LABELS = 10_000
CALLS = 100
WARM = 3


def serve(folder: str, pipe: Connection) -> None:
    """Serves the sampler until the pipe says so."""
    db = database.Database.open(f"sqlite:///{folder}/actuary.db")
    db.migrate()
    registration = server.ServiceRegistration(
        name="actuary.v1.SamplerService",
        servicer=service.SamplerServicer(jobs.Jobs(db), wake=lambda: None),
        add=sampler_service_pb2_grpc.add_SamplerServiceServicer_to_server,
    )
    with server.Server([registration]) as served:
        pipe.send(served.address)
        pipe.recv()


def main() -> None:
    """Measures both and prints one JSON object a line."""
    ids = [str(uuid.UUID(int=i)) for i in range(ROWS)]
    eps = np.random.default_rng(0).beta(1, 5, ROWS)
    pool = inline.Pool(ids=ids, eps=eps)
    wishes = inline.Wishes(weighing=weighing.Weighing(rule="square-root"), seed=1, labels=LABELS)
    request = sampler_service_pb2.AllocateRequest(
        item_ids=ids,
        risks=eps,
        label_count=LABELS,
        seed=1,
        sampling=campaign_pb2.Sampling(rule="square-root"),
    )
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    times: dict[str, list[float]] = {"call": [], "bare": []}
    with tempfile.TemporaryDirectory() as folder:
        process = spawn.Process(target=serve, args=(folder, there), daemon=True)
        process.start()
        with channels.channel(here.recv()) as channel:
            allocate = sampler_service_pb2_grpc.SamplerServiceStub(channel).Allocate
            for turn in range(WARM + CALLS):
                for side, run in (
                    ("call", lambda: allocate(request)),
                    ("bare", lambda: inline.allocate(pool, wishes)),
                ):
                    start = time.perf_counter()
                    run()
                    if turn >= WARM:
                        times[side].append((time.perf_counter() - start) * 1000)
            answer = allocate(request)
        here.send(None)
        process.join(10)
    bare = statistics.median(times["bare"])
    calls = sorted(times["call"])
    for share in (50, 99):
        value = calls[CALLS * share // 100]
        _print(f"sampler.allocate_p{share}_ms", value, "ms", against="the bare function", ratio=value / bare)
    _print("sampler.allocate_bare_ms", bare, "ms")
    _print("sampler.allocate_request_mb", request.ByteSize() / 1e6, "MB")
    _print("sampler.allocate_answer_mb", answer.ByteSize() / 1e6, "MB")


def _print(name: str, value: float, unit: str, **further: object) -> None:
    print(json.dumps({"benchmark": name, "value": value, "unit": unit, "rows": ROWS, **further}), flush=True)


if __name__ == "__main__":
    main()

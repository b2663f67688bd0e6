"""Calls a second of GetCampaign, against a grpcio servicer that answers an empty message.

Ours is the campaign service as it is served: every interceptor, a row of a real SQLite database with a budget
that is opened, the whole message. Each server is a process of its own; the client, the same for both, is this
one. Rounds alternate, so that both sides meet the same machine.
"""

from __future__ import annotations

import concurrent.futures
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection

import grpc
from google.protobuf import json_format

from actuary.campaign import samples, service
from actuary.rpc import operations, server, settings
from actuary.state import campaigns, database, overview, purse
from actuary.v1 import campaign_pb2, campaign_service_pb2, campaign_service_pb2_grpc

NAME = "campaigns/bench"
CALLERS = 8
ROUNDS = 7
SECONDS = 1.5
TARGET = 0.3


class Empty(campaign_service_pb2_grpc.CampaignServiceServicer):
    """The other side: nothing but grpcio."""

    def GetCampaign(  # noqa: N802
        self, request: campaign_service_pb2.GetCampaignRequest, context: grpc.ServicerContext
    ) -> campaign_pb2.Campaign:
        """Answers nothing."""
        return campaign_pb2.Campaign()


def serve_ours(folder: str, pipe: Connection) -> None:
    """Serves the campaign service until the pipe says so."""
    db = database.Database.open(f"sqlite:///{folder}/actuary.db")
    db.migrate()
    table, accounts = campaigns.Campaigns(db), purse.Purse(db)
    _write(table, accounts)
    registration = server.ServiceRegistration(
        name="actuary.v1.CampaignService",
        servicer=service.CampaignServicer(
            campaigns=table,
            purse=accounts,
            overviews=overview.Overviews(db),
            store_uri=f"file://{folder}",
            wake=lambda: None,
        ),
        add=campaign_service_pb2_grpc.add_CampaignServiceServicer_to_server,
    )
    with server.Server([registration]) as served:
        pipe.send(served.address)
        pipe.recv()


def serve_empty(folder: str, pipe: Connection) -> None:
    """Serves nothing until the pipe says so."""
    served = grpc.server(concurrent.futures.ThreadPoolExecutor(settings.RpcSettings().unary_threads))
    campaign_service_pb2_grpc.add_CampaignServiceServicer_to_server(Empty(), served)
    port = served.add_insecure_port("127.0.0.1:0")
    served.start()
    pipe.send(f"127.0.0.1:{port}")
    pipe.recv()
    served.stop(0).wait()


def measure(address: str) -> list[float]:
    """The seconds of each call that was answered within a round."""
    request = campaign_service_pb2.GetCampaignRequest(name=NAME)
    with grpc.insecure_channel(address) as channel:
        stub = campaign_service_pb2_grpc.CampaignServiceStub(channel)
        for _ in range(50):
            stub.GetCampaign(request)
        end = time.perf_counter() + SECONDS

        def call() -> list[float]:
            times = []
            while (start := time.perf_counter()) < end:
                stub.GetCampaign(request)
                times.append(time.perf_counter() - start)
            return times

        with concurrent.futures.ThreadPoolExecutor(CALLERS) as pool:
            return [t for times in [pool.submit(call) for _ in range(CALLERS)] for t in times.result()]


def main() -> None:
    """Measures both and prints one JSON object a line."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        sides = {}
        for side, target in (("ours", serve_ours), ("empty", serve_empty)):
            here, there = spawn.Pipe()
            process = spawn.Process(target=target, args=(folder, there), daemon=True)
            process.start()
            sides[side] = (process, here, here.recv())
        times: dict[str, list[list[float]]] = {side: [] for side in sides}
        for _ in range(ROUNDS):
            for side, (_, _, address) in sides.items():
                times[side].append(measure(address))
        for process, pipe, _ in sides.values():
            pipe.send(None)
            process.join(10)
    rates = {side: [len(round_) / SECONDS for round_ in rounds] for side, rounds in times.items()}
    ratio = statistics.median(a / b for a, b in zip(rates["ours"], rates["empty"], strict=True))
    for side, rounds in times.items():
        pooled = sorted(t for round_ in rounds for t in round_)
        for share in (50, 99):
            _print(f"pipeline.get_campaign_{side}_p{share}", pooled[len(pooled) * share // 100] * 1000, "ms")
        _print(f"pipeline.get_campaign_{side}_rate", statistics.median(rates[side]), "calls/s")
    _print("pipeline.get_campaign_ratio", ratio, "ratio", against="empty grpcio servicer", target=TARGET)


def _print(benchmark: str, value: float, unit: str, **more: object) -> None:
    sys.stdout.write(
        json.dumps({"benchmark": benchmark, "value": round(value, 4), "unit": unit, **more}) + "\n"
    )


def _write(table: campaigns.Campaigns, accounts: purse.Purse) -> None:
    """Writes a campaign as it looks in the middle of its life."""
    spec = operations.spec_of(json_format.ParseDict(samples.campaign("digits"), campaign_pb2.Campaign()))
    children = {
        key: {"state": "SUCCEEDED", "item_count": 1277, "done_count": 1277, "cost_micros": 5}
        for key in ("import", "plan-w0", "annotate-w0", "critique-w0", "review-w0", "risk-w0", "annotate-w1")
    }
    record = campaigns.CampaignRecord(
        name=NAME,
        spec=spec,
        spec_digest=operations.digest_of(spec),
        state="RUNNING",
        stage="annotate",
        results={"children": children, "budget": {"labels": 255}},
    )
    table.create(record)
    accounts.open(NAME, {"human_labels": 255, "money_micros": None})


if __name__ == "__main__":
    main()

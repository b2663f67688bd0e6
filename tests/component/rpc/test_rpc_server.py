"""A server as a whole: health, reflection, streams and the threads they hold, stopping."""

from __future__ import annotations

import concurrent.futures
import contextlib
import threading
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from actuary import errors
from actuary.rpc import channels, server, settings
from actuary.v1 import campaign_service_pb2, campaign_service_pb2_grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
WATCH = campaign_service_pb2.WatchCampaignRequest(name="campaigns/a")
GET = campaign_service_pb2.GetCampaignRequest(name="campaigns/a")


def wait_until(condition, seconds: float = 10.0) -> None:
    """The one wait of this module: polls until it holds, or fails with what was asked."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        pause.wait(0.01)


@contextlib.contextmanager
def watching(stub, count: int):
    """So many streams, each of which has answered once."""
    calls = [stub.WatchCampaign(WATCH) for _ in range(count)]
    try:
        for call in calls:
            next(call)
        yield calls
    finally:
        for call in calls:
            call.cancel()


def test_sixty_watchers_leave_calls_their_threads(start, connect):
    served = start(unary_threads=2, max_watchers=60)
    stub = campaign_service_pb2_grpc.CampaignServiceStub(connect(served.address))

    with watching(stub, 60), concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: stub.GetCampaign(GET, timeout=10).name, range(200)))

    assert answers == ["campaigns/a"] * 200


def test_a_watcher_too_many_is_refused_and_told_what_to_do(start, connect):
    served = start(unary_threads=1, max_watchers=3)
    stub = campaign_service_pb2_grpc.CampaignServiceStub(connect(served.address))

    with watching(stub, 3), pytest.raises(grpc.RpcError) as caught:
        next(stub.WatchCampaign(WATCH))

    back = channels.errors_from(caught.value)
    assert isinstance(back, errors.ExhaustedError)
    assert "at most 3 streams" in back.message
    assert "ACTUARY_RPC_MAX_WATCHERS" in back.message


def test_a_watcher_that_goes_away_makes_room_at_once(start, connect):
    served = start(max_watchers=1)
    stub = campaign_service_pb2_grpc.CampaignServiceStub(connect(served.address))

    with watching(stub, 1):
        assert served.watcher_count == 1
    wait_until(lambda: served.watcher_count == 0)

    with watching(stub, 1):
        assert served.watcher_count == 1


def test_streams_of_reflection_count_too(start, connect):
    served = start(max_watchers=1)
    stub = campaign_service_pb2_grpc.CampaignServiceStub(connect(served.address))
    held = threading.Event()
    asked = reflection_pb2.ServerReflectionRequest(list_services="")

    def ask():
        yield asked
        held.wait(30)

    with grpc.insecure_channel(served.address) as plain:
        call = reflection_pb2_grpc.ServerReflectionStub(plain).ServerReflectionInfo(ask())
        next(call)
        with pytest.raises(grpc.RpcError) as caught:
            next(stub.WatchCampaign(WATCH))
        held.set()

    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_stream_ends_at_its_deadline(start, connect):
    served = start(stream_deadline_seconds=0.1)
    with grpc.insecure_channel(served.address) as plain:
        call = campaign_service_pb2_grpc.CampaignServiceStub(plain).WatchCampaign(WATCH)
        next(call)
        with pytest.raises(grpc.RpcError) as caught:
            next(call)

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_an_error_in_a_stream_comes_back_as_its_class(stub, desk):
    def behaviour(request, context):
        raise errors.NotFoundError("no campaign a")

    desk.get = behaviour

    with pytest.raises(grpc.RpcError) as caught:
        next(stub.WatchCampaign(WATCH))

    assert isinstance(channels.errors_from(caught.value), errors.NotFoundError)


def test_rules_hold_for_streams(stub):
    with pytest.raises(grpc.RpcError) as caught:
        next(stub.WatchCampaign(campaign_service_pb2.WatchCampaignRequest()))

    assert channels.errors_from(caught.value).violations[0].field == "name"


@pytest.mark.parametrize("name", ["", "actuary.v1.CampaignService"])
def test_health_is_told_for_the_server_and_each_service(name, start):
    with grpc.insecure_channel(start().address) as plain:
        answer = health_pb2_grpc.HealthStub(plain).Check(health_pb2.HealthCheckRequest(service=name))

    assert answer.status == SERVING


def test_a_service_that_cannot_work_says_so(start):
    served = start()
    served.set_serving(False)
    with grpc.insecure_channel(served.address) as plain:
        stub = health_pb2_grpc.HealthStub(plain)

        assert (
            stub.Check(health_pb2.HealthCheckRequest(service="actuary.v1.CampaignService")).status
            == NOT_SERVING
        )
        assert stub.Check(health_pb2.HealthCheckRequest()).status == SERVING


def test_reflection_lists_the_services(start):
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    with grpc.insecure_channel(start().address) as plain:
        (answer,) = reflection_pb2_grpc.ServerReflectionStub(plain).ServerReflectionInfo(iter([asked]))

    names = {service.name for service in answer.list_services_response.service}
    assert {"actuary.v1.CampaignService", "grpc.health.v1.Health"} <= names


def test_a_stopping_server_says_so_first_lets_calls_end_and_sends_watchers_on(start, connect, desk):
    served = start()
    stub = campaign_service_pb2_grpc.CampaignServiceStub(connect(served.address, retry_attempts=1))
    entered, leave = threading.Event(), threading.Event()
    watcher = stub.WatchCampaign(WATCH)
    next(watcher)

    def behaviour(request, context):
        entered.set()
        leave.wait(10)

    desk.get = behaviour
    with grpc.insecure_channel(served.address) as plain, concurrent.futures.ThreadPoolExecutor() as pool:
        health = health_pb2_grpc.HealthStub(plain).Watch(health_pb2.HealthCheckRequest())
        assert next(health).status == SERVING
        call = pool.submit(stub.GetCampaign, GET)
        entered.wait(10)
        stopped = pool.submit(served.stop, 10)

        assert next(health).status == NOT_SERVING
        with pytest.raises(grpc.RpcError) as caught:
            next(watcher)
        health.cancel()
        leave.set()
        stopped.result(20)

        assert call.result(10).name == "campaigns/a"
        assert isinstance(channels.errors_from(caught.value), errors.UnavailableError)


def test_stopping_twice_is_stopping_once(start):
    served = start()

    served.stop(0)
    served.stop(0)


def test_two_servers_cannot_share_a_port(start):
    first = start()
    second = server.Server([], settings.RpcSettings())

    with pytest.raises(errors.PreconditionError, match="cannot listen on"):
        second.start(first.address)

"""What surrounds a call: errors as statuses and back, rules, deadlines, ids, metrics, logs."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import grpc
import pytest
from prometheus_client import REGISTRY

from actuary import errors
from actuary.rpc import channels, requests
from actuary.v1 import campaign_pb2, campaign_service_pb2, campaign_service_pb2_grpc

EVERY_ERROR = [
    errors.ActuaryError("broken"),
    errors.InvalidInputError.of(
        [errors.Violation("budget.human_share", "expected (0, 1], got 2: give a share")]
    ),
    errors.NotFoundError("no campaign a", metadata={"name": "campaigns/a"}),
    errors.AlreadyExistsError("taken"),
    errors.ConflictError("changed"),
    errors.PreconditionError("not now", reason="WRONG_STATE"),
    errors.BudgetExceededError("over"),
    errors.UnsupportedError("cannot"),
    errors.RefusedError("not yours"),
    errors.ExhaustedError("full"),
    errors.UnavailableError("away"),
    errors.DataLossError("digest"),
]


def ask(name: str = "campaigns/a") -> campaign_service_pb2.GetCampaignRequest:
    return campaign_service_pb2.GetCampaignRequest(name=name)


def failed(call, *args, **kwargs) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call(*args, **kwargs)
    return caught.value


def raising(error: Exception):
    def behaviour(request, context):
        raise error

    return behaviour


@pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda error: type(error).__name__)
def test_an_error_comes_back_as_the_class_that_was_raised(error, desk, start, connect):
    stub = campaign_service_pb2_grpc.CampaignServiceStub(connect(start().address, retry_attempts=1))
    desk.get = raising(error)

    back = channels.errors_from(failed(stub.GetCampaign, ask()))

    assert type(back) is type(error)
    assert (back.message, back.reason, back.metadata) == (error.message, error.reason, error.metadata)
    assert getattr(back, "violations", None) == getattr(error, "violations", None)


def test_every_class_of_errors_is_tried_above():
    def below(cls):
        return {cls}.union(
            *(below(child) for child in cls.__subclasses__() if child.__module__ == "actuary.errors")
        )

    assert {type(error) for error in EVERY_ERROR} == below(errors.ActuaryError)


def test_a_fault_tells_the_caller_nothing_but_an_id_that_the_log_knows(stub, desk, log):
    desk.get = raising(KeyError("password=hunter2"))

    error = failed(stub.GetCampaign, ask(), metadata=(("x-request-id", "r-17"),))

    assert error.code() is grpc.StatusCode.INTERNAL
    assert "hunter2" not in str(error)
    assert "r-17" in error.details()
    (line,) = log
    assert line["request_id"] == "r-17"
    assert "hunter2" in str(line["exc_info"])


def test_a_failed_call_is_one_line_of_the_log_with_its_resource(stub, desk, log):
    desk.get = raising(errors.NotFoundError("no campaign a"))

    failed(stub.GetCampaign, ask("campaigns/a"))

    (line,) = log
    assert (line["resource"], line["code"], line["method"]) == ("campaigns/a", "NOT_FOUND", "GetCampaign")


def test_all_violations_of_a_request_come_in_one_answer(stub):
    request = campaign_service_pb2.CreateCampaignRequest(campaign_id="Not an id")
    request.campaign.budget.human_share = 2
    request.campaign.sampling.rule = "thershold"

    back = channels.errors_from(failed(stub.CreateCampaign, request))

    fields = [violation.field for violation in back.violations]
    assert {"campaign_id", "campaign.budget.human_share", "campaign.sampling.rule", "campaign.data"} <= set(
        fields
    )
    assert "did you mean threshold?" in str(back)


@pytest.mark.parametrize("letter", ["x", "ж", "標"])
def test_a_long_error_is_cut_to_what_any_client_takes(letter, start):
    request = campaign_service_pb2.CreateCampaignRequest(campaign_id="a")
    for _ in range(500):
        request.campaign.task.classes.add(name=letter * 300)
    with grpc.insecure_channel(start().address) as plain:  # with the limits of any client
        stub = campaign_service_pb2_grpc.CampaignServiceStub(plain)

        back = channels.errors_from(failed(stub.CreateCampaign, request))

    assert isinstance(back, errors.InvalidInputError)
    assert len(back.violations) > 10
    assert "more violations" in back.violations[-1].description


def test_a_long_message_in_any_script_is_cut_to_what_any_client_takes(start, desk):
    desk.get = raising(errors.DataLossError("標" * 5000, metadata={f"key{i}": "ж" * 500 for i in range(50)}))
    with grpc.insecure_channel(start().address) as plain:
        stub = campaign_service_pb2_grpc.CampaignServiceStub(plain)

        back = channels.errors_from(failed(stub.GetCampaign, ask()))

    assert isinstance(back, errors.DataLossError)
    assert back.message.endswith("…")


def test_a_call_without_a_deadline_gets_the_default_one(start, desk):
    left = []
    desk.get = lambda request, context: left.append(requests.seconds_left())
    with grpc.insecure_channel(start(deadline_seconds=7).address) as plain:
        campaign_service_pb2_grpc.CampaignServiceStub(plain).GetCampaign(ask())

    assert 5 < left[0] <= 7


def test_a_call_that_takes_longer_than_the_default_is_told_so(start, desk):
    desk.get = lambda request, context: threading.Event().wait(0.06)
    with grpc.insecure_channel(start(deadline_seconds=0.05).address) as plain:
        error = failed(campaign_service_pb2_grpc.CampaignServiceStub(plain).GetCampaign, ask())

    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert channels.errors_from(error).reason == "DEADLINE_EXCEEDED"


def test_a_call_made_for_another_has_its_id_and_what_is_left_of_its_time(start, desk, connect):
    served = start()
    inner = campaign_service_pb2_grpc.CampaignServiceStub(connect(served.address))
    seen = []

    def behaviour(request, context):
        call = requests.current.get()
        seen.append((call.request_id, requests.seconds_left()))
        if request.name == "campaigns/outer":
            inner.GetCampaign(ask("campaigns/inner"))

    desk.get = behaviour
    outer = campaign_service_pb2_grpc.CampaignServiceStub(connect(served.address))
    outer.GetCampaign(ask("campaigns/outer"), timeout=5, metadata=(("x-request-id", "one"),))

    assert [request_id for request_id, _ in seen] == ["one", "one"]
    assert all(left < 6 for _, left in seen)  # its own default would be 30; the wire rounds


def test_an_id_that_would_break_a_log_is_cleaned(stub, desk, log):
    desk.get = raising(errors.NotFoundError("no"))

    failed(stub.GetCampaign, ask(), metadata=(("x-request-id", "a b" + "c" * 500),))

    assert log[0]["request_id"] == "ab" + "c" * 125


def test_calls_are_counted_by_service_method_and_code(stub, desk):
    labels = {"service": "CampaignService", "method": "GetCampaign", "code": "ABORTED"}
    before = REGISTRY.get_sample_value("actuary_rpc_seconds_count", labels) or 0
    desk.get = raising(errors.ConflictError("changed"))

    failed(stub.GetCampaign, ask())

    assert REGISTRY.get_sample_value("actuary_rpc_seconds_count", labels) == before + 1


def test_an_unknown_method_leaves_no_label(start):
    with grpc.insecure_channel(start().address) as plain:
        error = failed(plain.unary_unary("/actuary.v1.CampaignService/Made-up"), b"")

    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert all("Made-up" not in str(sample) for family in REGISTRY.collect() for sample in family.samples)


def test_a_method_that_the_servicer_lacks_is_unimplemented(stub):
    error = failed(stub.PauseCampaign, campaign_service_pb2.PauseCampaignRequest(name="campaigns/a"))

    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert isinstance(channels.errors_from(error), errors.UnsupportedError)


def test_an_idempotent_call_is_tried_again_while_nobody_answers(stub, desk):
    def behaviour(request, context):
        if desk.calls < 3:
            raise errors.UnavailableError("starting")

    desk.get = behaviour

    assert stub.GetCampaign(ask()).name == "campaigns/a"
    assert desk.calls == 3


def test_other_errors_are_not_tried_again(stub, desk):
    desk.get = raising(errors.ConflictError("changed"))

    failed(stub.GetCampaign, ask())

    assert desk.calls == 1


def test_a_server_that_is_not_there_is_an_unavailable_error(connect, start):
    served = start()
    served.stop(0)
    stub = campaign_service_pb2_grpc.CampaignServiceStub(connect(served.address, retry_attempts=1))

    back = channels.errors_from(failed(stub.GetCampaign, ask()))

    assert isinstance(back, errors.UnavailableError)
    assert "is the server up" in back.message


def test_messages_of_sixteen_megabytes_pass(stub):
    request = campaign_service_pb2.CreateCampaignRequest(campaign_id="a")
    request.campaign.CopyFrom(campaign_pb2.Campaign(display_name="x" * (15 << 20)))

    back = channels.errors_from(failed(stub.CreateCampaign, request))

    assert "expected at most 200 bytes, got 15728640" in str(back)


def test_a_call_that_may_be_made_once_waits_for_a_connection_that_takes_its_time(start, connect):
    """Through a port that is forwarded to a far cluster a connection is not there in a tenth of a second."""
    with delayed(start().address, seconds=0.7) as address:
        stub = campaign_service_pb2_grpc.CampaignServiceStub(connect(address, retry_attempts=1))
        assert stub.GetCampaign(ask()).name == "campaigns/a"


@contextlib.contextmanager
def delayed(address: str, seconds: float) -> Iterator[str]:
    """A way to a server on which every byte takes its time; yields its address."""
    host, _, port = address.rpartition(":")
    stop, opened = threading.Event(), []

    def carry(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                stop.wait(seconds)
                target.sendall(data)

    def accept(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection((host, int(port)))
                opened.extend((near, far))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=carry, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, args=(listener,), daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stop.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for each in opened:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()

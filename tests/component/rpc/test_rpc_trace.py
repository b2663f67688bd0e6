"""Which trace a call belongs to, from its caller over nested calls into the rows of Jobs and the reports."""

from __future__ import annotations

import threading
import traceback

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from actuary import errors, spans, tracing
from actuary.jobs import protocol
from actuary.rpc import channels, operations, reporter, server, statuses
from actuary.state import campaigns
from actuary.v1 import (
    annotation_job_pb2,
    annotator_service_pb2,
    annotator_service_pb2_grpc,
    campaign_service_pb2,
    campaign_service_pb2_grpc,
    worker_service_pb2,
    worker_service_pb2_grpc,
)

GIVEN = tracing.Context(trace_id="4bf92f3577b34da6a3ce929d0e0e4736", span_id="00f067aa0ba902b7", state="a=1")
GET = campaign_service_pb2.GetCampaignRequest(name="campaigns/a")
WATCH = campaign_service_pb2.WatchCampaignRequest(name="campaigns/a")
JOB = annotator_service_pb2.CreateAnnotationJobRequest(
    parent="campaigns/a",
    annotation_job_id="j",
    annotation_job={
        "items": "campaigns/a/items",
        "task": {"instruction": "?", "classes": [{"name": "yes"}, {"name": "no"}]},
        "model": {"kind": "null", "prices": {"input_micros_per_1000_tokens": 0}},
    },
)
JOBS = operations.JobResource(
    kind="annotation",
    collection="annotationJobs",
    message=annotation_job_pb2.AnnotationJob,
    field="annotation_job",
)


@pytest.fixture
def seen(desk) -> list[tracing.Context]:
    """The trace that each call was served in."""
    found: list[tracing.Context] = []
    desk.get = lambda request, context: found.append(tracing.current())
    return found


@pytest.fixture
def taken():
    """Finished spans."""
    found: list[tracing.Span] = []
    tracing.exporter = found.append
    yield found
    tracing.exporter = None


@pytest.fixture
def plain(start):
    """A client that is not ours, of a server with one thread."""
    with grpc.insecure_channel(start(unary_threads=1).address) as channel:
        yield campaign_service_pb2_grpc.CampaignServiceStub(channel)


def test_a_call_carries_the_trace_of_what_it_is_made_for_with_a_span_of_its_own(stub, seen):
    with tracing.entered(GIVEN):
        stub.GetCampaign(GET)
        next(stub.WatchCampaign(WATCH))

    call, stream = seen
    for served in seen:
        assert (served.trace_id, served.state) == (GIVEN.trace_id, GIVEN.state)
    assert len({GIVEN.span_id, call.parent_id, call.span_id, stream.parent_id, stream.span_id}) == 5


def test_calls_that_belong_to_nothing_are_a_trace_each(stub, seen):
    stub.GetCampaign(GET)
    stub.GetCampaign(GET)

    assert len({served.trace_id for served in seen}) == 2


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        [("traceparent", "00-abc-def-01"), ("tracestate", "a=1")],
    ],
    ids=["none", "not valid"],
)
def test_a_call_without_a_valid_trace_begins_one(plain, seen, metadata):
    plain.GetCampaign(GET, metadata=metadata)
    plain.GetCampaign(GET, metadata=metadata)

    first, second = seen
    assert len({GIVEN.trace_id, first.trace_id, second.trace_id}) == 3
    assert (first.parent_id, first.state) == ("", "")


def test_a_tracestate_may_come_in_parts(plain, seen):
    parts = [("traceparent", GIVEN.traceparent), ("tracestate", "a=1"), ("tracestate", "b=2")]

    plain.GetCampaign(GET, metadata=parts)

    assert seen[0].state == "a=1,b=2"


def test_a_trace_that_the_caller_names_itself_stays(stub, seen):
    with tracing.entered(tracing.below(None)):
        stub.GetCampaign(GET, metadata=[("traceparent", GIVEN.traceparent)])

    assert (seen[0].trace_id, seen[0].parent_id) == (GIVEN.trace_id, GIVEN.span_id)


def test_the_trace_of_a_call_ends_with_it(plain, seen, desk):
    plain.GetCampaign(GET, metadata=[("traceparent", GIVEN.traceparent)])
    after = []

    def behaviour(request, context):
        raise errors.NotFoundError("no campaign a")

    desk.get = behaviour
    with pytest.raises(grpc.RpcError):
        plain.GetCampaign(GET, metadata=[("traceparent", GIVEN.traceparent)])
    desk.get = lambda request, context: after.append(tracing.current())
    plain.GetCampaign(GET)

    assert seen[0].trace_id == GIVEN.trace_id
    assert after[0].trace_id != GIVEN.trace_id


class Creating(annotator_service_pb2_grpc.AnnotatorServiceServicer):
    """Creates Jobs in a table."""

    def __init__(self, table) -> None:
        self._table = table

    def CreateAnnotationJob(self, request, context):  # noqa: N802
        return JOBS.create(self._table, request)


def test_a_call_made_on_behalf_of_another_and_the_job_that_it_creates_are_of_one_trace(
    stub, seen, desk, table, connect
):
    registration = server.ServiceRegistration(
        name="actuary.v1.AnnotatorService",
        servicer=Creating(table),
        add=annotator_service_pb2_grpc.add_AnnotatorServiceServicer_to_server,
    )
    with server.Server([registration]) as annotator:
        annotations = annotator_service_pb2_grpc.AnnotatorServiceStub(connect(annotator.address))

        def behaviour(request, context):
            seen.append(tracing.current())
            annotations.CreateAnnotationJob(JOB)

        desk.get = behaviour
        with tracing.entered(GIVEN):
            stub.GetCampaign(GET)

    kept = table.get("campaigns/a/annotationJobs/j").trace
    assert (kept.trace_id, kept.state) == (GIVEN.trace_id, GIVEN.state)
    assert len({GIVEN.span_id, seen[0].parent_id, seen[0].span_id, kept.span_id}) == 4


def test_a_job_keeps_the_trace_that_created_it_first(table):
    with tracing.entered(GIVEN):
        JOBS.create(table, JOB)
    with tracing.entered(tracing.below(None)):
        JOBS.create(table, JOB)

    record = table.get("campaigns/a/annotationJobs/j")
    table.update(record, record.version)

    assert table.get(record.name).trace == GIVEN


def test_a_campaign_with_another_spec_under_its_name_is_of_the_trace_that_gave_it(db):
    rows = campaigns.Campaigns(db)
    with tracing.entered(tracing.below(None)):
        before = rows.create(campaigns.CampaignRecord(name="campaigns/a", spec={}, spec_digest="1"))
    with tracing.entered(GIVEN):
        rows.replace(before, before.version)

    assert rows.get("campaigns/a").trace == GIVEN


def test_a_failed_call_tells_by_which_ids_the_log_finds_it(stub, desk, log):
    def behaviour(request, context):
        raise errors.NotFoundError("no campaign a")

    desk.get = behaviour
    with tracing.entered(GIVEN), pytest.raises(grpc.RpcError) as caught:
        stub.GetCampaign(GET, metadata=(("x-request-id", "r-17"),))

    (line,) = log
    assert (line["trace_id"], line["request_id"]) == (GIVEN.trace_id, "r-17")
    details = dict(caught.value.trailing_metadata())[statuses.DETAILS_KEY]
    found = error_details_pb2.RequestInfo()
    assert [detail for detail in status_pb2.Status.FromString(details).details if detail.Unpack(found)]
    assert (found.serving_data, found.request_id) == (GIVEN.trace_id, "r-17")
    back = channels.errors_from(caught.value)
    assert GIVEN.trace_id in "".join(traceback.format_exception(back))
    assert back.metadata == {}


def test_a_fault_names_its_trace_in_words(stub, desk):
    def behaviour(request, context):
        raise KeyError

    desk.get = behaviour
    with tracing.entered(GIVEN), pytest.raises(grpc.RpcError) as caught:
        stub.GetCampaign(GET)

    assert GIVEN.trace_id in caught.value.details()


class Reports(worker_service_pb2_grpc.WorkerServiceServicer):
    """Notes in which trace each report comes."""

    def __init__(self) -> None:
        self.seen: list[tracing.Context] = []

    def ReportWork(self, request, context):  # noqa: N802
        self.seen.append(tracing.current())
        return worker_service_pb2.ReportWorkResponse(next_report_seconds=1)


def test_a_report_is_of_the_trace_of_its_job_and_never_written_down(taken):
    servicer = Reports()
    registration = server.ServiceRegistration(
        name="actuary.v1.WorkerService",
        servicer=servicer,
        add=worker_service_pb2_grpc.add_WorkerServiceServicer_to_server,
    )
    with server.Server([registration]) as served:
        way = reporter.GrpcReporter(served.address, "campaigns/a/annotationJobs/j", 0, 0)
        with tracing.entered(GIVEN):
            way.report(protocol.Progress())
        way.close()

    assert [served.trace_id for served in servicer.seen] == [GIVEN.trace_id]
    assert taken == []


def test_both_sides_of_a_call_are_written_down_one_within_the_other(stub, desk, taken):
    ended = threading.Semaphore(0)
    tracing.exporter = lambda span: (taken.append(span), ended.release())

    def behaviour(request, context):
        raise errors.DataLossError("gone") if request.name.endswith("b") else errors.NotFoundError("no")

    with tracing.entered(GIVEN):
        stub.GetCampaign(GET)
        desk.get = behaviour
        with pytest.raises(grpc.RpcError):
            stub.GetCampaign(GET)
        with pytest.raises(grpc.RpcError):
            next(stub.WatchCampaign(campaign_service_pb2.WatchCampaignRequest(name="campaigns/b")))
    for _ in range(6):
        assert ended.acquire(timeout=30)

    by_side = {side: [span for span in taken if span.kind == side] for side in ("client", "server")}
    assert [span.error for span in by_side["client"]] == ["", "NOT_FOUND", "DATA_LOSS"]
    assert [span.error for span in by_side["server"]] == ["", "", "DATA_LOSS"], (
        "a wrong name is no fault of it"
    )
    for outer, inner in zip(by_side["client"], by_side["server"], strict=True):
        assert outer.name == inner.name
        assert inner.context.parent_id == outer.context.span_id
        assert outer.context.parent_id == GIVEN.span_id
        assert outer.start_ns <= inner.end_ns
    assert by_side["server"][0].attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": "actuary.v1.CampaignService/GetCampaign",
        "rpc.response.status_code": "OK",
        "actuary.resource": "campaigns/a",
    }


def test_a_program_that_uses_opentelemetry_itself_is_gone_on_with(stub, seen):
    from opentelemetry import trace as api
    from opentelemetry.sdk import trace as sdk

    with (
        sdk.TracerProvider(shutdown_on_exit=False)
        .get_tracer("program")
        .start_as_current_span("its own") as own
    ):
        stub.GetCampaign(GET)
        context = own.get_span_context()
    assert spans.ambient() is None

    assert int(seen[0].trace_id, 16) == context.trace_id
    assert not api.get_current_span().get_span_context().is_valid

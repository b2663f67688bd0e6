"""Jobs as resources, and the conversation with their processes, on a real database."""

from __future__ import annotations

import dataclasses
import datetime

import grpc
import pytest

from actuary import errors
from actuary.jobs import protocol
from actuary.rpc import jobs as job_messages
from actuary.rpc import operations, server, worker
from actuary.rpc import reporter as reporters
from actuary.v1 import (
    annotation_job_pb2,
    annotator_service_pb2,
    job_pb2,
    plan_pb2,
    sampler_service_pb2,
    worker_service_pb2,
    worker_service_pb2_grpc,
)

ANNOTATIONS = operations.JobResource(
    kind="annotate",
    collection="annotationJobs",
    message=annotation_job_pb2.AnnotationJob,
    field="annotation_job",
)
PLANS = operations.JobResource(kind="plan", collection="plans", message=plan_pb2.Plan, field="plan")
NAME = "campaigns/c/annotationJobs/a"


def wanted(job_id: str = "a", **changes) -> annotator_service_pb2.CreateAnnotationJobRequest:
    job = annotation_job_pb2.AnnotationJob(items="campaigns/c/items", task={"instruction": "?"}, **changes)
    return annotator_service_pb2.CreateAnnotationJobRequest(
        parent="campaigns/c", annotation_job_id=job_id, annotation_job=job
    )


def named(name: str = NAME) -> annotator_service_pb2.GetAnnotationJobRequest:
    return annotator_service_pb2.GetAnnotationJobRequest(name=name)


def test_what_is_created_is_what_was_asked_for_with_a_status(table):
    job = ANNOTATIONS.create(table, wanted(cap_micros=2**60, worker_count=3))

    assert (job.name, job.items, job.cap_micros, job.worker_count) == (NAME, "campaigns/c/items", 2**60, 3)
    assert job.status.state == job_pb2.JOB_STATE_PENDING
    assert job.status.create_time.seconds > 0
    assert not job.status.HasField("end_time")
    assert table.get(NAME).cap_micros == 2**60


def test_creating_it_twice_is_creating_it_once(table):
    first = ANNOTATIONS.create(table, wanted())

    assert ANNOTATIONS.create(table, wanted(name="ignored", status={"etag": "v9"})) == first


def test_another_content_under_the_name_is_refused_with_the_fields_that_differ(table):
    ANNOTATIONS.create(table, wanted())
    request = wanted(worker_count=2)
    request.annotation_job.task.instruction = "!"

    with pytest.raises(errors.AlreadyExistsError) as caught:
        ANNOTATIONS.create(table, request)

    assert caught.value.metadata["fields"] == "task.instruction,worker_count"


def test_a_job_without_a_cap_has_none(table):
    assert not ANNOTATIONS.create(table, wanted()).HasField("cap_micros")
    assert table.get(NAME).cap_micros is None


@pytest.mark.parametrize(
    ("parent", "job_id"), [("c", "a"), ("campaigns/c", "A"), ("campaigns/c/plans/p", "a")]
)
def test_a_name_that_is_none_is_refused(parent, job_id, table):
    request = wanted(job_id)
    request.parent = parent

    with pytest.raises(errors.InvalidInputError):
        ANNOTATIONS.create(table, request)


def test_a_name_that_is_not_there_is_said(table):
    with pytest.raises(errors.NotFoundError, match="no AnnotationJob campaigns/c/annotationJobs/a"):
        ANNOTATIONS.get(table, named())


def test_the_name_of_another_kind_is_refused(table):
    with pytest.raises(errors.InvalidInputError, match="annotationJobs"):
        ANNOTATIONS.get(table, named("campaigns/c/plans/a"))


def test_pages_together_are_all_jobs_of_the_campaign_and_the_kind(table):
    for job_id in "abcde":
        ANNOTATIONS.create(table, wanted(job_id))
    PLANS.create(
        table, sampler_service_pb2.CreatePlanRequest(parent="campaigns/c", plan_id="p", plan={"items": "i"})
    )
    found, token = [], ""
    while True:
        request = annotator_service_pb2.ListAnnotationJobsRequest(
            parent="campaigns/c", page_size=2, page_token=token
        )
        page, token = ANNOTATIONS.list(table, request)
        found += [job.name[-1] for job in page]
        if not token:
            break

    assert found == list("abcde")


def test_cancelling_is_asked_once_and_changes_nothing_that_has_ended(table):
    ANNOTATIONS.create(table, wanted())

    ANNOTATIONS.cancel(table, named())
    ANNOTATIONS.cancel(table, named())

    record = table.get(NAME)
    assert (record.cancel_requested, record.version) == (True, 2)
    ended = table.update(_with(record, state="CANCELLED"), record.version)
    assert ANNOTATIONS.cancel(table, named()).status.state == job_pb2.JOB_STATE_CANCELLED
    assert table.get(NAME) == ended


def test_results_of_a_job_are_in_its_message(table):
    request = sampler_service_pb2.CreatePlanRequest(
        parent="campaigns/c", plan_id="p", plan={"items": "i", "seed": 2**63, "classes": ["鳥"]}
    )
    PLANS.create(table, request)
    record = table.get("campaigns/c/plans/p")
    results = {"stratum_counts": {"audit": 100, "drawn": "7"}, "risks": "campaigns/c/plans/p/risks"}
    table.update(_with(record, progress={"results": results, "item_count": 107}), record.version)

    plan = PLANS.get(table, sampler_service_pb2.GetPlanRequest(name="campaigns/c/plans/p"))

    assert dict(plan.stratum_counts) == {"audit": 100, "drawn": 7}
    assert (plan.risks, plan.seed, list(plan.classes)) == ("campaigns/c/plans/p/risks", 2**63, ["鳥"])
    assert plan.status.progress.item_count == 107


def test_a_job_that_failed_says_why(table):
    ANNOTATIONS.create(table, wanted())
    record = table.get(NAME)
    error = job_messages.error_dict(errors.UnsupportedError("no images", metadata={"model": "null"}))
    table.update(_with(record, state="FAILED", error=error), record.version)

    status = ANNOTATIONS.get(table, named()).status

    assert (status.state, status.error.message) == (job_pb2.JOB_STATE_FAILED, "no images")


def test_times_keep_their_zone(table):
    ANNOTATIONS.create(table, wanted())
    record = table.get(NAME)
    start = datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.timezone(datetime.timedelta(hours=9)))
    table.update(_with(record, start_time=start), record.version)

    assert ANNOTATIONS.get(table, named()).status.start_time.ToJsonString() == "2026-01-01T18:00:00Z"


@pytest.fixture
def address(table):
    registration = server.ServiceRegistration(
        name="actuary.v1.WorkerService",
        servicer=worker.WorkerServicer(table),
        add=worker_service_pb2_grpc.add_WorkerServiceServicer_to_server,
    )
    with server.Server([registration]) as served:
        yield served.address
        served.stop(0)


@pytest.fixture
def reporter(address):
    opened = reporters.GrpcReporter(address, NAME, 0, 0)
    yield opened
    opened.close()


def test_a_report_is_kept_and_answered_with_an_allowance(table, reporter):
    ANNOTATIONS.create(table, wanted(cap_micros=1000))

    allowance = reporter.report(
        protocol.Progress(
            outcome_counts={"LABELLED": 5},
            tokens_in=7,
            tokens_out=2,
            cost_micros=300,
            retries={"UNAVAILABLE": 1},
            next_slice_micros=900,
            phase="read",
            item_count=9,
        )
    )

    assert allowance == protocol.Allowance(money_micros=1000, next_report_seconds=0.5, stop=False)
    progress = job_messages.progress_message(table.totals(NAME))
    assert (progress.input_token_count, progress.output_token_count, progress.item_count) == (7, 2, 9)
    assert dict(progress.outcome_counts) == {"LABELLED": 5}
    assert dict(progress.retry_counts) == {"UNAVAILABLE": 1}
    assert progress.done_count == 5


def test_a_job_without_a_cap_allows_everything(table, reporter):
    ANNOTATIONS.create(table, wanted())

    assert reporter.report(protocol.Progress(next_slice_micros=10**12)).money_micros is None


def test_a_cancelled_job_tells_its_processes_to_stop(table, reporter):
    ANNOTATIONS.create(table, wanted())
    ANNOTATIONS.cancel(table, named())

    assert reporter.report(protocol.Progress()).stop


def test_a_report_for_no_job_is_refused(reporter):
    with pytest.raises(errors.NotFoundError):
        reporter.report(protocol.Progress())


def test_a_service_that_is_gone_is_unavailable(table):
    registration = server.ServiceRegistration(
        name="actuary.v1.WorkerService",
        servicer=worker.WorkerServicer(table),
        add=worker_service_pb2_grpc.add_WorkerServiceServicer_to_server,
    )
    with server.Server([registration]) as served:
        address = served.address
        served.stop(0)
    gone = reporters.GrpcReporter(address, NAME, 0, 0)

    with pytest.raises(errors.UnavailableError):
        gone.report(protocol.Progress())
    gone.close()


def test_a_job_that_names_no_service_is_reported_to_nobody():
    spec = protocol.JobSpec(
        name=NAME,
        kind="annotate",
        campaign="campaigns/c",
        indexes=1,
        parallelism=1,
        artifact=NAME,
        store_uri="file:///nowhere",
    )

    assert reporters.reporter(spec, 0, 0).report(protocol.Progress()).money_micros is None


def test_reports_break_no_rule_at_their_bounds(reporter, table):
    ANNOTATIONS.create(table, wanted())

    reporter.report(protocol.Progress(phase="標" * 100))


def test_a_report_that_is_wrong_is_refused_with_every_reason(address):
    with grpc.insecure_channel(address) as plain:
        stub = worker_service_pb2_grpc.WorkerServiceStub(plain)
        with pytest.raises(grpc.RpcError) as caught:
            stub.ReportWork(worker_service_pb2.ReportWorkRequest(index=-1, seconds=float("nan")))

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def _with(record, **changes):
    return dataclasses.replace(record, **changes)

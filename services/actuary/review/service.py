"""gRPC of the review service: protobuf to the desk's values and back, nothing else."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

import grpc
from google.protobuf import duration_pb2

from actuary import errors, names
from actuary.review import desk as desks
from actuary.rpc import statuses
from actuary.state import reviews
from actuary.v1 import (
    campaign_pb2,
    job_pb2,
    review_batch_pb2,
    review_service_pb2,
    review_service_pb2_grpc,
)

_STATES = {
    "RUNNING": job_pb2.JOB_STATE_RUNNING,
    "SUCCEEDED": job_pb2.JOB_STATE_SUCCEEDED,
    "FAILED": job_pb2.JOB_STATE_FAILED,
    "CANCELLED": job_pb2.JOB_STATE_CANCELLED,
}


_LEAST_PILOT = 2
"""Items of the pilot without which nothing has a variance."""


class ReviewServicer(review_service_pb2_grpc.ReviewServiceServicer):
    """Serves `actuary.v1.ReviewService`."""

    def __init__(self, desk: desks.Desk) -> None:
        self._desk = desk

    def CreateReviewBatch(  # noqa: N802
        self, request: review_service_pb2.CreateReviewBatchRequest, context: grpc.ServicerContext
    ) -> review_batch_pb2.ReviewBatch:
        """Opens a batch; opening the same one twice is success."""
        names.parse_campaign(request.parent, "parent")
        name = names.child(request.parent, names.BATCHES, request.review_batch_id)
        spec = _spec(name, request.parent, request.review_batch, self._desk.settings.lease_seconds)
        return self._message(self._desk.open_batch(spec, request.request_id))

    def GetReviewBatch(  # noqa: N802
        self, request: review_service_pb2.GetReviewBatchRequest, context: grpc.ServicerContext
    ) -> review_batch_pb2.ReviewBatch:
        """Returns a batch."""
        names.parse_child(request.name, names.BATCHES)
        return self._message(self._desk.get(request.name))

    def ListReviewBatches(  # noqa: N802
        self, request: review_service_pb2.ListReviewBatchesRequest, context: grpc.ServicerContext
    ) -> review_service_pb2.ListReviewBatchesResponse:
        """Returns a page of a campaign's batches."""
        names.parse_campaign(request.parent, "parent")
        records, token = self._desk.list(request.parent, request.page_size, request.page_token)
        return review_service_pb2.ListReviewBatchesResponse(
            review_batches=[self._message(record) for record in records], next_page_token=token
        )

    def CancelReviewBatch(  # noqa: N802
        self, request: review_service_pb2.CancelReviewBatchRequest, context: grpc.ServicerContext
    ) -> review_batch_pb2.ReviewBatch:
        """Stops a batch; the answers that came stay."""
        names.parse_child(request.name, names.BATCHES)
        return self._message(self._desk.cancel(request.name))

    def ResumeReviewBatch(  # noqa: N802
        self, request: review_service_pb2.ResumeReviewBatchRequest, context: grpc.ServicerContext
    ) -> review_batch_pb2.ReviewBatch:
        """Takes a batch up again that failed or was cancelled."""
        names.parse_child(request.name, names.BATCHES)
        return self._message(self._desk.take_up(request.name))

    def CloseReviewBatch(  # noqa: N802
        self, request: review_service_pb2.CloseReviewBatchRequest, context: grpc.ServicerContext
    ) -> review_batch_pb2.ReviewBatch:
        """Ends a batch early with what there is."""
        names.parse_child(request.name, names.BATCHES)
        record = self._desk.get(request.name)
        least = min(_LEAST_PILOT, record.item_count)
        if record.running and record.spec["wave"] == 0 and record.answered_count < least:
            raise errors.PreconditionError(
                f"{request.name} is the pilot: expected answers to {least} items at least, got "
                f"{record.answered_count}. Nothing can be estimated from fewer: answer some, better 25, "
                "or cancel the campaign.",
                reason="NO_PILOT",
            )
        return self._message(self._desk.close(request.name))

    def AcquireTasks(  # noqa: N802
        self, request: review_service_pb2.AcquireTasksRequest, context: grpc.ServicerContext
    ) -> review_service_pb2.AcquireTasksResponse:
        """Gives a reviewer tasks."""
        names.parse_child(request.name, names.BATCHES)
        tasks = _task_ids(request.tasks, request.name, "tasks[{}]")
        acquired = self._desk.acquire(request.name, request.reviewer, request.max_tasks or 1, tasks=tasks)
        spec = self._desk.spec(request.name)
        return review_service_pb2.AcquireTasksResponse(
            tasks=[_task(request.name, task) for task in acquired.tasks],
            task=_question(spec),
            instructions=spec.instructions,
            done=acquired.done,
            held_count=acquired.held,
            other_person_count=acquired.other_person,
        )

    def SubmitAnswers(  # noqa: N802
        self, request: review_service_pb2.SubmitAnswersRequest, context: grpc.ServicerContext
    ) -> review_service_pb2.SubmitAnswersResponse:
        """Takes answers, each on its own."""
        names.parse_child(request.name, names.BATCHES)
        _check_answers(request)
        tasks = _task_ids((a.task for a in request.answers), request.name, "answers[{}].task")
        answers = [
            desks.Answer(
                task=task, label=None if answer.cannot_tell else answer.label, seconds=answer.seconds
            )
            for task, answer in zip(tasks, request.answers, strict=True)
        ]
        results = self._desk.submit(request.name, request.reviewer, answers)
        return review_service_pb2.SubmitAnswersResponse(
            results=[
                review_service_pb2.AnswerResult(
                    task=answer.task,
                    accepted=result.accepted,
                    reason="" if result.error is None else str(result.error),
                )
                for answer, result in zip(request.answers, results, strict=True)
            ]
        )

    def ReleaseTasks(  # noqa: N802
        self, request: review_service_pb2.ReleaseTasksRequest, context: grpc.ServicerContext
    ) -> review_service_pb2.ReleaseTasksResponse:
        """Takes tasks back."""
        names.parse_child(request.name, names.BATCHES)
        tasks = _task_ids(request.tasks, request.name, "tasks[{}]")
        self._desk.release(request.name, request.reviewer, tasks)
        return review_service_pb2.ReleaseTasksResponse()

    def _message(self, record: reviews.BatchRecord) -> review_batch_pb2.ReviewBatch:
        spec = desks.BatchSpec.from_json(record.spec)
        progress = None if record.state in reviews.FINAL else self._desk.progress(record.name)
        message = review_batch_pb2.ReviewBatch(
            name=record.name,
            plan=spec.plan,
            items=spec.items,
            task=_question(spec),
            review=campaign_pb2.Review(
                mode=spec.mode,
                replay_error_rate=spec.error_rate,
                instructions=spec.instructions,
                show_machine_label=spec.show_machine_label,
                lease_duration=duration_pb2.Duration(seconds=int(spec.lease_seconds)),
            ),
            label_cap=spec.label_cap,
            truth=spec.truth,
            seed=spec.seed,
            wave=spec.wave,
            exemplars=spec.exemplars,
            gold_count=spec.gold,
            gold_offset=spec.gold_offset,
            label_count=record.label_count,
            open_task_count=progress.open_tasks if progress else 0,
            held_task_count=progress.held_tasks if progress else 0,
        )
        status = message.status
        status.state = _STATES[record.state]
        if record.error:
            status.error.CopyFrom(statuses.status_from_error(record.error))
        for field, time in (("create_time", record.create_time), ("end_time", record.end_time)):
            if time is not None:
                getattr(status, field).FromDatetime(time.astimezone(datetime.UTC).replace(tzinfo=None))
        if record.create_time is not None:
            status.start_time.CopyFrom(status.create_time)
        status.progress.item_count = record.item_count
        status.progress.done_count = record.answered_count
        status.artifact = record.artifact or names.artifact(record.name)
        status.etag = f"s{record.sequence}-{record.state}"
        return message


def _spec(
    name: str, campaign: str, batch: review_batch_pb2.ReviewBatch, lease_seconds: float
) -> desks.BatchSpec:
    review = batch.review
    lease = review.lease_duration.ToTimedelta().total_seconds()
    return desks.BatchSpec(
        name=name,
        campaign=campaign,
        plan=batch.plan,
        items=batch.items,
        wave=batch.wave,
        label_cap=batch.label_cap,
        classes=tuple(
            desks.ClassDefinition(name=c.name, description=c.description) for c in batch.task.classes
        ),
        instruction=batch.task.instruction,
        instructions=review.instructions,
        mode=review.mode or "people",
        truth=batch.truth,
        seed=batch.seed,
        error_rate=review.replay_error_rate,
        lease_seconds=lease or lease_seconds,
        show_machine_label=review.show_machine_label,
        exemplars=batch.exemplars,
        gold=batch.gold_count,
        gold_offset=batch.gold_offset,
    )


def _task_ids(tasks: Iterable[str], batch: str, field: str) -> list[str]:
    """The ids of tasks by their names, all of which have to be the batch's; `field` is where they stand."""
    found, ids = [], []
    for place, task in enumerate(tasks):
        where = field.format(place)
        parent, task_id = names.parse_task(task, where)
        ids.append(task_id)
        if parent != batch:
            description = f"expected a task of {batch}, got {task}: it is not yours here"
            found.append(errors.Violation(where, description))
    if found:
        raise errors.InvalidInputError.of(found)
    return ids


def _check_answers(request: review_service_pb2.SubmitAnswersRequest) -> None:
    """Refuses answers that say two things."""
    found = [
        errors.Violation(
            f"answers[{place}].label",
            f"expected a label or cannot_tell, got both ({answer.label!r}): send one of them",
        )
        for place, answer in enumerate(request.answers)
        if answer.cannot_tell and answer.label
    ]
    if found:
        raise errors.InvalidInputError.of(found)


def _question(spec: desks.BatchSpec) -> campaign_pb2.Task:
    return campaign_pb2.Task(
        instruction=spec.instruction,
        classes=[campaign_pb2.ClassDefinition(name=c.name, description=c.description) for c in spec.classes],
    )


def _task(batch: str, task: desks.Task) -> review_service_pb2.ReviewTask:
    message = review_service_pb2.ReviewTask(
        name=names.task(batch, task.id), item_id=task.item_id, machine_label=task.machine_label or ""
    )
    if task.content is not None:
        message.text = task.content.text or ""
        message.image = task.content.image or b""
        message.question = task.content.question or ""
    message.lease_end_time.FromDatetime(task.lease_end_time.astimezone(datetime.UTC).replace(tzinfo=None))
    return message

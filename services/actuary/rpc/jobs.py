"""From the row of a Job to its `JobStatus`; the same for every kind of Job.

Which fields a resource has beside its status, and how it is created, is `operations`.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from google.protobuf import timestamp_pb2

from actuary.rpc import statuses
from actuary.state import jobs as job_state
from actuary.v1 import job_pb2

error_dict = statuses.error_dict
status_from_error = statuses.status_from_error


def etag(record: job_state.JobRecord) -> str:
    """What changes with every change of the Job."""
    return f"v{record.version}"


def status_message(record: job_state.JobRecord) -> job_pb2.JobStatus:
    """Where a Job stands, as the protos say it."""
    status = job_pb2.JobStatus(
        state=job_pb2.JobState.Value(f"JOB_STATE_{record.state}"),
        progress=progress_message(record.progress),
        cost_micros=record.cost_micros,
        artifact=record.artifact,
        etag=etag(record),
    )
    if record.error:
        status.error.CopyFrom(statuses.status_from_error(record.error))
    set_time(status.create_time, record.create_time)
    set_time(status.start_time, record.start_time)
    set_time(status.end_time, record.end_time)
    return status


def progress_message(progress: Mapping[str, Any]) -> job_pb2.JobProgress:
    """How far a Job is; figures that are missing are 0."""
    outcomes = _counts(progress.get("outcome_counts"))
    return job_pb2.JobProgress(
        item_count=int(progress.get("item_count", 0)),
        done_count=int(progress.get("done_count", sum(outcomes.values()))),
        outcome_counts=outcomes,
        retry_counts=_counts(progress.get("retry_counts")),
        input_token_count=int(progress.get("input_token_count", 0)),
        output_token_count=int(progress.get("output_token_count", 0)),
        restart_count=int(progress.get("restart_count", 0)),
        phase=str(progress.get("phase", "")),
        failure=str(progress.get("failure", "")),
        waiting=str(progress.get("waiting", "")),
    )


def set_time(field: timestamp_pb2.Timestamp, time: datetime.datetime | None) -> None:
    """Sets a time; None leaves the field absent."""
    if time is not None:
        field.FromDatetime(time.astimezone(datetime.UTC).replace(tzinfo=None))


def _counts(value: Mapping[str, Any] | None) -> dict[str, int]:
    return {key: int(count) for key, count in (value or {}).items()}

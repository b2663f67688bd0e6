"""The Jobs of a campaign at the services that do them, as one interface: create, look, cancel.

The services are reached over gRPC, also when they share the process; import and report are the campaign's own
Jobs and live in its own table. What comes back is a plain `Child`, so that the controller knows no protobuf.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from google.protobuf import json_format, message

from actuary import names
from actuary.campaign import policy, requests
from actuary.rpc import channels
from actuary.v1 import (
    annotator_service_pb2,
    annotator_service_pb2_grpc,
    critic_service_pb2,
    critic_service_pb2_grpc,
    job_pb2,
    review_service_pb2,
    review_service_pb2_grpc,
    sampler_service_pb2,
    sampler_service_pb2_grpc,
    trainer_service_pb2,
    trainer_service_pb2_grpc,
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A Job as its service sees it."""

    state: str
    item_count: int = 0
    done_count: int = 0
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    cost_micros: int = 0
    label_count: int = 0
    """Human labels used, by a review batch."""
    error: Mapping[str, Any] | None = None
    phase: str = ""
    failure: str = ""
    """Why one item failed, with its id."""
    waiting: str = ""
    """Why it does not get on, in words."""
    tokens_in: int = 0
    tokens_out: int = 0
    resource: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """The output-only figures of the resource, in JSON form: intervals, points of a quote."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Api:
    """How one kind of Job is created, read and cancelled."""

    create: Callable[[str, str, message.Message], message.Message]
    get: Callable[[str], message.Message]
    cancel: Callable[[str], message.Message]


class Children:
    """Clients of the services that a campaign drives."""

    def __init__(self, channel_of: Callable[[str], grpc.Channel]) -> None:
        """`channel_of` returns the channel to a service by its short name, `annotator` for example."""
        annotator = annotator_service_pb2_grpc.AnnotatorServiceStub(channel_of("annotator"))
        critic = critic_service_pb2_grpc.CriticServiceStub(channel_of("critic"))
        sampler = sampler_service_pb2_grpc.SamplerServiceStub(channel_of("sampler"))
        review = self._review = review_service_pb2_grpc.ReviewServiceStub(channel_of("review"))
        trainer = trainer_service_pb2_grpc.TrainerServiceStub(channel_of("trainer"))
        kind = policy.Kind
        self._apis: dict[policy.Kind, _Api] = {
            kind.ANNOTATE: _api(annotator, annotator_service_pb2, "AnnotationJob", "annotation_job"),
            kind.CRITIQUE: _api(critic, critic_service_pb2, "CritiqueJob", "critique_job"),
            kind.PLAN: _api(sampler, sampler_service_pb2, "Plan", "plan"),
            kind.RISK: _api(sampler, sampler_service_pb2, "RiskModel", "risk_model"),
            kind.QUOTE: _api(sampler, sampler_service_pb2, "Quote", "quote"),
            kind.ESTIMATE: _api(sampler, sampler_service_pb2, "Estimate", "estimate"),
            kind.CERTIFY: _api(sampler, sampler_service_pb2, "Certificate", "certificate"),
            kind.REVIEW: _api(review, review_service_pb2, "ReviewBatch", "review_batch"),
            kind.TRAIN: _api(trainer, trainer_service_pb2, "TrainingJob", "training_job"),
        }

    def create(self, campaign: str, kind: policy.Kind, job_id: str, resource: message.Message) -> Child:
        """Creates a Job; creating it again is success."""
        return _child(_called(lambda: self._apis[kind].create(campaign, job_id, resource)))

    def get(self, kind: policy.Kind, name: str) -> Child:
        """Looks at a Job."""
        return _child(_called(lambda: self._apis[kind].get(name)))

    def cancel(self, kind: policy.Kind, name: str) -> Child:
        """Asks a Job to stop."""
        return _child(_called(lambda: self._apis[kind].cancel(name)))

    def take_up(self, name: str) -> Child:
        """Takes a review batch up again that failed or was cancelled; its answers still count."""
        request = review_service_pb2.ResumeReviewBatchRequest(name=name)
        return _child(_called(lambda: self._review.ResumeReviewBatch(request)))

    @staticmethod
    def knows(kind: policy.Kind) -> bool:
        """Whether a kind is another service's; the rest are the campaign's own."""
        return kind not in (policy.Kind.IMPORT, policy.Kind.REPORT)


def _api(stub: Any, module: Any, resource: str, field: str) -> _Api:
    create_request = getattr(module, f"Create{resource}Request")
    get_request = getattr(module, f"Get{resource}Request")
    cancel_request = getattr(module, f"Cancel{resource}Request")

    def create(parent: str, job_id: str, value: message.Message) -> message.Message:
        request = create_request(parent=parent, **{f"{field}_id": job_id, field: value})
        answer: message.Message = getattr(stub, f"Create{resource}")(request)
        return answer

    def get(name: str) -> message.Message:
        answer: message.Message = getattr(stub, f"Get{resource}")(get_request(name=name))
        return answer

    def cancel(name: str) -> message.Message:
        answer: message.Message = getattr(stub, f"Cancel{resource}")(cancel_request(name=name))
        return answer

    return _Api(create, get, cancel)


def _called(call: Callable[[], message.Message]) -> message.Message:
    try:
        return call()
    except grpc.RpcError as error:
        raise channels.errors_from(error) from error


def _child(resource: Any) -> Child:
    status: job_pb2.JobStatus = resource.status
    progress = status.progress
    form = json_format.MessageToDict(resource, preserving_proto_field_name=True)
    error = None
    if status.HasField("error"):
        error = error_of(status.error)
    return Child(
        state=job_pb2.JobState.Name(status.state).removeprefix("JOB_STATE_"),
        item_count=progress.item_count,
        done_count=progress.done_count,
        counts=dict(progress.outcome_counts),
        cost_micros=status.cost_micros,
        label_count=getattr(resource, "label_count", 0)
        if "label_cap" in resource.DESCRIPTOR.fields_by_name
        else 0,
        error=error,
        phase=progress.phase,
        failure=progress.failure,
        waiting=progress.waiting,
        tokens_in=progress.input_token_count,
        tokens_out=progress.output_token_count,
        resource={name: form[name] for name in _figures(resource) if name in form},
    )


def error_of(status: Any) -> dict[str, Any]:
    """Returns the plain form of a `google.rpc.Status`: code's name, reason, message."""
    from google.rpc import code_pb2, error_details_pb2

    reason = ""
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            reason = info.reason
    return {"code": code_pb2.Code.Name(status.code), "reason": reason, "message": status.message}


def _figures(resource: message.Message) -> list[str]:
    from google.api import field_behavior_pb2

    found = []
    for field in resource.DESCRIPTOR.fields:
        behaviours = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
        if field_behavior_pb2.OUTPUT_ONLY in behaviours and field.name != "status":
            found.append(field.name)
    return found


def name_of(campaign: str, step: policy.Step, attempt: int) -> str:
    """Returns the resource name of the Job that does a step."""
    return names.child(campaign, requests.COLLECTIONS[step.kind], names.retry_id(step.key, attempt))

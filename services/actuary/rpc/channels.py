"""Channels to services: retries, deadlines, keepalive, ids and trace; their failed calls as `ActuaryError`.

What is retried is data, not code: a service config that gRPC itself obeys. Only UNAVAILABLE is retried, with
exponential pauses and jitter, and only methods that may be called twice; nothing is hedged.

Statuses become errors where the caller says so (`errors_from`), since a stream breaks in the middle.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
from google.rpc import status_pb2

from actuary import errors, spans, tracing
from actuary.rpc import requests, settings, statuses

_JOB_VERBS = ("Create{0}", "Get{0}", "List{1}", "Cancel{0}")


def _jobs(*resources: tuple[str, str]) -> tuple[str, ...]:
    return tuple(verb.format(*resource) for resource in resources for verb in _JOB_VERBS)


IDEMPOTENT: Mapping[str, Sequence[str]] = {
    "actuary.v1.CampaignService": (
        "GetCampaign",
        "ListCampaigns",
        "WatchCampaign",
        "ApproveCampaign",
        "PauseCampaign",
        "CancelCampaign",
        "TopUpCampaign",  # by its request_id
    ),
    "actuary.v1.AnnotatorService": _jobs(("AnnotationJob", "AnnotationJobs")),
    "actuary.v1.CriticService": _jobs(("CritiqueJob", "CritiqueJobs")),
    "actuary.v1.SamplerService": (
        *_jobs(
            ("RiskModel", "RiskModels"),
            ("Quote", "Quotes"),
            ("Plan", "Plans"),
            ("Estimate", "Estimates"),
            ("Certificate", "Certificates"),
        ),
        "Allocate",  # these follow from their request alone
        "Estimate",
        "QuotePrior",
    ),
    "actuary.v1.ReviewService": (
        *_jobs(("ReviewBatch", "ReviewBatches")),
        "ResumeReviewBatch",
        "CloseReviewBatch",
        "SubmitAnswers",
        "ReleaseTasks",
    ),
    "actuary.v1.TrainerService": _jobs(("TrainingJob", "TrainingJobs")),
    "actuary.v1.WorkerService": ("ReportWork",),
}
"""Methods that may be called twice, by service."""

ONCE: Mapping[str, Sequence[str]] = {
    "actuary.v1.CampaignService": (
        "CreateCampaign",  # without an id the second call makes a second campaign
        "ResumeCampaign",  # each resume of a failed campaign is one more attempt
    ),
    "actuary.v1.ReviewService": ("AcquireTasks",),  # the second call takes further tasks
}
"""Methods that may not."""


def channel(address: str, options: settings.RpcSettings | None = None) -> grpc.Channel:
    """Opens a channel; nothing is connected before the first call.

    Args:
        address: `host:port`.
        options: how calls are made; from the environment by default.
    """
    options = options or settings.RpcSettings()
    inner = grpc.insecure_channel(address, channel_options(options))
    return grpc.intercept_channel(inner, _OnBehalf(options))


def channel_options(options: settings.RpcSettings) -> list[tuple[str, Any]]:
    """Settings of a channel, in grpcio's form."""
    return [
        ("grpc.max_receive_message_length", options.max_message_bytes),
        ("grpc.max_send_message_length", options.max_message_bytes),
        ("grpc.service_config", json.dumps(service_config(options))),
        ("grpc.enable_retries", 1),
        ("grpc.keepalive_time_ms", int(options.keepalive_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.initial_reconnect_backoff_ms", 100),
        # gRPC's name for how long one attempt to connect may take
        ("grpc.min_reconnect_backoff_ms", int(options.connect_seconds * 1000)),
        ("grpc.max_reconnect_backoff_ms", int(options.retry_longest_seconds * 1000)),
    ]


def service_config(options: settings.RpcSettings) -> dict[str, Any]:
    """The retry policy, as gRPC's service config (gRFC A6)."""
    names = [
        {"service": service, "method": method}
        for service, methods in IDEMPOTENT.items()
        for method in methods
    ]
    policy = {
        "maxAttempts": options.retry_attempts,
        "initialBackoff": f"{options.retry_first_seconds:.3f}s",
        "maxBackoff": f"{options.retry_longest_seconds:.3f}s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    config: dict[str, Any] = {"methodConfig": [{"name": names}]}
    if options.retry_attempts > 1:  # gRPC takes no policy of one attempt
        config["methodConfig"][0]["retryPolicy"] = policy
    return config


def errors_from(error: grpc.RpcError) -> errors.ActuaryError:
    """The error that a failed call tells of, of the class that the server raised."""
    call: Any = error  # what grpcio raises is the call as well
    code: grpc.StatusCode = call.code()
    for key, value in call.trailing_metadata() or ():
        if key == statuses.DETAILS_KEY:
            return statuses.error_from_status(status_pb2.Status.FromString(value))
    status = status_pb2.Status(code=code.value[0], message=call.details() or code.name)
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        status.message = f"no answer ({status.message}): is the server up, and is this its address?"
    return statuses.error_from_status(status)


@dataclasses.dataclass(frozen=True, slots=True)
class _Details:
    """Of a call that is made, as grpcio's interceptors hand them on."""

    method: str
    timeout: float | None
    metadata: Sequence[tuple[str, str | bytes]] | None
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


class _OnBehalf(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
):
    """Gives each call a deadline, and id, remaining time and trace of what it is made on behalf of."""

    def __init__(self, options: settings.RpcSettings) -> None:
        self._options = options

    def intercept_unary_unary(
        self, continuation: Callable[[Any, Any], Any], client_call_details: Any, request: Any
    ) -> Any:
        """Completes the details of a call."""
        return self._made(continuation, client_call_details, request, self._options.deadline_seconds)

    def intercept_unary_stream(
        self, continuation: Callable[[Any, Any], Any], client_call_details: Any, request: Any
    ) -> Any:
        """Completes the details of a stream."""
        return self._made(continuation, client_call_details, request, self._options.stream_deadline_seconds)

    def _made(self, continuation: Callable[[Any, Any], Any], given: Any, request: Any, seconds: float) -> Any:
        if any(key in tracing.KEYS for key, _ in given.metadata or ()):
            return continuation(self._details(given, seconds, {}), request)
        trace = tracing.below(tracing.current() or spans.ambient())
        start = time.time_ns()
        made = continuation(self._details(given, seconds, trace.carrier()), request)
        if tracing.recording(trace):
            made.add_done_callback(lambda done: _record(given.method, trace, start, done))
        return made

    def _details(self, given: Any, default_seconds: float, carrier: Mapping[str, str]) -> _Details:
        call = requests.current.get()
        timeout = default_seconds if given.timeout is None else given.timeout
        metadata = [*(given.metadata or ()), *carrier.items()]
        if not any(key == requests.REQUEST_ID_KEY for key, _ in metadata):
            request_id = os.urandom(8).hex() if call is None else call.request_id
            metadata.append((requests.REQUEST_ID_KEY, request_id))
        return _Details(
            method=given.method,
            timeout=min(timeout, requests.seconds_left()),
            metadata=metadata,
            credentials=given.credentials,
            wait_for_ready=given.wait_for_ready,
            compression=given.compression,
        )


def _record(method: str, trace: tracing.Context, start_ns: int, done: Any) -> None:
    """Hands a call that has ended to whoever writes down what took how long."""
    name, code = method.lstrip("/"), done.code().name
    tracing.record(
        tracing.Span(
            name=name,
            context=trace,
            kind="client",
            start_ns=start_ns,
            end_ns=time.time_ns(),
            attributes={
                "rpc.system.name": "grpc",
                "rpc.method": name,
                "rpc.response.status_code": code,
            },
            error="" if code == "OK" else code,
        )
    )

"""What surrounds every handler of a server: streams' places, deadlines, rules, errors, metrics, logs, trace.

    gate -> deadline -> rules of fields -> the handler
    errors as statuses, one metric and span a call, one log line a failed call around it all

Handlers are wrapped once a method and kept, since grpcio asks for them at every call. The services' own
handlers therefore deal in requests and raise `errors.ActuaryError`; whatever else they raise is INTERNAL to
the caller, with an id that finds the log line, and nothing of what happened inside.
"""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any, NoReturn

import grpc
import structlog
from google.protobuf import message

from actuary import errors, metrics, tracing
from actuary.rpc import requests, settings, statuses, streams, validation

_log = structlog.get_logger("actuary.rpc")

_PACKAGE = "/actuary."
_WAY_OFF = 10 * 365 * 86_400.0
"""A deadline later than this is grpcio's way to say that there is none."""
_NAMES = ("name", "parent", "job", "campaign_id", "risks", "task")
"""Fields that say which resource a request is about, in this order."""
_FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
"""Codes that say that the server failed, not the caller (OpenTelemetry's conventions for gRPC)."""
_HEALTH = "/grpc.health."
"""Served without a thread by its library: nothing to count."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Method:
    service: str
    name: str
    full_name: str


class Interceptor(grpc.ServerInterceptor):  # type: ignore[misc,unused-ignore]
    """The one interceptor of a server."""

    def __init__(
        self, options: settings.RpcSettings, gate: streams.Gate, stream_pool: futures.ThreadPoolExecutor
    ) -> None:
        """`stream_pool` has a thread for each place behind the gate and some for refusals."""
        self._options = options
        self._gate = gate
        self._stream_pool = stream_pool
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any] | None] = {}
        self._children: dict[tuple[_Method, str], Any] = {}

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Returns the wrapped handler of a method."""
        path = handler_call_details.method
        try:
            return self._wrapped[path]
        except KeyError:
            handler = continuation(handler_call_details)
            if handler is None:
                return None  # unknown methods are not kept: callers make up as many as they like
            wrapped = self._wrap(path, handler)
            self._wrapped[path] = wrapped
            return wrapped

    def _wrap(self, path: str, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        if path.startswith(_HEALTH):
            return handler
        _, service, name = path.split("/")
        method = _Method(service.rpartition(".")[2], name, path[1:])
        ours = path.startswith(_PACKAGE)
        if handler.response_streaming:
            make = grpc.stream_stream_rpc_method_handler
            behaviour = handler.stream_stream
            if not handler.request_streaming:
                make = grpc.unary_stream_rpc_method_handler
                behaviour = handler.unary_stream
            served: Any = self._stream(
                method, _known(behaviour), checked=ours and not handler.request_streaming
            )
            return make(served, handler.request_deserializer, handler.response_serializer)
        if handler.request_streaming:
            return handler  # this API has none
        return grpc.unary_unary_rpc_method_handler(
            self._unary(method, _known(handler.unary_unary)),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _unary(
        self, method: _Method, behaviour: Callable[[Any, grpc.ServicerContext], Any]
    ) -> Callable[[Any, grpc.ServicerContext], Any]:
        default = self._options.deadline_seconds
        further = validation.further_of(behaviour)

        def serve(request: message.Message, context: grpc.ServicerContext) -> Any:
            start = time.perf_counter()
            call = _call(context, default)
            token = requests.current.set(call)
            traced = tracing.current_call.set(call.trace)
            failure: BaseException
            try:
                _check_time(call)
                validation.check(request, further=further)
                answer = behaviour(request, context)
                _check_time(call)
            except errors.ActuaryError as error:
                failure = error
            except Exception as error:
                if not context.is_active():  # the caller went away: nobody hears what is said
                    self._ended(method, request, call, "CANCELLED", start)
                    raise
                failure = error
            else:
                self._ended(method, request, call, "OK", start)
                return answer
            finally:
                requests.current.reset(token)
                tracing.current_call.reset(traced)
            self._fail(method, request, context, call, failure, start)

        return serve

    def _stream(
        self, method: _Method, behaviour: Callable[[Any, Any], Iterator[Any]], *, checked: bool
    ) -> Callable[[Any, grpc.ServicerContext], Iterator[Any]]:
        default = self._options.stream_deadline_seconds

        def serve(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            start = time.perf_counter()
            call = _call(context, default)
            end = threading.Event()
            inner = streams.Context(context, end, call.deadline)
            failure: BaseException
            try:
                if not context.add_callback(end.set):
                    self._ended(method, request, call, "CANCELLED", start)
                    return
                with self._gate.enter(end):
                    if checked:
                        validation.check(request)
                    requests.current.set(call)  # grpcio runs each stream in a context of its own thread
                    tracing.current_call.set(call.trace)
                    try:
                        yield from behaviour(request, inner)
                    finally:
                        requests.current.set(None)
                        tracing.current_call.set(None)
                    _check_time(call)
                    self._gate.check()
            except GeneratorExit:
                self._ended(method, request, call, "CANCELLED", start)
                raise
            except errors.ActuaryError as error:
                failure = error
            except Exception as error:
                if not context.is_active():
                    self._ended(method, request, call, "CANCELLED", start)
                    return
                failure = error
            else:
                code = "OK" if context.is_active() else "CANCELLED"
                self._ended(method, request, call, code, start)
                return
            self._fail(method, request, context, call, failure, start)

        # where grpcio looks for a pool other than the server's; its own health service does the same
        serve.experimental_thread_pool = self._stream_pool  # type: ignore[attr-defined]
        return serve

    def _fail(
        self,
        method: _Method,
        request: Any,
        context: grpc.ServicerContext,
        call: requests.Call,
        failure: BaseException,
        start: float,
    ) -> NoReturn:
        """Ends a call with the status of what went wrong, and says so in one line of the log."""
        fields = {
            "service": method.service,
            "method": method.name,
            "resource": _resource(request),
            "request_id": call.request_id,
            "trace_id": call.trace.trace_id,
            "seconds": round(time.perf_counter() - start, 6),
        }
        if isinstance(failure, NotImplementedError):  # what generated servicers raise
            failure = UnimplementedError(f"{method.service} of this server has no {method.name}")
        if isinstance(failure, errors.ActuaryError):
            code = failure.code
            told = failure
        else:
            code = "INTERNAL"
            told = errors.ActuaryError(
                "a fault in the server, not in the request; its log names what happened under request id "
                f"{call.request_id}, trace id {call.trace.trace_id}",
                metadata={"request_id": call.request_id, "trace_id": call.trace.trace_id},
            )
        if code == "INTERNAL":
            _log.error("call failed", code=code, reason="INTERNAL", exc_info=failure, **fields)
        else:
            reason = failure.reason if isinstance(failure, errors.ActuaryError) else code
            _log.warning("call failed", code=code, reason=reason, message=str(failure)[:2000], **fields)
        self._ended(method, request, call, code, start)
        status = statuses.for_trailers(told, request_id=call.request_id, trace_id=call.trace.trace_id)
        context.set_trailing_metadata(((statuses.DETAILS_KEY, status.SerializeToString()),))
        context.abort(statuses.grpc_code(status), status.message)

    def _ended(self, method: _Method, request: Any, call: requests.Call, code: str, start: float) -> None:
        seconds = time.perf_counter() - start
        child = self._children.get((method, code))
        if child is None:
            child = metrics.RPC_SECONDS.labels(service=method.service, method=method.name, code=code)
            self._children[method, code] = child
        child.observe(seconds)
        if tracing.recording(call.trace):
            end = time.time_ns()
            attributes = {
                "rpc.system.name": "grpc",
                "rpc.method": method.full_name,
                "rpc.response.status_code": code,
                "actuary.resource": _resource(request),
            }
            tracing.record(
                tracing.Span(
                    name=method.full_name,
                    context=call.trace,
                    kind="server",
                    start_ns=end - int(seconds * 1e9),
                    end_ns=end,
                    attributes=attributes,
                    error=code if code in _FAULTS else "",
                )
            )


class DeadlineError(errors.ActuaryError):
    """The time of a call was up before it was done."""

    code = "DEADLINE_EXCEEDED"
    default_reason = "DEADLINE_EXCEEDED"


class UnimplementedError(errors.ActuaryError):
    """The service declares the method, this server does not have it."""

    code = "UNIMPLEMENTED"
    default_reason = "UNIMPLEMENTED"


def _call(context: grpc.ServicerContext, default_seconds: float) -> requests.Call:
    left = context.time_remaining()
    if left is None or not math.isfinite(left) or left > _WAY_OFF:
        left = default_seconds
    given = ""
    carrier: dict[str, str] = {}
    for key, value in context.invocation_metadata():
        if key == requests.REQUEST_ID_KEY and isinstance(value, str):
            given = requests.clean_id(value)
        elif key in tracing.KEYS and isinstance(value, str):
            # a tracestate may come in parts
            carrier[key] = f"{carrier[key]},{value}" if key in carrier else value
    return requests.Call(time.monotonic() + left, tracing.below(tracing.parse(carrier)), given)


def _check_time(call: requests.Call) -> None:
    if time.monotonic() >= call.deadline:
        raise DeadlineError(
            "the call's deadline passed before it was done: allow more time, or ask for less. What it did "
            "stays, and calling again is safe where the call is idempotent"
        )


def _known(behaviour: Callable[..., Any] | None) -> Callable[..., Any]:
    """The handler's function; generated code always sets the one that its method's kind says."""
    if behaviour is None:
        raise TypeError("expected a handler with the function of its own kind, got none")
    return behaviour


def _resource(request: Any) -> str:
    for name in _NAMES:
        value = getattr(request, name, "")
        if isinstance(value, str) and value:
            return value[:200]
    return ""

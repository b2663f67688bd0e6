"""Errors of Actuary as gRPC statuses, and back: the one table between the two.

A status carries `ErrorInfo` (reason, domain `actuary`, metadata) and, for wrong input, `BadRequest` with
every violation. It travels in the trailers of a call, which clients cut off at 8 kB by default: what is
longer is shortened here, and says so, rather than lost as a whole. There it has `RequestInfo` too: what the
server's log knows the call by, its id and, as `serving_data`, its trace's.

It neither raises nor logs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import grpc
from google.protobuf import any_pb2, message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from actuary import errors

DOMAIN: Final = "actuary"
DETAILS_KEY: Final = "grpc-status-details-bin"

_TRAILER_BYTES: Final = 7_000
"""What trailers may hold, of the 8 kB that clients take by default; the rest is for keys and the like."""
_MESSAGE_BYTES: Final = 1_200
"""What the status' own message may hold of it, as it is encoded; it travels twice."""
_MORE: Final = "…"

_CLASSES: Final[tuple[type[errors.ActuaryError], ...]] = (
    errors.ActuaryError,
    errors.InvalidInputError,
    errors.NotFoundError,
    errors.AlreadyExistsError,
    errors.ConflictError,
    errors.PreconditionError,
    errors.BudgetExceededError,
    errors.UnsupportedError,
    errors.RefusedError,
    errors.ExhaustedError,
    errors.UnavailableError,
    errors.DataLossError,
)
_BY_REASON: Final = {cls.default_reason: cls for cls in _CLASSES}
_BY_CODE: Final[Mapping[str, type[errors.ActuaryError]]] = {
    "CANCELLED": errors.UnavailableError,
    "UNKNOWN": errors.ActuaryError,
    "INVALID_ARGUMENT": errors.InvalidInputError,
    "DEADLINE_EXCEEDED": errors.UnavailableError,
    "NOT_FOUND": errors.NotFoundError,
    "ALREADY_EXISTS": errors.AlreadyExistsError,
    "PERMISSION_DENIED": errors.RefusedError,
    "RESOURCE_EXHAUSTED": errors.ExhaustedError,
    "FAILED_PRECONDITION": errors.PreconditionError,
    "ABORTED": errors.ConflictError,
    "OUT_OF_RANGE": errors.InvalidInputError,
    "UNIMPLEMENTED": errors.UnsupportedError,
    "INTERNAL": errors.ActuaryError,
    "UNAVAILABLE": errors.UnavailableError,
    "DATA_LOSS": errors.DataLossError,
    "UNAUTHENTICATED": errors.RefusedError,
}
"""What a code means to a caller within Actuary, whoever answered it."""


def error_dict(error: errors.ActuaryError) -> dict[str, Any]:
    """The JSON form in which rows keep an error."""
    form: dict[str, Any] = {
        "code": error.code,
        "reason": error.reason,
        "message": error.message,
        "metadata": error.metadata,
    }
    if isinstance(error, errors.InvalidInputError) and error.violations:
        form["violations"] = [{"field": v.field, "description": v.description} for v in error.violations]
    return form


def status_from_error(form: Mapping[str, Any]) -> status_pb2.Status:
    """The status of an error in its JSON form, uncut: for messages, not for trailers."""
    status = status_pb2.Status(
        code=code_pb2.Code.Value(form.get("code", "INTERNAL")), message=_text(form.get("message", ""))
    )
    metadata = {_text(key): _text(value) for key, value in (form.get("metadata") or {}).items()}
    _add(
        status,
        error_details_pb2.ErrorInfo(
            reason=str(form.get("reason", "")) or "INTERNAL", domain=DOMAIN, metadata=metadata
        ),
    )
    violations = form.get("violations") or ()
    if violations:
        request = error_details_pb2.BadRequest()
        for violation in violations:
            request.field_violations.add(**{name: _text(value) for name, value in violation.items()})
        _add(status, request)
    return status


def _text(value: object) -> str:
    """What protobuf takes: the name of a file may hold what is no Unicode."""
    return str(value).encode(errors="backslashreplace").decode()


def for_trailers(error: errors.ActuaryError, *, request_id: str, trace_id: str) -> status_pb2.Status:
    """The status of an error, short enough for the trailers of a call; the ids are those of the call."""
    call = error_details_pb2.RequestInfo(request_id=request_id, serving_data=trace_id)
    whole = status_from_error(error_dict(error))
    whole.message = _cut(whole.message, _MESSAGE_BYTES)
    _add(whole, call)
    if _travels(whole) <= _TRAILER_BYTES:
        return whole
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)
    for key, value in sorted(error.metadata.items()):
        info.metadata[key] = _cut(value, 200)
        if info.ByteSize() > 1_000:
            del info.metadata[key]
            break
    short = status_pb2.Status(code=whole.code, message=whole.message)
    _add(short, info)
    _add(short, call)
    violations = error.violations if isinstance(error, errors.InvalidInputError) else ()
    request = error_details_pb2.BadRequest()
    room = (_TRAILER_BYTES - _travels(short)) * 3 // 4 - 200  # base64, and the last line
    for i, violation in enumerate(violations):
        request.field_violations.add(field=violation.field, description=_cut(violation.description, 1_000))
        if request.ByteSize() > room:
            del request.field_violations[-1]
            more = f"{len(violations) - i} more violations do not fit into an answer: mend these first"
            request.field_violations.add(field=_MORE, description=more)
            break
    if violations:
        _add(short, request)
    return short


def error_from_status(status: status_pb2.Status) -> errors.ActuaryError:
    """The error that a status tells of; its class is the one that was raised, as far as it can be known.

    A note of the error, which tracebacks show, has the ids by which the server's log is searched.
    """
    code = code_pb2.Code.Name(status.code) if status.code in code_pb2.Code.values() else "UNKNOWN"
    info = error_details_pb2.ErrorInfo()
    request = error_details_pb2.BadRequest()
    call = error_details_pb2.RequestInfo()
    for detail in status.details:
        # the last of a kind counts; one of each is what servers send
        _ = detail.Unpack(info) or detail.Unpack(request) or detail.Unpack(call)
    ours = info.domain == DOMAIN
    cls = _BY_CODE.get(code, errors.ActuaryError)
    if ours and info.reason in _BY_REASON and issubclass(_BY_REASON[info.reason], cls):
        cls = _BY_REASON[info.reason]
    reason = info.reason or code
    metadata = dict(info.metadata)
    error: errors.ActuaryError
    if issubclass(cls, errors.InvalidInputError):
        violations = tuple(
            errors.Violation(violation.field, violation.description) for violation in request.field_violations
        )
        text = status.message
        if text.endswith(_MORE) and violations:
            text = errors.InvalidInputError.of(violations).message
        error = cls(text, violations=violations, reason=reason, metadata=metadata)
    else:
        error = cls(status.message, reason=reason, metadata=metadata)
    if call.serving_data:
        error.add_note(f"in the server's log: trace_id {call.serving_data}, request_id {call.request_id}")
    return error


def grpc_code(status: status_pb2.Status) -> grpc.StatusCode:
    """The code as grpcio has it."""
    return grpc.StatusCode[code_pb2.Code.Name(status.code)]


def _add(status: status_pb2.Status, detail: message.Message) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)


def _travels(status: status_pb2.Status) -> int:
    """Bytes of a status in trailers: the message percent-encoded, and all of it again in base64."""
    return _encoded(status.message) + int(status.ByteSize()) * 4 // 3


def _encoded(text: str) -> int:
    return sum([1 if 0x20 <= byte <= 0x7E and byte != 0x25 else 3 for byte in text.encode()])


def _cut(text: str, size: int) -> str:
    """The text, or its beginning and an ellipsis, in at most so many encoded bytes."""
    if _encoded(text) <= size:
        return text
    left = size - _encoded(_MORE)
    end = 0
    for character in text:
        left -= _encoded(character)
        if left < 0:
            break
        end += 1
    return text[:end] + _MORE

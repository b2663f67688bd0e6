"""Trace context: which trace a call, a Job and a line of the log belong to, in the form of W3C Trace Context.

A campaign is one trace. The call that creates it begins the trace, or goes on with its caller's; the rows of
the campaign and of its Jobs keep it, calls carry it in their metadata, processes get it as TRACEPARENT, and
whatever is logged meanwhile names it. All of that is always on.

Whether anybody writes down what took how long is another matter: finished spans go to `exporter`, if there is
one (`spans`). This module knows no gRPC and no OpenTelemetry.

References:
    W3C, Trace Context Level 2, https://www.w3.org/TR/trace-context-2/.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal

KEYS: Final = ("traceparent", "tracestate")
"""Names of the two headers; upper case, of the two variables."""
SAMPLED: Final = 0b01
"""Flag: what belongs to the trace is written down, if somebody does that."""
_RANDOM: Final = 0b10
"""Flag: the id of the trace was drawn at random."""
_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MEMBER: Final = re.compile(r"[a-z0-9][a-z0-9_\-*/@]{0,255}=[ -+\--<>-~]{0,255}[!-+\--<>-~]")
"""One key=value of a tracestate: printable ASCII without comma and equals sign, no blank at the end."""
_LONGEST_STATE: Final = 512
_MOST_MEMBERS: Final = 32


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One span's place in a trace."""

    trace_id: str
    """32 hexadecimal digits, not all 0."""
    span_id: str
    """16 hexadecimal digits, not all 0."""
    parent_id: str = ""
    """Id of the span in which this one was begun; empty where that is not known, or there is none."""
    flags: int = SAMPLED | _RANDOM
    state: str = ""
    """What other systems on the way want to find again: the tracestate, passed on as it came."""

    @property
    def sampled(self) -> bool:
        """Whether its spans are to be written down."""
        return bool(self.flags & SAMPLED)

    @property
    def traceparent(self) -> str:
        """The header.

        >>> Context(trace_id="4bf92f3577b34da6a3ce929d0e0e4736", span_id="00f067aa0ba902b7").traceparent
        '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03'
        """
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"

    def carrier(self) -> dict[str, str]:
        """The headers, as calls, rows and processes carry them on."""
        headers = {"traceparent": self.traceparent}
        return {**headers, "tracestate": self.state} if self.state else headers


def parse(carrier: Mapping[str, str]) -> Context | None:
    """The context that headers tell of; None where there is none, or none that is valid.

    A later version of the format is read as far as this one knows it; a tracestate that is not valid is left
    out, and so are flags without a meaning yet.

    >>> parse({"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}).span_id
    '00f067aa0ba902b7'
    >>> parse({"traceparent": "00-00000000000000000000000000000000-00f067aa0ba902b7-01"}) is None
    True
    """
    found = _TRACEPARENT.fullmatch(carrier.get("traceparent", "").strip(" \t"))
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    if version == "ff" or (version == "00" and rest) or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return Context(
        trace_id=trace_id,
        span_id=span_id,
        flags=int(flags, 16) & (SAMPLED | _RANDOM),
        state=_valid_state(carrier.get("tracestate", "")),
    )


def _valid_state(text: str) -> str:
    members = [member for each in text.split(",") if (member := each.strip(" \t"))]
    valid = len(members) <= _MOST_MEMBERS and all(_MEMBER.fullmatch(member) for member in members)
    joined = ",".join(members)
    return joined if valid and len(joined) <= _LONGEST_STATE else ""


def below(parent: Context | None) -> Context:
    """A new span: in the trace of its parent, or the first of a new trace.

    A new trace is sampled: who begins it cannot know whether those whom it reaches write anything down.
    """
    span_id = os.urandom(8).hex()
    if parent is None:
        return Context(trace_id=os.urandom(16).hex(), span_id=span_id)
    return Context(
        trace_id=parent.trace_id,
        span_id=span_id,
        parent_id=parent.span_id,
        flags=parent.flags,
        state=parent.state,
    )


def environment(carrier: Mapping[str, str]) -> dict[str, str]:
    """The variables that give a process its context; both of them, so that none is left of another trace."""
    return {key.upper(): carrier.get(key, "") for key in KEYS} if carrier else {}


def of_environment(variables: Mapping[str, str]) -> Context | None:
    """The context that a process was given."""
    return parse({key: variables.get(key.upper(), "") for key in KEYS})


_process = of_environment(os.environ)
"""Of this process, for all of its threads."""
current_call: contextvars.ContextVar[Context | None] = contextvars.ContextVar("actuary_trace", default=None)
"""Of what this thread does now, where that is more than the process: a call, a step, a piece of work."""


def current() -> Context | None:
    """The context of what this thread does."""
    return current_call.get() or _process


@contextlib.contextmanager
def entered(context: Context | None) -> Iterator[None]:
    """Makes what this thread does within part of a trace; None changes nothing."""
    if context is None:
        yield
        return
    token = current_call.set(context)
    try:
        yield
    finally:
        current_call.reset(token)


@contextlib.contextmanager
def unsampled() -> Iterator[None]:
    """Keeps calls made within out of what is written down; they still carry the trace.

    For whoever asks again and again: a campaign of a day would be a trace of a million spans.
    """
    context = current() or below(None)
    with entered(dataclasses.replace(context, flags=context.flags & ~SAMPLED)):
        yield


def kept() -> dict[str, dict[str, str]]:
    """The current context in the form in which a row keeps it, under the key `trace`; empty without one."""
    context = current()
    return {} if context is None else {"trace": context.carrier()}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Something that took a while and is over."""

    name: str
    context: Context
    start_ns: int
    """Nanoseconds since 1970."""
    end_ns: int
    kind: Literal["internal", "server", "client"] = "internal"
    attributes: Mapping[str, str | int] = dataclasses.field(default_factory=dict)
    error: str = ""
    """What went wrong, in words; empty where nothing did."""


exporter: Callable[[Span], None] | None = None
"""Takes finished spans; None: nobody writes them down."""


def recording(context: Context) -> bool:
    """Whether a span is worth being built: there is somebody to take it, and it is to be written down."""
    return exporter is not None and context.sampled


def record(span: Span) -> None:
    """Hands a finished span to whoever writes them down."""
    take = exporter  # another thread may end it meanwhile
    if take is not None and span.context.sampled:
        take(span)


@contextlib.contextmanager
def span(name: str, **attributes: Any) -> Iterator[None]:
    """Makes the block a span of its own, of the current trace or of a new one."""
    context = below(current())
    start, wrong = time.time_ns(), ""
    try:
        with entered(context):
            yield
    except Exception as error:
        wrong = str(error) or type(error).__name__
        raise
    finally:
        if recording(context):
            named = {f"actuary.{key}": value for key, value in attributes.items()}
            record(
                Span(
                    name=name,
                    context=context,
                    start_ns=start,
                    end_ns=time.time_ns(),
                    attributes=named,
                    error=wrong,
                )
            )

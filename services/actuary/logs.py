"""Logs: structlog, as JSON for machines or for the console of a person, on standard error.

One INFO line a state change, one WARNING line a failed call; the resource's name is a field,
`resource`, not part of the text. What is logged for a call, a Job or a campaign has its `trace_id`, by which
the lines of all processes are found. Standard output belongs to results.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, Literal, TextIO

import structlog

from actuary import tracing

Form = Literal["auto", "json", "console"]

_LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def configure(form: Form = "auto", level: str = "info", stream: TextIO | None = None) -> None:
    """Sets how this process logs; later calls replace earlier ones.

    Args:
        form: `json` writes one object a line, `console` coloured text; `auto` is `console` on a terminal.
        level: the least that is written: debug, info, warning or error.
        stream: where to; standard error by default.

    Raises:
        ValueError: another level.
    """
    if level not in _LEVELS:
        raise ValueError(f"log level: expected one of {', '.join(_LEVELS)}; got {level!r}")
    out = stream or sys.stderr
    as_console = form == "console" or (form == "auto" and out.isatty())
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _trace,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if as_console:
        processors.append(structlog.dev.ConsoleRenderer(colors=out.isatty()))
    else:
        processors += [
            structlog.processors.dict_tracebacks,
            _message_last,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )


@contextmanager
def resource(name: str) -> Iterator[None]:
    """Adds the field `resource` to every line that this thread logs within."""
    with structlog.contextvars.bound_contextvars(resource=name):
        yield


def _trace(logger: Any, method: str, fields: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Names the trace of what this thread does."""
    context = tracing.current()
    if context is not None:
        fields.setdefault("trace_id", context.trace_id)
    return fields


def _message_last(logger: Any, method: str, fields: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Puts what identifies a line first, so that lines are easy to read in a row."""
    first = ("timestamp", "level", "event", "resource")
    head = {key: fields[key] for key in first if key in fields}
    return head | {key: value for key, value in fields.items() if key not in first}

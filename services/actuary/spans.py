"""Spans to OpenTelemetry, where that is wanted: an adapter between `tracing` and its SDK.

The standard variables switch it on and steer it: with OTEL_EXPORTER_OTLP_ENDPOINT spans go there over gRPC,
without it nothing is imported. Ids are those that `tracing` drew, so that logs, calls and spans agree.

Nothing here may harm the work: an SDK that is missing, or a collector that does not answer, is said once and
borne.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import pydantic_settings

from actuary import tracing

if TYPE_CHECKING:
    from opentelemetry.sdk import trace as sdk
    from opentelemetry.sdk.trace import export

_LAST_SECONDS: Final = 5.0
"""How long a process that is done waits for the collector to take the last spans; a guess. It does not wait
for one that refuses them."""
_VENDOR: Final = "opentelemetry"


class OpenTelemetrySettings(pydantic_settings.BaseSettings):
    """What decides whether spans are sent; variables `OTEL_…`, of which the SDK itself reads the others."""

    model_config = pydantic_settings.SettingsConfigDict(
        env_prefix="OTEL_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    exporter_otlp_endpoint: str = ""
    """Where to: http://collector:4317 for example. Empty: nowhere."""
    exporter_otlp_traces_endpoint: str = ""
    """The same for spans alone."""
    exporter_otlp_protocol: str = ""
    """How: `grpc`, which is the only one here."""
    exporter_otlp_traces_protocol: str = ""
    """The same for spans alone."""
    traces_exporter: str = ""
    """`none` sends nothing."""
    sdk_disabled: str = ""
    """`true` sends nothing."""

    @property
    def wanted(self) -> bool:
        """Whether spans are to be sent."""
        off = self.sdk_disabled.strip().lower() == "true" or self.traces_exporter.strip() == "none"
        return bool(self.exporter_otlp_endpoint or self.exporter_otlp_traces_endpoint) and not off

    @property
    def protocol(self) -> str:
        """How they are to be sent."""
        return self.exporter_otlp_traces_protocol or self.exporter_otlp_protocol or "grpc"


@contextlib.contextmanager
def exporting(service: str, say: Callable[[str], object]) -> Iterator[None]:
    """Sends the spans of this process while the block runs, if the environment asks for that.

    Args:
        service: name of this process where OTEL_SERVICE_NAME gives none.
        say: told in words why spans are not sent.
    """
    settings = OpenTelemetrySettings()
    started = _start(settings, service, say) if settings.wanted else None
    if started is None:
        yield
        return
    tracing.exporter, end = started
    try:
        yield
    finally:
        tracing.exporter = None
        end()


def ambient() -> tracing.Context | None:
    """The span that the program around us is in, where it uses OpenTelemetry itself."""
    api: Any = sys.modules.get(f"{_VENDOR}.trace")
    if api is None:
        return None
    found = api.get_current_span().get_span_context()
    if not found.is_valid:
        return None
    return tracing.parse(
        {
            "traceparent": f"00-{found.trace_id:032x}-{found.span_id:016x}-{int(found.trace_flags):02x}",
            "tracestate": found.trace_state.to_header(),
        }
    )


_Started = tuple[Callable[[tracing.Span], None], Callable[[], None]]


def _start(settings: OpenTelemetrySettings, service: str, say: Callable[[str], object]) -> _Started | None:
    if settings.protocol != "grpc":
        say(
            "no spans are sent: OTEL_EXPORTER_OTLP_PROTOCOL: expected grpc, got "
            f"{settings.protocol!r}: set it, and the endpoint to the collector's port for gRPC, 4317 mostly"
        )
        return None
    try:
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter
        from opentelemetry.sdk import resources
        from opentelemetry.sdk import trace as sdk
        from opentelemetry.sdk.trace import export
    except ImportError as error:
        say(
            "no spans are sent: OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed "
            f"({error}). Install actuary[otel], or unset the variable"
        )
        return None
    heard = _Heard(say)
    try:
        exporter = trace_exporter.OTLPSpanExporter()
        ids = _ids()
        resource = resources.Resource.create()
        if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
            resource = resource.merge(resources.Resource({"service.name": service}))
        provider = sdk.TracerProvider(resource=resource, id_generator=ids, shutdown_on_exit=False)
        provider.add_span_processor(export.BatchSpanProcessor(exporter))
    except Exception as error:
        heard.end(lambda: None)
        say(f"no spans are sent: OpenTelemetry refuses its settings: {error}")
        return None
    return _taker(provider, ids), lambda: _end(provider, exporter, heard)


def _taker(provider: sdk.TracerProvider, ids: Any) -> Callable[[tracing.Span], None]:
    """What turns our spans into the SDK's."""
    from opentelemetry import trace as api

    from actuary import __version__

    tracer = provider.get_tracer("actuary", __version__)
    kinds = {
        "internal": api.SpanKind.INTERNAL,
        "server": api.SpanKind.SERVER,
        "client": api.SpanKind.CLIENT,
    }

    def take(span: tracing.Span) -> None:
        context = span.context
        parent = api.INVALID_SPAN
        if context.parent_id:
            state = api.TraceState.from_header([context.state])
            flags = api.TraceFlags(context.flags)
            within = int(context.trace_id, 16), int(context.parent_id, 16)
            remote = span.kind == "server"
            parent = api.NonRecordingSpan(api.SpanContext(*within, remote, flags, state))
        ids.next = int(context.trace_id, 16), int(context.span_id, 16)
        made = tracer.start_span(
            span.name,
            api.set_span_in_context(parent),
            kind=kinds[span.kind],
            attributes={key: value for key, value in span.attributes.items() if value != ""},
            start_time=span.start_ns,
        )
        if span.error:
            made.set_status(api.Status(api.StatusCode.ERROR, span.error))
        made.end(span.end_ns)

    return take


def _ids() -> Any:
    """A generator of ids that gives the SDK those which were drawn already; each thread has its own."""
    from opentelemetry.sdk.trace import id_generator

    class Drawn(id_generator.IdGenerator, threading.local):
        next = (0, 0)

        def generate_trace_id(self) -> int:
            return self.next[0]

        def generate_span_id(self) -> int:
            return self.next[1]

        def is_trace_id_random(self) -> bool:
            return True

    return Drawn()


def _end(provider: sdk.TracerProvider, exporter: export.SpanExporter, heard: _Heard) -> None:
    """Sends what is left: tries once."""
    heard.end(exporter.shutdown)
    patience = threading.Timer(_LAST_SECONDS, exporter.shutdown)
    patience.daemon = True
    patience.start()
    provider.shutdown()
    patience.cancel()


class _Heard(logging.Handler):
    """Takes what the SDK logs, which nobody reads in its form, and passes each failure on once."""

    def __init__(self, say: Callable[[str], object]) -> None:
        super().__init__(logging.WARNING)
        self._say = say
        self._said: set[str] = set()
        self._give_up: Callable[[], object] | None = None
        logger = logging.getLogger(_VENDOR)
        logger.addHandler(self)
        logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Passes a failure on; a warning is of one that is tried again."""
        if self._give_up is not None:
            give_up, self._give_up = self._give_up, lambda: None
            give_up()
        elif record.levelno >= logging.ERROR and (message := record.getMessage()) not in self._said:
            self._said.add(message)
            self._say(f"spans were not sent: {message}")

    def end(self, give_up: Callable[[], object]) -> None:
        """Says nothing any more, since a worker's last line is read by its runner; a failure is the last."""
        self._give_up = give_up

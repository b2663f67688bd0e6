"""One trace from the command that starts a campaign to the processes of its last Job: in logs, rows, spans.

Spans are received by a server of OTLP's own protocol.
"""

from __future__ import annotations

import collections
import contextlib
import json
import threading
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

import actuary
from actuary import tracing
from actuary.state import campaigns, database, jobs
from component.flows import newcomer

GIVEN = tracing.Context(trace_id="4bf92f3577b34da6a3ce929d0e0e4736", span_id="00f067aa0ba902b7", flags=1)
JOBS = ("import", "plan", "annotation", "critique", "risk", "quote", "estimate", "report")


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the spans that it is sent, by the service that sent them."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, object]] = []
        self._lock = threading.Lock()

    def Export(self, request, context):  # noqa: N802
        for sent in request.resource_spans:
            attributes = {each.key: each.value.string_value for each in sent.resource.attributes}
            with self._lock:
                for scope in sent.scope_spans:
                    self.spans += [(attributes["service.name"], span) for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture
def collector():
    """A collector, and the variables by which a process finds it."""
    made = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(made, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield made, {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    server.stop(0).wait()


def small(folder: Path) -> Path:
    """A campaign of a few seconds that needs no people."""
    form = newcomer.campaign(
        data={"truth_column": "gold"}, review={"mode": "replay"}, budget={"human_labels": 40}
    )
    return newcomer.make(folder / "small", form, newcomer.items(60))


@contextlib.contextmanager
def rows(data: Path):
    db = database.Database.open(f"sqlite:///{data / 'actuary.db'}")
    try:
        yield campaigns.Campaigns(db), jobs.Jobs(db)
    finally:
        db.close()


@pytest.mark.slow
def test_a_campaign_and_all_its_work_are_spans_of_the_trace_that_its_command_was_given(tmp_path, collector):
    receiver, variables = collector
    shell = newcomer.Shell(tmp_path, {**variables, **tracing.environment(GIVEN.carrier())})

    shell("run", small(tmp_path), "--data", "data", "--json")

    spans = [span for _, span in receiver.spans]
    assert {span.trace_id.hex() for span in spans} == {GIVEN.trace_id}
    names = collections.Counter(span.name for span in spans)
    for kind in JOBS:
        wave = {"plan": 2, "annotation": 2, "critique": 2}.get(kind, 1)
        assert names[f"job {kind}"] == wave, f"every Job is a span: {names}"
        assert names[f"work {kind}"] >= wave, f"and so is each of its processes: {names}"
    assert {service for service, span in receiver.spans if span.name.startswith("work ")} == {
        "actuary-worker"
    }
    assert {service for service, span in receiver.spans if span.name.startswith("job ")} == {"actuary"}
    known = {span.span_id for span in spans} | {bytes.fromhex(GIVEN.span_id)}
    assert len(known) == len(spans) + 1
    assert [span.name for span in spans if span.parent_span_id not in known] == [], "no span hangs in the air"
    by_id = {span.span_id: span for span in spans}
    create = "actuary.v1.AnnotatorService/CreateAnnotationJob"
    assert {by_id[s.parent_span_id].name for s in spans if s.name == "work annotation"} == {create}
    assert all(span.status.code == 0 for span in spans)
    looks = [span.name for span in spans if span.name.endswith(("Job", "ReportWork")) and "/Get" in span.name]
    assert looks == [], "what is asked again and again is not written down"


@pytest.mark.slow
def test_log_lines_and_rows_of_a_campaign_name_the_trace_of_the_call_that_created_it(tmp_path):
    shell, data = newcomer.Shell(tmp_path), tmp_path / "data"
    folder = small(tmp_path)
    (folder / "labels.csv").unlink()
    with (
        shell.start("up", "--data", data, "--address", "127.0.0.1:0", "--metrics-port", 0),
        actuary.Client(newcomer.address_of(data)) as client,
    ):
        with tracing.entered(GIVEN):
            created = client.create(folder)
        client.wait(created.name)
        with rows(data) as (table, work):
            failed = table.get(created.name)
            known = [
                work.get(f"{created.name}/{job}")
                for job in ("importJobs/import", "annotationJobs/annotate-w0")
            ]
        lines = [json.loads(line) for line in shell.log("up").splitlines() if line.startswith("{")]

    assert failed.state == "FAILED"
    assert {record.trace.trace_id for record in (failed, *known)} == {GIVEN.trace_id}
    assert known[1].error["trace_id"] == GIVEN.trace_id, "the process said so in its last line"
    said = [line for line in lines if line["event"] in ("campaign", "job")]
    assert {line["event"] for line in said} == {"campaign", "job"}
    assert {line["trace_id"] for line in said} == {GIVEN.trace_id}
    assert all("trace_id" not in line for line in lines if line["event"] == "lease")


@pytest.mark.slow
def test_without_opentelemetry_a_command_that_is_to_send_spans_says_so_once_and_works(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.modules['opentelemetry'] = None  # as if it were not installed\n"
    )
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "PYTHONPATH": str(tmp_path)}

    said = newcomer.Shell(tmp_path, variables)("list").stderr

    assert said.count("warning: no spans are sent: OTEL_EXPORTER_OTLP_ENDPOINT is set") == 1
    assert "Install actuary[otel], or unset the variable" in said


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}, ""),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            "OTEL_EXPORTER_OTLP_PROTOCOL: expected grpc, got 'http/protobuf'",
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:1", "OTEL_EXPORTER_OTLP_TIMEOUT": "soon"},
            "OpenTelemetry refuses its settings: could not convert string to float: 'soon'",
        ),
    ],
    ids=["nobody answers", "switched off", "another protocol", "a wrong setting"],
)
@pytest.mark.slow
def test_spans_that_cannot_be_sent_harm_no_command(tmp_path, variables, expected):
    said = newcomer.Shell(tmp_path, variables)("list").stderr

    assert said.endswith("no campaign yet: actuary run digits, or actuary init FOLDER\n")
    warnings = [line for line in said.splitlines() if line.startswith("warning:")]
    assert len(warnings) == bool(expected)
    assert all(expected in line for line in warnings)

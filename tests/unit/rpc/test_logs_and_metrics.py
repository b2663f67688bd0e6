"""Logs as lines of JSON, and the page of metrics."""

from __future__ import annotations

import io
import json
import urllib.request

import pytest
import structlog

from actuary import errors, exposition, logs, metrics, tracing


@pytest.fixture(autouse=True)
def as_before():
    yield
    structlog.reset_defaults()


def test_a_line_is_json_with_the_resource_as_a_field():
    out = io.StringIO()
    logs.configure("json", stream=out)

    with logs.resource("campaigns/a"):
        structlog.get_logger("test").info("campaign", state="RUNNING", label="鳥")

    line = json.loads(out.getvalue())
    assert (line["event"], line["resource"], line["state"], line["label"]) == (
        "campaign",
        "campaigns/a",
        "RUNNING",
        "鳥",
    )


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_line_names_the_trace_of_what_is_being_done(form):
    out = io.StringIO()
    logs.configure(form, stream=out)
    trace = tracing.below(None)

    with tracing.entered(trace):
        structlog.get_logger("test").info("within")
    structlog.get_logger("test").info("outside")

    within, outside = out.getvalue().splitlines()
    assert trace.trace_id in within
    assert "trace_id" not in outside


def test_an_exception_is_one_line_too():
    out = io.StringIO()
    logs.configure("json", stream=out)

    structlog.get_logger("test").error("call failed", exc_info=ValueError("no"))

    (line,) = out.getvalue().splitlines()
    assert "ValueError" in line


def test_lines_below_the_level_are_not_written():
    out = io.StringIO()
    logs.configure("console", "warning", stream=out)

    structlog.get_logger("test").info("quiet")

    assert out.getvalue() == ""


def test_an_unknown_level_is_refused_with_the_list():
    with pytest.raises(ValueError, match="debug, info, warning, error"):
        logs.configure(level="loud")


def test_metrics_are_served_and_the_port_is_free_afterwards():
    page = exposition.serve(0)
    text = urllib.request.urlopen(f"http://127.0.0.1:{page.port}/metrics").read().decode()
    page.close()

    assert "actuary_rpc_watchers" in text
    exposition.serve(page.port).close()


def test_a_port_that_is_taken_is_said():
    page = exposition.serve(0)

    with pytest.raises(errors.PreconditionError, match="choose another port"):
        exposition.serve(page.port)
    page.close()


def test_every_label_and_each_of_its_values_is_explained_in_the_help_text():
    for figure in metrics.FIGURES.values():
        assert figure.name.startswith("actuary_")
        for label, values in figure.labels.items():
            assert f"{label}" in figure.help
            assert all(value in figure.help for value in values), (figure.name, label)
    for metric in metrics.OF_PROCESSES:
        assert metric._name.startswith("actuary_")
        assert all(label in metric._documentation for label in metric._labelnames)


def test_a_label_outside_its_closed_set_is_refused():
    with pytest.raises(ValueError, match="actuary_items: expected stage out of import, annotate"):
        metrics.ITEMS.key(stage="annotation", outcome="LABELLED")


def test_what_a_controller_shows_is_gone_when_it_leads_no_longer():
    board = exposition.Board()
    board.show("a", {metrics.HUMAN_SECONDS.key(): 2.0, metrics.QUEUE_TASKS.key(state="open"): 3.0})
    board.show("b", metrics.RESTARTS.zeros(stage=("risk",)))
    families = {family.name: family for family in board.collect()}
    assert {name: family.type for name, family in families.items()} == {
        "actuary_human_seconds": "counter", "actuary_queue_tasks": "gauge", "actuary_job_restarts": "counter",
    }  # fmt: skip
    assert [sample.value for sample in families["actuary_job_restarts"].samples] == [0.0]
    board.clear("a")
    assert [family.name for family in board.collect()] == ["actuary_job_restarts"]


def test_a_reason_outside_the_closed_set_is_other():
    assert [metrics.retry_reason(reason) for reason in ("UNAVAILABLE", "ECONNRESET")] == [
        "UNAVAILABLE",
        "OTHER",
    ]

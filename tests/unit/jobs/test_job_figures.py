"""What is counted between two versions of a Job's row."""

from __future__ import annotations

import dataclasses

import pytest

from actuary import metrics
from actuary.jobs import figures
from actuary.state import jobs

ROW = jobs.JobRecord(name="j", kind="annotation", campaign="c", spec={}, spec_digest="", state="RUNNING")


def after(row=ROW, state="RUNNING", **progress):
    return dataclasses.replace(row, state=state, progress=progress)


def test_what_grew_is_counted_by_its_labels():
    old = after(
        outcome_counts={"LABELLED": 3}, input_token_count=10, retry_counts={"OTHER": 1}, cpu_seconds=1.0
    )
    new = after(
        outcome_counts={"LABELLED": 5, "FAILED": 1},
        input_token_count=25,
        retry_counts={"OTHER": 1, "ECONNRESET": 2, "UNAVAILABLE": 1},
        cpu_seconds=1.5,
        seconds=4.0,
    )
    assert figures.changes(old, new) == {
        metrics.ITEMS.key(stage="annotate", outcome="LABELLED"): 2,
        metrics.ITEMS.key(stage="annotate", outcome="FAILED"): 1,
        metrics.TOKENS.key(stage="annotate", direction="in"): 15,
        metrics.RETRIES.key(stage="annotate", reason="OTHER"): 2,
        metrics.RETRIES.key(stage="annotate", reason="UNAVAILABLE"): 1,
        metrics.WORKER_CPU_SECONDS.key(stage="annotate"): 0.5,
        metrics.WORKER_SECONDS.key(stage="annotate"): 4.0,
    }


def test_figures_that_went_back_count_nothing():
    assert figures.changes(after(outcome_counts={"LABELLED": 9}), after(outcome_counts={"LABELLED": 2})) == {}


def test_outcomes_of_no_item_count_as_done():
    row = dataclasses.replace(ROW, kind="import")
    made = figures.changes(row, after(row, outcome_counts={"POOL": 4, "TEST": 2}))
    assert made == {metrics.ITEMS.key(stage="import", outcome="LABELLED"): 6}


def test_a_job_starts_and_ends_once():
    started = after(queue_seconds=2.5)
    ended = after(started, state="FAILED", queue_seconds=2.5)
    assert figures.changes(ROW, started) == {
        metrics.JOBS_STARTED.key(stage="annotate"): 1,
        metrics.JOB_QUEUE_SECONDS.key(stage="annotate"): 2.5,
    }
    assert figures.changes(started, ended) == {metrics.JOBS_ENDED.key(stage="annotate", state="FAILED"): 1}
    assert figures.changes(ended, ended) == {}


def test_open_jobs_show_what_is_left_and_which_wait():
    rows = [
        after(item_count=10, done_count=4, running_count=2),
        after(item_count=5, waiting="no node takes it"),
        dataclasses.replace(ROW, state="PENDING"),
    ]
    shown = figures.gauges(rows, ("annotation",))
    assert shown == {
        metrics.ITEMS_LEFT.key(stage="annotate"): 11,
        metrics.WORKERS.key(stage="annotate"): 2,
        metrics.JOBS_OPEN.key(stage="annotate", state="RUNNING"): 2,
        metrics.JOBS_OPEN.key(stage="annotate", state="PENDING"): 1,
        metrics.JOBS_WAITING.key(stage="annotate"): 1,
    }


@pytest.mark.parametrize("kinds", [("annotation",), ("risk", "quote")])
def test_totals_of_other_kinds_are_left_to_others_and_missing_ones_are_zero(kinds):
    key = metrics.RESTARTS.key(stage="annotate")
    shown = figures.totals({key: 3.0}, kinds)
    assert shown.get(key) == (3.0 if kinds == ("annotation",) else None)
    assert {labels[0] for _, labels in shown} == {figures.stage_of(kind) for kind in kinds}

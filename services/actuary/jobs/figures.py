"""What the rows of Jobs say about the work, as figures. Pure.

Changes are what was done between two versions of a row, so that they are counted with the write of the
second; gauges follow from the rows that are open.
"""

from __future__ import annotations

import collections
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from actuary import metrics
from actuary.state import jobs as job_state

TOTALS = (
    metrics.ITEMS,
    metrics.ITEMS_ASKED,
    metrics.WORKER_SECONDS,
    metrics.WORKER_CPU_SECONDS,
    metrics.TOKENS,
    metrics.RETRIES,
    metrics.JOBS_STARTED,
    metrics.JOB_QUEUE_SECONDS,
    metrics.JOBS_ENDED,
    metrics.RESTARTS,
)
_GAUGES = (metrics.ITEMS_LEFT, metrics.WORKERS, metrics.JOBS_OPEN, metrics.JOBS_WAITING)


def stage_of(kind: str) -> str:
    """The label value of a kind of Jobs.

    Raises:
        ValueError: No metric knows the kind.
    """
    stage = "annotate" if kind == "annotation" else kind
    if stage not in metrics.JOBS:
        raise ValueError(f"expected a kind of Jobs out of {', '.join(metrics.JOBS)}; got {kind!r}")
    return stage


def changes(before: job_state.JobRecord, after: job_state.JobRecord) -> dict[metrics.Key, float]:
    """What was done between two versions of a row; figures that went back count nothing."""
    stage = stage_of(before.kind)
    found: dict[metrics.Key, float] = {}
    old, new = before.progress, after.progress
    for outcome, done in _by_outcome(new).items():
        found[metrics.ITEMS.key(stage=stage, outcome=outcome)] = done - _by_outcome(old).get(outcome, 0)
    for direction, name in (("in", "input_token_count"), ("out", "output_token_count")):
        found[metrics.TOKENS.key(stage=stage, direction=direction)] = _since(name, old, new)
    for figure, name in (
        (metrics.WORKER_SECONDS, "seconds"),
        (metrics.WORKER_CPU_SECONDS, "cpu_seconds"),
        (metrics.ITEMS_ASKED, "asked_count"),
        (metrics.RESTARTS, "restart_count"),
    ):
        found[figure.key(stage=stage)] = _since(name, old, new)
    for reason, retries in _by_reason(new).items():
        more = retries - _by_reason(old).get(reason, 0)
        found[metrics.RETRIES.key(stage=stage, reason=reason)] = more
    if new.get("queue_seconds") is not None and old.get("queue_seconds") is None:
        found[metrics.JOBS_STARTED.key(stage=stage)] = 1
        found[metrics.JOB_QUEUE_SECONDS.key(stage=stage)] = float(new["queue_seconds"])
    if after.state in job_state.FINAL and before.state not in job_state.FINAL:
        found[metrics.JOBS_ENDED.key(stage=stage, state=after.state)] = 1
    return {key: value for key, value in found.items() if value > 0}


def gauges(records: Iterable[job_state.JobRecord], kinds: Collection[str]) -> dict[metrics.Key, float]:
    """How the open Jobs of some kinds stand."""
    stages = tuple(stage_of(kind) for kind in kinds)
    values: dict[metrics.Key, float] = {}
    for figure in _GAUGES:
        values |= figure.zeros(stage=stages)
    for record in records:
        stage, progress = stage_of(record.kind), record.progress
        left = int(progress.get("item_count", 0)) - int(progress.get("done_count", 0))
        values[metrics.ITEMS_LEFT.key(stage=stage)] += max(0, left)
        values[metrics.WORKERS.key(stage=stage)] += int(progress.get("running_count", 0))
        values[metrics.JOBS_OPEN.key(stage=stage, state=record.state)] += 1
        values[metrics.JOBS_WAITING.key(stage=stage)] += bool(progress.get("waiting"))
    return values


def totals(kept: Mapping[metrics.Key, float], kinds: Collection[str]) -> dict[metrics.Key, float]:
    """The totals of some kinds of Jobs, out of all that are `kept`; 0 where nothing was counted yet."""
    stages = tuple(stage_of(kind) for kind in kinds)
    values: dict[metrics.Key, float] = {}
    for figure in TOTALS:
        values |= figure.zeros(stage=stages)
    return {key: kept.get(key, zero) for key, zero in values.items()}


def _since(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> float:
    return float(new.get(name) or 0) - float(old.get(name) or 0)


def _by_outcome(progress: Mapping[str, Any]) -> dict[str, int]:
    """Counts under the labels of the metric: what is no outcome of an item counts as done."""
    counts: collections.Counter[str] = collections.Counter()
    for outcome, done in progress.get("outcome_counts", {}).items():
        counts[outcome if outcome in metrics.OUTCOMES else "LABELLED"] += int(done)
    return counts


def _by_reason(progress: Mapping[str, Any]) -> dict[str, int]:
    counts: collections.Counter[str] = collections.Counter()
    for reason, retries in progress.get("retry_counts", {}).items():
        counts[metrics.retry_reason(reason)] += int(retries)
    return counts

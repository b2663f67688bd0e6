"""What the pilot tells of time and cost: a label's seconds, the reviewers' pace, the machines' item by item.

Only what artifacts hold is told, so that a Job that is repeated says the same: seconds come from the answers,
never from a clock. Where people's answers carry no times, as in a replay, nothing is said. Pure.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from actuary.sampler import frames
from actuary.stats import intervals


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A mean of the pilot with its interval; never negative, as no time and no cost is."""

    value: float
    low: float
    high: float


NOTHING = Mean(value=0.0, low=0.0, high=0.0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """How reviewers worked."""

    seconds: Mean
    """Work a label."""
    pace: float
    """Seconds from label to label, all reviewers together, pauses included."""
    reviewers: int

    def wall(self, labels: int) -> Mean:
        """Seconds until these reviewers have given some labels.

        From "nobody pauses" to the pilot's pace: reviewers in parallel cannot be quicker than their work.
        """
        least, most = self.seconds.low / self.reviewers, self.seconds.high / self.reviewers
        return Mean(value=labels * self.pace, low=labels * least, high=labels * max(self.pace, most))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """What models took, an item."""

    seconds: Mean
    """Computing, of one worker."""
    micros: Mean
    """Cost."""
    workers: int = 1

    def wall(self, items: int) -> Mean:
        """Seconds until the workers have done some items, which they do side by side."""
        share = items / self.workers
        found = self.seconds
        return Mean(value=share * found.value, low=share * found.low, high=share * found.high)

    def money(self, forecast: int) -> tuple[int, int]:
        """The range of a forecast of what they cost, by the interval of the cost an item."""
        if self.micros.value == 0.0:
            return forecast, forecast
        low, high = (forecast * end / self.micros.value for end in (self.micros.low, self.micros.high))
        return math.floor(low), math.ceil(high)


def people(timings: Sequence[Mapping[str, Any]], alpha: float) -> People | None:
    """Reads how reviewers worked from what `resolved` artifacts say of it.

    A file of answers arrives at once, and its work took time all the same: the pace is at least the work of
    one label, shared by the reviewers.

    Args:
        timings: parameter `timing` of each artifact; empty where none of its answers was timed.
        alpha: one minus the level of the interval.

    Returns:
        None where fewer than two answers were timed.
    """
    told = [timing for timing in timings if timing]
    seconds = mean(
        sum(int(timing["answers"]) for timing in told),
        sum(float(timing["seconds"]) for timing in told),
        sum(float(timing["squares"]) for timing in told),
        alpha,
    )
    if seconds is None:
        return None
    answers = sum(int(timing["answers"]) for timing in told)
    reviewers = max(int(timing["reviewers"]) for timing in told)
    elapsed = sum(float(timing["elapsed"]) for timing in told) / answers
    return People(seconds=seconds, pace=max(elapsed, seconds.value / reviewers), reviewers=reviewers)


def machines(
    columns: Sequence[tuple[frames.Floats, frames.Floats]], workers: int, alpha: float
) -> Machines | None:
    """Adds up what the models took of the pilot.

    Args:
        columns: compute_seconds and cost_micros of each model's table, [n] each.
        workers: that will work side by side.
        alpha: one minus the level; the ends of several models are added, which is wide.

    Returns:
        None where a model has labelled fewer than two items.
    """
    seconds, micros = NOTHING, NOTHING
    for took, cost in columns:
        parts = [mean(len(each), each.sum(), np.square(each).sum(), alpha) for each in (took, cost)]
        if parts[0] is None or parts[1] is None:
            return None
        seconds, micros = plus(seconds, parts[0]), plus(micros, parts[1])
    return Machines(seconds=seconds, micros=micros, workers=workers) if columns else None


def plus(one: Mean, other: Mean) -> Mean:
    """Adds two, end by end."""
    return Mean(value=one.value + other.value, low=one.low + other.low, high=one.high + other.high)


def mean(count: int, total: float, squares: float, alpha: float) -> Mean | None:
    """The mean of values that are not negative, with its normal interval, from their sums.

    >>> mean(4, 20.0, 108.0, 0.05)
    Mean(value=5.0, low=3.399..., high=6.600...)
    """
    if count < 2:
        return None
    value = float(total) / count
    variance = max(0.0, float(squares) - count * value**2) / (count - 1)
    bounds = intervals.wald(value, math.sqrt(variance / count), alpha)
    return Mean(value=value, low=max(0.0, bounds.low), high=bounds.high)

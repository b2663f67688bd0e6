"""Answers read off the curve of a quote: what an accuracy costs, and what a budget buys.

The accuracy after correction never falls when labels are added, so that a point says something of every
budget beside it: its lower bound holds for more labels, its upper bound for fewer. That is all that is used
between points; nothing here forecasts anew, that is `quote`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from actuary.stats import checks, quote


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Labels that an accuracy takes; None where not even the last point of the curve reaches it."""

    forecast: int | None
    """The fewest with which the forecast reaches it: an even bet."""
    safe: int | None
    """The fewest of the points with which the lower bound does."""


def labels_for(points: Sequence[quote.Point], accuracy: float) -> Cost:
    """Answers "how much for 97 %?".

        forecast = min{b : â(b) >= A}, linear between points;
        safe = min{b on the grid : low(b') >= A for every b' >= b on the grid}

    Points are looked at from the largest budget down, and the first whose lower bound falls short ends the
    search. So the many points cost nothing: let b* be the first budget that truly reaches A. A promise that
    is too small has passed the point before b*, which is a fixed one, and its bound fails with a probability
    of α/2 at most.

    Args:
        points: of `quote.curve`, strictly ascending in labels, at least one.
        accuracy: A, a fraction in (0, 1].

    Returns:
        The fewest labels, both ways.

    Raises:
        ValueError: no points, points out of order, or an accuracy outside (0, 1].

    References:
        algorithms.md 8.10; a fixed sequence of tests: Maurer, Hothorn, Lehmacher (1995).

    >>> def point(labels, low, accuracy):
    ...     return quote.Point(labels=labels, accuracy=accuracy, low=low, high=1.0, method="betting")
    >>> curve = [point(100, 0.7, 0.8), point(200, 0.8, 0.9), point(300, 0.9, 0.95)]
    >>> labels_for(curve, 0.85)
    Cost(forecast=150, safe=300)
    >>> labels_for(curve, 0.97)
    Cost(forecast=None, safe=None)
    """
    labels = _labels(points)
    if not 0.0 < accuracy <= 1.0:
        raise ValueError(f"accuracy: expected a fraction in (0, 1], got {accuracy}")
    safe = None
    for point in reversed(points):
        if point.low < accuracy:
            break
        safe = point.labels
    reached = np.flatnonzero([point.accuracy >= accuracy for point in points])
    if not reached.size:
        return Cost(forecast=None, safe=safe)
    first = int(reached[0])
    if first == 0:
        return Cost(forecast=points[0].labels, safe=safe)
    before, after = points[first - 1], points[first]
    part = (accuracy - before.accuracy) / (after.accuracy - before.accuracy)
    # a whole label more than a rounding error says would be one too many
    return Cost(
        forecast=int(np.ceil(before.labels + part * (labels[first] - labels[first - 1]) - 1e-9)), safe=safe
    )


def at_labels(points: Sequence[quote.Point], labels: int) -> quote.Point:
    """Answers "what do I get for 400 labels?".

    Between two points the forecast is linear, the lower bound that of the point before and the upper bound
    that of the point after: accuracy never falls with more labels. Beyond the last point is its answer, with
    the labels that it takes.

    Args:
        points: of `quote.curve`, strictly ascending in labels, at least one.
        labels: b, at least those of the first point.

    Returns:
        What the budget buys; `labels` are those that would be used.

    Raises:
        BudgetInfeasible: fewer labels than the first point's, which are the pilot's.
        ValueError: no points, or points out of order.

    References:
        algorithms.md 8.10.

    >>> def point(labels, low, accuracy, high):
    ...     return quote.Point(labels=labels, accuracy=accuracy, low=low, high=high, method="betting")
    >>> found = at_labels([point(100, 0.7, 0.8, 0.9), point(200, 0.85, 0.9, 0.95)], 150)
    >>> found.low, round(found.accuracy, 2), found.high
    (0.7, 0.85, 0.95)
    """
    known = _labels(points)
    if labels < points[0].labels:
        raise checks.BudgetInfeasible(
            f"labels: expected at least the {points[0].labels} that the pilot takes, got {labels}",
            min_budget=points[0].labels,
        )
    used = min(checks.count("labels", labels, 0, 2**62), points[-1].labels)
    before = points[int(np.searchsorted(known, used, side="right")) - 1]
    after = points[int(np.searchsorted(known, used, side="left"))]
    return quote.Point(
        labels=used,
        accuracy=float(np.interp(used, known, [point.accuracy for point in points])),
        low=before.low,
        high=after.high,
        method=before.method,
    )


def labels_within(money: int, *, label: int, fixed: int) -> int | None:
    """How many labels a budget of money pays, once everything else is paid.

    Args:
        money: all of it, at least 0; any unit, that of the other two.
        label: price of a label, at least 0.
        fixed: what the machines cost whatever people do, at least 0.

    Returns:
        floor((money - fixed)/label), at least 0; None where labels are free and the money pays the machines.

    Raises:
        BudgetInfeasible: the money does not even pay the machines.
        ValueError: a negative argument.

    >>> labels_within(500, label=2, fixed=100), labels_within(500, label=0, fixed=100)
    (200, None)
    """
    for name, value in (("money", money), ("label", label), ("fixed", fixed)):
        checks.count(name, value, 0, 2**62)
    if money < fixed:
        raise checks.BudgetInfeasible(
            f"money: expected at least the {fixed} that the machines cost, got {money}", min_budget=fixed
        )
    return (money - fixed) // label if label else None


def _labels(points: Sequence[quote.Point]) -> checks.Integers:
    if not points:
        raise ValueError("points: expected at least one, got none")
    labels = np.array([point.labels for point in points], dtype=np.int64)
    if (np.diff(labels) <= 0).any():
        at = int(np.argmax(np.diff(labels) <= 0))
        raise ValueError(
            f"points: expected strictly ascending labels, got {labels[at]} before {labels[at + 1]} at [{at}]"
        )
    return labels

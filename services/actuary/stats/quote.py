"""Quotes: what a budget would buy, told from the pilot before the bulk of it is spent.

The pilot is a small picture of the population: n items with known d and with risks ε that did not see them.
A rule that will review a share f of the population would review a share f of the pilot; what it leaves
unreviewed,

    z_i(b) = d_i (1 - π_b(i)),

has a mean that estimates the errors left per item, and bounded variables have intervals that hold for small n
(algorithms.md 8.10). A quote is a forecast: it supposes that risks rank new items as they rank the pilot's.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from actuary.stats import checks, intervals, weighing


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan(weighing.Weighing):
    """How a budget would be spent after the pilot."""

    audit: int = 0
    """K, labels of the uniform audit; paid before the rule gets anything."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What one budget would buy."""

    labels: int
    """Human labels, pilot included."""
    accuracy: float
    """Forecast accuracy of the corrected labels."""
    low: float
    high: float
    method: intervals.Method


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """What some labels more would add to a budget."""

    labels: int
    """Labels more; fewer than asked for where no more items are left."""
    accuracy: float
    """Forecast rise of the accuracy, as a fraction."""
    low: float
    high: float
    method: intervals.Method


def curve(
    err: npt.ArrayLike,
    eps: npt.ArrayLike,
    items: int,
    budgets: Sequence[int],
    plan: Plan,
    alpha: float = 0.05,
) -> tuple[Point, ...]:
    """Forecasts the accuracy after correction at several budgets.

    With budget b: K audit labels go to a share a = K/(N - n) of the items outside the pilot, the rule
    reviews a share f of the others, π = a + (1 - a) π_rule, and accuracy = 1 - (N - n)/N mean z. Each point
    holds by itself at level 1 - α; the curve as a whole does not.

    Args:
        err: d of the pilot, shape [n], in random order (that of its draw; ties of ε are broken by it).
        eps: out-of-fold ε of the pilot, shape [n], in [0, 1].
        items: N, items with a machine label, pilot included.
        budgets: b, human labels in all, each in [n, N].
        plan: how they would be spent.
        alpha: α in (0, 1); two-sided, a point.

    Returns:
        Points in the order of the budgets.

    Raises:
        BudgetInfeasible: a budget below the pilot, which is spent already.
        ValueError: an empty pilot, risks outside [0, 1], a budget above N, an unknown rule, or α outside
            (0, 1).

    References:
        algorithms.md 8.10; intervals: Clopper and Pearson (1934), Waudby-Smith and Ramdas (2023).

    >>> err, eps = [True] * 15 + [False] * 45, [0.9] * 15 + [0.1] * 45
    >>> points = curve(err, eps, 1060, [60, 310, 1060], Plan(rule="threshold"))
    >>> [round(point.accuracy, 3) for point in points]
    [0.764, 1.0, 1.0]
    """
    wrong, risk, items = _checked(err, eps, items, plan, alpha)
    return tuple(_point(wrong, risk, items, budget, plan, alpha) for budget in budgets)


def gain(
    err: npt.ArrayLike,
    eps: npt.ArrayLike,
    items: int,
    budget: int,
    more: int,
    plan: Plan,
    alpha: float = 0.05,
) -> Gain:
    """Forecasts what the next labels would add: the slope of the curve, with an interval of its own.

    The two ends of a step share their pilot, so that the difference of two intervals of `curve` would be far
    too wide. Each item of the pilot tells directly how much less of its error stays,

        w_i = (1 - a) (1 - π_b(i)) - (1 - a') (1 - π_b'(i)),    gain = (N - n)/N mean d w,

    with a', b' after the step. A label corrects one error at most: no gain is above (b' - b)/N. Errors
    corrected per label are gain N/(b' - b).

    Args:
        err: d of the pilot, shape [n], in random order.
        eps: out-of-fold ε of the pilot, shape [n], in [0, 1].
        items: N, items with a machine label, pilot included.
        budget: b, human labels in all, in [n, N - 1].
        more: b' - b, at least 1; cut to what is left of N.
        plan: how they would be spent.
        alpha: α in (0, 1); two-sided.

    Returns:
        The rise of the accuracy, as a fraction.

    Raises:
        BudgetInfeasible: a budget below the pilot, which is spent already.
        ValueError: nothing is left to label, or input that `curve` refuses.

    References:
        algorithms.md 8.10; intervals: Clopper and Pearson (1934), Waudby-Smith and Ramdas (2023).

    >>> err, eps = [True] * 15 + [False] * 45, [0.9] * 15 + [0.1] * 45
    >>> next_labels = gain(err, eps, 1060, 60, 100, Plan(rule="threshold"))
    >>> round(next_labels.accuracy * 1060 / next_labels.labels, 3)  # all of them correct an error
    1.0
    """
    wrong, risk, items = _checked(err, eps, items, plan, alpha)
    more = checks.count("more", more, 1, 2**62)
    a, f = _shares(wrong.size, items, budget, plan)
    if budget == items:
        raise ValueError(f"budget: expected fewer than all {items} items, got {budget}: nothing is left")
    more = min(more, items - budget)
    a2, f2 = _shares(wrong.size, items, budget + more, plan)

    def spared(first: checks.Floats, then: checks.Floats) -> checks.Floats:
        return (1.0 - a) * (1.0 - first) - (1.0 - a2) * (1.0 - then)

    mean = float((wrong * spared(probabilities(risk, f, plan), probabilities(risk, f2, plan))).mean())
    n = wrong.size
    if plan.rule == "threshold":
        # f n is no whole number: the bounds take in more, or fewer, ranks than the step does
        rank = _ranks(risk)
        outer = spared(_top(rank, math.floor(f * n)), _top(rank, math.ceil(f2 * n)))
        start = math.ceil(f * n)
        inner = spared(_top(rank, start), _top(rank, max(start, math.floor(f2 * n))))
    else:
        outer = inner = spared(probabilities(risk, f, plan), probabilities(risk, f2, plan))
    upper, method = _bounded(wrong, outer, alpha)
    lower, _ = _bounded(wrong, inner, alpha)
    scale = (items - n) / items
    return Gain(
        labels=more,
        accuracy=scale * mean,
        low=scale * lower.low,
        high=min(scale * upper.high, more / items),
        method=method,
    )


def _bounded(
    wrong: checks.Booleans, weight: checks.Floats, alpha: float
) -> tuple[intervals.Interval, intervals.Method]:
    """An interval for the mean of d w; w is never negative, since every rule is nested in its budget."""
    largest = float(weight.max())
    if largest <= 0.0:
        return intervals.Interval(low=0.0, high=0.0), "exact"
    # nested up to the last digits of a bisection
    return intervals.bounded_mean(wrong * np.maximum(weight, 0.0), largest, alpha)


def _checked(
    err: npt.ArrayLike, eps: npt.ArrayLike, items: int, plan: Plan, alpha: float
) -> tuple[checks.Booleans, checks.Floats, int]:
    wrong = checks.flags("err", err)
    risk = checks.risks("eps", eps, size=wrong.size)
    checks.share("alpha", alpha)
    if plan.rule not in weighing.RULES:
        raise ValueError(f"rule: expected one of {', '.join(weighing.RULES)}, got {plan.rule!r}")
    items = checks.count("items", items, wrong.size, 2**62)
    checks.count("audit", plan.audit, 0, items)
    return wrong, risk, items


def _shares(n: int, items: int, budget: int, plan: Plan) -> tuple[float, float]:
    """Returns a and f: the shares that audit and rule review."""
    if budget < n:
        raise checks.BudgetInfeasible(
            f"budget: expected at least the pilot's {n} labels, which are spent, got {budget}", min_budget=n
        )
    budget = checks.count("budget", budget, n, items)
    rest = items - n
    audited = min(plan.audit, budget - n)
    if audited == rest:
        return 1.0, 0.0
    return audited / rest, (budget - n - audited) / (rest - audited)


def _point(
    wrong: checks.Booleans, eps: checks.Floats, items: int, budget: int, plan: Plan, alpha: float
) -> Point:
    a, f = _shares(wrong.size, items, budget, plan)
    if budget == items:
        return Point(labels=budget, accuracy=1.0, low=1.0, high=1.0, method="exact")
    rest = items - wrong.size
    left = (1.0 - a) * (1.0 - f)
    mean, low, high, method = _unreviewed_errors(wrong, eps, f, plan, alpha)
    scale = rest / items
    return Point(
        labels=budget,
        accuracy=1.0 - scale * (1.0 - a) * mean,
        low=1.0 - scale * min((1.0 - a) * high, left),
        high=1.0 - scale * (1.0 - a) * low,
        method=method,
    )


def _unreviewed_errors(
    wrong: checks.Booleans, eps: checks.Floats, f: float, plan: Plan, alpha: float
) -> tuple[float, float, float, intervals.Method]:
    """Mean of d (1 - π_rule) when the rule reviews the share f < 1, with its bounds."""
    n = wrong.size
    if plan.rule == "threshold":
        # f n is no whole number: the bounds review fewer, or more, than the share; the forecast interpolates.
        order = np.argsort(-eps, kind="stable")
        left = wrong.sum() - np.concatenate([[0], np.cumsum(wrong[order])])
        fewer, more = math.floor(f * n), math.ceil(f * n)
        mean = float(np.interp(f * n, np.arange(n + 1), left)) / n
        high = intervals.clopper_pearson(int(left[fewer]), n, alpha).high
        low = intervals.clopper_pearson(int(left[more]), n, alpha).low
        return mean, low, high, "clopper-pearson"
    pi = probabilities(eps, f, plan)
    z = wrong * (1.0 - pi)
    interval, method = intervals.bounded_mean(z, float(1.0 - pi.min()), alpha)
    return float(z.mean()), interval.low, interval.high, method


def _ranks(eps: checks.Floats) -> checks.Integers:
    """Ranks from the most suspicious, 0, on; ties in the order of the pilot, which is random."""
    rank = np.empty(eps.size, dtype=np.int64)
    rank[np.argsort(-eps, kind="stable")] = np.arange(eps.size)
    return rank


def _top(rank: checks.Integers, reviewed: float) -> checks.Floats:
    """π of a threshold that takes the first ranks; the one at the cut by its fraction."""
    return np.clip(reviewed - rank, 0.0, 1.0)


def probabilities(eps: checks.Floats, f: float, plan: Plan) -> checks.Floats:
    """π of items that stand for a population of which a rule reviews the share f.

    Args:
        eps: ε, shape [n], in [0, 1], in random order: it breaks ties.
        f: in [0, 1]; f n is no whole number in general, and a threshold takes a part of the item at its cut.
        plan: the rule.

    Returns:
        π, shape [n], with a mean of f.

    >>> probabilities(np.array([0.2, 0.9]), 0.75, Plan(rule="threshold")).tolist()
    [0.5, 1.0]
    """
    if f == 0.0:
        return np.zeros(eps.size)
    if f == 1.0:
        return np.ones(eps.size)
    if plan.rule == "threshold":
        return _top(_ranks(eps), f * eps.size)
    # the pilot comes in random order, which breaks ties
    tie = (np.arange(eps.size) + 0.5) / eps.size
    return plan.inclusion(eps, f * eps.size, tie).pi

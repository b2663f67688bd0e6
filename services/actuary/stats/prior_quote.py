"""Quotes before the pilot: what a budget would buy in the worlds that are assumed.

In each world the budget is spent as it would be: pilot, audit, then the rule, which follows the critic only
where the pilot speaks for it. With M items left for the rule, of which it reviews k,

    U ~ Beta(k, M - k + 1)       where the cut of a finite population falls
    left ~ Binomial(M - k, e s(U)/(1 - U)),

since items below a cut that the population sets are independent of one another given the cut; s is the share
of the errors that stays (`assumed`). A rule that draws has no single cut, and U is then on the wide side.

An interval holds what happens in 1 - α of the worlds. It is an assumption carried through and no measurement:
where the ranges are wrong, so is it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.special
import scipy.stats

from actuary.stats import assumed, checks, intervals, quote

METHOD: intervals.Method = "prior-predictive"

ALIKE = 5e-4
"""Accuracies closer than this are called equal: a smaller pilot is then as good."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a pilot of some size would be worth."""

    labels: int
    accuracy: float
    """Mean accuracy of the corrected labels over the worlds, the whole budget spent."""
    followed: float
    """Share of the worlds in which its labels speak for the critic, [0, 1]."""


def curve(
    worlds: assumed.Worlds,
    items: int,
    pilot: int,
    budgets: Sequence[int],
    audit: int = 0,
    alpha: float = 0.05,
) -> tuple[quote.Point, ...]:
    """Forecasts the accuracy after correction at several budgets: its median in the worlds, and an interval.

    Args:
        worlds: what is assumed, with the rule.
        items: N.
        pilot: n, items of the pilot, in [0, N].
        budgets: b, items that people look at in all, each in [n, N].
        audit: K, items of the uniform audit; paid before the rule gets anything.
        alpha: α in (0, 1); two-sided, a point.

    Returns:
        Points in the order of the budgets.

    Raises:
        BudgetInfeasible: a budget below the pilot.
        ValueError: a number out of range.

    References:
        algorithms.md 8.10. Order statistics: David, H., Nagaraja, H. (2003), Order Statistics, section 2.1.

    >>> sure = assumed.Range(low=0.799, high=0.801)
    >>> good = assumed.Range(low=0.899, high=0.901, floor=0.5)
    >>> made = assumed.worlds(sure, good, quote.Plan(rule="threshold"), level=1.0)
    >>> [round(point.accuracy, 2) for point in curve(made, 100_000, 0, [0, 20_000, 100_000])]
    [0.8, 0.93, 1.0]
    """
    found = []
    for budget in budgets:
        open_items, rate = _open(worlds, items, pilot, budget, audit)
        left = scipy.stats.binom.ppf(worlds.label_noise, open_items, rate)
        found.append(_point(budget, 1.0 - left / items, alpha))
    return tuple(found)


def gain(
    worlds: assumed.Worlds,
    items: int,
    pilot: int,
    budget: int,
    more: int,
    audit: int = 0,
    alpha: float = 0.05,
) -> quote.Gain:
    """Forecasts what the next labels would add: errors found among them, in the same worlds.

    Args:
        worlds: what is assumed, with the rule.
        items: N.
        pilot: n, items of the pilot, in [0, N].
        budget: b, items that people look at in all, in [n, N - 1].
        more: items after them, at least 1; cut to what is left.
        audit: K, items of the uniform audit.
        alpha: α in (0, 1); two-sided.

    Returns:
        The rise of the accuracy, as a fraction.

    Raises:
        BudgetInfeasible: a budget below the pilot.
        ValueError: nothing is left to label, or a number out of range.

    References:
        algorithms.md 8.10.

    >>> sure = assumed.Range(low=0.799, high=0.801)
    >>> blind = assumed.Range(low=0.5001, high=0.5002, floor=0.5)
    >>> made = assumed.worlds(sure, blind, quote.Plan(rule="threshold"), level=1.0)
    >>> round(gain(made, 100_000, 0, 0, 1_000).accuracy * 100)  # chance finds a fifth of them wrong
    0
    """
    before, rate = _open(worlds, items, pilot, budget, audit)
    if before == 0:
        raise ValueError(f"budget: expected fewer than all {items} items, got {budget}: nothing is left")
    more = min(checks.count("more", more, 1, 2**62), items - budget)
    after, rate_after = _open(worlds, items, pilot, budget + more, audit)
    hit = np.clip((before * rate - after * rate_after) / more, 0.0, 1.0)
    point = _point(more, scipy.stats.binom.ppf(worlds.label_noise, more, hit) / items, alpha)
    return quote.Gain(labels=more, accuracy=point.accuracy, low=point.low, high=point.high, method=METHOD)


def machine(worlds: assumed.Worlds, items: int, alpha: float = 0.05) -> quote.Point:
    """Accuracy of the machine's labels alone: its median over the worlds, and an interval.

    Raises:
        ValueError: no items, or α outside (0, 1).

    >>> sure = assumed.Range(low=0.799, high=0.801)
    >>> made = assumed.worlds(sure, assumed.CRITIC_AUROC, quote.Plan(rule="uniform"), level=1.0)
    >>> round(machine(made, 1_000_000).accuracy, 3)
    0.8
    """
    count = checks.count("items", items, 1, 2**62)
    return _point(0, 1.0 - scipy.stats.binom.ppf(worlds.label_noise, count, worlds.error) / count, alpha)


def trials(
    worlds: assumed.Worlds,
    items: int,
    budget: int,
    sizes: Sequence[int],
    audits: Sequence[int],
) -> tuple[Trial, ...]:
    """Spends one budget after pilots of several sizes.

    A pilot is a random sample, whose labels correct no more errors than any others; but only a critic that
    they speak for is followed by the rest.

    Args:
        worlds: what is assumed, with the rule.
        items: N.
        budget: b, items that people look at in all.
        sizes: n of the pilots, each in [0, b].
        audits: K after each of them.

    Returns:
        One a size, in their order.

    Raises:
        BudgetInfeasible: a size above the budget.
        ValueError: a number out of range, or lengths that differ.

    >>> made = assumed.worlds(
    ...     assumed.MACHINE_ACCURACY, assumed.CRITIC_AUROC, quote.Plan(rule="threshold"), level=0.1
    ... )
    >>> tried = trials(made, 10_000, 1_000, [20, 100], [0, 0])
    >>> tried[0].followed < tried[1].followed
    True
    """
    found = []
    for size, audit in zip(sizes, audits, strict=True):
        open_items, rate = _open(worlds, items, size, budget, audit)
        found.append(
            Trial(
                labels=size,
                accuracy=float(1.0 - open_items * rate.mean() / items),
                followed=float((size >= worlds.needed).mean()),
            )
        )
    return tuple(found)


def best(found: Sequence[Trial]) -> Trial:
    """The smallest pilot after which the budget does about as much as after any other.

    Raises:
        ValueError: there is none.

    >>> tried = ((20, 0.8), (50, 0.85), (100, 0.8501))
    >>> pilots = [Trial(labels=n, accuracy=a, followed=0.5) for n, a in tried]
    >>> best(pilots).labels
    50
    """
    if not found:
        raise ValueError("found: expected at least one pilot, got none")
    most = max(trial.accuracy for trial in found)
    return min((t for t in found if t.accuracy >= most - ALIKE), key=lambda trial: trial.labels)


def _open(
    worlds: assumed.Worlds, items: int, pilot: int, budget: int, audit: int
) -> tuple[int, checks.Floats]:
    """Items that nobody looks at, and the share of them that is wrong in each world, [W]."""
    items = checks.count("items", items, 1, 2**62)
    pilot = checks.count("pilot", pilot, 0, items)
    checks.count("audit", audit, 0, items)
    if budget < pilot:
        raise checks.BudgetInfeasible(
            f"budget: expected at least the pilot's {pilot} labels, got {budget}", min_budget=pilot
        )
    budget = checks.count("budget", budget, pilot, items)
    audited = min(audit, budget - pilot)
    rest, reviewed = items - pilot - audited, budget - pilot - audited
    left = rest - reviewed
    if left == 0:
        return 0, np.zeros(worlds.error.size)
    if reviewed == 0:
        return left, worlds.error
    cut = scipy.special.betaincinv(reviewed, left + 1.0, worlds.cut_noise)
    return left, np.clip(worlds.error * worlds.stays(cut, pilot) / (1.0 - cut), 0.0, 1.0)


def _point(labels: int, values: checks.Floats, alpha: float) -> quote.Point:
    """Median of equally likely values, and the order statistics between which 1 - α of them lie at least."""
    outside = int(checks.share("alpha", alpha) / 2.0 * values.size)
    ordered = np.sort(values)
    return quote.Point(
        labels=labels,
        accuracy=float(np.median(ordered)),
        low=float(ordered[outside]),
        high=float(ordered[values.size - 1 - outside]),
        method=METHOD,
    )

"""Reviewers: how often each of them errs on tasks whose answer is known (gold tasks), with an interval.

A rate from ten gold tasks is mostly chance, and a list of rates sorted by size mostly shows whose luck was
worst; so every rate comes with its interval. It deliberately does not score, rank or exclude anybody.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.special

from actuary.stats import checks, intervals


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRate:
    """One reviewer's rate of mistakes on gold tasks."""

    reviewer: int
    tasks: int
    wrong: int
    low: float
    high: float


def error_rates(
    reviewer: npt.ArrayLike, wrong: npt.ArrayLike, alpha: float = 0.05, *, watched: bool = False
) -> tuple[ErrorRate, ...]:
    """Each reviewer's rate of mistakes.

    Args:
        reviewer: who answered, an index of at least 0, shape [n].
        wrong: whether the answer differs from the known one, shape [n].
        alpha: α in (0, 1); two-sided, for each reviewer by himself.
        watched: False where the tasks are looked at once, when all are in: Clopper-Pearson. True where the
            rates stand on a page that people watch while answers come: an interval that holds at all times at
            once.

    Returns:
        The reviewers with at least one task, by index.

    Raises:
        ValueError: lengths differ, a negative index, or α outside (0, 1).

    References:
        Clopper and Pearson (1934); `confidence_sequence`.

    >>> [(r.reviewer, r.wrong, r.tasks, round(r.high, 2)) for r in error_rates([0, 0, 2], [0, 1, 0])]
    [(0, 1, 2, 0.99), (2, 0, 1, 0.97)]
    """
    index = checks.indexes("reviewer", reviewer, 0, 2**31)
    flags = checks.flags("wrong", wrong, size=index.size)
    bounds = confidence_sequence if watched else intervals.clopper_pearson
    found = []
    for who in np.unique(index):
        tasks, errors = int((index == who).sum()), int(flags[index == who].sum())
        interval = bounds(errors, tasks, alpha)
        found.append(
            ErrorRate(reviewer=int(who), tasks=tasks, wrong=errors, low=interval.low, high=interval.high)
        )
    return tuple(found)


def confidence_sequence(found: int, trials: int, alpha: float = 0.05) -> intervals.Interval:
    """An interval for a probability that holds after every trial at once, however often one looks.

        {p : B(k + 1, n - k + 1) < p^k (1 - p)^(n - k)/α}

    The mixture of all likelihood ratios against p under a uniform prior is a martingale with mean 1 when p is
    true, so that it ever passes 1/α with probability α at most (Ville). The price is width: at n = 100 about
    a half more than Clopper-Pearson.

    Args:
        found: k in [0, n].
        trials: n, at least 1.
        alpha: α in (0, 1).

    Returns:
        Bounds in [0, 1].

    Raises:
        ValueError: k or n out of range, or α outside (0, 1).

    References:
        Robbins, H. (1970), Statistical methods related to the law of the iterated logarithm, AMS 41,
        1397-1409.

    >>> bounds = confidence_sequence(10, 100)
    >>> round(bounds.low, 3), round(bounds.high, 3)
    (0.029, 0.228)
    """
    trials = checks.count("trials", trials, 1, 2**62)
    found = checks.count("found", found, 0, trials)
    limit = float(scipy.special.betaln(found + 1, trials - found + 1)) + math.log(
        checks.share("alpha", alpha)
    )

    def inside(p: float) -> float:
        likelihood = scipy.special.xlogy(found, p) + scipy.special.xlog1py(trials - found, -p)
        return float(likelihood) - limit

    share = found / trials
    tiny = 1e-300
    low = 0.0 if found == 0 else float(scipy.optimize.brentq(inside, tiny, share))
    high = 1.0 if found == trials else float(scipy.optimize.brentq(inside, share, 1.0 - 1e-16))
    return intervals.Interval(low=low, high=high)

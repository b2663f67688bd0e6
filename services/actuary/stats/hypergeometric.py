"""The hypergeometric distribution exactly, in populations of a billion: no array is as long as N.

X errors in a simple random sample of n out of N items, M of them wrong:

    P(X = x) = C(M, x) C(N - M, n - x) / C(N, n).

Differences of log-factorials of 1e9 lose six digits; the ratio of two neighbours loses none:

    p(x + 1)/p(x) = (M - x)(n - x) / ((x + 1)(N - M - n + x + 1)).

So probabilities are built outwards from the mode and normalised, over a window outside of which Hoeffding
leaves less than 1e-30. Bounds that are made of these tails are `intervals` and `certificates`.

References:
    Hoeffding, W. (1963), Probability inequalities for sums of bounded random variables, JASA 58, theorems 1
        and 4 (sampling without replacement).
"""

from __future__ import annotations

import math

import numpy as np

from actuary.stats import checks

_LOG_OUTSIDE = math.log(2e30)
"""Minus the log of the probability left outside the window, halved for each side."""


def _window(population: int, marked: int, sampled: int) -> tuple[int, checks.Floats]:
    """Returns the first x of the window, and P(X = x) from there on.

    X is, up to sign and shift, also the marked ones of `marked`, of the unsampled or of the unmarked items,
    so that Hoeffding's bound holds with the smallest of the four as its n.
    """
    low, high = max(0, sampled + marked - population), min(sampled, marked)
    smallest = min(marked, sampled, population - marked, population - sampled)
    mode = (sampled + 1) * (marked + 1) // (population + 2)
    reach = math.ceil(math.sqrt(smallest * _LOG_OUTSIDE / 2.0)) + 2
    first, last = max(low, mode - reach), min(high, mode + reach)
    x = np.arange(first, last, dtype=np.float64)
    others = float(population - marked - sampled)
    steps = np.log((marked - x) * (sampled - x)) - np.log((x + 1.0) * (others + x + 1.0))
    above = np.cumsum(steps[mode - first :])
    below = np.cumsum(-steps[: mode - first][::-1])[::-1]
    p = np.exp(np.concatenate([below, [0.0], above]))
    return first, p / p.sum()


def _check(population: int, marked: int, sampled: int) -> None:
    checks.count("population", population, 1, 2**62)
    checks.count("marked", marked, 0, population)
    checks.count("sampled", sampled, 0, population)


def pmf(found: int, population: int, marked: int, sampled: int) -> float:
    """Returns P(X = k).

    Args:
        found: k, any whole number.
        population: N, at least 1.
        marked: M in [0, N], the errors in the population.
        sampled: n in [0, N].

    Returns:
        A probability; 0 where k is impossible, and where it is below 1e-30.

    Raises:
        ValueError: a count out of range.

    References:
        Johnson, Kotz, Kemp (1992), Univariate discrete distributions, section 6.2.

    >>> round(pmf(1, 10, 3, 4), 12)  # 3 C(7, 3) / C(10, 4)
    0.5
    """
    _check(population, marked, sampled)
    first, p = _window(population, marked, sampled)
    return float(p[found - first]) if 0 <= found - first < p.size else 0.0


def cdf(found: int, population: int, marked: int, sampled: int) -> float:
    """Returns P(X <= k): how likely so few errors are, if M items are wrong. It falls as M grows.

    Args:
        found: k, any whole number.
        population: N, at least 1.
        marked: M in [0, N].
        sampled: n in [0, N].

    Returns:
        A probability, to about 1e-12 relative.

    Raises:
        ValueError: a count out of range.

    References:
        As `pmf`.

    >>> round(cdf(0, 100, 4, 50), 4), round(cdf(1_000_000, 10**9, 10**8, 10**7), 4)
    (0.0587, 0.5003)
    """
    _check(population, marked, sampled)
    first, p = _window(population, marked, sampled)
    return min(1.0, float(p[: max(0, found - first + 1)].sum()))


def acceptance_number(population: int, marked: int, sampled: int, alpha: float) -> int:
    """The most errors in a sample with which "at least M items are wrong" is refuted at level α.

    max{k : P(Hyp(N, M, n) <= k) <= α}, the acceptance number of a sampling plan for lots of N items.

    Args:
        population: N, at least 1.
        marked: M in [0, N].
        sampled: n in [0, N].
        alpha: α in (0, 1).

    Returns:
        k in [-1, n); -1 where not even a sample without errors refutes it.

    Raises:
        ValueError: a count out of range, or α outside (0, 1).

    References:
        Dodge, H., Romig, H. (1929), A method of sampling inspection, Bell System Technical Journal 8;
        consumer's risk with hypergeometric probabilities.

    >>> acceptance_number(1000, 51, 56, 0.05), acceptance_number(1000, 51, 55, 0.05)
    (0, -1)
    """
    _check(population, marked, sampled)
    first, p = _window(population, marked, sampled)
    return first - 1 + int(np.searchsorted(np.cumsum(p), checks.share("alpha", alpha), side="right"))

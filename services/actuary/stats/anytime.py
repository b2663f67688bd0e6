"""Bounds that may be looked at as often as one likes: for dashboards and streams, not for certificates.

A bound at one planned look fails more often the more often it is looked at: over 40 looks a one-sided 95 %
bound of Clopper and Pearson falls below the truth in a fifth of all audits (algorithms.md T8). The
prior-posterior ratio is a martingale whatever the number of looks, and costs about twice the width.
"""

from __future__ import annotations

import bisect

from actuary.stats import checks, hypergeometric


def ppr_ucb(population: int, sampled: int, found: int, alpha: float = 0.05) -> int:
    """An upper bound for the number of errors in a finite population, valid at all sample sizes at once.

    With a uniform prior on M, the ratio of prior to posterior after k errors in n items of a random order is
    1/((n + 1) P(Hyp(N, M, n) = k)), a non-negative martingale with mean 1 at the true M. By Ville it ever
    passes 1/α with probability α at most, so that

        max{M : P(Hyp(N, M, n) = k) > α/(n + 1)}

    is never below the truth, at any n, with probability 1 - α. The likelihood has one peak in M, at about
    k N/n, so bisection finds where it falls below.

    Args:
        population: N, at least 1.
        sampled: n in [0, N]: the first n items of a simple random order.
        found: k in [0, n].
        alpha: α in (0, 1).

    Returns:
        M in [k, N - (n - k)].

    Raises:
        ValueError: a count out of range, or α outside (0, 1).

    References:
        Waudby-Smith, I., Ramdas, A. (2020), Confidence sequences for sampling without replacement, NeurIPS,
        theorem 2.1. Ville, J. (1939).

    >>> ppr_ucb(1000, 100, 5), ppr_ucb(1000, 0, 0), ppr_ucb(1000, 1000, 5)
    (154, 1000, 5)
    """
    population = checks.count("population", population, 1, 2**62)
    sampled = checks.count("sampled", sampled, 0, population)
    found = checks.count("found", found, 0, sampled)
    floor = checks.share("alpha", alpha) / (sampled + 1)
    high = population - (sampled - found)
    # the peak, floor(k (N + 1)/n), is inside: over all M the likelihood has the mean 1/(n + 1)
    low = min(high, found * (population + 1) // sampled) if sampled else high
    return low + bisect.bisect_left(
        range(low + 1, high + 1),
        True,
        key=lambda errors: hypergeometric.pmf(found, population, errors, sampled) <= floor,
    )

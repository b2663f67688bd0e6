"""Which γ of the robust rules a pilot asks for, once each γ's constant has been solved for.

It is apart from `robust`, since pools in memory and pools in shards choose alike: `robust.tune_gamma` and
`streamed_weighing.tune_gamma` solve, and this compares.

References:
    algorithms.md T3; Robust sampling (arXiv 2511.08991), section 4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from actuary.stats import checks

ERROR_OFFSET = 0.02
"""Added to d of the pilot: where all was right in it, some will be wrong elsewhere (algorithms.md T3)."""

EQUALLY_GOOD = 1e-9
"""Variances that differ by less, in relation, are equal: each is known to some 1e-10, and where all risks are
equal rounding alone would choose."""


def pilot_variance(err: checks.Booleans, pi: checks.Floats) -> float:
    """The mean of (d_i + 0.02)/π_i of the pilot's items: what γ is to make small; d [n], π [n] above 0.

    >>> import numpy as np
    >>> round(pilot_variance(np.array([True, False]), np.array([0.5, 0.2])), 6)
    1.07
    """
    return math.fsum((err + ERROR_OFFSET) / pi) / err.size


def best_gamma(variances: Mapping[float, float]) -> float:
    """Returns the γ of the smallest variance; of those that are equal up to `EQUALLY_GOOD`, the largest.

    >>> best_gamma({0.1: 1.0, 0.2: 1.0 + 1e-12, 0.3: 1.1})
    0.2
    """
    best, least = 1.0, math.inf
    for gamma, variance in sorted(variances.items(), reverse=True):
        if variance < least * (1.0 - EQUALLY_GOOD):
            best, least = gamma, variance
    return best

"""Domains: the design of a campaign as a part of its items sees it, a class or a slice.

Which items belong to a domain is known of all N before any answer (the final machine label, a column of the
data), never from what people said. Given how many sampled items fell into it, a simple random sample of the
whole is a simple random sample of the domain, so

    srs:      π_i = n_A/M_A,  M_A its unlabelled items, n_A those of them that were sampled
    priority: π_i = min(1, τ s_i) as before: weights of a priority sample hold for every subset

and everything that `estimates` and `shares` say of a design holds for the domain's. Small domains get the
interval that holds, or none: with fewer than two sampled items in every phase `designs.combine` says so.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt
import scipy.special

from actuary.stats import checks, placing


def within(placed: placing.Placed, inside: npt.ArrayLike, population: int) -> placing.Placed:
    """Restricts a phase to a domain.

    Conditioning on n_A costs nothing, since it tells nothing about labels, and makes the phase one like any
    other. The walk of a threshold wave stays what it was: given where it stopped, the audit below is a simple
    random sample of what lies below, and of every part of it.

    Args:
        placed: the phase and π of its labelled rows, [D].
        inside: which rows belong to the domain, [D].
        population: N_vA, items of the domain that no earlier phase had labelled.

    Returns:
        The domain's phase, and π of the rows inside, in their order.

    Raises:
        ValueError: lengths differ, or more labelled rows than items.

    References:
        Cochran (1977), section 2.12 (subpopulations); Duffield, Lund, Thorup (2007), subset sums;
        Durbin, J. (1969), Inferential aspects of the randomness of sample size in survey sampling.

    >>> placed = placing.srs("pilot", 100, [0.1, 0.2, 0.3, 0.4], [True] * 4)
    >>> part = within(placed, [True, False, True, False], 20)
    >>> part.phase.population, part.phase.sampled, part.pi.tolist()
    (20, 2, [0.1, 0.1])
    """
    rows = checks.flags("inside", inside, size=placed.pi.size)
    pi = placed.pi[rows]
    used = np.isfinite(pi)
    population = checks.count("population", population, int(used.sum()), placed.phase.population)
    # In a complete phase nothing is sampled in the sense of standing for others, and in a priority phase
    # items of π = 1 are sampled ones: `estimates.check` counts in the same way.
    top = (pi == 1.0) if placed.phase.kind == "srs" and not placed.phase.complete else np.zeros_like(used)
    certain, sampled = int(top.sum()), int((used & ~top).sum())
    phase = dataclasses.replace(placed.phase, population=population, certain=certain, sampled=sampled)
    if phase.kind == "srs":
        share = sampled / phase.sampled_population if phase.sampled_population else 1.0
        pi = np.where(used & ~top, share, pi)
    return placing.Placed(phase=phase, pi=pi)


def items_for(rate: float, margin: float, population: int, alpha: float = 0.05) -> int:
    """Items of a simple random sample whose normal interval for a rate reaches so far to either side.

        n = n∞/(1 + (n∞ - 1)/N),   n∞ = z² p(1 - p)/d²

    with p kept from 0 and 1 by one item in 100: where no error was seen, some will be.

    Args:
        rate: p, what the rate is thought to be, [0, 1].
        margin: d, in (0, 1).
        population: N, items to stand for, at least 1.
        alpha: α in (0, 1); two-sided.

    Returns:
        n, a whole number in [1, N].

    Raises:
        ValueError: an argument out of range.

    References:
        Cochran (1977), section 4.4.

    >>> items_for(0.5, 0.1, 10**9), items_for(0.5, 0.1, 100)
    (97, 50)
    """
    items = checks.count("population", population, 1, 2**62)
    p = min(max(float(checks.within("rate", [rate], 0.0, 1.0)[0]), 0.01), 0.99)
    d = checks.share("margin", margin)
    z = float(scipy.special.ndtri(1.0 - checks.share("alpha", alpha) / 2.0))
    endless = z**2 * p * (1.0 - p) / d**2
    return min(items, max(1, math.ceil(endless / (1.0 + (endless - 1.0) / items) - 1e-9)))

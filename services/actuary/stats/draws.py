"""Draws: from size measures and permanent random numbers to a sample and its inclusion probabilities.

The workhorse is priority sampling (Duffield, Lund, Thorup 2007): order items by r = u/s, take the B
smallest, and let the next r be τ. Then π_i = min(1, τ s_i) is exact for Horvitz-Thompson weights: unbiased
totals, zero covariance between items, exactly B items, nested in B, and each item's fate depends on its own
numbers and τ alone, so shards can draw in parallel. And since items are served in the order of r, whoever
stops early leaves a smaller draw of the same kind (algorithms.md 8.6).

π is returned for all items, but it is the weight's denominator of *selected* items; it is not a marginal
probability.

References:
    Duffield, N., Lund, C., Thorup, M. (2007). Priority sampling for estimation of arbitrary subset sums.
        J. ACM 54(6).
    Szegedy, M. (2006). The DLT priority sampling is essentially optimal. STOC.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from actuary.stats import checks


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """A sample, and what its weights need."""

    selected: checks.Booleans
    """δ, shape [N]."""
    pi: checks.Floats
    """π, shape [N], in [0, 1]: 1/π is the weight of a selected item."""
    rank: checks.Floats
    """r = u/s, shape [N], the order of serving: inf where s is 0, 0 for items taken with certainty."""
    tau: float
    """τ: see the function that drew."""


def draw_poisson(pi: npt.ArrayLike, u: npt.ArrayLike) -> checks.Booleans:
    """Decides on every item by itself: δ_i = 1[u_i < π_i].

    Args:
        pi: π, shape [N], in [0, 1].
        u: [N] in (0, 1).

    Returns:
        δ, shape [N]; its sum is random, with standard deviation (Σ π(1 - π))^1/2.

    Raises:
        ValueError: π outside [0, 1], u outside (0, 1), or lengths differ.

    >>> draw_poisson([0.5, 0.5, 1.0], [0.2, 0.7, 0.999]).tolist()
    [True, False, True]
    """
    pi = checks.risks("pi", pi)
    return checks.uniforms("u", u, size=pi.size) < pi


def srs(u: npt.ArrayLike, size: int) -> Draw:
    """A simple random sample without replacement: the items with the smallest u.

    Args:
        u: [N] in (0, 1).
        size: n in [1, N].

    Returns:
        The sample; π = n/N for all; rank is u, the order of serving: every prefix is a simple random sample
        too. τ is the largest u in the sample, so that the others are uniform on (τ, 1): what `rescale`
        wants. (Given the *next* u instead, the item that has it would be known, and a later wave would take
        it with certainty.)

    Raises:
        ValueError: u outside (0, 1), or the size is not a whole number in [1, N].

    References:
        Fan, C., Muller, M., Rezucha, I. (1962). Development of sampling plans by using sequential
        selection. JASA 57.

    >>> sample = srs([0.4, 0.1, 0.8, 0.6], 2)
    >>> sample.selected.tolist(), sample.tau, sample.pi.tolist()
    ([True, True, False, False], 0.4, [0.5, 0.5, 0.5, 0.5])
    """
    u = checks.uniforms("u", u)
    size = checks.count("size", size, 1, u.size)
    order = np.argsort(u, kind="stable")[:size]
    selected = np.zeros(u.size, dtype=np.bool_)
    selected[order] = True
    return Draw(selected=selected, pi=np.full(u.size, size / u.size), rank=u.copy(), tau=float(u[order[-1]]))


def draw_exact(
    score: npt.ArrayLike, u: npt.ArrayLike, size: int, take_all: npt.ArrayLike | None = None
) -> Draw:
    """Priority sampling of exactly `size` items: the smallest r_i = u_i/s_i, with π_i = min(1, τ s_i).

    τ is the next r. An adaptive threshold, yet the weights 1/π are exact: moving a drawn item anywhere
    below τ changes nothing for the others.

    Args:
        score: s, the size measure, shape [N], at least 0; only ratios matter. An item of score 0 is never
            drawn.
        u: [N] in (0, 1), uniform given everything that the scores depend on.
        size: number of items, take-all included, in [1, N].
        take_all: [N]; items taken with certainty before the others are drawn.

    Returns:
        The sample. τ is the smallest r among the drawable items that were not drawn: their (size + 1)-th r;
        infinite when all of them were drawn, and π is 1 then.

    Raises:
        ValueError: negative or infinite score, u outside (0, 1), lengths differ, size not in [1, N], more
            take-all items than size, or fewer items of positive score than there are to draw.

    References:
        Duffield, Lund, Thorup (2007), equation 1; substitutability of τ: Ting (2017, arXiv 1708.04970).

    >>> sample = draw_exact([1.0, 2.0, 4.0, 1.0], [0.5, 0.2, 0.8, 0.9], 2)
    >>> sample.selected.tolist(), round(sample.tau, 3), sample.pi.tolist()
    ([False, True, True, False], 0.5, [0.5, 1.0, 1.0, 0.5])
    """
    score = checks.sizes("score", score)
    u = checks.uniforms("u", u, size=score.size)
    size = checks.count("size", size, 1, score.size)
    sure = (
        np.zeros(score.size, dtype=np.bool_)
        if take_all is None
        else checks.flags("take_all", take_all, size=score.size)
    )
    left = size - int(sure.sum())
    if left < 0:
        raise ValueError(f"take_all: expected at most {size} items, the size, got {int(sure.sum())}")
    drawable = int(np.count_nonzero((score > 0.0) & ~sure))
    if left > drawable:
        raise ValueError(
            f"size: expected at most {drawable} items to draw, those of positive score, got {left};"
            " give the others a positive score or lower the budget"
        )
    rank = np.full(score.size, np.inf)
    with np.errstate(over="ignore"):  # found out below, with a message
        np.divide(u, score, out=rank, where=score > 0.0)
    rank[sure] = 0.0
    order = np.lexsort((u, rank))
    selected = np.zeros(score.size, dtype=np.bool_)
    selected[order[:size]] = True
    # Tiny scores overflow to r = inf; such an item is drawable all the same, and τ = inf would wrongly say
    # "all".
    tau = float(rank[order[size]]) if left < drawable else np.inf
    if left < drawable and not np.isfinite(tau):
        raise ValueError(
            "score: expected scores whose ratios to u are finite, got one too close to 0; rescale them"
        )
    pi = np.minimum(1.0, tau * score, where=score > 0.0, out=np.zeros(score.size))
    pi[sure] = 1.0
    return Draw(selected=selected, pi=pi, rank=rank, tau=tau)


def rescale(u: npt.ArrayLike, tau: npt.ArrayLike) -> checks.Floats:
    """Makes the numbers of items that an earlier draw left uniform again: u' = (u - τ)/(1 - τ).

    An item that was not drawn is known to have u > τ. Drawing again with the raw u takes too few from where
    the earlier draw was dense: bias -.039 at a true .162, coverage .35 (algorithms.md 8.1).

    Args:
        u: [M] of the items that were *not* drawn before.
        tau: how much of (0, 1) is used up: a number, or [M]. After `srs` its τ. After `draw_exact`, an
            item's s times the largest r that was drawn.

    Returns:
        u', shape [M], in (0, 1), uniform and independent given the earlier draw.

    Raises:
        ValueError: τ outside [0, 1), or an item has u <= τ: it was drawn before and has no place here.

    References:
        algorithms.md 8.1; Ohlsson (1995), on coordinating samples.

    >>> rescale([0.6, 0.8], 0.2).round(6).tolist()
    [0.5, 0.75]
    """
    u = checks.uniforms("u", u)
    used = np.broadcast_to(np.asarray(tau, dtype=np.float64), u.shape)
    if not ((used >= 0.0) & (used < 1.0)).all():
        raise ValueError("tau: expected values in [0, 1)")
    if (u <= used).any():
        first = int(np.argmax(u <= used))
        raise ValueError(
            f"u: expected only items with u > tau, got {u[first]} at [{first}] with tau {used[first]}:"
            " it was drawn by the earlier wave"
        )
    return (u - used) / (1.0 - used)

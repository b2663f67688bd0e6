"""Draws: from size measures and permanent random numbers to a sample and its inclusion probabilities.

The workhorse is priority sampling (Duffield, Lund, Thorup 2007): order items by r = u/s, take the B
smallest, and let the next r be τ. Then π_i = min(1, τ s_i) is exact for Horvitz-Thompson weights: unbiased
totals, zero covariance between items, exactly B items, nested in B, and each item's fate depends on its own
numbers and τ alone, so shards can draw in parallel. And since items are served in the order of r, whoever
stops early leaves a smaller draw of the same kind (algorithms.md 8.6).

Take-all items are served among the drawn ones, as if they had been drawn with s = 1/τ: their r = τu lies
anywhere below τ, and π = min(1, τ/τ) = 1 when all is answered. Whoever stops at r = t has then drawn *every*
planned item with π = min(1, t s), take-all items with t/τ: the same design, thinned. *Why this is exact.* τ
is fixed by the drawable items, and moving any planned item below t changes neither τ nor t, the next r of
the plan. Had the take-all items been served last, a wave that stopped before them would say nothing about
them; served first, it would say nothing about the others.

π is returned for all items, but it is the weight's denominator of *selected* items; it is not a marginal
probability.

References:
    Duffield, N., Lund, C., Thorup, M. (2007). Priority sampling for estimation of arbitrary subset sums.
        J. ACM 54(6).
    Szegedy, M. (2006). The DLT priority sampling is essentially optimal. STOC.
"""

from __future__ import annotations

import dataclasses
import math

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
    """r = u/s, shape [N], the order of serving; inf where s is 0. Take-all items have r = τu."""
    score: checks.Floats
    """s as drawn and served, shape [N]; 1/τ for take-all items."""
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
    pi = np.full(u.size, size / u.size)
    return Draw(selected=selected, pi=pi, rank=u.copy(), score=np.ones(u.size), tau=float(u[order[-1]]))


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
        take_all: [N]; items taken with certainty beside those that are drawn; their scores are not read.

    Returns:
        The sample. τ is the smallest r among the drawable items that were not drawn: their (size + 1)-th r;
        infinite when all of them were drawn, and π is 1 then.

    Raises:
        ValueError: negative or infinite score, u outside (0, 1), lengths differ, size not in [1, N], as many
            take-all items as the size although others could be drawn (nothing would be known of those), or
            fewer items of positive score than there are to draw.

    References:
        Duffield, Lund, Thorup (2007), equation 1; substitutability of τ: Ting (2017, arXiv 1708.04970).

    >>> sample = draw_exact([1.0, 2.0, 4.0, 1.0], [0.5, 0.2, 0.8, 0.9], 2)
    >>> sample.selected.tolist(), round(sample.tau, 3), sample.pi.tolist()
    ([False, True, True, False], 0.5, [0.5, 1.0, 1.0, 0.5])
    """
    score, u, sure = _checked(score, u, take_all)
    size = checks.count("size", size, 1, score.size)
    left = size - int(sure.sum())
    drawable = int(np.count_nonzero((score > 0.0) & ~sure))
    if left < 0 or (left == 0 and drawable > 0):
        raise ValueError(
            f"take_all: expected fewer than {size} items, the size, so that others are drawn, got"
            f" {int(sure.sum())}; without a draw use `rules.pi_threshold` and an audit"
        )
    if left > drawable:
        raise ValueError(
            f"size: expected at most {drawable} items to draw, those of positive score, got {left};"
            " give the others a positive score or lower the budget"
        )
    rank, order = _ranked(score, u, sure)
    return _cut(score, u, sure, rank, order, left)


def draw_money(
    score: npt.ArrayLike,
    u: npt.ArrayLike,
    cost: npt.ArrayLike,
    money: float,
    take_all: npt.ArrayLike | None = None,
) -> Draw:
    """Priority sampling for money: items in the order of r_i = u_i/s_i until the first that does not fit.

    Nobody behind that first item is taken, however cheap: τ is its r, and the weights 1/π with
    π_i = min(1, τ s_i) are exact. *Proof.* Put r_i = 0 and let τ_i be the threshold then; the other numbers
    fix it. If r_i < τ_i, the items below τ_i are the same as with r_i = 0 and cost as much, and the same
    item does not fit: τ = τ_i and i is drawn. If r_i > τ_i, then whoever stands at τ_i comes before i, and if
    i fitted behind it, both would have fitted with r_i = 0. So i is drawn exactly if r_i < τ_i, that is
    with probability min(1, τ_i s_i), by which its weight divides. Pairs likewise, so that covariances are
    zero, if any two items together fit the money. More money only adds items.

    Args:
        score: s, the size measure, shape [N], at least 0; only ratios matter. An item of score 0 is never
            drawn.
        u: [N] in (0, 1), uniform given everything that the scores depend on.
        cost: c, shape [N], above 0; whole numbers (micro-dollars) are added without rounding.
        money: M, (0, Σc].
        take_all: [N]; items taken with certainty beside those that are drawn; their scores are not read.

    Returns:
        The sample, which costs at most M. τ is infinite when all drawable items fit.

    Raises:
        BudgetInfeasible: an item alone costs more than the take-all items leave; it could never be drawn, and
            the estimate would not know it.
        ValueError: negative or infinite score, u outside (0, 1), a cost that is not above 0, lengths differ,
            or M outside (0, Σc].

    References:
        algorithms.md 3.3; Ting (2017, arXiv 1708.04970), section 4.

    >>> sample = draw_money([1.0, 1.0, 1.0, 1.0], [0.1, 0.4, 0.2, 0.3], [2, 1, 1, 3], 5)
    >>> sample.selected.tolist(), sample.tau, sample.pi.tolist()
    ([True, False, True, False], 0.3, [0.3, 0.3, 0.3, 0.3])
    """
    score, u, sure = _checked(score, u, take_all)
    cost = checks.costs("cost", cost, size=score.size)
    total = math.fsum(cost)
    money = checks.budget(money, total)
    drawable = (score > 0.0) & ~sure
    certain = math.fsum(cost[sure])
    least = certain + float(cost[drawable].max(initial=0.0))
    if least > money * (1.0 + 1e-12):
        raise checks.BudgetInfeasible(
            f"money: expected at least {least:.15g}, what take-all items and the dearest other item cost"
            f" together, got {money:.15g}; an item that never fits is never drawn",
            min_budget=least,
        )
    rank, order = _ranked(score, u, sure)
    spent = certain + np.cumsum(cost[order][: np.count_nonzero(drawable)])
    # a running sum may pass the whole by rounding
    fitting = spent.size if money == total else int(np.count_nonzero(spent <= money))
    return _cut(score, u, sure, rank, order, fitting)


def _checked(
    score: npt.ArrayLike, u: npt.ArrayLike, take_all: npt.ArrayLike | None
) -> tuple[checks.Floats, checks.Floats, checks.Booleans]:
    sizes = checks.sizes("score", score)
    numbers = checks.uniforms("u", u, size=sizes.size)
    if take_all is None:
        return sizes, numbers, np.zeros(sizes.size, dtype=np.bool_)
    return sizes, numbers, checks.flags("take_all", take_all, size=sizes.size)


def _ranked(
    score: checks.Floats, u: checks.Floats, sure: checks.Booleans
) -> tuple[checks.Floats, checks.Integers]:
    """R of the drawable items, infinite for others, and the order of r, ties by u."""
    rank = np.full(score.size, np.inf)
    with np.errstate(over="ignore"):  # found out by `_cut`, with a message
        np.divide(u, score, out=rank, where=(score > 0.0) & ~sure)
    return rank, np.lexsort((u, rank))


def _cut(
    score: checks.Floats,
    u: checks.Floats,
    sure: checks.Booleans,
    rank: checks.Floats,
    order: checks.Integers,
    drawn: int,
) -> Draw:
    """Draws the first so many of the order; take-all items are put among them, see `Draw.rank`."""
    drawable = (score > 0.0) & ~sure
    reached = order[: min(drawn + 1, int(np.count_nonzero(drawable)))]
    if not np.isfinite(rank[reached]).all():
        raise ValueError(
            "score: expected scores whose ratios to u are finite, got one too close to 0; rescale them"
        )
    selected = sure.copy()
    selected[order[:drawn]] = True
    tau = float(rank[order[drawn]]) if drawn < rank.size else np.inf
    pi = sure.astype(np.float64)
    pi[drawable] = np.minimum(1.0, tau * score[drawable])
    # When all were drawn, the last of them takes the place of τ; with nobody else u itself will do.
    scale = tau if np.isfinite(tau) else float(rank[order[drawn - 1]]) if drawn else 1.0
    return Draw(
        selected=selected,
        pi=pi,
        rank=np.where(sure, u * scale, rank),
        score=np.where(sure, 1.0 / scale, score),
        tau=tau,
    )


def conditional(before: npt.ArrayLike, now: npt.ArrayLike) -> checks.Floats:
    """Probability of being drawn now, given not before, when the numbers are kept: (π₂ - π₁)⁺/(1 - π₁).

    For `draw_poisson` twice with the same u: who was not drawn has u >= π₁, and is drawn now if u < π₂. It
    holds also where π₂ comes from a critic that was fitted on the first wave's labels: given those, u is
    uniform on [π₁, 1). The unconditional π₂ would then depend on the labels that it weighs (algorithms.md
    3.1).

    Args:
        before: π₁ of items that were not drawn before, shape [M], in [0, 1).
        now: π₂ of the same items, shape [M], in [0, 1].

    Returns:
        The probability by which a newly drawn item is weighed, shape [M], in [0, 1].

    Raises:
        ValueError: a value out of range (an item of π₁ = 1 was drawn before), no items, or lengths differ.

    References:
        algorithms.md 3.1, 8.1; Ohlsson (1995).

    >>> conditional([0.2, 0.5], [0.6, 0.4]).round(6).tolist()
    [0.5, 0.0]
    """
    before = checks.risks("before", before)
    if (before == 1.0).any():
        raise ValueError("before: expected probabilities below 1, got 1: such an item was drawn before")
    now = checks.within("now", now, 0.0, 1.0, size=before.size)
    return np.maximum(0.0, now - before) / (1.0 - before)


def rescale(u: npt.ArrayLike, tau: npt.ArrayLike) -> checks.Floats:
    """Makes the numbers of items that an earlier draw left uniform again: u' = (u - τ)/(1 - τ).

    An item that was not drawn is known to have u > τ. Drawing again with the raw u takes too few from where
    the earlier draw was dense: bias -.039 at a true .162, coverage .35 (algorithms.md 8.1).

    It is for draws of a size, finished or without take-all items. After `draw_money` more is known than
    u > τ: the next item was too dear, so dear items have smaller numbers than cheap ones. And where take-all
    items were served, the order up to a stop depends on the τ of all. Later waves then take a new key.

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

"""Robust rules: probabilities from which an estimate is as safe as the labels are useful.

The paper's rules trust the critic: where it is wrong with confidence, an item of probability 1e-6 has a
weight of a million. These rules keep every weight within a small factor of the uniform one. In most of them

    v_i = (1 - γ) ε_i + γ mean ε,    s_i = √(v_i/c_i),

is the size measure that minimises the variance Σ v_i (1 - π_i)/π_i of the estimated total under Σ c_i π_i = B
(Neyman's allocation), with the mean mixed in because risks are sometimes wrong. Where the estimate uses the
calibrated risk as its control variate, the variance of d - ε is ε(1 - ε): pass that as `eps`.

Everything is solved for one constant by halving the range of float64 numbers, and sums run in the order of
size, so that the order of the items does not change a bit of it. Who is drawn is decided in `draws`; how
large a budget must be, and how strata share it, in `budgets`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from actuary.stats import checks, rules, tuning

GAMMA = 0.3
"""γ without a pilot: at most 8 % worse than uniform over eight critics (algorithms.md T3)."""

GRID = tuple(step / 20.0 for step in range(1, 21))
"""γ that `tune_gamma` tries: .05 to 1."""

SMALLEST_AUDIT = 1e-3
"""Of a hybrid. Less of a budget than this is the threshold rule in all but name."""

SMALLEST_MIX = 1e-6
"""Of γ to try and of CDI's τ: they exist to keep every size measure above 0."""

_CLOSE = 1 << 51
"""Patterns between two floats of which one is at most about half more than the other."""


def _largest(cost_at: Callable[[float], float], low: float, high: float, budget: float) -> float:
    """Returns the largest float64 x in [low, high) with cost_at(x) <= budget, for a rising function.

    Positive floats are ordered as their bit patterns are, so that at most 63 halvings of the pattern end at
    two neighbours. Once both ends are close the function is nearly straight between them, and looking where
    its chord meets the budget, and a little beyond, ends after a third of the calls.
    """
    below, above = (int(np.float64(x).view(np.int64)) for x in (low, high))
    cost_below, cost_above = cost_at(low), cost_at(high)

    def look(at: int) -> bool:
        nonlocal below, above, cost_below, cost_above
        cost = cost_at(_float(at))
        if cost <= budget:
            below, cost_below = at, cost
        else:
            above, cost_above = at, cost
        return cost <= budget

    while (gap := above - below) > 1:
        if gap < _CLOSE and cost_below < cost_above:
            share = (budget - cost_below) / (cost_above - cost_below)
            chord = below + min(max(int(share * gap), 1), gap - 1)
            beyond = chord + (gap // 16 if look(chord) else -(gap // 16))
            if below < beyond < above:
                look(beyond)
        if above - below > gap // 2:
            look(below + (above - below) // 2)
    return _float(below)


def _float(pattern: int) -> float:
    return float(np.int64(pattern).view(np.float64))


def _afford(floor: float, total: float, budget: float) -> None:
    if floor * total > budget * (1.0 + 1e-12):
        raise checks.BudgetInfeasible(
            f"budget: expected at least {floor * total:.15g}, so that every item has the probability of"
            f" {floor:g} (floor), got {budget:.15g}; lower the floor or raise the budget",
            min_budget=floor * total,
        )


def _water_fill(
    size: checks.Floats, cost: checks.Floats, budget: float, floor: float, ceiling: float
) -> tuple[checks.Floats, checks.Floats, float]:
    """Solves π = clip(κ s, floor, ceiling) for Σ cπ = B; returns π, the score to draw with, and κ."""
    if not (size > 0.0).all():
        raise ValueError(
            "eps: expected a predicted variance above 0 for every item, got 0; raise gamma (or tau), so that"
            " no item is out of reach"
        )
    if not 0.0 <= floor <= ceiling <= 1.0:
        raise ValueError(f"floor, ceiling: expected 0 <= floor <= ceiling <= 1, got {floor} and {ceiling}")
    total = math.fsum(cost)
    _afford(floor, total, budget)
    if ceiling * total < budget * (1.0 - 1e-12):
        raise ValueError(
            f"budget: expected at most {ceiling * total:.15g}, since no item may have more than the"
            f" probability of {ceiling:g} (ceiling), got {budget:.15g}"
        )
    order = np.lexsort((cost, size))
    s, c = size[order], cost[order]

    def cost_at(kappa: float) -> float:
        return float((c * np.minimum(np.maximum(kappa * s, floor), ceiling)).sum())

    kappa = ceiling / float(s[0])
    if budget < cost_at(kappa) * (1.0 - 1e-12):
        # the floor alone may be the budget, and pass it by rounding
        kappa = _largest(cost_at, 0.0, kappa, max(budget, cost_at(0.0)))
    highest = math.inf if ceiling == 1.0 else ceiling / kappa
    return np.clip(kappa * size, floor, ceiling), np.clip(size, floor / kappa, highest), kappa


def _variances(eps: checks.Floats, gamma: float) -> tuple[checks.Floats, float]:
    """The variances v [N], and mean ε. Without any risk v is 1 for all, the limit of equal risks."""
    mean = math.fsum(eps) / eps.size
    return ((1.0 - gamma) * eps + gamma * mean if mean > 0.0 else np.ones(eps.size)), mean


def _share(name: str, value: float, least: float = 0.0) -> float:
    if not least <= value <= 1.0:
        raise ValueError(f"{name}: expected a number in [{least:g}, 1], got {value}")
    return float(value)


def pi_sqrt(
    eps: npt.ArrayLike,
    budget: float,
    cost: npt.ArrayLike | None = None,
    *,
    gamma: float = GAMMA,
    floor: float = 0.0,
    ceiling: float = 1.0,
) -> rules.Inclusion:
    """The robust square root: π_i = clip(κ √(v_i/c_i), floor, ceiling) with Σ c_i π_i = B.

    Best for the estimate of how many labels are wrong. γ bounds every weight: with equal costs
    1/π_i <= N/(B √γ), since Σ √v <= N √(mean ε) and v_i >= γ mean ε.

    Args:
        eps: ε, or another predicted squared error such as ε(1 - ε), shape [N], in [0, 1].
        budget: B in labels, (0, N]; with costs in their unit, (0, Σc].
        cost: c, shape [N], above 0; None for 1 each.
        gamma: γ in [0, 1]; 1 is uniform in risk, 0 trusts the critic and needs ε above 0 everywhere.
        floor: π of no item is below it; in [0, ceiling].
        ceiling: π of no item is above it; in [floor, 1].

    Returns:
        Probabilities; `constants` holds κ, γ, the mean of ε, floor and ceiling. The score has the floor and
        the ceiling in it.

    Raises:
        BudgetInfeasible: the floor alone costs more than the budget.
        ValueError: ε outside [0, 1], no items, a cost that is not above 0, B out of range or above what the
            ceiling allows, γ, floor or ceiling outside their ranges, or an item of v = 0.

    References:
        algorithms.md 3.2, T2a; Neyman (1934), On the two different aspects of the representative method, JRSS
        97; Zrnic and Candès (2024), Active statistical inference; floors: Robust sampling (arXiv 2511.08991).

    >>> rule = pi_sqrt([0.64, 0.04, 0.04, 0.04], 1.1, gamma=0.0)
    >>> rule.pi.round(6).tolist(), round(rule.constants["kappa"], 6)
    ([0.628571, 0.157143, 0.157143, 0.157143], 0.785714)
    >>> pi_sqrt([0.64, 0.04, 0.04, 0.04], 1.1, gamma=0.0, floor=0.25).pi.round(6).tolist()
    [0.35, 0.25, 0.25, 0.25]
    """
    eps = checks.risks("eps", eps)
    price = checks.costs("cost", cost, size=eps.size)
    budget = checks.budget(budget, math.fsum(price))
    v, mean = _variances(eps, _share("gamma", gamma))
    pi, score, kappa = _water_fill(np.sqrt(v / price), price, budget, floor, ceiling)
    constants = {"kappa": kappa, "gamma": gamma, "mean": mean, "floor": floor, "ceiling": ceiling}
    return rules.Inclusion.of(pi=pi, score=score, constants=constants, eps=eps)


def tune_gamma(
    eps: npt.ArrayLike,
    pilot: npt.ArrayLike,
    err: npt.ArrayLike,
    budget: float,
    cost: npt.ArrayLike | None = None,
    *,
    grid: tuple[float, ...] = GRID,
) -> float:
    """Chooses γ of `pi_sqrt` by the pilot: the one that minimises mean (d_i + 0.02)/π_i over its items.

    The variance of the coming estimate is Σ E[d]/π minus a constant, so this is its estimate from a simple
    random sample. π of pilot items is what the rule, solved for the items outside of the pilot, would give
    them. Among equally good γ the largest is taken, the one nearest to uniform.

    Args:
        eps: ε, shape [N], in [0, 1]; of pilot items out of fold.
        pilot: [N], who is in the pilot; some, not all.
        err: d of the pilot's items, [n], in the order of the items.
        budget: B for the items outside of the pilot, in labels or in the unit of costs.
        cost: c, shape [N], above 0; None for 1 each.
        grid: γ to try, each in [1e-6, 1].

    Returns:
        γ.

    Raises:
        ValueError: lengths differ, values out of range, an empty grid, or no item in or outside of the pilot.

    References:
        algorithms.md T3; Robust sampling (arXiv 2511.08991), section 4.

    >>> eps, pilot = [0.9, 0.1] * 8, [True] * 8 + [False] * 8
    >>> tune_gamma(eps, pilot, [True, False] * 4, 2), tune_gamma(eps, pilot, [False, True] * 4, 2)
    (0.05, 1.0)
    """
    eps = checks.risks("eps", eps)
    inside = checks.flags("pilot", pilot, size=eps.size)
    if inside.all() or not inside.any():
        raise ValueError(f"pilot: expected some items of {eps.size} and not all, got {int(inside.sum())}")
    wrong = checks.flags("err", err, size=int(inside.sum()))
    price = checks.costs("cost", cost, size=eps.size)
    if not grid:
        raise ValueError("grid: expected at least one gamma, got none")
    variances = {}
    for gamma in grid:
        constants = pi_sqrt(
            eps[~inside], budget, price[~inside], gamma=_share("grid", gamma, SMALLEST_MIX)
        ).constants
        v = (1.0 - gamma) * eps[inside] + gamma * constants["mean"] if constants["mean"] > 0.0 else 1.0
        pi = np.minimum(1.0, constants["kappa"] * np.sqrt(v / price[inside]))
        variances[gamma] = tuning.pilot_variance(wrong, pi)
    return tuning.best_gamma(variances)


def pi_hybrid(
    eps: npt.ArrayLike,
    budget: float,
    u_tie: npt.ArrayLike,
    cost: npt.ArrayLike | None = None,
    *,
    audit: float = 0.3,
    gamma: float = GAMMA,
    floor_frac: float = 0.25,
) -> rules.Inclusion:
    """The most suspicious for certain, and a robust square root on the rest: both accuracy and an estimate.

    (1 - a) B buys the top of `rules.risk_order`, whole items; all that is left buys `pi_sqrt` on the others,
    none below the share `floor_frac` of the probability that they would have if all were alike. So Σ cπ = B
    exactly, and 1/π <= N/(a B floor_frac) for equal costs. With whole labels no π falls when B grows; a dear
    item that enters the top takes from the others.

    Args:
        eps: ε, shape [N], in [0, 1].
        budget: B in labels, (0, N]; with costs in their unit, (0, Σc].
        u_tie: [N] in (0, 1), from the key of ties.
        cost: c, shape [N], above 0; None for 1 each.
        audit: a in [.001, 1], the share that is drawn: .3; .2 for accuracy, .5 for tight intervals.
        gamma: γ in [0, 1], of the square root.
        floor_frac: in [0, 1].

    Returns:
        Probabilities, with the certain items as `take_all`; `constants` holds a, the risk per cost of the
        last certain item (`threshold`, infinite if there is none), and what `pi_sqrt` gives for the others.

    Raises:
        ValueError: ε outside [0, 1], u outside (0, 1), a cost that is not above 0, lengths differ, B out of
            range, or a, γ or floor_frac outside their ranges.

    References:
        algorithms.md 3.2, T1, T3.

    >>> rule = pi_hybrid([0.9, 0.8, 0.1, 0.1, 0.1, 0.1], 3, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], audit=0.34)
    >>> rule.pi.round(6).tolist(), rule.take_all.tolist()
    ([1.0, 0.6906, 0.32735, 0.32735, 0.32735, 0.32735], [True, False, False, False, False, False])
    """
    order = rules.risk_order(eps, u_tie, cost)
    eps = checks.risks("eps", eps)
    price = checks.costs("cost", cost, size=eps.size)
    budget = checks.budget(budget, math.fsum(price))
    _share("audit", audit, SMALLEST_AUDIT)
    # (1 - a) B in floats may end just below a whole number of labels.
    top = rules.take_top(order, price, (1.0 - audit) * budget * (1.0 + 1e-12))
    rest = ~top
    left = min(budget - math.fsum(price[top]), math.fsum(price[rest]))
    floor = _share("floor_frac", floor_frac) * left / math.fsum(price[rest])
    drawn = pi_sqrt(eps[rest], left, price[rest], gamma=gamma, floor=min(floor, 1.0))
    pi, score = np.ones(eps.size), np.ones(eps.size)
    pi[rest], score[rest] = drawn.pi, drawn.score
    last = float((eps / price)[top].min()) if top.any() else math.inf
    constants = {**drawn.constants, "audit": audit, "threshold": last}
    return rules.Inclusion.of(pi=pi, score=score, constants=constants, eps=eps, take_all=top)


def pi_lagrange(
    eps: npt.ArrayLike,
    v: npt.ArrayLike,
    budget: float,
    lam: float,
    cost: npt.ArrayLike | None = None,
    *,
    floor: float = 0.0,
) -> rules.Inclusion:
    """The best of both, weighed by λ: maximises Σ π_i ε_i - λ Σ v_i/π_i under Σ c_i π_i = B.

    The first sum is how many errors are found, the second the variance of the estimate. Setting the
    derivative ε_i + λ v_i/π_i² to μ c_i, the price of money, gives

        π_i = √(λ v_i/(μ c_i - ε_i))  if μ c_i - ε_i > λ v_i,  else 1,

    which falls in μ, so that one μ spends B. λ → 0 is the threshold rule, λ → ∞ the square root.

    Args:
        eps: ε, shape [N], in [0, 1].
        v: predicted variance of d - ε, shape [N], above 0: (1 - γ) ε + γ mean ε, or, with the risk as control
            variate, `placing.robust_variance`.
        budget: B in labels, (0, N]; with costs in their unit, (0, Σc].
        lam: λ in errors found per unit of variance, above 0; useful ones are (B/N)² mean ε/mean v times a
            factor between .01 (accuracy) and 1 (estimate).
        cost: c, shape [N], above 0; None for 1 each.
        floor: π of no item is below it; in [0, 1].

    Returns:
        Probabilities, with the items of π = 1 as `take_all`; `constants` holds μ, λ and the floor.

    Raises:
        BudgetInfeasible: the floor alone costs more than the budget.
        ValueError: ε outside [0, 1], v or a cost not above 0, lengths differ, B, λ or the floor out of range;
            or a λ so small that no float64 μ spends B: risks that are equal then get in all at once.

    References:
        algorithms.md 3.2, T3; Boyd and Vandenberghe (2004), Convex Optimization, section 5.5.

    >>> rule = pi_lagrange([0.5, 0.1, 0.1], [0.2, 0.2, 0.2], 2, lam=0.1)
    >>> rule.pi.round(4).tolist(), round(rule.constants["mu"], 4)
    ([1.0, 0.5, 0.5], 0.18)
    """
    eps = checks.risks("eps", eps)
    v = checks.sizes("v", v, size=eps.size)
    price = checks.costs("cost", cost, size=eps.size)
    total = math.fsum(price)
    budget = checks.budget(budget, total)
    _share("floor", floor)
    if (v == 0.0).any() or not 0.0 < lam < math.inf:
        raise ValueError(
            f"v, lam: expected predicted variances and a lambda above 0, got {v.min()} and {lam};"
            " `rules.pi_threshold` is the limit of lambda = 0"
        )
    _afford(floor, total, budget)
    order = np.lexsort((price, v, eps))
    e, w, c = eps[order], lam * v[order], price[order]

    def at(mu: float, e: checks.Floats, w: checks.Floats, c: checks.Floats) -> checks.Floats:
        left = mu * c - e
        return np.maximum(floor, np.sqrt(w / np.maximum(left, w)))

    mu = float(((e + w) / c).min())  # all probabilities are 1 up to this price, but for rounding
    pi = np.ones(eps.size)
    if budget < total:
        # from this price on no probability passes B/Σc, so that at most B is spent
        high = float(((e + w / (budget / total) ** 2) / c).max())
        mu = _largest(lambda x: -float((c * at(x, e, w, c)).sum()), 0.5 * mu, 2.0 * high, -budget)
        pi = at(mu, eps, lam * v, price)
    if abs(float((price * pi).sum()) - budget) > 1e-9 * budget:
        raise ValueError(
            f"lam: expected one for which some price spends the budget of {budget:.15g}, got {lam} with"
            f" {float((price * pi).sum()):.15g}; raise it, or use `rules.pi_threshold`"
        )
    constants = {"mu": mu, "lam": float(lam), "floor": floor}
    return rules.Inclusion.of(pi=pi, score=pi, constants=constants, eps=eps, take_all=pi == 1.0)


def pi_cdi(
    predicted: npt.ArrayLike, budget: float, cost: npt.ArrayLike | None = None, *, tau: float = 0.1
) -> rules.Inclusion:
    """The rule of confidence-driven inference, a baseline: s_i = (1 - τ) √p_i/mean √p + τ, π = min(1, κ s).

    p is the predicted squared error of the machine's label. The published code truncates at 1 and so spends
    less than the budget; here it is water-filled. Costs enter the budget and not the size measure.

    Args:
        predicted: p, shape [N], in [0, 1].
        budget: B in labels, (0, N]; with costs in their unit, (0, Σc].
        cost: c, shape [N], above 0; None for 1 each.
        tau: τ in [1e-6, 1], the uniform part.

    Returns:
        Probabilities; `constants` holds κ, τ and the mean of √p.

    Raises:
        ValueError: p outside [0, 1], no items, a cost that is not above 0, B out of range, or τ outside
            its range.

    References:
        Gligorić, Zrnic, Lee, Candès, Jurafsky (2024), Can unconfident LLM annotations be used for confident
        conclusions?; algorithms.md section 2.

    >>> pi_cdi([0.36, 0.04], 1, tau=0.2).pi.round(6).tolist()
    [0.7, 0.3]
    """
    root = np.sqrt(checks.risks("predicted", predicted))
    price = checks.costs("cost", cost, size=root.size)
    budget = checks.budget(budget, math.fsum(price))
    _share("tau", tau, SMALLEST_MIX)
    mean = math.fsum(root) / root.size
    size = (1.0 - tau) * root / mean + tau if mean > 0.0 else np.ones(root.size)
    pi, score, kappa = _water_fill(size, price, budget, 0.0, 1.0)
    constants = {"kappa": kappa, "tau": tau, "mean": mean}
    return rules.Inclusion.of(pi=pi, score=score, constants=constants, eps=root)

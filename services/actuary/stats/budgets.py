"""Budgets: what an aim costs, and how strata share what there is.

Both are answered before anything is drawn: the budget at which the estimate is as precise as wanted, and
the labels of every stratum (a class, a slice) when each must have a minimum. The module chooses no items;
rules and draws do, within the budgets that it gives.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from actuary.stats import checks

SELF_AUDITING = ("square-root", "hybrid")
"""Rules whose draws are made for estimates: they need no audit beside them."""

AUDIT_SHARE = 0.4
"""Share of what the pilot leaves that goes to the uniform audit by default: estimate and corrections then
rest on about as many labels each. A guess, between the 0.3 and 0.5 that suit hybrid designs."""


def default_audit(rule: str, left: int) -> int:
    """Labels of the uniform audit where nobody says how many.

    Args:
        rule: that spends the others.
        left: labels that the pilot leaves, at least 0.

    >>> default_audit("threshold", 200), default_audit("hybrid", 200)
    (80, 0)
    """
    return 0 if rule in SELF_AUDITING else round(AUDIT_SHARE * left)


THIRD_SHARE = 0.2
"""Share of the doubles for which a third label is kept back. A guess; where people disagree more often than
that, the last disagreements stay unresolved, since labels run out."""


def labels_an_item(double_share: float) -> float:
    """Labels that an item takes on average when some are labelled twice, and some of those by a third.

    Args:
        double_share: share of the items that two people label, [0, 1].

    Returns:
        At least 1.

    Raises:
        ValueError: the share is outside [0, 1].

    >>> labels_an_item(0.5)
    1.6
    """
    share = float(checks.within("double_share", [double_share], 0.0, 1.0)[0])
    return 1.0 + share * (1.0 + THIRD_SHARE)


def budget_for(v: npt.ArrayLike, se: float, cost: npt.ArrayLike | None = None) -> float:
    """The budget at which the square-root rule estimates the error rate with standard error σ.

    With π_i = min(1, κ √(v_i/c_i)) the variance Σ v_i (1 - π_i)/π_i of the estimated total falls in κ. The κ
    that meets N² σ² is found exactly: the items with the largest v/c are capped at 1 until for the others

        κ = Σ √(v_i c_i) / (N² σ² + Σ v_i)

    keeps the next one below 1. As long as none is capped, B = (Σ √(v_i c_i))² / (N² σ² + Σ v_i). This is for
    a draw in which every item is decided by itself; one of exact size costs at most one label more.

    Args:
        v: predicted variance of d - ε, shape [N], above 0 (`placing.robust_variance`).
        se: σ, of the rate, above 0.
        cost: c, shape [N], above 0; None for 1 each.

    Returns:
        B in labels, or in the unit of costs.

    Raises:
        ValueError: v, σ or a cost not above 0, no items, or lengths differ.

    References:
        algorithms.md 3.2; Cochran (1977), section 5.5; Szegedy (2006) for the one label.

    >>> round(budget_for([0.25] * 1000, se=0.05), 3)
    90.909
    """
    v = checks.sizes("v", v)
    price = checks.costs("cost", cost, size=v.size)
    if v.size == 0 or (v == 0.0).any() or not 0.0 < se < math.inf:
        raise ValueError(f"v, se: expected variances and a standard error above 0, got se {se} and v {v[:3]}")
    order = np.lexsort((price, -v / price))
    v, price = v[order], price[order]
    size = np.sqrt(v / price)
    roots, variances = (np.cumsum(part[::-1])[::-1] for part in (np.sqrt(v * price), v))
    kappas = roots / ((v.size * se) ** 2 + variances)
    kappa = float(kappas[np.argmax(kappas * size <= 1.0)])
    return math.fsum(price * np.minimum(1.0, kappa * size))


def share(
    wanted: npt.ArrayLike, minimum: npt.ArrayLike, population: npt.ArrayLike, budget: int
) -> checks.Integers:
    """Divides a budget of labels among strata that must be covered: as the rule wants, each with a minimum.

    b_h = clip(κ w_h, m_h, N_h) with Σ b_h = B, then whole labels by the largest remainders. Each stratum is
    afterwards drawn by itself, `draws.draw_exact` with the numbers it has anyway and b_h items.

    *Why this is valid.* Strata are known before any label and the b_h depend on risks alone. So every stratum
    is a population of its own with a design of its own: given how many of the pilot fell into it, those are a
    simple random sample of it, its draw is one phase after them, and its estimate is unbiased. Strata are
    drawn independently, so that totals and their variances add up over strata. What is *not* valid is one
    phase for all of them with a common τ.

    Args:
        wanted: w, labels that the rule would give to each stratum (Σ π in it), shape [H], at least 0, not
            all 0.
        minimum: m, shape [H], whole, in [0, N_h].
        population: N_h, items that can be drawn, shape [H], whole.
        budget: B in labels, a whole number in [1, Σ N_h].

    Returns:
        b, shape [H], whole, with sum B. With equal remainders the first stratum comes first.

    Raises:
        BudgetInfeasible: the minima alone pass the budget.
        ValueError: lengths differ, values out of range, or a minimum above its stratum.

    References:
        Cochran (1977), chapter 5, and section 5.8 on strata that are too small.

    >>> share([8.0, 1.5, 0.5], [0, 2, 2], [50, 50, 2], 10).tolist()
    [6, 2, 2]
    """
    items = checks.indexes("population", population, 0, 2**62)
    least = checks.indexes("minimum", minimum, 0, 2**62, size=items.size)
    want = checks.sizes("wanted", wanted, size=items.size)
    if (least > items).any():
        first = int(np.argmax(least > items))
        raise ValueError(
            f"minimum: expected at most the items of each stratum, got {least[first]} of {items[first]} at"
            f" [{first}]; ask for as many as there are"
        )
    budget = checks.count("budget", budget, 1, int(items.sum()))
    if int(least.sum()) > budget:
        raise checks.BudgetInfeasible(
            f"budget: expected at least {least.sum()} labels, the sum of the minima, got {budget}",
            min_budget=float(least.sum()),
        )
    exact = _levelled(want, least, items, budget)
    whole = np.floor(exact + 1e-9).astype(np.int64)
    by_remainder = np.argsort(-np.round(exact - whole, 9), kind="stable")
    whole[by_remainder[: budget - int(whole.sum())]] += 1
    return whole


def _levelled(
    want: checks.Floats, least: checks.Integers, items: checks.Integers, budget: int
) -> checks.Floats:
    """Solves clip(κ w, m, N) for a sum of B; strata of w = 0 get more than m only when others are full."""
    reach = np.where(want > 0.0, items, least)
    if reach.sum() <= budget:
        spare = items - reach
        over: checks.Floats = reach + spare * ((budget - reach.sum()) / max(int(spare.sum()), 1))
        return over
    inside = want > 0.0
    knots = np.unique(np.concatenate([least[inside] / want[inside], items[inside] / want[inside]]))
    spent = [float(np.clip(k * want, least, reach).sum()) for k in knots]
    # between two knots the sum is linear in κ
    kappa = float(np.interp(budget, spent, knots))
    level: checks.Floats = np.clip(kappa * want, least, reach)
    return level

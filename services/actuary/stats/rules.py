"""Rules: from risks to inclusion probabilities whose cost is the budget.

Each rule answers "how likely should a person look at this item?" and solves for its one constant so that
Σ c_i π_i = B to 1e-9 relative. A budget is labels, or money where items have costs c. The rules are those of
the ACT paper, repaired where algorithms.md says so: the normalised rule is water-filled instead of truncated,
the exponential rule's α is solved for instead of guessed, and the threshold's ties are broken by random
numbers instead of by file order. `robust` has the rules that serve estimates too.

A rule does not draw: `draws` does. And it does not promise an estimate: `Inclusion.warning` says when the
probabilities are too small to support one.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from actuary.stats import checks

SMALL_PROBABILITY = 1e-3
"""Below it a weight 1/π passes 1,000, and no interval for a total that includes such an item means much,"""

SMALL_SHARE = 1e-2
"""unless most items are like it: a thousand of a million is a good sample. A guess: the robust rules stay
above .07 of the mean probability, the steep exponential ones fall below 1e-6 of it."""

THIN_SHARE = 0.1
"""Share of all items for which a single one may stand where it is the rule that makes it so, by less than
this share of the mean probability. A guess: 100 drawn, one of .076 of the mean, a 95 % interval covered .86.
"""

SMALLEST_RISK = 1e-300
"""Risks between 0 and this are refused by the normalised rule: its constant would overflow."""

ALL_EQUAL = "all risks are equal: chance alone decides who is reviewed, as without a critic"

SATURATION = 40.0
"""expit(40) rounds to 1 in float64."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """Inclusion probabilities, and what is needed to compute them again."""

    pi: checks.Floats
    """π, shape [N], in [0, 1]; costs the budget."""
    score: checks.Floats
    """s, shape [N]: the size measure to draw with (`draws.draw_exact`); ∝ π before capping at 1."""
    constants: dict[str, float]
    """The solved constant by name: enough, with ε, to recompute π of any item."""
    warning: str
    """Why an estimate from this rule's sample alone would not be valid; empty when it would be."""
    take_all: checks.Booleans | None = None
    """[N], items to take before the others are drawn; their score is not read. None: there are none."""
    note: str = ""
    """What else to tell who asked for this rule; empty when nothing."""

    @classmethod
    def of(
        cls,
        *,
        pi: checks.Floats,
        score: checks.Floats,
        constants: dict[str, float],
        eps: checks.Floats,
        take_all: checks.Booleans | None = None,
    ) -> Inclusion:
        """Builds it with the warning and the note that follow from π and ε."""
        equal = eps.size > 1 and float(eps.min()) == float(eps.max())
        return cls(
            pi=pi,
            score=score,
            constants=constants,
            warning=warning(float(pi.min()), float(pi.mean()), pi.size),
            take_all=take_all,
            note=ALL_EQUAL if equal else "",
        )


def warning(smallest: float, mean: float, items: int) -> str:
    """Says why an estimate from a draw alone would not be valid; empty where it would be.

    Args:
        smallest: the smallest inclusion probability.
        mean: their mean.
        items: N.

    >>> warning(0.05, 0.1, 1_000), warning(1e-6, 0.1, 1_000)[:40]
    ('', 'smallest inclusion probability 1e-06 is ')
    >>> warning(0.005, 0.1, 1_000)[:64]
    'smallest inclusion probability 0.005 is below 0.1 of the mean, s'
    """
    if smallest >= min(SMALL_PROBABILITY, SMALL_SHARE * mean):
        if smallest >= THIN_SHARE * mean or THIN_SHARE * smallest * items >= 1.0:
            return ""
        stands_for = 1.0 / (smallest * items)
        return (
            f"smallest inclusion probability {smallest:.3g} is below {THIN_SHARE:g} of the mean,"
            f" so that one drawn item may stand for {min(stands_for, 1.0):.0%} of all:"
            " no valid estimate from this draw alone; draw more, or keep a uniform audit beside it"
        )
    return (
        f"smallest inclusion probability {smallest:.3g} is below {SMALL_PROBABILITY:g}"
        f" and below {SMALL_SHARE:g} of the mean:"
        " no valid estimate from this draw alone; keep a uniform audit beside it"
    )


def pi_uniform(items: int, budget: float, cost: npt.ArrayLike | None = None) -> Inclusion:
    """Every item alike: π_i = B/N, or B/Σc.

    Args:
        items: N, at least 1.
        budget: B in labels, (0, N]; with costs in their unit, (0, Σc].
        cost: c, shape [N], above 0; None for 1 each.

    Returns:
        Probabilities, all equal.

    Raises:
        ValueError: no items, a cost that is not above 0, or the budget is outside its range.

    References:
        ACT (arXiv 2511.09833), the random baseline.

    >>> pi_uniform(4, 1).pi.tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    checks.count("items", items, 1, 2**62)
    total = float(items) if cost is None else math.fsum(checks.costs("cost", cost, size=items))
    share = checks.budget(budget, total) / total
    pi = np.full(items, share)
    return Inclusion(
        pi=pi, score=np.ones(items), constants={"probability": share}, warning=warning(share, share, items)
    )


def pi_normalised(eps: npt.ArrayLike, budget: float, cost: npt.ArrayLike | None = None) -> Inclusion:
    """In proportion to risk, water-filled: π_i = min(1, κ ε_i) with Σ c_i π_i = B.

    The formula as printed, B ε_i/Σε, can pass 1 and then spends less than the budget (as little as half of
    it, algorithms.md T2a). κ is found exactly: sort, and cap the largest until the rest fits below 1. Items
    of risk 0 get nothing unless the budget reaches past all others; then they share what remains evenly,
    the limit of a vanishing risk. All risks equal is the uniform rule.

    Args:
        eps: ε, shape [N], in [0, 1].
        budget: B in labels, (0, N]; with costs in their unit, (0, Σc].
        cost: c, shape [N], above 0; None for 1 each.

    Returns:
        Probabilities; `constants["kappa"]` is κ, and `constants["rest"]` π of items of risk 0.

    Raises:
        ValueError: ε not finite or outside [0, 1], no items, a cost that is not above 0, or B out of range.

    References:
        ACT (arXiv 2511.09833), normalised rule; Tillé (2006), Sampling Algorithms, section 2.10 (capping at
        1).

    >>> pi_normalised([0.9, 0.3, 0.3], 1.5).pi.round(3).tolist()
    [0.9, 0.3, 0.3]
    >>> pi_normalised([0.9, 0.1, 0.1], 1.5).pi.tolist()
    [1.0, 0.25, 0.25]
    """
    eps = checks.risks("eps", eps)
    cost = checks.costs("cost", cost, size=eps.size)
    budget = checks.budget(budget, math.fsum(cost))
    positive = eps > 0.0
    if (positive & (eps < SMALLEST_RISK)).any():
        raise ValueError(f"eps: expected 0 or at least {SMALLEST_RISK:g}, got a risk in between")
    sure = math.fsum(cost[positive])
    if budget >= sure:
        rest = 0.0 if positive.all() else min(1.0, (budget - sure) / math.fsum(cost[~positive]))
        pi = np.where(positive, 1.0, rest)
        kappa = 1.0 / float(eps[positive].min()) if positive.any() else 0.0
        return Inclusion.of(pi=pi, score=pi, constants={"kappa": kappa, "rest": rest}, eps=eps)
    order = np.lexsort((cost, -eps))
    ordered, price = eps[order], cost[order]
    # With the k largest capped, κ = (B - their cost)/Σ cε of the rest; the first k for which the next one
    # stays below 1 is right.
    tail = np.cumsum((price * ordered)[::-1])[::-1]
    spent = np.concatenate([[0.0], np.cumsum(price)[:-1]])
    spent = spent[spent < budget]
    kappas = (budget - spent) / tail[: spent.size]
    kappa = float(kappas[np.argmax(kappas * ordered[: spent.size] <= 1.0 + 1e-12)])
    pi = np.minimum(1.0, kappa * eps)
    return Inclusion.of(pi=pi, score=eps, constants={"kappa": kappa, "rest": 0.0}, eps=eps)


def pi_exponential(
    eps: npt.ArrayLike, budget: float, beta: float, cost: npt.ArrayLike | None = None
) -> Inclusion:
    """A soft threshold: π_i = 1/(1 + exp(-β (ε_i - α))), α solved so that Σ c_i π_i = B.

    Σ cπ is continuous and strictly decreasing in α, so the root is unique; it is found by Brent's method, on
    sums in the order of ε, so that the order of the items does not change a bit of it.
    Large β approaches the threshold rule, and its weights 1/π then reach 1e13 (algorithms.md T2a): see the
    warning.

    Args:
        eps: ε, shape [N], in [0, 1].
        budget: B in labels, (0, N]; with costs in their unit, (0, Σc].
        beta: β, the steepness, (0, 1e5].
        cost: c, shape [N], above 0; None for 1 each.

    Returns:
        Probabilities; `constants` holds α and β.

    Raises:
        ValueError: ε not finite or outside [0, 1], no items, a cost that is not above 0, B out of range or β
            outside (0, 1e5].

    References:
        ACT (arXiv 2511.09833), exponential-weighted rule; solving for α is ours.

    >>> rule = pi_exponential([0.2, 0.8], 1, beta=10)
    >>> round(rule.constants["alpha"], 6), rule.pi.round(4).tolist()
    (0.5, [0.0474, 0.9526])
    """
    import scipy.optimize  # only this rule needs it, and it takes half a second to import

    eps = checks.risks("eps", eps)
    price = checks.costs("cost", cost, size=eps.size)
    total = math.fsum(price)
    budget = checks.budget(budget, total)
    if not 0.0 < beta <= 1e5:
        raise ValueError(f"beta: expected a number in (0, 1e5], got {beta}")
    low = -SATURATION / beta
    if budget == total:
        alpha = low
    else:
        high = 1.0 + (SATURATION + math.log(total / budget)) / beta
        order = np.lexsort((price, eps))
        e, c = eps[order], price[order]
        alpha = float(
            scipy.optimize.brentq(
                lambda a: float((c * scipy.special.expit(beta * (e - a))).sum()) - budget,
                low,
                high,
                xtol=1e-15,
                rtol=1e-15,
            )
        )
    pi = scipy.special.expit(beta * (eps - alpha))
    return Inclusion.of(pi=pi, score=pi, constants={"alpha": alpha, "beta": float(beta)}, eps=eps)


def risk_order(
    eps: npt.ArrayLike, u_tie: npt.ArrayLike, cost: npt.ArrayLike | None = None
) -> checks.Integers:
    """The order of suspicion: by risk per cost, descending; among equals by a random number of their own.

    LLM scores have some twenty distinct values. Without the tie key "the top B" is decided by file order,
    and the numbers of the draw would make ties and samples dependent.

    Args:
        eps: ε, shape [N], in [0, 1].
        u_tie: [N] in (0, 1), from the key of ties.
        cost: c, shape [N], above 0; None for 1 each.

    Returns:
        Indexes of items, most suspicious first, [N].

    Raises:
        ValueError: ε outside [0, 1], u outside (0, 1), a cost that is not above 0, or lengths differ.

    >>> risk_order([0.5, 0.9, 0.5], [0.7, 0.3, 0.2]).tolist()
    [1, 2, 0]
    >>> risk_order([0.5, 0.9, 0.5], [0.7, 0.3, 0.2], cost=[1, 3, 2]).tolist()
    [0, 1, 2]
    """
    eps = checks.risks("eps", eps)
    u_tie = checks.uniforms("u_tie", u_tie, size=eps.size)
    return np.lexsort((u_tie, -eps / checks.costs("cost", cost, size=eps.size))).astype(np.int64)


def take_top(order: checks.Integers, cost: checks.Floats, budget: float) -> checks.Booleans:
    """Takes from an order until an item does not fit the budget any more.

    It does not look further for a cheaper item that would fit: so the taken items are a prefix of the order,
    a larger budget only adds items, and whoever stops early has done what a smaller budget would have done.
    What this gives away is at most the value of the one item that did not fit (Dantzig 1957).

    Args:
        order: of the items, [N] (`risk_order`).
        cost: c, shape [N], above 0.
        budget: at least 0; the taken ones cost at most this.

    Returns:
        Who is taken, [N].

    References:
        Dantzig, G. (1957), Discrete-variable extremum problems, Operations Research 5.

    >>> take_top(np.array([2, 0, 1]), np.array([3.0, 1.0, 1.0]), 2.5).tolist()
    [False, False, True]
    """
    # a running sum may pass the whole by rounding
    fits = (np.cumsum(cost[order]) <= budget) | (budget >= math.fsum(cost))
    taken = np.zeros(order.size, dtype=np.bool_)
    taken[order[fits]] = True
    return taken


def pi_threshold(
    eps: npt.ArrayLike, budget: float, u_tie: npt.ArrayLike, cost: npt.ArrayLike | None = None
) -> Inclusion:
    """The most suspicious per cost that the budget reaches: π_i = 1 for a prefix of `risk_order`, else 0.

    Best for accuracy among all rules when the risks are calibrated (with costs but for one item, see
    `take_top`), and useless for estimates: what is never looked at cannot be estimated. `placing.threshold`
    puts a uniform audit beside it.

    Args:
        eps: ε, shape [N], in [0, 1].
        budget: B in labels, a whole number in [1, N]; with costs in their unit, (0, Σc].
        u_tie: [N] in (0, 1), from the key of ties.
        cost: c, shape [N], above 0; None for 1 each.

    Returns:
        Probabilities in {0, 1}, which cost at most B, all of them to be taken;
        `constants["threshold"]` is the risk per cost of the last item taken.

    Raises:
        BudgetInfeasible: the first item costs more than the budget.
        ValueError: ε outside [0, 1], u outside (0, 1), a cost that is not above 0, lengths differ, or B out
            of range, or not a whole number of labels.

    References:
        ACT (arXiv 2511.09833), thresholded rule; risk per cost: algorithms.md 3.2; random ties: section 5.

    >>> pi_threshold([0.5, 0.9, 0.5], 2, [0.7, 0.3, 0.2]).pi.tolist()
    [0.0, 1.0, 1.0]
    """
    order = risk_order(eps, u_tie, cost)
    eps = checks.risks("eps", eps)
    price = checks.costs("cost", cost, size=eps.size)
    budget = (
        checks.count("budget", budget, 1, eps.size)
        if cost is None
        else checks.budget(budget, math.fsum(price))
    )
    taken = take_top(order, price, budget)
    if not taken.any():
        least = float(price[order[0]])
        raise checks.BudgetInfeasible(
            f"budget: expected at least {least:g}, the cost of the most suspicious item, got {budget}",
            min_budget=least,
        )
    pi = taken.astype(np.float64)
    last = float((eps / price)[taken].min())
    return Inclusion.of(pi=pi, score=eps, constants={"threshold": last}, eps=eps, take_all=taken)

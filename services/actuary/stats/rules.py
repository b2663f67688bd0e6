"""Rules: from risks to inclusion probabilities whose sum is the budget.

Each rule answers "how likely should a person look at this item?" and solves for its one constant so that
Σ π_i = B to 1e-9 relative. The rules are those of the ACT paper, repaired where algorithms.md says so: the
normalised rule is water-filled instead of truncated, the exponential rule's α is solved for instead of
guessed, and the threshold's ties are broken by random numbers instead of by file order.

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
"""Below it a weight 1/π passes 1,000, and no interval for a total that includes such an item means much."""

SMALLEST_RISK = 1e-300
"""Risks between 0 and this are refused by the normalised rule: its constant would overflow."""

_SATURATION = 40.0
"""expit(40) rounds to 1 in float64."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """Inclusion probabilities, and what is needed to compute them again."""

    pi: checks.Floats
    """π, shape [N], in [0, 1]; sums to the budget."""
    score: checks.Floats
    """s, shape [N]: the size measure to draw with (`draws.draw_exact`); ∝ π before capping at 1."""
    constants: dict[str, float]
    """The solved constant by name: enough, with ε, to recompute π of any item."""
    warning: str
    """Why an estimate from this rule's sample alone would not be valid; empty when it would be."""


def _warning(pi: checks.Floats) -> str:
    smallest = float(pi.min())
    if smallest >= SMALL_PROBABILITY:
        return ""
    return (
        f"smallest inclusion probability {smallest:.3g} is below {SMALL_PROBABILITY:g}:"
        " no valid estimate from this draw alone; keep a uniform audit beside it"
    )


def pi_uniform(items: int, budget: float) -> Inclusion:
    """Every item alike: π_i = B/N.

    Args:
        items: N, at least 1.
        budget: B in labels, (0, N].

    Returns:
        Probabilities, all equal.

    Raises:
        ValueError: no items, or the budget is outside (0, N].

    References:
        ACT (arXiv 2511.09833), the random baseline.

    >>> pi_uniform(4, 1).pi.tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    checks.count("items", items, 1, 2**62)
    budget = checks.budget(budget, items)
    pi = np.full(items, budget / items)
    return Inclusion(
        pi=pi, score=np.ones(items), constants={"probability": budget / items}, warning=_warning(pi)
    )


def pi_normalised(eps: npt.ArrayLike, budget: float) -> Inclusion:
    """In proportion to risk, water-filled: π_i = min(1, κ ε_i) with Σ π_i = B.

    The formula as printed, B ε_i/Σε, can pass 1 and then spends less than the budget (as little as half of
    it, algorithms.md T2a). κ is found exactly: sort, and cap the largest until the rest fits below 1. Items
    of risk 0 get nothing unless the budget reaches past all others; then they share what remains evenly,
    the limit of a vanishing risk. All risks equal is the uniform rule.

    Args:
        eps: ε, shape [N], in [0, 1].
        budget: B in labels, (0, N].

    Returns:
        Probabilities; `constants["kappa"]` is κ, and `constants["rest"]` π of items of risk 0.

    Raises:
        ValueError: ε not finite or outside [0, 1], no items, or B outside (0, N].

    References:
        ACT (arXiv 2511.09833), normalised rule; Tillé (2006), Sampling Algorithms, section 2.10 (capping at
        1).

    >>> pi_normalised([0.9, 0.3, 0.3], 1.5).pi.round(3).tolist()
    [0.9, 0.3, 0.3]
    >>> pi_normalised([0.9, 0.1, 0.1], 1.5).pi.tolist()
    [1.0, 0.25, 0.25]
    """
    eps = checks.risks("eps", eps)
    budget = checks.budget(budget, eps.size)
    positive = int(np.count_nonzero(eps))
    if ((eps > 0.0) & (eps < SMALLEST_RISK)).any():
        raise ValueError(f"eps: expected 0 or at least {SMALLEST_RISK:g}, got a risk in between")
    if budget >= positive:
        rest = 0.0 if eps.size == positive else (budget - positive) / (eps.size - positive)
        pi = np.where(eps > 0.0, 1.0, rest)
        kappa = 1.0 / float(eps[eps > 0.0].min()) if positive else 0.0
        return Inclusion(pi=pi, score=pi, constants={"kappa": kappa, "rest": rest}, warning=_warning(pi))
    ordered = np.sort(eps)[::-1]
    # With the k largest capped, κ = (B - k)/Σ of the rest; the first k for which the next one stays below 1
    # is right.
    tail = np.cumsum(ordered[::-1])[::-1]
    capped = np.arange(math.ceil(budget), dtype=np.float64)
    kappas = (budget - capped) / tail[: capped.size]
    kappa = float(kappas[np.argmax(kappas * ordered[: capped.size] <= 1.0 + 1e-12)])
    pi = np.minimum(1.0, kappa * eps)
    return Inclusion(pi=pi, score=eps, constants={"kappa": kappa, "rest": 0.0}, warning=_warning(pi))


def pi_exponential(eps: npt.ArrayLike, budget: float, beta: float) -> Inclusion:
    """A soft threshold: π_i = 1/(1 + exp(-β (ε_i - α))), α solved so that Σ π_i = B.

    Σ π is continuous and strictly decreasing in α, so the root is unique; it is found by Brent's method.
    Large β approaches the threshold rule, and its weights 1/π then reach 1e13 (algorithms.md T2a): see the
    warning.

    Args:
        eps: ε, shape [N], in [0, 1].
        budget: B in labels, (0, N].
        beta: β, the steepness, (0, 1e5].

    Returns:
        Probabilities; `constants` holds α and β.

    Raises:
        ValueError: ε not finite or outside [0, 1], no items, B outside (0, N] or β outside (0, 1e5].

    References:
        ACT (arXiv 2511.09833), exponential-weighted rule; solving for α is ours.

    >>> rule = pi_exponential([0.2, 0.8], 1, beta=10)
    >>> round(rule.constants["alpha"], 6), rule.pi.round(4).tolist()
    (0.5, [0.0474, 0.9526])
    """
    import scipy.optimize  # only this rule needs it, and it takes half a second to import

    eps = checks.risks("eps", eps)
    budget = checks.budget(budget, eps.size)
    if not 0.0 < beta <= 1e5:
        raise ValueError(f"beta: expected a number in (0, 1e5], got {beta}")
    low = -_SATURATION / beta
    if budget == eps.size:
        alpha = low
    else:
        high = 1.0 + (_SATURATION + math.log(eps.size / budget)) / beta
        alpha = float(
            scipy.optimize.brentq(
                lambda a: float(scipy.special.expit(beta * (eps - a)).sum()) - budget,
                low,
                high,
                xtol=1e-15,
                rtol=1e-15,
            )
        )
    pi = scipy.special.expit(beta * (eps - alpha))
    return Inclusion(pi=pi, score=pi, constants={"alpha": alpha, "beta": float(beta)}, warning=_warning(pi))


def risk_order(eps: npt.ArrayLike, u_tie: npt.ArrayLike) -> checks.Integers:
    """The order of suspicion: by risk, descending, and among equal risks by a random number of their own.

    LLM scores have some twenty distinct values. Without the tie key "the top B" is decided by file order,
    and the numbers of the draw would make ties and samples dependent.

    Args:
        eps: ε, shape [N], in [0, 1].
        u_tie: [N] in (0, 1), from the key of ties.

    Returns:
        Indexes of items, most suspicious first, [N].

    Raises:
        ValueError: ε outside [0, 1], u outside (0, 1), or lengths differ.

    >>> risk_order([0.5, 0.9, 0.5], [0.7, 0.3, 0.2]).tolist()
    [1, 2, 0]
    """
    eps = checks.risks("eps", eps)
    u_tie = checks.uniforms("u_tie", u_tie, size=eps.size)
    return np.lexsort((u_tie, -eps)).astype(np.int64)


def pi_threshold(eps: npt.ArrayLike, budget: int, u_tie: npt.ArrayLike) -> Inclusion:
    """The B most suspicious: π_i = 1 for the first B of `risk_order`, else 0.

    Best for accuracy among all rules when the risks are calibrated, and useless for estimates: what is
    never looked at cannot be estimated. `placing.threshold` puts a uniform audit beside it.

    Args:
        eps: ε, shape [N], in [0, 1].
        budget: B in labels, a whole number in [1, N].
        u_tie: [N] in (0, 1), from the key of ties.

    Returns:
        Probabilities in {0, 1}; `constants["threshold"]` is the risk of the last item taken.

    Raises:
        ValueError: ε outside [0, 1], u outside (0, 1), lengths differ, or B not a whole number in [1, N].

    References:
        ACT (arXiv 2511.09833), thresholded rule; random ties: algorithms.md section 5.

    >>> pi_threshold([0.5, 0.9, 0.5], 2, [0.7, 0.3, 0.2]).pi.tolist()
    [0.0, 1.0, 1.0]
    """
    order = risk_order(eps, u_tie)
    eps = checks.risks("eps", eps)
    budget = checks.count("budget", budget, 1, eps.size)
    pi = np.zeros(eps.size)
    pi[order[:budget]] = 1.0
    return Inclusion(
        pi=pi, score=eps, constants={"threshold": float(eps[order[budget - 1]])}, warning=_warning(pi)
    )

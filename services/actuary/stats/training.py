"""Training targets: the ACT loss as cross entropy with soft targets, and whether its weights can be borne.

    loss_i = m_i logsumexp(z_i) - t_i · z_i
    w_i = min(g_i, W),   t_i = λ s_i + (onehot(y_i) - λ s_i) w_i δ_i,   m_i = λ + (1 - λ) w_i δ_i

With λ = 1, hard s and W = ∞ this is the paper's unbiased loss, whose weights can be huge; W trades variance
for bias, and W = 5 is the choice when it cannot be validated (algorithms.md 3.6, 8.13, T7). s of a reviewed
item must be out of fold, or y - s shrinks.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from actuary.stats import checks


def act_targets(
    y: npt.ArrayLike,
    soft: npt.ArrayLike,
    g: npt.ArrayLike,
    lam: float = 1.0,
    cap: float = 5.0,
) -> tuple[checks.Floats, checks.Floats]:
    """Computes targets and masses of the ACT loss; each row of t sums to m.

    Args:
        y: index of the human's class, shape [N], in [0, K), or -1 where not reviewed (δ = 0).
        soft: s, the machine's class target, shape [N, K], rows sum to 1 (one-hot for a hard label).
        g: weight of reviewed items (`designs.weights`), shape [N], at least 0; not read elsewhere.
        lam: λ in [0, 1], the part of the machine.
        cap: W, the largest weight, at least 1; infinity for none.

    Returns:
        t [N, K], whose entries are negative where w > 1 and the machine was wrong, and m [N].

    Raises:
        ValueError: a class out of range, rows of s that do not sum to 1, a negative weight, λ outside [0,
            1], or W below 1.

    References:
        ACT (arXiv 2511.09833), section 5; algorithms.md 8.13; λ: PPI++ (Angelopoulos et al. 2023).

    >>> t, m = act_targets([1, -1], [[0.8, 0.2], [0.6, 0.4]], [2.0, 0.0])
    >>> t.round(3).tolist(), m.tolist()
    ([[-0.8, 1.8], [0.6, 0.4]], [1.0, 1.0])
    """
    s = checks.within("soft", soft, 0.0, 1.0, ndim=2)
    bad = np.abs(s.sum(axis=1) - 1.0) > 1e-6
    if bad.any():
        first = int(np.argmax(bad))
        raise ValueError(f"soft: expected rows that sum to 1, got {s[first].sum():.6f} at [{first}]")
    index = checks.indexes("y", y, -1, s.shape[1], size=s.shape[0])
    lam = float(checks.within("lam", [lam], 0.0, 1.0)[0])
    if not cap >= 1.0:
        raise ValueError(
            f"cap: expected at least 1, got {cap}: a human label would count less than a machine's"
        )
    reviewed = index >= 0
    weight = np.zeros(index.size)
    weight[reviewed] = checks.sizes("g", np.asarray(g, dtype=np.float64)[reviewed], size=int(reviewed.sum()))
    w = np.minimum(weight, cap)
    human = np.zeros_like(s)
    human[np.flatnonzero(reviewed), index[reviewed]] = 1.0
    t: checks.Floats = lam * s + np.where(reviewed[:, None], human - lam * s, 0.0) * w[:, None]
    m: checks.Floats = lam + (1.0 - lam) * w
    return t, m


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WeightDiagnostics:
    """How unequal the weights are that training would use."""

    effective_size: float
    """Kish's effective sample size, (Σ w)²/Σ w²."""
    largest: float
    """The largest weight."""
    top_share: float
    """Share of Σ w that the largest hundredth of the items has (one item at least), [0, 1]."""


def diagnose(g: npt.ArrayLike, cap: float = math.inf) -> WeightDiagnostics:
    """Measures how far weights are from equal.

    Args:
        g: weights of reviewed items, shape [S], at least 0, with a sum above 0.
        cap: W, at least 1.

    Returns:
        The diagnostics of min(g, W).

    Raises:
        ValueError: no weight above 0, a negative one, or W below 1.

    References:
        Kish, L. (1965), Survey Sampling, section 11.7.

    >>> diagnose([1.0, 1.0, 2.0]).effective_size.__round__(3)
    2.667
    """
    if not cap >= 1.0:
        raise ValueError(f"cap: expected at least 1, got {cap}")
    w = np.minimum(checks.sizes("g", g), cap)
    total = float(w.sum())
    if total == 0.0:
        raise ValueError("g: expected at least one weight above 0, got none")
    top = np.sort(w)[::-1][: max(1, w.size // 100)]
    return WeightDiagnostics(
        effective_size=total**2 / float((w**2).sum()),
        largest=float(w.max()),
        top_share=float(top.sum()) / total,
    )


LAMBDA = 1.0
CAP = 5.0
"""λ and W where nothing can be validated: the minimax choice of algorithms.md, table T7."""

SMALLEST_EFFECTIVE_SHARE = 0.1
"""Below this share of the human labels, by effective size, the loss is refused. A guess: nine labels of ten
bought for nothing."""

LOW_EFFECTIVE_SHARE = 0.25
"""Below this share a warning is given, and the cap that would reach it is named. A guess."""

HEAVY_TOP_SHARE = 0.25
"""Share of the whole weight in the top hundredth of the labels above which a warning is given. A guess."""

HEAVY_LABEL = 0.1
"""Share of the whole weight in one label above which a warning is given: as 8.11 for intervals."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that the weights of a design do to the loss that was asked for."""

    fatal: bool
    """Whether the loss is not to be trained: it would not be what it claims."""
    problem: str
    remedy: str


def largest_cap(g: npt.ArrayLike, effective_share: float) -> float:
    """The largest W >= 1 at which min(g, W) keeps an effective size of at least a share of the labels.

    Effective size falls as W rises, so bisection finds it.

    Args:
        g: weights, shape [S], at least 0, one above 0.
        effective_share: wanted share, in (0, 1).

    Returns:
        W, rounded down to a tenth; infinity if no cap is needed; 1 if none suffices.

    Raises:
        ValueError: as `diagnose`, or a share outside (0, 1).

    >>> largest_cap([1.0] * 99 + [100.0], 0.5)
    12.1
    """
    weights = checks.sizes("g", g)
    wanted = checks.share("effective_share", effective_share) * weights.size
    if diagnose(weights).effective_size >= wanted:
        return math.inf
    low, high = 1.0, float(weights.max())
    if high <= 1.0 or diagnose(weights, 1.0).effective_size < wanted:
        return 1.0
    while high - low > 0.01:
        middle = (low + high) / 2.0
        low, high = (middle, high) if diagnose(weights, middle).effective_size >= wanted else (low, middle)
    return math.floor(low * 10.0) / 10.0


def findings(g: npt.ArrayLike, items: int, lam: float = 1.0, cap: float = math.inf) -> tuple[Finding, ...]:
    """Says whether a design can support the ACT loss with λ and W, and what would repair it.

    The unbiased loss (λ = 1, no weight above W) needs π > 0 for every item. Then Σ_S g has mean N and its
    variance is estimated by Σ_S g (g - 1); a sum more than three standard errors below N means items that
    nobody could have drawn: a threshold rule without an audit, for one. A loss with λ < 1 or a cap that bites
    makes no such claim.

    Args:
        g: weights of the human-labelled items, shape [S], at least 0; 0 where a label only corrects.
        items: N, items with a machine label.
        lam: λ in [0, 1].
        cap: W, at least 1.

    Returns:
        The findings, fatal ones first; none if the weights are sound.

    Raises:
        ValueError: no weight above 0, or a number out of range.

    References:
        algorithms.md 3.6, 8.13 and section 1 (the loss is unbiased only if π > 0 for all i); Kish (1965).

    >>> [f.fatal for f in findings([1.0] * 50, items=1000)]
    [True]
    >>> findings([10.0] * 100, items=1000)
    ()
    """
    weights = checks.sizes("g", g)
    weights = weights[weights > 0.0]
    items = checks.count("items", items, 1, 2**62)
    lam = float(checks.within("lam", [lam], 0.0, 1.0)[0])
    used = diagnose(weights, cap)
    total, kept = float(weights.sum()), float(np.minimum(weights, cap).sum())
    found: list[Finding] = []

    def tell(problem: str, remedy: str, *, fatal: bool = False) -> None:
        found.append(Finding(fatal=fatal, problem=problem, remedy=remedy))

    error = math.sqrt(float(np.maximum(weights * (weights - 1.0), 0.0).sum()))
    if lam == 1.0 and kept == total and total + 3.0 * error < items * (1.0 - 1e-9):
        tell(
            f"the human labels stand for {total / items:.0%} of the items: the others had no chance to be"
            f" drawn, and the loss with lambda = 1 and W = {cap:g} is not unbiased",
            "keep a uniform audit beside the rule, or train on soft labels with a cap that bites",
            fatal=True,
        )
    share = used.effective_size / weights.size
    if share < LOW_EFFECTIVE_SHARE:
        tell(
            f"{weights.size} human labels are worth only {used.effective_size:.1f} equal ones with W ="
            f" {cap:g}, {share:.0%} of what was paid for",
            f"cap the weights at W = {largest_cap(weights, LOW_EFFECTIVE_SHARE):g}, or draw with a rule"
            " that keeps a floor",
            fatal=share < SMALLEST_EFFECTIVE_SHARE,
        )
    if used.largest > HEAVY_LABEL * kept:
        tell("a single human label has more than 10 % of the whole weight", "label more items, or lower W")
    elif used.top_share > HEAVY_TOP_SHARE:
        tell(
            f"the heaviest hundredth of the human labels has {used.top_share:.0%} of the whole weight",
            f"lower W below {used.largest:.3g}, or draw more evenly",
        )
    if kept < total / 2.0:
        tell(
            f"the cap W = {cap:g} takes away {1.0 - kept / total:.0%} of the human labels' weight: the loss"
            " leans on the machine",
            "raise W, or label more items",
        )
    return tuple(sorted(found, key=lambda each: not each.fatal))

"""Agreement: how far reviewers agree with one another, and what that says about the truth.

Pairs of answers to the same items are all that can be known of people's mistakes without a gold standard:
share of agreement, Cohen's κ, Krippendorff's α, and a bound on error against the truth (algorithms.md 8.8).
Mistakes that reviewers share leave no trace here and stay invisible.

What one reviewer does, measured on tasks with a known answer, is in `reviewers`.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt
import scipy.special

from actuary.stats import checks, intervals

FEWEST_PAIRS = 100
"""Pairs below which nothing is said about the truth (8.8)."""


class TooFewPairs(ValueError):  # noqa: N818 - a finding about the data
    """The doubles do not suffice for a statement about the truth."""

    def __init__(self, message: str, *, pairs: int) -> None:
        super().__init__(message)
        self.pairs = pairs
        """How many pairs are needed, if people go on to disagree as often as they did."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """A coefficient with its interval."""

    value: float
    low: float
    high: float
    units: int
    """Items with two answers or more."""
    method: intervals.Method
    """`wald`: delete-one jackknife. Else chance agreement is taken as known, and the interval is
    approximate."""


def pairs(agreed: npt.ArrayLike, alpha: float = 0.05) -> Agreement:
    """Share of pairs that agree, with its Clopper-Pearson interval.

    Args:
        agreed: whether the two answers are the same, shape [n], pairs of a random sample of items.
        alpha: α in (0, 1); two-sided.

    Returns:
        The share.

    Raises:
        ValueError: no pair, or α outside (0, 1).

    >>> found = pairs([True] * 9 + [False])
    >>> found.value, round(found.low, 3), round(found.high, 3)
    (0.9, 0.555, 0.997)
    """
    flags = checks.flags("agreed", agreed)
    if flags.size == 0:
        raise ValueError("agreed: expected at least one pair, got none")
    bounds = intervals.clopper_pearson(int(flags.sum()), flags.size, alpha)
    return Agreement(
        value=float(flags.mean()),
        low=bounds.low,
        high=bounds.high,
        units=flags.size,
        method="clopper-pearson",
    )


def cohen_kappa(table: npt.ArrayLike, alpha: float = 0.05) -> Agreement:
    """Cohen's κ of two given raters: agreement beyond what their own habits would give by chance.

        κ = 1 - D_o/D_e,   D_o = 1 - Σ_k p_kk,   D_e = 1 - Σ_k p_k· p_·k

    Args:
        table: counts n_kl of items that the first gave class k and the second l, shape [K, K].
        alpha: α in (0, 1); two-sided.

    Returns:
        κ in [-1, 1].

    Raises:
        ValueError: not square, negative or broken counts, fewer than two items, or only one class in use,
            where chance explains everything and κ is not defined.

    References:
        Cohen, J. (1960), A coefficient of agreement for nominal scales, EPM 20, 37-46.

    >>> found = cohen_kappa([[40, 10], [20, 30]])
    >>> round(found.value, 2), round(found.low, 2), round(found.high, 2)
    (0.4, 0.22, 0.58)
    """
    counts = checks.floats("table", table, ndim=2)
    if counts.shape[0] != counts.shape[1] or (counts < 0.0).any() or (counts != np.floor(counts)).any():
        raise ValueError(f"table: expected whole counts, shape [K, K], got shape {counts.shape}")
    first, second = np.nonzero(counts)
    copies = counts[first, second].astype(np.int64)
    n = int(copies.sum())
    if n < 2:
        raise ValueError(f"table: expected at least two items, got {n}")
    differs = (first != second).astype(np.float64)
    observed = float((copies * differs).sum())
    rows, columns = counts.sum(axis=1), counts.sum(axis=0)
    chance = float(rows @ columns)
    # Without one item of cell (k, l): row k and column l have one less each.
    without = chance - columns[first] - rows[second] + 1.0 * (first == second)
    left = n - 1.0
    return _chance_corrected(
        disagreement=differs,
        copies=copies,
        expected=1.0 - chance / n**2,
        observed_without=(observed - differs) / left,
        expected_without=1.0 - without / left**2,
        alpha=alpha,
    )


def krippendorff_alpha(counts: npt.ArrayLike, alpha: float = 0.05) -> Agreement:
    """Krippendorff's α for classes: any number of raters, each of whom may have left items out.

    With n_uk answers k to item u, m_u = Σ_k n_uk >= 2, n = Σ m_u and n_k = Σ_u n_uk:

        D_o = (1/n) Σ_u Σ_{k≠l} n_uk n_ul/(m_u - 1),   D_e = Σ_{k≠l} n_k n_l/(n (n - 1)),   α = 1 - D_o/D_e

    Args:
        counts: n_uk, shape [U, K]; items with fewer than two answers tell nothing and are left out.
        alpha: one minus the confidence level, in (0, 1); two-sided.

    Returns:
        α, at most 1.

    Raises:
        ValueError: negative or broken counts, fewer than two items with two answers, or only one class in
            use.

    References:
        Krippendorff, K. (2004), Content Analysis, chapter 11; (2011), Computing Krippendorff's
        alpha-reliability.

    >>> found = krippendorff_alpha([[2, 0], [2, 0], [1, 1], [0, 2], [0, 1]])
    >>> round(found.value, 3), found.units
    (0.533, 4)
    """
    n_uk = checks.floats("counts", counts, ndim=2)
    if (n_uk < 0.0).any() or (n_uk != np.floor(n_uk)).any():
        raise ValueError("counts: expected whole numbers of at least 0")
    n_uk = n_uk[n_uk.sum(axis=1) >= 2.0]
    if n_uk.shape[0] < 2:
        raise ValueError(f"counts: expected at least two items with two answers, got {n_uk.shape[0]}")
    m = n_uk.sum(axis=1)
    pairs_apart = (m**2 - (n_uk**2).sum(axis=1)) / (m - 1.0)
    n, n_k = float(m.sum()), n_uk.sum(axis=0)

    def expected(total: npt.NDArray[np.float64], of_class: npt.NDArray[np.float64]) -> checks.Floats:
        rest: checks.Floats = (total**2 - (of_class**2).sum(axis=-1)) / (total * (total - 1.0))
        return rest

    return _chance_corrected(
        disagreement=pairs_apart / m,
        copies=np.ones(m.size, dtype=np.int64),
        expected=float(expected(np.array(n), n_k)),
        observed_without=(pairs_apart.sum() - pairs_apart) / (n - m),
        expected_without=expected(n - m, n_k - n_uk),
        alpha=alpha,
        weight=m,
    )


def _chance_corrected(
    *,
    disagreement: checks.Floats,
    copies: checks.Integers,
    expected: float,
    observed_without: checks.Floats,
    expected_without: checks.Floats,
    alpha: float,
    weight: checks.Floats | None = None,
) -> Agreement:
    """1 - D_o/D_e with an interval: jackknife over items, or where surprises are few a bound on D_o.

    `disagreement` is each item's, in [0, 1]; D_o is its mean by `weight`. A jackknife of data without a
    single disagreement would claim certainty.
    """
    checks.share("alpha", alpha)
    units = int(copies.sum())
    if expected <= 0.0:
        raise ValueError(
            "expected at least two classes in use, got one: agreement by chance would be complete"
        )
    w = np.ones(disagreement.size) if weight is None else weight
    observed = float((w * copies * disagreement).sum() / (w * copies).sum())
    value = 1.0 - observed / expected
    apart = int(copies[disagreement > 0.0].sum())
    if min(apart, units - apart) >= intervals.ENOUGH_ERRORS and (expected_without > 0.0).all():
        left_out = 1.0 - observed_without / expected_without
        mean = float((copies * left_out).sum()) / units
        spread = (units - 1) / units * float((copies * (left_out - mean) ** 2).sum())
        bounds = intervals.wald(value, math.sqrt(spread), alpha)
        return Agreement(value=value, low=bounds.low, high=min(1.0, bounds.high), units=units, method="wald")
    each = np.repeat(disagreement, copies)
    bound, method = intervals.bounded_mean(each, 1.0, alpha)
    low, high = 1.0 - bound.high / expected, 1.0 - bound.low / expected
    return Agreement(value=value, low=min(low, value), high=max(high, value), units=units, method=method)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TruthClaim:
    """An upper bound on the share of final labels that are not the truth."""

    error_high: float
    """It holds with probability 1 - α if people err independently of one another and of the machine."""
    reviewer_error_high: float
    """η+, upper bound of a reviewer's rate of mistakes."""
    disagreement_high: float
    """p+, upper bound of the disagreement of pairs."""


def truth_claim(
    *, pairs: int, disagreed: int, residual_high: float, reviewed_share: float, alpha: float = 0.05
) -> TruthClaim:
    """Bounds the error of the corrected labels against the truth, from doubles on a random part of the audit.

    Two people who err independently at rate η disagree with probability p >= 2η(1 - η); so with p+ the upper
    bound of p at level α/2,

        η+ = (1 - √(1 - 2p+))/2,     error <= R+/(1 - η+) + η+ · reviewed share

    R+ is the upper end, at level α/2 too, of the share of *all* items that are wrong and unreviewed, as their
    reviewers would say: q+ times the unreviewed share. The union of both levels is α.

    Args:
        pairs: items that two people answered blind, a random part of the audit.
        disagreed: pairs whose answers differ, [0, pairs].
        residual_high: R+ in [0, 1]; 1 - the lower end of the corrected accuracy's two-sided 1 - α interval.
        reviewed_share: share of items that people labelled, [0, 1].
        alpha: α in (0, 1), for the claim as a whole.

    Returns:
        The claim; a bound above 1 is given as 1, which says nothing and is true.

    Raises:
        TooFewPairs: fewer than 100 pairs, or so many disagreements that p+ reaches 1/2; says how many are
            needed.
        ValueError: a count or share out of range.

    References:
        algorithms.md 8.8.

    >>> claim = truth_claim(pairs=400, disagreed=20, residual_high=0.04, reviewed_share=0.2)
    >>> round(claim.reviewer_error_high, 3), round(claim.error_high, 3)
    (0.04, 0.05)
    """
    alpha = checks.share("alpha", alpha)
    pairs = checks.count("pairs", pairs, 0, 2**62)
    disagreed = checks.count("disagreed", disagreed, 0, pairs)
    residual, reviewed = checks.within(
        "residual_high, reviewed_share", [residual_high, reviewed_share], 0.0, 1.0
    )
    if pairs < FEWEST_PAIRS:
        raise TooFewPairs(
            f"pairs: expected at least {FEWEST_PAIRS} doubles for a statement about the truth, got {pairs}:"
            f" plan {FEWEST_PAIRS - pairs} more",
            pairs=FEWEST_PAIRS,
        )
    # The upper end of a two-sided interval at level 1 - α is the one-sided bound at α/2.
    p = intervals.clopper_pearson(disagreed, pairs, alpha).high
    if p >= 0.5:
        raise TooFewPairs(_no_claim(pairs, disagreed, alpha), pairs=pairs)
    eta = (1.0 - math.sqrt(1.0 - 2.0 * p)) / 2.0
    bound = float(residual) / (1.0 - eta) + eta * float(reviewed)
    return TruthClaim(error_high=min(1.0, bound), reviewer_error_high=eta, disagreement_high=p)


def _no_claim(pairs: int, disagreed: int, alpha: float) -> str:
    share = disagreed / pairs
    found = f"{disagreed} of {pairs} pairs disagree, so that reviewers may err as often as not"
    if share >= 0.5:
        return f"pairs: {found}; no number of pairs would help: make the question clearer"
    z = float(scipy.special.ndtri(1.0 - alpha / 2.0))
    needed = math.ceil(z**2 * share * (1.0 - share) / (0.5 - share) ** 2)
    return f"pairs: {found}; about {max(needed, pairs + 1)} pairs would tell more"

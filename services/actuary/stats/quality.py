"""Quality of a critic: how it ranks (AUROC), and what its risks mean (reliability, ECE).

From full truth, or from a reviewed sample by weighting each item with its g: of pilot and audit only (8.12).
What a critic gains with a budget is `budget_score`.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from actuary.stats import checks, intervals


def _weighted(
    eps: npt.ArrayLike, err: npt.ArrayLike, weight: npt.ArrayLike | None
) -> tuple[checks.Floats, checks.Booleans, checks.Floats]:
    risk = checks.risks("eps", eps)
    wrong = checks.flags("err", err, size=risk.size)
    w = np.ones(risk.size) if weight is None else checks.sizes("weight", weight, size=risk.size)
    if not w.sum() > 0.0:
        raise ValueError("weight: expected at least one weight above 0, got none")
    return risk, wrong, w


def auroc(eps: npt.ArrayLike, err: npt.ArrayLike, weight: npt.ArrayLike | None = None) -> float:
    """P(a wrong label has a higher risk than a right one), ties counted half, items weighted.

    Args:
        eps: ε, shape [n], in [0, 1].
        err: d, shape [n], both values present.
        weight: g, shape [n], at least 0; equal by default.

    Returns:
        AUROC in [0, 1]; NaN is never returned.

    Raises:
        ValueError: all wrong or all right, risks outside [0, 1], lengths differ, or no positive weight.

    References:
        Hanley, J., McNeil, B. (1982), Radiology 143, 29-36.

    >>> auroc([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0])
    0.875
    """
    risk, wrong, w = _weighted(eps, err, weight)
    _, group = np.unique(risk, return_inverse=True)
    bad, good = np.bincount(group, w * wrong), np.bincount(group, w * ~wrong)
    if bad.sum() == 0.0 or good.sum() == 0.0:
        raise ValueError("err: expected right and wrong labels with weight, got one kind only")
    below = np.cumsum(good) - good
    return float((bad * (below + good / 2.0)).sum() / (bad.sum() * good.sum()))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """One bar of a reliability diagram."""

    low: float
    high: float
    """Risks in [low, high); the last bin includes 1."""
    count: int
    mean_risk: float
    """Weighted mean of ε."""
    error_rate: float
    """Weighted share of errors."""
    error_low: float
    error_high: float
    """95 % Clopper-Pearson bounds of the unweighted share when weights are equal in the bin; else of the
    weighted share at Kish's effective size, which is approximate."""


def reliability(
    eps: npt.ArrayLike,
    err: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    bins: int = 10,
    alpha: float = 0.05,
) -> tuple[Bin, ...]:
    """Compares risks with error rates, bin by bin of equal width; empty bins are left out.

    Args:
        eps: ε, shape [n], in [0, 1].
        err: d, shape [n].
        weight: g, shape [n], at least 0; equal by default. Items of weight 0 are left out.
        bins: number of bins, at least 1.
        alpha: α in (0, 1); two-sided.

    Returns:
        The bins with at least one item, by rising risk.

    Raises:
        ValueError: risks outside [0, 1], lengths differ, no positive weight, or bins below 1.

    References:
        DeGroot, M., Fienberg, S. (1983), The comparison and evaluation of forecasters, The Statistician 32.

    >>> [(b.count, b.error_rate) for b in reliability([0.1, 0.15, 0.9], [0, 1, 1])]
    [(2, 0.5), (1, 1.0)]
    """
    risk, wrong, w = _weighted(eps, err, weight)
    bins = checks.count("bins", bins, 1, 1_000)
    group = np.minimum((risk * bins).astype(np.int64), bins - 1)
    found = []
    for k in range(bins):
        rows = (group == k) & (w > 0.0)
        if not rows.any():
            continue
        part = w[rows]
        share = float((part * wrong[rows]).sum() / part.sum())
        size = max(1, round(float(part.sum() ** 2 / (part**2).sum())))
        bounds = intervals.clopper_pearson(min(size, round(share * size)), size, alpha)
        found.append(
            Bin(
                low=k / bins,
                high=(k + 1) / bins,
                count=int(rows.sum()),
                mean_risk=float((part * risk[rows]).sum() / part.sum()),
                error_rate=share,
                error_low=min(bounds.low, share),
                error_high=max(bounds.high, share),
            )
        )
    return tuple(found)


def expected_calibration_error(
    eps: npt.ArrayLike, err: npt.ArrayLike, weight: npt.ArrayLike | None = None, bins: int = 10
) -> float:
    """ECE = Σ_k (W_k/W) |mean risk of bin k - error rate of bin k|.

    Args:
        eps: ε, shape [n], in [0, 1].
        err: d, shape [n].
        weight: g, shape [n], at least 0; equal by default.
        bins: bins of equal width, at least 1.

    Returns:
        ECE in [0, 1]; biased upwards by noise when bins hold few items.

    Raises:
        ValueError: as `reliability`.

    References:
        Naeini, M., Cooper, G., Hauskrecht, M. (2015), Obtaining well calibrated probabilities using
        Bayesian binning, AAAI.

    >>> round(expected_calibration_error([0.1, 0.1, 0.9], [0, 0, 1]), 3)
    0.1
    """
    risk, wrong, w = _weighted(eps, err, weight)
    bins = checks.count("bins", bins, 1, 1_000)
    group = np.minimum((risk * bins).astype(np.int64), bins - 1)
    gap = np.bincount(group, w * (risk - wrong))
    return float(np.abs(gap).sum() / w.sum())

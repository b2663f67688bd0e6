"""Isotonic calibration: the risk as any rising step function of one score.

It assumes nothing but the direction, and pays for that with ties and with steps that few labels place badly;
Platt scaling (`risk`) does more with less. It deliberately does not combine scores: one goes in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from actuary.stats import checks, risk


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class IsotonicModel:
    """ε rises with the score: linear between the knots, constant outside of them."""

    score: tuple[float, ...]
    """Knots, increasing; empty when no score was there to fit on."""
    risk: tuple[float, ...]
    """ε at the knots, not decreasing, inside (0, 1)."""
    missing: float
    """ε of an item without a score."""

    def predict(self, x: npt.ArrayLike) -> checks.Floats:
        """Returns ε, shape [N], of scores, shape [N, 1], NaN where missing.

        Raises:
            ValueError: infinite scores, or more than one a row.
        """
        score = _one_score(x)
        if not self.score:
            return np.full(score.size, self.missing)
        known = np.interp(np.nan_to_num(score), self.score, self.risk)
        return np.where(np.isnan(score), self.missing, known)

    def to_record(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        return {"score": list(self.score), "risk": list(self.risk), "missing": self.missing}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> IsotonicModel:
        """Reads what `to_record` wrote."""
        return cls(score=tuple(record["score"]), risk=tuple(record["risk"]), missing=float(record["missing"]))


def _one_score(x: npt.ArrayLike) -> checks.Floats:
    scores = checks.floats("x", x, ndim=2, nan=True)
    if scores.shape[1] != 1:
        raise ValueError(f"x: expected 1 score an item, got {scores.shape[1]}")
    return scores[:, 0]


def fit_isotonic(x: npt.ArrayLike, err: npt.ArrayLike) -> IsotonicModel:
    """Fits by least squares among all functions that do not fall.

    minimise Σ_i (f(x_i) - d_i)² over f with f(x) <= f(x') where x <= x'; then ε = (n f + 1/2)/(n + 1)

    The minimum is also that of the log loss. A block of the fit that holds one kind of label only would say
    0 or 1, and be infinitely wrong once; the last step keeps risks off the ends by as much as one label in n
    + 1 can tell, and does not change their order.

    Args:
        x: scores, shape [n, 1], NaN where missing; higher is more suspicious.
        err: d, shape [n].

    Returns:
        The model; items without a score have a rate of their own.

    Raises:
        CriticUnfit: fewer than 20 labels, or all right, or all wrong.
        ValueError: infinite scores, more than one a row, or lengths that differ.

    References:
        Ayer et al. (1955), An empirical distribution function for sampling with incomplete information,
        Annals of Mathematical Statistics 26; Zadrozny, Elkan (2002), KDD, for classifier scores.

    >>> model = fit_isotonic(np.arange(20.0)[:, None], np.arange(20) >= 12)
    >>> model.predict([[3.0], [15.0], [float("nan")]]).round(3).tolist()
    [0.024, 0.976, 0.4]
    """
    import scipy.optimize  # takes half a second to import, and few processes come here

    score = _one_score(x)
    wrong = checks.flags("err", err, size=score.size)
    risk.check_fit(wrong)
    present = ~np.isnan(score)
    gone = wrong[~present]
    # a missing score of which there are few examples says as much as the base rate
    missing = float((gone.sum() + wrong.mean()) / (gone.size + 1.0))
    if not present.any():
        return IsotonicModel(score=(), risk=(), missing=missing)
    knots, index = np.unique(score[present], return_inverse=True)
    labels = np.bincount(index)
    rate = np.bincount(index, wrong[present]) / labels
    fitted = scipy.optimize.isotonic_regression(rate, weights=labels.astype(np.float64)).x
    n = float(labels.sum())
    return IsotonicModel(
        score=tuple(knots.tolist()),
        risk=tuple(((n * fitted + 0.5) / (n + 1.0)).tolist()),
        missing=missing,
    )

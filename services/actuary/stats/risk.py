"""Risk: the probability that a machine label is wrong, from a critic's scores and few human labels.

Raw confidences rank badly (AUROC .59 on politeness) and calibrate worse; Platt scaling on 250 labels makes
.77 of them (algorithms.md T1, T5). Here is the version for a pilot of 30 to 400 labels: logistic regression
on logits, with a ridge prior that shrinks towards the base rate when there is little to learn from.

Risks that enter an estimate must not have seen their own item's label: `choice.fit_folds` fits one model a
fold, on the labels outside of it, and `predict_folds` gives every item, labelled or not, its own fold's model
(8.4). Larger pilots deserve larger models: `isotonic` and `trees` are beside this one, and `choice` takes the
one that the labels support.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import scipy.special

from actuary.stats import checks

MIN_LABELS = 20
"""Fewer labels than this give a base rate and no model."""

RIDGE = 1.0
"""Prior precision of a coefficient, per standard deviation of its feature: a slope of 2 is two sigmas."""

LOGIT_BOUND = 1e-4
"""Probabilities are moved into [1e-4, 1 - 1e-4] before a logit: models that say 1.0 mean "quite sure"."""


class RiskModel(Protocol):
    """A fitted model, of whatever kind."""

    def predict(self, x: npt.ArrayLike) -> checks.Floats:
        """Returns ε, shape [N], of features, shape [N, p], NaN where missing."""

    def to_record(self) -> dict[str, Any]:
        """Returns it as JSON values."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PlattModel:
    """logit ε = b + Σ_j a_j (x_j - center_j)/scale_j + Σ_j a'_j 1[x_j missing]."""

    coef: tuple[float, ...]
    """a then a', 2p values."""
    intercept: float
    center: tuple[float, ...]
    scale: tuple[float, ...]

    def predict(self, x: npt.ArrayLike) -> checks.Floats:
        """Returns ε of items: `predict`."""
        return predict(self, x)

    def to_record(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        record = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in record.items()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> PlattModel:
        """Reads what `to_record` wrote."""
        return cls(
            coef=tuple(record["coef"]),
            intercept=record["intercept"],
            center=tuple(record["center"]),
            scale=tuple(record["scale"]),
        )


def logit(p: npt.ArrayLike) -> checks.Floats:
    """Turns probabilities into features: log(p/(1 - p)), p moved into [1e-4, 1 - 1e-4]; NaN stays (missing).

    Args:
        p: shape [N], in [0, 1] or NaN.

    Returns:
        Logits, shape [N], in [-9.21, 9.21] or NaN.

    Raises:
        ValueError: a value outside [0, 1] or infinite.

    References:
        Platt, J. (1999), Probabilistic outputs for support vector machines.

    >>> logit([0.5, 1.0, float("nan")]).round(2).tolist()
    [0.0, 9.21, nan]
    """
    p = checks.floats("p", p, nan=True)
    checks.within("p", p[~np.isnan(p)], 0.0, 1.0)
    return np.asarray(scipy.special.logit(np.clip(p, LOGIT_BOUND, 1.0 - LOGIT_BOUND)), dtype=np.float64)


def _design(model: PlattModel, x: checks.Floats) -> checks.Floats:
    missing = np.isnan(x)
    standard = np.where(missing, 0.0, (x - np.array(model.center)) / np.array(model.scale))
    return np.concatenate([standard, missing.astype(np.float64)], axis=1)


def constant(err: npt.ArrayLike, features: int) -> PlattModel:
    """The model that knows nothing but the base rate: ε = (k + 1/2)/(n + 1).

    Args:
        err: d of the labelled items, shape [n].
        features: p, so that it takes the same input.

    Returns:
        A model whose coefficients are 0.

    Raises:
        ValueError: values other than true and false.

    References:
        The posterior mean under Jeffreys' prior: Brown, Cai, DasGupta (2001), Statistical Science 16.

    >>> round(float(predict(constant([True, False, False], 1), [[0.3]])[0]), 3)
    0.375
    """
    wrong = checks.flags("err", err)
    rate = (wrong.sum() + 0.5) / (wrong.size + 1.0)
    return PlattModel(
        coef=(0.0,) * (2 * features),
        intercept=float(scipy.special.logit(rate)),
        center=(0.0,) * features,
        scale=(1.0,) * features,
    )


def check_fit(wrong: checks.Booleans) -> None:
    """Refuses labels that no model can be fitted on.

    Args:
        wrong: d, shape [n].

    Raises:
        CriticUnfit: fewer than 20 labels, or all right, or all wrong.

    >>> check_fit(np.array([True, False] * 10))
    """
    if wrong.size < MIN_LABELS:
        raise checks.CriticUnfit(
            f"err: expected at least {MIN_LABELS} labels to fit a risk model, got {wrong.size}"
        )
    if wrong.all() or not wrong.any():
        kind = "wrong" if wrong[0] else "right"
        raise checks.CriticUnfit(
            f"err: expected right and wrong labels, got {wrong.size} that are all {kind}"
        )


def fit_platt(x: npt.ArrayLike, err: npt.ArrayLike, ridge: float = RIDGE) -> PlattModel:
    """Fits the risk model by penalised maximum likelihood.

    minimise Σ_i [log(1 + e^{η_i}) - d_i η_i] + ridge/2 Σ_j a_j²,   η = b + a·(standardised x, missing
    indicators)

    The intercept is free, so the mean of the fitted risks is the share of errors. Newton's method; the
    objective is strictly convex in a, and with both classes present in b.

    Args:
        x: features, shape [n, p], NaN where missing: logits of confidence and of the critic's score, say.
        err: d, shape [n].
        ridge: prior precision, above 0.

    Returns:
        The model.

    Raises:
        CriticUnfit: fewer than 20 labels, or all right, or all wrong.
        ValueError: infinite features, lengths that differ, or ridge not above 0.

    References:
        Platt (1999); le Cessie, van Houwelingen (1992), Ridge estimators in logistic regression, Applied
        Statistics 41.

    >>> rng = np.random.default_rng(1)
    >>> x = rng.normal(size=(200, 1))
    >>> model = fit_platt(x, rng.random(200) < scipy.special.expit(2 * x[:, 0] - 1))
    >>> 1.2 < model.coef[0] / model.scale[0] < 2.8
    True
    """
    features = checks.floats("x", x, ndim=2, nan=True)
    wrong = checks.flags("err", err, size=features.shape[0])
    if not 0.0 < ridge < np.inf:
        raise ValueError(f"ridge: expected a finite number above 0, got {ridge}")
    check_fit(wrong)
    present = ~np.isnan(features)
    count = np.maximum(present.sum(axis=0), 1)
    filled = np.where(present, features, 0.0)
    center = filled.sum(axis=0) / count
    spread = np.sqrt((np.where(present, features - center, 0.0) ** 2).sum(axis=0) / count)
    scale = np.where(spread > 1e-12, spread, 1.0)
    width = 2 * features.shape[1]
    model = PlattModel(
        coef=(0.0,) * width,
        intercept=0.0,
        center=tuple(center.tolist()),
        scale=tuple(scale.tolist()),
    )
    coef, intercept = _newton(_design(model, features), wrong.astype(np.float64), ridge)
    return dataclasses.replace(model, coef=tuple(coef.tolist()), intercept=intercept)


def _newton(z: checks.Floats, d: checks.Floats, ridge: float) -> tuple[checks.Floats, float]:
    """Minimises the penalised negative log-likelihood; step halving makes every step go down."""
    z = np.concatenate([np.ones((z.shape[0], 1)), z], axis=1)
    penalty = np.full(z.shape[1], ridge)
    penalty[0] = 0.0
    beta = np.zeros(z.shape[1])
    beta[0] = scipy.special.logit(d.mean())

    def loss(b: checks.Floats) -> float:
        eta = z @ b
        return float(np.logaddexp(0.0, eta).sum() - d @ eta + 0.5 * (penalty * b**2).sum())

    value = loss(beta)
    while True:  # ends: every round but the last lowers a bounded loss by a fixed share
        p = scipy.special.expit(z @ beta)
        gradient = z.T @ (p - d) + penalty * beta
        hessian = (z * (p * (1.0 - p))[:, None]).T @ z + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while (lower := loss(beta - size * step)) > value and size > 1e-8:
            size /= 2.0
        beta = beta - size * step
        if value - lower <= 1e-12 * (1.0 + abs(value)):
            return beta[1:], float(beta[0])
        value = lower


def predict(model: PlattModel, x: npt.ArrayLike) -> checks.Floats:
    """Returns ε of items.

    Args:
        model: a fitted model.
        x: features, shape [N, p], NaN where missing.

    Returns:
        ε, shape [N], in [0, 1].

    Raises:
        ValueError: infinite features, or another number of them than the model's.

    >>> model = PlattModel(coef=(1.0, 0.0), intercept=0.0, center=(0.0,), scale=(1.0,))
    >>> predict(model, [[0.0], [float("nan")]]).tolist()
    [0.5, 0.5]
    """
    features = checks.floats("x", x, ndim=2, nan=True)
    if features.shape[1] != len(model.center):
        raise ValueError(f"x: expected {len(model.center)} features, got {features.shape[1]}")
    # not a matrix product: BLAS rounds a row by where it stands, and a risk would depend on its shard
    eta = model.intercept + (_design(model, features) * np.array(model.coef)).sum(axis=1)
    return np.asarray(scipy.special.expit(eta), dtype=np.float64)


def predict_folds(models: Sequence[RiskModel], x: npt.ArrayLike, fold: npt.ArrayLike) -> checks.Floats:
    """Gives every item the risk of its own fold's model, which has not seen that item's label.

    Unlabelled items too: with one model for them and others for the labelled, the two parts of the estimate's
    Σ ε + Σ g(d - ε) would be of different control variates, and no longer cancel on average.

    Args:
        models: one a fold.
        x: features, shape [N, p], NaN where missing.
        fold: shape [N], in [0, folds).

    Returns:
        ε, shape [N], in [0, 1].

    Raises:
        ValueError: as `predict`, or a fold out of range.

    References:
        algorithms.md 8.4.

    >>> model = PlattModel(coef=(1.0, 0.0), intercept=0.0, center=(0.0,), scale=(1.0,))
    >>> flat = dataclasses.replace(model, coef=(0.0, 0.0))
    >>> predict_folds([model, flat], [[9.0], [9.0]], [0, 1]).round(3).tolist()
    [1.0, 0.5]
    """
    features = checks.floats("x", x, ndim=2, nan=True)
    index = checks.indexes("fold", fold, 0, len(models), size=features.shape[0])
    eps = np.empty(index.size)
    for k, model in enumerate(models):
        rows = index == k
        eps[rows] = model.predict(features[rows])
    return eps

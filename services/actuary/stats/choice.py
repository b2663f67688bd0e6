"""Choice of a risk model: the simplest that predicts unseen labels as well as any, chosen without looking.

A model that is chosen by an item's label has seen that label, however its coefficients were fitted. So the
choice is nested in the folds: fold k's model is chosen and fitted on the labels outside of k alone, and no
risk depends on its own item's label in any way (8.4), which keeps Σ g (d - ε) unbiased exactly, whatever is
chosen. Folds may choose differently; all of their risks are probabilities of the same event, so they compare.

What is chosen among are the candidates and one mixture of them. Where two kinds of model predict alike, as
a table of few columns and trees over many do on 1,000 labels, their mixture is better than either: choosing
one throws half of what is known away.

Which candidates there are, and on which columns, is deliberately not said here: `sampler.critics` does.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from actuary.stats import checks, isotonic, risk, trees

LEAST_WEIGHT = 0.05
"""Members of a mixture below it are not worth their fit. A guess."""

ROUNDS = 100
"""Of expectation maximisation."""

FORMS: dict[str, type[risk.PlattModel | isotonic.IsotonicModel | trees.TreesModel]] = {
    "platt": risk.PlattModel,
    "isotonic": isotonic.IsotonicModel,
    "trees": trees.TreesModel,
}
"""What a model's record may hold, by the name that stands in it."""

Fit = Callable[[checks.Floats, checks.Booleans], risk.RiskModel]
"""Takes features [n, p] and d [n]; raises `CriticUnfit` where there is nothing to fit on."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A kind of model, and what it looks at."""

    kind: str
    columns: tuple[int, ...]
    """Columns of the features that it sees."""
    fit: Fit
    least: int = 0
    """Labels from which on it takes part."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A fitted model with the columns that it sees."""

    kind: str
    columns: tuple[int, ...]
    model: risk.RiskModel

    def predict(self, x: npt.ArrayLike) -> checks.Floats:
        """Returns ε, shape [N], of all features, shape [N, p]."""
        return self.model.predict(checks.floats("x", x, ndim=2, nan=True)[:, self.columns])

    def to_record(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        form = next(name for name, kind in FORMS.items() if isinstance(self.model, kind))
        return {
            "kind": self.kind, "form": form, "columns": list(self.columns), "model": self.model.to_record()
        }  # fmt: skip

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Fitted:
        """Reads what `to_record` wrote."""
        model = FORMS[record["form"]].from_record(record["model"])
        return cls(kind=record["kind"], columns=tuple(record["columns"]), model=model)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """ε = Σ_m w_m ε_m: one model, or a mixture."""

    members: tuple[Fitted, ...]
    weights: tuple[float, ...]
    """w, above 0, sum to 1."""

    @property
    def kind(self) -> str:
        """The kinds of its members, joined by `+`."""
        return "+".join(member.kind for member in self.members)

    def predict(self, x: npt.ArrayLike) -> checks.Floats:
        """Returns ε, shape [N], of all features, shape [N, p]."""
        each = [w * m.predict(x) for w, m in zip(self.weights, self.members, strict=True)]
        eps: checks.Floats = np.minimum(np.sum(each, axis=0), 1.0)  # weights sum to 1 only up to rounding
        return eps

    def to_record(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        return {"members": [each.to_record() for each in self.members], "weights": list(self.weights)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Chosen:
        """Reads what `to_record` wrote."""
        members = tuple(Fitted.from_record(each) for each in record["members"])
        return cls(members=members, weights=tuple(record["weights"]))


def log_loss(eps: npt.ArrayLike, err: npt.ArrayLike) -> checks.Floats:
    """The loss of each prediction: -log ε where the label was wrong, -log(1 - ε) where it was right.

    Args:
        eps: ε, shape [n], in [0, 1]; moved into [1e-9, 1 - 1e-9], so that no loss is infinite.
        err: d, shape [n].

    Returns:
        Losses in nats, shape [n].

    Raises:
        ValueError: risks outside [0, 1], or lengths that differ.

    References:
        Good, I. (1952), Rational decisions, JRSS-B 14.

    >>> log_loss([0.5, 0.1], [True, False]).round(3).tolist()
    [0.693, 0.105]
    """
    predicted = checks.risks("eps", eps)
    wrong = checks.flags("err", err, size=predicted.size)
    bounded = np.clip(predicted, 1e-9, 1.0 - 1e-9)
    loss: checks.Floats = -np.log(np.where(wrong, bounded, 1.0 - bounded))
    return loss


def simplest_good(losses: npt.ArrayLike) -> int:
    """Picks the first candidate whose mean loss is within one standard error of the smallest.

    The standard error is that of the mean of the paired differences, since all candidates are judged by the
    same labels: that of a mean loss by itself would be many times as large, and would always pick the first.

    Args:
        losses: shape [C, n], candidates from the simplest on, in nats.

    Returns:
        Index of the candidate, in [0, C).

    Raises:
        ValueError: no candidates, or fewer than two labels.

    References:
        Breiman et al. (1984), Classification and regression trees, section 3.4.3, with paired differences.

    >>> simplest_good([[0.5, 0.5, 0.6], [0.5, 0.5, 0.5]]), simplest_good([[0.9, 0.8], [0.1, 0.1]])
    (0, 1)
    """
    values = checks.floats("losses", losses, ndim=2)
    if values.shape[0] == 0 or values.shape[1] < 2:
        raise ValueError(f"losses: expected at least 1 candidate and 2 labels, got shape {values.shape}")
    more = values - values[int(np.argmin(values.mean(axis=1)))]
    error = more.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
    return int(np.argmax(more.mean(axis=1) <= error))


def mixture_weights(likelihood: npt.ArrayLike) -> checks.Floats:
    """The weights under which a mixture predicts best: maximise Σ_i log Σ_c w_c p_ci over w >= 0, Σ w = 1.

    By expectation maximisation, w_c <- mean_i (w_c p_ci / Σ_c' w_c' p_c'i), from equal weights; the objective
    is concave, and every round raises it. A hundred rounds leave less than labels can tell. Members below
    0.05 are dropped.

    Args:
        likelihood: p, shape [C, n], what each candidate said of the label that item i turned out to have, in
            (0, 1].

    Returns:
        w, shape [C].

    Raises:
        ValueError: no candidates, no labels, or a value outside (0, 1].

    References:
        Dempster, Laird, Rubin (1977), JRSS-B 39, section 4.3; van der Laan, Polley, Hubbard (2007), Super
        learner, for weights from held-out predictions.

    >>> mixture_weights([[0.9, 0.2], [0.2, 0.9]]).round(3).tolist()
    [0.5, 0.5]
    >>> mixture_weights([[0.9, 0.8], [0.2, 0.1]]).round(3).tolist()
    [1.0, 0.0]
    """
    p = checks.within("likelihood", likelihood, 1e-300, 1.0, ndim=2)
    if p.size == 0:
        raise ValueError(f"likelihood: expected at least 1 candidate and 1 label, got shape {p.shape}")
    w = np.full(p.shape[0], 1.0 / p.shape[0])
    for _ in range(ROUNDS):
        part = w[:, None] * p
        w = (part / part.sum(axis=0)).mean(axis=1)
    w = np.where(w < min(LEAST_WEIGHT, w.max()), 0.0, w)
    mixed: checks.Floats = w / w.sum()
    return mixed


def constant(err: npt.ArrayLike, features: int) -> Chosen:
    """The choice that knows nothing but the base rate (`risk.constant`).

    >>> constant([True, False, False], 1).predict([[0.3]]).round(3).tolist()
    [0.375]
    """
    model = risk.constant(err, features)
    columns = tuple(range(features))
    return Chosen(members=(Fitted(kind="constant", columns=columns, model=model),), weights=(1.0,))


def fit_or_constant(candidate: Candidate, x: checks.Floats, err: checks.Booleans) -> Fitted:
    """Fits a candidate, or takes the base rate where there is too little to fit on.

    Args:
        candidate: what to fit.
        x: all features, shape [n, p].
        err: d, shape [n].

    Returns:
        The fitted model.
    """
    model: risk.RiskModel
    try:
        model = candidate.fit(x[:, candidate.columns], err)
    except checks.CriticUnfit:
        constant = risk.constant(err, len(candidate.columns))
        return Fitted(kind="constant", columns=candidate.columns, model=constant)
    return Fitted(kind=candidate.kind, columns=candidate.columns, model=model)


def fit_folds(
    candidates: Sequence[Candidate],
    x: npt.ArrayLike,
    err: npt.ArrayLike,
    fold: npt.ArrayLike,
    folds: int = 5,
) -> tuple[Chosen, ...]:
    """Chooses and fits one model a fold, each from the labels outside of it.

    For fold k, a candidate is judged on every other fold j by a model fitted without j and k. That model
    serves fold j's choice as well, with the roles exchanged: folds (folds - 1)/2 fits a candidate choose for
    all folds, and one fit a fold is then used. The mixture stands last, as the least simple.

    Args:
        candidates: from the simplest on; those with `least` above n take no part.
        x: features of labelled items, shape [n, p], NaN where missing.
        err: d, shape [n].
        fold: shape [n], in [0, folds) (`prn.fold`).
        folds: at least 3.

    Returns:
        Models, one a fold; none of them, nor its kind, depends on a label of its fold.

    Raises:
        CriticUnfit: fewer than 20 labels in all, or all right, or all wrong.
        ValueError: no candidate for so few labels, lengths that differ, or a fold out of range.

    References:
        Varma, S., Simon, R. (2006), Bias in error estimation when using cross-validation for model
        selection, BMC Bioinformatics 7; algorithms.md 8.4.

    >>> platt = Candidate(kind="platt", columns=(0,), fit=risk.fit_platt)
    >>> x, err = np.arange(40.0)[:, None], np.arange(40) % 4 == 0
    >>> [model.kind for model in fit_folds([platt], x, err, np.arange(40) % 5)]
    ['platt', 'platt', 'platt', 'platt', 'platt']
    """
    checks.count("folds", folds, 3, 127)
    features = checks.floats("x", x, ndim=2, nan=True)
    wrong = checks.flags("err", err, size=features.shape[0])
    index = checks.indexes("fold", fold, 0, folds, size=wrong.size)
    risk.check_fit(wrong)
    able = [each for each in candidates if each.least <= wrong.size]
    if not able:
        raise ValueError(f"candidates: expected one that takes {wrong.size} labels, got none")
    likelihood = _likelihood(able, features, wrong, index, folds) if len(able) > 1 else None
    chosen = []
    for k in range(folds):
        outside = index != k
        weights = np.ones(1)
        if likelihood is not None and int(outside.sum()) > 1:
            weights = _weights(likelihood[k][:, outside])
        members = [able[c] for c in np.flatnonzero(weights)]
        chosen.append(
            Chosen(
                members=tuple(fit_or_constant(each, features[outside], wrong[outside]) for each in members),
                weights=tuple(weights[weights > 0.0].tolist()),
            )
        )
    return tuple(chosen)


def _likelihood(
    able: Sequence[Candidate], x: checks.Floats, wrong: checks.Booleans, index: checks.Integers, folds: int
) -> checks.Floats:
    """Returns [k, c, i]: what c says of label i when neither i's fold nor k is fitted on; 1 inside of k."""
    found = np.ones((folds, len(able), wrong.size))
    for first, second in itertools.combinations(range(folds), 2):
        held = (index == first) | (index == second)
        if not held.any():
            continue
        for c, candidate in enumerate(able):
            eps = fit_or_constant(candidate, x[~held], wrong[~held]).predict(x[held])
            told = np.exp(-log_loss(eps, wrong[held]))
            mine = index[held] == first
            found[second, c, index == first] = told[mine]
            found[first, c, index == second] = told[~mine]
    return found


def _weights(likelihood: checks.Floats) -> checks.Floats:
    """Weights of the candidates: all on the simplest good one, or those of the mixture."""
    mixed = mixture_weights(likelihood)
    best = simplest_good(-np.log(np.vstack([likelihood, mixed @ likelihood])))
    if best == likelihood.shape[0]:
        return mixed
    alone = np.zeros(likelihood.shape[0])
    alone[best] = 1.0
    return alone

"""What the trainer decides: which trials run, whether the weights can bear the loss, whether to search.

Pure functions of values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from actuary.stats import training

Labels = Literal["machine", "act", "human"]

LAMBDA: Final = training.LAMBDA
CAP: Final = training.CAP
"""λ and W where nothing can be validated."""
GRID: Final = ((LAMBDA, CAP), (1.0, 1.0), (1.0, 2.0), (0.8, 5.0), (0.6, 5.0))
"""Pairs (λ, W) of a search, the default first."""
SEARCH_ERROR: Final = 0.01
"""Largest standard error of a difference between two trials at which a search tells anything (8.13)."""
_REFUSED_PER_CLASS = 1.0
_WARNED_PER_CLASS = 5.0
"""Effective human labels a class, below which the loss is refused, or a warning given. Guesses."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One training run."""

    model: str
    labels: Labels
    """`machine`: its labels alone; `act`: the mixture with the ACT loss; `human`: every label from people."""
    lam: float = LAMBDA
    """λ in [0, 1], weight of the machine's part."""
    cap: float = CAP
    """W >= 1, largest weight of a human label."""
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    """None takes the model's default."""
    seed: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Whether the ACT loss can be trusted with these weights."""

    diagnostics: training.WeightDiagnostics | None
    """Of min(g, W); None where no human label has a weight."""
    labels: int
    """Human labels with a weight above 0."""
    refusal: str | None
    """Why the mixture is not trained; None when it is."""
    warnings: tuple[str, ...]


def judge(g: npt.ArrayLike, cap: float, classes: int, *, items: int, lam: float = LAMBDA) -> Judgement:
    """Looks at the weights of the human labels.

    Args:
        g: weights of the items that people labelled, [S]; 0 where a label only corrects.
        cap: W.
        classes: K.
        items: N, items with a machine label.
        lam: λ.
    """
    weights = np.asarray(g, dtype=np.float64)
    labels = int((weights > 0).sum())
    if labels == 0:
        return Judgement(
            diagnostics=None, labels=0, refusal="no human label has a weight in training", warnings=()
        )
    diagnostics = training.diagnose(weights, cap)
    effective = diagnostics.effective_size
    found = training.findings(weights, items, lam, cap)
    refusals = [f"{each.problem}: {each.remedy}" for each in found if each.fatal]
    warnings = [each.problem for each in found if not each.fatal]
    if effective < _REFUSED_PER_CLASS * classes:
        refusals.append(
            f"{labels} human labels are worth {effective:.1f} equal ones after their weights, fewer than the "
            f"{classes} classes: label more items, or draw them more evenly"
        )
    elif effective < _WARNED_PER_CLASS * classes:
        warnings.append(
            f"{labels} human labels are worth only {effective:.1f} equal ones after their weights: "
            "the trained model depends on few of them"
        )
    return Judgement(
        diagnostics=diagnostics,
        labels=labels,
        refusal="; ".join(refusals) or None,
        warnings=tuple(warnings),
    )


def unsupported(g: npt.ArrayLike, cap: float, *, items: int, lam: float = LAMBDA) -> str | None:
    """Says why a design cannot support the loss that was asked for, and what would repair it; None if it can.

    Args:
        g: weights of the items that people labelled, [S].
        cap: W.
        items: N, items with a machine label.
        lam: λ.
    """
    weights = np.asarray(g, dtype=np.float64)
    if not (weights > 0).any():
        return None  # the mixture is left out, and that is said; there is nothing to repair here
    fatal = [each for each in training.findings(weights, items, lam, cap) if each.fatal]
    return "; ".join(f"{each.problem}: {each.remedy}" for each in fatal) or None


def trials(base: Trial, judgement: Judgement, *, all_human: bool) -> tuple[Trial, ...]:
    """The trials of a campaign: each set of labels once, in the order of what they cost.

    Args:
        base: model and settings; its `labels` are not looked at.
        judgement: of the weights; where it refuses, the mixture is left out.
        all_human: whether a human label is known for every item, as in a replay.
    """
    chosen: list[Labels] = ["machine"]
    if judgement.refusal is None:
        chosen.append("act")
    if all_human:
        chosen.append("human")
    return tuple(dataclasses.replace(base, labels=labels) for labels in chosen)


def search_grid(accuracy: float, validation_items: int) -> tuple[tuple[float, float], ...]:
    """The pairs (λ, W) worth trying: all of `GRID`, or the default alone where no difference could be seen.

    Args:
        accuracy: about what the model reaches, in [0, 1].
        validation_items: human-labelled items kept from fitting, by effective number.

    References:
        algorithms.md 8.13; the two trials are taken as independent, which is the cautious side.
    """
    if validation_items <= 0:
        return GRID[:1]
    error = float(np.sqrt(2 * accuracy * (1 - accuracy) / validation_items))
    return GRID if error <= SEARCH_ERROR else GRID[:1]


def best(validation_accuracies: Sequence[float | None]) -> int:
    """Position of the trial to keep: the highest accuracy, the earlier of equals, the first if none is known.

    Raises:
        ValueError: there is no trial.
    """
    if not validation_accuracies:
        raise ValueError("expected at least one trial, got none")
    known = [(accuracy, -i) for i, accuracy in enumerate(validation_accuracies) if accuracy is not None]
    return -max(known)[1] if known else 0

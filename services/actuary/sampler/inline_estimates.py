"""Estimates for other systems: from the answers to draws of `inline` to intervals and weights, in one call.

It finds nothing out about draws: whoever asks says what each phase stands for, as `inline` recorded it, and
leaves out what people answered out of order (π = inf). It checks that the phases follow from one another, and
says of bad input which row or phase it is; the mathematics is `stats`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np

from actuary import errors
from actuary.sampler import frames, inline, inline_slices
from actuary.stats import designs, estimates, placing

SMALLEST_PI = 1e-100
"""Below it the variance of an answer, 1/π², would soon be no number of float64."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What people said of S drawn items of one population; arrays of shape [S] in one order."""

    phases: Sequence[placing.Phase]
    """What the answers stand for, in the order of time."""
    variances: Sequence[float | None]
    """Predicted variance of each phase's estimate; None for one that has no estimate of its own."""
    phase: frames.Longs
    """Index of the phase of each answer."""
    pi: frames.Floats
    """Inclusion probabilities in (0, 1], or inf for an answer that only corrects."""
    wrong: frames.Bools
    """Whether the label was wrong."""
    eps: frames.Floats
    """Risk, the control variate; 0 for none."""
    eps_sum: float
    """Sum of the risks of all items, answered ones included."""
    alpha: float = 0.05
    """One minus the confidence level."""
    slices: inline_slices.Slices | None = None
    """Parts of the population that are estimated by themselves too."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the answers say."""

    total: estimates.Estimate
    """Wrong labels among all items."""
    machine: estimates.Estimate
    """Accuracy of the labels as they came."""
    corrected: estimates.Estimate
    """Accuracy when the labels that people found wrong are put right."""
    g: frames.Floats
    """Weight of each answer, [S]."""
    design: designs.Design
    slices: tuple[inline_slices.Outcome, ...] = ()
    """In the order of the request."""


def estimate(answers: Answers) -> Outcome:
    """Estimates how many labels are wrong, from the answers to all draws.

    Args:
        answers: the answers, and what they stand for.

    Returns:
        Count and accuracies with their intervals, and the weight of every answer.

    Raises:
        errors.InvalidInputError: names the row, the phase or the field that is wrong.

    >>> phase = placing.Phase(name="audit", kind="srs", population=10, certain=0, sampled=4, tau=None)
    >>> said = {"wrong": np.array([True, False, False, True]), "eps": np.zeros(4), "eps_sum": 0.0}
    >>> drawn = {"phase": np.zeros(4, dtype=np.int64), "pi": np.full(4, 0.4)}
    >>> estimate(Answers(phases=[phase], variances=[None], **drawn, **said)).total.value
    5.0
    """
    if wrong := [*_wrong_answers(answers)]:
        raise errors.InvalidInputError.of(wrong)
    phases = answers.phases
    # one phase has all the weight, whatever its variance
    missing = 1.0 if len(phases) == 1 else math.inf
    variances = [missing if v is None else v for v in answers.variances]
    try:
        design = designs.combine(phases, variances)
        sample = estimates.Sample.of(phase=answers.phase, pi=answers.pi, wrong=answers.wrong, eps=answers.eps)
        total = estimates.total_errors(design, sample, answers.eps_sum, answers.alpha)
    except ValueError as error:
        fields = {"eps": "risks", "eps_sum": "risk_sum", "pi": "pi", "sample": "pi", "phase": "phase_indexes"}
        inline.refused(error, {**fields, "phases": "phases", "omega": "phases"})
    found = int(sample.wrong.sum())
    of_slices: tuple[inline_slices.Outcome, ...] = ()
    if answers.slices is not None:
        rate = total.value / design.items
        of_slices = inline_slices.estimate(answers.slices, phases, variances, sample, answers.alpha, rate)
    return Outcome(
        slices=of_slices,
        total=total,
        machine=estimates.accuracy(total, design.items),
        corrected=estimates.accuracy(total, design.items, corrected=found),
        g=designs.weights(design, sample.phase, sample.pi),
        design=design,
    )


def _wrong_answers(answers: Answers) -> Iterator[errors.Violation]:
    """What is wrong with columns and phases; a phase's population is what the phases before it left."""
    size = len(answers.phase)
    for field, column in (("pi", answers.pi), ("wrong", answers.wrong), ("risks", answers.eps)):
        if len(column) != size:
            yield errors.Violation(
                field, f"expected {size} values, one for each of phase_indexes, got {len(column)}"
            )
    tiny = (answers.pi > 0.0) & (answers.pi < SMALLEST_PI)
    if tiny.any():
        place = int(np.argmax(tiny))
        yield errors.Violation(
            f"pi[{place}]", f"expected 0 or at least {SMALLEST_PI:g}, got {answers.pi[place]}: no draw has it"
        )
    unknown = answers.phase >= len(answers.phases)
    if unknown.any():
        place = int(np.argmax(unknown))
        yield errors.Violation(
            f"phase_indexes[{place}]",
            f"expected an index of {len(answers.phases)} phases, got {answers.phase[place]}",
        )
        return
    answered = np.bincount(answers.phase, minlength=len(answers.phases))
    items = answers.phases[0].population
    if items == 0:
        yield errors.Violation("phases[0].population_count", "expected at least one item, got 0")
    if answers.slices is not None:
        yield from inline_slices.wrong(answers.slices, size, items)
    for place, (phase, variance) in enumerate(zip(answers.phases, answers.variances, strict=True)):
        left = items - int(answered[:place].sum())
        if phase.population != left:
            yield errors.Violation(
                f"phases[{place}].population_count",
                f"expected {left}, the {items} items of the first phase without those that were answered in "
                f"earlier phases, got {phase.population}: draw from all that nobody has looked at",
            )
        if variance is None and len(answers.phases) > 1 and phase.estimable:
            yield errors.Violation(
                f"phases[{place}].predicted_variance",
                "expected a value, since several phases are weighed by it, got none: copy it from the draw",
            )

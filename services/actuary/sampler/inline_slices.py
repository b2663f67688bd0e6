"""Estimates of slices from the answers of a request: each phase restricted to each slice (`stats.domains`).

What the request cannot know of a slice is what its phases would have been predicted to vary by, item for
item. It is taken in proportion: a phase's predicted variance is spread evenly over its items. That decides
how phases are weighed and nothing else, and looks at no answer, so that no estimate is bent by it.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np

from actuary import errors
from actuary.sampler import frames, parts
from actuary.stats import designs, domains, estimates, placing


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What a request says of a slice."""

    name: str
    items: int
    """Items of the population that are in it."""
    eps_sum: float
    """Sum of their risks."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Slices:
    """Slices of S answers; N items."""

    of: Sequence[str]
    """Slice of each answer, [S]; empty for none."""
    sizes: Sequence[Size]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the answers say of one slice; its estimates are None where too few of it were answered."""

    name: str
    items: int
    reviewed: int
    machine: estimates.Estimate | None
    corrected: estimates.Estimate | None
    needed: int
    """Answers, in all and by chance, for an interval of ± `parts.MARGIN`."""


def estimate(
    slices: Slices,
    phases: Sequence[placing.Phase],
    variances: Sequence[float],
    sample: estimates.Sample,
    alpha: float,
    error_rate: float,
) -> tuple[Outcome, ...]:
    """Estimates every slice of the request.

    Args:
        slices: names and sizes, checked by `wrong`.
        phases: what the answers stand for, in the order of time.
        variances: predicted, one a phase; infinite for one without an estimate.
        sample: the S answers.
        alpha: one minus the confidence level.
        error_rate: of all items: what is expected of a slice about which nothing is known.

    Raises:
        errors.InvalidInputError: names the slice whose size or risks do not fit its answers.
    """
    places = {size.name: place for place, size in enumerate(slices.sizes)}
    of = np.array([places.get(name, -1) for name in slices.of], dtype=np.int64)
    outcomes = []
    for place, size in enumerate(slices.sizes):
        inside = of == place
        machine = corrected = None
        try:
            total = _total(size, inside, phases, variances, sample, alpha)
        except ValueError as error:
            field = {"eps_sum": "risk_sum", "population": "item_count", "sample": "item_count"}
            argument, _, description = str(error).partition(":")
            if argument not in field:
                raise
            violation = errors.Violation(f"slice_sizes[{place}].{field[argument]}", description.strip())
            raise errors.InvalidInputError.of([violation]) from error
        if total is not None:
            found = int(sample.wrong[inside].sum())
            machine = estimates.accuracy(total, size.items)
            corrected = estimates.accuracy(total, size.items, corrected=found)
        outcomes.append(
            Outcome(
                name=size.name,
                items=size.items,
                reviewed=int(inside.sum()),
                machine=machine,
                corrected=corrected,
                needed=parts.needed(machine, error_rate, size.items, alpha),
            )
        )
    return tuple(outcomes)


def _total(
    size: Size,
    inside: frames.Bools,
    phases: Sequence[placing.Phase],
    variances: Sequence[float],
    sample: estimates.Sample,
    alpha: float,
) -> estimates.Estimate | None:
    """Wrong labels in a slice; None where its answers are too few to say."""
    placed, predicted = [], []
    left = size.items
    for number, (phase, variance) in enumerate(zip(phases, variances, strict=True)):
        rows = sample.phase == number
        own = inside[rows]
        part = domains.within(placing.Placed(phase=phase, pi=sample.pi[rows]), own, left)
        left -= int(own.sum())
        placed.append(part)
        predicted.append(_variance(phase, part.phase, variance))
    if not size.items or not any(
        p.phase.estimable and math.isfinite(v) for p, v in zip(placed, predicted, strict=True)
    ):
        return None
    pi = np.full(len(inside), np.inf)
    for number, part in enumerate(placed):
        pi[inside & (sample.phase == number)] = part.pi
    design = designs.combine([part.phase for part in placed], predicted)
    of_slice = estimates.Sample(
        phase=sample.phase[inside], pi=pi[inside], wrong=sample.wrong[inside], eps=sample.eps[inside]
    )
    return estimates.total_errors(design, of_slice, size.eps_sum, alpha)


def _variance(whole: placing.Phase, part: placing.Phase, variance: float) -> float:
    """The predicted variance of a phase as a slice sees it, from that of the whole."""
    if part.complete:
        return 0.0
    if not part.estimable or not math.isfinite(variance):
        return math.inf
    if whole.kind == "priority":
        return variance * part.sampled_population / whole.sampled_population

    def spread(phase: placing.Phase) -> float:
        size, n = phase.sampled_population, phase.sampled
        return size**2 * (1.0 - n / size) / n

    return variance * spread(part) / spread(whole)


def wrong(slices: Slices, answers: int, items: int) -> Iterator[errors.Violation]:
    """What is wrong with the slices of a request: of each kind the first row."""
    if len(slices.of) != answers:
        yield errors.Violation(
            "slices", f"expected {answers} values, one for each of phase_indexes, got {len(slices.of)}"
        )
    places: dict[str, int] = {}
    for place, size in enumerate(slices.sizes):
        first = places.setdefault(size.name, place)
        if not size.name or first != place:
            got = f"{size.name!r}, which is slice_sizes[{first}]" if size.name else "an empty one"
            yield errors.Violation(
                f"slice_sizes[{place}].name", f"expected a name that occurs once, got {got}"
            )
            break
    for place, name in enumerate(slices.of):
        if name and name not in places:
            yield errors.Violation(
                f"slices[{place}]",
                f"expected one of the {len(places)} names of slice_sizes, or nothing, got {name!r}: add it",
            )
            break
    answered = collections.Counter(filter(None, slices.of))
    for place, size in enumerate(slices.sizes):
        if (own := answered[size.name]) > size.items:
            description = f"expected at least the {own} answers of {size.name!r}, got {size.items}"
            yield errors.Violation(f"slice_sizes[{place}].item_count", description)
            break
    total = sum(size.items for size in slices.sizes)
    if total > items:
        yield errors.Violation(
            "slice_sizes", f"expected at most the {items} items of the first phase in all, got {total}"
        )

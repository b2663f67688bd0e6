"""How good the labels of a part of the items are: a class of the machine, a slice of the data.

Pure. A part is known without any answer, so that a campaign's design restricted to it is one like any other
(`stats.domains`), and whatever is said of all items is said of the part by the same estimators.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from actuary.sampler import frames, phases, slices
from actuary.stats import domains, estimates, shares

MARGIN = 0.1
"""To either side of an accuracy: an interval that tells good slices from bad ones, for the advice of how many
items would have to be looked at."""
MOST_SHARES = 2_000
"""Class shares of all slices together; more are not estimated, since nobody would read them."""
_NAMED = 5
"""Slices that a note names."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What the answers say of a part; its accuracies are None where too few are labelled to say."""

    items: int
    """Items of the part that have a label: the machine's, or people's where the machine gave none."""
    reviewed: int
    """Of them, those that people have looked at."""
    machine: estimates.Estimate | None
    """Accuracy of the machine's labels."""
    corrected: estimates.Estimate | None
    """Accuracy of the corrected labels."""
    shares: tuple[estimates.Estimate, ...] = ()
    """Share of the part that people would give each class; empty where it was not asked for."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SliceOutcome:
    """What an estimate says of one slice."""

    name: str
    part: Part
    needed: int
    """Items to look at, in all and by chance, for an interval of ± `MARGIN`."""


def estimate(
    population: phases.Population,
    found: Sequence[phases.Phase],
    v: frames.Floats,
    inside: frames.Bools,
    alpha: float,
    *,
    failed: frames.Longs | None = None,
    with_shares: bool = False,
) -> Part:
    """Estimates a part.

    Args:
        population: the items with a machine label.
        found: the phases of all waves.
        v: predicted variance of d - ε, [N].
        inside: which items belong, [N]; known without any answer.
        alpha: one minus the confidence level.
        failed: what people said of the part's items without a machine label, [F]; right by definition.
        with_shares: whether class shares are wanted.
    """
    size = int(inside.sum())
    said = np.zeros(0, dtype=np.int64) if failed is None else failed
    reviewed = sum(int(inside[phase.at].sum()) for phase in found)
    silent = Part(items=size + len(said), reviewed=reviewed + len(said), machine=None, corrected=None)
    if size == 0:
        return silent
    try:
        rows = phases.rows(found, v, inside)
    except ValueError:
        return silent
    # the design's items are those inside, and so are the sums of their risks
    machine = rows.errors(
        population.machine, population.machine_risk, float(population.machine_risk[inside].sum()), alpha
    )
    final = rows.errors(population.final, population.risk, float(population.risk[inside].sum()), alpha)
    corrected = estimates.accuracy(final, size, corrected=put_right(rows, population))
    found_shares = []
    for k in range(population.soft.shape[1]) if with_shares else ():
        total = rows.of_class(k, population.soft[:, k], alpha, float(population.soft[inside, k].sum()))
        found_shares.append(shares.of_items(total, size, int((said == k).sum()), len(said)))
    return dataclasses.replace(
        silent,
        machine=estimates.accuracy(machine, size),
        corrected=with_certain(corrected, size, len(said)),
        shares=tuple(found_shares),
    )


def of_slices(
    population: phases.Population,
    found: Sequence[phases.Phase],
    v: frames.Floats,
    named: slices.Slices,
    alpha: float,
    *,
    error_rate: float,
    failed: frames.Longs,
    failed_slice: frames.Longs,
) -> tuple[SliceOutcome, ...]:
    """Estimates every slice that has items to label, in the order of names.

    Args:
        population: the items with a machine label.
        found: the phases of all waves.
        v: predicted variance of d - ε, [N].
        named: their slices, [N].
        alpha: one minus the confidence level.
        error_rate: of the machine on all items: what is expected of a slice about which nothing is known.
        failed: what people said of items without a machine label, [F].
        failed_slice: slices of these, [F].
    """
    with_shares = len(named.names) * population.soft.shape[1] <= MOST_SHARES
    outcomes = []
    for number, name in enumerate(named.names):
        inside = named.of == number
        part = estimate(
            population,
            found,
            v,
            inside,
            alpha,
            failed=failed[failed_slice == number],
            with_shares=with_shares,
        )
        if not part.items:
            continue
        wanted = needed(part.machine, error_rate, int(inside.sum()), alpha)
        outcomes.append(SliceOutcome(name=name, part=part, needed=wanted))
    return tuple(outcomes)


def needed(machine: estimates.Estimate | None, error_rate: float, items: int, alpha: float) -> int:
    """Items of a part to look at, in all and by chance, for an interval of ± `MARGIN`; 0 of an empty part.

    Its error rate is taken to be at least that of all items, since a part of which little is known often
    shows no error at all.
    """
    own = 0.0 if machine is None else 1.0 - machine.value
    return domains.items_for(min(0.5, max(own, error_rate)), MARGIN, items, alpha) if items else 0


def notes(outcomes: Sequence[SliceOutcome]) -> tuple[str, ...]:
    """Says which slices nothing can be said of, and what would be needed."""
    silent = [each for each in outcomes if each.part.machine is None and each.needed]
    if not silent:
        return ()
    named = ", ".join(
        f"{each.name!r} ({each.part.reviewed} of {each.part.items})" for each in silent[:_NAMED]
    )
    if len(silent) > _NAMED:
        named += f" and {len(silent) - _NAMED} more"
    most = max(each.needed for each in silent)
    return (
        "Too few items of these slices were looked at to say how good their labels are:"
        f" {named}. Two of one random sample are the fewest; about {most} of a slice give an interval of"
        f" {100 * MARGIN:.0f} points to either side (sampling.slice_minimum asks for so many).",
    )


def put_right(rows: phases.Rows, population: phases.Population) -> int:
    """Errors of the final label that people found and put right."""
    return int((rows.told & (rows.label != population.final[rows.at])).sum())


def with_certain(corrected: estimates.Estimate, items: int, right: int) -> estimates.Estimate:
    """Adds items that are right for certain to an accuracy."""
    if not right:
        return corrected
    share = items / (items + right)
    return dataclasses.replace(
        corrected,
        value=1.0 - (1.0 - corrected.value) * share,
        low=1.0 - (1.0 - corrected.low) * share,
        high=1.0 - (1.0 - corrected.high) * share,
        se=corrected.se * share,
    )

"""What a campaign may say from its answers so far: accuracies and class shares with intervals, and notes.

Pure; reading and writing is `make_estimate`, and what the answers stand for is `phases`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from actuary.sampler import frames, parts, people, phases, slices
from actuary.stats import budget_score, designs, estimates, intervals, placing, shares


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClassOutcome:
    """What an estimate says of one class."""

    share: estimates.Estimate
    """Share of these items that people would give the class."""
    process: estimates.Estimate
    """Its share in the process that the items come from."""
    part: parts.Part
    """The items whose final machine label is the class."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an estimate says."""

    machine: estimates.Estimate
    """Accuracy of the machine's labels."""
    process: estimates.Estimate
    """The same in the process that the items come from: what to expect of more items."""
    corrected: estimates.Estimate
    """Accuracy of the corrected labels, items without a machine label that people labelled included."""
    classes: tuple[ClassOutcome, ...]
    """In the order of the classes."""
    slices: tuple[parts.SliceOutcome, ...]
    """In the order of names; empty where the data have none."""
    score: budget_score.BudgetScore | None
    """How far the critic gets with a budget; None where too few errors were found to say."""
    alpha: float
    """One minus the confidence level of all intervals."""
    design: designs.Design
    ids: pa.Array
    """Ids of the labelled items, [S]."""
    wave: frames.Longs
    """Their waves, [S]."""
    pi: frames.Floats
    """Their inclusion probabilities, [S]; inf where an item only corrects."""
    g: frames.Floats
    """Their weights, [S]."""
    label: frames.Longs
    """Their human labels, [S]."""
    notes: tuple[str, ...]
    """What a reader must know."""


def estimate(
    population: phases.Population,
    waves: Sequence[people.Wave],
    key: bytes,
    alpha: float,
    *,
    failed: frames.Longs,
    slice_names: Sequence[str] = (),
    failed_slice: frames.Longs | None = None,
) -> Outcome:
    """Estimates accuracies and class shares.

    An item that people looked at without an agreed label is part of the sample: the intervals hold whether
    the machine was right about it or wrong (algorithms.md 8.6), and the estimate stands half-way.

    Args:
        population: the items with a machine label.
        waves: plans and answers so far, in order.
        key: project key, for the ties of risk.
        alpha: one minus the confidence level.
        failed: what people said of items without a machine label, [F]; they are right by definition.
        slice_names: names of the slices, where the population has some.
        failed_slice: slices of the items without a machine label, [F]; -1 for none.

    Raises:
        ValueError: too few items are labelled for any estimate.
    """
    size = len(population.ids)
    found = phases.of_waves(population, waves, key)
    v = placing.robust_variance(population.risk)
    rows = phases.rows(found, v)
    machine = rows.errors(
        population.machine, population.machine_risk, float(population.machine_risk.sum()), alpha
    )
    final = rows.errors(population.final, population.risk, float(population.risk.sum()), alpha)
    corrected = estimates.accuracy(final, size, corrected=parts.put_right(rows, population))
    corrected = parts.with_certain(corrected, size, len(failed))
    of_slices: tuple[parts.SliceOutcome, ...] = ()
    if population.slice is not None:
        of_slices = parts.of_slices(
            population,
            found,
            v,
            slices.Slices(names=tuple(slice_names), of=population.slice),
            alpha,
            error_rate=machine.value / size,
            failed=failed,
            failed_slice=np.full(len(failed), -1) if failed_slice is None else failed_slice,
        )
    accuracy, g, told = estimates.accuracy(machine, size), rows.g, rows.told
    return Outcome(
        machine=accuracy,
        process=shares.process(accuracy, size, alpha),
        corrected=corrected,
        classes=_classes(population, found, rows, v, alpha, failed),
        slices=of_slices,
        score=_score(population, rows),
        alpha=alpha,
        design=rows.design,
        ids=population.ids.take(pa.array(rows.at[told])),
        wave=rows.wave[told],
        pi=rows.pi[told],
        g=g[told],
        label=rows.label[told],
        notes=(
            *_notes(
                machine,
                final,
                waves,
                unresolved=int((~told).sum()),
                flipped=bool((population.machine != population.final).any()),
            ),
            *parts.notes(of_slices),
        ),
    )


def _classes(
    population: phases.Population,
    found: Sequence[phases.Phase],
    rows: phases.Rows,
    v: frames.Floats,
    alpha: float,
    failed: frames.Longs,
) -> tuple[ClassOutcome, ...]:
    size, classes = population.soft.shape
    outcomes = []
    for k in range(classes):
        total = rows.of_class(k, population.soft[:, k], alpha)
        share = shares.of_items(total, size, int((failed == k).sum()), len(failed))
        outcomes.append(
            ClassOutcome(
                share=share,
                process=shares.process(share, size + len(failed), alpha),
                part=parts.estimate(population, found, v, population.final == k, alpha),
            )
        )
    return tuple(outcomes)


def _score(population: phases.Population, rows: phases.Rows) -> budget_score.BudgetScore | None:
    """What the critic reaches of an oracle; None where too few errors were found to say."""
    used = rows.told & (rows.g > 0.0)
    wrong = rows.label[used] != population.machine[rows.at[used]]
    if min(int(wrong.sum()), int((~wrong).sum())) < intervals.ENOUGH_ERRORS:
        return None
    return budget_score.score(population.machine_risk, rows.at[used], wrong, rows.g[used])


def _notes(
    machine: estimates.Estimate,
    final: estimates.Estimate,
    waves: Sequence[people.Wave],
    *,
    unresolved: int,
    flipped: bool,
) -> tuple[str, ...]:
    notes = [
        "Both accuracies are agreement with these reviewers; mistakes that reviewers share stay invisible."
    ]
    if machine.approximate or final.approximate:
        notes.append("Few errors were found: the interval is a gamma interval, whose level is approximate.")
    if unresolved:
        notes.append(
            f"{unresolved} items have been looked at without an agreed label: people could not tell, or did "
            "not agree. The intervals hold whether the machine was right about them or wrong."
        )
    if flipped:
        notes.append(
            "Labels were flipped where the pilot showed that it pays; since the pilot estimates as well, the "
            "accuracy of the corrected labels leans slightly upwards."
        )
    for wave in waves:
        open_rows = int((wave.label == -1).sum())
        if open_rows:
            notes.append(
                f"Wave {wave.number}: {open_rows} of {len(wave.label)} planned items have no human label; "
                "the estimate uses the longest answered prefix."
            )
    return tuple(notes)

"""What a campaign may say from its answers so far: accuracies and class shares with intervals, and notes.

Pure; reading and writing is `make_estimate`, and what the answers stand for is `phases`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pyarrow as pa

from actuary.sampler import frames, people, phases
from actuary.stats import budget_score, designs, estimates, intervals, placing, shares


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClassOutcome:
    """What an estimate says of one class."""

    share: estimates.Estimate
    """Share of these items that people would give the class."""
    process: estimates.Estimate
    """Its share in the process that the items come from."""
    items: int
    """Items whose final machine label is the class."""
    corrected: estimates.Estimate | None
    """Accuracy of the corrected labels among them; None where too few are labelled to say."""


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
    corrected = estimates.accuracy(final, size, corrected=_corrected(rows, population))
    if len(failed):
        corrected = _with_certain(corrected, size, len(failed))
    accuracy, g, told = estimates.accuracy(machine, size), rows.g, rows.told
    return Outcome(
        machine=accuracy,
        process=shares.process(accuracy, size, alpha),
        corrected=corrected,
        classes=_classes(population, found, rows, v, alpha, failed),
        score=_score(population, rows),
        alpha=alpha,
        design=rows.design,
        ids=population.ids.take(pa.array(rows.at[told])),
        wave=rows.wave[told],
        pi=rows.pi[told],
        g=g[told],
        label=rows.label[told],
        notes=_notes(
            machine,
            final,
            waves,
            unresolved=int((~told).sum()),
            flipped=bool((population.machine != population.final).any()),
        ),
    )


def domain_accuracy(
    population: phases.Population,
    found: Sequence[phases.Phase],
    v: frames.Floats,
    inside: frames.Bools,
    alpha: float,
) -> estimates.Estimate | None:
    """Accuracy of the corrected labels in a part of the items: a class of the machine, a slice of the data.

    Args:
        population: the items with a machine label.
        found: the phases of all waves.
        v: predicted variance of d - ε, [N].
        inside: which items belong, [N]; known without any answer.
        alpha: one minus the confidence level.

    Returns:
        None where too few of the items are labelled to say anything.
    """
    size = int(inside.sum())
    if size == 0:
        return None
    try:
        rows = phases.rows(found, v, inside)
    except ValueError:
        return None
    # the design's items are those inside, and so is the sum of their risks
    total = rows.errors(population.final, population.risk, float(population.risk[inside].sum()), alpha)
    return estimates.accuracy(total, size, corrected=_corrected(rows, population))


def _corrected(rows: phases.Rows, population: phases.Population) -> int:
    """Errors of the final label that people found and put right."""
    return int((rows.told & (rows.label != population.final[rows.at])).sum())


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
        inside = population.final == k
        outcomes.append(
            ClassOutcome(
                share=share,
                process=shares.process(share, size + len(failed), alpha),
                items=int(inside.sum()),
                corrected=domain_accuracy(population, found, v, inside, alpha),
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


def _with_certain(corrected: estimates.Estimate, items: int, right: int) -> estimates.Estimate:
    """Adds items that are right for certain to an accuracy."""
    share = items / (items + right)
    return dataclasses.replace(
        corrected,
        value=1.0 - (1.0 - corrected.value) * share,
        low=1.0 - (1.0 - corrected.low) * share,
        high=1.0 - (1.0 - corrected.high) * share,
        se=corrected.se * share,
    )


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

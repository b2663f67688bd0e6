"""From plans, answers and frozen risks to the estimates of a campaign: phases, weights, two accuracies.

Pure; reading and writing is `work`. Each wave becomes one or two phases of `stats.placing`: a threshold wave
is one (the audit, with the most suspicious items known for certain), any other wave two (the audit, then the
draw).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from actuary.sampler import frames, people, planning
from actuary.stats import designs, estimates, placing, rules


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """The N items with a machine label, as the first wave froze them."""

    ids: pa.Array
    """[N]."""
    machine: frames.Longs
    """The machine's label as it came, index into the classes, [N]."""
    final: frames.Longs
    """The label after flips, [N]."""
    machine_risk: frames.Floats
    """Risk of `machine`, [N]."""
    risk: frames.Floats
    """Risk of `final`, [N]."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an estimate says."""

    machine: estimates.Estimate
    """Accuracy of the machine's labels."""
    corrected: estimates.Estimate
    """Accuracy of the corrected labels, items without a machine label that people labelled included."""
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


@dataclasses.dataclass(slots=True)
class _Phases:
    phases: list[placing.Phase] = dataclasses.field(default_factory=list)
    variances: list[float] = dataclasses.field(default_factory=list)
    at: list[frames.Longs] = dataclasses.field(default_factory=list)
    index: list[frames.Longs] = dataclasses.field(default_factory=list)
    wave: list[frames.Longs] = dataclasses.field(default_factory=list)
    pi: list[frames.Floats] = dataclasses.field(default_factory=list)
    label: list[frames.Longs] = dataclasses.field(default_factory=list)

    def add(
        self,
        placed: placing.Placed,
        variance: float,
        wave: int,
        at: frames.Longs,
        label: frames.Longs,
    ) -> None:
        """Takes a phase; `at` and `label` are of its planned rows, in the order of `placed.pi`."""
        done = label != -1
        self.at.append(at[done])
        self.index.append(np.full(int(done.sum()), len(self.phases)))
        self.wave.append(np.full(int(done.sum()), wave))
        self.pi.append(placed.pi[done])
        self.label.append(label[done])
        self.phases.append(placed.phase)
        self.variances.append(variance)


def estimate(
    population: Population,
    waves: Sequence[people.Wave],
    key: bytes,
    alpha: float,
    *,
    failed_labelled: int,
) -> Outcome:
    """Estimates both accuracies.

    An item that people looked at without an agreed label is part of the sample: the intervals hold whether
    the machine was right about it or wrong (algorithms.md 8.6), and the estimate stands half-way.

    Args:
        population: the items with a machine label.
        waves: plans and answers so far, in order.
        key: project key, for the ties of risk.
        alpha: one minus the confidence level.
        failed_labelled: items without a machine label that people labelled; they are right by definition.

    Raises:
        ValueError: too few items are labelled for any estimate.
    """
    size = len(population.ids)
    known = np.zeros(size, dtype=np.bool_)
    found = _Phases()
    tie = planning.ties(population.ids.to_pylist(), key)
    v = placing.robust_variance(population.risk)
    for wave in waves:
        at = frames.indices(population.ids, wave.ids)
        inside = (at >= 0) & ~wave.of("failed")
        # an item that an earlier wave planned and nobody answered then may have been answered since
        inside[inside] &= ~known[at[inside]]
        _add_wave(found, population, wave, at, inside, known, tie, v)
        done = inside & wave.looked
        known[at[done]] = True
    design = designs.combine(found.phases, found.variances)
    rows = {name: np.concatenate(getattr(found, name)) for name in ("at", "index", "wave", "pi", "label")}
    machine = _total(design, rows, population.machine, population.machine_risk, alpha)
    final = _total(design, rows, population.final, population.risk, alpha)
    told = rows["label"] >= 0
    corrected_errors = int((told & (rows["label"] != population.final[rows["at"]])).sum())
    corrected = estimates.accuracy(final, size, corrected=corrected_errors)
    if failed_labelled:
        corrected = _with_certain(corrected, size, failed_labelled)
    return Outcome(
        machine=estimates.accuracy(machine, size),
        corrected=corrected,
        design=design,
        ids=population.ids.take(pa.array(rows["at"][told])),
        wave=rows["wave"][told],
        pi=rows["pi"][told],
        g=designs.weights(design, rows["index"], rows["pi"])[told],
        label=rows["label"][told],
        notes=_notes(
            machine,
            final,
            waves,
            unresolved=int((~told).sum()),
            flipped=bool((population.machine != population.final).any()),
        ),
    )


def _add_wave(
    found: _Phases,
    population: Population,
    wave: people.Wave,
    at: frames.Longs,
    inside: frames.Bools,
    known: frames.Bools,
    tie: frames.Floats,
    v: frames.Floats,
) -> None:
    size = int((~known).sum())
    name = "pilot" if wave.number == 0 else f"wave-{wave.number}"
    pilot, audit = wave.of("pilot") & inside, wave.of("audit") & inside
    certain, drawn = wave.of("certain") & inside, wave.of("drawn") & inside
    if pilot.any():
        placed = placing.srs(name, size, wave.order[pilot], wave.looked[pilot])
        found.add(placed, _predicted(placed, v[~known]), wave.number, at[pilot], wave.label[pilot])
    if certain.any():
        rows = audit | certain
        left = np.flatnonzero(~known)
        rank = np.full(len(known), -1, dtype=np.int64)
        rank[left[rules.risk_order(population.risk[left], tie[left])]] = np.arange(size)
        placed = placing.threshold(
            f"{name}/audit", size, rank[at[rows]], audit[rows], wave.order[rows], wave.looked[rows]
        )
        below = left[rank[left] >= placed.phase.certain]
        found.add(placed, _predicted(placed, v[below]), wave.number, at[rows], wave.label[rows])
        return
    if audit.any():
        placed = placing.srs(f"{name}/audit", size, wave.order[audit], wave.looked[audit])
        found.add(placed, _predicted(placed, v[~known]), wave.number, at[audit], wave.label[audit])
    if drawn.any() and not wave.looked[audit].all():
        # The draw took from what the audit had left; with holes in the audit nobody can say from what, so
        # that the answers correct labels and estimate nothing.
        phase = placing.Phase(
            name=f"{name}/drawn", kind="priority", population=size, certain=0, sampled=0, tau=None
        )
        placed = placing.Placed(phase=phase, pi=np.full(int(drawn.sum()), np.inf))
        found.add(placed, float("inf"), wave.number, at[drawn], wave.label[drawn])
    elif drawn.any():
        rest = ~known
        rest[at[audit & wave.looked]] = False
        tau = wave.tau if np.isfinite(wave.tau) else None
        placed = placing.priority(
            f"{name}/drawn", int(rest.sum()), wave.order[drawn], wave.s[drawn], tau, wave.looked[drawn]
        )
        found.add(
            placed,
            _predicted_draw(placed, population, wave, v, rest),
            wave.number,
            at[drawn],
            wave.label[drawn],
        )


def _predicted(placed: placing.Placed, v: frames.Floats) -> float:
    return placing.predicted_variance(placed.phase, v)


def _predicted_draw(
    placed: placing.Placed,
    population: Population,
    wave: people.Wave,
    v: frames.Floats,
    rest: frames.Bools,
) -> float:
    """Predicts the variance of a draw over all items that were open to it, whether or not it took them.

    From the drawn items alone it would look small wherever rare items of large weight were not drawn, and
    the draw that knows least would get most of the weight.
    """
    size = int(wave.of("drawn").sum())
    score, _ = planning.sizes(population.risk[rest], size, wave.rule, wave.beta)
    tau = placed.phase.tau
    pi = np.ones(len(score)) if tau is None else np.minimum(1.0, tau * score)
    return placing.predicted_variance(placed.phase, v[rest], pi)


def _total(
    design: designs.Design,
    rows: dict[str, Any],
    label: frames.Longs,
    eps: frames.Floats,
    alpha: float,
) -> estimates.Estimate:
    """Errors in all, with the items without an agreed label taken as right and as wrong."""
    unresolved = rows["label"] < 0
    wrong = ~unresolved & (rows["label"] != label[rows["at"]])

    def total(errors: frames.Bools) -> estimates.Estimate:
        sample = estimates.Sample.of(phase=rows["index"], pi=rows["pi"], wrong=errors, eps=eps[rows["at"]])
        return estimates.total_errors(design, sample, float(eps.sum()), alpha)

    fewest = total(wrong)
    if not unresolved.any():
        return fewest
    most = total(wrong | unresolved)
    return dataclasses.replace(
        most,
        value=(fewest.value + most.value) / 2.0,
        low=min(fewest.low, most.low),
        high=max(fewest.high, most.high),
        se=max(fewest.se, most.se),
        approximate=fewest.approximate or most.approximate,
    )


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

"""From plans and answers to the phases of a design and its labelled rows, for all items or a part of them.

Each wave becomes one or two phases of `stats.placing`: a threshold wave is one (the audit, with the most
suspicious items known for certain), any other wave two (the audit, then the draw). What covered slices and
classes before that is a phase of its own, which stands for its own part alone. Nothing is estimated here but
the total of one variable at a time; `estimating` says which.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from actuary.sampler import covering as covers
from actuary.sampler import frames, people, planning
from actuary.stats import covering, designs, domains, estimates, placing, rules, shares, weighing


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
    soft: frames.Floats
    """The machine's class probabilities, calibrated and out of fold, [N, K]."""
    slice: frames.Longs | None = None
    """Slice of each item, [N]; -1 for none. None where the data have no slices."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One phase, its labelled rows and the items it was open to. D labelled rows, N items."""

    placed: placing.Placed
    """With π of the labelled rows only."""
    wave: int
    at: frames.Longs
    """Positions of the rows in the population, [D]."""
    label: frames.Longs
    """Human label, [D]; `people.UNRESOLVED` without an agreed one."""
    population: frames.Bools
    """Items that nobody had labelled before, [N]."""
    below: frames.Bools
    """Of them, those that the sampled ones stand for, [N]."""
    probability: frames.Floats | None
    """π of every item that was open to a priority draw, [N]; NaN elsewhere, None for other phases."""
    part: frames.Longs | None = None
    """Of a phase that covers parts: the part of each item, [N], -1 for none; None for other phases."""
    stands: frames.Bools | None = None
    """Of such a phase: which rows stand for their part, [D]."""

    def within(self, inside: frames.Bools) -> placing.Placed:
        """The phase as a domain sees it; a cover is a simple random sample of what lies in one part."""
        chosen, open_to = inside[self.at], self.population & inside
        size = int(open_to.sum())
        if self.part is not None and self.stands is not None and size:
            parts = self.part[open_to]
            if parts[0] >= 0 and (parts == parts[0]).all():
                used = self.stands[chosen]
                sampled = int(used.sum())
                phase = dataclasses.replace(
                    self.placed.phase, kind="srs", population=size, certain=0, sampled=sampled, tau=None
                )
                return placing.Placed(phase=phase, pi=np.where(used, sampled / size, np.inf))
        return domains.within(self.placed, chosen, size)

    def variance(self, phase: placing.Phase, v: frames.Floats, inside: frames.Bools) -> float:
        """Predicts the variance of the phase, as a domain sees it, from that of the items, [N]."""
        if phase.complete:
            return 0.0
        if phase.kind == "priority" and self.probability is None:
            return math.inf
        rows = self.below & inside
        return placing.predicted_variance(
            phase, v[rows], None if self.probability is None else self.probability[rows]
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The labelled rows of all phases, and the design that they are of. S rows, N items."""

    design: designs.Design
    at: frames.Longs
    """Positions in the population, [S]."""
    phase: frames.Longs
    """[S]."""
    wave: frames.Longs
    """[S]."""
    pi: frames.Floats
    """Inclusion probabilities, [S]; inf where an item only corrects."""
    label: frames.Longs
    """Human label, [S]; `people.UNRESOLVED` without an agreed one."""

    @property
    def told(self) -> frames.Bools:
        """Which rows have a label, [S]."""
        return self.label >= 0

    @property
    def g(self) -> frames.Floats:
        """Weights, [S]."""
        return designs.weights(self.design, self.phase, self.pi)

    def errors(
        self, label: frames.Longs, eps: frames.Floats, eps_sum: float, alpha: float
    ) -> estimates.Estimate:
        """Errors in all of a label [N], with its risks [N] as control variate."""
        return self._between(
            self.label != label[self.at],
            lambda wrong: estimates.total_errors(self.design, self._sample(wrong, eps), eps_sum, alpha),
        )

    def of_class(
        self, k: int, f: frames.Floats, alpha: float, f_sum: float | None = None
    ) -> estimates.Estimate:
        """Items that people would give class k, with the machine's probabilities [N] as control variate.

        `f_sum` is their sum over the design's items: all N by default.
        """
        total = float(f.sum()) if f_sum is None else f_sum
        return self._between(
            self.label == k,
            lambda hit: shares.total(self.design, self._sample(hit, f), total, alpha),
        )

    def _sample(self, hit: frames.Bools, f: frames.Floats) -> estimates.Sample:
        return estimates.Sample.of(phase=self.phase, pi=self.pi, wrong=hit, eps=f[self.at])

    def _between(
        self, hit: frames.Bools, total: Callable[[frames.Bools], estimates.Estimate]
    ) -> estimates.Estimate:
        """An estimate that holds whichever way the items without an agreed label go (algorithms.md 8.6)."""
        fewest = total(hit & self.told)
        if self.told.all():
            return fewest
        most = total(hit | ~self.told)
        return dataclasses.replace(
            most,
            value=(fewest.value + most.value) / 2.0,
            low=min(fewest.low, most.low),
            high=max(fewest.high, most.high),
            se=max(fewest.se, most.se),
            approximate=fewest.approximate or most.approximate,
        )


def rows(phases: Sequence[Phase], v: frames.Floats, inside: frames.Bools | None = None) -> Rows:
    """Combines phases, as the whole population or a domain of it sees them.

    Args:
        phases: in the order of time.
        v: predicted variance of d - ε, [N].
        inside: which items belong to the domain, [N]; all by default.

    Raises:
        ValueError: too few items are labelled for any estimate.
    """
    chosen = np.ones(len(v), dtype=np.bool_) if inside is None else inside
    placed = [p.placed for p in phases]
    if inside is not None:
        placed = [p.within(inside) for p in phases]
    variances = [p.variance(part.phase, v, chosen) for p, part in zip(phases, placed, strict=True)]
    kept = [chosen[p.at] for p in phases]
    parts = list(zip(phases, kept, strict=True))
    return Rows(
        design=designs.combine([part.phase for part in placed], variances),
        at=np.concatenate([p.at[k] for p, k in parts]),
        phase=np.concatenate([np.full(int(k.sum()), number) for number, k in enumerate(kept)]),
        wave=np.concatenate([np.full(int(k.sum()), p.wave) for p, k in parts]),
        pi=np.concatenate([part.pi for part in placed]),
        label=np.concatenate([p.label[k] for p, k in parts]),
    )


def of_waves(population: Population, waves: Sequence[people.Wave], key: bytes) -> list[Phase]:
    """The phases so far.

    Args:
        population: the items with a machine label.
        waves: plans and answers, in order.
        key: project key, for the ties of risk.
    """
    known = np.zeros(len(population.ids), dtype=np.bool_)
    tie = planning.ties(population.ids.to_pylist(), key)
    found: list[Phase] = []
    for wave in waves:
        at = frames.indices(population.ids, wave.ids)
        inside = (at >= 0) & ~wave.of("failed")
        # an item that an earlier wave planned and nobody answered then may have been answered since
        inside[inside] &= ~known[at[inside]]
        covered, left, whole = _covers(population, wave, at, inside, ~known)
        found += [*covered, *_of_wave(population, wave, at, inside, left, tie, whole=whole)]
        known[at[inside & wave.looked]] = True
    return found


def _covers(
    population: Population,
    wave: people.Wave,
    at: frames.Longs,
    inside: frames.Bools,
    left: frames.Bools,
) -> tuple[list[Phase], frames.Bools, bool]:
    """The phases that cover slices and classes, what they left, and whether all of them was answered."""
    found: list[Phase] = []
    whole = True
    for stratum in covers.STRATA:
        planned = wave.of(stratum) & inside
        if not planned.any():
            continue
        part = population.slice if stratum == "slice" else population.final
        done = wave.looked[planned]
        stands = None
        if part is not None and whole:
            stands = covering.answered(part[at[planned]], wave.order[planned], done)[done]
        found.append(
            Phase(
                placed=_correcting(f"wave-{wave.number}/{stratum}", int(left.sum()), int(done.sum())),
                wave=wave.number,
                at=at[planned][done],
                label=wave.label[planned][done],
                population=left,
                below=left,
                probability=None,
                part=part,
                stands=stands,
            )
        )
        whole = whole and bool(done.all())
        left = left.copy()
        left[found[-1].at] = False
    return found, left, whole


def _correcting(name: str, population: int, rows: int) -> placing.Placed:
    """A phase whose answers correct labels and stand for no other item."""
    phase = placing.Phase(name=name, kind="priority", population=population, certain=0, sampled=0, tau=None)
    return placing.Placed(phase=phase, pi=np.full(rows, np.inf))


def _of_wave(
    population: Population,
    wave: people.Wave,
    at: frames.Longs,
    inside: frames.Bools,
    left: frames.Bools,
    tie: frames.Floats,
    *,
    whole: bool,
) -> list[Phase]:
    """The phases after the covers; `whole`: whether all of those was answered."""
    size = int(left.sum())
    name = "pilot" if wave.number == 0 else f"wave-{wave.number}"
    pilot, audit = wave.of("pilot") & inside, wave.of("audit") & inside
    certain, drawn = wave.of("certain") & inside, wave.of("drawn") & inside
    found: list[Phase] = []

    def add(
        placed: placing.Placed,
        planned: frames.Bools,
        below: frames.Bools,
        *,
        open_to: frames.Bools = left,
        probability: frames.Floats | None = None,
    ) -> None:
        done = wave.looked[planned]
        found.append(
            Phase(
                placed=dataclasses.replace(placed, pi=placed.pi[done]),
                wave=wave.number,
                at=at[planned][done],
                label=wave.label[planned][done],
                population=open_to,
                below=below,
                probability=probability,
            )
        )

    def only_correcting(name: str, planned: frames.Bools) -> None:
        """Answers that put labels right and from which nothing can be concluded about others."""
        add(_correcting(name, size, int(planned.sum())), planned, left)

    later = audit | certain | drawn
    if later.any() and not whole:
        # they were drawn from what the covers had left; with holes in these nobody can say from what
        only_correcting(f"{name}/rest", later)
        return found
    if wave.proof == "classes" or (wave.proof == "budget" and not wave.looked[audit | certain].all()):
        # audits of classes are not one sample of all items, and one of the items below a cut says nothing of
        # those above it that nobody has looked at
        if (audit | certain).any():
            only_correcting(f"{name}/certificate", audit | certain)
        return found
    if wave.proof == "target":
        # where to cut was decided by what the audit found, so that what lies above the cut only corrects
        if audit.any() and wave.number > 1:
            # whether there was to be another look was decided by what the one before it had found
            only_correcting(f"{name}/audit", audit)
        elif audit.any():
            add(placing.srs(f"{name}/audit", size, wave.order[audit], wave.looked[audit]), audit, left)
        if certain.any():
            only_correcting(f"{name}/certain", certain)
        return found
    if pilot.any():
        add(placing.srs(name, size, wave.order[pilot], wave.looked[pilot]), pilot, left)
    if certain.any():
        planned = audit | certain
        places = np.flatnonzero(left)
        rank = np.full(len(left), -1, dtype=np.int64)
        rank[places[rules.risk_order(population.risk[places], tie[places])]] = np.arange(size)
        placed = placing.threshold(
            f"{name}/audit",
            size,
            rank[at[planned]],
            audit[planned],
            wave.order[planned],
            wave.looked[planned],
        )
        add(placed, planned, rank >= placed.phase.certain)
        return found
    if audit.any():
        add(placing.srs(f"{name}/audit", size, wave.order[audit], wave.looked[audit]), audit, left)
    if drawn.any() and not wave.looked[audit].all():
        # The draw took from what the audit had left; with holes in the audit nobody can say from what, so
        # that the answers correct labels and estimate nothing.
        only_correcting(f"{name}/drawn", drawn)
    elif drawn.any():
        rest = left.copy()
        rest[at[audit & wave.looked]] = False
        tau = wave.tau if np.isfinite(wave.tau) else None
        placed = placing.priority(
            f"{name}/drawn", int(rest.sum()), wave.order[drawn], wave.s[drawn], tau, wave.looked[drawn]
        )
        probability = _probability(placed, population, wave, rest, tie)
        add(placed, drawn, rest, open_to=rest, probability=probability)
    return found


def _probability(
    placed: placing.Placed,
    population: Population,
    wave: people.Wave,
    rest: frames.Bools,
    tie: frames.Floats,
) -> frames.Floats:
    """π of all items that were open to a draw, whether or not it took them, [N].

    Predicted from the drawn items alone, a variance would look small wherever rare items of large weight were
    not drawn, and the draw that knows least would get most of the weight.
    """
    size = int(wave.of("drawn").sum())
    inclusion = wave.weighing.inclusion(population.risk[rest], size, tie[rest])
    score = weighing.scores(inclusion)
    if inclusion.take_all is not None:
        score[inclusion.take_all] = 1.0 / wave.tau  # as the draw served them
    tau = placed.phase.tau
    pi = np.full(len(rest), np.nan)
    pi[rest] = 1.0 if tau is None else np.minimum(1.0, tau * score)
    return pi

"""Campaigns on made-up pools, played by the sampler's own functions: pilot, risk model, wave, estimate.

Reviewers make no mistakes, so that the truth is the estimand. The module holds no tests: those of frozen
risks are beside it, and those with refits, each a whole campaign, are a benchmark.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa

from actuary.sampler import estimating, frames, judging, people, phases, planning, risking
from actuary.stats import prn, weighing

ITEMS, PILOT, LABELS, AUDIT, CLASSES = 400, 50, 110, 40, 3
LEVEL = 0.95
NOBODY = np.zeros(0, dtype=np.int64)


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
    """How the machine errs and how people answer."""

    rule: str = "threshold"
    beta: float = 10.0
    blind_share: float = 0.0
    """Items of which the machine is certain and often wrong."""
    untold_share: float = 0.0
    """Items without an agreed label, most of them hard ones."""
    failed: int = 0
    """Items without a machine label."""
    one_sided: bool = False
    """Errors are where the machine says class 0 without confidence, and the truth is its second choice."""
    judged: bool = False
    """Whether the rule gives way to a uniform draw where the critic has not been shown to be worth it."""
    answered: float = 1.0
    """Share of the wave's rows that people answer before they stop."""

    @property
    def weighing(self) -> weighing.Weighing:
        return weighing.Weighing(rule=self.rule, beta=self.beta)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pool:
    """A pool with its truth."""

    frame: frames.Frame
    truth: frames.Longs
    """What people would say, index into the classes, [N]."""
    untold: frames.Bools
    """Items that they would not agree on, [N]."""

    def keyed(self, key: bytes) -> frames.Frame:
        """The frame with permanent random numbers of this key."""
        return dataclasses.replace(self.frame, u=prn.uniform(self.frame.ids.to_pylist(), key))

    def frozen(self) -> risking.Risks:
        """Risks that saw no label: the critic's scores as they came."""
        frame, risk = self.frame, self.frame.scores["confidence"]
        return risking.Risks(
            machine=frame.label,
            final=frame.label,
            machine_risk=risk,
            risk=risk,
            probabilities=frame.probabilities,
            fold=np.zeros(frame.size, dtype=np.int64),
            flips=False,
            outcome=frame.outcome,
            u=frame.u,
            shard=frame.shard,
            ids=frame.ids,
        )


def pool(world: World, rng: np.random.Generator) -> Pool:
    """A pool as the world makes them."""
    ids = [f"item-{number:04d}" for number in range(ITEMS)]
    label = rng.integers(0, CLASSES, ITEMS)
    doubt = rng.beta(1.0, 4.0, ITEMS)
    if world.one_sided:
        doubt = np.where(label == 0, rng.uniform(0.3, 0.66, ITEMS), 0.05)
        wrong = rng.random(ITEMS) < np.where(label == 0, 0.75, 0.02)
    else:
        wrong = rng.random(ITEMS) < doubt
    blind = rng.random(ITEMS) < world.blind_share
    doubt = np.where(blind, 0.02, doubt)
    wrong = np.where(blind, rng.random(ITEMS) < 0.4, wrong)
    truth = np.where(wrong, (label + 1) % CLASSES, label)
    probabilities = np.zeros((ITEMS, CLASSES))
    probabilities[np.arange(ITEMS), label] = 1.0 - doubt
    probabilities[np.arange(ITEMS), (label + 1) % CLASSES] = doubt * 0.9
    probabilities[np.arange(ITEMS), (label + 2) % CLASSES] = doubt * 0.1
    failed = rng.permutation(ITEMS) < world.failed
    label = np.where(failed, -1, label)
    probabilities[failed] = np.nan
    missing = np.where(failed, np.nan, 1.0)
    hard = np.where(truth != label, 3.0, 1.0)
    return Pool(
        frame=frames.Frame(
            ids=pa.array(ids),
            shard=np.zeros(ITEMS, dtype=np.int64),
            u=np.full(ITEMS, np.nan),
            outcome=pa.array(np.where(failed, "FAILED", "LABELLED").tolist()),
            label=label,
            confidence=(1.0 - doubt) * missing,
            probabilities=probabilities,
            scores={"confidence": doubt * missing},
        ),
        truth=truth,
        untold=rng.random(ITEMS) < world.untold_share * hard / hard.mean(),
    )


def answered(
    rows: planning.Rows, number: int, items: Pool, spent: weighing.Weighing, share: float = 1.0
) -> people.Wave:
    """People answer a plan in the order in which it is served, and stop after a share of it."""
    at = np.concatenate([*rows.at, np.empty(0, dtype=np.int64)])
    order = np.concatenate([*rows.order, np.empty(0)])
    stratum = np.array(rows.stratum, dtype=object)
    served = np.lexsort((order, [planning.STRATA.index(s) for s in rows.stratum]))
    label = np.full(len(at), -1, dtype=np.int64)
    first = served[: round(share * len(served))]
    label[first] = np.where(items.untold[at[first]], people.UNRESOLVED, items.truth[at[first]])
    tau = [t for t, s in zip(rows.tau, rows.stratum, strict=True) if s == "drawn"]
    return people.Wave(
        number=number,
        ids=items.frame.ids.take(pa.array(at)),
        stratum=pa.array(stratum.tolist(), pa.string()),
        s=np.concatenate([*rows.s, np.empty(0)]),
        order=order,
        tau=tau[0] if tau else float("inf"),
        label=label,
        weighing=spent,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Played:
    """What a campaign said, beside the truth."""

    outcome: estimating.Outcome
    machine: tuple[float, float]
    """The lowest and the highest accuracy of the machine's labels that its unresolved items allow."""
    corrected: tuple[float, float]
    """The same of the corrected labels."""

    @property
    def hits(self) -> tuple[bool, bool]:
        """Whether the two intervals cover."""
        machine, corrected = self.outcome.machine, self.outcome.corrected
        return (
            machine.low <= self.machine[0] and self.machine[1] <= machine.high,
            corrected.low <= self.corrected[0] and self.corrected[1] <= corrected.high,
        )


def replay(world: World, items: Pool, key: bytes, risks: risking.Risks | None = None) -> Played:
    """Plays a campaign: pilot, risks, wave, estimate.

    Args:
        world: how it is played.
        items: its pool.
        key: project key: chance.
        risks: frozen ones; None fits them on the pilot.
    """
    frame, rule = items.keyed(key), world.weighing
    wishes = planning.Wishes(
        wave=0, labels=PILOT, audit=0, weighing=rule, failed_share=0.25, double_share=0.0, key=key
    )
    drawn = planning.pilot(frame, wishes)
    pilot = answered(drawn, 0, items, rule)
    if risks is None:
        model = risking.fit(frame, people.labels([pilot], frame.ids), key, 1.0 - LEVEL)
        risks = risking.price(frame, model, key)
        if world.judged:
            rule = dataclasses.replace(rule, rule=judging.follow(model.worth, rule.rule, model.reason)[0])
    wishes = dataclasses.replace(wishes, wave=1, labels=LABELS, audit=AUDIT, weighing=rule)
    known = people.looked([pilot], frame.ids)
    rows = planning.wave(frame, risks.risk, known, drawn.constants["tau"], wishes)
    waves = [pilot, answered(rows, 1, items, rule, world.answered)]
    labelled = np.flatnonzero(frame.labelled)
    population = phases.Population(
        ids=frame.ids.take(pa.array(labelled)),
        machine=risks.machine[labelled],
        final=risks.final[labelled],
        machine_risk=risks.machine_risk[labelled],
        risk=risks.risk[labelled],
        soft=risks.soft(labelled),
    )
    outcome = estimating.estimate(population, waves, key, 1.0 - LEVEL, failed=NOBODY)
    told = people.labels(waves, population.ids) >= 0
    truth, doubtful = items.truth[labelled], items.untold[labelled]

    def between(label, corrected) -> tuple[float, float]:
        right = (label == truth) | corrected
        return float((right & ~doubtful).mean()), float((right | doubtful).mean())

    return Played(
        outcome=outcome,
        machine=between(population.machine, False),
        corrected=between(population.final, told),
    )


def fresh(world: World, seed: int) -> Played:
    """A campaign on a pool of its own, with risks fitted on its pilot."""
    return replay(world, pool(world, np.random.default_rng(seed)), prn.project_key(seed))


DEFAULT = World(judged=True)
CASES = {
    "default": DEFAULT,
    "uniform": World(rule="uniform"),
    "normalised, blind slice": World(rule="normalised", blind_share=0.1),
    "exponential, blind slice": World(rule="exponential", beta=30.0, blind_share=0.1),
    "square root, blind slice": World(rule="square-root", blind_share=0.1),
    "hybrid": World(rule="hybrid"),
    "hybrid, blind slice": World(rule="hybrid", blind_share=0.1),
    "hybrid, stopped early": World(rule="hybrid", answered=0.6),
    "threshold": World(),
    "threshold, blind slice": World(blind_share=0.1),
    "unresolved": World(untold_share=0.08),
    "uniform, unresolved": World(rule="uniform", untold_share=0.08),
    "failed": World(failed=40),
    "flips": World(one_sided=True),
    "stopped early": World(answered=0.6),
    "stopped in the audit": World(answered=0.2),
}

"""Replays for coverage tests: a frozen pool, and what people say of it when it is drawn from once more.

Labels, risks and rules are frozen and only who is drawn is random, so that nothing but draws, phases,
estimates and their intervals is on trial. All of these are the package's own; the module only plays them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools

import numpy as np
import scipy.stats

from actuary.sampler import people, phases
from actuary.stats import draws, placing, rules, shares, weighing

REPLAYS = 5_000
ITEMS, CLASSES = 600, 3


def enough(replays: int, level: float = 0.95) -> float:
    """The hits that a method of this level falls short of once in a million; 4,674 of 5,000 at 95 %.

    A method that covers 92 % passes once in 25,000.
    """
    return scipy.stats.binom.ppf(1e-6, replays, level)


def most(replays: int, alpha: float) -> float:
    """The breaches that a method with a probability of α passes once in a million."""
    return scipy.stats.binom.isf(1e-6, replays, alpha)


def assert_mean(values, expected: float) -> None:
    """A mean lies within 4.9 of its standard errors, beyond which it is once in a million."""
    values = np.asarray(values, dtype=float)
    assert abs(values.mean() - expected) <= 4.9 * values.std(ddof=1) / np.sqrt(values.size)


@dataclasses.dataclass(frozen=True)
class Pool:
    """N items with what the machine says, what people would say, and frozen risks."""

    machine: np.ndarray
    people: np.ndarray
    eps: np.ndarray
    blind: np.ndarray
    """Items of which the critic is sure, and the machine often wrong."""
    untold: np.ndarray
    """Items on which people would not agree."""

    @functools.cached_property
    def wrong(self):
        return self.machine != self.people

    @functools.cached_property
    def soft(self):
        return shares.soft_labels(self.machine, self.eps, CLASSES)

    @functools.cached_property
    def v(self):
        return placing.robust_variance(self.eps)


def pool(critic: str, errors: float = 0.2, *, blind: float = 0.0, untold: float = 0.0, exactly=None) -> Pool:
    """A pool whose true risks spread around a rate.

    Args:
        critic: what it makes of the true risks.
        errors: their mean.
        blind: share of items with a risk of .4 that the critic puts at .002.
        untold: share of items without an agreed label; one the machine got wrong is three times as likely.
        exactly: the number of errors, where it is to be a given one.
    """
    rng = np.random.default_rng(11)
    machine = rng.choice(CLASSES, ITEMS, p=[0.6, 0.3, 0.1])
    true = rng.beta(0.8, 0.8 * (1 - errors) / errors, ITEMS)
    hidden = rng.random(ITEMS) < blind
    true = np.where(hidden, 0.4, true)
    chance = rng.random(ITEMS)
    wrong = chance < true
    if exactly is not None:
        wrong = np.isin(np.arange(ITEMS), np.argsort(chance / true)[:exactly])
    eps = {
        "calibrated": true,
        "overconfident": true / 5,
        "useless": np.full(ITEMS, wrong.mean()),
        "adversarial": 1 - true,
    }[critic]
    hard = np.where(wrong, 3.0, 1.0)
    return Pool(
        machine=machine,
        people=np.where(wrong, (machine + 1) % CLASSES, machine),
        eps=np.where(hidden, 0.002, eps).clip(0, 1),
        blind=hidden,
        untold=rng.random(ITEMS) < untold * hard / hard.mean(),
    )


class Answers:
    """What people said in one replay, phase by phase, as the sampler keeps it."""

    def __init__(self, items: Pool, rng: np.random.Generator):
        self.items, self.rng = items, rng
        self.left = np.ones(ITEMS, dtype=bool)
        self.phases: list[phases.Phase] = []
        self.u = rng.random(ITEMS)
        self.used = 0.0
        """How much of (0, 1) the pilot has used up of `u`."""

    def _add(self, placed, rows, labelled, below=None, probability=None):
        at = rows[labelled]
        self.phases.append(
            phases.Phase(
                placed=dataclasses.replace(placed, pi=placed.pi[labelled]),
                wave=len(self.phases),
                at=at,
                label=np.where(self.items.untold[at], people.UNRESOLVED, self.items.people[at]),
                population=self.left,
                below=self.left if below is None else below,
                probability=probability,
            )
        )
        self.left = self.left.copy()
        self.left[at] = False

    def pilot(self, size):
        """A simple random sample by the items' own numbers."""
        drawn = draws.srs(self.u, size)
        self.used = drawn.tau
        rows = np.flatnonzero(drawn.selected)
        self._add(placing.srs("pilot", ITEMS, self.u[rows], np.ones(size, dtype=bool)), rows, slice(None))

    def audit(self, size):
        """A simple random sample of what is left, by fresh numbers."""
        open_to = np.flatnonzero(self.left)
        u = self.rng.random(open_to.size)
        rows = np.flatnonzero(draws.srs(u, size).selected)
        placed = placing.srs("audit", open_to.size, u[rows], np.ones(size, dtype=bool))
        self._add(placed, open_to[rows], slice(None))

    def threshold(self, audit, rest, answered):
        """An audit, then the most suspicious others; people answer so many in the order of serving."""
        open_to = np.flatnonzero(self.left)
        order = rules.risk_order(self.items.eps[open_to], self.rng.random(open_to.size))
        rank = np.empty(open_to.size, dtype=np.int64)
        rank[order] = np.arange(open_to.size)
        u = self.rng.random(open_to.size)
        inside = draws.srs(u, audit).selected
        first = np.flatnonzero(inside)
        plan = np.concatenate([first[np.argsort(u[first])], order[~inside[order]][:rest]])
        in_audit, labelled = np.arange(plan.size) < audit, np.arange(plan.size) < answered
        placed = placing.threshold("wave", open_to.size, rank[plan], in_audit, u[plan], labelled)
        below = self.left.copy()
        below[open_to[rank < placed.phase.certain]] = False
        self._add(placed, open_to[plan], labelled, below)

    def drawn(self, weigh: weighing.Weighing, size, answered=None, *, u=None):
        """A priority sample of what is left; people answer so many in the order of serving, or all.

        Args:
            weigh: the rule.
            size: of the sample.
            answered: how many people answer; None for all.
            u: numbers of all items to draw by, [N]; None for the items' own, rescaled after the pilot.
        """
        open_to = np.flatnonzero(self.left)
        numbers = draws.rescale(self.u[open_to], self.used) if u is None else u[open_to]
        inclusion = weigh.inclusion(self.items.eps[open_to], size, self.rng.random(open_to.size))
        score = weighing.scores(inclusion)
        draw = draws.draw_exact(score, numbers, size, inclusion.take_all)
        rows = np.flatnonzero(draw.selected)
        labelled = np.ones(size, dtype=bool)
        if answered is not None:
            labelled[np.argsort(draw.rank[rows])[answered:]] = False
        placed = placing.priority(
            "drawn", open_to.size, draw.rank[rows], draw.score[rows], draw.tau, labelled
        )
        if inclusion.take_all is not None:
            score[inclusion.take_all] = 1.0 / draw.tau
        probability = np.full(ITEMS, np.nan)
        probability[open_to] = np.minimum(1.0, placed.phase.tau * score)
        self._add(placed, open_to[rows], labelled, probability=probability)

    def rows(self, inside=None):
        return phases.rows(self.phases, self.items.v, inside)

    def errors(self, eps=None, rows=None):
        """The estimated number of errors, by the pool's risks and all rows, or by others."""
        risks = self.items.eps if eps is None else eps
        return (rows or self.rows()).errors(self.items.machine, risks, float(risks.sum()), 0.05)


def threshold_wave(answers: Answers) -> None:
    """A plan: a pilot, then an audit beside the most suspicious, all answered."""
    answers.pilot(60)
    answers.threshold(60, 60, 120)


def waves(weigh: weighing.Weighing):
    """A plan: a pilot, a draw by some rule, then an audit of what is left."""

    def plan(answers: Answers) -> None:
        answers.pilot(60)
        answers.drawn(weigh, 80)
        answers.audit(60)

    return plan


DOMAINS = {"errors in the rare class": 2}
CLASS_SHARES = {"common class": 0, "rare class": 2}


def truth(items: Pool) -> dict[str, tuple[int, int]]:
    """Each estimand's fewest and most, which differ by the items that people would not agree on."""
    y = {"errors": items.wrong, **{name: items.people == k for name, k in CLASS_SHARES.items()}}
    found = {
        name: (int((hit & ~items.untold).sum()), int((hit | items.untold).sum())) for name, hit in y.items()
    }
    for name, k in DOMAINS.items():
        inside = items.machine == k
        least, greatest = items.wrong & ~items.untold & inside, (items.wrong | items.untold) & inside
        found[name] = int(least.sum()), int(greatest.sum())
    return found


def estimated(answers: Answers):
    """What the sampler estimates from the answers, by the names of `truth`; without what it refuses to."""
    items = answers.items
    rows = answers.rows()
    found = {"errors": rows.errors(items.machine, items.eps, float(items.eps.sum()), 0.05)}
    for name, k in CLASS_SHARES.items():
        found[name] = rows.of_class(k, items.soft[:, k], 0.05)
    for name, k in DOMAINS.items():
        inside = items.machine == k
        with contextlib.suppress(ValueError):  # too few labels to say anything is an answer, too
            part = answers.rows(inside)
            found[name] = part.errors(items.machine, items.eps, float(items.eps[inside].sum()), 0.05)
    return found


@dataclasses.dataclass
class Covered:
    """How often intervals covered."""

    hits: dict[str, int]
    answered: dict[str, int]
    found: np.ndarray
    """Errors found in each replay, [R]."""
    deviation: np.ndarray
    """The estimated number of errors less the true one, [R]; NaN where people do not agree on that."""
    se: np.ndarray
    """Its standard error, [R]."""

    @property
    def shares(self) -> dict[str, float]:
        """Coverage of each interval."""
        return {name: self.hits[name] / answered for name, answered in self.answered.items() if answered}

    @property
    def short(self) -> dict[str, str]:
        """What covers less than 95 %, beyond chance."""
        return {
            name: f"{self.hits[name]} of {answered}"
            for name, answered in self.answered.items()
            if self.hits[name] < enough(answered)
        }


def cover(items: Pool, plan, replays: int = REPLAYS) -> Covered:
    """Plays a plan so often, and counts which intervals cover."""
    rng = np.random.default_rng(5)
    true = truth(items)
    hits, answered, found, values, se = dict.fromkeys(true, 0), dict.fromkeys(true, 0), [], [], []
    for _ in range(replays):
        answers = Answers(items, rng)
        plan(answers)
        found.append(sum(int(items.wrong[phase.at].sum()) for phase in answers.phases))
        said = estimated(answers)
        values.append(said["errors"].value)
        se.append(said["errors"].se)
        for name, estimate in said.items():
            answered[name] += 1
            fewest, greatest = true[name]
            # sums are rounded
            hits[name] += estimate.low - 1e-6 <= fewest and greatest <= estimate.high + 1e-6
    fewest, greatest = true["errors"]
    return Covered(
        hits=hits,
        answered=answered,
        found=np.array(found),
        deviation=np.array(values) - (fewest if fewest == greatest else np.nan),
        se=np.array(se),
    )


def assert_covers(items: Pool, plan) -> None:
    """Plays a plan 5,000 times: every interval covers, estimates are unbiased, standard errors honest."""
    covered = cover(items, plan)

    print(covered.shares)  # shown by -rP
    assert not covered.short, covered.short
    assert covered.answered["errors"] == REPLAYS
    if not items.untold.any():
        assert_mean(covered.deviation, 0.0)
        assert_mean(covered.deviation**2 - covered.se**2, 0.0)

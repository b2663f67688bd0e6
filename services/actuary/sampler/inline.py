"""Draws for other systems, from rows to a sample in one call; `inline_estimates` takes the answers.

Everything comes with the request and goes with the answer: no campaign, no table, no budget that is booked.
Who is drawn follows from ids, risks, the earlier draws and the seed alone, so that the same question has the
same answer on every replica, and the record of a draw is enough to compute its probabilities again.

It checks what holds between the rows, and says of bad input which row it is; the mathematics is `stats`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

import numpy as np

from actuary import errors
from actuary.sampler import frames, planning
from actuary.stats import budgets, draws, placing, prn, rules, weighing

STRATUM_ITEMS = 2
"""Fewest items of a stratum unless another number is wished: the fewest that show a variance."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The items of a request, in any order."""

    ids: Sequence[str]
    """[N], all different."""
    eps: frames.Floats
    """Risks, [N], in [0, 1]."""
    cost: frames.Floats | None = None
    """Price of a label of each, in micro-dollars, [N], whole and above 0; with a budget of money only."""
    strata: Sequence[str] | None = None
    """[N], the part of each that is to be covered; with a budget of labels only."""
    earlier: Sequence[str] = ()
    """Ids of those that people have looked at after earlier draws."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is to be drawn. Exactly one of the two budgets is given."""

    weighing: weighing.Weighing
    seed: int
    """In [0, 2^64)."""
    labels: int | None = None
    """Items to draw."""
    money: int | None = None
    """What the drawn items may cost, in micro-dollars."""
    stratum_items: int = STRATUM_ITEMS
    """Fewest items of each stratum; of a smaller one all."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One draw of D items, in the order of serving."""

    stratum: str
    at: frames.Longs
    """Positions in the pool, [D]."""
    s: frames.Floats
    """Size measures as drawn, [D]."""
    u: frames.Floats
    """Permanent random numbers, [D]."""
    pi: frames.Floats
    """Inclusion probabilities given all earlier draws, [D]."""
    rank: frames.Floats
    """The order of serving within the draw, [D]."""
    purpose: str
    """What the key of u is for (`prn.derive_key`)."""
    constants: Mapping[str, float]
    """What the rule solved."""
    phase: placing.Phase
    """What the draw stands for when all of it is answered."""
    variance: float
    """Predicted from the risks, in items²; infinite where it has no estimate of its own."""
    warning: str
    note: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """The drawn items of all draws, M of them, in the order of serving."""

    draws: tuple[Draw, ...]
    draw: frames.Longs
    """Which draw each is of, [M]."""
    row: frames.Longs
    """Its place within that draw, [M]."""


def allocate(pool: Pool, wishes: Wishes) -> Allocation:
    """Draws from the items that nobody has looked at.

    The random numbers are those of a key that names how many items people had looked at before, so that every
    later draw has new ones (algorithms.md 8.1) and a larger budget of the same draw only adds items, where
    the rule is nested. Strata share the labels as the rule over all of them would (`budgets.share`), and are
    then drawn each by itself.

    Args:
        pool: the items.
        wishes: budget, rule and seed.

    Returns:
        The draws, and the order of serving: within a draw by rank; strata advance together, each by the same
        share of its items, so that whoever stops leaves no stratum uncovered for the sake of another.

    Raises:
        errors.InvalidInputError: names the row or the field that is wrong, all of them.

    >>> pool = Pool(ids=["a", "b", "c", "d"], eps=np.array([0.9, 0.1, 0.5, 0.2]))
    >>> found = allocate(pool, Wishes(weighing=weighing.Weighing(rule="threshold"), seed=1, labels=2))
    >>> [pool.ids[i] for i in found.draws[0].at]
    ['a', 'c']
    """
    if wrong := [*_wrong_rows(pool), *_wrong_wishes(pool, wishes)]:
        raise errors.InvalidInputError.of(wrong)
    earlier = set(pool.earlier)
    left = np.array([i for i, item_id in enumerate(pool.ids) if item_id not in earlier], dtype=np.int64)
    if len(left) == 0:
        _refuse("earlier_item_ids", "expected fewer than item_ids, got all of them: nothing is left to draw")
    if wishes.labels is not None and wishes.labels > len(left):
        _refuse(
            "label_count",
            f"expected at most the {len(left)} items that are left, got {wishes.labels}: lower it",
        )
    ids = [pool.ids[i] for i in left]
    key = prn.project_key(wishes.seed)
    purpose = f"allocate/{len(earlier)}"
    source = _Source(
        wishes=wishes,
        purpose=purpose,
        at=left,
        eps=pool.eps[left],
        u=prn.uniform(ids, prn.derive_key(key, purpose)),
        tie=planning.ties(ids, key),
        cost=None if pool.cost is None else pool.cost[left],
    )
    try:
        found = _draws(source, pool)
    except ValueError as error:
        budget = "money_micros" if wishes.labels is None else "label_count"
        refused(error, {"eps": "risks", "score": "risks", "budget": budget, "money": budget})
    progress = np.concatenate([(np.arange(len(d.at)) + 0.5) / max(len(d.at), 1) for d in found])
    draw = np.repeat(np.arange(len(found)), [len(d.at) for d in found])
    row = np.concatenate([np.arange(len(d.at)) for d in found])
    order = np.lexsort((draw, progress))
    return Allocation(draws=tuple(found), draw=draw[order], row=row[order])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """The items that are left, M of them, and their numbers."""

    wishes: Wishes
    purpose: str
    at: frames.Longs
    eps: frames.Floats
    u: frames.Floats
    tie: frames.Floats
    cost: frames.Floats | None

    def of(self, rows: frames.Longs) -> _Source:
        """Some of them."""
        return dataclasses.replace(
            self,
            at=self.at[rows],
            eps=self.eps[rows],
            u=self.u[rows],
            tie=self.tie[rows],
            cost=None if self.cost is None else self.cost[rows],
        )

    def inclusion(self, budget: float) -> rules.Inclusion:
        """What the rule says of them."""
        if self.wishes.weighing.rule == "threshold":
            return rules.pi_threshold(self.eps, budget, self.tie, self.cost)
        return self.wishes.weighing.inclusion(self.eps, budget, self.tie, self.cost)


def _draws(source: _Source, pool: Pool) -> list[Draw]:
    """One draw, or one for each stratum with items left, in the order of names."""
    if source.wishes.labels is None:
        return [_draw(source, float(source.wishes.money or 0), "")]
    if pool.strata is None:
        return [_draw(source, source.wishes.labels, "")]
    names, number = np.unique([pool.strata[i] for i in source.at], return_inverse=True)
    items = np.bincount(number)
    wanted = np.bincount(number, weights=source.inclusion(source.wishes.labels).pi)
    least = np.minimum(items, source.wishes.stratum_items)
    shares = budgets.share(wanted, least, items, source.wishes.labels)
    return [
        _draw(source.of(np.flatnonzero(number == h)), int(size), str(names[h]))
        for h, size in enumerate(shares)
    ]


def _draw(source: _Source, budget: float, stratum: str) -> Draw:
    """Draws from one population; `budget` is in items, or in micro-dollars where there are costs."""
    population, rule = len(source.at), source.wishes.weighing.rule
    if budget == 0:
        nobody = np.zeros(0)
        return Draw(
            stratum=stratum,
            at=np.zeros(0, dtype=np.int64),
            s=nobody,
            u=nobody,
            pi=nobody,
            rank=nobody,
            purpose=source.purpose,
            constants={},
            phase=_phase(stratum, "srs", population),
            variance=math.inf,
            warning="nothing is drawn from it, so that it has no estimate; raise stratum_item_count",
            note="",
        )
    inclusion = source.inclusion(budget)
    if rule == "threshold":
        order = rules.risk_order(source.eps, source.tie, source.cost)[: int(inclusion.pi.sum())]
        size = len(order)
        s, u, pi = source.eps[order], source.tie[order], np.ones(size)
        rank = np.arange(size, dtype=np.float64)
        phase, purpose = _phase(stratum, "srs", population, certain=size), "ties"
        variance = placing.predicted_variance(phase, np.ones(population - size))
    else:
        drawn = _drawn(source, inclusion, budget)
        chosen = np.flatnonzero(drawn.selected)
        order = chosen[np.lexsort((source.u[chosen], drawn.rank[chosen]))]
        s, u, pi, rank = drawn.score[order], source.u[order], drawn.pi[order], drawn.rank[order]
        kind, tau = ("srs", None) if _simple(source) else ("priority", drawn.tau)
        phase = _phase(stratum, kind, population, sampled=len(order), tau=tau)
        purpose = source.purpose
        variance = placing.predicted_variance(phase, placing.robust_variance(source.eps), drawn.pi)
    return Draw(
        stratum=stratum,
        at=source.at[order],
        s=s,
        u=u,
        pi=pi,
        rank=rank,
        purpose=purpose,
        constants=inclusion.constants,
        phase=phase,
        variance=variance,
        warning=inclusion.warning,
        note=inclusion.note,
    )


def _simple(source: _Source) -> bool:
    """Whether it is a simple random sample: that has an exact interval, a priority draw has none."""
    return source.wishes.weighing.rule == "uniform" and source.cost is None


def _drawn(source: _Source, inclusion: rules.Inclusion, budget: float) -> draws.Draw:
    if _simple(source):
        return draws.srs(source.u, int(budget))
    scores = weighing.scores(inclusion)
    if source.cost is None:
        return draws.draw_exact(scores, source.u, int(budget), inclusion.take_all)
    return draws.draw_money(scores, source.u, source.cost, budget, inclusion.take_all)


def _phase(
    name: str, kind: str, population: int, *, certain: int = 0, sampled: int = 0, tau: float | None = None
) -> placing.Phase:
    return placing.Phase(
        name=name,
        kind="srs" if kind == "srs" else "priority",
        population=population,
        certain=certain,
        sampled=sampled,
        tau=None if tau is None or math.isinf(tau) else tau,
    )


def _wrong_rows(pool: Pool) -> Iterator[errors.Violation]:
    """What is wrong with columns and rows; of each kind the first row."""
    size = len(pool.ids)
    for field, column in (("risks", pool.eps), ("cost_micros", pool.cost), ("strata", pool.strata)):
        if column is not None and len(column) != size:
            yield errors.Violation(
                field,
                f"expected {size} values, one for each of item_ids, got {len(column)}: add or take out rows",
            )
    places: dict[str, int] = {}
    for place, item_id in enumerate(pool.ids):
        if not item_id:
            yield errors.Violation(f"item_ids[{place}]", "expected an id, got an empty one: name the item")
            break
        first = places.setdefault(item_id, place)
        if first != place:
            yield errors.Violation(
                f"item_ids[{place}]",
                f"expected ids that occur once, got {item_id!r}, which is item_ids[{first}]: take one out",
            )
            break
    for place, item_id in enumerate(pool.earlier):
        if item_id not in places:
            yield errors.Violation(
                f"earlier_item_ids[{place}]",
                f"expected one of item_ids, got {item_id!r}: send all items of the population, "
                "with the ids that they had in earlier draws",
            )
            break


def _wrong_wishes(pool: Pool, wishes: Wishes) -> Iterator[errors.Violation]:
    """What does not go together."""
    if (wishes.labels is None) == (wishes.money is None):
        got = "neither" if wishes.labels is None else "both"
        yield errors.Violation(
            "label_count", f"expected either label_count or money_micros, got {got}: give one budget"
        )
    elif wishes.money is not None and pool.cost is None:
        yield errors.Violation(
            "cost_micros", "expected a cost for each item, since the budget is money, got none: add them"
        )
    elif wishes.labels is not None and pool.cost is not None:
        yield errors.Violation(
            "cost_micros",
            "expected none, since the budget is labels, got some: leave them out, or give money_micros",
        )
    if wishes.money is not None and pool.strata is not None:
        yield errors.Violation(
            "strata",
            "expected none, since the budget is money, got some: strata share a budget of labels",
        )


def _refuse(field: str, description: str) -> NoReturn:
    raise errors.InvalidInputError.of([errors.Violation(field, description)])


def refused(error: ValueError, fields: Mapping[str, str]) -> NoReturn:
    """Says what `stats` found wrong of the field that its argument came from; other errors are faults."""
    argument, _, description = str(error).partition(":")
    field = fields.get(argument.split(",")[0])
    if field is None:
        raise error
    raise errors.InvalidInputError.of([errors.Violation(field, description.strip())]) from error

"""The hybrid rule from chunks: the top for certain, a robust square-root sample of the rest.

It puts `streams` and `levels` together, and is apart from them because it is the only rule whose two parts
need each other's results. It deliberately does not estimate.

References:
    algorithms.md 3.2 (hybrid) and 3.3.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from actuary.stats import checks, families, levels, orders, streams, words

_SURE = 8.0
"""Standard deviations by which a forecast number of items may be wrong before a pass is repeated."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A chunk of n items."""

    risk: checks.Floats
    """ε, [n], in [0, 1]."""
    u: checks.Floats
    """[n] in (0, 1), uniform given everything that the risks depend on."""
    u_tie: checks.Floats
    """[n] in (0, 1), from the key of ties."""
    place: checks.Integers | int
    """[n] or a number, see `orders.Keys`."""
    cost: checks.Integers | None = None
    """c, whole numbers of at least 1, [n]; None where the budget counts items."""


Passes = Callable[[], Iterable[Items]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hybrid:
    """Who is labelled, and how π of anybody follows."""

    certain: streams.Taken
    """Taken with π = 1: the most suspicious (per cost)."""
    drawn: streams.Taken
    """The priority sample of the rest: π = min(1, τ s), τ = `drawn.cut.tau`."""
    family: families.SquareRoot
    least: float
    """The size measure's own floor, floor/κ; 0 where the floor cannot bind."""

    def score(self, risk: checks.Floats, cost: checks.Integers | None = None) -> checks.Floats:
        """s, [n]: the size measure of items that are not certain."""
        return _score(self.family, self.least, risk, cost)


def _score(
    family: families.SquareRoot, least: float, risk: checks.Floats, cost: checks.Integers | None
) -> checks.Floats:
    size = family.size(risk, None if cost is None else cost.astype(np.float64))
    return np.maximum(size, least, out=size) if least else size


def hybrid(
    passes: Passes, budget: int, *, audit: float = 0.3, gamma: float = 0.3, floor_share: float = 0.25
) -> Hybrid:
    """Takes the top by risk (per cost) with (1 - a) B, and draws from the rest with what is left.

    The rest has v = (1 - γ) ε + γ mean ε (the mean of the rest), π = clip(κ (v/c)^1/2, floor, 1) with floor =
    floor_share times the rest's budget per cost, and is drawn by priority on s = max((v/c)^1/2, floor/κ).
    Since κ π ∝ s and only ratios of s matter to a draw, κ is solved for only where the floor can bind: with
    equal costs and floor_share² <= γ it cannot, for κ s >= (a B/n) γ^1/2 (mean (v^1/2) <= (mean v)^1/2).

    Args:
        passes: gives a new pass over all chunks, as often as it is called.
        budget: B, items or the unit of cost; at least 1.
        audit: a, share of the budget for the rest, (0, 1).
        gamma: γ, (0, 1].
        floor_share: [0, 1].

    Returns:
        Both samples. The same bits for the same items, whatever the chunks.

    Raises:
        ValueError: more budget than items, or a parameter out of range.

    References:
        algorithms.md 3.2 and T3: within 9 % of the Lagrange rule at equal accuracy.

    >>> risk, u = np.array([0.9, 0.8, 0.2, 0.1]), np.array([0.5, 0.5, 0.4, 0.6])
    >>> found = hybrid(lambda: [Items(risk=risk, u=u, u_tie=u, place=np.arange(4))], 3, audit=0.5)
    >>> found.certain.place.tolist(), found.drawn.place.tolist()
    ([0], [1, 2])
    """
    checks.share("audit", audit)
    checks.within("gamma, floor_share", [gamma, floor_share], 0.0, 1.0)

    def suspicion() -> Iterator[orders.Keys]:
        return (_by_risk(chunk) for chunk in passes())

    count, risk, costs = streams.TopCount(), 0, False
    for chunk in passes():
        count.add(_by_risk(chunk))
        risk += words.total(np.asarray(chunk.risk, dtype=np.float64))
        orders.uniforms(chunk.u)
        costs = costs or chunk.cost is not None
    # (1 - a) B in floats may end just below a whole number
    top = math.floor((1.0 - audit) * budget * (1.0 + 1e-12))
    certain = streams.take(suspicion, top, count)
    left = budget - certain.cut.used
    least, bound = 0.0, math.inf
    if costs or floor_share**2 > gamma:
        rest = _rest(passes, certain.cut)
        known = levels.sketch(rest)
        floor = min(1.0, floor_share * left / known.cost) if known.items else 0.0
        family = families.SquareRoot(mean=known.mean if known.items else 0.0, gamma=gamma, floor=floor)
        if floor:
            least = floor / levels.solve(rest, family, min(left, known.cost), known)
    else:  # the key of a certain item is its risk, so that the mean of the others needs no pass
        risk -= words.total((words.INFINITE - certain.key).view(np.float64))
        others = count.items - certain.key.size
        family = families.SquareRoot(mean=words.rounded(risk) / others if others else 0.0, gamma=gamma)
        bound = _bound(count, certain.key.size, family, left)

    def ranks() -> Iterator[orders.Keys]:
        return (_by_rank(chunk, certain.cut, family, least) for chunk in passes())

    drawn = None
    if bound < math.inf:
        near = _by_rank(_near(passes, family, bound), certain.cut, family, least)
        if near.key.size > left:
            drawn = streams.take(lambda: [near], left)
    if drawn is None or drawn.cut.tau > bound:  # fewer numbers below the bound than chance allows
        drawn = streams.take(ranks, left)
    return Hybrid(certain=certain, drawn=drawn, family=family, least=least)


def _by_risk(chunk: Items) -> orders.Keys:
    return orders.by_risk(chunk.risk, chunk.u_tie, chunk.place, chunk.cost)


def _rest(passes: Passes, cut: streams.Cut) -> levels.Passes:
    """The items that are not certain, as a rule sees them."""

    def rest() -> Iterator[levels.Priced]:
        for chunk in passes():
            left = _without(chunk, cut)
            yield levels.Priced(risk=left.risk, cost=left.cost)

    return rest


def _without(chunk: Items, cut: streams.Cut) -> Items:
    left = np.ones(chunk.risk.size, dtype=np.bool_)
    left[cut.takes(_by_risk(chunk))] = False
    return _rows(chunk, np.flatnonzero(left))


def _bound(count: streams.TopCount, certain: int, family: families.SquareRoot, left: int) -> float:
    """An r below which more than `left` items lie, almost surely, and few more: u is uniform.

    It only saves work: items beyond it need no r. Whether the cut lies below is looked at afterwards.
    """
    wanted = left + _SURE * math.sqrt(left) + 2.0 * _SURE
    if count.items - certain <= wanted:
        return math.inf
    weight, risk = count.bins()
    weight = np.maximum(0.0, np.minimum(weight, np.cumsum(weight) - certain))  # the first ones are certain
    size = family.size(risk, None)
    low, high = 0.0, 1.0 / float(size.min())
    for _ in range(40):
        middle = (low + high) / 2.0
        below = float((weight * np.minimum(1.0, middle * size)).sum())
        low, high = (middle, high) if below < wanted else (low, middle)
    return high * (1.0 + 2.0**-8)  # a bin's risks are within 2^-9 of each other


def _near(passes: Passes, family: families.SquareRoot, bound: float) -> Items:
    """The items with u/s up to a bound, and nothing else by much: hardly more than will be drawn."""
    found = []
    for chunk in passes():
        # u <= bound s without the root: r rounds by 2^-52 at most, this looks 2^-40 further
        reach = family.variance(chunk.risk)
        reach *= bound * bound * (1.0 + 2.0**-40)
        found.append(_rows(chunk, np.flatnonzero(chunk.u * chunk.u <= reach)))
    return Items(
        risk=np.concatenate([rows.risk for rows in found]),
        u=np.concatenate([rows.u for rows in found]),
        u_tie=np.concatenate([rows.u_tie for rows in found]),
        place=np.concatenate([rows.place for rows in found]),
    )


def _by_rank(chunk: Items, cut: streams.Cut, family: families.SquareRoot, least: float) -> orders.Keys:
    """The order of the items of a chunk that are not certain: by r = u/s."""
    chunk = _without(chunk, cut)
    return orders.by_priority(_score(family, least, chunk.risk, chunk.cost), chunk.u, chunk.place, chunk.cost)


def _rows(chunk: Items, rows: checks.Integers) -> Items:
    return Items(
        risk=chunk.risk[rows],
        u=chunk.u[rows],
        u_tie=chunk.u_tie[rows],
        place=chunk.place + rows if isinstance(chunk.place, int) else chunk.place[rows],
        cost=None if chunk.cost is None else chunk.cost[rows],
    )

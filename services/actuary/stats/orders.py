"""Orders: what decides who comes first, as columns of a chunk that compare the same everywhere.

A selection is the first items of an order (`streams`). An order is by a key, then by a tie number, then by
the item's place in the pool, so that no two items are equal and the order of files decides nothing.

The module deliberately sees one chunk at a time and selects nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from actuary.stats import checks, words

_LARGEST = float(np.finfo(np.float64).max)
_ONE = int(np.float64(1.0).view(np.int64))


@dataclasses.dataclass(frozen=True, slots=True)
class Made:
    """Numbers of a chunk that are made where somebody looks at them, and nowhere else.

    A tie number is a hash of an id, which costs more than all else that an order does with an item, and only
    the few items that tie at a cut need one.

    >>> made = Made(lambda rows: rows / 10.0)
    >>> made.take(np.array([3, 5, 7]))[np.array([1])].tolist()
    [0.5]
    """

    make: Callable[[checks.Integers], checks.Floats]
    """Takes rows of the chunk, [m]; returns their numbers, [m], in (0, 1)."""

    def __getitem__(self, rows: checks.Integers) -> checks.Floats:
        return self.make(rows)

    def take(self, rows: checks.Integers) -> Made:
        """Returns those of some rows, [m], as a chunk of their own; makes none."""
        return Made(lambda more: self.make(rows[more]))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """A chunk of n items as an order sees them: by `key`, then `tie`, then `place`, all ascending."""

    key: checks.Integers
    """Words (`words.rising`, `words.falling`), [n]."""
    tie: checks.Floats | Made
    """Numbers in (0, 1) that order items of one key, [n]."""
    place: checks.Integers | int
    """Where each item stands in the pool: unique over all chunks, at least 0, [n]. A number is the place of
    the first item, where the others follow it one by one."""
    cost: checks.Integers | None = None
    """Whole numbers of at least 1 (micro-dollars), [n]; None where the budget counts items."""

    def words(self, level: int, rows: checks.Integers | None) -> checks.Integers:
        """Returns the words of column `level` (0 key, 1 tie, 2 place) in some rows; None means all."""
        if level == 2:
            return self.places(rows)
        if level == 1:
            return words.rising("tie", self.tie[np.arange(self.key.size) if rows is None else rows], 1.0)
        return self.key if rows is None else self.key[rows]

    def places(self, rows: checks.Integers | None = None) -> checks.Integers:
        """Returns the places of some rows; None means all."""
        if isinstance(self.place, int):
            return self.place + (np.arange(self.key.size) if rows is None else rows)
        return self.place if rows is None else self.place[rows]


def by_risk(
    risk: npt.ArrayLike,
    u_tie: npt.ArrayLike | Made,
    place: npt.ArrayLike | int,
    cost: npt.ArrayLike | None = None,
) -> Keys:
    """The order of suspicion: risk, or risk per cost, falling; ties by u_tie (`rules.risk_order`).

    Args:
        risk: ε, shape [n], in [0, 1].
        u_tie: [n] in (0, 1), from the key of ties; or how to make them, for those few that are looked at.
        place: [n], see `Keys`.
        cost: c, whole numbers of at least 1, [n]; None for a budget in items.

    Raises:
        ValueError: ε outside [0, 1], a cost that is no whole number of at least 1, or lengths differ.

    >>> keys = by_risk([0.5, 0.9], [0.7, 0.3], [0, 1])
    >>> bool(keys.key[1] < keys.key[0])
    True
    """
    eps = np.asarray(risk, dtype=np.float64)
    if cost is None:
        return _keys(words.falling("risk", eps, 1.0), u_tie, place, None)
    words.rising("risk", eps, 1.0)
    costs = whole_costs(cost, eps.size)
    return _keys(words.falling("risk", eps / costs), u_tie, place, costs)


def by_priority(
    score: npt.ArrayLike, u: npt.ArrayLike, place: npt.ArrayLike | int, cost: npt.ArrayLike | None = None
) -> Keys:
    """The order of a priority sample: r = u/s, ties by u (`draws.draw_exact`); items of score 0 are left out.

    Args:
        score: s, shape [n], at least 0.
        u: [n] in (0, 1), uniform given everything that the scores depend on.
        place: [n], see `Keys`.
        cost: c, whole numbers of at least 1, [n]; None for a budget in items.

    Raises:
        ValueError: a negative or infinite score, u outside (0, 1), costs as in `by_risk`, or lengths differ.

    >>> by_priority([2.0, 0.0], [0.5, 0.5], [0, 1]).place.tolist()
    [0]
    """
    sizes = np.asarray(score, dtype=np.float64)
    numbers = uniforms(u)
    if numbers.shape != sizes.shape:
        raise ValueError(f"u: expected {sizes.size} values, got {numbers.size}")
    costs = None if cost is None else whole_costs(cost, sizes.size)
    found = words.rising("score", sizes, _LARGEST)
    if found.size and found.min() == 0:
        drawable = np.flatnonzero(found)
        place = place + drawable if isinstance(place, int) else np.asarray(place)[drawable]
        sizes, numbers = sizes[drawable], numbers[drawable]
        costs = None if costs is None else costs[drawable]
    with np.errstate(over="ignore"):  # r = inf comes last; as τ it is refused by `tau`
        rank = numbers / sizes
    return _keys(words.rising("u/s", rank), numbers, place, costs)


def by_number(u: npt.ArrayLike, place: npt.ArrayLike | int) -> Keys:
    """The order of a simple random sample: u (`draws.srs`).

    Raises:
        ValueError: u outside (0, 1), or lengths differ.

    >>> by_number([0.25], [0]).tie.tolist()
    [0.25]
    """
    numbers = uniforms(u)
    return _keys(numbers.view(np.int64), numbers, place, None)


def uniforms(u: npt.ArrayLike) -> checks.Floats:
    """Returns numbers in (0, 1), or raises ValueError; `checks.uniforms` in fewer looks at a chunk."""
    numbers = np.ascontiguousarray(u, dtype=np.float64)
    found = numbers.view(np.int64)
    if numbers.ndim != 1 or (found.size and not 0 < found.min() <= found.max() < _ONE):
        return checks.uniforms("u", numbers)  # says what is wrong, and where
    return numbers


def whole_costs(cost: npt.ArrayLike, size: int) -> checks.Integers:
    """Returns costs as int64, each at least 1, or raises ValueError."""
    costs = np.asarray(cost)
    if costs.dtype.kind not in "iu" or costs.shape != (size,):
        raise ValueError(
            f"cost: expected {size} whole numbers, got {costs.dtype} of shape {costs.shape};"
            " give costs in micro-dollars, whose sums are exact"
        )
    if costs.size and int(costs.min()) < 1:
        at = int(np.argmax(costs < 1))
        raise ValueError(f"cost: expected whole numbers of at least 1, got {costs[at]} at [{at}]")
    return costs.astype(np.int64, copy=False)


def outside(place: checks.Integers | int, size: int, out: checks.Integers) -> checks.Integers:
    """Returns the rows of a chunk whose places are not among some others.

    Args:
        place: of the chunk's n items, see `Keys`.
        size: n.
        out: places to leave out, rising, [m].

    >>> outside(10, 4, np.array([3, 11, 13])).tolist(), outside(np.array([5, 11]), 2, np.array([11])).tolist()
    ([0, 2], [0])
    """
    left = np.ones(size, dtype=np.bool_)
    if isinstance(place, int):
        first, last = np.searchsorted(out, [place, place + size])
        left[out[first:last] - place] = False
    elif size:
        near = out[np.searchsorted(out, place.min()) : np.searchsorted(out, place.max(), side="right")]
        if near.size:
            at = np.minimum(np.searchsorted(near, place), near.size - 1)
            left = near[at] != place
    return np.flatnonzero(left)


def _keys(
    key: checks.Integers,
    tie: npt.ArrayLike | Made,
    place: npt.ArrayLike | int,
    cost: checks.Integers | None,
) -> Keys:
    ties = tie if isinstance(tie, Made) else np.asarray(tie, dtype=np.float64)
    if not isinstance(ties, Made) and ties.shape != key.shape:
        raise ValueError(f"tie: expected {key.size} values, got shape {ties.shape}")
    if not isinstance(place, int):
        place = np.asarray(place)
        if place.shape != key.shape or place.dtype.kind not in "iu":
            raise ValueError(
                f"place: expected {key.size} whole numbers, or one, got {place.dtype} of shape {place.shape}"
            )
        place = place.astype(np.int64, copy=False)
    return Keys(key=key, tie=ties, place=place, cost=cost)

"""Orders: what decides who comes first, as columns of a chunk that compare the same everywhere.

A selection is the first items of an order (`streams`). An order is by a key, then by a tie number, then by the
item's place in the pool, so that no two items are equal and the order of files decides nothing.

The module deliberately sees one chunk at a time and selects nothing.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from actuary.stats import checks, words


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """A chunk of n items as an order sees them: by `key`, then `tie`, then `place`, all ascending."""

    key: checks.Integers
    """Words (`words.rising`, `words.falling`), [n]."""
    tie: checks.Floats
    """Numbers in (0, 1) that order items of one key, [n]."""
    place: checks.Integers
    """Where the item stands in the pool: unique over all chunks, at least 0, [n]."""
    cost: checks.Integers | None = None
    """Whole numbers of at least 1 (micro-dollars), [n]; None where the budget counts items."""

    def words(self, level: int, rows: checks.Integers | None) -> checks.Integers:
        """Returns the words of column `level` (0 key, 1 tie, 2 place) in some rows; None means all."""
        column = (self.key, self.tie, self.place)[level]
        chosen = column if rows is None else column[rows]
        return words.rising("tie", chosen, 1.0) if level == 1 else np.asarray(chosen, dtype=np.int64)


def by_risk(
    risk: npt.ArrayLike, u_tie: npt.ArrayLike, place: npt.ArrayLike, cost: npt.ArrayLike | None = None
) -> Keys:
    """The order of suspicion: risk, or risk per cost, falling; ties by u_tie (`rules.risk_order`).

    Args:
        risk: ε, shape [n], in [0, 1].
        u_tie: [n] in (0, 1), from the key of ties.
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
    score: npt.ArrayLike, u: npt.ArrayLike, place: npt.ArrayLike, cost: npt.ArrayLike | None = None
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
    places = np.asarray(place, dtype=np.int64)
    smallest = words.rising("score", sizes, np.finfo(np.float64).max).min(initial=words.INFINITE)
    if smallest == 0:
        drawable = sizes > 0.0
        sizes, numbers, places = sizes[drawable], numbers[drawable], places[drawable]
        costs = None if costs is None else costs[drawable]
    with np.errstate(over="ignore"):  # r = inf comes last; as τ it is refused by `tau`
        rank = numbers / sizes
    return _keys(words.rising("u/s", rank), numbers, places, costs)


def by_number(u: npt.ArrayLike, place: npt.ArrayLike) -> Keys:
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
    found = words.rising("u", numbers, 1.0)
    if found.size and (int(found.min()) == 0 or float(numbers.max()) == 1.0):
        return checks.uniforms("u", numbers)  # says where
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


def _keys(
    key: checks.Integers, tie: npt.ArrayLike, place: npt.ArrayLike, cost: checks.Integers | None
) -> Keys:
    ties, places = np.asarray(tie, dtype=np.float64), np.asarray(place)
    for name, array in (("tie", ties), ("place", places)):
        if array.shape != key.shape:
            raise ValueError(f"{name}: expected {key.size} values, got shape {array.shape}")
    return Keys(key=key, tie=ties, place=places.astype(np.int64, copy=False), cost=cost)

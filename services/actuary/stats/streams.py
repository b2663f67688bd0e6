"""Selections from more items than memory holds: count in one pass, take in the next.

Every rule that takes a fixed number or amount is "the first items of an order, as far as the budget
reaches": the threshold rule by falling risk (or risk per cost), a priority sample by r = u/s, a simple random
sample by u. The order is by a key, then by a tie number, then by the item's place, so it is total and owes
nothing to the order in which items come. The first item that no longer fits, the *cut*, decides about all
others, and is found by counting:

    pass 1   counts items, or their costs, in 2^20 bins of the key's bits: whole numbers, so counts of shards
             can be added in any order (`TopCount`)
    solve    finds the bin in which the budget ends: the window
    pass 2   takes what comes before the window, and keeps the few items inside it, which are sorted: the cut
             is exact (`Selection`)

Where more items share the window than memory should hold (twenty distinct risks!), the window is counted
again, more finely: on the key's next bits, then on those of the tie number, then on the place.

The results are those of `rules` and `draws` bit for bit. The module does no I/O: chunks of arrays come in,
places of items go out. It holds some 40 MB whatever the number of items, beside the places that were taken.

References:
    algorithms.md section 5. Distribution counting: Knuth, D. (1998). The Art of Computer Programming 3,
    section 5.2.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from actuary.stats import checks, orders, words

BIN_BITS = 20
"""Bins of a count: 2^20 of int64 are 8 MB. On a key they keep its exponent and 9 bits of its mantissa."""

KEPT_ITEMS = 2**19
"""Items that a selection may keep to sort them, at some 32 bytes: 16 MB."""

FEW_ITEMS = 2**15
"""Items that are sorted faster than counted."""

_LARGEST = 2**63 - 1

Passes = Callable[[], Iterable[orders.Keys]]
"""Gives a new pass over all chunks; in any order, but always of the same items."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Where in the order the budget ends: all items with the words of `prefix`, and the next in a range."""

    prefix: tuple[int, ...] = ()
    """Words of the first columns, where they are decided."""
    low: int = 0
    high: int = words.INFINITE
    """The range of the next column's word, both inclusive."""
    used: int = 0
    """Budget that the items before the window use."""
    items: int | None = None
    """Items inside; None before anything was counted."""

    @property
    def shift(self) -> int:
        """How many bits of a word a bin leaves out."""
        return max(0, (self.high - self.low).bit_length() - BIN_BITS)

    def split(self, keys: orders.Keys) -> tuple[checks.Integers, checks.Integers]:
        """Returns the rows of a chunk that come before the window, and those inside it."""
        bounds = [(word, word) for word in self.prefix] + [(self.low, self.high)]
        before, rows = _placed(keys.words(0, None), *bounds[0])
        for level, (low, high) in enumerate(bounds[1:], start=1):
            more, inside = _placed(keys.words(level, rows), low, high)
            before, rows = np.concatenate([before, rows[more]]), rows[inside]
        return before, rows


def _placed(found: checks.Integers, low: int, high: int) -> tuple[checks.Integers, checks.Integers]:
    """Where words are below a range, and where inside it; few are, so that one look finds both."""
    near = np.flatnonzero(found <= high)
    less = found[near] < low
    return near[less], near[~less]


class TopCount:
    """Pass 1: how much of the budget each bin of a window would use. Counts of shards can be merged.

    Args:
        window: which items to count; all, if it is not given.
    """

    def __init__(self, window: Window | None = None) -> None:
        self.window = window or Window()
        self.counts = np.zeros(2**BIN_BITS, dtype=np.int64)
        self.costs: checks.Integers | None = None
        self.items = 0
        self.spent = 0
        self._lowest, self._highest = words.INFINITE, 0

    def add(self, keys: orders.Keys) -> None:
        """Counts a chunk.

        Raises:
            words.SumTooLarge: all costs together pass 2^63 - 1.
            ValueError: some chunks have costs and some have none.
        """
        if self.items and (keys.cost is None) != (self.costs is None):
            raise ValueError("cost: expected costs in all chunks or in none")
        if keys.cost is not None and self.costs is None:
            self.costs = np.zeros(2**BIN_BITS, dtype=np.int64)
        level = len(self.window.prefix)
        rows = None if self.window == Window() else self.window.split(keys)[1]
        found = keys.words(level, rows)
        if not found.size:
            return
        lowest = int(found.min())
        # Most chunks touch few bins: only the range between their lowest and highest is counted and added.
        first = (lowest - self.window.low) >> self.window.shift
        bins = found - (self.window.low + (first << self.window.shift))
        bins >>= self.window.shift
        counted = np.bincount(bins)
        self.counts[first : first + counted.size] += counted
        self.items += found.size
        if rows is not None:  # where a window is counted again, its items may well be equal
            self._lowest, self._highest = min(self._lowest, lowest), max(self._highest, int(found.max()))
        if keys.cost is None or self.costs is None:
            self.spent = self.items
            return
        cost = keys.cost if rows is None else keys.cost[rows]
        self._spend(words.whole_total(cost))
        for part, shift in words.limbs(cost):
            sums = np.bincount(bins, weights=part).astype(np.int64)
            self.costs[first : first + sums.size] += sums << shift

    def _spend(self, more: int) -> None:
        if self.spent + more > _LARGEST:
            raise words.SumTooLarge(
                f"cost: expected costs that sum to at most 2^63 - 1, got {self.spent + more};"
                " count them in a larger unit"
            )
        self.spent += more

    def merge(self, other: TopCount) -> None:
        """Adds what another process counted in the same window.

        Raises:
            words.SumTooLarge: all costs together pass 2^63 - 1.
            ValueError: another window, or costs in one count only.
        """
        if other.window != self.window:
            raise ValueError(f"window: expected a count of {self.window}, got one of {other.window}")
        if self.items and other.items and (self.costs is None) != (other.costs is None):
            raise ValueError("cost: expected costs in both counts or in none")
        self._spend(other.spent)
        self.counts += other.counts
        if other.costs is not None:
            self.costs = other.costs.copy() if self.costs is None else self.costs + other.costs
        self.items += other.items
        self._lowest = min(self._lowest, other._lowest)
        self._highest = max(self._highest, other._highest)

    def bins(self) -> tuple[checks.Floats, checks.Floats]:
        """Returns the items of every filled bin, and its value, where keys were made by `words.falling`.

        The value is the largest that the bin can hold; the others are at most 0.2 % smaller, or below 1e-307.
        """
        filled = np.flatnonzero(self.counts)
        largest = words.INFINITE - (self.window.low + (filled << self.window.shift))
        return self.counts[filled].astype(np.float64), largest.view(np.float64)

    def solve(self, budget: int) -> Window | None:
        """Returns the window of the first item that the budget does not reach, or None if it reaches all.

        Args:
            budget: in items, or in the unit of cost; at least 0.

        Raises:
            ValueError: the items of this window cannot be those of the count before, or places are not
                unique.
        """
        checks.count("budget", budget, 0, _LARGEST)
        window = self.window
        reached = np.cumsum(self.counts if self.costs is None else self.costs)
        found = int(np.searchsorted(reached, budget - window.used, side="right"))
        if found == reached.size and window == Window():
            return None
        if found == reached.size or (window.items is not None and self.items != window.items):
            raise ValueError(
                f"chunks: expected the same items in every pass, {window.items} of them in {window},"
                f" got {self.items}"
            )
        used = window.used + (int(reached[found - 1]) if found else 0)
        low = window.low + (found << window.shift)
        high = min(low + (1 << window.shift) - 1, window.high)
        items = int(self.counts[found])
        if self._lowest == self._highest:
            low = high = self._lowest
        if low < high:
            return dataclasses.replace(window, low=low, high=high, used=used, items=items)
        if len(window.prefix) < 2:
            return Window(prefix=(*window.prefix, low), used=used, items=items)
        if items > 1:
            raise ValueError(f"place: expected unique places, got {low} for {items} items")
        return dataclasses.replace(window, low=low, high=low, used=used, items=items)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The first item that the budget does not reach; whatever comes before it is taken."""

    first: tuple[int, int, int] | None
    """Its words: key, tie, place. None if the budget reaches all."""
    used: int
    """Budget that the items before it use."""

    def takes(self, keys: orders.Keys) -> checks.Integers:
        """Returns the rows of a chunk that are taken, in any pass."""
        if self.first is None:
            return np.arange(keys.key.size)
        key, tie, place = self.first
        return Window(prefix=(key, tie), low=place, high=place).split(keys)[0]

    @property
    def tau(self) -> float:
        """τ of a priority sample: the next r; infinite if every drawable item was drawn.

        Raises:
            ValueError: the next r is itself infinite, which would wrongly say that all were drawn.
        """
        if self.first is None:
            return math.inf
        if self.first[0] == words.INFINITE:
            raise ValueError(
                "score: expected scores whose ratios to u are finite, got one too close to 0; rescale them"
            )
        return words.value(self.first[0])


class Selection:
    """Pass 2: hands out the rows that come before the window, and keeps those inside to find the cut.

    Args:
        window: of `TopCount.solve`, with at most `KEPT_ITEMS` inside.
        budget: as there.
    """

    def __init__(self, window: Window | None, budget: int) -> None:
        if window is not None and (window.items is None or window.items > KEPT_ITEMS):
            raise ValueError(
                f"window: expected at most {KEPT_ITEMS} items inside, got {window.items}; count it again"
            )
        self.window = window
        self.budget = budget
        self.used = 0
        self._kept: list[tuple[npt.NDArray[np.generic], ...]] = []

    def add(self, keys: orders.Keys) -> checks.Integers:
        """Returns the rows of a chunk that are taken for certain."""
        if self.window is None:
            rows = np.arange(keys.key.size)
        else:
            rows, inside = self.window.split(keys)
            if inside.size:
                cost = np.ones(inside.size, dtype=np.int64) if keys.cost is None else keys.cost[inside]
                self._kept.append((keys.key[inside], keys.tie[inside], keys.places(inside), cost))
        self.used += rows.size if keys.cost is None else words.whole_total(keys.cost[rows])
        return rows

    def merge(self, other: Selection) -> None:
        """Adds what another process kept."""
        self.used += other.used
        self._kept += other._kept

    def finish(self) -> tuple[orders.Keys, Cut]:
        """Returns those of the kept items that are taken, in order, and the cut.

        Raises:
            ValueError: the items were not those that had been counted.
        """
        if self.window is None:
            empty = np.empty(0, dtype=np.int64)
            return orders.Keys(key=empty, tie=np.empty(0), place=empty), Cut(first=None, used=self.used)
        kept = sum(len(part[0]) for part in self._kept)
        if kept != self.window.items or self.used != self.window.used:
            raise ValueError(
                f"chunks: expected the same items in every pass, {self.window.items} in the window and"
                f" {self.window.used} of the budget before it, got {kept} and {self.used}"
            )
        key, tie, place, cost = (np.concatenate(parts) for parts in zip(*self._kept, strict=True))
        order = np.lexsort((place, tie, key))
        reached = self.used + np.cumsum(cost[order])
        fits = int(np.searchsorted(reached, self.budget, side="right"))
        taken, at = order[:fits], order[fits]
        first = (int(key[at]), int(np.float64(tie[at] + 0.0).view(np.int64)), int(place[at]))
        used = int(reached[fits - 1]) if fits else self.used
        return orders.Keys(key=key[taken], tie=tie[taken], place=place[taken]), Cut(first=first, used=used)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The items that a budget reaches, in the order of their places."""

    place: checks.Integers
    """[B]."""
    key: checks.Integers
    """Their words, [B]."""
    cut: Cut


def take(passes: Passes, budget: int, count: TopCount | None = None, *, items: int | None = None) -> Taken:
    """Takes the first items of an order, as far as a budget reaches.

    By count this is `rules.pi_threshold` (`orders.by_risk`), `draws.draw_exact` (`orders.by_priority`) or
    `draws.srs` (`orders.by_number`); where chunks have costs, it is the longest prefix whose costs sum to at
    most the budget.

    Args:
        passes: gives a new pass over all chunks, as often as it is called: twice where keys differ, up to
            nine times where most of them are equal.
        budget: items, or the unit of cost; at least 0.
        count: a count of all items, where one was made already (of shards, by several processes).
        items: how many there are, where that is known and none has a cost: up to `FEW_ITEMS` are sorted
            without being counted.

    Returns:
        Places, keys, and the cut (its `tau`).

    Raises:
        ValueError: fewer items than a budget in items, or passes that differ.
        words.SumTooLarge: all costs together pass 2^63 - 1.

    References:
        algorithms.md 3.3 and 5.

    >>> def passes():
    ...     yield orders.by_priority([1.0, 2.0], [0.5, 0.2], [0, 1])
    ...     yield orders.by_priority([4.0, 1.0], [0.8, 0.9], [2, 3])
    >>> taken = take(passes, 2)
    >>> taken.place.tolist(), taken.cut.tau
    ([1, 2], 0.5)
    """
    window: Window | None
    if count is None and items is not None and budget < items <= FEW_ITEMS:
        window = Window(items=items)
    else:
        first = count or _counted(passes, Window())
        if first.costs is None and first.items < budget:
            raise ValueError(
                f"budget: expected at most {first.items} items, those that can be taken, got {budget}"
            )
        window = first.solve(budget)
    while window is not None and (window.items or 0) > KEPT_ITEMS:
        window = _counted(passes, window).solve(budget)
    selection = Selection(window, budget)
    places, keys = [], []
    for chunk in passes():
        rows = selection.add(chunk)
        places.append(chunk.places(rows))
        keys.append(chunk.key[rows])
    rest, cut = selection.finish()
    place = np.concatenate([*places, rest.places()])
    key = np.concatenate([*keys, rest.key])
    order = np.argsort(place)
    return Taken(place=place[order], key=key[order], cut=cut)


def _counted(passes: Passes, window: Window) -> TopCount:
    count = TopCount(window)
    for chunk in passes():
        count.add(chunk)
    return count

"""The first items of an order in one pass, where as many of them fit memory as are taken.

`streams` counts, and takes in a second pass; it never holds what it takes. Here the best so far are held, and
whoever comes behind them all is forgotten at once. That is for orders by numbers that cost more to make than
to hold, such as hashes of ids: each is made once. Whoever writes down what was drawn holds as much anyway.

The results are those of `streams.take`, bit for bit, whatever the chunks and their order.

References:
    Vitter, J. (1985). Random sampling with a reservoir. ACM TOMS 11: of keys in random order, the expected
    number that ever enters the best B of N is B (1 + log N/B).
"""

from __future__ import annotations

import numpy as np

from actuary.stats import checks, orders, streams, words

_SPARE = 2**16
"""Items held beyond twice what is wanted, so that small samples are not sorted at every chunk."""


class Firsts:
    """The first `size` items of an order, and the one behind them.

    Args:
        size: B, at least 0.

    >>> best = Firsts(2)
    >>> best.add(orders.by_number([0.4, 0.1], [0, 1]))
    >>> best.add(orders.by_number([0.3, 0.9], [2, 3]))
    >>> taken = best.finish()
    >>> taken.place.tolist(), taken.cut.tau
    ([1, 2], 0.4)
    """

    def __init__(self, size: int) -> None:
        self.size = checks.count("size", size, 0, 2**62)
        self.items = 0
        """Items that came, held or not."""
        self._bound = words.INFINITE
        self._key = np.empty(0, dtype=np.int64)
        self._tie = np.empty(0)
        self._place = np.empty(0, dtype=np.int64)
        self._more: list[tuple[checks.Integers, checks.Floats, checks.Integers]] = []
        self.held = 0
        """Items in memory: at most 2 B + 2^16 between two chunks."""

    def add(self, keys: orders.Keys) -> None:
        """Looks at a chunk.

        Raises:
            ValueError: the items have costs.
        """
        if keys.cost is not None:
            raise ValueError("cost: expected none, for a number of items, got costs; use `streams.take`")
        self.items += keys.key.size
        rows = np.flatnonzero(keys.key <= self._bound)
        if rows.size:
            self._hold((keys.key[rows], keys.tie[rows], keys.places(rows)))

    def merge(self, other: Firsts) -> None:
        """Adds what another process saw.

        Raises:
            ValueError: it looked for another number of items.
        """
        if other.size != self.size:
            raise ValueError(f"size: expected {self.size} items in both, got {other.size}")
        self.items += other.items
        for part in [(other._key, other._tie, other._place), *other._more]:
            self._hold(part)

    def _hold(self, part: tuple[checks.Integers, checks.Floats, checks.Integers]) -> None:
        self._more.append(part)
        self.held += part[0].size
        if self.held > 2 * self.size + _SPARE:
            self._sort()

    def _sort(self) -> None:
        """Puts what is held in order, and forgets all but the first and the one behind them."""
        parts = [(self._key, self._tie, self._place), *self._more]
        key, tie, place = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.lexsort((place, tie, key))[: self.size + 1]
        self._key, self._tie, self._place = key[order], tie[order], place[order]
        self._more, self.held = [], order.size
        if order.size > self.size:
            self._bound = int(self._key[-1])

    def finish(self, size: int | None = None) -> streams.Taken:
        """Returns the first items in the order of their places, and the cut behind them.

        Args:
            size: fewer than were looked for, in [0, B]; B if it is not given.

        Raises:
            ValueError: fewer items came than are to be taken, or more are asked for than were looked for.
        """
        wanted = checks.count("size", self.size if size is None else size, 0, self.size)
        if self.items < wanted:
            raise ValueError(
                f"budget: expected at most {self.items} items, those that can be taken, got {wanted}"
            )
        self._sort()
        first = None
        if self._key.size > wanted:
            tie = int(np.float64(self._tie[wanted] + 0.0).view(np.int64))
            first = (int(self._key[wanted]), tie, int(self._place[wanted]))
        order = np.argsort(self._place[:wanted])
        return streams.Taken(
            place=self._place[:wanted][order],
            key=self._key[:wanted][order],
            cut=streams.Cut(first=first, used=wanted),
        )

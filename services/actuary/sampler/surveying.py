"""The first look at a pool before a wave: who is open to it, and who its audit is. Every id is hashed once.

A wave needs to know of everybody only how many there are; of those it takes at random, whose numbers are the
smallest. Both are told by one pass, in which a shard at a time comes by, in any order. What follows, the
rule's part, then reads risks alone, and hashes no id but where a random number is looked at (`planning`).

Pure: whoever prices or reads the shards feeds it.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actuary import errors
from actuary.sampler import frames
from actuary.stats import firsts, orders


class Survey:
    """Counts and random samples of a pool.

    Args:
        failed: items without a machine label to find at most.
        audit: items of the audit to find at most.
        audit_key: of the audit's random numbers.
    """

    def __init__(self, *, failed: int, audit: int, audit_key: bytes) -> None:
        self.labelled = 0
        """Items with a machine label."""
        self.population = 0
        """Of them, those that nobody has looked at."""
        self.failed = 0
        """Items without a machine label that nobody has looked at."""
        self.failed_known = 0
        """Items without a machine label that people have looked at."""
        self.failed_draw = firsts.Firsts(failed)
        """The first of `failed`, by their own permanent random numbers."""
        self.audit_draw = firsts.Firsts(audit)
        """The first of `population`, by the audit's numbers."""
        self._audit_key = audit_key
        self._known: list[frames.Longs] = []

    def add(
        self,
        *,
        ids: pa.Array,
        u: frames.Floats,
        labelled: frames.Bools,
        known: frames.Bools,
        place: frames.Longs,
    ) -> None:
        """Looks at n items.

        Args:
            ids: in the order of ids where they are of a shard, [n].
            u: their own permanent random numbers, [n].
            labelled: which have a machine label, [n].
            known: which people have looked at, [n].
            place: where each stands in the pool, rising, [n].

        Raises:
            errors.DataLossError: an id occurs twice.
        """
        _check_unique(ids)
        self.labelled += int(labelled.sum())
        self._known.append(place[labelled & known])
        failed = np.flatnonzero(~labelled & ~known)
        self.failed += failed.size
        self.failed_known += int((~labelled & known).sum())
        self.failed_draw.add(orders.by_number(u[failed], place[failed]))
        left = np.flatnonzero(labelled & ~known)
        self.population += left.size
        if self.audit_draw.size:
            numbers = frames.hashed(ids.take(pa.array(left)), self._audit_key)
            self.audit_draw.add(orders.by_number(numbers, place[left]))

    @property
    def known(self) -> frames.Longs:
        """Places of the items with a label that people have looked at, rising."""
        return np.sort(np.concatenate([*self._known, np.empty(0, dtype=np.int64)]))


def _check_unique(ids: pa.Array) -> None:
    """An item that is there twice would share its numbers with itself; sorted ids have it beside itself."""
    twice = pc.equal(ids.slice(0, max(0, len(ids) - 1)), ids.slice(min(1, len(ids))))
    if pc.any(twice).as_py():
        name = ids.filter(pa.concat_arrays([twice.cast(pa.bool_()), pa.array([False])]))[0]
        raise errors.DataLossError(
            f"items: expected ids that occur once, got {name.as_py()!r} twice: import the data set again"
        )

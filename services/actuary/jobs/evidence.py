"""Whether a process that crashes again and again gets anywhere, as the store tells.

An item that kills its worker costs four crashes before it is known and passed over (`suspects`), and a shard
may hold several. Such crashes are no reason to give up: in between either something was done for good or
something was learnt. A process that dies without either, as one that cannot start, is given up soon.
"""

from __future__ import annotations

import dataclasses

from actuary import errors
from actuary.jobs import pieces, protocol, receipts, suspects
from actuary.storage import location

LEARNING_LIMIT = 24
"""Crashes in a row with nothing done but something learnt each time: ten items that kill, in one chunk; a
guess, as is the next."""
TOTAL_LIMIT = 100
"""Crashes of one index in all. A model that dies of every item is given up then, or before."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What an index has to show at one moment."""

    done: int = 0
    """Durable chunks and shards."""
    learnt: str = ""
    """What is known about items that kill."""


class Patience:
    """How often one index may still crash.

    >>> patience = Patience(1)
    >>> [patience.crashed(Evidence(done=n)) for n in (1, 1, 2, 2, 2)]
    [True, True, True, True, False]
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._last: Evidence | None = None
        self._learning = 0
        self._all = 0
        self.in_a_row = 0
        """Crashes with nothing done and nothing learnt in between."""

    def crashed(self, now: Evidence) -> bool:
        """Notes a crash; returns whether the process is to be started again."""
        before, self._last = self._last, now
        self._all += 1
        if before is None or now.done != before.done:
            self.in_a_row, self._learning = 1, 0
        elif now.learnt != before.learnt:
            self.in_a_row, self._learning = 1, self._learning + 1
        else:
            self.in_a_row += 1
        within = self._learning <= LEARNING_LIMIT and self._all <= TOTAL_LIMIT
        return within and self.in_a_row <= self._limit


def look(spec: protocol.JobSpec, index: int) -> Evidence:
    """What an index has to show; nothing where the store does not say."""
    try:
        store = location.open_store(spec.store_uri)
        done = sum(
            1
            for shard in spec.shards_of(index)
            for prefix in (pieces.prefix_of(spec.artifact, shard), receipts.key_of(spec.artifact, shard))
            for _ in store.list(prefix)
        )
        return Evidence(done=done, learnt=suspects.cases(store, spec.artifact, index))
    except errors.ActuaryError:
        return Evidence()

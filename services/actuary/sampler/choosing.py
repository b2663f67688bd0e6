"""What a rule takes of those whom the audit leaves: the most suspicious, a sample weighed by risk, or both.

Passes over the risks of a pool that may be larger than memory. Hashes of ids, which cost more than all else,
are made once for those who may be drawn, and otherwise only where risks tie at a cut. Pure: who reads the
chunks is the pool's affair, what becomes of the chosen that of `planning`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from actuary.sampler import frames, pools
from actuary.stats import draws, firsts, orders, prn, streamed_weighing, streams, weighing, words


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """Those whom the rule may take, and where their random numbers come from."""

    pool: pools.Pool
    out: frames.Longs
    """Places of items with a risk that may not be taken, rising: known to people, or in the audit."""
    items: int
    """How many may be taken."""
    key: bytes
    """Project key."""
    wave: int
    pilot_tau: float
    """The largest permanent random number that the pilot used up."""

    @property
    def tie_key(self) -> bytes:
        """Of the numbers that break ties of risk."""
        return prn.derive_key(self.key, "ties")

    def chunks(self, *, ids: bool) -> Iterator[pools.Chunk]:
        """One pass over them, with their ids or without."""
        return (chunk.outside(self.out) for chunk in self.pool.chunks(ids=ids))

    def suspects(self, ties: bool) -> Iterator[streamed_weighing.Suspects]:
        """One pass over them as a rule sees them; tie numbers are made where they are looked at."""
        key = self.tie_key
        for chunk in self.chunks(ids=ties):
            tie = frames.made(chunk.ids, key) if ties else None
            yield streamed_weighing.Suspects(risk=chunk.risk, tie=tie, place=chunk.place)

    def numbers(self, ids: pa.Array, u: frames.Floats) -> frames.Floats:
        """Uniform numbers given all earlier draws: rescaled after the pilot (8.1), fresh in later waves.

        Args:
            ids: of n items, [n].
            u: their own permanent random numbers, [n].

        Returns:
            u', [n], in (0, 1).
        """
        key = prn.derive_key(self.key, f"wave-{self.wave}/drawn")
        if self.wave > 1:
            return frames.hashed(ids, key)
        # whom the pilot drew and nobody answered has used up its number
        unused = u > self.pilot_tau
        numbers = np.empty(len(u))
        numbers[unused] = draws.rescale(u[unused], self.pilot_tau)
        if not unused.all():
            numbers[~unused] = frames.made(ids, key)[np.flatnonzero(~unused)]
        return numbers


_NOBODY = streams.Taken(
    place=np.empty(0, dtype=np.int64),
    key=np.empty(0, dtype=np.int64),
    cut=streams.Cut(first=None, used=0),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Whom a rule takes."""

    certain: streams.Taken = _NOBODY
    """Without a draw; by words of risk."""
    drawn: streams.Taken = _NOBODY
    """By priority; by words of r = u/s. Nobody where the rule draws nothing."""
    score: Callable[[frames.Floats], frames.Floats] = np.ones_like
    """Size measures s of items that can be drawn, from their risks, [n]."""
    constants: dict[str, float] = dataclasses.field(default_factory=dict)
    """What the rule solved."""
    notes: list[str] = dataclasses.field(default_factory=list)


def choose(rest: Rest, how: weighing.Weighing, size: int) -> Chosen:
    """Takes so many items by a rule.

    Args:
        rest: whom it may take.
        how: the rule.
        size: how many, at most as there are; 0 takes nobody.
    """
    if size == 0:
        return Chosen()
    if how.rule != "threshold":
        return _drawn(rest, how, size)
    taken = streams.take(lambda: (chunk.by_risk() for chunk in rest.suspects(True)), size, items=rest.items)
    last = words.value(words.INFINITE - int(taken.key.max()))
    return Chosen(certain=taken, constants={"threshold": last})


def _drawn(rest: Rest, how: weighing.Weighing, size: int) -> Chosen:
    weighed = streamed_weighing.weigh(rest.suspects, how, size)
    certain = weighed.certain or _NOBODY
    best = firsts.Firsts(size - certain.place.size)
    for each in rest.chunks(ids=True):
        chunk = each.outside(certain.place)
        u = rest.numbers(chunk.ids, chunk.u)
        best.add(orders.by_priority(weighed.score(chunk.risk), u, chunk.place))
    return Chosen(
        certain=certain,
        drawn=best.finish(),
        score=weighed.score,
        constants=weighed.constants,
        notes=[said for said in (weighed.warning, weighed.note) if said],
    )

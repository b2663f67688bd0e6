"""Minima of a campaign's slices and classes: which items are drawn so that each of them is looked at.

Pure; the mathematics is `stats.covering`. Covers come before the audit, so that everything drawn later is
drawn from what they left.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from actuary.sampler import frames
from actuary.stats import budgets, covering, prn

STRATA: tuple[Literal["slice", "class"], ...] = ("slice", "class")
"""Strata of a plan that cover parts, in the order in which they are drawn and served."""
_PARTS = {"slice": "slices", "class": "classes"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Minimum:
    """A minimum for each part of one kind."""

    stratum: Literal["slice", "class"]
    items: int
    """Fewest items of a part that people look at, earlier waves included."""
    of: frames.Longs
    """Part of each item, [N], in [0, `parts`); -1 for none."""
    parts: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """The rows that cover the parts of one kind, C of them."""

    stratum: str
    minimum: int
    """What each part was to have."""
    at: frames.Longs
    """Which items, [C]: positions, or places of a pool (`pools.Stored.places`)."""
    pi: frames.Floats
    """Inclusion probability in its part, [C]."""
    u: frames.Floats
    order: frames.Floats
    """Serving order: parts advance together."""
    note: str
    """What a reader must know; empty when nothing."""


def draw(
    minima: Sequence[Minimum],
    ids: Sequence[str],
    labelled: frames.Bools,
    known: frames.Bools,
    left: int,
    key: bytes,
    wave: int,
) -> list[Drawn]:
    """Draws what the parts lack, kind after kind; an item counts for its slice and for its class.

    Args:
        minima: at most one of each kind, in the order of `STRATA`.
        ids: of all items, [N].
        labelled: which have a machine label, [N]: others cannot tell how good labels are.
        known: which people have looked at, [N].
        left: items that the labels suffice for; where they do not suffice, every part lacks its share.
        key: project key.
        wave: number of the wave; every wave has numbers of its own.
    """
    found = []
    seen = known.copy()
    for minimum in minima:
        open_to = labelled & ~seen & (minimum.of >= 0)
        looked = np.bincount(minimum.of[seen & (minimum.of >= 0)], minlength=minimum.parts)
        there = np.bincount(minimum.of[open_to], minlength=minimum.parts)
        wanted = covering.shortfall(minimum.items, looked, there)
        size, note = wanted, ""
        if wanted.sum() > left:
            nothing = np.zeros_like(wanted)
            size = budgets.share(wanted, nothing, wanted, left) if left else nothing
            note = (
                f"The minimum of {minimum.items} items is not reached by all {_PARTS[minimum.stratum]}: they"
                f" lack {wanted.sum()} in all, and the labels that are left suffice for {left}."
            )
        at = np.flatnonzero(open_to)
        u = prn.uniform([ids[i] for i in at.tolist()], prn.derive_key(key, f"wave-{wave}/{minimum.stratum}"))
        drawn = covering.draw(minimum.of[at], size, u)
        chosen = drawn.selected
        seen[at[chosen]] = True
        left -= int(size.sum())
        found.append(
            Drawn(
                stratum=minimum.stratum,
                minimum=minimum.items,
                at=at[chosen],
                pi=drawn.pi[chosen],
                u=u[chosen],
                order=drawn.rank[chosen],
                note=note,
            )
        )
    return found

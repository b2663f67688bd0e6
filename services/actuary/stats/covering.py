"""Covering: parts of the data that must each be looked at, a slice or a class, with a minimum for each.

Before a wave draws anything else, every part h of which too few items have been looked at gets a simple
random sample of b_h of its M_h open items, by a key of its own.

*Why this is valid.* Parts are known without any answer, and b_h depends on how many of a part had been looked
at, never on what people said. So inside its part the sample is a simple random one of what earlier phases
left, one phase of that domain like any other (`domains`). Of the whole population it is no sample: some parts
have none of it. There its items count as known, and whatever is drawn next is drawn from the others, unbiased
given them (`designs`). What would not be valid is to draw first and to fill up the parts with the same
numbers, or to pool such items with an audit: parts with many of them would count too much.

The module draws; who is open, and what is done with the sample, is its callers'.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from actuary.stats import checks


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """A simple random sample of each part, over M open items."""

    selected: checks.Booleans
    """[M]."""
    pi: checks.Floats
    """π = b_h/M_h, [M]; 0 outside of all parts, and where a part needs none."""
    rank: checks.Floats
    """The order of serving, [M], inf where not selected: parts advance together, each by the same share of
    its sample, and inside a part by u. So whoever stops leaves a valid sample of each."""


def shortfall(minimum: int, looked: npt.ArrayLike, there: npt.ArrayLike) -> checks.Integers:
    """Items that each part lacks to its minimum: b_h = min(max(m - n_h, 0), M_h).

    Args:
        minimum: m, at least 0.
        looked: n_h, items that people have looked at, shape [H].
        there: M_h, open items, shape [H]; of a part with fewer than it lacks all are taken.

    Returns:
        b, shape [H].

    Raises:
        ValueError: a negative count, or lengths differ.

    >>> shortfall(10, [12, 4, 4], [50, 50, 3]).tolist()
    [0, 6, 3]
    """
    least = checks.count("minimum", minimum, 0, 2**62)
    had = checks.indexes("looked", looked, 0, 2**62)
    items = checks.indexes("there", there, 0, 2**62, size=had.size)
    return np.minimum(np.maximum(least - had, 0), items).astype(np.int64)


def draw(part: npt.ArrayLike, size: npt.ArrayLike, u: npt.ArrayLike) -> Cover:
    """Takes from each part the items with the smallest u.

    Args:
        part: h of each open item, shape [M], in [-1, H); -1 belongs to none.
        size: b_h, shape [H], at most M_h.
        u: shape [M], in (0, 1), of a key that nothing else uses.

    Returns:
        The sample.

    Raises:
        ValueError: lengths differ, values out of range, or more wanted of a part than it has.

    References:
        Cochran (1977), section 5.2: a simple random sample in each stratum.

    >>> sample = draw([0, 1, 0, 1, -1], [1, 2], [0.4, 0.9, 0.2, 0.1, 0.3])
    >>> sample.selected.tolist(), sample.rank.tolist()
    ([False, True, True, True, False], [inf, 0.75, 0.5, 0.25, inf])
    """
    numbers = checks.uniforms("u", u)
    wanted = checks.indexes("size", size, 0, 2**62)
    of = checks.indexes("part", part, -1, wanted.size, size=numbers.size)
    inside = np.flatnonzero(of >= 0)
    there = np.bincount(of[inside], minlength=wanted.size)
    if (wanted > there).any():
        first = int(np.argmax(wanted > there))
        raise ValueError(
            f"size: expected at most the open items of each part, got {wanted[first]} of {there[first]} at"
            f" [{first}]"
        )
    order = inside[np.lexsort((numbers[inside], of[inside]))]
    starts = np.cumsum(there) - there
    place = np.arange(order.size) - starts[of[order]]
    chosen = place < wanted[of[order]]
    selected = np.zeros(numbers.size, dtype=np.bool_)
    selected[order[chosen]] = True
    rank = np.full(numbers.size, np.inf)
    rank[order[chosen]] = (place[chosen] + 0.5) / wanted[of[order[chosen]]]
    pi = np.zeros(numbers.size)
    pi[inside] = wanted[of[inside]] / there[of[inside]]
    return Cover(selected=selected, pi=pi, rank=rank)


def answered(part: npt.ArrayLike, rank: npt.ArrayLike, labelled: npt.ArrayLike) -> checks.Booleans:
    """Which planned rows still stand for their part when people stop: those before its first unanswered one.

    Args:
        part: h of each planned row, shape [D], at least 0.
        rank: the order of serving, shape [D].
        labelled: shape [D].

    Returns:
        [D]; of each part a simple random sample of so many items.

    Raises:
        ValueError: lengths differ, or a value out of range.

    References:
        algorithms.md 8.6.

    >>> answered([0, 0, 0, 1], [0.2, 0.5, 0.8, 0.5], [True, False, True, True]).tolist()
    [True, False, False, True]
    """
    done = checks.flags("labelled", labelled)
    of = checks.indexes("part", part, 0, 2**31, size=done.size)
    order = checks.floats("rank", rank, size=done.size)
    first = np.full(int(of.max(initial=-1)) + 1, np.inf)
    np.minimum.at(first, of[~done], order[~done])
    return order < first[of]

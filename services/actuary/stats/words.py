"""Whole numbers for floating-point ones: an order that can be counted, and sums that do not depend on order.

A sum of float64 depends on the order of its terms in the last bits, and shards come in any order. Sums of
whole numbers do not. And the bits of a float64 that is not negative, read as an int64, rise with its value,
so that values of any scale can be counted in bins without knowing their range (the *word* of a value).

The module deliberately knows nothing of risks, budgets and draws: `streams` and `levels` do.

References:
    IEEE 754-2019, section 5.10 (totalOrder). Demmel, J., Nguyen, H. D. (2013). Fast reproducible
    floating-point summation. ARITH 21.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from actuary.stats import checks

INFINITE = 0x7FF0_0000_0000_0000
"""The word of +inf: 2^63 - 2^52, the largest there is."""

UNIT_BITS = 1074
"""`total` counts in units of 2^-1074, the smallest float64 above 0: every float64 is a multiple of it."""

_PART = 2**16
_LIMB_BITS = 36
_EXACT = 2**53
_HALF = 21
"""Bits of a part of `limbs`: sums of up to 2^32 of them stay below 2^53."""


class SumTooLarge(ValueError):  # noqa: N818 - a finding about the data, like those of `checks`
    """A sum of whole numbers would not fit into 63 bits; count in a larger unit, or split the pool."""


def rising(name: str, values: npt.ArrayLike, most: float = math.inf) -> checks.Integers:
    """Returns the word of each value: an int64 that is smaller exactly where the value is smaller.

    Args:
        name: what the caller calls the values, for the message.
        values: shape [n], in [0, most]; -0 counts as 0.
        most: the largest value allowed; at least 0, infinite by default.

    Returns:
        Words, shape [n], in [0, `INFINITE`].

    Raises:
        ValueError: a value is NaN, negative or above `most`, or there is more than one axis.

    >>> rising("risk", [0.0, 0.5, 1.0]).tolist() == sorted(rising("risk", [0.0, 0.5, 1.0]).tolist())
    True
    >>> rising("risk", [0.5, 1.5], most=1.0)
    Traceback (most recent call last):
        ...
    ValueError: risk: expected values in [0, 1], got 1.5 at [1] (1 of 2)
    """
    array = np.ascontiguousarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name}: expected 1 axes, got shape {array.shape}")
    found = array.view(np.int64)
    highest = int(np.float64(most).view(np.int64))
    if found.size and (int(found.min()) < 0 or int(found.max()) > highest):
        # the slow way, for a -0, or for a message: NaN and negative values have words outside of the range
        bad = ~((array >= 0.0) & (array <= most))
        if bad.any():
            at = int(np.argmax(bad))
            raise ValueError(
                f"{name}: expected values in [0, {most:g}], got {array[at]} at [{at}]"
                f" ({int(bad.sum())} of {bad.size})"
            )
        found = (array + 0.0).view(np.int64)
    return found


def falling(name: str, values: npt.ArrayLike, most: float = math.inf) -> checks.Integers:
    """Returns words that are smaller exactly where the value is larger; see `rising`.

    >>> falling("risk", [0.0, 1.0]).tolist() == [INFINITE, INFINITE - 0x3FF0_0000_0000_0000]
    True
    """
    return INFINITE - rising(name, values, most)


def value(word: int) -> float:
    """Returns the value of a word of `rising`; that of a word of `falling` is `value(INFINITE - word)`.

    Raises:
        ValueError: no value has this word.

    >>> value(int(rising("risk", [0.3])[0]))
    0.3
    """
    checks.count("word", word, 0, INFINITE)
    return float(np.int64(word).view(np.float64))


def total(values: checks.Floats) -> int:
    """Returns the exact sum of values, in units of 2^-1074: the same in every order, and never rounded.

    Values are cut into limbs of 36 bits. h = (x + C) - C, with C = 1.5 2^(52 - 36 k), is x rounded to a
    multiple of 2^-36k, and x - h is exact; 2^16 such multiples sum to at most 53 bits, which float64 adds
    without rounding. Two limbs hold the bits of risks above 1e-6; what is left of others goes on.

    Args:
        values: shape [n], at least 0 and finite.

    Returns:
        A Python integer, which has no largest value; `rounded` makes a float64 of it.

    Raises:
        SumTooLarge: a value of 2^35 or more; count costs in a larger unit.

    References:
        Demmel and Nguyen (2013), pre-rounding.

    >>> rounded(total(np.array([0.1] * 10))), sum([0.1] * 10)
    (1.0, 0.9999999999999999)
    """
    if values.size > _PART:
        return sum(total(values[i : i + _PART]) for i in range(0, values.size, _PART))
    largest = float(values.max(initial=0.0))
    found = 0
    if largest > 1.0:
        if largest >= 2.0**35:
            raise SumTooLarge(
                f"values: expected values below 2^35, got {largest:g}; count costs in a larger unit"
            )
        whole = np.floor(values)
        found = int(whole.sum()) << UNIT_BITS
        values = values - whole
    bits = 0
    while values.size:
        bits = min(bits + _LIMB_BITS, UNIT_BITS)
        large = 1.5 * 2.0 ** (52 - bits)
        high = values + large
        high -= large
        found += int(math.ldexp(float(high.sum()), bits)) << (UNIT_BITS - bits)
        if bits == _LIMB_BITS:  # it leaves something of nearly all values
            values = values - high
        else:
            more = np.flatnonzero(values != high)
            values = values[more] - high[more]
    return found


def rounded(units: int) -> float:
    """Returns a sum that `total` gave, correctly rounded: what `math.fsum` returns for the same values.

    >>> rounded(total(np.array([0.5, 0.25])))
    0.75
    """
    return units / (1 << UNIT_BITS)


def limbs(whole: checks.Integers) -> list[tuple[checks.Integers, int]]:
    """Splits whole numbers into parts that float64 adds exactly; each with its shift: Σ part 2^shift.

    >>> [(part.tolist(), shift) for part, shift in limbs(np.array([5]))]
    [([5], 0)]
    """
    if not whole.size or int(whole.max()) * whole.size < _EXACT:
        return [(whole, 0)]
    low = whole & (2**_HALF - 1)
    return [(low, 0), *((part, shift + _HALF) for part, shift in limbs(whole >> _HALF))]


def whole_total(whole: checks.Integers) -> int:
    """Returns the exact sum of whole numbers that are not negative; a Python integer cannot overflow.

    >>> whole_total(np.array([2**62] * 4)) == 2**64
    True
    """
    return sum(int(part.sum()) << shift for part, shift in limbs(whole))

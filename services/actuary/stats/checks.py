"""Bad input at the door: what every function checks before it computes, and the errors it raises.

A NaN that slips into a sum makes every later number NaN; a risk of 1.2 makes a plausible wrong one. Each
check names the argument, what was expected, what came and, for arrays, where. It never repairs: clipping
hides mistakes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]


_OPEN = (5e-324, 1.0 - 2.0**-53)
"""The first and the last float64 inside (0, 1)."""

_LARGEST = float(np.finfo(np.float64).max)


class CriticUnfit(ValueError):  # noqa: N818 - a finding about the data, as the paper names it
    """There is too little to fit a risk model on; label more, or use the base rate (`risk.constant`)."""


class BudgetInfeasible(ValueError):  # noqa: N818 - as above
    """The budget is below what the design needs at least."""

    def __init__(self, message: str, *, min_budget: float) -> None:
        super().__init__(message)
        self.min_budget = min_budget
        """The smallest budget that would do, in the unit of the budget."""


def _where(bad: Booleans, values: npt.NDArray[np.generic]) -> str:
    index = np.unravel_index(int(np.argmax(bad)), bad.shape)
    place = ", ".join(str(int(i)) for i in index)
    return f"{values[index]} at [{place}] ({int(bad.sum())} of {bad.size})"


def floats(
    name: str, values: npt.ArrayLike, *, size: int | None = None, ndim: int = 1, nan: bool = False
) -> Floats:
    """Returns values as a float64 array, or raises.

    Args:
        name: what the caller calls it, for the message.
        values: shape [N] or with `ndim` axes; finite.
        size: expected length of the first axis.
        ndim: expected number of axes.
        nan: whether NaN is allowed and means "missing".

    Raises:
        ValueError: wrong shape, or a value is infinite or NaN.

    >>> floats("eps", [0, 1]).tolist()
    [0.0, 1.0]
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != ndim:
        raise ValueError(f"{name}: expected {ndim} axes, got shape {array.shape}")
    if size is not None and array.shape[0] != size:
        raise ValueError(f"{name}: expected {size} values, got {array.shape[0]}")
    fine = ~np.isinf(array) if nan else np.isfinite(array)
    if not fine.all():
        raise ValueError(f"{name}: expected finite values, got {_where(~fine, array)}")
    return array


def _inside(array: npt.NDArray[np.generic], low: float, high: float) -> bool:
    """Whether all values lie in [low, high]; NaN lies nowhere. Cheaper than finding who does not."""
    return not array.size or bool(low <= array.min() and array.max() <= high)


def within(
    name: str, values: npt.ArrayLike, low: float, high: float, *, size: int | None = None, ndim: int = 1
) -> Floats:
    """Returns values as a float64 array that lies in [low, high], or raises ValueError.

    >>> within("eps", [0.2], 0, 1).tolist()
    [0.2]
    """
    array = np.asarray(values, dtype=np.float64)
    if not (array.ndim == ndim and size in (None, len(array)) and _inside(array, low, high)):
        array = floats(name, array, size=size, ndim=ndim)
        bad = (array < low) | (array > high)
        raise ValueError(f"{name}: expected values in [{low:g}, {high:g}], got {_where(bad, array)}")
    return array


def risks(name: str, values: npt.ArrayLike, *, size: int | None = None) -> Floats:
    """Returns probabilities in [0, 1], at least one, or raises ValueError.

    >>> risks("eps", [0.0, 0.5, 1.0]).tolist()
    [0.0, 0.5, 1.0]
    """
    array = within(name, values, 0.0, 1.0, size=size)
    if array.size == 0:
        raise ValueError(f"{name}: expected at least one item, got none")
    return array


def uniforms(name: str, values: npt.ArrayLike, *, size: int | None = None) -> Floats:
    """Returns permanent random numbers, strictly inside (0, 1), or raises ValueError.

    >>> uniforms("u", [0.25]).tolist()
    [0.25]
    """
    array = np.asarray(values, dtype=np.float64)
    if not (array.ndim == 1 and size in (None, len(array)) and _inside(array, *_OPEN)):
        array = floats(name, array, size=size)
        bad = (array <= 0.0) | (array >= 1.0)
        raise ValueError(f"{name}: expected values in (0, 1), got {_where(bad, array)}")
    return array


def sizes(name: str, values: npt.ArrayLike, *, size: int | None = None) -> Floats:
    """Returns finite values that are not negative, or raises ValueError.

    >>> sizes("score", [0.0, 3.5]).tolist()
    [0.0, 3.5]
    """
    array = np.asarray(values, dtype=np.float64)
    if not (array.ndim == 1 and size in (None, len(array)) and _inside(array, 0.0, _LARGEST)):
        array = floats(name, array, size=size)
        raise ValueError(f"{name}: expected values of at least 0, got {_where(array < 0.0, array)}")
    return array


def flags(name: str, values: npt.ArrayLike, *, size: int | None = None) -> Booleans:
    """Returns a boolean array; accepts booleans and 0/1, nothing else (ValueError).

    >>> flags("err", [0, 1]).tolist()
    [False, True]
    """
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{name}: expected 1 axes, got shape {array.shape}")
    if size is not None and array.shape[0] != size:
        raise ValueError(f"{name}: expected {size} values, got {array.shape[0]}")
    if array.dtype != np.bool_:
        bad = ~((array == 0) | (array == 1))
        if bad.any():
            raise ValueError(f"{name}: expected true or false, got {_where(bad, array)}")
    return array.astype(np.bool_)


def indexes(name: str, values: npt.ArrayLike, low: int, stop: int, *, size: int | None = None) -> Integers:
    """Returns int64 values in [low, stop), or raises ValueError.

    >>> indexes("label", [0, 2], 0, 3).tolist()
    [0, 2]
    """
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(f"{name}: expected integers on 1 axes, got {array.dtype} of shape {array.shape}")
    if size is not None and array.shape[0] != size:
        raise ValueError(f"{name}: expected {size} values, got {array.shape[0]}")
    if not _inside(array, low, stop - 1):
        bad = (array < low) | (array >= stop)
        raise ValueError(f"{name}: expected integers in [{low}, {stop}), got {_where(bad, array)}")
    return array.astype(np.int64)


def share(name: str, value: float) -> float:
    """Returns a number strictly between 0 and 1 (a level, an alpha), or raises ValueError.

    >>> share("alpha", 0.05)
    0.05
    """
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name}: expected a number in (0, 1), got {value}")
    return float(value)


def budget(value: float, total: float) -> float:
    """Returns a budget B with 0 < B <= total (items, or the sum of their costs), or raises ValueError.

    A sum of costs depends on the order of summation in its last digits, so that a budget that passes it by
    less than 1e-12 of it is the whole.

    >>> budget(3, 10)
    3.0
    """
    if not 0.0 < value <= total * (1.0 + 1e-12):
        raise ValueError(f"budget: expected 0 < budget <= {total:.15g} (all items), got {value}")
    return min(float(value), float(total))


def costs(name: str, values: npt.ArrayLike | None, *, size: int) -> Floats:
    """Returns the cost of every item, above 0 and finite, or raises ValueError; None means 1 each.

    >>> costs("cost", None, size=2).tolist()
    [1.0, 1.0]
    """
    if values is None:
        return np.ones(size)
    array = floats(name, values, size=size)
    bad = array <= 0.0
    if bad.any():
        raise ValueError(f"{name}: expected values above 0, got {_where(bad, array)}")
    return array


def count(name: str, value: float, low: int, high: int) -> int:
    """Returns a whole number in [low, high], or raises ValueError.

    >>> count("size", 3, 1, 10)
    3
    """
    if isinstance(value, bool) or int(value) != value or not low <= value <= high:
        raise ValueError(f"{name}: expected a whole number in [{low}, {high}], got {value}")
    return int(value)

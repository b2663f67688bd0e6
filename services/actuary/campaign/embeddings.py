"""Embeddings as an import meets them: lists of numbers, as many for every item, kept in single precision.

They are whatever is known of an item as numbers before anybody labels it: what an encoder made of a text or
an image, or a few columns made by hand. Risk models learn from them on which items the machine goes wrong.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from actuary.campaign import row_checks

TYPE = pa.list_(pa.field("element", pa.float32()))
MOST = 4_096
"""Numbers of an embedding: more than encoders give, few enough for a shard in memory."""
_KIND = "embeddings"
_EXPECTED = "expected a list of numbers, such as [0.12, -0.5]"


def parsed(value: Any) -> list[float] | None:
    """The numbers of a JSON value, or of text that holds one; None for none.

    Raises:
        ValueError: it is no list of numbers.

    >>> parsed("[1, 2.5]"), parsed(""), parsed(None)
    ([1.0, 2.5], None, None)
    """
    if isinstance(value, str):
        if not value.strip():
            return None
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ValueError(f"{_EXPECTED}; {error}") from error
    if value is None:
        return None
    strange = [value]
    if isinstance(value, list):
        strange = [each for each in value if type(each) not in (int, float)]
    if strange:
        raise ValueError(f"{_EXPECTED}; got {json.dumps(strange[0])[:40]}")
    try:
        return [float(each) for each in value]
    except OverflowError as error:
        raise ValueError(f"{_EXPECTED}; {error}") from error


def is_numbers(kind: pa.DataType) -> bool:
    """Whether a column of this type holds lists of numbers."""
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(lists and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)))


class Check:
    """Checks the embeddings of a data set, batch by batch, in one thread."""

    def __init__(self, column: str) -> None:
        """`column` is what the source calls it."""
        self._column = column
        self.width = 0
        """Numbers of each embedding; 0 until there was one."""

    def __call__(self, values: pa.Array, report: row_checks.Reporter) -> pa.Array:
        """Reports rows whose embedding cannot be used; returns the embeddings."""
        length = pc.list_value_length(values)
        if not self.width and len(given := length.drop_null()):
            self.width = given[0].as_py()
        fits = pc.and_(pc.greater(length, 0), pc.less_equal(length, MOST))
        report(
            pc.invert(fits),
            _KIND,
            lambda i: f"expected 1 to {MOST:,} numbers in {self._column!r}; got {length[i]}",
        )
        report(
            pc.and_(fits, pc.not_equal(length, self.width)),
            _KIND,
            lambda i: (
                f"expected {self.width} numbers in {self._column!r}, as in the first row that has any; "
                f"got {length[i]}"
            ),
        )
        report(
            pa.array(_strange(values)),
            _KIND,
            lambda i: f"expected finite numbers in {self._column!r}; got one that is missing or infinite",
        )
        return values


def _strange(values: pa.Array) -> npt.NDArray[np.bool_]:
    """Which rows hold a number that is null, NaN or infinite in single precision."""
    bad = np.zeros(len(values), dtype=np.bool_)
    length = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    numbers = pc.fill_null(values.flatten(), np.nan).to_numpy(zero_copy_only=False)  # none of null lists
    bad[np.repeat(np.arange(len(values)), length)[~np.isfinite(numbers)]] = True
    return bad

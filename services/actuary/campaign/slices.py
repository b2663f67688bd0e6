"""The slices of a data set as an import meets them: names that can be kept, and how many items each has.

A slice is a part of the data that somebody wants a number about: a language, a camera, a customer. It is
known of an item before anybody labels it, so that nothing that is estimated of a slice depends on how it was
chosen.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from actuary.campaign import row_checks

NAME_BYTES = 200
MOST = 1_000
"""Distinct slices of a data set: each is estimated by itself, and nobody reads more."""
_KIND = "slices"


def checked(values: pa.Array, report: row_checks.Reporter) -> pa.Array:
    """Returns slices with null for none; names that are too long are reported."""
    values = pc.if_else(pc.equal(values, ""), None, values)
    size = pc.binary_length(values)
    report(
        pc.greater(size, NAME_BYTES),
        _KIND,
        lambda i: f"expected a slice with a name of at most {NAME_BYTES} bytes; got {size[i]}",
    )
    return values


class Tally:
    """Counts the items of each slice, batch by batch. One thread adds."""

    def __init__(self, column: str) -> None:
        """`column` is what the source calls it."""
        self._column = column
        self._names: dict[str, int] = {}

    @property
    def items(self) -> dict[str, int]:
        """Items to label by slice, in the order of names; slices of other items alone have 0."""
        return dict(sorted(self._names.items()))

    def add(self, values: pa.Array, pool: pa.Array | None, report: row_checks.Reporter) -> None:
        """Counts a batch, and reports the row whose slice is one too many.

        Args:
            values: slice of each row, null for none, [n].
            pool: which rows are to be labelled, [n]; None for all.
            report: told where the slice stands that is one too many; it is told once.
        """
        if len(self._names) > MOST:
            return
        for name in values.drop_null().unique().to_pylist():  # in the order of their first rows
            self._names.setdefault(name, 0)
            if len(self._names) > MOST:
                first = pc.index(values, name).as_py()
                report(
                    pa.array([row == first for row in range(len(values))]),
                    _KIND,
                    lambda i: (
                        f"expected at most {MOST:,} slices; {values[i].as_py()!r} is one more in the column "
                        f"{self._column!r} (data.slice_column): name a column of fewer values"
                    ),
                )
                return
        counted = values if pool is None else values.filter(pool)
        for entry in pc.value_counts(counted.drop_null()).to_pylist():
            self._names[entry["values"]] += entry["counts"]

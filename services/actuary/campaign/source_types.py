"""What every source of data is to an import: a name, a size, and batches of rows in their order.

The formats are in `sources` and `image_folder`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Protocol

import pyarrow as pa

from actuary.campaign import findings, source_columns

BATCH_ROWS = 65_536
IMAGE_BATCH_BYTES = 32 << 20
"""Batches with images or embeddings are cut at about this size."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much a source holds: a guess for text files, exact otherwise."""

    rows: int
    bytes: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some rows in their order."""

    first_row: int
    """Number of its first row, from 1, header lines and blank lines not counted."""
    rows: pa.RecordBatch


class Source(Protocol):
    """A data set that can be read once, in order."""

    @property
    def name(self) -> str:
        """What messages call it: a path."""
        ...

    @property
    def kind(self) -> str:
        """`csv`, `jsonl`, `parquet`, `images` or `sample`."""
        ...

    @property
    def columns(self) -> source_columns.Columns:
        """Its configuration."""
        ...

    def size(self) -> Size:
        """How much there is, the same for the same data."""
        ...

    def batches(self, found: findings.Findings) -> Iterator[Batch]:
        """The rows; unreadable ones are reported."""
        ...

    def where(self, row: int, item_id: str) -> str:
        """Where a person finds that row."""
        ...

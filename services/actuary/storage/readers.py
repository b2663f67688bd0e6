"""Reading a Parquet shard whose bytes are known to be right, in this version of its table or an older one.

`tables.open_shard` makes these, after checking the digest. It deliberately knows no store.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from actuary import errors
from actuary.storage import schemas

BATCH_ROWS = 25_000
"""Rows of a batch unless another number is asked for: a row group of a table that came in one piece."""


class ShardReader:
    """A shard whose digest has been checked. Used as a context manager, or closed by `close`.

    Columns that an older version of its table did not have come as nulls.
    """

    def __init__(self, source: pa.NativeFile | BinaryIO, key: str, columns: Sequence[str] | None) -> None:
        self._source = source
        self._columns = list(columns) if columns is not None else None
        self._key = key
        self._lacking: tuple[pa.Field, ...] = ()
        try:
            self.file = pq.ParquetFile(source)
        except pa.ArrowException as error:
            source.close()
            raise errors.DataLossError(f"{key}: no Parquet file: {error}") from error
        self.schema: pa.Schema = self.file.schema_arrow

    @property
    def rows(self) -> int:
        """Rows of the shard."""
        return int(self.file.metadata.num_rows)

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """The shard in batches of at most `rows`."""
        batches: Iterator[pa.RecordBatch] = self.file.iter_batches(batch_size=rows, columns=self._columns)
        if not self._lacking:
            return batches
        return (part for each in batches for part in self._filled(pa.Table.from_batches([each])).to_batches())

    def read(self) -> pa.Table:
        """The whole shard, its columns in the order asked for."""
        table = self._filled(self.file.read(columns=self._columns))
        return table if self._columns is None else table.select(self._columns)

    def expect(self, table: str) -> None:
        """Checks that it is a shard of `table`, and notes the columns that came with a later version.

        Raises:
            DataLossError: another table, or a column that is missing or of another type.
            InvalidInputError: a schema version that this build does not read.
        """
        schemas.check(self.schema, table, where=self._key)
        wanted = schemas.of(table)
        self._lacking = tuple(
            field
            for field in wanted
            if field.name not in self.schema.names and (self._columns is None or field.name in self._columns)
        )

    def _filled(self, table: pa.Table) -> pa.Table:
        for field in self._lacking:
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
        return table

    def close(self) -> None:
        """Gives the file back."""
        self.file.close(force=True)
        self._source.close()

    def __enter__(self) -> ShardReader:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

"""Rows of a CSV file as text, in blocks, and the proof that the file was read to its end.

pyarrow's parser takes a quoted field that is never closed for one that ends with the file: the rows behind
it would become part of one value. A row of our own is therefore fed to it behind the last one. When that does
not come out again as a row, an open quote has swallowed it, and all that lies between.
"""

from __future__ import annotations

import csv
import io
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv as pa_csv

from actuary import errors

BLOCK_BYTES = 4 << 20
"""What is parsed at once, and the longest row."""

BadRow = Callable[[int, str], None]
"""Told about a row that is passed over: its number from 1, the header not counted, and what is wrong."""


class UnreadableError(errors.InvalidInputError):
    """The file cannot be read further; `row` is where (0 for the header)."""

    def __init__(self, row: int, description: str) -> None:
        super().__init__(f"row {row}: {description}" if row else description)
        self.row = row
        self.description = description


def header(file: BinaryIO, delimiter: str) -> list[str]:
    """The names in the first row; none in an empty file. Reads ahead of them.

    Raises:
        UnreadableError: the first row is no CSV, or a name is there twice.
    """
    # what is no UTF-8 further on is the reader's to find, which knows its row
    text = io.TextIOWrapper(
        io.BufferedReader(_Kept(file)), encoding="utf-8-sig", errors="replace", newline=""
    )
    try:
        names = next(csv.reader(text, delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise UnreadableError(0, f"expected a CSV header in UTF-8; {error}") from error
    twice = sorted({repr(name) for name in names if names.count(name) > 1})
    if twice:
        raise UnreadableError(0, f"the column {', '.join(twice)} is there twice: rename one of them")
    return names


def read(
    file: BinaryIO, names: list[str], *, delimiter: str, wanted: list[str], bad_row: BadRow
) -> Iterator[pa.RecordBatch]:
    """Reads a file from its start.

    Args:
        file: its bytes, the header included.
        names: all names of the header.
        delimiter: between fields.
        wanted: the columns to return.
        bad_row: told about rows with another number of fields, which are passed over.

    Yields:
        batches of the wanted columns as strings; an empty field is an empty string.

    Raises:
        UnreadableError: no CSV in UTF-8, a row that is longer than a block, or a quote that is never closed.
    """
    if not names:
        return
    mark = secrets.token_hex(16)
    last = (delimiter.join([mark] * len(names)) + "\n").encode()
    bad: list[bool] = []
    """For each row that was passed over, whether it holds the mark."""

    def handle(row: Any) -> str:
        bad.append(mark in row.text)
        if not bad[-1]:
            bad_row(
                row.number - 1,  # the parser counts the header
                f"expected {row.expected_columns} columns; got {row.actual_columns}: {row.text[:80]!r}. "
                "Quote a field that holds the delimiter or a line break.",
            )
        return "skip"

    rows = 0
    held: pa.RecordBatch | None = None
    try:
        reader = pa_csv.open_csv(
            pa.PythonFile(_Followed(file, last), mode="r"),
            # One thread: only then does the parser know the numbers of rows, and it is no slower.
            read_options=pa_csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
            parse_options=pa_csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=handle
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.binary()),  # text once its encoding is checked
                include_columns=wanted,
                strings_can_be_null=False,
            ),
        )
        for batch in reader:
            if not batch.num_rows:
                continue
            if held is not None:
                yield held
            held = _text(batch, rows + len(bad) + 1)
            rows += batch.num_rows
    except pa.ArrowInvalid as error:
        raise _unreadable(error, rows + len(bad)) from error
    ended = held is not None and held.column(0)[-1].as_py() == mark
    if not ended or held is None:
        raise UnreadableError(
            rows + len(bad),
            "a quoted field opens here and is never closed, so that the rest of the file is part of it: "
            "close the quote, or double it where it is meant",
        )
    if held.num_rows > 1:
        yield held.slice(0, held.num_rows - 1)


def number_of(row: int, passed_over: Sequence[int]) -> int:
    """The number in the file of the `row`-th row that was read.

    Args:
        row: from 1.
        passed_over: numbers in the file of the rows that were passed over, ascending.

    >>> [number_of(row, [2, 3]) for row in (1, 2, 3)]
    [1, 4, 5]
    """
    for number in passed_over:
        if number > row:
            break
        row += 1
    return row


def _unreadable(error: pa.ArrowInvalid, rows: int) -> UnreadableError:
    text = str(error)
    row = re.search(r"Row #(\d+): ", text)
    if row:
        return UnreadableError(int(row[1]) - 1, f"expected CSV in UTF-8; {text.replace(row[0], '')}")
    if "straddling object" in text:
        return UnreadableError(
            rows + 1,
            f"expected a row of at most {BLOCK_BYTES >> 20} MiB: one that is longer begins in the "
            f"{BLOCK_BYTES >> 20} MiB that follow, perhaps with a quote that is never closed",
        )
    return UnreadableError(rows + 1, f"expected CSV in UTF-8; {text}")


def _text(batch: pa.RecordBatch, first: int) -> pa.RecordBatch:
    """The batch as strings; `first` is the number of its first row, if no row of it was passed over."""
    columns = []
    for name, values in zip(batch.schema.names, batch.columns, strict=True):
        try:
            columns.append(values.cast(pa.string()))
        except pa.ArrowInvalid as error:
            for place, value in enumerate(values.to_pylist()):
                try:
                    value.decode()
                except UnicodeDecodeError as wrong:
                    got = f"expected UTF-8, got byte {value[wrong.start]:#04x}: save the file as UTF-8"
                    raise UnreadableError(first + place, f"{name}: {got}") from error
            raise
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


class _Followed(io.RawIOBase):
    """A file with a line of our own behind it."""

    def __init__(self, file: BinaryIO, line: bytes) -> None:
        self._file = file
        self._line = line
        self._rest: io.BytesIO | None = None
        self._end = b"\n"

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            raise io.UnsupportedOperation("read without a size")
        parts, missing = [], size
        while self._rest is None and missing:  # the parser takes a short read for the end of the file
            data = self._file.read(missing)
            if data:
                self._end = data[-1:]
                parts.append(data)
                missing -= len(data)
            else:
                self._rest = io.BytesIO((b"" if self._end in b"\r\n" else b"\n") + self._line)
        if self._rest is not None:
            parts.append(self._rest.read(missing))
        return parts[0] if len(parts) == 1 else b"".join(parts)


class _Kept(io.RawIOBase):
    """Lets a text reader read a file that it must not close."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

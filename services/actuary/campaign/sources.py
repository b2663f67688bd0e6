"""Where a data set comes from: CSV, JSONL, Parquet, a folder of images, or rows in memory.

Each source streams record batches with the columns that ingest.py knows (`source_columns.TYPES`), whatever
the file calls them, and can say where a row came from. Ids and labels are text however much they look like
numbers.

A source reports what it cannot read to `findings`; it deliberately judges no values: ingest.py does.
"""

from __future__ import annotations

import dataclasses
import io
import json
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from actuary import errors
from actuary.campaign import findings, image_folder, source_columns, source_types
from actuary.storage import csv_rows

# What callers need besides `open_source`, under one name.
Columns = source_columns.Columns
Batch = source_types.Batch
Size = source_types.Size
Source = source_types.Source

_ELSEWHERE = "It is read where the import runs: for a cluster put a file into a bucket (s3://bucket/key)"
_SAMPLE_BYTES = 1 << 20
"""How much of a text file is read to guess its number of rows."""
_EMBEDDING_ROWS = 2_048
"""Rows of a batch of JSON lines with embeddings."""
FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}


def open_source(uri: str, columns: Columns, *, form: str = "", shown: str = "") -> Source:
    """Opens a file or a folder.

    Args:
        uri: path or file:// URI.
        columns: what its columns are called.
        form: `csv`, `jsonl`, `parquet` or `images`; by default what the ending says.
        shown: what messages call it; its path by default.

    Raises:
        InvalidInputError: nothing there, or the format is unknown.
    """
    path = _path(uri)
    if not form:
        endings = [s.lower() for s in path.suffixes[-2:]]
        if endings and endings[-1] in (".gz", ".bz2", ".zst"):
            endings.pop()
        form = "images" if path.is_dir() else FORMATS.get(endings[-1] if endings else "", "")
    makers: dict[str, Callable[[Path, Columns, str], Source]] = {
        "csv": Csv,
        "jsonl": JsonLines,
        "parquet": Parquet,
    }
    if form == "images":
        if not path.is_dir():
            raise _bad("data.uri", f"expected a folder of images; {shown or path} is none. {_ELSEWHERE}")
        return image_folder.ImageFolder(path, columns)
    if form not in makers:
        expected = ", ".join([*makers, "images"])
        raise _bad("data.format", f"expected one of {expected}; cannot tell from {shown or repr(uri)}")
    if not path.is_file():
        raise _bad("data.uri", f"expected a {form} file; there is none at {path}. {_ELSEWHERE}")
    return makers[form](path, columns, shown)


@dataclasses.dataclass(frozen=True, slots=True)
class Csv:
    """A CSV file with a header; `.tsv` is split at tabs. Every column is read as text."""

    path: Path
    columns: Columns
    shown: str = ""
    """What messages call it, where it is not the path."""
    kind = "csv"
    _malformed: list[int] = dataclasses.field(default_factory=list, compare=False)
    """Rows that the parser passed over, ascending; the numbers of those behind them move by them."""

    @property
    def name(self) -> str:
        """The path."""
        return self.shown or str(self.path)

    def size(self) -> Size:
        """Rows guessed from the length of the first lines."""
        return _text_size(self.path, headers=1)

    def where(self, row: int, item_id: str) -> str:
        """File and data row."""
        return f"{self.name}, row {csv_rows.number_of(row, self._malformed)}"

    def batches(self, found: findings.Findings) -> Iterator[Batch]:
        """Blocks of about 4 MB; quoted line breaks are allowed."""
        delimiter = "\t" if ".tsv" in self.path.suffixes else ","

        def bad_row(row: int, description: str) -> None:
            self._malformed.append(row)
            found.add("rows with another number of columns", f"{self.name}, row {row}", description)

        try:
            with _stream(self.path) as stream:
                header = csv_rows.header(stream, delimiter)
            names = source_columns.resolve(self.columns, header, self.name, found)
            if not names:
                return
            wanted = list(dict.fromkeys(names.values()))
            with _stream(self.path) as stream:
                reader = csv_rows.read(stream, header, delimiter=delimiter, wanted=wanted, bad_row=bad_row)
                yield from _numbered(self, reader, names, found)
        except csv_rows.UnreadableError as error:
            where = f"{self.name}, row {error.row}" if error.row else self.name
            found.add("unreadable files", where, error.description)
        except OSError as error:
            found.add("unreadable files", self.name, _broken(self.path, error))


@dataclasses.dataclass(frozen=True, slots=True)
class JsonLines:
    """One JSON object a line. Blank lines are passed over, and not counted."""

    path: Path
    columns: Columns
    shown: str = ""
    """What messages call it, where it is not the path."""
    kind = "jsonl"
    _malformed: list[int] = dataclasses.field(default_factory=list, compare=False)
    """Rows that are no JSON object, ascending; they are passed over."""

    @property
    def name(self) -> str:
        """The path."""
        return self.shown or str(self.path)

    def size(self) -> Size:
        """Rows guessed from the length of the first lines."""
        return _text_size(self.path, headers=0)

    def where(self, row: int, item_id: str) -> str:
        """File and row, blank lines not counted."""
        return f"{self.name}, row {csv_rows.number_of(row, self._malformed)}"

    def batches(self, found: findings.Findings) -> Iterator[Batch]:
        """Lines parsed one by one: a bad one is named, and costs no other."""
        keys: set[str] = set()
        rows: list[dict[str, Any]] = []
        names: Mapping[str, str] = {}
        first = number = 1
        # embeddings are objects of Python until their batch is made, some tens of bytes a number
        most = _EMBEDDING_ROWS if self.columns.embedding else source_types.BATCH_ROWS
        for line in self._lines(found):
            if not line.strip():
                continue
            parsed = self._parse(line, number + len(self._malformed), found)
            if parsed is None:
                continue
            rows.append(parsed)
            number += 1
            if len(rows) == most:
                keys.update(*rows[:100])
                names = names or source_columns.resolve(self.columns, sorted(keys), self.name, found)
                if not names:
                    return
                yield self._batch(rows, first, names, found)
                first, rows = number, []
        if rows:
            keys.update(*rows)
            names = names or source_columns.resolve(self.columns, sorted(keys), self.name, found)
            if names:
                yield self._batch(rows, first, names, found)

    def _lines(self, found: findings.Findings) -> Iterator[bytes]:
        try:
            with _stream(self.path) as stream:
                yield from io.BufferedReader(stream)
        except OSError as error:
            found.add("unreadable files", self.name, _broken(self.path, error))

    def _parse(self, line: bytes, number: int, found: findings.Findings) -> dict[str, Any] | None:
        """The object on a line; None, and a finding, where there is none."""
        try:
            value = json.loads(line)
            problem = "" if isinstance(value, dict) else f"got {type(value).__name__}"
        except ValueError as error:
            problem = str(error)
        if problem:
            self._malformed.append(number)
            where = f"{self.name}, row {number}"
            found.add("rows that are no JSON", where, f"expected a JSON object; {problem}")
            return None
        parsed: dict[str, Any] = value
        return parsed

    def _batch(
        self,
        rows: Sequence[Mapping[str, Any]],
        first: int,
        names: Mapping[str, str],
        found: findings.Findings,
    ) -> Batch:
        columns: dict[str, pa.Array] = {}
        for column, name in names.items():
            if column == "embedding":
                given = [row.get(name) for row in rows]
                columns[column] = source_columns.parse_embeddings(self, given, name, first, found)
                continue
            values = [self._text(row.get(name), first + i, name, found) for i, row in enumerate(rows)]
            columns[column] = pa.array(values, pa.string())
        if "image" in columns:
            columns["image"] = source_columns.read_images(self, columns["image"], first, found)
        return Batch(first_row=first, rows=pa.RecordBatch.from_pydict(columns))

    def _text(self, value: Any, row: int, name: str, found: findings.Findings) -> str | None:
        if value is None:
            return None
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                found.add("values of another type", self.where(row, ""), f"{name}: half a surrogate pair")
                return None
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        found.add(
            "values of another type",
            self.where(row, ""),
            f"column {name!r}: expected text; got {type(value).__name__}",
        )
        return None


@dataclasses.dataclass(frozen=True, slots=True)
class Parquet:
    """A Parquet file; an image column holds bytes, a struct with `bytes`, or paths."""

    path: Path
    columns: Columns
    shown: str = ""
    """What messages call it, where it is not the path."""
    kind = "parquet"

    @property
    def name(self) -> str:
        """The path."""
        return self.shown or str(self.path)

    def size(self) -> Size:
        """From the footer."""
        try:
            with pq.ParquetFile(self.path) as file:
                groups = range(file.metadata.num_row_groups)
                return Size(
                    rows=file.metadata.num_rows,
                    bytes=sum(file.metadata.row_group(i).total_byte_size for i in groups),
                )
        except (pa.ArrowException, OSError):
            return Size(rows=0, bytes=0)  # who reads the rows reports it

    def where(self, row: int, item_id: str) -> str:
        """File and row."""
        return f"{self.name}, row {row}"

    def batches(self, found: findings.Findings) -> Iterator[Batch]:
        """Row groups as they come, cut into batches."""
        try:
            with pq.ParquetFile(self.path) as file:
                names = source_columns.resolve(self.columns, file.schema_arrow.names, self.name, found)
                if not names:
                    return
                rows = source_types.BATCH_ROWS
                if ("image" in names or "embedding" in names) and file.metadata.num_rows:
                    size = self.size()
                    rows = max(1, min(rows, source_types.IMAGE_BATCH_BYTES * size.rows // max(size.bytes, 1)))
                reader = file.iter_batches(batch_size=rows, columns=list(dict.fromkeys(names.values())))
                yield from _numbered(self, reader, names, found)
        except (pa.ArrowException, OSError) as error:
            found.add("unreadable files", self.name, f"expected Parquet; {error}")


@dataclasses.dataclass(frozen=True, slots=True)
class Rows:
    """Rows in memory, as the samples are. Images are bytes."""

    data: Sequence[pa.RecordBatch]
    columns: Columns
    name: str = "sample"
    kind = "sample"

    def size(self) -> Size:
        """Counted."""
        return Size(rows=sum(b.num_rows for b in self.data), bytes=sum(b.nbytes for b in self.data))

    def where(self, row: int, item_id: str) -> str:
        """Name and row."""
        return f"{self.name}, row {row}"

    def batches(self, found: findings.Findings) -> Iterator[Batch]:
        """The batches as given."""
        if self.data:
            names = source_columns.resolve(self.columns, self.data[0].schema.names, self.name, found)
            if names:
                yield from _numbered(self, self.data, names, found)


def _numbered(
    source: Source, batches: Iterable[pa.RecordBatch], names: Mapping[str, str], found: findings.Findings
) -> Iterator[Batch]:
    first = 1
    for batch in batches:
        columns = {}
        for column, name in names.items():
            values = batch.column(batch.schema.get_field_index(name))
            columns[column] = source_columns.cast(source, column, values, name, first, found)
        yield Batch(first_row=first, rows=pa.RecordBatch.from_pydict(columns))
        first += batch.num_rows


def _stream(path: Path) -> Any:
    """Its bytes, unpacked."""
    return pa.input_stream(path, compression="detect")


def _broken(path: Path, error: OSError) -> str:
    """What to say of a file that cannot be read to its end."""
    if error.strerror:
        return f"cannot be read: {error.strerror}"
    return f"expected a whole {path.suffix} file; it is cut off or damaged ({error}): pack it again"


def _text_size(path: Path, *, headers: int) -> Size:
    """Rows of a text file from the mean length of its first lines."""
    size = path.stat().st_size
    try:
        with _stream(path) as stream:
            block = stream.read(_SAMPLE_BYTES)
    except OSError:
        return Size(rows=0, bytes=size)  # who reads the rows reports it
    if path.suffix in (".gz", ".bz2", ".zst"):
        size *= 3  # a guess: text shrinks to about a third
    lines = max(block.count(b"\n"), 1)
    rows = size * lines // max(len(block), 1) if size > len(block) else lines
    return Size(rows=max(rows - headers, 0), bytes=size)


def _path(uri: str) -> Path:
    scheme, separator, _ = uri.partition("://")
    if not separator:
        return Path(uri)
    if scheme != "file":
        raise _bad("data.uri", f"expected a path, file://… or s3://bucket/key; got {uri!r}")
    return Path(urllib.parse.unquote(urllib.parse.urlsplit(uri).path))


def _bad(field: str, description: str) -> errors.InvalidInputError:
    return errors.InvalidInputError.of([errors.Violation(field, description)])

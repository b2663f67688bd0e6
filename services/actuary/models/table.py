"""Labels at hand: a file that says what some model once answered, as a model.

The file is CSV, JSONL or Parquet with `item_id`, `label`, and optionally `confidence`, and class
probabilities as columns `p_<class>` or as one list column `probabilities` in the order of the classes. An
empty label is an abstention. An item that the file lacks is a failure of that item, with the reason.

Everything wrong in the file is named with its row, at once, before anything is labelled. Ids and labels are
text, however much they look like numbers.
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from actuary import errors
from actuary.models import options as model_options
from actuary.models import protocol
from actuary.storage import csv_rows

_SHOWN = 20
"""Violations that a message lists; the rest are counted."""
_LEAST_ROWS = 2
"""Fewer say nothing about the file as a whole."""
_TOLERANCE = 1e-3
"""How far probabilities may be from a sum of 1: files hold rounded numbers."""
_FORMATS: Final = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}


class TableModel:
    """Answers from a file."""

    def __init__(self, spec: protocol.ModelSpec, context: protocol.ModelContext) -> None:
        model_options.Options(spec).done()
        if not spec.uri:
            raise errors.InvalidInputError("model.uri: expected the file of labels, got none")
        with context.open(spec.uri) as file:
            rows = _Rows.read(spec.uri, file, context.classes)
        self._rows = rows
        self._name = spec.uri
        self._capabilities = protocol.Capabilities(
            model=f"table-1/{PurePosixPath(spec.uri).name}",
            inputs=frozenset({"text", "image", "question"}),
            probabilities=rows.probabilities is not None,
            max_batch=65_536,
        )

    @property
    def capabilities(self) -> protocol.Capabilities:
        """What it can do."""
        return self._capabilities

    async def score(self, prompts: Sequence[protocol.Prompt], options: Sequence[str]) -> protocol.ScoreBatch:
        """Looks the items up. The labels are paid for already, so no tokens are counted."""
        where = self._rows.position
        known = [p.item_id for p in prompts if p.item_id in where]
        at = np.fromiter((where[i] for i in known), np.int64, len(known))
        logs = None
        if self._rows.probabilities is not None:
            with np.errstate(divide="ignore"):
                logs = np.log(self._rows.probabilities[at])
        reason = f"{self._name} has no row for this item"
        return protocol.ScoreBatch(
            item_ids=known,
            label_index=self._rows.labels[at],
            log_probabilities=logs,
            confidence=self._rows.confidence[at],
            tokens_in=np.zeros(len(known), np.int64),
            tokens_out=np.zeros(len(known), np.int64),
            compute_seconds=np.zeros(len(known)),
            failures={p.item_id: reason for p in prompts if p.item_id not in where},
        )

    async def generate(
        self, prompts: Sequence[protocol.Prompt], limits: protocol.Limits
    ) -> protocol.GenerationBatch:
        """It writes nothing."""
        raise protocol.cannot_generate(self._capabilities)

    async def close(self) -> None:
        """Holds nothing but memory."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """The checked content of a file of N rows."""

    position: dict[str, int]
    """Row by item id, from 0."""
    labels: protocol.Longs
    confidence: protocol.Floats
    probabilities: protocol.Floats | None

    @classmethod
    def read(cls, name: str, file: BinaryIO, classes: tuple[str, ...]) -> _Rows:
        form = _FORMATS.get(PurePosixPath(name).suffix.lower(), "")
        if not form:
            raise errors.InvalidInputError(
                f"model.uri: expected a file that ends in {', '.join(_FORMATS)}; got {name!r}"
            )
        problems = _Problems(name)
        reader = _Checker(classes, problems)
        try:
            for first, batch in _numbered(_batches(form, file, problems)):
                reader.add(first, batch)
        except csv_rows.UnreadableError as error:
            problems.add(error.row or None, error.description)
        except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
            raise errors.InvalidInputError(f"{name}: not readable as {form}: {error}") from error
        reader.done()
        problems.done()
        if not reader.position:
            raise errors.InvalidInputError(f"{name}: expected at least one row, got none")
        return cls(
            position=reader.position,
            labels=np.concatenate(reader.labels),
            confidence=np.concatenate(reader.confidence),
            probabilities=np.concatenate(reader.probabilities) if reader.probabilities else None,
        )


class _Problems:
    """Collects what is wrong; rows with the same problem are named together."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.passed_over: list[int] = []
        """Rows that are none, by their numbers in the file; what else is wrong is told by the others."""
        self._rows: dict[str, list[int]] = {}
        """Rows by what is wrong with them; none where it is the file."""

    def __bool__(self) -> bool:
        return bool(self._rows)

    def add(self, row: int | None, description: str) -> None:
        """Adds a problem of a row, counted without those passed over, or of the whole file."""
        rows = self._rows.setdefault(description, [])
        if row is not None:
            rows.append(csv_rows.number_of(row, self.passed_over))

    def pass_over(self, number: int, description: str) -> None:
        """Adds a row that is none, by its number in the file."""
        self.passed_over.append(number)
        self._rows.setdefault(description, []).append(number)

    def done(self) -> None:
        """Raises one InvalidInputError that lists all, if there is any."""
        found = []
        for description, rows in list(self._rows.items())[:_SHOWN]:
            where = f"{self.name}, row {rows[0]}" if rows else self.name
            others = f" (and in {len(rows) - 1:,} further rows: {_some(rows[1:])})" if len(rows) > 1 else ""
            found.append(errors.Violation(where, description + others))
        more = len(self._rows) - len(found)
        if more:
            found.append(errors.Violation(self.name, f"and {more:,} more problems"))
        if found:
            raise errors.InvalidInputError.of(found, reason="LABELS_FILE")


def _some(rows: Sequence[int]) -> str:
    return ", ".join(map(str, rows[:5])) + (", …" if len(rows) > 5 else "")


class _Checker:
    """Reads batches into columns."""

    def __init__(self, classes: tuple[str, ...], problems: _Problems) -> None:
        self._classes = classes
        self._index = {name: i for i, name in enumerate(classes)}
        self._problems = problems
        self.position: dict[str, int] = {}
        self._rows = 0
        self.labels: list[protocol.Longs] = []
        self.confidence: list[protocol.Floats] = []
        self.probabilities: list[protocol.Floats] = []

    def add(self, first: int, batch: pa.RecordBatch | pa.Table) -> None:
        names = batch.schema.names
        missing = [name for name in ("item_id", "label") if name not in names]
        if missing:
            self._problems.add(None, f"no column {', '.join(missing)}; it has {', '.join(names)}")
            self._problems.done()
        self._ids(first, _texts(batch.column("item_id")))
        self.labels.append(self._labels(first, _texts(batch.column("label"))))
        self.confidence.append(self._confidence(first, batch))
        probabilities = self._probabilities(first, batch)
        if probabilities is not None:
            self.probabilities.append(probabilities)

    def done(self) -> None:
        """Checks what only all rows together show."""
        labels = np.concatenate([*self.labels, np.zeros(0, np.int64)])
        given = np.flatnonzero(labels >= 0)
        if self._problems or len(given) < _LEAST_ROWS:
            return
        if self.probabilities:
            values = np.concatenate(self.probabilities)[given]
            chosen = values[np.arange(len(given)), labels[given]]
            with np.errstate(invalid="ignore"):
                other = int((values.max(axis=1) > chosen + _TOLERANCE).sum())
            if 2 * other > len(given):
                self._problems.add(
                    None,
                    f"in {other:,} of {len(given):,} rows the label is not the most probable class: expected "
                    f"probabilities in the order of the task's classes, {', '.join(self._classes[:20])}",
                )
        elif len(np.unique(labels[given])) < 2 and np.isnan(np.concatenate(self.confidence)).all():
            self._problems.add(
                None,
                f"expected two classes at least, got {self._classes[labels[given[0]]]!r} in all "
                f"{len(given):,} rows, and nothing that tells one row from another: is it the right column? "
                "Add confidence or class probabilities if it is.",
            )

    def _ids(self, first: int, ids: list[str | None]) -> None:
        for row, item_id in enumerate(ids, first):
            if not item_id:
                self._problems.add(row, "expected an item_id, got nothing")
            elif item_id in self.position:
                before = self.position[item_id] + 1
                self._problems.add(row, f"item {item_id!r} is in row {before} already: one row an item")
            else:
                self.position[item_id] = self._rows + row - first
        self._rows += len(ids)

    def _labels(self, first: int, labels: list[str | None]) -> protocol.Longs:
        out = np.full(len(labels), -1, np.int64)
        for i, label in enumerate(labels):
            if not label:
                continue
            out[i] = self._index.get(label, -2)
            if out[i] == -2:
                hint = model_options.nearest(label, self._classes)
                classes = ", ".join(self._classes[:20])
                self._problems.add(first + i, f"label {label!r} is no class: expected {classes}{hint}")
        return out

    def _confidence(self, first: int, batch: pa.RecordBatch | pa.Table) -> protocol.Floats:
        if "confidence" not in batch.schema.names:
            return np.full(batch.num_rows, np.nan)
        values, given = self._numbers(first, batch.column("confidence"), "confidence")
        for i in np.flatnonzero(given & ~((values >= 0) & (values <= 1))):
            self._problems.add(first + int(i), f"confidence: expected a number in [0, 1], got {values[i]}")
        return values

    def _probabilities(self, first: int, batch: pa.RecordBatch | pa.Table) -> protocol.Floats | None:
        names = batch.schema.names
        columns = [f"p_{name}" for name in self._classes]
        if any(name in names for name in columns):
            missing = [name for name in columns if name not in names]
            if missing:
                self._problems.add(None, f"no column {', '.join(missing)}: every class needs one or none has")
                self._problems.done()
            read = [self._numbers(first, batch.column(name), name) for name in columns]
            values = np.stack([v for v, _ in read], axis=1)
            given = np.stack([g for _, g in read], axis=1).any(axis=1)
        elif "probabilities" in names:
            values, given = self._lists(first, batch.column("probabilities").to_pylist())
        else:
            return None
        with np.errstate(invalid="ignore"):
            bad = given & ~((values >= 0).all(axis=1) & np.isfinite(values).all(axis=1))
            off = given & ~bad & (np.abs(values.sum(axis=1) - 1) > _TOLERANCE)
        for i in np.flatnonzero(bad):
            shown = ", ".join(f"{v:g}" for v in values[i][:10])
            self._problems.add(first + int(i), f"probabilities: expected numbers in [0, 1], got {shown}")
        for i in np.flatnonzero(off):
            total = values[i].sum()
            self._problems.add(first + int(i), f"probabilities: expected a sum of 1, got {total:.6g}")
        values[~given] = np.nan
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(values / values.sum(axis=1, keepdims=True))

    def _lists(self, first: int, rows: list[Any]) -> tuple[protocol.Floats, Any]:
        k = len(self._classes)
        values = np.full((len(rows), k), np.nan)
        given = np.zeros(len(rows), bool)
        for i, row in enumerate(rows):
            if row is None or row == "":
                continue
            try:
                listed = np.array(json.loads(row) if isinstance(row, str) else row, dtype=np.float64)
                given[i] = listed.shape == (k,)
            except (ValueError, TypeError):
                pass
            if given[i]:
                values[i] = listed
            else:
                self._problems.add(first + i, f"probabilities: expected a list of {k} numbers, got {row!r}")
        return values, given

    def _numbers(self, first: int, column: Any, name: str) -> tuple[protocol.Floats, Any]:
        values = np.full(len(column), np.nan)
        given = np.zeros(len(column), bool)
        for i, value in enumerate(column.to_pylist()):
            if value is None or value == "":
                continue
            given[i] = True
            try:
                values[i] = float(value)
            except (ValueError, TypeError):
                self._problems.add(first + i, f"{name}: expected a number, got {value!r}")
                given[i] = False
        return values, given


def _texts(column: Any) -> list[str | None]:
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        column = column.cast(pa.string())
    return list(column.to_pylist())


def _numbered(batches: Iterator[Any]) -> Iterator[tuple[int, Any]]:
    first = 1
    for batch in batches:
        yield first, batch
        first += batch.num_rows


def _batches(form: str, file: BinaryIO, problems: _Problems) -> Iterator[Any]:
    if form == "parquet":
        yield from pq.ParquetFile(file).iter_batches()
    elif form == "jsonl":
        yield from _json_lines(file, problems)
    else:
        # every column as text: a reader that guesses types turns the id 007 into 7
        delimiter = "\t" if form == "tsv" else ","
        names = csv_rows.header(file, delimiter)
        file.seek(0)
        yield from csv_rows.read(file, names, delimiter=delimiter, wanted=names, bad_row=problems.pass_over)


def _json_lines(file: BinaryIO, problems: _Problems) -> Iterator[Any]:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(io.TextIOWrapper(file, encoding="utf-8-sig"), 1):
        if not line.strip():
            rows.append({})  # keeps rows and lines the same number; checked as a row without an id
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            problems.pass_over(number, f"expected a JSON object: {error}")
            continue
        if isinstance(row, dict):
            rows.append(row)
        else:
            problems.pass_over(number, f"expected a JSON object, got {line.strip()[:80]!r}")
    while rows and not rows[-1]:
        rows.pop()
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        if name in ("item_id", "label"):
            values = [v if v is None or isinstance(v, str) else json.dumps(v) for v in values]
            columns[name] = pa.array(values, pa.string())
        elif name == "probabilities":
            texts = [None if v is None else json.dumps(v) for v in values]
            columns[name] = pa.array(texts, pa.string())
        elif name == "confidence" or name.startswith("p_"):
            columns[name] = pa.array([None if v is None else str(v) for v in values], pa.string())
    if rows:
        yield pa.table(columns)

"""Tasks and answers as files, for reviewers who work in a spreadsheet or a tool of their own: CSV and JSONL.

A file of tasks has the columns `task`, `item_id`, `text`, `question`, `image`, `machine_label`, `label`,
`cannot_tell` and `seconds`; people fill in `label` or `cannot_tell` and give the file back. `image` is the
path of a file beside it. Ids and labels stay text whatever they look like.

It speaks the messages of the review service, as any other client of it would.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from actuary import errors
from actuary.review import policy
from actuary.v1 import review_service_pb2

COLUMNS = ("task", "item_id", "text", "question", "image", "machine_label", "label", "cannot_tell", "seconds")
MOST_SECONDS = 86_400.0
_DELIMITERS = ",;\t"
"""A spreadsheet writes the one of its country."""
_YES = frozenset({"1", "true", "yes", "x"})
_NO = frozenset({"", "0", "false", "no"})
_ENDINGS = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif", b"RIFF": ".webp"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A row of a file of tasks that comes back."""

    row: int
    """Its number from 1, the header and blank lines not counted."""
    task: str
    reviewer: str
    """Of its column `reviewer`; empty for whoever hands the file in."""
    answer: review_service_pb2.Answer | None
    """None where nobody has answered."""


def check_target(path: Path) -> None:
    """Makes sure that a file of tasks can be written, before anybody takes tasks for it.

    Raises:
        InvalidInputError: another ending, or no file can be made there.
        AlreadyExistsError: the file is there: somebody's answers may be in it.
    """
    _format(path)
    if path.exists():
        raise errors.AlreadyExistsError(f"{path} exists, perhaps with answers in it: name another file")
    beside = _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.touch()
        beside.unlink()
    except OSError as error:
        raise errors.InvalidInputError(f"{path}: cannot be written: {error.strerror}") from error


def write_tasks(tasks: Iterable[review_service_pb2.ReviewTask], path: Path) -> None:
    """Writes a file of tasks, `.csv` or `.jsonl`, whole or not at all; its images go into a folder beside it.

    Raises:
        ExhaustedError: there is no room, or the file cannot be written any more.
    """
    form, beside = _format(path), _beside(path)
    try:
        with beside.open("x", encoding="utf-8", newline="") as stream:
            table = csv.DictWriter(stream, COLUMNS) if form == "csv" else None
            if table is not None:
                table.writeheader()
            for task in tasks:
                values = _values(task, path)
                if table is not None:
                    table.writerow(values)
                else:
                    stream.write(json.dumps(values, ensure_ascii=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise errors.ExhaustedError(f"{path}: cannot be written: {error.strerror}") from error


def read(path: Path, classes: Sequence[str]) -> list[Filled]:
    """Reads a file of tasks that people have filled in.

    Raises:
        InvalidInputError: the file or some of its rows are wrong; all of them are named at once.
    """
    violations: list[errors.Violation] = []
    filled: list[Filled] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:  # spreadsheets write a byte order mark
            rows = _csv_rows(path, stream) if _format(path) == "csv" else _jsonl_rows(stream)
            for number, values in rows:
                problem = values if isinstance(values, str) else _problem(values, classes)
                if problem or isinstance(values, str):
                    violations.append(errors.Violation(f"{path}, row {number}", str(problem)))
                else:
                    filled.append(_filled(number, values, classes))
    except UnicodeDecodeError as error:
        message = f"{path}: expected UTF-8, got byte {error.object[error.start]:#04x}: save it as UTF-8"
        raise errors.InvalidInputError(message) from error
    except csv.Error as error:
        raise errors.InvalidInputError(f"{path}: expected CSV: {error}") from error
    except OSError as error:
        raise errors.InvalidInputError(f"{path}: cannot be read: {error.strerror}") from error
    if violations:
        raise errors.InvalidInputError.of(violations)
    if not filled:
        raise errors.InvalidInputError(f"{path}: expected rows of tasks, got none")
    return filled


def _problem(values: dict[str, str], classes: Sequence[str]) -> str:
    """What is wrong with a row; empty when nothing is."""
    cannot = values.get("cannot_tell", "").strip().lower()
    label = _label(values, classes)
    if not values.get("task", "").strip():
        return "task: expected the name of a task as it was exported, got nothing"
    if cannot not in _YES | _NO:
        return f"cannot_tell: expected yes or nothing, got {cannot!r}"
    if label and cannot in _YES:
        return f"expected a label or cannot_tell, got both (label {label!r}): empty one of them"
    wrong = policy.check_label(label or None, classes)
    if wrong is not None:
        return wrong.message
    if not 0 <= _seconds(values) <= MOST_SECONDS:
        return f"seconds: expected a number in [0, {MOST_SECONDS:.0f}], got {values['seconds']!r}"
    return ""


def _filled(number: int, values: dict[str, str], classes: Sequence[str]) -> Filled:
    task, label = values["task"].strip(), _label(values, classes)
    cannot_tell = values.get("cannot_tell", "").strip().lower() in _YES
    answer = None
    if label or cannot_tell:
        answer = review_service_pb2.Answer(
            task=task, label=label, cannot_tell=cannot_tell, seconds=_seconds(values)
        )
    return Filled(row=number, task=task, reviewer=values.get("reviewer", "").strip(), answer=answer)


def _label(values: dict[str, str], classes: Sequence[str]) -> str:
    label = values.get("label", "")
    return label if label in classes else label.strip()


def _seconds(values: dict[str, str]) -> float:
    try:
        return float(values.get("seconds", "").strip() or 0)
    except ValueError:
        return math.nan


def _csv_rows(path: Path, stream: TextIO) -> Iterator[tuple[int, dict[str, str] | str]]:
    header = stream.readline()
    delimiter = max(_DELIMITERS, key=header.count)
    names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter, strict=True), [])]
    lacking = [name for name in ("task", "label") if name not in names]
    if lacking:
        raise errors.InvalidInputError(
            f"{path}: expected the columns task and label; {', '.join(lacking)} is missing (there are "
            f"{', '.join(names) or 'none'})"
        )
    rows = (row for row in csv.reader(stream, delimiter=delimiter, strict=True) if row)
    for number, row in enumerate(rows, start=1):
        if len(row) == len(names):
            yield number, dict(zip(names, row, strict=True))
        else:
            yield (
                number,
                f"expected {len(names)} columns, got {len(row)}: quote a field that holds {delimiter!r}",
            )


def _jsonl_rows(stream: TextIO) -> Iterator[tuple[int, dict[str, str] | str]]:
    for number, text in enumerate((line for line in stream if line.strip()), start=1):
        try:
            document = json.loads(text)
        except ValueError as error:
            yield number, f"expected a JSON object: {error}"
            continue
        if not isinstance(document, dict) or not {"task", "label"} <= set(document):
            yield number, "expected a JSON object with the keys task and label"
            continue
        yield number, {name: "" if value is None else str(value) for name, value in document.items()}


def _values(task: review_service_pb2.ReviewTask, path: Path) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys(COLUMNS, "")
    values.update(
        task=task.name,
        item_id=task.item_id,
        text=task.text,
        question=task.question,
        machine_label=task.machine_label,
    )
    if task.image:
        folder = path.with_suffix(".images")
        folder.mkdir(exist_ok=True)
        ending = next((e for magic, e in _ENDINGS.items() if task.image.startswith(magic)), ".img")
        file = folder / f"{task.name.rpartition('/')[2]}{ending}"
        file.write_bytes(task.image)
        values["image"] = f"{folder.name}/{file.name}"
    return values


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def _format(path: Path) -> str:
    ending = path.suffix.lower().removeprefix(".")
    if ending not in ("csv", "jsonl"):
        raise errors.InvalidInputError(f"{path}: expected a name that ends in .csv or .jsonl")
    return ending

"""Tasks and answers as files, for reviewers who work in a spreadsheet or a tool of their own: CSV and JSONL.

A file of tasks has the columns `task`, `item_id`, `text`, `question`, `image`, `machine_label`, `label` and
`cannot_tell`; people fill in the last two and give the file back. `image` is the path of a file beside it.
Ids and labels stay text whatever they look like.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from actuary import errors
from actuary.review import desk as desks
from actuary.review import policy, submission

COLUMNS = ("task", "item_id", "text", "question", "image", "machine_label", "label", "cannot_tell", "seconds")
FORMATS = ("csv", "jsonl")
_YES = frozenset({"1", "true", "yes", "x"})
_NO = frozenset({"", "0", "false", "no"})
_ENDINGS = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif", b"RIFF": ".webp"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a file of tasks."""

    task: str
    item_id: str
    text: str | None = None
    question: str | None = None
    image: bytes | None = None
    machine_label: str | None = None


def rows_of(tasks: Iterable[desks.Task]) -> Iterator[Row]:
    """The lines for tasks that were acquired with their contents."""
    for task in tasks:
        shown = task.content
        yield Row(
            task=task.id,
            item_id=task.item_id,
            text=shown.text if shown else None,
            question=shown.question if shown else None,
            image=shown.image if shown else None,
            machine_label=task.machine_label,
        )


def write_tasks(rows: Iterable[Row], path: Path) -> int:
    """Writes a file of tasks, `.csv` or `.jsonl`, and its images beside it; how many tasks there were."""
    _format(path)
    images = path.with_name(f"{path.stem}-images")
    count = 0
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, COLUMNS) if _format(path) == "csv" else None
        if table is not None:
            table.writeheader()
        for row in rows:
            values: dict[str, Any] = dict.fromkeys(COLUMNS, "")
            values.update(
                task=row.task, item_id=row.item_id, text=row.text or "", question=row.question or ""
            )
            values["machine_label"] = row.machine_label or ""
            if row.image is not None:
                images.mkdir(exist_ok=True)
                ending = next((e for magic, e in _ENDINGS.items() if row.image.startswith(magic)), ".bin")
                (images / f"{row.task.rpartition('/')[2]}{ending}").write_bytes(row.image)
                values["image"] = f"{images.name}/{row.task.rpartition('/')[2]}{ending}"
            if table is not None:
                table.writerow(values)
            else:
                stream.write(json.dumps(values, ensure_ascii=False) + "\n")
            count += 1
    return count


def read_answers(path: Path, classes: Sequence[str]) -> tuple[submission.Answer, ...]:
    """Reads the answers of a file of tasks; lines without a label and without `cannot_tell` are left out.

    Raises:
        InvalidInputError: The file or some of its lines are wrong; all lines are named at once.
    """
    violations: list[errors.Violation] = []
    answers: list[submission.Answer] = []
    reader = _read_csv if _format(path) == "csv" else _read_jsonl
    for line, values in reader(path):
        where = f"{path.name}:{line}"
        if isinstance(values, str):
            violations.append(errors.Violation(where, values))
            continue
        problem, answer = _answer(values, classes)
        if problem:
            violations.append(errors.Violation(where, problem))
        elif answer is not None:
            answers.append(answer)
    if violations:
        raise errors.InvalidInputError.of(violations)
    return tuple(answers)


def _answer(values: dict[str, str], classes: Sequence[str]) -> tuple[str, submission.Answer | None]:
    task, label = values.get("task", "").strip(), values.get("label", "")
    cannot = values.get("cannot_tell", "").strip().lower()
    label = label if label in classes else label.strip()
    if cannot not in _YES | _NO:
        return f"cannot_tell: expected yes or nothing, got {cannot!r}", None
    if not task:
        return "task: expected the id of a task, got nothing", None
    if not label and cannot in _NO:
        return "", None
    if label and cannot in _YES:
        return f"expected a label or cannot_tell, got both (label {label!r})", None
    wrong = policy.check_label(label or None, classes)
    if wrong is not None:
        return wrong.message, None
    try:
        seconds = float(values.get("seconds") or 0)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= 86400:
        return f"seconds: expected [0, 86400], got {values.get('seconds')!r}", None
    return "", submission.Answer(task=task, label=label or None, seconds=seconds)


def _read_csv(path: Path) -> Iterator[tuple[int, dict[str, str] | str]]:
    with _open(path) as stream:
        try:
            table = csv.DictReader(stream, strict=True)
            _check_columns(path, table.fieldnames or ())
            for values in table:
                if None in values or None in values.values():
                    yield (
                        table.line_num,
                        f"expected {len(table.fieldnames or ())} columns, got another number",
                    )
                else:
                    yield table.line_num, values
        except (csv.Error, UnicodeDecodeError) as error:
            raise errors.InvalidInputError(f"{path}: expected CSV in UTF-8: {error}") from error


def _read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, str] | str]]:
    with _open(path) as stream:
        try:
            for line, text in enumerate(stream, start=1):
                if not text.strip():
                    continue
                try:
                    document = json.loads(text)
                except ValueError as error:
                    yield line, f"expected a JSON object: {error}"
                    continue
                if not isinstance(document, dict) or not {"task", "label"} <= set(document):
                    yield line, "expected a JSON object with the keys task and label"
                    continue
                yield line, {name: _as_text(value) for name, value in document.items()}
        except UnicodeDecodeError as error:
            raise errors.InvalidInputError(f"{path}: expected JSONL in UTF-8: {error}") from error


def _as_text(value: Any) -> str:
    return "" if value is None else str(value)


def _open(path: Path) -> Any:
    try:
        return path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise errors.InvalidInputError(f"{path}: cannot be read: {error.strerror}") from error


def _check_columns(path: Path, names: Sequence[str]) -> None:
    lacking = [name for name in ("task", "label") if name not in names]
    if lacking:
        raise errors.InvalidInputError(
            f"{path}: expected the columns task and label; {', '.join(lacking)} is missing (there are "
            f"{', '.join(names) or 'none'})"
        )


def _format(path: Path) -> str:
    ending = path.suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise errors.InvalidInputError(f"{path}: expected a file that ends in .csv or .jsonl")
    return ending

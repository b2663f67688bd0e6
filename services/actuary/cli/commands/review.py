"""`actuary review`: answering tasks in the terminal or through files, all of it through ReviewService."""

from __future__ import annotations

import csv
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import grpc
import typer

from actuary import client as clients
from actuary import errors, names
from actuary.cli import session
from actuary.cli.console import words
from actuary.rpc import channels
from actuary.v1 import campaign_pb2, job_pb2, review_batch_pb2, review_service_pb2

Request = TypeVar("Request")
Response = TypeVar("Response")

ENDINGS = (".csv", ".jsonl")
_MOST_TASKS = 1000
"""Tasks that one person holds at most, and answers of one call."""
COLUMNS = ("task", "item_id", "text", "question", "image", "machine_label", "label", "cannot_tell", "seconds")


def open_batch(client: clients.Client, campaign: str) -> review_batch_pb2.ReviewBatch:
    """Returns the batch of a campaign that takes answers now.

    Raises:
        errors.PreconditionError: none does; says what the campaign is doing.
    """
    parent = clients.full_name(campaign)
    request = review_service_pb2.ListReviewBatchesRequest(parent=parent, page_size=1000)
    batches = _call(client.reviews.ListReviewBatches, request).review_batches
    running = [b for b in batches if b.status.state == job_pb2.JOB_STATE_RUNNING]
    if not running:
        now = client.get(campaign)
        if now.state in (campaign_pb2.Campaign.CREATED, campaign_pb2.Campaign.RUNNING):
            then = f"it is at stage {now.stage!r}, and asks when it needs people (actuary watch {campaign})"
        else:
            then = f"it is {words.state(now)}"
        raise errors.PreconditionError(f"{parent} has no open tasks now: {then}")
    return running[-1]


def loop(campaign: str, reviewer: str, *, data: Path, server: str) -> None:
    """Shows one task after another until the batch is done or the person quits."""
    from actuary.cli.console import review as console

    with session.connect(data, server) as client:
        batch = open_batch(client, campaign)
        console.loop(
            acquire=lambda: _call(
                client.reviews.AcquireTasks,
                review_service_pb2.AcquireTasksRequest(name=batch.name, reviewer=reviewer, max_tasks=1),
            ),
            submit=lambda answer: _submit(client, batch.name, reviewer, [answer])[0],
            release=lambda: _call(
                client.reviews.ReleaseTasks,
                review_service_pb2.ReleaseTasksRequest(name=batch.name, reviewer=reviewer),
            ),
            clock=time.monotonic,
        )


def export(campaign: str, path: Path, reviewer: str, limit: int, *, data: Path, server: str) -> None:
    """Takes tasks and writes them with an empty label; images go into a folder beside the file.

    Raises:
        errors.AlreadyExistsError: the file is there: somebody's answers may be in it.
    """
    if path.suffix not in ENDINGS:
        raise errors.InvalidInputError(f"{path}: expected a name that ends in {' or '.join(ENDINGS)}")
    if path.exists():
        raise errors.AlreadyExistsError(f"{path} exists, perhaps with answers in it: name another file")
    with session.connect(data, server) as client:
        batch = open_batch(client, campaign)
        tasks, answer = _take(client, batch.name, reviewer, limit)
        classes = ", ".join(c.name for c in answer.task.classes)
        if not tasks:
            others = "nothing is left to do" if answer.done else "others hold what is left; try again later"
            typer.echo(f"no task for {reviewer}: {others}")
            return
        _write(path, [_row(task, path) for task in tasks])
    at = session.options(data, server)
    command = f"actuary review import {campaign} {shlex.quote(str(path))} --as {shlex.quote(reviewer)}"
    typer.echo(f"wrote {len(tasks)} tasks to {path}; fill in the column label ({classes}),")
    typer.echo(f"or true in cannot_tell, then: {command}{' ' + at if at else ''}")


def import_(campaign: str, path: Path, reviewer: str, *, data: Path, server: str) -> None:
    """Submits the rows that have an answer; says of each refused row why."""
    answers: dict[tuple[str, str], list[tuple[int, review_service_pb2.Answer]]] = {}
    listed: set[str] = set()
    empty = 0
    for number, row in enumerate(_read(path), start=1):
        listed.add(str(row.get("task") or ""))
        found = _answer(path, number, row)
        if found is None:
            empty += 1
            continue
        batch = _batch_of(found.task, campaign, f"{path}, row {number}")
        answers.setdefault((str(row.get("reviewer") or reviewer), batch), []).append((number, found))
    accepted, refused = 0, []
    with session.connect(data, server) as client:
        for (person, batch), rows in answers.items():
            for start in range(0, len(rows), _MOST_TASKS):
                part = rows[start : start + _MOST_TASKS]
                for number, result in _hand_in(client, batch, person, part, listed):
                    if result.accepted:
                        accepted += 1
                    else:
                        refused.append(f"{path}, row {number}: {result.reason}")
    unanswered = f", {empty} rows without an answer" if empty else ""
    typer.echo(f"{accepted} answers accepted, {len(refused)} refused{unanswered}")
    for line in refused:
        typer.echo(line, err=True)
    if refused:
        sys.exit(1)


def _answer(path: Path, number: int, row: dict[str, Any]) -> review_service_pb2.Answer | None:
    """Reads a row; None where nobody has answered it."""
    label = row.get("label")
    label = "" if label is None else str(label)
    cannot_tell = str(row.get("cannot_tell") or "").strip().lower() in ("true", "1", "yes")
    if not label and not cannot_tell:
        return None
    where = f"{path}, row {number}"
    if label and cannot_tell:
        raise errors.InvalidInputError(
            f"{where}: expected a label or cannot_tell, got both; empty one of them"
        )
    if not row.get("task"):
        raise errors.InvalidInputError(f"{where}: expected the column task as it was exported")
    try:
        seconds = float(row.get("seconds") or 0)
    except ValueError as error:
        message = f"{where}: seconds: expected a number, got {row.get('seconds')!r}"
        raise errors.InvalidInputError(message) from error
    return review_service_pb2.Answer(
        task=str(row["task"]), label=label, cannot_tell=cannot_tell, seconds=seconds
    )


def _batch_of(task: str, campaign: str, where: str) -> str:
    """Returns the batch of a task, which has to be one of this campaign."""
    try:
        batch = names.parse_task(task)[0]
    except errors.InvalidInputError as error:
        raise errors.InvalidInputError(f"{where}: task: {error.message}") from error
    if not batch.startswith(f"{clients.full_name(campaign)}/"):
        raise errors.InvalidInputError(f"{where}: task {task} is none of {clients.full_name(campaign)}")
    return batch


def _take(
    client: clients.Client, batch: str, reviewer: str, limit: int
) -> tuple[list[review_service_pb2.ReviewTask], review_service_pb2.AcquireTasksResponse]:
    """Takes tasks, those that the reviewer holds already first; also returns the last answer."""
    request = review_service_pb2.AcquireTasksRequest(
        name=batch, reviewer=reviewer, max_tasks=min(_MOST_TASKS, limit)
    )
    answer = _call(client.reviews.AcquireTasks, request)
    return list(answer.tasks), answer


def _hand_in(
    client: clients.Client,
    batch: str,
    reviewer: str,
    rows: list[tuple[int, review_service_pb2.Answer]],
    listed: set[str],
) -> list[tuple[int, review_service_pb2.AnswerResult]]:
    """Submits answers; what is refused is taken again, where it is still free, and submitted once more.

    A lease is made for somebody at the screen, and who fills in a file takes longer.

    Args:
        client: of the server.
        batch: name of the batch.
        reviewer: who answered.
        rows: at most 1,000 answers with their row numbers.
        listed: names of all tasks of the file; what is taken besides them is given back.
    """
    results = _submit(client, batch, reviewer, [answer for _, answer in rows])
    again = [k for k, result in enumerate(results) if not result.accepted]
    if again:
        taken, _ = _take(client, batch, reviewer, len(listed))
        later = _submit(client, batch, reviewer, [rows[k][1] for k in again])
        for k, result in zip(again, later, strict=True):
            results[k] = result
        others = [task.name for task in taken if task.name not in listed]
        if others:
            release = review_service_pb2.ReleaseTasksRequest(name=batch, reviewer=reviewer, tasks=others)
            _call(client.reviews.ReleaseTasks, release)
    return [(number, result) for (number, _), result in zip(rows, results, strict=True)]


def close(campaign: str, *, data: Path, server: str) -> None:
    """Ends the open batch early."""
    with session.connect(data, server) as client:
        batch = open_batch(client, campaign)
        request = review_service_pb2.CloseReviewBatchRequest(name=batch.name)
        closed = _call(client.reviews.CloseReviewBatch, request)
    typer.echo(f"{closed.name} closed after {closed.label_count} labels")


def _submit(
    client: clients.Client, batch: str, reviewer: str, answers: list[review_service_pb2.Answer]
) -> list[review_service_pb2.AnswerResult]:
    request = review_service_pb2.SubmitAnswersRequest(name=batch, reviewer=reviewer, answers=answers)
    return list(_call(client.reviews.SubmitAnswers, request).results)


def _row(task: review_service_pb2.ReviewTask, path: Path) -> dict[str, str]:
    image = ""
    if task.image:
        folder = path.with_suffix(".images")
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{task.name.rsplit('/', 1)[1]}.{_ending(task.image)}"
        file.write_bytes(task.image)
        image = str(file.relative_to(path.parent))
    return {
        "task": task.name,
        "item_id": task.item_id,
        "text": task.text,
        "question": task.question,
        "image": image,
        "machine_label": task.machine_label,
        "label": "",
        "cannot_tell": "",
        "seconds": "",
    }


def _ending(image: bytes) -> str:
    endings = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpg", b"GIF8": "gif", b"RIFF": "webp"}
    return next((ending for start, ending in endings.items() if image.startswith(start)), "img")


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        if path.suffix == ".jsonl":
            stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        elif path.suffix == ".csv":
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        else:
            raise errors.InvalidInputError(f"{path}: expected a name that ends in .csv or .jsonl")


def _read(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:  # spreadsheets write a byte order mark
            if path.suffix == ".jsonl":
                for number, line in enumerate(stream, start=1):
                    if line.strip():
                        try:
                            yield json.loads(line)
                        except ValueError as error:
                            raise errors.InvalidInputError(
                                f"{path}, line {number}: no JSON: {error}"
                            ) from error
            elif path.suffix == ".csv":
                yield from csv.DictReader(stream)
            else:
                raise errors.InvalidInputError(f"{path}: expected a name that ends in .csv or .jsonl")
    except UnicodeDecodeError as error:
        message = f"{path}: expected UTF-8, got byte {error.object[error.start]:#04x}: save it as UTF-8"
        raise errors.InvalidInputError(message) from error
    except OSError as error:
        raise errors.InvalidInputError(f"{path}: {error.strerror}") from error


def _call(method: Callable[[Request], Response], request: Request) -> Response:
    try:
        return method(request)
    except grpc.RpcError as error:
        raise channels.errors_from(error) from error

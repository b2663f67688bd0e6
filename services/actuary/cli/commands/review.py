"""`actuary review`: answering tasks in the terminal or through files, all of it through ReviewService."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import grpc
import typer

from actuary import client as clients
from actuary import errors, names
from actuary.cli import session
from actuary.cli.commands import campaigns
from actuary.cli.console import words
from actuary.review import files
from actuary.rpc import channels
from actuary.v1 import campaign_pb2, job_pb2, review_batch_pb2, review_service_pb2

Request = TypeVar("Request")
Response = TypeVar("Response")

_MOST_TASKS = 1000
"""Tasks that one person holds at most, and answers of one call."""


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
    files.check_target(path)
    with session.connect(data, server) as client:
        batch = open_batch(client, campaign)
        answer = _take(client, batch.name, reviewer, limit)
        if not answer.tasks:
            typer.echo(f"no task for {reviewer}: {words.nothing_left(answer)}")
            return
        try:
            files.write_tasks(answer.tasks, path)
        except BaseException:
            _give_back(client, batch.name, reviewer, [task.name for task in answer.tasks])
            raise
    classes = ", ".join(c.name for c in answer.task.classes)
    at = session.options(data, server)
    command = f"actuary review import {campaign} {shlex.quote(str(path))} --as {shlex.quote(reviewer)}"
    typer.echo(f"wrote {len(answer.tasks)} tasks to {path}; fill in the column label ({classes}),")
    typer.echo(f"or true in cannot_tell, then: {command}{' ' + at if at else ''}")


def import_(campaign: str, path: Path, reviewer: str, *, data: Path, server: str) -> None:
    """Submits the rows that have an answer; says of each refused row why."""
    accepted, refused = 0, []
    served = session.served(data, server)
    with session.connect(data, server) as client:
        classes = [each.name for each in client.get(campaign).task.classes]
        filled = files.read(path, classes)
        for (person, batch), rows in _by_batch(filled, campaign, path, reviewer).items():
            for start in range(0, len(rows), _MOST_TASKS):
                for number, result in _hand_in(client, batch, person, rows[start : start + _MOST_TASKS]):
                    if result.accepted:
                        accepted += 1
                    else:
                        refused.append(f"{path}, row {number}: {result.reason}")
        now = client.get(campaign)
    empty = sum(row.answer is None for row in filled)
    unanswered = f", {empty} rows without an answer" if empty else ""
    typer.echo(f"{accepted} answers accepted, {len(refused)} refused{unanswered}")
    for line in refused:
        typer.echo(line, err=True)
    if now.state == campaign_pb2.Campaign.WAITING_FOR_PEOPLE:
        campaigns.said(now)
    campaigns.next_steps(now, served=served, at=session.options(data, server))
    if refused:
        sys.exit(1)


def _by_batch(
    filled: list[files.Filled], campaign: str, path: Path, reviewer: str
) -> dict[tuple[str, str], list[tuple[int, review_service_pb2.Answer]]]:
    """The answers with their rows, by who gave them and the batch that asked."""
    found: dict[tuple[str, str], list[tuple[int, review_service_pb2.Answer]]] = {}
    for row in filled:
        if row.answer is not None:
            batch = _batch_of(row.task, campaign, f"{path}, row {row.row}")
            found.setdefault((row.reviewer or reviewer, batch), []).append((row.row, row.answer))
    return found


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
    client: clients.Client, batch: str, reviewer: str, limit: int, tasks: Sequence[str] = ()
) -> review_service_pb2.AcquireTasksResponse:
    """Takes tasks, those that the reviewer holds already first, or those that are named."""
    request = review_service_pb2.AcquireTasksRequest(
        name=batch, reviewer=reviewer, max_tasks=min(_MOST_TASKS, limit), tasks=tasks
    )
    return _call(client.reviews.AcquireTasks, request)


def _give_back(client: clients.Client, batch: str, reviewer: str, tasks: Sequence[str]) -> None:
    request = review_service_pb2.ReleaseTasksRequest(name=batch, reviewer=reviewer, tasks=tasks)
    _call(client.reviews.ReleaseTasks, request)


def _hand_in(
    client: clients.Client, batch: str, reviewer: str, rows: list[tuple[int, review_service_pb2.Answer]]
) -> list[tuple[int, review_service_pb2.AnswerResult]]:
    """Submits answers; what is refused is taken again, where it is still free, and submitted once more.

    A lease is made for somebody at the screen, and who fills in a file takes longer.

    Args:
        client: of the server.
        batch: name of the batch.
        reviewer: who answered.
        rows: at most 1,000 answers with their row numbers.
    """
    results = _submit(client, batch, reviewer, [answer for _, answer in rows])
    again = [k for k, result in enumerate(results) if not result.accepted]
    if again:
        answers = [rows[k][1] for k in again]
        names_again = [answer.task for answer in answers]
        taken = _take(client, batch, reviewer, len(again), names_again)
        try:
            for k, result in zip(again, _submit(client, batch, reviewer, answers), strict=True):
                results[k] = result
        finally:
            if taken.tasks:  # those that were answered are given back already
                _give_back(client, batch, reviewer, [task.name for task in taken.tasks])
    return [(number, result) for (number, _), result in zip(rows, results, strict=True)]


def close(campaign: str, *, data: Path, server: str) -> None:
    """Ends the open batch early."""
    served = session.served(data, server)
    with session.connect(data, server) as client:
        batch = open_batch(client, campaign)
        request = review_service_pb2.CloseReviewBatchRequest(name=batch.name)
        closed = _call(client.reviews.CloseReviewBatch, request)
        now = client.get(campaign)
    typer.echo(f"{closed.name} closed after {closed.label_count} labels")
    if not served:
        campaigns.next_steps(now, served=False, at=session.options(data, server))


def _submit(
    client: clients.Client, batch: str, reviewer: str, answers: list[review_service_pb2.Answer]
) -> list[review_service_pb2.AnswerResult]:
    request = review_service_pb2.SubmitAnswersRequest(name=batch, reviewer=reviewer, answers=answers)
    return list(_call(client.reviews.SubmitAnswers, request).results)


def _call(method: Callable[[Request], Response], request: Request) -> Response:
    try:
        return method(request)
    except grpc.RpcError as error:
        raise channels.errors_from(error) from error

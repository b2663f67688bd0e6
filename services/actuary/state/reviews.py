"""The rows of review batches: tasks, who holds them, and what was answered.

Everything that changes a batch happens in a `Session`: one transaction that has locked the batch's row, so
that two reviewers who ask at the same moment are served one after the other. What is served to whom, and
when an item has answers enough, is decided by whoever uses the session (the review service's policy), not
here.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from actuary import errors
from actuary.state import clock as clocks
from actuary.state import database, figures, pages, tables

T = TypeVar("T")

BROKEN = frozenset({"FAILED", "CANCELLED"})
"""States of a batch that resolved nothing; it may be taken up again."""
FINAL = frozenset({"SUCCEEDED"}) | BROKEN
"""States in which nothing goes on by itself."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """One review batch and its counters."""

    name: str
    campaign: str
    spec: dict[str, Any]
    spec_digest: str
    request_id: str = ""
    state: str = "RUNNING"
    stop: str = ""
    """`close` or `cancel` once somebody has asked for it: nobody gets or answers tasks any more."""
    error: dict[str, Any] | None = None
    artifact: str = ""
    label_cap: int
    item_count: int
    next_position: int = 0
    """Items before this position, in serving order, have a task."""
    label_count: int = 0
    """Paid answers: each person's first on an item."""
    answered_count: int = 0
    """Items with an answer."""
    sequence: int = 0
    """Of the last answer; they count from 1."""
    flushed: int = 0
    """Sequence of the last answer that is in a segment."""
    create_time: datetime.datetime | None = None
    end_time: datetime.datetime | None = None

    @property
    def running(self) -> bool:
        """Whether it hands out tasks and takes answers."""
        return self.state == "RUNNING" and not self.stop


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """One item that was put before people."""

    batch: str
    position: int
    item_id: str
    answers: int = 0
    missing: int
    """Further answers that are wanted, those of present holders included."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HoldRow:
    """Somebody is at work on a task."""

    batch: str
    position: int
    reviewer: str
    end_time: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRow:
    """One answer; never changed but for `current`."""

    batch: str
    sequence: int
    position: int
    item_id: str
    reviewer: str
    label: str | None
    """None: cannot tell."""
    seconds: float
    blind: bool
    arrived: datetime.datetime
    supersedes: int | None = None
    current: bool = True


class Reviews:
    """All review batches of a database."""

    def __init__(self, db: database.Database, clock: clocks.Clock = clocks.utc_now) -> None:
        self._db = db
        self._clock = clock

    def create(self, record: BatchRecord) -> BatchRecord:
        """Writes a new batch; the same name with the same spec returns what is there.

        Raises:
            AlreadyExistsError: The name is taken by a batch with another spec.
        """
        record = dataclasses.replace(record, create_time=self._clock())

        def body(connection: sa.Connection) -> BatchRecord:
            if database.insert_if_absent(connection, tables.review_batches, dataclasses.asdict(record)):
                return record
            there = _read(connection, record.name, lock=False)
            if there.spec_digest != record.spec_digest:
                raise errors.AlreadyExistsError(
                    f"{record.name} exists with another spec: choose another name, or send the same spec",
                    metadata={"name": record.name},
                )
            return there

        return self._db.write(body)

    def get(self, name: str) -> BatchRecord:
        """Reads one batch, or raises NotFoundError."""
        with self._db.read() as connection:
            return _read(connection, name, lock=False)

    def list(
        self, campaign: str, page_size: int = 0, page_token: str = ""
    ) -> tuple[tuple[BatchRecord, ...], str]:
        """A page of a campaign's batches, oldest first, and the token of the next page."""
        size = pages.size_of(page_size)
        table = tables.review_batches
        query = sa.select(table).where(table.c.campaign == campaign)
        with self._db.read() as connection:
            found = connection.execute(pages.after(query, table, page_token).limit(size + 1))
            rows = [BatchRecord(**row) for row in found.mappings()]
        last = rows[size - 1] if len(rows) > size else None
        token = pages.token_of(last.create_time, last.name) if last and last.create_time else ""
        return tuple(rows[:size]), token

    def open(self) -> tuple[BatchRecord, ...]:
        """The batches that are in no final state, oldest first."""
        table = tables.review_batches
        query = sa.select(table).where(table.c.state.not_in(sorted(FINAL)))
        with self._db.read() as connection:
            rows = connection.execute(query.order_by(table.c.create_time, table.c.name)).mappings()
            return tuple(BatchRecord(**row) for row in rows)

    def change(self, name: str, body: Callable[[Session], T]) -> T:
        """Runs `body` while it alone may change the batch; it may be run again after a deadlock.

        Raises:
            NotFoundError: No such batch.
        """
        return self._db.write(
            lambda connection: body(Session(connection, _read(connection, name, lock=True)))
        )

    def look(self, name: str, body: Callable[[Session], T]) -> T:
        """Runs `body`, which only reads, without waiting for anybody."""
        with self._db.read() as connection:
            return body(Session(connection, _read(connection, name, lock=False)))

    def answers(self, name: str, first: int, last: int) -> tuple[AnswerRow, ...]:
        """The answers with sequences in [first, last], in their order."""
        table = tables.review_answers
        query = sa.select(table).where(table.c.batch == name, table.c.sequence.between(first, last))
        with self._db.read() as connection:
            rows = connection.execute(query.order_by(table.c.sequence)).mappings()
            return tuple(AnswerRow(**row) for row in rows)


class Session:
    """One transaction on one batch."""

    def __init__(self, connection: sa.Connection, record: BatchRecord) -> None:
        self._connection = connection
        self.record = record

    def set(self, **values: Any) -> None:
        """Changes fields of the batch's row."""
        table = tables.review_batches
        self._connection.execute(sa.update(table).where(table.c.name == self.record.name).values(values))
        self.record = dataclasses.replace(self.record, **values)

    def add_tasks(self, rows: Iterable[TaskRow]) -> None:
        """Puts items before people."""
        values = [{**dataclasses.asdict(row), "open": row.missing > 0} for row in rows]
        if values:
            self._connection.execute(sa.insert(tables.review_tasks), values)

    def update_tasks(self, rows: Iterable[TaskRow]) -> None:
        """Writes how many answers tasks have and want."""
        table = tables.review_tasks
        values = [
            {
                "_position": row.position,
                "answers": row.answers,
                "missing": row.missing,
                "open": row.missing > 0,
            }
            for row in rows
        ]
        if values:
            key = sa.and_(table.c.batch == self.record.name, table.c.position == sa.bindparam("_position"))
            changes: dict[str, Any] = {name: sa.bindparam(name) for name in ("answers", "missing", "open")}
            self._connection.execute(sa.update(table).where(key).values(changes), values)

    def tasks(self, positions: Sequence[int]) -> dict[int, TaskRow]:
        """Tasks by position; unknown positions are left out."""
        table = tables.review_tasks
        return {row.position: row for row in self._tasks(table.c.position.in_(positions), None)}

    def untouched(self, limit: int) -> list[TaskRow]:
        """Tasks that nobody has answered or holds, in serving order."""
        table = tables.review_tasks
        return self._tasks(sa.and_(table.c.open.is_(True), table.c.answers == 0, _holders() == 0), limit)

    def extras(self, reviewer: str, limit: int) -> list[TaskRow]:
        """Tasks that want one more answer than they have and are held for, from somebody new."""
        table, holds = tables.review_tasks, tables.review_holds
        held = sa.exists().where(
            holds.c.batch == table.c.batch, holds.c.position == table.c.position, holds.c.reviewer == reviewer
        )
        wanted = sa.and_(
            table.c.open.is_(True),
            table.c.missing > _holders(),
            sa.or_(table.c.answers > 0, _holders() > 0),
            sa.not_(_answered_by(reviewer)),
            sa.not_(held),
        )
        return self._tasks(wanted, limit)

    def other_person_count(self, reviewer: str) -> int:
        """Tasks that want an answer of somebody else than `reviewer`, who has given theirs."""
        table = tables.review_tasks
        wanted = sa.and_(
            table.c.batch == self.record.name,
            table.c.open.is_(True),
            table.c.missing > _holders(),
            _answered_by(reviewer),
        )
        return int(self._connection.execute(sa.select(sa.func.count()).where(wanted)).scalar_one())

    def open_task_count(self) -> int:
        """Tasks that want further answers, held ones included."""
        table = tables.review_tasks
        query = sa.select(sa.func.count()).where(table.c.batch == self.record.name, table.c.open.is_(True))
        return int(self._connection.execute(query).scalar_one())

    def holds(self, *, reviewer: str | None = None, positions: Sequence[int] | None = None) -> list[HoldRow]:
        """Who is at work, in serving order."""
        table = tables.review_holds
        query = sa.select(table).where(table.c.batch == self.record.name)
        if reviewer is not None:
            query = query.where(table.c.reviewer == reviewer)
        if positions is not None:
            query = query.where(table.c.position.in_(positions))
        rows = self._connection.execute(query.order_by(table.c.position, table.c.reviewer)).mappings()
        return [HoldRow(**row) for row in rows]

    def hold(self, rows: Iterable[HoldRow]) -> None:
        """Gives tasks to a reviewer."""
        values = [dataclasses.asdict(row) for row in rows]
        if values:
            self._connection.execute(sa.insert(tables.review_holds), values)

    def renew(self, reviewer: str, positions: Sequence[int], end_time: datetime.datetime) -> None:
        """Lengthens what a reviewer holds."""
        self._connection.execute(
            sa.update(tables.review_holds).where(self._held_by(reviewer, positions)).values(end_time=end_time)
        )

    def release(self, reviewer: str, positions: Sequence[int] | None) -> int:
        """Takes tasks from a reviewer, all with None; how many there were."""
        held = self._held_by(reviewer, positions)
        return int(self._connection.execute(sa.delete(tables.review_holds).where(held)).rowcount)

    def expire(self, now: datetime.datetime) -> int:
        """Takes back every task whose lease has ended; how many there were."""
        table = tables.review_holds
        ended = sa.and_(table.c.batch == self.record.name, table.c.end_time <= now)
        return int(self._connection.execute(sa.delete(table).where(ended)).rowcount)

    def release_all(self) -> None:
        """Takes back every task of the batch."""
        table = tables.review_holds
        self._connection.execute(sa.delete(table).where(table.c.batch == self.record.name))

    def held_untouched_count(self) -> int:
        """Items without an answer that somebody holds."""
        tasks, holds = tables.review_tasks, tables.review_holds
        joined = sa.and_(tasks.c.batch == holds.c.batch, tasks.c.position == holds.c.position)
        query = (
            sa.select(sa.func.count(sa.distinct(holds.c.position)))
            .select_from(holds.join(tasks, joined))
            .where(holds.c.batch == self.record.name, tasks.c.answers == 0)
        )
        return int(self._connection.execute(query).scalar_one())

    def current_answers(self, positions: Sequence[int]) -> dict[int, list[AnswerRow]]:
        """The answers that count, by position, oldest person first."""
        table = tables.review_answers
        query = sa.select(table).where(
            table.c.batch == self.record.name, table.c.position.in_(positions), table.c.current.is_(True)
        )
        found: dict[int, list[AnswerRow]] = {}
        for row in self._connection.execute(query.order_by(table.c.sequence)).mappings():
            found.setdefault(row["position"], []).append(AnswerRow(**row))
        return found

    def add_answers(self, rows: Sequence[AnswerRow]) -> None:
        """Writes answers and marks those that they correct."""
        if not rows:
            return
        table = tables.review_answers
        self._connection.execute(sa.insert(table), [dataclasses.asdict(row) for row in rows])
        corrected = [row.supersedes for row in rows if row.supersedes is not None]
        if corrected:
            old = sa.and_(table.c.batch == self.record.name, table.c.sequence.in_(corrected))
            self._connection.execute(sa.update(table).where(old).values(current=False))

    def count(self, changes: figures.Changes) -> None:
        """Adds to totals of figures."""
        figures.count(self._connection, changes)

    def oldest_unflushed(self) -> datetime.datetime | None:
        """When the first answer that is in no segment arrived."""
        table = tables.review_answers
        first = sa.and_(table.c.batch == self.record.name, table.c.sequence == self.record.flushed + 1)
        arrived: datetime.datetime | None = self._connection.execute(
            sa.select(table.c.arrived).where(first)
        ).scalar_one_or_none()
        return arrived

    def _tasks(self, condition: sa.ColumnElement[bool], limit: int | None) -> list[TaskRow]:
        table = tables.review_tasks
        columns = (table.c.batch, table.c.position, table.c.item_id, table.c.answers, table.c.missing)
        query = sa.select(*columns).where(table.c.batch == self.record.name, condition)
        query = query.order_by(table.c.position)
        if limit is not None:
            query = query.limit(limit)
        return [TaskRow(**row) for row in self._connection.execute(query).mappings()]

    def _held_by(self, reviewer: str, positions: Sequence[int] | None) -> sa.ColumnElement[bool]:
        table = tables.review_holds
        held = sa.and_(table.c.batch == self.record.name, table.c.reviewer == reviewer)
        return held if positions is None else sa.and_(held, table.c.position.in_(positions))


def _answered_by(reviewer: str) -> sa.Exists:
    tasks, answers = tables.review_tasks, tables.review_answers
    return sa.exists().where(
        answers.c.batch == tasks.c.batch,
        answers.c.position == tasks.c.position,
        answers.c.reviewer == reviewer,
    )


def _holders() -> sa.ScalarSelect[int]:
    tasks, holds = tables.review_tasks, tables.review_holds
    return (
        sa.select(sa.func.count())
        .where(holds.c.batch == tasks.c.batch, holds.c.position == tasks.c.position)
        .correlate(tasks)
        .scalar_subquery()
    )


def _read(connection: sa.Connection, name: str, *, lock: bool) -> BatchRecord:
    query = sa.select(tables.review_batches).where(tables.review_batches.c.name == name)
    row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    if row is None:
        raise errors.NotFoundError(f"no review batch {name}", metadata={"name": name})
    return BatchRecord(**row)

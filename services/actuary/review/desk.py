"""The desk where reviewers take tasks and hand in answers.

Every call is one transaction that has locked its batch, and may be repeated: a batch that exists with the
same spec, a task that one holds already, an answer that was given before are all success. What is decided
is in `policy`; what is written for good is in `segments`. The desk does not pay: it counts labels and never
hands out a task whose answer would pass the batch's cap, and the campaign settles.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import threading
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from actuary import errors, failpoints
from actuary.review import batch, content, gold, order, policy, segments, serving, settings, submission
from actuary.state import clock as clocks
from actuary.state import database, reviews
from actuary.storage import objects

_ORDERS_KEPT = 8

# What callers of the desk need besides it, under one name.
BatchSpec = batch.BatchSpec
ClassDefinition = batch.ClassDefinition
Answer = submission.Answer
Result = submission.Result


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One question to one person."""

    id: str
    """Unique in its batch."""
    item_id: str
    content: content.Content | None
    """What is shown; None when it was not asked for."""
    machine_label: str | None
    """None where people answer blind."""
    ordinal: int
    """How many other people have answered the item or are at it: 0 for its first label."""
    lease_end_time: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """What `acquire` did in its transaction."""

    rows: Sequence[reviews.TaskRow] = ()
    ordinals: Sequence[int] = ()
    end: datetime.datetime = datetime.datetime.min
    held: int = 0
    other_person: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Acquired:
    """The answer to `acquire`."""

    tasks: tuple[Task, ...]
    done: bool
    """Whether the batch has ended: there will be no further tasks."""
    held: int = 0
    """Tasks that others hold, where none was left for the reviewer."""
    other_person: int = 0
    """Tasks that the reviewer has answered and that want another person, where none was left."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a batch stands."""

    record: reviews.BatchRecord
    open_tasks: int
    """Items that want an answer and that nobody holds."""
    held_tasks: int
    """Items that somebody holds."""
    complete: bool
    """Whether nobody will ever get a task again."""


class Desk:
    """All batches of a database and a store; threads and processes may share them."""

    def __init__(
        self,
        db: database.Database,
        store: objects.ObjectStore,
        clock: clocks.Clock = clocks.utc_now,
        options: settings.ReviewSettings | None = None,
    ) -> None:
        self._reviews = reviews.Reviews(db, clock)
        self._store = store
        self._clock = clock
        self._settings = options or settings.ReviewSettings()
        self._contents = content.Contents(store, size=2 * self._settings.window)
        self._orders: collections.OrderedDict[str, pa.Table] = collections.OrderedDict()
        self._orders_lock = threading.Lock()

    @property
    def store(self) -> objects.ObjectStore:
        """Where plans, items and answers are."""
        return self._store

    @property
    def settings(self) -> settings.ReviewSettings:
        """The settings that it was made with."""
        return self._settings

    def open_batch(self, spec: batch.BatchSpec, request_id: str = "") -> reviews.BatchRecord:
        """Opens a batch for reviewers; the same name with the same spec returns what is there.

        Raises:
            AlreadyExistsError: The name is taken by a batch with another spec.
            InvalidInputError: The spec is wrong in one or more fields.
            NotFoundError: There is no such plan.
        """
        batch.check(spec)
        rows = order.of_batch(self._store, spec)
        record = reviews.BatchRecord(
            name=spec.name,
            campaign=spec.campaign,
            spec=spec.to_json(),
            spec_digest=spec.digest(),
            request_id=request_id,
            label_cap=spec.label_cap,
            item_count=rows.num_rows,
        )
        with failpoints.around("review.batch"):
            return self._reviews.create(record)

    def get(self, name: str) -> reviews.BatchRecord:
        """Reads a batch, or raises NotFoundError."""
        return self._reviews.get(name)

    def spec(self, name: str) -> batch.BatchSpec:
        """What a batch is to do."""
        return batch.BatchSpec.from_json(self._reviews.get(name).spec)

    def list(
        self, campaign: str, page_size: int = 0, page_token: str = ""
    ) -> tuple[tuple[reviews.BatchRecord, ...], str]:
        """A page of a campaign's batches, oldest first, and the token of the next page."""
        return self._reviews.list(campaign, page_size, page_token)

    def unfinished(self) -> tuple[reviews.BatchRecord, ...]:
        """The batches of all campaigns that have not ended."""
        return self._reviews.open()

    def acquire(
        self,
        name: str,
        reviewer: str,
        limit: int = 1,
        *,
        tasks: Sequence[str] = (),
        contents: bool = True,
    ) -> Acquired:
        """Gives a reviewer up to `limit` tasks; those that the reviewer holds already come first, renewed.

        Args:
            name: of the batch.
            reviewer: who asks.
            limit: at most so many.
            tasks: ids of the only tasks to give, as many as are free; none for the next in serving order.
            contents: whether to read what is shown.

        Raises:
            NotFoundError: No such batch.
            InvalidInputError: No reviewer is named.
        """
        reviewer = policy.reviewer_name(reviewer)
        record = self._reviews.get(name)
        spec = batch.BatchSpec.from_json(record.spec)
        if not record.running:
            return Acquired(tasks=(), done=True)
        rows = self._order(record)
        limit = max(1, limit)
        wanted = sorted({segments.position_of(task) for task in tasks} - {-1})

        def body(session: reviews.Session) -> _Taken:
            now = self._clock()
            session.expire(now)
            if not session.record.running:
                return _Taken()
            end = now + datetime.timedelta(seconds=spec.lease_seconds)
            mine = [hold.position for hold in session.holds(reviewer=reviewer)]
            if tasks:
                mine = [position for position in mine if position in wanted]
                new = serving.named(session, reviewer, [p for p in wanted if p not in mine])
            else:
                mine = mine[:limit]
                new = serving.following(session, rows, reviewer, limit - len(mine), self._settings.window)
            session.renew(reviewer, mine, end)
            fresh = [task.position for task in new]
            session.hold(
                reviews.HoldRow(batch=name, position=position, reviewer=reviewer, end_time=end)
                for position in fresh
            )
            positions = sorted([*mine, *fresh])
            if not positions:
                held = sum(hold.reviewer != reviewer for hold in session.holds())
                return _Taken(held=held, other_person=session.other_person_count(reviewer))
            found = session.tasks(positions)
            others = collections.Counter(
                hold.position for hold in session.holds(positions=positions) if hold.reviewer != reviewer
            )
            ordinals = [found[position].answers + others[position] for position in positions]
            return _Taken(rows=[found[position] for position in positions], ordinals=ordinals, end=end)

        with failpoints.around("review.acquire"):
            taken = self._reviews.change(name, body)
        shown = self._show(spec, rows, taken.rows) if contents else {}
        return Acquired(
            tasks=tuple(
                Task(
                    id=segments.task_of(task.position),
                    item_id=task.item_id,
                    content=shown.get(task.position),
                    machine_label=_machine_label(spec, rows, task.position),
                    ordinal=ordinal,
                    lease_end_time=taken.end,
                )
                for task, ordinal in zip(taken.rows, taken.ordinals, strict=True)
            ),
            done=not taken.rows and self._is_over(name),
            held=taken.held,
            other_person=taken.other_person,
        )

    def _is_over(self, name: str) -> bool:
        progress = self.progress(name)
        return progress.complete or not progress.record.running

    def submit(
        self, name: str, reviewer: str, answers: Sequence[submission.Answer]
    ) -> tuple[submission.Result, ...]:
        """Takes answers; each is accepted or refused on its own, and counts once however often it is sent.

        Another answer to a task that one has answered corrects it, while the batch runs.

        Raises:
            NotFoundError: No such batch.
        """
        reviewer = policy.reviewer_name(reviewer)
        record = self._reviews.get(name)
        spec = batch.BatchSpec.from_json(record.spec)
        rows = self._order(record)
        positions = sorted({segments.position_of(answer.task) for answer in answers} - {-1})

        def body(session: reviews.Session) -> tuple[submission.Result, ...]:
            return submission.Submission(session, spec, rows, reviewer, self._clock(), positions).take(
                answers
            )

        with failpoints.around("review.submit"):
            return self._reviews.change(name, body)

    def release(self, name: str, reviewer: str, tasks: Sequence[str] = ()) -> int:
        """Gives tasks back before their lease ends, all when none are named; how many there were."""
        reviewer = policy.reviewer_name(reviewer)
        positions = [segments.position_of(task) for task in tasks] or None
        return self._reviews.change(name, lambda session: session.release(reviewer, positions))

    def expire(self, name: str) -> int:
        """Takes back the tasks whose lease has ended, as `acquire` does by itself; how many there were."""
        return self._reviews.change(name, lambda session: session.expire(self._clock()))

    def progress(self, name: str) -> Progress:
        """Where a batch stands."""

        def body(session: reviews.Session) -> Progress:
            record, now = session.record, self._clock()
            holds = [hold for hold in session.holds() if hold.end_time > now]
            held, loaded = len({hold.position for hold in holds}), session.open_task_count()
            waiting = record.item_count - record.next_position
            return Progress(
                record=record,
                open_tasks=max(0, loaded - held) + waiting if record.running else 0,
                held_tasks=held,
                complete=policy.is_complete(record, open_tasks=loaded, holds=len(holds)),
            )

        return self._reviews.look(name, body)

    def flush(self, name: str, *, everything: bool = False) -> int:
        """Writes answers to the store in segments, those that are due or all of them; how many it wrote."""
        written = 0
        wave = batch.BatchSpec.from_json(self._reviews.get(name).spec).wave
        while True:
            record, oldest = self._reviews.look(
                name, lambda session: (session.record, session.oldest_unflushed())
            )
            rows = record.sequence - record.flushed
            due = policy.flush_is_due(
                rows=rows,
                oldest=oldest,
                now=self._clock(),
                most_rows=self._settings.segment_rows,
                most_seconds=0 if everything else self._settings.segment_seconds,
            )
            if not due and not (everything and rows > 0):
                return written
            last = min(record.sequence, record.flushed + self._settings.segment_rows)
            answers = self._reviews.answers(name, record.flushed + 1, last)
            last = segments.write(self._store, record, answers, wave)
            written += last - record.flushed
            self._reviews.change(name, lambda session, last=last: _mark_flushed(session, last))  # type: ignore[misc]

    def stop(self, name: str, how: str) -> reviews.BatchRecord:
        """Asks a batch to end (`close` or `cancel`): from now on nobody gets or answers tasks.

        Ending what has ended, or is ending, changes nothing.
        """

        def body(session: reviews.Session) -> reviews.BatchRecord:
            if session.record.running:
                session.release_all()
                session.set(stop=how)
            return session.record

        return self._reviews.change(name, body)

    def finish(self, name: str) -> reviews.BatchRecord:
        """Carries out what `stop` asked for; may be repeated after it died anywhere."""
        record = self._reviews.get(name)
        if record.state in reviews.FINAL or not record.stop:
            return record
        self.flush(name, everything=True)
        artifact = ""
        if record.stop == "close":
            artifact = segments.write_resolved(
                self._store,
                batch=name,
                plan=batch.BatchSpec.from_json(record.spec).plan,
                parameters=dict(record.spec),
                order=self._order(record),
            )
        state = "SUCCEEDED" if record.stop == "close" else "CANCELLED"
        with failpoints.around("review.close"):
            return self._end(name, state=state, artifact=artifact)

    def close(self, name: str) -> reviews.BatchRecord:
        """Ends a batch, early or not: its answers resolve to the artifact that the record names."""
        self.stop(name, "close")
        return self.finish(name)

    def cancel(self, name: str) -> reviews.BatchRecord:
        """Stops a batch; its answers stay in their segments and resolve to nothing."""
        self.stop(name, "cancel")
        return self.finish(name)

    def take_up(self, name: str) -> reviews.BatchRecord:
        """Takes a batch up again that failed or was cancelled, with its tasks and answers.

        One that is at work or has resolved its answers stays as it is.
        """

        def body(session: reviews.Session) -> reviews.BatchRecord:
            if session.record.state in reviews.BROKEN:
                session.set(state="RUNNING", stop="", error=None, end_time=None)
            return session.record

        with failpoints.around("review.resume"):
            return self._reviews.change(name, body)

    def fail(self, name: str, error: errors.ActuaryError) -> reviews.BatchRecord:
        """Ends a batch that cannot go on."""
        document = {"code": error.code, "reason": error.reason, "message": error.message}
        return self._end(name, state="FAILED", error=document)

    def _end(self, name: str, **values: Any) -> reviews.BatchRecord:
        def body(session: reviews.Session) -> reviews.BatchRecord:
            if session.record.state not in reviews.FINAL:
                session.release_all()
                session.set(end_time=self._clock(), **values)
            return session.record

        return self._reviews.change(name, body)

    def _order(self, record: reviews.BatchRecord) -> pa.Table:
        with self._orders_lock:
            if record.name in self._orders:
                self._orders.move_to_end(record.name)
                return self._orders[record.name]
        rows = order.of_batch(self._store, batch.BatchSpec.from_json(record.spec))
        if rows.num_rows != record.item_count:
            raise errors.DataLossError(
                f"{record.name}: its plan had {record.item_count} rows when the batch was opened, "
                f"now {rows.num_rows}"
            )
        with self._orders_lock:
            self._orders[record.name] = rows
            while len(self._orders) > _ORDERS_KEPT:
                self._orders.popitem(last=False)
        return rows

    def serving_order(self, name: str) -> pa.Table:
        """The plan's rows in serving order."""
        return self._order(self._reviews.get(name))

    def _show(
        self, spec: batch.BatchSpec, rows: pa.Table, tasks: Sequence[reviews.TaskRow]
    ) -> dict[int, content.Content]:
        if not tasks:
            return {}
        window = rows.slice(tasks[-1].position + 1, self._settings.window)
        shown = rows.take(pa.array([task.position for task in tasks]))
        ahead, places = _places(spec, window), _places(spec, shown)
        found = self._contents.read(places, ahead)
        return {task.position: found[place] for task, place in zip(tasks, places, strict=True)}


def _places(spec: batch.BatchSpec, rows: pa.Table) -> list[content.Place]:
    """Where the content of some rows of the serving order lies."""
    return [
        content.Place(
            spec.exemplars if row["stratum"] == gold.STRATUM else spec.items, row["shard"], row["item_id"]
        )
        for row in rows.select(["stratum", "shard", "item_id"]).to_pylist()
    ]


def _machine_label(spec: batch.BatchSpec, rows: pa.Table, position: int) -> str | None:
    stratum, blind = rows["stratum"][position].as_py(), rows["blind"][position].as_py()
    if not policy.shows_label(stratum, blind=blind, show=spec.show_machine_label):
        return None
    label: str | None = rows["label"][position].as_py()
    return label


def _mark_flushed(session: reviews.Session, last: int) -> None:
    if last > session.record.flushed:
        session.set(flushed=last)

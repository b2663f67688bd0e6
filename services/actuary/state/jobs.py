"""The rows of Jobs, the reports of their processes, and the allowances that are dealt out to them.

A Job's cap is dealt out in slices: each report of a process says what it has spent in all and what its next
slice may cost at worst, and is answered with a cumulative allowance. The sum of allowances never passes the
cap, whatever is repeated, late or dies, because an allowance that was once given is only taken back when
its index says that it needs no more: in an exact report, or its last. Reports are keyed by (job, index,
attempt).

Launching Jobs is not done here, and neither is reserving the cap: that is the purse.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from actuary import errors, failpoints, tracing
from actuary.state import clock as clocks
from actuary.state import database, figures, pages, tables

FINAL = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
"""States that nothing follows."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """One Job resource of any kind; `create` sets version and create_time, `update` counts the version up."""

    name: str
    kind: str
    campaign: str
    spec: dict[str, Any]
    spec_digest: str
    request_id: str = ""
    state: str = "PENDING"
    error: dict[str, Any] | None = None
    progress: dict[str, Any] = dataclasses.field(default_factory=dict)
    cost_micros: int = 0
    cap_micros: int | None = None
    """The most that the Job may spend; None without a cap."""
    artifact: str = ""
    cancel_requested: bool = False
    version: int = 0
    create_time: datetime.datetime | None = None
    start_time: datetime.datetime | None = None
    end_time: datetime.datetime | None = None

    @property
    def trace(self) -> tracing.Context | None:
        """Of the call that created it, which the work on it goes on with."""
        return tracing.parse(self.progress.get("trace", {}))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The answer to a report."""

    allowance_micros: int | None
    """What the index may have spent in all; None without a cap."""
    stop: bool
    """Whether the process is to stop: the Job ended or is being cancelled, or a later attempt is at work."""
    wait: bool = False
    """Whether other indexes hold money that they have not spent."""


OF_ATTEMPTS = ("seconds", "cpu_seconds", "asked_count", "retry_counts")
"""What a report says about its attempt alone; the rest is about the index."""
_BEFORE = "before"
_MUTABLE = (
    "state",
    "error",
    "progress",
    "cost_micros",
    "artifact",
    "cancel_requested",
    "start_time",
    "end_time",
)


class Jobs:
    """All Jobs of a database."""

    def __init__(self, db: database.Database, clock: clocks.Clock = clocks.utc_now) -> None:
        self._db = db
        self._clock = clock

    def create(self, record: JobRecord) -> JobRecord:
        """Writes a new Job with the trace that asks for it; the same name and spec return what is there.

        Raises:
            AlreadyExistsError: The name is taken by a Job with another spec.
        """
        progress = {**record.progress, **tracing.kept()}
        record = dataclasses.replace(record, version=1, create_time=self._clock(), progress=progress)

        def body(connection: sa.Connection) -> JobRecord:
            if database.insert_if_absent(connection, tables.jobs, dataclasses.asdict(record)):
                return record
            there = _read(connection, record.name)
            if there.spec_digest != record.spec_digest:
                raise errors.AlreadyExistsError(
                    f"{record.name} exists with another spec (digest {there.spec_digest}, "
                    f"yours {record.spec_digest}): choose another name, or send the same spec",
                    metadata={"name": record.name},
                )
            return there

        with failpoints.around("job.create"):
            return self._db.write(body)

    def get(self, name: str) -> JobRecord:
        """Reads one Job, or raises NotFoundError."""
        with self._db.read() as connection:
            return _read(connection, name)

    def list(
        self, campaign: str, kind: str, page_size: int = 0, page_token: str = ""
    ) -> tuple[tuple[JobRecord, ...], str]:
        """A page of a campaign's Jobs of one kind, oldest first, and the token of the next page."""
        size = pages.size_of(page_size)
        query = sa.select(tables.jobs).where(tables.jobs.c.campaign == campaign, tables.jobs.c.kind == kind)
        with self._db.read() as connection:
            found = connection.execute(pages.after(query, tables.jobs, page_token).limit(size + 1))
            rows = [JobRecord(**row) for row in found.mappings()]
        more = len(rows) > size
        last = rows[size - 1] if more else None
        token = pages.token_of(last.create_time, last.name) if last and last.create_time else ""
        return tuple(rows[:size]), token

    def update(
        self, record: JobRecord, expected_version: int, counted: figures.Changes | None = None
    ) -> JobRecord:
        """Writes the changeable fields if nobody did so meanwhile; name, spec and cap stay.

        What was `counted` is added to its totals in the same transaction.

        Raises:
            ConflictError: The version is no longer the expected one.
            NotFoundError: No such Job.
        """
        written = dataclasses.replace(record, version=expected_version + 1)
        values = {name: getattr(written, name) for name in (*_MUTABLE, "version")}
        table = tables.jobs

        def body(connection: sa.Connection) -> JobRecord:
            same = sa.and_(table.c.name == record.name, table.c.version == expected_version)
            if connection.execute(sa.update(table).where(same).values(values)).rowcount == 1:
                figures.count(connection, counted or {})
                return written
            there = _read(connection, record.name)
            raise errors.ConflictError(
                f"{record.name} was changed meanwhile: expected version {expected_version}, "
                f"it is {there.version}; read it again, then retry",
                metadata={"name": record.name},
            )

        with failpoints.around("job.update"):
            return self._db.write(body)

    def open(self, kinds: Collection[str] | None = None) -> tuple[JobRecord, ...]:
        """The Jobs that are in no final state, of some kinds or of all, oldest first."""
        table = tables.jobs
        query = sa.select(table).where(table.c.state.not_in(sorted(FINAL)))
        if kinds is not None:
            query = query.where(table.c.kind.in_(sorted(kinds)))
        with self._db.read() as connection:
            rows = connection.execute(query.order_by(table.c.create_time, table.c.name)).mappings()
            return tuple(JobRecord(**row) for row in rows)

    def unfinished(self, campaign: str) -> tuple[JobRecord, ...]:
        """The Jobs of a campaign that have not succeeded: a retry goes on where they write."""
        table = tables.jobs
        query = sa.select(table).where(table.c.campaign == campaign, table.c.state != "SUCCEEDED")
        with self._db.read() as connection:
            rows = connection.execute(query.order_by(table.c.create_time, table.c.name)).mappings()
            return tuple(JobRecord(**row) for row in rows)

    def report(
        self,
        job: str,
        index: int,
        attempt: int,
        progress: Mapping[str, Any],
        worst_case_micros: int,
        *,
        exact: bool = False,
    ) -> Grant:
        """Takes what an index has done and answers what it may spend.

        Args:
            job: The Job's name.
            index: Index of the process in the Job.
            attempt: How often the index was started before. A report of an earlier attempt than the one known
                changes nothing and is told to stop.
            progress: Figures of the index over all its attempts, as its durable chunks say; numbers and
                dicts of numbers are summed by `totals`. `cost_micros` is what it has spent, `done` whether
                it has ended.
            worst_case_micros: The most that work may cost that is under way or begins next.
            exact: Whether the process begins nothing beyond that before it is answered; what an earlier
                attempt was given stays, since it may be at work still.

        Raises:
            NotFoundError: No such Job.
        """
        spent = int(progress.get("cost_micros", 0))
        done = bool(progress.get("done", False))
        if spent < 0 or worst_case_micros < 0:
            raise errors.InvalidInputError(
                f"report of {job} index {index}: expected amounts >= 0, got {spent} and {worst_case_micros}"
            )
        now = self._clock()

        def body(connection: sa.Connection) -> Grant:
            row = connection.execute(
                sa.select(tables.jobs.c.cap_micros, tables.jobs.c.state, tables.jobs.c.cancel_requested)
                .where(tables.jobs.c.name == job)
                .with_for_update()  # allowances of one Job are dealt out one at a time
            ).one_or_none()
            if row is None:
                raise errors.NotFoundError(f"no Job {job}", metadata={"name": job})
            stop = bool(row.state in FINAL or row.cancel_requested)
            known, others, unspent = _reports(connection, job, index)
            if known is not None and attempt < known.attempt:
                return Grant(
                    allowance_micros=None if row.cap_micros is None else known.grant_micros, stop=True
                )
            if known is not None and attempt == known.attempt and _is_older(progress, known):
                return Grant(
                    allowance_micros=None if row.cap_micros is None else known.grant_micros,
                    stop=stop or known.done,
                )
            grant = _deal(
                cap=row.cap_micros,
                others=others,
                held=0 if known is None or (exact and attempt == known.attempt) else known.grant_micros,
                spent=spent,
                worst_case=0 if stop else worst_case_micros,
                done=done,
            )
            values = {
                "attempt": attempt,
                "progress": {**progress, _BEFORE: _before(known, attempt)},
                "spent_micros": spent,
                "grant_micros": grant,
                "done": done,
                "update_time": now,
            }
            table = tables.job_reports
            if known is None:
                connection.execute(sa.insert(table).values(job=job, index=index, **values))
            else:
                key = sa.and_(table.c.job == job, table.c.index == index)
                connection.execute(sa.update(table).where(key).values(values))
            if row.cap_micros is None:
                return Grant(allowance_micros=None, stop=stop)
            return Grant(allowance_micros=grant, stop=stop, wait=unspent > 0)

        with failpoints.around("job.update"):
            return self._db.write(body)

    def totals(self, job: str) -> dict[str, Any]:
        """The sum of the latest reports of all indexes, texts of the first; `done` counts the ended ones.

        Figures of one attempt (`OF_ATTEMPTS`) are summed over all attempts; `restarts` counts these beyond
        the first of each index.
        """
        query = sa.select(tables.job_reports.c.progress).where(tables.job_reports.c.job == job)
        total: dict[str, Any] = {}
        with self._db.read() as connection:
            for progress in connection.execute(query.order_by(tables.job_reports.c.index)).scalars():
                _add(total, progress)
        _add(total, total.pop(_BEFORE, {}))
        return total


def _deal(*, cap: int | None, others: int, held: int, spent: int, worst_case: int, done: bool) -> int:
    """The cumulative allowance of one index.

    It covers the next slice's worst case as far as the cap allows, and never falls below what is `held`,
    since the process may be spending that at this moment.
    """
    wanted = spent if done else max(held, spent + worst_case)
    return wanted if cap is None else max(0, min(wanted, cap - others))


def _before(known: sa.Row[Any] | None, attempt: int) -> dict[str, Any]:
    """What earlier attempts of an index have used, and how many there were."""
    if known is None:
        return {}
    before = dict(known.progress.get(_BEFORE, {}))
    if attempt > known.attempt:
        last = {name: known.progress[name] for name in OF_ATTEMPTS if name in known.progress}
        _add(before, {**last, "restarts": 1})
    return before


def _is_older(progress: Mapping[str, Any], known: sa.Row[Any]) -> bool:
    """Whether a report was overtaken by a later one of the same attempt, as a retried call can be."""
    if known.done and not progress.get("done", False):
        return True
    before = known.progress
    return any(progress.get(name, 0) < before.get(name, 0) for name in ("cost_micros", "seconds"))


def _reports(connection: sa.Connection, job: str, index: int) -> tuple[sa.Row[Any] | None, int, int]:
    """What an index has reported, what all others were given, and what of that they have not spent."""
    table = tables.job_reports
    known = connection.execute(
        sa.select(table).where(table.c.job == job, table.c.index == index)
    ).one_or_none()
    given, spent = connection.execute(
        sa.select(
            sa.func.coalesce(sa.func.sum(table.c.grant_micros), 0),
            sa.func.coalesce(sa.func.sum(table.c.spent_micros), 0),
        ).where(table.c.job == job, table.c.index != index)
    ).one()
    return known, int(given), int(given) - int(spent)


def _add(total: dict[str, Any], progress: Mapping[str, Any]) -> None:
    for name, value in progress.items():
        if isinstance(value, Mapping):
            _add(total.setdefault(name, {}), value)
        elif isinstance(value, bool | int | float):
            total[name] = total.get(name, 0) + value
        elif isinstance(value, str) and value:
            total.setdefault(name, value)


def _read(connection: sa.Connection, name: str) -> JobRecord:
    row = (
        connection.execute(sa.select(tables.jobs).where(tables.jobs.c.name == name)).mappings().one_or_none()
    )
    if row is None:
        raise errors.NotFoundError(f"no Job {name}", metadata={"name": name})
    return JobRecord(**row)

"""The rows of campaigns: created once, changed only by who has read the version that is there.

It stores decisions and makes none: what may follow what is the campaign service's policy.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from actuary import errors, failpoints, tracing
from actuary.state import clock as clocks
from actuary.state import database, figures, pages, tables

FINAL = frozenset({"CANCELLED", "FAILED", "SUCCEEDED"})
"""States in which a controller has nothing to do. BUDGET_EXHAUSTED is not one: a top-up takes it up again."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CampaignRecord:
    """One campaign; `create` sets version and times, `update` counts the version up."""

    name: str
    spec: dict[str, Any]
    spec_digest: str
    request_id: str = ""
    state: str = "CREATED"
    stage: str = ""
    wave: int = 0
    error: dict[str, Any] | None = None
    control: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What people asked for: pause, cancel, approvals, top-ups."""
    results: dict[str, Any] = dataclasses.field(default_factory=dict)
    """URIs and figures that later stages need."""
    version: int = 0
    create_time: datetime.datetime | None = None
    update_time: datetime.datetime | None = None

    @property
    def trace(self) -> tracing.Context | None:
        """Of the call that created it, which the work on it goes on with."""
        return tracing.parse(self.results.get("trace", {}))


_MUTABLE = ("state", "stage", "wave", "error", "control", "results")


class Campaigns:
    """All campaigns of a database."""

    def __init__(self, db: database.Database, clock: clocks.Clock = clocks.utc_now) -> None:
        self._db = db
        self._clock = clock

    def create(self, record: CampaignRecord) -> CampaignRecord:
        """Writes a new campaign with the trace that asks for it; the same name and spec return what is there.

        Raises:
            AlreadyExistsError: The name is taken by a campaign with another spec.
        """
        now = self._clock()
        record = dataclasses.replace(_traced(record), version=1, create_time=now, update_time=now)

        def body(connection: sa.Connection) -> CampaignRecord:
            if database.insert_if_absent(connection, tables.campaigns, dataclasses.asdict(record)):
                return record
            there = _read(connection, record.name)
            if there.spec_digest != record.spec_digest:
                raise errors.AlreadyExistsError(
                    f"{record.name} exists with another spec (digest {there.spec_digest}, "
                    f"yours {record.spec_digest}): choose another name, or send the same spec",
                    metadata={"name": record.name},
                )
            return there

        with failpoints.around("campaign.create"):
            return self._db.write(body)

    def get(self, name: str) -> CampaignRecord:
        """Reads one campaign, or raises NotFoundError."""
        with self._db.read() as connection:
            return _read(connection, name)

    def list(self, page_size: int = 0, page_token: str = "") -> tuple[tuple[CampaignRecord, ...], str]:
        """A page of campaigns, oldest first, and the token of the next page, empty on the last."""
        size = pages.size_of(page_size)
        query = pages.after(sa.select(tables.campaigns), tables.campaigns, page_token).limit(size + 1)
        with self._db.read() as connection:
            rows = [CampaignRecord(**row) for row in connection.execute(query).mappings()]
        more = len(rows) > size
        last = rows[size - 1] if more else None
        token = pages.token_of(last.create_time, last.name) if last and last.create_time else ""
        return tuple(rows[:size]), token

    def update(
        self, record: CampaignRecord, expected_version: int, shown: figures.Changes | None = None
    ) -> CampaignRecord:
        """Writes the changeable fields (state to results) if nobody did so meanwhile.

        What is `shown` replaces the last values of figures in the same transaction.

        Raises:
            ConflictError: The version is no longer the expected one.
            NotFoundError: No such campaign.
        """
        return self._write(record, expected_version, _MUTABLE, shown)

    def _write(
        self,
        record: CampaignRecord,
        expected_version: int,
        fields: Collection[str],
        shown: figures.Changes | None = None,
    ) -> CampaignRecord:
        written = dataclasses.replace(record, version=expected_version + 1, update_time=self._clock())
        values = {name: getattr(written, name) for name in (*fields, "version", "update_time")}
        table = tables.campaigns

        def body(connection: sa.Connection) -> CampaignRecord:
            same = sa.and_(table.c.name == record.name, table.c.version == expected_version)
            if connection.execute(sa.update(table).where(same).values(values)).rowcount == 1:
                figures.put(connection, shown or {})
                return written
            there = _read(connection, record.name)
            raise errors.ConflictError(
                f"{record.name} was changed meanwhile: expected version {expected_version}, "
                f"it is {there.version}; read it again, then retry",
                metadata={"name": record.name},
            )

        with failpoints.around("campaign.update"):
            return self._db.write(body)

    def replace(self, record: CampaignRecord, expected_version: int) -> CampaignRecord:
        """Writes another spec under a name that is there, with the changeable fields and the trace that asks.

        Whether that is right is for the caller to know: nothing may have been bought under the first spec.

        Raises:
            ConflictError: The version is no longer the expected one.
        """
        fields = (*_MUTABLE, "spec", "spec_digest", "request_id")
        return self._write(_traced(record), expected_version, fields)

    def active(self, final: Collection[str] = FINAL) -> tuple[str, ...]:
        """Names of the campaigns that are in no final state, oldest first."""
        table = tables.campaigns
        query = sa.select(table.c.name).where(table.c.state.not_in(sorted(final)))
        with self._db.read() as connection:
            return tuple(connection.execute(query.order_by(table.c.create_time, table.c.name)).scalars())

    def count_by_state(self) -> dict[str, int]:
        """How many campaigns there are in each state that one is in."""
        table = tables.campaigns
        query = sa.select(table.c.state, sa.func.count()).group_by(table.c.state)
        with self._db.read() as connection:
            return {state: int(count) for state, count in connection.execute(query)}


def _traced(record: CampaignRecord) -> CampaignRecord:
    return dataclasses.replace(record, results={**record.results, **tracing.kept()})


def _read(connection: sa.Connection, name: str) -> CampaignRecord:
    table = tables.campaigns
    row = connection.execute(sa.select(table).where(table.c.name == name)).mappings().one_or_none()
    if row is None:
        raise errors.NotFoundError(f"no campaign {name}", metadata={"name": name})
    return CampaignRecord(**row)

"""Leases: who may act on a name until when, so that one of several controllers does.

Time comes from the holders' own clocks: on several machines they must agree to well within a lease's length
(NTP does). A lease is a courtesy that saves work, not the guard of correctness: that are the versions of
the records. The fencing token grows with every change of holder, for whoever wants to compare.
"""

from __future__ import annotations

import dataclasses
import datetime

import sqlalchemy as sa

from actuary import failpoints
from actuary.state import clock as clocks
from actuary.state import database, tables


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A lease that is held."""

    name: str
    holder: str
    token: int
    """Grows by one whenever the holder changes."""
    end_time: datetime.datetime


class Leases:
    """All leases of a database."""

    def __init__(self, db: database.Database, clock: clocks.Clock = clocks.utc_now) -> None:
        self._db = db
        self._clock = clock

    def acquire(self, name: str, holder: str, seconds: float) -> Lease | None:
        """Takes or renews a lease for so many seconds from now; None while somebody else holds it."""
        table = tables.leases

        def body(connection: sa.Connection) -> Lease | None:
            now = self._clock()
            end = now + datetime.timedelta(seconds=seconds)
            first = {"name": name, "holder": holder, "token": 1, "end_time": end}
            if database.insert_if_absent(connection, table, first):
                return Lease(name=name, holder=holder, token=1, end_time=end)
            there = connection.execute(sa.select(table).where(table.c.name == name).with_for_update()).one()
            ours = there.holder == holder
            if not ours and there.end_time > now:
                return None
            # A lease that lapsed and was taken up again by its holder counts as a change: others may have
            # acted.
            token = there.token if ours and there.end_time > now else there.token + 1
            values = {"holder": holder, "token": token, "end_time": end}
            connection.execute(sa.update(table).where(table.c.name == name).values(values))
            return Lease(name=name, holder=holder, token=token, end_time=end)

        with failpoints.around("lease"):
            return self._db.write(body)

    def release(self, lease: Lease) -> None:
        """Gives a lease back at once; one that is no longer ours stays as it is."""
        table = tables.leases
        ours = sa.and_(
            table.c.name == lease.name, table.c.holder == lease.holder, table.c.token == lease.token
        )
        now = self._clock()
        # The row stays, so that the token goes on growing.
        self._db.write(
            lambda connection: connection.execute(sa.update(table).where(ours).values(end_time=now))
        )

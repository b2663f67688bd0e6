"""Totals and last values of figures, kept where they survive every process.

A change is written in the transaction of the row that it counts, so that nothing counts twice and nothing is
lost, whatever dies. A database holds a few hundred values: labels are closed sets.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from actuary import metrics
from actuary.state import database, tables

Changes = Mapping[metrics.Key, float]
"""Value by figure and labels."""


def count(connection: sa.Connection, changes: Changes) -> None:
    """Adds to totals, in the transaction of the caller."""
    _write(connection, {key: value for key, value in changes.items() if value}, adding=True)


def put(connection: sa.Connection, values: Changes) -> None:
    """Replaces last values, in the transaction of the caller."""
    _write(connection, values, adding=False)


def _write(connection: sa.Connection, values: Changes, *, adding: bool) -> None:
    table = tables.figures
    kind = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    for (name, labels), value in sorted(values.items()):  # in one order, so that no two wait for one another
        insert = kind(table).values(name=name, labels=json.dumps(labels), value=float(value))
        new = table.c.value + insert.excluded.value if adding else insert.excluded.value
        connection.execute(
            insert.on_conflict_do_update(index_elements=[table.c.name, table.c.labels], set_={"value": new})
        )


class Figures:
    """All figures of a database."""

    def __init__(self, db: database.Database) -> None:
        self._db = db

    def read(self, names: Collection[str]) -> dict[metrics.Key, float]:
        """The values of some figures."""
        table = tables.figures
        query = sa.select(table).where(table.c.name.in_(sorted(names)))
        with self._db.read() as connection:
            return {(row.name, tuple(json.loads(row.labels))): row.value for row in connection.execute(query)}

"""Alembic's migrations, kept in the package so that every installation can bring its own database up to date.

A revision is never edited once released, and only adds (`revisions` says why); `python -m
actuary.state.migrations` does not exist on purpose: servers migrate when they start, under a lock.
"""

from __future__ import annotations

import dataclasses
import pathlib

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime import migration
from alembic.script import ScriptDirectory

from actuary.state.migrations import revisions

LOCK = 0x61637475
"""Key of PostgreSQL's advisory lock that lets one process migrate at a time ("actu" in ASCII)."""


def configuration(connection: sa.Connection | None = None) -> Config:
    """Alembic's configuration without an ini file; `env.py` uses the connection given here."""
    config = Config()
    config.set_main_option("script_location", str(pathlib.Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The schema of a database after its migration."""

    revision: str
    """Where it is."""
    known: str
    """The newest revision that this version of the package knows."""

    @property
    def newer(self) -> bool:
        """Whether a newer version of the package has migrated it."""
        return self.revision != self.known


def upgrade(connection: sa.Connection) -> Schema:
    """Runs the missing migrations on a connection whose transaction the caller commits.

    A schema of a newer version that this one can work with is left as it is.

    Raises:
        PreconditionError: A newer version migrated it so that this one cannot work with it.
    """
    script = ScriptDirectory.from_config(configuration())
    known = [each.revision for each in script.walk_revisions()]
    found = migration.MigrationContext.configure(connection).get_current_revision()
    if revisions.is_newer(found, known):
        return Schema(revision=str(found), known=max(known))
    command.upgrade(configuration(connection), "head")
    return Schema(revision=max(known), known=max(known))

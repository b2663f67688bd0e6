"""Alembic's migrations, kept in the package so that every installation can bring its own database up to date.

A revision is never edited once released; `python -m actuary.state.migrations` does not exist on purpose:
servers migrate when they start, under a lock.
"""

from __future__ import annotations

import pathlib

import sqlalchemy as sa
from alembic import command, util
from alembic.config import Config

from actuary import errors

LOCK = 0x61637475
"""Key of PostgreSQL's advisory lock that lets one process migrate at a time ("actu" in ASCII)."""


def configuration(connection: sa.Connection | None = None) -> Config:
    """Alembic's configuration without an ini file; `env.py` uses the connection given here."""
    config = Config()
    config.set_main_option("script_location", str(pathlib.Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def upgrade(connection: sa.Connection, revision: str = "head") -> None:
    """Runs the missing migrations on a connection whose transaction the caller commits.

    Raises:
        PreconditionError: The database was migrated by a newer version of the package.
    """
    try:
        command.upgrade(configuration(connection), revision)
    except util.CommandError as error:
        raise errors.PreconditionError(
            f"the database's schema is not one that this version knows ({error}): "
            "it was probably migrated by a newer version; upgrade the package"
        ) from error

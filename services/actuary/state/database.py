"""One connection policy for SQLite and PostgreSQL, so that no other module knows which one it talks to.

- SQLite: WAL, so that readers never wait for the writer; `synchronous=FULL`, because a reservation, a
  settlement or a person's answer that was confirmed must survive a power cut (NORMAL may lose the last
  commits in WAL mode), at the price of one fsync a commit; every write transaction is BEGIN IMMEDIATE, so
  that it never fails half-way with "database is locked" after having read.
- PostgreSQL: READ COMMITTED with explicit row locks (`with_for_update`), deadlocks and serialization
  failures retried. A process that is stopped in the middle of a transaction loses it after a while, so that
  the locks it holds cannot keep others from taking over its work.

A write is therefore one function from a connection to a value (`write`), which may run more than once. All
vendor errors are mapped here and nowhere else. The module knows no table of Actuary's.
"""

from __future__ import annotations

import contextlib
import pathlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
import tenacity
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite

from actuary import errors

if TYPE_CHECKING:
    from actuary.state import migrations

T = TypeVar("T")

BUSY_TIMEOUT_SECONDS = 30.0
"""How long a writer waits for another process; transactions take milliseconds, so this is never reached in
health. A guess."""

WRITE_ATTEMPTS = 8
"""How often a write is begun anew after a deadlock or serialization failure. A guess."""

_RETRIED_SQLSTATES = frozenset({"40001", "40P01"})  # serialization failure, deadlock
_SCHEMA_SQLSTATES = frozenset({"42P01", "42703"})  # undefined table, undefined column
_LOST_SQLSTATES = frozenset({"25P03", "55P03"})  # idle in a transaction for too long, lock not to be had
REFUSES = "DATABASE_REFUSES"
"""Reason of an UnavailableError where the server answers, but not to this user, password or database name."""
_REFUSALS = (
    "password authentication failed",
    "no password supplied",
    "does not exist",
    "no pg_hba.conf entry",
)
"""What libpq says then, which gives no SQLSTATE where there is no connection; in English servers only."""
_FULL_SQLSTATES = frozenset({"53100", "53200"})  # disk full, out of memory
_WRITES = "actuary_writes"
_SINGLE = "actuary_single"


class Database:
    """A database with its pool of connections; threads may share it, forked processes may not."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        # Within one process SQLite's writers queue here, in order: its busy handler polls and can starve
        # one of them.
        self._writer = threading.Lock() if engine.dialect.name == "sqlite" else contextlib.nullcontext()

    @classmethod
    def open(cls, url: str) -> Database:
        """Opens `sqlite:///path` or `postgresql+psycopg://…` (`postgresql://` means the same).

        Raises:
            InvalidInputError: Another kind of URL, or SQLite without a file: several processes share it.
        """
        try:
            parsed = sa.make_url(url)
        except sa.exc.ArgumentError as error:
            raise errors.InvalidInputError(f"database URL: expected {_EXPECTED}; got {url!r}") from error
        if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
            parsed = parsed.set(drivername="postgresql+psycopg")
            longest = round(1000 * BUSY_TIMEOUT_SECONDS)
            limits = f"-c idle_in_transaction_session_timeout={longest} -c lock_timeout={longest}"
            engine = sa.create_engine(
                parsed, pool_pre_ping=True, pool_size=5, max_overflow=11, connect_args={"options": limits}
            )
            return cls(engine)
        if parsed.drivername == "sqlite" and parsed.database and parsed.database != ":memory:":
            pathlib.Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            engine = sa.create_engine(
                parsed, pool_size=5, max_overflow=27, connect_args={"timeout": BUSY_TIMEOUT_SECONDS}
            )
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return cls(engine)
        shown = parsed.render_as_string(hide_password=True)
        raise errors.InvalidInputError(f"database URL: expected {_EXPECTED}; got {shown!r}")

    @property
    def url(self) -> str:
        """The URL without its password."""
        return self._engine.url.render_as_string(hide_password=True)

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    def migrate(self) -> migrations.Schema:
        """Brings the schema to this version of the package; several processes may do so at once.

        A schema of a newer version stays as it is where this one can work with it.

        Raises:
            PreconditionError: It cannot; nothing was changed.
        """
        from actuary.state import migrations  # Alembic takes 0.2 s to import, and only servers migrate

        with self.begin() as connection:
            if self.dialect == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(migrations.LOCK)))
            return migrations.upgrade(connection)

    @contextlib.contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """A write transaction: committed at the end of the block, rolled back when it raises.

        A block cannot be run again, so deadlocks of PostgreSQL surface as UnavailableError: prefer `write`.
        """
        with self._writer, _mapped_errors(self.url), self._engine.connect() as connection:
            marked = connection.execution_options(**{_WRITES: True})
            with marked.begin():
                yield marked

    def write(self, body: Callable[[sa.Connection], T]) -> T:
        """Runs `body` in a write transaction, again from the start when the database asks for it."""

        def once() -> T:
            with self._writer, self._engine.connect() as connection:
                marked = connection.execution_options(**{_WRITES: True})
                with marked.begin():
                    return body(marked)

        with _mapped_errors(self.url):
            return _RETRIES(once)

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that only reads; with SQLite it never waits for the writer."""
        with _mapped_errors(self.url), self._engine.connect() as connection, connection.begin():
            yield connection

    def rows(self, statement: sa.Executable, values: Mapping[str, Any]) -> Sequence[Any]:
        """All rows of one statement, which sees one moment by itself: SQLite begins no transaction for it.

        A call that is made a thousand times a second spends most of its time on what surrounds its statement.
        """
        with _mapped_errors(self.url), self._engine.connect() as connection:
            return connection.execution_options(**{_SINGLE: True}).execute(statement, values).all()

    def ping(self) -> None:
        """Returns when the database answers.

        Raises:
            UnavailableError: It does not.
        """
        self.rows(sa.select(1), {})

    def close(self) -> None:
        """Closes the pool; connections in use are closed when they are given back."""
        self._engine.dispose()


def insert_if_absent(connection: sa.Connection, table: sa.Table, values: Mapping[str, Any]) -> bool:
    """Inserts a row unless its key or another unique constraint is taken; True when it was inserted.

    With PostgreSQL it waits for a concurrent inserter of the same key, so False means that the row is
    committed.
    """
    kind = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = kind(table).values(dict(values)).on_conflict_do_nothing().returning(*table.primary_key)
    return connection.execute(statement).first() is not None


_EXPECTED = "sqlite:///path/to/file or postgresql+psycopg://user@host:port/name"


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself: `_begin_sqlite` does
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={int(BUSY_TIMEOUT_SECONDS * 1000)}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    if _SINGLE not in options:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get(_WRITES, False) else "BEGIN")


def _sqlstate(error: BaseException) -> str:
    original = getattr(error, "orig", None)
    return str(getattr(original, "sqlstate", None) or "")


_RETRIES = tenacity.Retrying(
    retry=tenacity.retry_if_exception(
        lambda e: isinstance(e, sa.exc.DBAPIError) and _sqlstate(e) in _RETRIED_SQLSTATES
    ),
    wait=tenacity.wait_random_exponential(multiplier=0.01, max=1),
    stop=tenacity.stop_after_attempt(WRITE_ATTEMPTS),
    reraise=True,
)


@contextlib.contextmanager
def _mapped_errors(url: str) -> Iterator[None]:
    try:
        yield
    except sa.exc.TimeoutError as error:
        raise errors.UnavailableError(f"database {url}: all connections are in use; try again") from error
    except OverflowError as error:  # of SQLite's driver, which holds 64 bits
        raise errors.InvalidInputError(f"database {url} cannot hold a value: {error}") from error
    except sa.exc.DBAPIError as error:
        text = " ".join(str(error.orig).split())  # libpq breaks lines
        if _sqlstate(error) in _FULL_SQLSTATES or "disk is full" in text:
            raise errors.ExhaustedError(f"database {url}: {text}; free some space, then try again") from error
        if isinstance(error, sa.exc.DataError):
            raise errors.InvalidInputError(f"database {url} cannot hold a value: {text}") from error
        if _sqlstate(error) in _SCHEMA_SQLSTATES or "no such table" in text or "no such column" in text:
            raise errors.PreconditionError(
                f"database {url} has no tables of this version: {text}; run the migrations"
            ) from error
        lost = error.connection_invalidated or _sqlstate(error) in _LOST_SQLSTATES
        if isinstance(error, sa.exc.OperationalError) or lost:
            if not _sqlstate(error) and any(said in text for said in _REFUSALS):
                advice = "check user, password and database name in ACTUARY_DATABASE_URL"
                raise errors.UnavailableError(f"database {url}: {text}; {advice}", reason=REFUSES) from error
            raise errors.UnavailableError(f"database {url} does not answer: {text}") from error
        if "malformed" in text or "not a database" in text:
            raise errors.DataLossError(f"database {url}: {text}") from error
        raise

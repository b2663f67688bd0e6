"""Commands that serve: up, serve; and gc."""

from __future__ import annotations

import datetime
import signal
import threading
from pathlib import Path

import structlog
import typer

from actuary import errors, spans
from actuary.cli import embedded, session, settings


def up(data: Path, address: str, metrics_port: int) -> None:
    """Serves all six services until a signal."""
    running = session.serving(data)
    if running is not None:
        raise errors.PreconditionError(
            f"{data} is served at {running} already: use that, or stop it first", reason="ALREADY_SERVED"
        )
    session.check_folder(data)
    process = settings.ProcessSettings().for_folder(data)
    with (
        spans.exporting("actuary", _warn),
        embedded.serving(process, address=address, folder=data, metrics_port=metrics_port) as host,
    ):
        typer.echo(f"serving {', '.join(settings.SERVICES)} on {host.address}", err=True)
        typer.echo(f"data in {data.absolute()}; metrics on port {host.metrics_port}; Ctrl-C stops", err=True)
        _until_signal()


def serve(services: list[str], address: str, metrics_port: int) -> None:
    """Serves some services of a cluster until a signal."""
    unknown = [name for name in services if name not in settings.SERVICES]
    if unknown:
        raise errors.InvalidInputError(
            f"expected services out of {', '.join(settings.SERVICES)}; got {', '.join(unknown)}"
        )
    process = settings.ProcessSettings()
    for field in ("database_url", "store_uri"):
        if not getattr(process, field):
            raise errors.InvalidInputError(f"ACTUARY_{field.upper()} is not set: a service needs it")
    name = f"actuary-{services[0]}" if len(services) == 1 else "actuary"
    with (
        spans.exporting(name, _warn),
        embedded.serving(
            process,
            address=address,
            services=tuple(services),
            metrics_port=metrics_port,
            metrics_host="0.0.0.0",
        ) as host,
    ):
        typer.echo(f"serving {', '.join(services)} on {host.address}", err=True)
        _until_signal()


REFUSED = 3
"""Exit code of `migrate` where trying again would change nothing, so that the chart's hook ends at once."""


def migrate() -> None:
    """Migrates the database that the settings name."""
    from actuary.state import database

    process = settings.ProcessSettings()
    if not process.database_url:
        raise errors.InvalidInputError("ACTUARY_DATABASE_URL is not set: expected the database to migrate")
    opened = database.Database.open(process.database_url)
    try:
        schema = opened.migrate()
    except (errors.PreconditionError, errors.UnavailableError) as error:
        if isinstance(error, errors.UnavailableError) and error.reason != database.REFUSES:
            raise
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(REFUSED) from error
    finally:
        opened.close()
    if schema.newer:
        said = f"a newer version has migrated the database ({schema.revision}; this one knows {schema.known})"
        typer.echo(f"{said}: nothing was changed, and this version can work with it", err=True)
    else:
        typer.echo(f"the database is up to date ({schema.revision})", err=True)


def gc(data: Path, store: str, *, dry_run: bool, older_than_hours: float) -> None:
    """Removes objects that no manifest names."""
    from actuary.storage import gc as collector
    from actuary.storage import location

    process = settings.ProcessSettings().for_folder(data)
    if not data.is_dir() and not (store and process.database_url):
        raise errors.InvalidInputError(f"--data: expected a data folder, there is none at {data}")
    opened = location.open_store(store or process.store_uri)
    age = datetime.timedelta(hours=older_than_hours)
    kept = _resumable(process)
    found = collector.plan(opened, "", age, now=datetime.datetime.now(datetime.UTC), kept=kept)
    doomed = (*found.unnamed, *found.leftovers)
    for info in doomed:
        typer.echo(f"{info.size:>12}  {info.modified:%Y-%m-%d %H:%M}  {info.key}")
    if not dry_run:
        collector.remove(opened, found, "")
    did = "would remove" if dry_run else "removed"
    typer.echo(
        f"{did} {len(doomed)} objects, {found.bytes} bytes; what is younger than {older_than_hours:g} h stays"
    )


def _resumable(process: settings.ProcessSettings) -> list[str]:
    """Prefixes of the artifacts that campaigns still work on, or could when they are resumed.

    What they have finished is paid for, whatever its age; no manifest names it yet.
    """
    from actuary.state import campaigns, clock, database, jobs

    db = database.Database.open(process.database_url)
    try:
        db.migrate()
        rows = campaigns.Campaigns(db, clock.utc_now)
        unfinished = rows.active(final=("CANCELLED", "SUCCEEDED"))
        table = jobs.Jobs(db, clock.utc_now)
        return [f"{record.artifact}/" for name in unfinished for record in table.unfinished(name)]
    finally:
        db.close()


def _warn(line: str) -> None:
    structlog.get_logger("actuary.spans").warning("spans", message=line)


def _until_signal() -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()

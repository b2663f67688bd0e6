"""How a command finds a server: one that is named, one that serves the data folder, or one of its own.

`actuary run` and `actuary up` leave their address in the data folder while they serve it, so that a second
terminal reaches the same server; a database of one machine is served by one process at a time.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from actuary import client as clients
from actuary import errors, spans, tracing

if TYPE_CHECKING:
    from actuary.cli import embedded

DEFAULT_DATA = Path("actuary-data")
"""Where commands keep database and artifacts unless they are told."""
_FILE = "server.json"


@contextlib.contextmanager
def connect(data: Path, server: str) -> Iterator[clients.Client]:
    """Yields a client of the server named, else of the one that serves `data`, else of one started here.

    Raises:
        errors.UnavailableError: a server was named and does not answer.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(spans.exporting("actuary", lambda line: typer.echo(f"warning: {line}", err=True)))
        # all calls of a command are one trace
        stack.enter_context(tracing.span("actuary"))
        if not server:
            check_folder(data)
        address = server or serving(data) or stack.enter_context(_own(data)).address
        yield stack.enter_context(clients.Client(address))


def _own(data: Path) -> contextlib.AbstractContextManager[embedded.Host]:
    """A server in this process."""
    from actuary import logs
    from actuary.cli import embedded, settings

    logs.configure(level="error")  # the progress display says what goes on
    process = settings.ProcessSettings().for_folder(data)
    return embedded.serving(process, address="127.0.0.1:0", folder=data)


def check_folder(data: Path) -> None:
    """Makes sure that a data folder can be one: it is there, or may be made.

    Raises:
        errors.InvalidInputError: it is a file, or below one.
    """
    there = next(path for path in (data.absolute(), *data.absolute().parents) if path.exists())
    if not there.is_dir():
        raise errors.InvalidInputError(f"--data: expected a folder, {there} is a file")


def served(data: Path, server: str) -> bool:
    """Whether a server that outlives this command does the work."""
    return bool(server) or serving(data) is not None


def options(data: Path, server: str) -> str:
    """The options with which another command reaches the same server; empty where the defaults do."""
    if server:
        return f"--server {server}"
    return "" if data == DEFAULT_DATA else f"--data {shlex.quote(str(data))}"


def serving(data: Path) -> str | None:
    """Returns the address of the server that serves a data folder, if one answers."""
    try:
        document = json.loads((data / _FILE).read_text(encoding="utf-8"))
        address, pid = str(document["address"]), int(document["pid"])
        # of a server that was killed the file stays, and its port may be another server's by now
        os.kill(pid, 0)
    except PermissionError:
        pass  # somebody else's process, and alive
    except (OSError, ValueError, KeyError):
        return None
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1.0):
            return address
    except OSError:
        return None


def announce(data: Path, address: str) -> None:
    """Leaves the address for other commands; replaces what a server that died left."""
    data.mkdir(parents=True, exist_ok=True)
    path = data / f".{_FILE}.{os.getpid()}"
    path.write_text(json.dumps({"address": address, "pid": os.getpid()}), encoding="utf-8")
    path.replace(data / _FILE)


def withdraw(data: Path) -> None:
    """Removes the address that this process left."""
    try:
        document = json.loads((data / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if document.get("pid") == os.getpid():
        (data / _FILE).unlink(missing_ok=True)

"""`actuary doctor`: tries what a run needs, before a run needs it.

Each check does the thing itself (writes an object, takes a lease, binds a port, opens the model) rather than
asking whether it could be done, and says what to do where it failed. One failure hides no other: every check
runs. It buys nothing and labels nothing.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import itertools
import platform
import shutil
import socket
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer

from actuary import __version__, errors
from actuary import client as clients
from actuary.cli import session, settings

LEAST_FREE_BYTES = 1 << 30
"""Free space below which a run is likely to stop half-way; a guess."""
_PYTHON = ((3, 11), (3, 14))
_OPTIONAL = {"torch": "training", "scikit-learn": "the sample and models on text", "pandas": "export_pandas"}
"""Packages of extras, and what is missing without them."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found."""

    name: str
    passed: bool
    text: str
    """What is there, or what is wrong and what to do about it."""


Check = Callable[[], str]
"""Does one thing and returns what it found; raises an ActuaryError that says what to do."""


def doctor(spec: str, data: Path, address: str) -> None:
    """Runs every check, prints a line each, and exits with 1 if one failed."""
    process = settings.ProcessSettings().for_folder(data)
    checks: list[tuple[str, Check]] = [
        ("versions", versions),
        ("space", lambda: space(data)),
        ("store", lambda: store(process.store_uri)),
        ("database", lambda: database(process.database_url)),
        ("port", lambda: port(data, address)),
    ]
    findings = [_run(name, check) for name, check in checks]
    findings += campaign(spec) if spec else []
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        lines = finding.text.splitlines() or [""]
        typer.echo(f"{'ok  ' if finding.passed else 'FAIL'}  {finding.name:<{width}}  {lines[0]}")
        for line in lines[1:]:
            typer.echo(f"{'':{width + 8}}{line}")
    failed = sum(not finding.passed for finding in findings)
    if failed:
        typer.echo(f"{failed} of {len(findings)} checks failed", err=True)
        sys.exit(1)
    if not spec:
        typer.echo("all is well; a campaign's file can be checked as well: actuary doctor my-campaign")
    else:
        typer.echo(f"all is well; go on: actuary run {spec}")


def versions() -> str:
    """Python and the packages of the extras."""
    here = sys.version_info[:2]
    if not _PYTHON[0] <= here < _PYTHON[1]:
        message = f"expected Python 3.11 to 3.13, got {platform.python_version()}: install with another one"
        raise errors.PreconditionError(message)
    missing = []
    for package, use in _OPTIONAL.items():
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            missing.append(f"without {package} (for {use})")
    found = [f"Actuary {__version__}", f"Python {platform.python_version()}", *missing]
    return ", ".join(found)


def space(data: Path) -> str:
    """Free space where the data folder is or will be."""
    there = next(path for path in (data.absolute(), *data.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < LEAST_FREE_BYTES:
        message = (
            f"{there}: {_gigabytes(free)} free, expected 1 GB at least: make room, or take another --data"
        )
        raise errors.ExhaustedError(message)
    return f"{_gigabytes(free)} free at {there}"


def store(uri: str) -> str:
    """Writes, reads, lists and deletes an object, and checks that none is written over."""
    from actuary.storage import location

    opened = location.open_store(uri)
    key = f"doctor/{uuid.uuid4().hex}"
    content = key.encode()
    try:
        opened.put(key, content, if_absent=True)
        if opened.put(key, b"another", if_absent=True):
            message = "writes over objects although told not to: take a store that knows If-None-Match"
            raise errors.PreconditionError(f"{opened.uri}: {message}")
        if opened.get(key) != content or [info.key for info in opened.list(key)] != [key]:
            raise errors.DataLossError(f"{opened.uri}: what was read or listed is not what was written")
    finally:
        opened.delete(key)
    if opened.stat(key) is not None:
        raise errors.PreconditionError(f"{opened.uri}: {key} was deleted and is still there")
    return f"{opened.uri}: writes, reads, lists, deletes, writes over nothing"


def database(url: str) -> str:
    """Migrates, and takes and gives back a lease."""
    from actuary.state import database as databases
    from actuary.state import leases

    path = url.removeprefix("sqlite:///")
    if path != url:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    opened = databases.Database.open(url)
    try:
        opened.migrate()
        table = leases.Leases(opened)
        lease = table.acquire(f"doctor/{uuid.uuid4().hex}", "doctor", 5.0)
        if lease is None:
            raise errors.PreconditionError("a lease that nobody holds was not given: is the clock right?")
        table.release(lease)
    finally:
        opened.close()
    # a password may be in the URL
    shown = url if path != url else url.split("://", 1)[0] + "://" + url.rsplit("@", 1)[-1]
    return f"{shown}: migrated, writes"


def port(data: Path, address: str) -> str:
    """Binds the address of a server, unless one serves the data folder already."""
    running = session.serving(data)
    if running is not None:
        return f"{data} is served at {running}"
    host, separator, number = address.rpartition(":")
    if not separator or not number.isdigit():
        raise errors.InvalidInputError(f"--address: expected host:port, got {address!r}")
    try:
        with socket.create_server((host or "127.0.0.1", int(number))):
            pass
    except OSError as error:
        message = (
            f"cannot listen on {address} ({error.strerror}): name another, actuary up --address {host}:0"
        )
        raise errors.PreconditionError(message) from error
    return f"{address} is free"


def campaign(spec: str) -> list[Finding]:
    """Checks a campaign.yaml: its fields and prices, the first rows of its data, its models."""
    found: list[Finding] = []
    form: dict[str, Any] = {}

    def fields() -> str:
        form.update(_checked(spec))
        budget = form["budget"]
        labels = budget.get("human_labels") or f"{float(budget.get('human_share', 0)):.0%} of the items as"
        return f"fields, ranges and prices are right; {labels} human labels"

    found.append(_run("campaign.yaml", fields))
    if not found[-1].passed:
        return found
    inputs: set[str] = set()

    def rows() -> str:
        text, kinds = _first_rows(form["data"])
        inputs.update(kinds)
        return text

    found.append(_run("data", rows))
    for part, name in (("annotator", "annotator"), ("critic", "critic")):
        model = form.get(part, {}).get("model")
        if model:
            found.append(_run(f"{name} model", lambda model=model: _model(model, form["task"], inputs)))  # type: ignore[misc]
    return found


def _run(name: str, check: Check) -> Finding:
    try:
        return Finding(name=name, passed=True, text=check())
    except errors.ActuaryError as error:
        return Finding(name=name, passed=False, text=error.message)


def _checked(spec: str) -> dict[str, Any]:
    """Reads the file as the server would: field rules, then how fields fit together."""
    from google.protobuf import json_format

    from actuary.campaign import samples
    from actuary.campaign import spec as specs
    from actuary.rpc import validation

    document = samples.campaign(spec) if spec in samples.NAMES else clients.load(spec)[1]
    message = clients.parse(document)
    form: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    validation.check(message, further=lambda _: specs.violations(specs.parse(form)))
    return form


def _first_rows(data: dict[str, Any]) -> tuple[str, set[str]]:
    """Opens the source and reads its first batch; returns what to say and which inputs the items have."""
    from actuary.campaign import findings, work

    source = work.source(data)
    problems = findings.Findings()
    batches: Iterator[Any] = source.batches(problems)
    first = list(itertools.islice(batches, 1))
    problems.raise_if_any()
    if not first:
        raise errors.InvalidInputError(f"{source.name}: expected at least one item, got none")
    columns = first[0].rows.schema.names
    kinds = {name for name in ("text", "image", "question") if name in columns}
    size = source.size()
    about = "" if source.kind in ("parquet", "images", "sample") else "about "
    return f"{source.name}: {about}{size.rows:,} items with {', '.join(columns)}", kinds


def _model(model: dict[str, Any], task: dict[str, Any], inputs: set[str]) -> str:
    """Checks that the model can do it, and opens it where it needs no exemplars."""
    from actuary.models import forms, protocol, registry

    spec = protocol.ModelSpec(
        kind=model["kind"], uri=model.get("uri") or None, options=dict(model.get("options") or {})
    )
    registry.check(spec, inputs=inputs)  # type: ignore[arg-type]
    if registry.KINDS[spec.kind].needs_exemplars:
        return f"{spec.kind}: can do it, once it has seen the exemplars"
    classes = tuple(each["name"] for each in task["classes"])
    context = protocol.ModelContext(classes=classes, open=forms.open_file)
    opened = registry.open_model(spec, context)
    return f"{opened.capabilities.model}: opened, can do it"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"

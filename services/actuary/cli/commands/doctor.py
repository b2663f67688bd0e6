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
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from actuary import __version__, errors
from actuary import client as clients
from actuary.cli import session, settings

LEAST_FREE_BYTES = 1 << 30
"""Free space below which a run is likely to stop half-way; a guess."""
MOST_READ_BYTES = 64 << 20
"""Larger data are not read whole to be checked; the import does that."""
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
    findings += campaign(spec, process.database_url) if spec else []
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


def campaign(spec: str, database_url: str) -> list[Finding]:
    """Checks a campaign.yaml: its fields and prices, its name, its data, its budget, its models."""
    found: list[Finding] = []
    form: dict[str, Any] = {}

    def fields() -> str:
        form.update(checked(spec))
        return "fields, ranges and prices are right"

    found.append(_run("campaign.yaml", fields))
    if not found[-1].passed:
        return found
    found.append(_run("name", lambda: _name(spec, form, database_url)))
    counted = _Counted()
    found.append(_run("data", lambda: _data(form, counted)))
    if counted.pool is not None:
        found.append(_run("budget", lambda: _budget(form, int(counted.pool or 0), counted.slices)))
    inputs = counted.inputs
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
    except OSError as error:
        text = f"{error.filename or 'this machine'}: {error.strerror or error}"
        return Finding(name=name, passed=False, text=text)


def checked(spec: str) -> dict[str, Any]:
    """Reads the file as the server would: field rules, then how fields fit together.

    Raises:
        errors.InvalidInputError: with every violation.
    """
    from google.protobuf import json_format

    from actuary.campaign import samples
    from actuary.campaign import spec as specs
    from actuary.rpc import validation

    document = samples.campaign(spec) if spec in samples.NAMES else clients.load(spec)[1]
    message = clients.parse(document)
    form: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    validation.check(message, further=lambda _: specs.violations(specs.parse(form)))
    return form


def pool_items(form: dict[str, Any]) -> tuple[int | None, tuple[int, ...]]:
    """Counts the items to label, in all and by slice; None where the data are too large to be read for it.

    Args:
        form: what `checked` returns.

    Raises:
        errors.InvalidInputError: the data are not there, or wrong.
    """
    counted = _Counted()
    _data(form, counted)
    return counted.pool, counted.slices


@dataclasses.dataclass(slots=True)
class _Counted:
    """What reading the data showed."""

    inputs: set[str] = dataclasses.field(default_factory=set)
    """Which of text, image and question the items have."""
    pool: int | None = None
    """Items to label; None where the data are too large to be read for it, or wrong."""
    slices: tuple[int, ...] = ()
    """Of them, those of each slice."""


def _name(spec: str, form: dict[str, Any], database_url: str) -> str:
    """Whether another campaign is under the name that `actuary run` would take."""
    from actuary.campaign import policy, samples
    from actuary.state import campaigns as campaign_state
    from actuary.state import database as databases

    campaign_id = spec if spec in samples.NAMES else clients.load(spec)[0]
    opened = databases.Database.open(database_url)
    try:
        there = campaign_state.Campaigns(opened).get(clients.full_name(campaign_id))
    except errors.NotFoundError:
        return f"{campaign_id} is free"
    finally:
        opened.close()
    if there.state == policy.CANCELLED:
        raise errors.PreconditionError(f"{there.name} was cancelled for good: run with --id {campaign_id}-2")
    if there.spec != form and not policy.replaceable(there.state, there.results, there.spec, form):
        fields = sorted(key for key in {*there.spec, *form} if there.spec.get(key) != form.get(key))
        message = f"{there.name} is there with another {', '.join(fields)}: run with --id {campaign_id}-2"
        raise errors.PreconditionError(message)
    return f"{there.name} is there, {there.state.lower()}: actuary run goes on with it"


def _data(form: dict[str, Any], counted: _Counted) -> str:
    """Reads the data as an import does, all of it unless it is large, and says what is there."""
    from actuary.campaign import buckets

    uri = form["data"]["uri"]
    if buckets.has(uri):
        size = buckets.size(uri)
        if size > MOST_READ_BYTES:
            return f"{uri}: {_gigabytes(size)}; too large to be fetched for a look, the import reads it"
    with tempfile.TemporaryDirectory(prefix="actuary-doctor-") as scratch:
        return _rows(form, counted, Path(scratch))


def _rows(form: dict[str, Any], counted: _Counted, scratch: Path) -> str:
    import pyarrow.compute as pc

    from actuary.campaign import embeddings, findings, row_checks, slices, work

    source = work.source(form["data"], scratch)
    size = source.size()
    whole = size.bytes <= MOST_READ_BYTES
    classes = [each["name"] for each in form["task"]["classes"]]
    problems = findings.Findings()
    batches: Iterator[Any] = source.batches(problems)
    counts = dict.fromkeys(row_checks.SPLITS, 0)
    parts, vectors = slices.Tally(source.columns.slice), embeddings.Check(source.columns.embedding)
    for batch in batches if whole else itertools.islice(batches, 1):
        columns = dict(zip(batch.rows.schema.names, batch.rows.columns, strict=True))
        counted.inputs.update(name for name in ("text", "image", "question") if name in columns)
        report = row_checks.Reporter(source, problems, batch.first_row, columns["item_id"])
        row_checks.check_content(columns.get("text"), columns.get("image"), report)
        if "label" in columns:
            row_checks.checked_label(columns["label"], classes, report)
        splits = row_checks.checked_split(columns["split"], report) if "split" in columns else None
        if "slice" in columns:
            pool = None if splits is None else pc.equal(splits, row_checks.POOL)
            parts.add(slices.checked(columns["slice"], report), pool, report)
        if "embedding" in columns:
            vectors(columns["embedding"], report)
        if splits is None:
            counts[row_checks.POOL] += batch.rows.num_rows
            continue
        for split in splits.to_pylist():
            counts[split] = counts.get(split, 0) + 1
    problems.raise_if_any()
    if not sum(counts.values()):
        raise errors.InvalidInputError(f"{source.name}: expected at least one item, got none")
    inputs = " and ".join(sorted(counted.inputs))
    if not whole:
        return f"{source.name}: about {size.rows:,} items with {inputs}; of so many only the first were read"
    counted.pool = counts[row_checks.POOL]
    counted.slices = tuple(parts.items.values())
    others = [f"{counts[s]:,} {s}" for s in (row_checks.TEST, row_checks.EXEMPLAR) if counts[s]]
    if counted.slices:
        others.append(f"{len(counted.slices):,} slices of {min(counted.slices):,} to {max(counted.slices):,}")
    inputs += f", embeddings of {vectors.width:,} numbers" if vectors.width else ""
    known = f", truth in {form['data']['truth_column']!r}" if form["data"].get("truth_column") else ""
    return ", ".join([f"{source.name}: {counted.pool:,} items to label", *others]) + f"; {inputs}{known}"


def _budget(form: dict[str, Any], items: int, slices: Sequence[int]) -> str:
    """How the budget is divided, once the items are counted."""
    from actuary.campaign import budgeting
    from actuary.campaign import spec as specs

    wanted = specs.parse(form)
    found = budgeting.budgeted(wanted, items, slices)
    budgeting.check_training(wanted, found)
    rest = found.labels - found.pilot - found.audit
    audit = f", audit {found.audit:,}" if found.audit else ""
    return f"{found.labels:,} human labels: pilot {found.pilot:,}{audit}, {rest:,} where it pays"


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

"""Commands about campaigns: run, watch, steer, top up, list, export, report."""

from __future__ import annotations

import json
import sys
import time
import uuid
from pathlib import Path

import typer

from actuary import client as clients
from actuary import errors
from actuary.cli import session
from actuary.cli.console import words
from actuary.v1 import campaign_pb2

_ACT_SECONDS = 5.0
"""How long a command waits to see a controller act; what was asked for is written either way."""
_ENDED = frozenset(campaign_pb2.Campaign.State.Value(name) for name in clients.ENDED)


def run(spec: str, *, data: Path, campaign_id: str, as_json: bool, seed: int | None, server: str) -> None:
    """Creates a campaign, or takes it up again, and follows it to its end."""
    from actuary.campaign import samples
    from actuary.cli.console import progress, summary

    if spec in samples.NAMES:
        default_id, document = spec, samples.campaign(spec)
    else:
        default_id, document = clients.load(spec)
    if seed is not None:
        document["seed"] = seed
    started = time.monotonic()
    at = session.options(data, server)
    with session.connect(data, server) as client:
        try:
            created = client.create(document, campaign_id=campaign_id or default_id)
            _take_up(client, created)
            with progress.live(as_json=as_json, at=at) as view:
                for response in client.watch(created.name, min_interval_seconds=0.2):
                    view.show(response)
        except KeyboardInterrupt:
            typer.echo("stopped; the same command goes on from here", err=True)
            raise
        campaign = client.get(created.name)
    seconds = _seconds(campaign) or time.monotonic() - started
    if as_json:
        typer.echo(json.dumps(summary.results_json(campaign, seconds=seconds), ensure_ascii=False))
    else:
        summary.show(campaign, seconds=seconds)
    if campaign.state not in (campaign_pb2.Campaign.SUCCEEDED, campaign_pb2.Campaign.BUDGET_EXHAUSTED):
        _why(campaign, at)
        sys.exit(1)


def _take_up(client: clients.Client, campaign: campaign_pb2.Campaign) -> None:
    """Tries the failed stage of a campaign again; whoever says `run` means that it is to go on."""
    if campaign.state == campaign_pb2.Campaign.CANCELLED:
        name = words.identifier(campaign)
        message = f"{campaign.name} was cancelled for good: start another one with --id {name}-2"
        raise errors.PreconditionError(message)
    if campaign.state == campaign_pb2.Campaign.FAILED:
        typer.echo(f"{campaign.name} failed before; trying its stage {campaign.stage!r} again", err=True)
        client.resume(campaign.name)


def _why(campaign: campaign_pb2.Campaign, at: str) -> None:
    """Says why a campaign failed, if it did, and what to do."""
    if campaign.state == campaign_pb2.Campaign.FAILED:
        for line in (f"error: {campaign.error.message}", *words.next_steps(campaign, at)):
            typer.echo(line, err=True)


def watch(campaign: str, *, data: Path, server: str) -> None:
    """Follows a campaign; where nobody serves the data folder, this goes on with its work."""
    from actuary.cli.console import progress

    at = session.options(data, server)
    with session.connect(data, server) as client:
        with progress.live(as_json=False, at=at) as view:
            for response in client.watch(campaign, min_interval_seconds=0.5):
                view.show(response)
        _why(client.get(campaign), at)


def steer(call: str, campaign: str, *, data: Path, server: str) -> None:
    """Approves, pauses, resumes or cancels, and says how the campaign stands then."""
    served = session.served(data, server)
    with session.connect(data, server) as client:
        getattr(client, call)(campaign)
        after = _acted(client, campaign, call)
    said(after)
    next_steps(after, served=served, at=session.options(data, server))


def top_up(campaign: str, labels: int, money: float, request_id: str, *, data: Path, server: str) -> None:
    """Adds to the budget."""
    served = session.served(data, server)
    with session.connect(data, server) as client:
        after = client.top_up(
            campaign,
            human_labels=labels,
            money_micros=round(money * 1_000_000),
            request_id=request_id or uuid.uuid4().hex,
        )
    said(after)
    purse = after.purse
    limits = [f"{purse.human_labels.limit:,} human labels"]
    if purse.money_micros.HasField("limit"):
        limits.append(words.money(purse.money_micros.limit))
    typer.echo(f"may now spend {' and '.join(limits)} in all")
    next_steps(after, served=served, at=session.options(data, server))


def list_all(*, data: Path, server: str) -> None:
    """Prints a line a campaign."""
    found = False
    with session.connect(data, server) as client:
        for campaign in client.list():
            found = True
            said(campaign)
    if not found:
        typer.echo("no campaign yet: actuary run digits, or actuary init FOLDER", err=True)


def export(campaign: str, path: Path, *, data: Path, server: str) -> None:
    """Writes the finished data set in the format of the file's ending."""
    from actuary.storage import files

    files.check(path)
    with session.connect(data, server) as client:
        table = client.export(campaign)
    files.write(table, path)
    typer.echo(f"wrote {table.num_rows} rows to {path}")


def report(campaign: str, path: Path, *, data: Path, server: str) -> None:
    """Writes the report."""
    with session.connect(data, server) as client:
        client.report(campaign, path)
    typer.echo(f"wrote {path}")


def _acted(client: clients.Client, campaign: str, call: str) -> campaign_pb2.Campaign:
    """Returns the campaign once its controller has acted on a call, or as it is after some seconds."""
    state = campaign_pb2.Campaign.State
    before: frozenset[int] = {
        "approve": frozenset({state.Value("WAITING_FOR_APPROVAL")}),
        "resume": frozenset({state.Value("PAUSED"), state.Value("FAILED")}),
    }.get(call, frozenset())
    wanted = {"pause": state.Value("PAUSED"), "cancel": state.Value("CANCELLED")}.get(call)
    end = time.monotonic() + _ACT_SECONDS
    while True:
        found = client.get(campaign)
        done = found.state == wanted if wanted is not None else found.state not in before
        if done or found.state in _ENDED or time.monotonic() > end:
            return found
        time.sleep(0.05)


def said(campaign: campaign_pb2.Campaign) -> None:
    """Says in a line how a campaign stands, and why it failed or paused."""
    wave = f", wave {campaign.wave}" if campaign.wave else ""
    stage = f" ({words.stage(campaign.stage)}{wave})" if campaign.stage not in ("", "done") else wave
    title = f"  {campaign.display_name}" if campaign.display_name else ""
    typer.echo(f"{words.identifier(campaign)}: {words.state(campaign)}{stage}{title}")
    if campaign.error.message:
        typer.echo(f"  {campaign.error.message}")


def next_steps(campaign: campaign_pb2.Campaign, *, served: bool, at: str) -> None:
    """Says what a person can do now; where nobody serves the data, that somebody has to."""
    for line in words.next_steps(campaign, at):
        typer.echo(line)
    if not served and campaign.state not in (*_ENDED, campaign_pb2.Campaign.PAUSED):
        command = " ".join(part for part in ("actuary watch", words.identifier(campaign), at) if part)
        typer.echo(f"nothing serves it now; it goes on with: {command}")


def _seconds(campaign: campaign_pb2.Campaign) -> float:
    """From creation to the last change: what the campaign took, whoever watched it."""
    if not campaign.HasField("create_time") or not campaign.HasField("update_time"):
        return 0.0
    taken = campaign.update_time.ToDatetime() - campaign.create_time.ToDatetime()
    return float(taken.total_seconds())

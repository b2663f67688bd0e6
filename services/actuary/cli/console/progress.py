"""Follows a campaign on a terminal: every stage with its bar, rate, time left and cost.

On a terminal the view is redrawn in place; anywhere else each stage gets a line when it begins and one when
it ends, so that a log stays readable. It writes to standard error only: standard output is for results.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

import rich.bar
import rich.console
import rich.live
import rich.spinner
import rich.table
import rich.text

from actuary.cli.console import words
from actuary.v1 import campaign_pb2, campaign_service_pb2

_QUIET = "bright_black"
_MOVING = frozenset({campaign_pb2.Campaign.CREATED, campaign_pb2.Campaign.RUNNING})


class View(Protocol):
    """Shows a campaign as it changes."""

    def show(self, response: campaign_service_pb2.WatchCampaignResponse) -> None:
        """Takes the campaign as it is now."""


@contextlib.contextmanager
def live(*, as_json: bool, at: str = "", console: rich.console.Console | None = None) -> Iterator[View]:
    """Yields a view for the time of the block.

    Args:
        as_json: whether standard output belongs to a machine; the view then keeps to plain lines.
        at: options that commands need to find the campaign, `--data FOLDER` for example.
        console: where to write; by default standard error.
    """
    console = console or rich.console.Console(stderr=True, highlight=False)
    if as_json or not console.is_terminal:
        yield PlainView(console, at)
        return
    with rich.live.Live(console=console, refresh_per_second=8, transient=False) as display:
        yield LiveView(display, console, at)


class LiveView:
    """Redraws the whole state in place."""

    def __init__(self, display: rich.live.Live, console: rich.console.Console, at: str = "") -> None:
        self._display = display
        self._console = console
        self._at = at
        self._spinner = rich.spinner.Spinner("dots", style="cyan")

    def show(self, response: campaign_service_pb2.WatchCampaignResponse) -> None:
        """Takes the campaign as it is now."""
        self._display.update(
            draw(response, height=self._console.size.height, spinner=self._spinner, at=self._at),
            refresh=True,
        )


class PlainView:
    """Writes a line when a stage begins, a line when it ends, and a line when the state changes."""

    def __init__(self, console: rich.console.Console, at: str = "") -> None:
        self._console = console
        self._at = at
        self._begun: set[str] = set()
        self._ended: set[str] = set()
        self._state: int | None = None
        self._waiting: dict[str, str] = {}

    def show(self, response: campaign_service_pb2.WatchCampaignResponse) -> None:
        """Takes the campaign as it is now."""
        campaign = response.campaign
        for stage in campaign.stages:
            name = words.stage(stage.stage)
            if stage.job not in self._begun:
                self._begun.add(stage.job)
                self._line(f"{name}: began")
            if stage.waiting and self._waiting.get(stage.job) != stage.waiting:
                self._waiting[stage.job] = stage.waiting
                self._line(f"{name}: waits: {stage.waiting}")
            if stage.HasField("end_time") and stage.job not in self._ended:
                self._ended.add(stage.job)
                parts = [f"{name}: ended"]
                if stage.done_count:
                    parts.append(f"{stage.done_count:,} items")
                seconds = _seconds(stage)
                if seconds is not None:
                    parts.append(words.duration(seconds))
                if stage.cost_micros:
                    parts.append(words.money(stage.cost_micros))
                self._line(", ".join(parts))
        if campaign.state != self._state:
            self._state = campaign.state
            self._line(f"{campaign.name}: {words.state(campaign)}")
            for line in _hints(campaign, self._at):
                self._line(line)

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)


def draw(
    response: campaign_service_pb2.WatchCampaignResponse,
    *,
    height: int,
    spinner: rich.console.RenderableType = "…",
    at: str = "",
) -> rich.console.Group:
    """Draws the state of a campaign; of many stages the latest that fit into `height` lines."""
    campaign = response.campaign
    head = rich.text.Text.assemble(
        (words.identifier(campaign), "bold"),
        "  ",
        (words.state(campaign), "green" if campaign.state == campaign_pb2.Campaign.SUCCEEDED else "cyan"),
        (f"  wave {campaign.wave}" if campaign.wave else "", _QUIET),
    )
    waiting = [f"{words.stage(s.stage)} waits: {s.waiting}" for s in campaign.stages if s.waiting]
    hints = [rich.text.Text(line, style="yellow") for line in [*waiting, *_hints(campaign, at)]]
    room = max(3, height - 6 - len(hints))
    hidden = max(0, len(campaign.stages) - room)
    table = rich.table.Table(box=None, padding=(0, 2, 0, 0), show_header=False, expand=False)
    table.add_column(width=1)
    table.add_column(no_wrap=True)
    table.add_column(width=20)
    for _ in range(4):
        table.add_column(justify="right", no_wrap=True, style=_QUIET)
    if hidden:
        table.add_row("[green]✓[/]", f"[{_QUIET}]{hidden} earlier stages[/]")
    running = [stage.job for stage in campaign.stages if not stage.HasField("end_time")]
    for stage in campaign.stages[hidden:]:
        _row(table, stage, response, spinner, latest=bool(running) and stage.job == running[-1])
    return rich.console.Group(head, table, _purse(campaign), *hints)


def _row(
    table: rich.table.Table,
    stage: campaign_pb2.StageProgress,
    response: campaign_service_pb2.WatchCampaignResponse,
    spinner: rich.console.RenderableType,
    *,
    latest: bool,
) -> None:
    name = words.stage(stage.stage)
    cost = words.money(stage.cost_micros) if stage.cost_micros else ""
    if stage.HasField("end_time"):
        done = f"{stage.done_count:,}" if stage.done_count else ""
        table.add_row("[green]✓[/]", name, "", done, "", words.duration(_seconds(stage)), cost)
        return
    at_work = response.campaign.state in _MOVING
    count = f"{stage.done_count:,}" + (f" of {stage.item_count:,}" if stage.item_count else "")
    bar: rich.console.RenderableType = ""
    if stage.item_count:
        bar = rich.bar.Bar(size=stage.item_count, begin=0, end=stage.done_count, color="cyan", width=20)
    rate = f"{response.items_per_second:,.0f} a second" if latest and response.items_per_second >= 1 else ""
    left = ""
    if latest and response.HasField("eta_seconds"):
        left = f"{words.duration(response.eta_seconds)} left"
    table.add_row(spinner if at_work else "[yellow]–[/]", name, bar, count, rate, left, cost)


def _purse(campaign: campaign_pb2.Campaign) -> rich.text.Text:
    labels, money = campaign.purse.human_labels, campaign.purse.money_micros
    text = rich.text.Text(style=_QUIET)
    if campaign.HasField("purse"):
        text.append(f"human labels {labels.settled:,}")
        text.append(f" of {labels.limit:,}" if labels.HasField("limit") else "")
        text.append(f"   money {words.money(money.settled)}")
        text.append(f" of {words.money(money.limit)}" if money.HasField("limit") else "")
    if campaign.HasField("create_time") and campaign.HasField("update_time"):
        taken = campaign.update_time.ToDatetime() - campaign.create_time.ToDatetime()
        text.append(f"   time {words.duration(taken.total_seconds())}")
    return text


def _hints(campaign: campaign_pb2.Campaign, at: str) -> list[str]:
    """What a person can do now, and why; of a failure the command itself tells, whole."""
    if campaign.state == campaign_pb2.Campaign.FAILED:
        return []
    lines = [campaign.error.message] if campaign.HasField("error") and campaign.error.message else []
    return [*lines, *words.next_steps(campaign, at)]


def _seconds(stage: campaign_pb2.StageProgress) -> float | None:
    if not stage.HasField("start_time") or not stage.HasField("end_time"):
        return None
    taken = stage.end_time.ToDatetime() - stage.start_time.ToDatetime()
    return float(taken.total_seconds())

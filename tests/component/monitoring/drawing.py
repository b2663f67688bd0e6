"""Dashboards as pictures, drawn from what Prometheus has, so that one can look at them without a Grafana.

A likeness for the eye: places, legends, units, thresholds and stacking are Grafana's, the rest is not.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import axes as plots
from matplotlib import figure, ticker

from component.monitoring import boards, prometheus

_POINTS = 240
_ROW_INCHES, _COLUMN_INCHES, _HEAD_INCHES = 0.42, 0.75, 0.5
_COLOURS = {
    "green": "#56a64b",
    "yellow": "#e0b400",
    "orange": "#ff780a",
    "red": "#e02f44",
    "blue": "#3274d9",
    "purple": "#a352cc",
}
_PALETTE = matplotlib.colormaps["tab20"].colors


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What is drawn: a Prometheus from one moment to another."""

    server: prometheus.Prometheus
    start: float
    end: float

    def series(self, query: boards.Query) -> list[tuple[str, list[tuple[float, float]]]]:
        """What a query shows: points by legend."""
        seconds = self.end - self.start
        found = self.server.series(query.filled(seconds), self.start, self.end, max(1.0, seconds / _POINTS))
        return [(legend(query, labels), points) for labels, points in found]


def legend(query: boards.Query, labels: prometheus.Labels) -> str:
    """A legend with its labels filled in, as Grafana does."""
    return re.sub(r"{{\s*(\w+)\s*}}", lambda match: labels.get(match[1], ""), query.legend)


def draw(seen: Seen, folder: Path) -> list[Path]:
    """Draws every dashboard into a folder."""
    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, board in boards.read().items():
        rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
        high = rows * _ROW_INCHES + _HEAD_INCHES
        page = figure.Figure(figsize=(24 * _COLUMN_INCHES, high), facecolor="#f4f5f5")
        for panel in board["panels"]:
            series = [each for query in boards.queries(name, panel) for each in seen.series(query)]
            axes = _place(page, panel, high)
            if panel["type"] == "stat":
                _stat(axes, panel, series)
            elif panel["type"] == "bargauge":
                _bars(axes, panel, series)
            else:
                _lines(axes, panel, series, seen)
        page.suptitle(board["title"], x=0.01, y=1 - 0.1 / high, ha="left", va="top")
        paths.append(folder / f"{name}.png")
        page.savefig(paths[-1], dpi=65)
    return paths


def _place(page: figure.Figure, panel: dict[str, Any], page_inches: float) -> plots.Axes:
    place = panel["gridPos"]
    top = 1 - (place["y"] * _ROW_INCHES + _HEAD_INCHES) / page_inches
    high, wide = place["h"] * _ROW_INCHES / page_inches, place["w"] / 24
    left, low, width, height = (0.12, 0.32, 0.84, 0.54)
    if _beside(panel):
        left, low, width, height = (0.07, 0.12, 0.5, 0.74)
    elif panel["type"] == "bargauge":
        left, low, width, height = (0.22, 0.08, 0.6, 0.78)
    box = (place["x"] / 24 + wide * left, top - high * (1 - low), wide * width, high * height)
    axes = page.add_axes(box, facecolor="white")
    axes.set_title(panel["title"], fontsize=10, loc="left", fontweight="bold")
    return axes


def _beside(panel: dict[str, Any]) -> bool:
    return panel["options"].get("legend", {}).get("placement") == "right"


def _colour(panel: dict[str, Any], value: float) -> str:
    """The colour of the threshold that a value has passed."""
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    passed = [step for step in steps if step["value"] is None or value >= step["value"]]
    return _COLOURS[passed[-1]["color"]]


def _fixed(panel: dict[str, Any]) -> dict[str, str]:
    """The colours of series that have one of their own."""
    return {
        each["matcher"]["options"]: _COLOURS[each["properties"][0]["value"]["fixedColor"]]
        for each in panel["fieldConfig"]["overrides"]
    }


def _unit(panel: dict[str, Any]) -> str:
    return panel["fieldConfig"]["defaults"].get("unit", "")


def _stat(axes: plots.Axes, panel: dict[str, Any], series: list[tuple[str, Any]]) -> None:
    axes.axis("off")
    for k, (name, points) in enumerate(series or [("", [(0, 0)])]):
        text = f"{name}  {_text(points[-1][1], _unit(panel))}" if series else "–"
        size, colour = 15 if len(series) < 3 else 11, _colour(panel, points[-1][1])
        axes.text(0, 0.8 - 0.55 * k, text, fontsize=size, va="top", color=colour, transform=axes.transAxes)


def _bars(axes: plots.Axes, panel: dict[str, Any], series: list[tuple[str, Any]]) -> None:
    values, fixed = [points[-1][1] for _, points in series], _fixed(panel)
    colours = [fixed.get(name, _colour(panel, points[-1][1])) for name, points in series]
    axes.barh(range(len(series)), values, color=colours)
    axes.set_yticks(range(len(series)), [name for name, _ in series], fontsize=7)
    axes.set_xlim(0, panel["fieldConfig"]["defaults"].get("max") or max([*values, 1e-9]))
    axes.set_xticks([])
    axes.invert_yaxis()
    for k, value in enumerate(values):
        axes.text(
            1.02, k, _text(value, _unit(panel)), fontsize=7, va="center",
            transform=axes.get_yaxis_transform(),
        )  # fmt: skip


def _lines(axes: plots.Axes, panel: dict[str, Any], series: list[tuple[str, Any]], seen: Seen) -> None:
    unit, custom = _unit(panel), panel["fieldConfig"]["defaults"].get("custom", {})
    fixed = _fixed(panel)
    stacking = custom.get("stacking", {}).get("mode") == "normal"
    times = np.unique([t for _, points in series for t, _ in points])
    below = np.zeros(len(times))
    for k, (name, points) in enumerate(series):
        known = dict(points)
        values = np.array([known.get(t, np.nan) for t in times])
        text = f"{name}  {_text(points[-1][1], unit)}, max {_text(np.nanmax(values), unit)}"
        colour = fixed.get(name, _PALETTE[k % len(_PALETTE)])
        if stacking:
            top = below + np.nan_to_num(values)
            axes.fill_between(times - seen.start, below, top, color=colour, alpha=0.5, lw=1, label=text)
            below = top
        else:
            axes.plot(times - seen.start, values, lw=1.5, color=colour, label=text)
    if custom.get("thresholdsStyle", {}).get("mode") == "dashed":
        for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1:]:
            axes.axhline(step["value"], color=_COLOURS["red"], lw=0.8, ls="--")
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: _text(value, unit)))
    axes.tick_params(labelsize=7)
    axes.set_xlim(0, seen.end - seen.start)
    if "axisSoftMin" in custom:
        lowest = min((value for _, points in series for _, value in points), default=0.0)
        axes.set_ylim(bottom=min(0.0, lowest))
    if series:
        beside = _beside(panel)
        anchor = (1.01, 1.05) if beside else (0, -0.12)
        size, columns = (5.5, 1) if beside else (6.5, 2)
        axes.legend(fontsize=size, loc="upper left", bbox_to_anchor=anchor, ncols=columns, frameon=False)


def _text(value: float, unit: str) -> str:
    """A number in one of the units that the dashboards use."""
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "currencyUSD":
        return rf"\${_number(value)}"
    if unit == "bytes":
        return f"{value / 2**20:,.0f} MiB"
    after = unit.removeprefix("suffix:") if unit.startswith("suffix:") else {"s": " s"}.get(unit, "")
    return f"{_number(value)}{after}".replace("$", r"\$")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"

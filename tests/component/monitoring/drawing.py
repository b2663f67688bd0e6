"""Dashboards as pictures, drawn from what Prometheus has, so that one can look at them without a Grafana.

A likeness for the eye: sizes, legends, units and stacking are Grafana's, colours and ticks are not.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import figure, ticker

from component.monitoring import boards, prometheus

_POINTS = 240
_ROW_INCHES, _COLUMN_INCHES = 0.42, 0.75


def legend(query: boards.Query, labels: prometheus.Labels) -> str:
    """A legend with its labels filled in, as Grafana does."""
    return re.sub(r"{{\s*(\w+)\s*}}", lambda match: labels.get(match[1], ""), query.legend)


def draw(server: prometheus.Prometheus, start: float, end: float, folder: Path) -> list[Path]:
    """Draws every dashboard from `start` to `end` into a folder."""
    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, board in boards.read().items():
        rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
        page = figure.Figure(figsize=(24 * _COLUMN_INCHES, rows * _ROW_INCHES + 0.5), facecolor="#f4f5f5")
        for panel in board["panels"]:
            _panel(page, rows, name, panel, server, start, end)
        page.suptitle(board["title"], x=0.01, y=1 - 0.1 / (rows * _ROW_INCHES + 0.5), ha="left", va="top")
        paths.append(folder / f"{name}.png")
        page.savefig(paths[-1], dpi=65)
    return paths


def _panel(
    page: figure.Figure,
    rows: int,
    board: str,
    panel: dict[str, Any],
    server: prometheus.Prometheus,
    start: float,
    end: float,
) -> None:
    place, unit = panel["gridPos"], panel["fieldConfig"]["defaults"].get("unit", "")
    bottom = 1 - (place["y"] + place["h"]) / (rows + 0.5 / _ROW_INCHES) - 0.5 / (rows * _ROW_INCHES + 0.5)
    high, wide = place["h"] / (rows + 0.5 / _ROW_INCHES), place["w"] / 24
    custom = panel["fieldConfig"]["defaults"].get("custom", {})
    beside = panel["options"].get("legend", {}).get("placement") == "right"
    box = (0.07, 0.12, 0.5, 0.74) if beside else (0.12, 0.32, 0.84, 0.54)
    axes = page.add_axes(
        (place["x"] / 24 + wide * box[0], bottom + high * box[1], wide * box[2], high * box[3]),
        facecolor="white",
    )
    axes.set_title(panel["title"], fontsize=10, loc="left", fontweight="bold")
    series = [
        (legend(query, labels), points)
        for query in boards.queries(board, panel)
        for labels, points in server.series(
            query.filled(end - start), start, end, max(1.0, (end - start) / _POINTS)
        )
    ]
    if panel["type"] == "stat":
        axes.axis("off")
        shown = [f"{name}  {_text(points[-1][1], unit)}" for name, points in series]
        axes.text(0, 0.4, "\n".join(shown) or "–", fontsize=15, va="center", transform=axes.transAxes)
        return
    stacking = custom.get("stacking", {}).get("mode") == "normal"
    times = np.unique([t for _, points in series for t, _ in points])
    below = np.zeros(len(times))
    for name, points in series:
        known = dict(points)
        values = np.array([known.get(t, np.nan) for t in times])
        text = f"{name}  {_text(points[-1][1], unit)}, max {_text(np.nanmax(values), unit)}"
        if stacking:
            axes.fill_between(
                times - start, below, below + np.nan_to_num(values), alpha=0.5, lw=1, label=text
            )
            below = below + np.nan_to_num(values)
        else:
            axes.plot(times - start, values, lw=1.5, label=text)
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: _text(value, unit)))
    axes.tick_params(labelsize=7)
    axes.set_xlim(0, end - start)
    if "axisSoftMin" in custom:
        lowest = min((value for _, points in series for _, value in points), default=0.0)
        axes.set_ylim(bottom=min(0.0, lowest))
    if series:
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

"""The report's plots: values -> inline SVG that takes its colours from the page.

Matplotlib draws with sentinel colours, which become CSS variables afterwards: one SVG serves light, dark and
paper. Text stays text, in the page's font. Each plot is drawn twice, for a wide and a narrow page, since a
scaled-down plot has unreadable letters. The same values give the same bytes. No legend is drawn: the page has
it as text, where it wraps.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from actuary import errors
from actuary.report import values as report_values

INK, MUTED, LINE, ACCENT, SECOND, SURFACE = (f"#0{n}0{n}0{n}" for n in range(1, 7))
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    ACCENT: "var(--accent)",
    SECOND: "var(--second)",
    SURFACE: "var(--surface)",
}
WIDE = (760, 340)
NARROW = (350, 290)
"""Width and height in CSS pixels."""

Figure = Any
Axes = Any


def quality_curve(
    curve: report_values.QualityCurve, machine: report_values.Interval | None, *, size: tuple[int, int]
) -> str:
    """Draws accuracy of the corrected labels against human labels."""

    def draw(axes: Axes) -> None:
        forecast = sorted(curve.forecast, key=lambda point: point.human_labels)
        labels = [point.human_labels for point in forecast]
        band = [point for point in forecast if point.low is not None and point.high is not None]
        axes.fill_between(
            [p.human_labels for p in band],
            [p.low for p in band],
            [p.high for p in band],
            color=ACCENT,
            alpha=0.16,
            linewidth=0,
        )
        axes.plot(labels, [p.estimate for p in forecast], color=ACCENT, linewidth=2)
        if curve.true:
            true = sorted(curve.true, key=lambda point: point.human_labels)
            axes.plot(
                [p.human_labels for p in true],
                [p.estimate for p in true],
                color=INK,
                linewidth=1.4,
                dashes=(4, 3),
            )
        if machine is not None and machine.estimate is not None:
            axes.axhline(machine.estimate, color=MUTED, linewidth=1, dashes=(1, 3))
        if curve.reached is not None:
            point = curve.reached
            if point.low is not None and point.high is not None:
                axes.plot([point.human_labels] * 2, [point.low, point.high], color=SECOND, linewidth=2)
            axes.plot(
                [point.human_labels],
                [point.estimate],
                marker="o",
                markersize=8,
                color=SECOND,
                markeredgecolor=SURFACE,
                markeredgewidth=1.5,
                zorder=5,
            )
        seen = [y for p in (*forecast, *curve.true, *([curve.reached] if curve.reached else []))
                for y in (p.low, p.estimate, p.high) if y is not None]  # fmt: skip
        if machine is not None and machine.estimate is not None:
            seen.append(machine.estimate)
        low, high = (min(seen), max(seen)) if seen else (0.0, 1.0)
        margin = max(0.01, (high - low) * 0.08)
        axes.set_ylim(max(0.0, low - margin), min(1.002, high + margin))
        axes.set_xlim(left=0 if not labels or min(labels) < 0.3 * max(labels) else None)
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
        axes.yaxis.set_major_formatter(_percent_formatter(axes))
        axes.set_xlabel("human labels", color=MUTED)

    return _draw(draw, size, salt="curve")


def reliability(quality: report_values.CriticQuality, *, size: tuple[int, int]) -> str:
    """Draws the observed share of wrong labels against the predicted risk, before and after calibration."""

    def draw(axes: Axes) -> None:
        curves = [(quality.raw, SECOND, "o", False), (quality.calibrated, ACCENT, "o", True)]
        top = 0.05
        for curve, *_ in curves:
            for each in curve.bins if curve else ():
                top = max(top, each.predicted, each.high)
        top = min(1.0, top) * 1.03
        axes.plot([0, top], [0, top], color=MUTED, linewidth=1, dashes=(1, 3))
        for curve, colour, marker, filled in curves:
            if curve is None:
                continue
            bins = sorted(curve.bins, key=lambda each: each.predicted)
            for each in bins:
                axes.plot(
                    [each.predicted] * 2, [each.low, each.high], color=colour, linewidth=1.2, alpha=0.55
                )
            axes.plot(
                [each.predicted for each in bins],
                [each.observed for each in bins],
                color=colour,
                linewidth=1.6 if filled else 1.1,
                marker=marker,
                markersize=7 if filled else 6,
                markerfacecolor=colour if filled else SURFACE,
                markeredgecolor=SURFACE if filled else colour,
                markeredgewidth=1.4,
            )
        axes.set_xlim(0, top)
        axes.set_ylim(0, top)
        axes.xaxis.set_major_formatter(_percent_formatter(axes))
        axes.yaxis.set_major_formatter(_percent_formatter(axes))
        axes.set_xlabel("risk that the critic predicted", color=MUTED)

    return _draw(draw, size, salt="reliability")


def _percent_formatter(axes: Axes) -> Callable[[float, object], str]:
    def write(value: float, _: object) -> str:
        low, high = axes.get_ylim()
        decimals = 0 if high - low > 0.06 else 1
        return f"{100 * value:.{decimals}f} %"

    return write


def _draw(draw: Callable[[Axes], None], size: tuple[int, int], *, salt: str) -> str:
    try:
        import matplotlib
        from matplotlib import ticker
        from matplotlib.backends import backend_svg
        from matplotlib.figure import Figure as MatplotlibFigure
    except ImportError as error:
        message = "the report's plots need matplotlib: install the extra, `pip install 'actuary[report]'`"
        raise errors.UnsupportedError(message) from error
    width, height = size
    settings = {"svg.fonttype": "none", "svg.hashsalt": f"actuary-{salt}-{width}", "font.size": 12}
    with matplotlib.rc_context(settings):
        figure = MatplotlibFigure(figsize=(width / 72, height / 72), dpi=72, facecolor="none")
        backend_svg.FigureCanvasSVG(figure)
        left, right, bottom, top = 52 / width, 1 - 12 / width, 46 / height, 1 - 10 / height
        axes = figure.add_axes((left, bottom, right - left, top - bottom), facecolor="none")
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color(LINE)
        axes.grid(axis="y", color=LINE, linewidth=1)
        axes.set_axisbelow(True)
        axes.tick_params(length=0, labelcolor=MUTED, pad=7)
        draw(axes)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(nbins=8 if width > 500 else 4))
        axes.yaxis.set_major_locator(ticker.MaxNLocator(nbins=6))
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _inline(stream.getvalue(), prefix=f"{salt}{width}-")


def _inline(svg: str, *, prefix: str) -> str:
    """Makes a stand-alone SVG fit to be part of a page: unique ids, no namespaces, the page's colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.S)
    svg = re.sub(r'\s(?:xmlns(?::\w+)?|version)="[^"]*"', "", svg)
    svg = svg.replace("xlink:href=", "href=")
    used = set(re.findall(r'(?:href="#|url\(#)([\w.-]+)', svg))
    svg = re.sub(r'\sid="([^"]+)"', lambda m: f' id="{prefix}{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}", svg)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]+", r"font-size: \1px", svg)
    for sentinel, variable in _VARIABLES.items():
        svg = svg.replace(sentinel, variable)
    svg = re.sub(r'<svg[^>]*?viewBox="([^"]+)"[^>]*>', r'<svg viewBox="\1" focusable="false">', svg, count=1)
    return re.sub(r"\n\s*", "\n", svg).strip()


def describe_curve(curve: report_values.QualityCurve) -> str:
    """Says in words what `quality_curve` shows, for those who do not see it."""
    points = sorted(curve.forecast, key=lambda point: point.human_labels)
    parts = ["Line chart of the accuracy of the corrected labels against human labels."]
    if points:
        first, last = points[0], points[-1]
        parts.append(
            f"Forecast from {_percent(first.estimate)} at {first.human_labels:,} labels "
            f"to {_percent(last.estimate)} at {last.human_labels:,}."
        )
    if curve.reached is not None:
        parts.append(
            f"Reached: {_percent(curve.reached.estimate)} with {curve.reached.human_labels:,} labels."
        )
    return " ".join(parts)


def describe_reliability(quality: report_values.CriticQuality) -> str:
    """Says in words what `reliability` shows."""
    pairs = ", ".join(
        f"{_percent(each.predicted)} predicted, {_percent(each.observed)} observed"
        for each in quality.calibrated.bins
    )
    return f"Reliability diagram of the critic's risk after calibration: {pairs or 'no bins'}."


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def strip_range(intervals: Sequence[report_values.Interval | None]) -> tuple[float, float]:
    """Chooses the common scale of interval strips: tens of percent around everything shown."""
    seen = [
        value
        for each in intervals
        if each is not None
        for value in (each.estimate, each.low, each.high, each.true)
        if value is not None
    ]
    if not seen:
        return 0.0, 1.0
    low = max(0.0, math.floor(10 * min(seen) - 1e-9) / 10)
    high = min(1.0, math.ceil(10 * max(seen) + 1e-9) / 10)
    return (low, high) if high > low else (max(0.0, low - 0.1), high)

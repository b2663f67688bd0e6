"""From boards and panels as plain values to the JSON that Grafana reads.

Panels flow from left to right, 24 columns a line. Nothing here knows a metric.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog import encoder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models

from dashboards import selection

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "actuary"
COLOURS: Mapping[str, Mapping[str, str]] = {
    "state": {
        "RUNNING": "green",
        "SUCCEEDED": "green",
        "WAITING_FOR_PEOPLE": "blue",
        "WAITING_FOR_APPROVAL": "purple",
        "PAUSED": "yellow",
        "BUDGET_EXHAUSTED": "orange",
        "FAILED": "red",
    },
    "outcome": {
        "LABELLED": "green",
        "LABEL": "green",
        "ABSTAINED": "yellow",
        "CANNOT_TELL": "yellow",
        "OVER_BUDGET": "orange",
        "FAILED": "red",
    },
    "code": {"OK": "green", "UNAVAILABLE": "orange", "INTERNAL": "red", "DATA_LOSS": "red"},
    "agreed": {"yes": "green", "no": "red"},
}
"""Of values of labels that say how good something is. All other series have a colour by their name, the same
on every panel."""


class Kind(enum.Enum):
    """How a panel draws."""

    LINES = enum.auto()
    STACKED = enum.auto()
    """Lines that add up, areas filled."""
    STAT = enum.auto()
    """The last value as a number."""
    BARS = enum.auto()
    """The last value of each series as a bar: for what is said of the whole time shown."""


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """From where on a value wants attention, and from where on somebody."""

    warn: float | None = None
    bad: float | None = None
    low: bool = False
    """Whether values below, not above, are meant."""

    def steps(self) -> list[models.Threshold]:
        """Grafana's form: a colour from each value upwards."""
        marks = [(at, colour) for at, colour in ((self.warn, "yellow"), (self.bad, "red")) if at is not None]
        if not self.low:
            return [models.Threshold(color="green"), *(models.Threshold(v, c) for v, c in marks)]
        found, colour = [], "green"
        for value, below in marks:
            found.append(models.Threshold(value, colour))
            colour = below
        return [models.Threshold(color=colour), *reversed(found)]


@dataclasses.dataclass(frozen=True, slots=True)
class Panel:
    """One panel."""

    title: str
    queries: Mapping[str, str]
    """PromQL by legend."""
    unit: str
    """One of Grafana's units."""
    text: str
    """What it means, and what to do when it looks bad."""
    kind: Kind = Kind.LINES
    width: int = 8
    """Columns of 24; from 12 on the legend stands at the right."""
    from_zero: bool = True
    """Whether the axis begins at 0; not where small differences between large values matter."""
    limits: Limits | None = None

    @property
    def height(self) -> int:
        """Rows of Grafana's grid."""
        return 4 if self.kind is Kind.STAT else 8


@dataclasses.dataclass(frozen=True, slots=True)
class Board:
    """One dashboard."""

    name: str
    """Of its file; its uid is `actuary-NAME`."""
    title: str
    text: str
    panels: Sequence[Panel]
    selected: Sequence[str] = (selection.NAMESPACE,)
    """Labels whose values are chosen at the top."""


def render(board: Board) -> str:
    """The JSON of a dashboard, keys sorted."""
    built = (
        dashboard.Dashboard(board.title)
        .uid(f"actuary-{board.name}")
        .description(board.text)
        .tags([TAG])
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .link(
            dashboard.DashboardLink("Actuary")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .include_vars(True)
            .keep_time(True)
        )
    )
    for label in board.selected:
        built = built.with_variable(selection.variable(label, SOURCE))
    for panel in board.panels:
        built = built.with_panel(_panel(panel, board.selected))
    return encoder.JSONEncoder(sort_keys=True, indent=2).encode(built.build()) + "\n"


def _panel(panel: Panel, selected: Sequence[str]) -> stat.Panel | bargauge.Panel | timeseries.Panel:
    # of a range that is the time shown, only the last value says what the title says
    instant = panel.kind is Kind.BARS or any("$__range" in query for query in panel.queries.values())
    made: stat.Panel | bargauge.Panel | timeseries.Panel
    if panel.kind is Kind.STAT:
        made = _stat(panel, graph=not instant)
    elif panel.kind is Kind.BARS:
        made = _bars(panel)
    else:
        made = _lines(panel)
    made = (
        made.title(panel.title)
        .description(panel.text)
        .datasource(SOURCE)
        .unit(panel.unit)
        .span(panel.width)
        .height(panel.height)
    )
    for index, (legend, expression) in enumerate(panel.queries.items()):
        query = prometheus.Dataquery().datasource(SOURCE).legend_format(legend).ref_id(chr(ord("A") + index))
        query = query.expr(selection.select(expression, selected))
        if panel.kind in (Kind.STAT, Kind.BARS) and instant:
            query = query.instant()
        made = made.with_target(query)
    return made


def _stat(panel: Panel, *, graph: bool) -> stat.Panel:
    last = common.ReduceDataOptions().calcs(["lastNotNull"])
    mode = options.BigValueGraphMode.AREA if graph else options.BigValueGraphMode.NONE
    return stat.Panel().reduce_options(last).graph_mode(mode).no_value("–").thresholds(_thresholds(panel))


def _bars(panel: Panel) -> bargauge.Panel:
    last = common.ReduceDataOptions().calcs(["lastNotNull"])
    made = (
        bargauge.Panel()
        .reduce_options(last)
        .orientation(options.VizOrientation.HORIZONTAL)
        .display_mode(options.BarGaugeDisplayMode.BASIC)
        .thresholds(_thresholds(panel))
        .no_value("–")
        .min(0)
    )
    for name, colour in _coloured(panel.queries):
        made = made.override_by_name(name, [_fixed(colour)])
    return made.max(1) if panel.unit == "percentunit" else made


def _lines(panel: Panel) -> timeseries.Panel:
    legend = (
        common.VizLegendOptions()
        .display_mode(options.LegendDisplayMode.TABLE)
        .placement(options.LegendPlacement.BOTTOM if panel.width < 12 else options.LegendPlacement.RIGHT)
        .calcs(["lastNotNull", "max"])
        .show_legend(True)
    )
    tooltip = common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI)
    by_name = dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME)
    made = timeseries.Panel().legend(legend).tooltip(tooltip).line_width(2).color_scheme(by_name)
    for name, colour in _coloured(panel.queries):
        made = made.override_by_name(name, [_fixed(colour)])
    if panel.unit == "short":
        made = made.decimals(0)
    if panel.from_zero:
        made = made.axis_soft_min(0)
    if panel.limits is not None:
        dashed = common.GraphThresholdsStyleConfig().mode(options.GraphThresholdsStyleMode.DASHED)
        made = made.thresholds(_thresholds(panel)).thresholds_style(dashed)
    if panel.kind is not Kind.STACKED:
        return made.fill_opacity(5 if panel.from_zero else 0)
    return made.fill_opacity(30).stacking(common.StackingConfig().mode(options.StackingMode.NORMAL))


def _fixed(colour: str) -> models.DynamicConfigValue:
    return models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})


def _coloured(legends: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The names of series that have a colour of their own, with it."""
    for legend in legends:
        for label, colours in COLOURS.items():
            place = f"{{{{{label}}}}}"
            if place in legend:
                yield from ((legend.replace(place, value), colour) for value, colour in colours.items())


def _thresholds(panel: Panel) -> dashboard.ThresholdsConfig:
    # without any of ours Grafana takes its own, and every number above 80 is red
    steps = [models.Threshold(color="blue")] if panel.limits is None else panel.limits.steps()
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)

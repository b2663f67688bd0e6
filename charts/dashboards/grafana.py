"""From boards and panels as plain values to the JSON that Grafana reads.

Panels flow from left to right, 24 columns a line. Nothing here knows a metric.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog import encoder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "actuary"


class Kind(enum.Enum):
    """How a panel draws."""

    LINES = enum.auto()
    STACKED = enum.auto()
    """Lines that add up, areas filled."""
    STAT = enum.auto()
    """The last value as a number."""


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
    for panel in board.panels:
        built = built.with_panel(_panel(panel))
    return encoder.JSONEncoder(sort_keys=True, indent=2).encode(built.build()) + "\n"


def _panel(panel: Panel) -> stat.Panel | timeseries.Panel:
    made = _stat() if panel.kind is Kind.STAT else _lines(panel)
    made = (
        made.title(panel.title)
        .description(panel.text)
        .datasource(SOURCE)
        .unit(panel.unit)
        .span(panel.width)
        .height(panel.height)
    )
    for index, (legend, expression) in enumerate(panel.queries.items()):
        query = prometheus.Dataquery().datasource(SOURCE).expr(expression).legend_format(legend)
        made = made.with_target(query.ref_id(chr(ord("A") + index)))
    return made


def _stat() -> stat.Panel:
    last = common.ReduceDataOptions().calcs(["lastNotNull"])
    return stat.Panel().reduce_options(last).graph_mode(options.BigValueGraphMode.AREA).no_value("–")


def _lines(panel: Panel) -> timeseries.Panel:
    legend = (
        common.VizLegendOptions()
        .display_mode(options.LegendDisplayMode.TABLE)
        .placement(options.LegendPlacement.BOTTOM if panel.width < 12 else options.LegendPlacement.RIGHT)
        .calcs(["lastNotNull", "max"])
        .show_legend(True)
    )
    tooltip = common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI)
    made = timeseries.Panel().legend(legend).tooltip(tooltip).line_width(2)
    if panel.from_zero:
        made = made.axis_soft_min(0)
    if panel.kind is not Kind.STACKED:
        return made.fill_opacity(5 if panel.from_zero else 0)
    return made.fill_opacity(30).stacking(common.StackingConfig().mode(options.StackingMode.NORMAL))

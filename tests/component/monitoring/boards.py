"""The checked-in dashboards as Grafana reads them: panels, and queries with the variables filled in."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from component.monitoring import prometheus


@dataclasses.dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel."""

    board: str
    panel: str
    legend: str
    expression: str

    def filled(self, seconds: float) -> str:
        """PromQL without Grafana's variables, over a range of that many seconds."""
        values = {
            "$__rate_interval": "10s",
            "$__range": f"{seconds:.0f}s",
            "$namespace": ".*",  # All, which also takes series without the label
            "$instance": ".*",
        }
        text = self.expression
        for variable, value in values.items():
            text = text.replace(variable, value)
        return text

    def __str__(self) -> str:
        return f"{self.board} / {self.panel} / {self.legend}"


def read() -> dict[str, dict[str, Any]]:
    """Every dashboard by the name of its file."""
    files = sorted((prometheus.CHART / "dashboards").glob("*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in files}


def queries(board: str, panel: dict[str, Any]) -> list[Query]:
    """The queries of one panel."""
    return [
        Query(board, panel["title"], target["legendFormat"], target["expr"]) for target in panel["targets"]
    ]


def every_query() -> Iterator[Query]:
    """The queries of all panels."""
    for name, board in read().items():
        for panel in board["panels"]:
            yield from queries(name, panel)

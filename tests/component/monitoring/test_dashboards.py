"""Every query of every dashboard, asked of a real Prometheus that scraped services during two campaigns."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from component.monitoring import boards, drawing

pytestmark = [pytest.mark.real, pytest.mark.slow]

QUERIES = list(boards.every_query())
QUIET = {
    "Paused": "no campaign is",
    "Failed or out of money": "no campaign is",
    "Retries": "models that run in the worker's process never refuse",
    "Failed share": "models that run in the worker's process always answer",
    "Abstained share": "nor do they give anything but a class",
    "Without any label": "every item has one",
    "Loops without a leader": "one process leads all",
    "Jobs waiting": "local processes find a place at once",
    "Waiting Jobs": "local processes find a place at once",
    "Calls that failed": "none does",
    "Restarts": "no worker dies",
    "Items done again": "no worker dies",
    "Calls to the API server": "Jobs are local processes",
    "Watchers": "nobody watches",
    "Items left": "a Job may be done between two scrapes",
    "Time to the end of open Jobs": "a Job may be done between two scrapes",
}
"""Panels that may rightly show 0 all the time, by title."""


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_a_query_answers_with_numbers(watched, query):
    found = watched.server.values(query.filled(watched.seconds))
    assert found, f"{query}: no answer to {query.filled(watched.seconds)}"
    assert all(math.isfinite(value) for _, value in found), found


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_a_query_shows_what_happened(watched, query):
    series = watched.server.series(query.filled(watched.seconds), watched.start, watched.end, 1.0)
    values = [value for _, points in series for _, value in points]
    assert all(math.isfinite(value) for value in values)
    assert any(values) or query.panel in QUIET, f"{query}: always 0"


def test_a_legend_tells_the_series_of_a_panel_apart(watched):
    for query in QUERIES:
        legends = [drawing.legend(query, labels) for labels, _ in watched.server.values(query.filled(60))]
        assert len(set(legends)) == len(legends), (str(query), legends)


def test_every_alert_rule_is_evaluated_without_error_and_none_fires(watched):
    (group,) = watched.server.get("rules")["groups"]
    assert len(group["rules"]) >= 11
    for rule in group["rules"]:
        assert (rule["health"], rule.get("lastError", "")) == ("ok", ""), rule["name"]
        assert rule["state"] != "firing", rule["name"]


def test_dashboards_can_be_drawn(watched, pytestconfig, tmp_path):
    folder = Path(pytestconfig.getoption("preview", None) or tmp_path)
    drawn = drawing.draw(drawing.Seen(watched.server, watched.start, watched.end), folder)
    assert [path.name for path in drawn] == [f"{name}.png" for name in boards.read()]

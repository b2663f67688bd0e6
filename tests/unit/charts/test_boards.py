"""Dashboards, rules and the table of metrics say what `actuary.metrics` says, and are not out of date."""

from __future__ import annotations

import doctest
import json
import re
from pathlib import Path

import pytest
import yaml
from grafana_foundation_sdk.cog import encoder, plugins
from grafana_foundation_sdk.models import dashboard as models

from actuary import metrics
from dashboards import __main__ as program
from dashboards import boards, grafana, selection, table

CHART = Path(__file__).parents[3] / "charts" / "actuary"
RULES = yaml.safe_load((CHART / "rules" / "actuary.yaml").read_text())["groups"][0]["rules"]
OF_PROMETHEUS = {"job", "instance", "namespace", "le"}
UNITS = {"short", "percentunit", "currencyUSD", "s", "bytes", "cps", "reqps"}
PANELS = [
    pytest.param(board, panel, id=f"{board.name} {panel.title}")
    for board in boards.BOARDS
    for panel in board.panels
]
EXPRESSIONS = [
    *(
        pytest.param(expression, id=f"{board.name} {panel.title} {legend}")
        for board in boards.BOARDS
        for panel in board.panels
        for legend, expression in panel.queries.items()
    ),
    *(pytest.param(rule["expr"], id=rule["alert"]) for rule in RULES),
]


def known() -> dict[str, dict[str, tuple[str, ...] | None]]:
    """Labels by the name of a series, each with its values; None where the set is not written down."""
    found: dict[str, dict[str, tuple[str, ...] | None]] = {
        figure.name + "_total" * figure.counts: dict(figure.labels) for figure in metrics.FIGURES.values()
    }
    closed = {"loop": metrics.LOOPS, "verb": metrics.VERBS}
    for metric in metrics.OF_PROCESSES:
        (family,) = metric.describe()
        ends = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("_total",)}.get(family.type, ("",))
        labels = {label: closed.get(label) for label in metric._labelnames}
        found |= {family.name + end: labels for end in ends}
    return found


def names(expression: str) -> set[str]:
    return set(re.findall(r"\bactuary_\w+", expression))


def test_checked_in_files_are_what_the_program_writes():
    wanted = program.files()
    assert set(program.FOLDER.glob("*.json")) == set(wanted), "run `make dashboards`"
    for path, text in wanted.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is out of date: run `make dashboards`"
    assert table.FILE.read_text(encoding="utf-8") == table.render(), "out of date: run `make docs-metrics`"


def test_the_table_names_every_series():
    shown = set(re.findall(r"^\| `(\w+)`", table.render(), flags=re.MULTILINE))
    assert shown == {re.sub("_(bucket|count|sum)$", "", name) for name in known()} - {
        "actuary_rpc_seconds"
    } | {"actuary_rpc_seconds"}


def test_every_metric_is_on_a_dashboard():
    shown = {
        name
        for board in boards.BOARDS
        for panel in board.panels
        for expression in panel.queries.values()
        for name in names(expression)
    }
    assert set(known()) - shown == {"actuary_rpc_seconds_sum"}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_query_names_metrics_labels_and_values_that_there_are(expression):
    series = known()
    assert names(expression) <= set(series)
    labels = {label for name in names(expression) for label in series[name]} | OF_PROMETHEUS
    for named in re.findall(r"\b(?:by|on|ignoring|without) \(([^)]*)\)", expression):
        assert {each.strip() for each in named.split(",")} - {""} <= labels, named
    for name, selector in re.findall(r"\b(actuary_\w+){([^}]*)}", expression):
        for label, text in re.findall(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"', selector):
            values = series[name][label]
            if values is not None:
                assert set(text.split("|")) <= set(values), (name, label, text)


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_a_panel_explains_itself(board, panel):
    assert panel.title
    assert re.fullmatch(r"[^ ].{30,}[.]", panel.text), panel.text
    assert panel.unit in UNITS or panel.unit.startswith("suffix:")
    assert all(panel.queries)
    for legend, expression in panel.queries.items():
        for label in re.findall(r"{{(\w+)}}", legend):
            assert label in expression or label in OF_PROMETHEUS, (
                f"{legend}: nothing in {expression} keeps it"
            )


def test_selection_is_as_its_examples_say():
    assert doctest.testmod(selection).attempted > 1
    assert doctest.testmod(selection).failed == 0


@pytest.mark.parametrize("board", boards.BOARDS, ids=lambda board: board.name)
def test_every_series_of_a_board_is_of_the_namespaces_that_are_chosen(board):
    made = json.loads((program.FOLDER / f"{board.name}.json").read_text())
    for panel in made["panels"]:
        for target in panel["targets"]:
            series = re.findall(r"\b(?:actuary|process)_\w+(?:{[^{}]*})?", target["expr"])
            assert series
            assert all('namespace=~"$namespace"}' in each or ",instance=~" in each for each in series)
    for variable in made["templating"]["list"][1:]:
        assert (variable["allValue"], variable["current"]["value"]) == (".*", "$__all")


@pytest.mark.parametrize("board", boards.BOARDS, ids=lambda board: board.name)
def test_colours_are_ours_where_a_number_is_coloured(board):
    """Without thresholds in the file Grafana takes its own: red from 80 on, whatever is counted."""
    for panel in json.loads((program.FOLDER / f"{board.name}.json").read_text())["panels"]:
        if panel["type"] in ("stat", "bargauge"):
            steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
            assert steps[0]["value"] is None
            values = [step["value"] for step in steps[1:]]
            assert values == sorted(values)


def test_limits_colour_what_is_too_high_or_too_low():
    def colours(limits):
        return [(step.value, step.color) for step in limits.steps()]

    assert colours(grafana.Limits(1, 5)) == [(None, "green"), (1, "yellow"), (5, "red")]
    assert colours(grafana.Limits(bad=5)) == [(None, "green"), (5, "red")]
    assert colours(grafana.Limits(0.8, 0.6, low=True)) == [(None, "red"), (0.6, "yellow"), (0.8, "green")]
    assert colours(grafana.Limits(0.8, low=True)) == [(None, "yellow"), (0.8, "green")]


def test_what_is_said_of_the_whole_time_shown_is_asked_once():
    for board in boards.BOARDS:
        made = json.loads((program.FOLDER / f"{board.name}.json").read_text())
        for panel in made["panels"]:
            for target in panel["targets"]:
                if panel["type"] == "bargauge" or (panel["type"] == "stat" and "$__range" in target["expr"]):
                    assert target["instant"]


def test_boards_are_linked_and_take_any_data_source():
    uids = []
    for board in boards.BOARDS:
        made = json.loads((program.FOLDER / f"{board.name}.json").read_text())
        uids.append(made["uid"])
        assert [(link["type"], link["tags"]) for link in made["links"]] == [("dashboards", made["tags"])]
        chosen = [variable["name"] for variable in made["templating"]["list"]]
        assert chosen == ["datasource", *board.selected]
        titles = [panel["title"] for panel in made["panels"]]
        assert len(set(titles)) == len(titles)
        for panel in made["panels"]:
            for part in (panel, *panel["targets"]):
                assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert len(set(uids)) == len(boards.BOARDS) == 6


@pytest.mark.parametrize("board", boards.BOARDS, ids=lambda board: board.name)
def test_grafana_knows_every_key_of_a_file(board):
    text = (program.FOLDER / f"{board.name}.json").read_text()
    plugins.register_default_plugins()
    read = models.Dashboard.from_json(json.loads(text))
    assert json.loads(encoder.JSONEncoder().encode(read)) == json.loads(text)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_what_it_means_and_what_to_do(rule):
    assert rule["alert"].startswith("Actuary")
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert all(len(rule["annotations"][part]) > 40 for part in ("description", "runbook"))
    for label in re.findall(r"\$labels\.(\w+)", str(rule["annotations"])):
        assert label in rule["expr"]

"""METRICS.md: every metric that Actuary exports, from `actuary.metrics`, and every alert, from the rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from actuary import metrics

FILE = Path(__file__).resolve().parents[1] / "actuary" / "METRICS.md"
RULES = FILE.parent / "rules" / "actuary.yaml"
_HEAD = """# Metrics

Every process serves them on its metrics port (`--metrics-port`, 9411 in the chart). `make docs-metrics`
writes this file.

## About the work

Kept in the database, and exported only by the process whose controller leads: a sum over processes counts
nothing twice, and totals survive every restart.

| metric | type | labels | meaning |
|---|---|---|---|
"""
_PROCESSES = """
## About a process

Exported by every process about itself. `process_…` and `python_…` of the Prometheus client come with them.

| metric | type | labels | meaning |
|---|---|---|---|
"""
_ALERTS = """
## Alerts

Those of [rules/actuary.yaml](rules/actuary.yaml); each alert carries these texts as its annotations.

| alert | severity | when | what it means | what to do |
|---|---|---|---|---|
"""


def render() -> str:
    """The whole file."""
    figures = [
        _row(
            figure.name + "_total" * figure.counts,
            "counter" if figure.counts else "gauge",
            tuple(figure.labels),
            figure.help,
        )
        for figure in metrics.FIGURES.values()
    ]
    processes = []
    for metric in metrics.OF_PROCESSES:
        (family,) = metric.describe()
        name = family.name + "_total" * (family.type == "counter")
        processes.append(_row(name, family.type, metric._labelnames, family.documentation))
    (group,) = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    alerts = "".join(_alert(rule) for rule in group["rules"])
    return _HEAD + "".join(figures) + _PROCESSES + "".join(processes) + _ALERTS + alerts


def _row(name: str, kind: str, labels: tuple[str, ...], text: str) -> str:
    shown = ", ".join(f"`{label}`" for label in labels) or "none"
    return f"| `{name}` | {kind} | {shown} | {text.replace('|', chr(92) + '|')} |\n"


def _alert(rule: Mapping[str, Any]) -> str:
    texts = rule["annotations"]
    for_long = f"for {rule['for']}" if "for" in rule else "at once"
    cells = (rule["alert"], rule["labels"]["severity"], for_long, texts["description"], texts["runbook"])
    return "| " + " | ".join(_plain(cell) for cell in cells) + " |\n"


def _plain(text: str) -> str:
    """A text of an alert where no alert fills its values in."""
    text = re.sub(r"{{ \$labels\.(\w+) }}", lambda found: found[1].upper(), text)
    return re.sub(r"{{ \$value }}", "N", text).replace("|", "\\|")


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")

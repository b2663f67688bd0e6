"""METRICS.md: every metric that Actuary exports, from `actuary.metrics`."""

from __future__ import annotations

from pathlib import Path

from actuary import metrics

FILE = Path(__file__).resolve().parents[1] / "actuary" / "METRICS.md"
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
    return _HEAD + "".join(figures) + _PROCESSES + "".join(processes)


def _row(name: str, kind: str, labels: tuple[str, ...], text: str) -> str:
    shown = ", ".join(f"`{label}`" for label in labels) or "none"
    return f"| `{name}` | {kind} | {shown} | {text.replace('|', chr(92) + '|')} |\n"


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")

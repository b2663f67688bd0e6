"""Turns `ReportValues` into one HTML page that needs nothing else: no script, no font, no image from outside.

Everything that comes from data is escaped; a content security policy in the page forbids loading anything.
The page is light or dark as the reader's system is, prints on paper, and every plot has its
numbers as a table.
"""

from __future__ import annotations

from typing import Any

import jinja2
import markupsafe

from actuary.report import figures, formats
from actuary.report import values as report_values

SUSPICIOUS_SHOWN = 48
"""Cards on the page; more than anybody looks at."""

_environment = jinja2.Environment(
    loader=jinja2.PackageLoader("actuary.report", "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters.update(
    percent=formats.percent,
    points=formats.points,
    count=formats.count,
    money=formats.money,
    duration=formats.duration,
    data_uri=formats.data_uri,
    shorten=formats.shorten,
    stage=formats.stage,
)


def render(values: report_values.ReportValues) -> str:
    """Renders a report; the same values give the same bytes.

    Raises:
        errors.UnsupportedError: there is something to plot and matplotlib is not installed.
    """
    accuracies = [values.machine_accuracy, values.corrected_accuracy]
    classes = [each.corrected_accuracy for each in values.class_results]
    slices = [
        each for part in values.slice_results for each in (part.machine_accuracy, part.corrected_accuracy)
    ]
    tests = [each.accuracy for each in values.training.accuracies] if values.training else []
    return _environment.get_template(
        "report.html.j2"
    ).render(
        v=values,
        title=values.title or values.name.rsplit("/", 1)[-1],
        css=markupsafe.Markup(_source("report.css")),  # ours, no data in it
        accuracy_scale=figures.strip_range(accuracies),
        share_scale=figures.strip_range([each.share for each in values.class_results]),
        class_scale=figures.strip_range(classes),
        slice_scale=figures.strip_range(slices),
        test_scale=figures.strip_range(tests),
        curve=_curve(values),
        reliability=_reliability(values),
        suspicious=values.suspicious[:SUSPICIOUS_SHOWN],
        spend_total=sum(stage.cost_micros for stage in values.spend),
        methods=formats.METHODS,
        verdicts=formats.VERDICTS,
        state_note=formats.STATES.get(values.state, ""),
        strata_meaning=formats.STRATA,
        training_sets=formats.TRAINING_SETS,
    )


def _curve(values: report_values.ReportValues) -> dict[str, Any] | None:
    curve = values.curve
    if curve is None or len(curve.forecast) < 2:
        return None
    return {
        "wide": _svg(figures.quality_curve(curve, values.machine_accuracy, size=figures.WIDE)),
        "narrow": _svg(figures.quality_curve(curve, values.machine_accuracy, size=figures.NARROW)),
        "words": figures.describe_curve(curve),
    }


def _reliability(values: report_values.ReportValues) -> dict[str, Any] | None:
    quality = values.critic_quality
    if quality is None or not quality.calibrated.bins:
        return None
    return {
        "wide": _svg(figures.reliability(quality, size=figures.WIDE)),
        "narrow": _svg(figures.reliability(quality, size=figures.NARROW)),
        "words": figures.describe_reliability(quality),
    }


def _svg(drawing: str) -> markupsafe.Markup:
    # drawn from numbers only: no text of a data set reaches a plot
    return markupsafe.Markup(drawing)


def _source(name: str) -> str:
    loader = _environment.loader
    if loader is None:  # pragma: no cover - the environment above has one
        raise jinja2.TemplateNotFound(name)
    return loader.get_source(_environment, name)[0]

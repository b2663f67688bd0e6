"""From the pilot to the curve of quality against budget. Pure; the mathematics is `stats.quote`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from actuary import errors
from actuary.sampler import planning, risking, weighing
from actuary.stats import intervals, quote

POINTS = 20
"""Budgets along the curve, besides the one that was asked for."""


def quote_points(
    model: risking.Model,
    *,
    items: int,
    pilot: int,
    labels: int,
    audit: int,
    spent: weighing.Weighing,
    label_micros: int,
    machine_micros: int,
    double_share: float = 0.0,
) -> dict[str, Any]:
    """Forecasts the corrected labels' accuracy along a grid of budgets.

    Args:
        model: the calibrated critic with the pilot's rows.
        items: items to label, N.
        pilot: labels that the pilot has used.
        labels: the budget that the campaign asked for; always among the points.
        audit: labels of the uniform audit.
        spent: how the rest would be.
        label_micros: price of a label.
        machine_micros: what the models will have cost, as the pilot tells it.
        double_share: share of items that two people label.

    Returns:
        The output fields of the message `Quote`, in JSON form.

    Raises:
        errors.PreconditionError: nobody labelled any of the pilot.
    """
    n = model.items
    if n == 0:
        message = (
            "no item of the pilot has both a label that people agree on and a machine label: nothing can be "
            "quoted from it. Look at the answers and the annotations, mend the task or the model, and start "
            "another campaign."
        )
        raise errors.PreconditionError(message, reason="NO_PILOT")
    least = max(n, pilot)
    most = least + math.ceil((max(items, n) - n) * planning.labels_an_item(double_share) - 1e-9)
    grid = np.unique(np.append(np.linspace(least, most, POINTS).round(), min(max(labels, least), most)))
    # labels of the pilot that told nothing are spent all the same: they count as budget, not as items
    budgets = [min(n + planning.items_for(int(b) - least, double_share), items) for b in grid]
    points = quote.curve(
        model.wrong_final,
        model.eps_final,
        max(items, n),
        budgets,
        quote.Plan(**spent.to_record(), audit=min(audit, items)),
        model.alpha,
    )
    found = int(model.wrong.sum())
    bounds = intervals.clopper_pearson(found, n, model.alpha)
    return {
        "points": [
            {
                "human_labels": str(int(labels_spent)),
                "money_micros": str(int(labels_spent) * label_micros + machine_micros),
                "corrected_accuracy": {
                    "estimate": point.accuracy,
                    "low": point.low,
                    "high": point.high,
                    "method": point.method,
                },
            }
            for point, labels_spent in zip(points, grid, strict=True)
        ],
        "machine_accuracy": {
            "estimate": 1.0 - found / n,
            "low": 1.0 - bounds.high,
            "high": 1.0 - bounds.low,
            "method": "clopper-pearson",
        },
    }

"""From the pilot to the curve of quality against budget. Pure; the mathematics is `stats.quote`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from actuary import errors
from actuary.sampler import effort, planning, risking
from actuary.stats import intervals, quote, weighing

POINTS = 40
"""Budgets along the curve, besides the one that was asked for: answers are as fine as these."""
NEXT = 100
"""Labels whose gain is forecast at every point."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the pilot tells besides the risk model; what it does not tell is None or empty."""

    people: effort.People | None = None
    machines: effort.Machines | None = None
    answers: Sequence[str] = ()
    """The labels that people gave."""
    unfollowed: str = ""
    """Why the critic is not followed."""


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
    gold_share: float = 0.0,
    told: Told | None = None,
) -> dict[str, Any]:
    """Forecasts the corrected labels' accuracy along a grid of budgets, with what each takes.

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
        gold_share: share of the labels after the pilot that buy no item.
        told: what else the pilot tells.

    Returns:
        The output fields of the message `Quote`, in JSON form.

    Raises:
        errors.PreconditionError: nobody labelled any of the pilot.
    """
    told = told or Told()
    n = model.items
    if n == 0:
        message = (
            "no item of the pilot has both a label that people agree on and a machine label: nothing can be "
            "quoted from it. Look at the answers and the annotations, mend the task or the model, and start "
            "another campaign."
        )
        raise errors.PreconditionError(message, reason="NO_PILOT")
    least = max(n, pilot)
    a_label = planning.labels_an_item(double_share) / (1.0 - gold_share)
    most = least + math.ceil((max(items, n) - n) * a_label - 1e-9)
    asked = min(max(labels, least), most)
    grid = np.unique(np.append(np.linspace(least, most, POINTS).round(), asked))
    plan = quote.Plan(**spent.to_record(), audit=min(audit, items))
    pilot_rows, population = (model.wrong_final, model.eps_final), max(items, n)

    def items_of(number: int) -> int:
        # labels of the pilot that told nothing are spent all the same: they count as budget, not as items
        bought = math.ceil((1.0 - gold_share) * (number - least) - 1e-9)
        return min(n + planning.items_for(bought, double_share), items)

    budgets = [items_of(int(each)) for each in grid]
    points = quote.curve(*pilot_rows, population, budgets, plan, model.alpha)
    found: list[dict[str, Any]] = []
    for point, number in zip(points, (int(each) for each in grid), strict=True):
        form: dict[str, Any] = {
            "human_labels": str(number),
            "money_micros": str(number * label_micros + machine_micros),
            "corrected_accuracy": interval(point.accuracy, point.low, point.high, point.method),
        }
        more = min(NEXT, most - number)
        if (step := items_of(number + more) - point.labels) > 0:
            gained = quote.gain(*pilot_rows, population, point.labels, step, plan, model.alpha)
            form["next"] = next_gain(gained, more, population)
        found.append(form | taken(number, pilot, items, label_micros, machine_micros, told))
    wrong = int(model.wrong.sum())
    bounds = intervals.clopper_pearson(wrong, n, model.alpha)
    machine = interval(1.0 - wrong / n, 1.0 - bounds.high, 1.0 - bounds.low, "clopper-pearson")
    return {
        "basis": "pilot",
        "points": found,
        "machine_accuracy": machine,
        "notes": _notes(machine, asked, most, label_micros, machine_micros, told),
    }


def next_gain(gained: quote.Gain, labels: int, items: int) -> dict[str, Any]:
    """A gain with what it is a label: `labels` pay fewer items where some are labelled twice."""
    a_label = items / labels
    return {
        "human_labels": str(labels),
        "accuracy": interval(gained.accuracy, gained.low, gained.high, gained.method),
        "corrected_per_label": interval(
            a_label * gained.accuracy, a_label * gained.low, a_label * gained.high, gained.method
        ),
    }


def taken(
    labels: int,
    pilot: int,
    items: int,
    label_micros: int,
    machine_micros: int,
    told: Told,
    method: str = "wald",
) -> dict[str, Any]:
    """Money, people's hours and wall time of a budget, each as a range, where the pilot tells them."""
    form: dict[str, Any] = {}
    if told.machines is not None:
        low, high = told.machines.money(machine_micros)
        form["money_micros_low"] = str(labels * label_micros + low)
        form["money_micros_high"] = str(labels * label_micros + high)
    if told.people is not None:
        work = told.people.seconds
        form["human_seconds"] = interval(labels * work.value, labels * work.low, labels * work.high, method)
    if told.people is not None and told.machines is not None:
        # people wait for the machines: the plan is drawn when all is labelled
        wall = effort.plus(
            told.people.wall(max(0, labels - pilot)), told.machines.wall(max(0, items - pilot))
        )
        form["wall_seconds"] = interval(wall.value, wall.low, wall.high, method)
    return form


def _notes(
    machine: dict[str, Any], asked: int, most: int, label_micros: int, machine_micros: int, told: Told
) -> list[str]:
    """Says where the machine's labels, or the critic, do not help."""
    notes = [told.unfollowed] if told.unfollowed else []
    if told.answers:
        names, counts = np.unique(np.asarray(told.answers), return_counts=True)
        best = int(counts.argmax())
        share = counts[best] / counts.sum()
        if machine["low"] <= share:
            notes.append(
                "The machine labels have not been shown to help: on the pilot they are right for "
                f"{percent(machine['estimate'])} ({percent(machine['low'])} at least), and to answer "
                f"{str(names[best])!r} always is right for {percent(share)}."
            )
    return notes + dearer(asked, most, label_micros, machine_micros)


def dearer(asked: int, most: int, label_micros: int, machine_micros: int) -> list[str]:
    """Says so where people alone would label every item for no more money than a budget comes to."""
    everything, budget = most * label_micros, asked * label_micros + machine_micros
    if not label_micros or everything > budget:
        return []
    return [
        f"The machine labels do not save money: people alone would label every item for "
        f"{dollars(everything)}, and this budget comes to {dollars(budget)}, machines included."
    ]


def percent(share: float) -> str:
    """Writes a share as a percentage."""
    return f"{100 * share:.1f} %"


def dollars(micros: float) -> str:
    """Writes micro-dollars as dollars."""
    return f"${micros / 1e6:,.2f}"


def interval(estimate: float, low: float, high: float, method: str) -> dict[str, Any]:
    """The message `Interval` in JSON form."""
    return {"estimate": float(estimate), "low": float(low), "high": float(high), "method": method}

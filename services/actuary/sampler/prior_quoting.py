"""From assumptions to the curve of quality against budget, before there is any label.

The mathematics is `stats.assumed` and `stats.prior_quote`; the curve has the form of a quote from the pilot
(`quoting`), so that whatever reads the one reads the other. Every answer begins by saying that nothing in it
was measured. Pure, and nothing is stored.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from actuary import errors
from actuary.sampler import effort, planning, quoting
from actuary.stats import assumed, budgets, prior_quote, quote, risk, weighing

ASSUMED = "assumed"
"""How the interval of a time was made: it is what somebody assumed."""

LEAST_PILOT = risk.MIN_LABELS
"""Labels of the smallest pilot."""

_SUPPORT = 0.5
"""Level at which a critic is followed (`worth.Worth.supported`): the score as it came and a fitted model bet
with half of the stake each, and whichever is right has to make up for the other."""

_PILOTS = 24
"""Sizes of the pilot that are tried, each some percent above the one before."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What a label takes, in money or time: between two ends of at least 0."""

    low: float
    high: float

    @property
    def mean(self) -> effort.Mean:
        """Its middle, and the ends."""
        return effort.Mean(value=(self.low + self.high) / 2.0, low=self.low, high=self.high)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is assumed, and what is to be bought."""

    items: int
    """N."""
    labels: int
    """The budget, in human labels."""
    accuracy: assumed.Range
    """Of the machine."""
    auroc: assumed.Range
    """Of the critic after its calibration."""
    weighing: weighing.Weighing = dataclasses.field(default_factory=weighing.Weighing)
    """How the labels after pilot and audit are spent."""
    pilot: int | None = None
    """Labels of the pilot; None for the pilot that pays best."""
    audit: int | None = None
    """Items of the uniform audit; None for the default of the rule."""
    classes: int = 2
    alpha: float = 0.05
    double_share: float = 0.0
    label_micros: int = 0
    money_micros: int | None = None
    """A cap on all the money."""
    item_micros: Span | None = None
    """What the models cost an item, in micro-dollars."""
    item_seconds: Span | None = None
    """What the models take an item, in seconds of one worker."""
    label_seconds: Span | None = None
    """Work of a person a label, in seconds."""
    reviewers: int = 1
    workers: int = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """What follows from the wishes alone."""

    wishes: Wishes
    worlds: assumed.Worlds
    most: int
    """Labels with which every item is labelled."""
    machine_micros: int
    told: quoting.Told

    def items_for(self, labels: int) -> int:
        return min(planning.items_for(labels, self.wishes.double_share), self.wishes.items)

    def audit(self, pilot: int) -> int:
        """K after a pilot of some labels."""
        left = self.wishes.labels - pilot
        default = budgets.default_audit(self.wishes.weighing.rule, left)
        wanted = self.wishes.audit if self.wishes.audit is not None else default
        return min(wanted, self.items_for(self.wishes.labels) - self.items_for(pilot))


def answer(wishes: Wishes) -> dict[str, Any]:
    """Quotes from assumptions.

    Args:
        wishes: what is assumed, and what is to be bought.

    Returns:
        The message `QuotePriorResponse` in JSON form.

    Raises:
        errors.InvalidInputError: names each field that cannot be.
    """
    if wrong := list(violations(wishes)):
        raise errors.InvalidInputError.of(wrong)
    terms = _terms(wishes)
    best, own = _pilots(terms)
    pilot, audit = own.labels, terms.audit(own.labels)
    items, labels = wishes.items, wishes.labels
    grid = np.unique(np.append(np.linspace(pilot, terms.most, quoting.POINTS).round(), labels))
    numbers = [int(each) for each in grid]
    taken = [terms.items_for(number) for number in numbers]
    start = terms.items_for(pilot)
    points = prior_quote.curve(terms.worlds, items, start, taken, audit, wishes.alpha)
    found = []
    for number, point in zip(numbers, points, strict=True):
        form: dict[str, Any] = {
            "human_labels": str(number),
            "money_micros": str(number * wishes.label_micros + terms.machine_micros),
            "corrected_accuracy": _interval(point),
            **_taken(terms, number, items),
        }
        more = min(quoting.NEXT, terms.most - number)
        if (step := terms.items_for(number + more) - point.labels) > 0:
            gained = prior_quote.gain(terms.worlds, items, start, point.labels, step, audit, wishes.alpha)
            form["next"] = quoting.next_gain(gained, more, items)
        found.append(form)
    guess = float((terms.worlds.error >= 1.0 - 1.0 / wishes.classes).mean())
    return {
        "quote": {
            "basis": "assumptions",
            "item_count": str(items),
            "budget": {"human_labels": str(labels), "human_label_micros": str(wishes.label_micros)},
            "sampling": {
                "rule": wishes.weighing.rule,
                "pilot_items": str(pilot),
                "audit_items": str(audit),
                "confidence_level": 1.0 - wishes.alpha,
            },
            "machine_micros": str(terms.machine_micros),
            "double_share": wishes.double_share,
            "points": found,
            "machine_accuracy": _interval(prior_quote.machine(terms.worlds, items, wishes.alpha)),
            "notes": _notes(terms, own, best, guess),
        },
        "assumed_machine_accuracy": {"low": wishes.accuracy.low, "high": wishes.accuracy.high},
        "assumed_critic_auroc": {"low": wishes.auroc.low, "high": wishes.auroc.high},
        "pilot": _pilot(terms, own),
        "best_pilot": _pilot(terms, best),
        "no_better_than_guess": guess,
    }


def violations(wishes: Wishes) -> Iterator[errors.Violation]:
    """What does not go together, by the fields of the message `QuotePriorRequest`."""
    most = _most(wishes)
    if wishes.labels > most:
        yield errors.Violation(
            "budget.human_labels",
            f"expected at most the {most} labels that {wishes.items} items take, got {wishes.labels}: lower "
            "it, or bring more items",
        )
    elif wishes.labels < LEAST_PILOT:
        yield errors.Violation(
            "budget.human_labels",
            f"expected at least {LEAST_PILOT}, the smallest pilot, got {wishes.labels} of {wishes.items} "
            "items: raise it, or label all of them by hand",
        )
    elif wishes.pilot is not None and not LEAST_PILOT <= wishes.pilot <= wishes.labels:
        yield errors.Violation(
            "sampling.pilot_items",
            f"expected a pilot between {LEAST_PILOT} and the budget of {wishes.labels} labels, got "
            f"{wishes.pilot}: change it, or leave it out to have the pilot that pays best",
        )
    elif wishes.audit is not None and wishes.audit > wishes.labels - (wishes.pilot or LEAST_PILOT):
        yield errors.Violation(
            "sampling.audit_items",
            f"expected at most the {wishes.labels - (wishes.pilot or LEAST_PILOT)} labels that the pilot "
            f"leaves, got {wishes.audit}: lower it, or raise the budget",
        )


def _most(wishes: Wishes) -> int:
    return math.ceil(wishes.items * planning.labels_an_item(wishes.double_share) - 1e-9)


def _terms(wishes: Wishes) -> _Terms:
    plan = quote.Plan(**wishes.weighing.to_record())
    money = wishes.item_micros.mean if wishes.item_micros else effort.NOTHING
    took = wishes.item_seconds.mean if wishes.item_seconds else effort.NOTHING
    people = None
    if wishes.label_seconds is not None:
        work = wishes.label_seconds.mean
        people = effort.People(seconds=work, pace=work.value / wishes.reviewers, reviewers=wishes.reviewers)
    return _Terms(
        wishes=wishes,
        worlds=assumed.worlds(wishes.accuracy, wishes.auroc, plan, _SUPPORT),
        most=_most(wishes),
        machine_micros=round(money.value * wishes.items),
        told=quoting.Told(
            people=people,
            machines=effort.Machines(seconds=took, micros=money, workers=wishes.workers),
        ),
    )


def _pilots(terms: _Terms) -> tuple[prior_quote.Trial, prior_quote.Trial]:
    """The pilot that pays best, and the one of this quote; their sizes in labels."""
    wishes = terms.wishes
    largest = wishes.labels - (wishes.audit or 0)
    sizes = {int(size) for size in np.geomspace(LEAST_PILOT, max(LEAST_PILOT, largest), _PILOTS).round()}
    asked = sorted(sizes | ({wishes.pilot} if wishes.pilot is not None else set()))
    tried = prior_quote.trials(
        terms.worlds,
        wishes.items,
        terms.items_for(wishes.labels),
        [terms.items_for(size) for size in asked],
        [terms.audit(size) for size in asked],
    )
    in_labels = [dataclasses.replace(trial, labels=size) for trial, size in zip(tried, asked, strict=True)]
    best = prior_quote.best(in_labels)
    own = next((trial for trial in in_labels if trial.labels == wishes.pilot), best)
    return best, own


def _taken(terms: _Terms, labels: int, items: int) -> dict[str, Any]:
    """Money and time of some labels, and of the models on some items."""
    wishes = terms.wishes
    micros = round(terms.machine_micros * items / wishes.items)
    return quoting.taken(labels, 0, items, wishes.label_micros, micros, terms.told, ASSUMED)


def _pilot(terms: _Terms, trial: prior_quote.Trial) -> dict[str, Any]:
    """The message `PriorPilot` in JSON form."""
    wishes, items = terms.wishes, terms.items_for(trial.labels)
    machine = round(terms.machine_micros * items / wishes.items)
    form = _taken(terms, trial.labels, items)
    return {
        "human_labels": str(trial.labels),
        "money_micros": str(trial.labels * wishes.label_micros + machine),
        "critic_followed": trial.followed,
        "corrected_accuracy": trial.accuracy,
        **form,
    }


def _interval(point: quote.Point) -> dict[str, Any]:
    return quoting.interval(point.accuracy, point.low, point.high, point.method)


def _notes(terms: _Terms, own: prior_quote.Trial, best: prior_quote.Trial, guess: float) -> list[str]:
    """What a reader must know; first of all that nothing was measured."""
    wishes, percent = terms.wishes, quoting.percent
    notes = [
        "These are assumptions, not measurements: no item was labelled yet. Assumed, each with "
        f"{assumed.BELIEF:.0%} of the belief: the machine is right for {percent(wishes.accuracy.low)} to "
        f"{percent(wishes.accuracy.high)}, and the critic has an AUROC of {wishes.auroc.low:g} to "
        f"{wishes.auroc.high:g}. Every interval is that of the worlds so assumed, and as wrong as they are. "
        "Labels that are flipped without a person come on top."
    ]
    cost = own.labels * wishes.label_micros
    shown = (
        ""
        if wishes.weighing.rule == "uniform"
        else "; that they speak for the critic has a probability of "
        f"{percent(own.followed)}, and without that the rest is drawn uniformly"
    )
    notes.append(
        f"The pilot's {own.labels:,} labels come to {quoting.dollars(cost)} for people and replace the "
        f"assumptions by measurements{shown}."
    )
    if best.accuracy - own.accuracy > prior_quote.ALIKE:
        notes.append(
            f"A pilot of {best.labels:,} labels would pay best: {percent(best.accuracy)} are right on "
            f"average after the same budget, {percent(own.accuracy)} with {own.labels:,}."
        )
    if guess >= 0.001:
        notes.append(
            f"The machine labels may not help: with a probability of {percent(guess)} the machine is no "
            f"better than a guess among {wishes.classes} classes."
        )
    notes += quoting.dearer(wishes.labels, terms.most, wishes.label_micros, terms.machine_micros)
    notes += _over(terms)
    missing = [
        name
        for name, span in (
            ("what the models cost", wishes.item_micros),
            ("the models' time", wishes.item_seconds),
            ("people's time", wishes.label_seconds),
        )
        if span is None
    ]
    if missing:
        notes.append(f"Not counted, since nothing was assumed of it: {', '.join(missing)}.")
    return notes


def _over(terms: _Terms) -> list[str]:
    """Says so where the cap on money may not pay the budget."""
    wishes = terms.wishes
    if wishes.money_micros is None:
        return []
    machines = terms.told.machines
    low, high = machines.money(terms.machine_micros) if machines is not None else (0, 0)
    people = wishes.labels * wishes.label_micros
    if people + high <= wishes.money_micros:
        return []
    verb = "does not" if people + low > wishes.money_micros else "may not"
    return [
        f"The cap of {quoting.dollars(wishes.money_micros)} {verb} pay this budget, which comes to "
        f"{quoting.dollars(people + low)} to {quoting.dollars(people + high)}."
    ]

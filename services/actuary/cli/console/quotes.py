"""Answers of a quote in sentences: how much for 97 %, what for $500, what the next labels bring.

The numbers are those of the quote's points and what `stats.quote_answers` reads between them; nothing is
forecast here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from google.protobuf import json_format, message

from actuary import errors
from actuary.cli.console import words
from actuary.stats import checks, quote_answers
from actuary.stats import quote as quotes
from actuary.v1 import campaign_pb2, quote_pb2

ASSUMPTIONS = "assumptions"
"""Basis of a quote before there is any label."""

_Time = Literal["human_seconds", "wall_seconds"]
_TIMES: tuple[tuple[_Time, str], ...] = (
    ("human_seconds", "people's work"),
    ("wall_seconds", "until it is done"),
)
"""Fields of a point, as they are called."""


def answers(
    quote: quote_pb2.Quote, *, accuracy: float | None, money: float | None, labels: int | None
) -> list[str]:
    """Answers what was asked, a sentence each.

    Args:
        quote: a quote that is done.
        accuracy: to reach, a fraction in (0, 1].
        money: to spend, in dollars.
        labels: to spend.

    Raises:
        errors.InvalidInputError: money or labels that do not even pay what is spent already.
    """
    points, lines = _points(quote), list[str]()
    if accuracy is not None:
        lines.append(_for_accuracy(quote, points, accuracy))
    if money is not None:
        micros, least = round(money * 1_000_000), quote.points[0].money_micros
        if micros < least:
            raise errors.InvalidInputError(
                f"money: expected at least {words.money(least)}, which the machines and the pilot's labels "
                f"take, got {words.money(micros)}"
            )
        price = quote.budget.human_label_micros
        paid = quote_answers.labels_within(micros, label=price, fixed=quote.machine_micros)
        bought = points[-1].labels if paid is None else paid
        lines.append(f"For {words.money(micros)}: {_bought(quote, points, bought)}")
    if labels is not None:
        try:
            lines.append(f"For {words.counted(labels, 'label')}: {_bought(quote, points, labels)}")
        except checks.BudgetInfeasible as error:
            raise errors.InvalidInputError(str(error)) from error
    return [_premise(quote) + line for line in lines]


def plain(found: message.Message) -> dict[str, Any]:
    """A message as JSON values: proto field names, whole numbers as numbers, absent fields left out."""
    form = json_format.MessageToDict(
        found, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    numbers: dict[str, Any] = _numbers(form, found.DESCRIPTOR)
    return numbers


def _numbers(form: Any, kind: Any) -> Any:
    """Protobuf writes whole numbers of 64 bits as text, so that JavaScript does not round them."""
    if isinstance(form, list):
        return [_numbers(each, kind) for each in form]
    if not isinstance(form, dict):
        return form
    plain_form = {}
    for name, value in form.items():
        field = kind.fields_by_name[name]
        within = field.message_type
        if within is not None and (within.file.package != kind.file.package or within.GetOptions().map_entry):
            plain_form[name] = value  # a type of others has a form of its own
        elif within is not None:
            plain_form[name] = _numbers(value, field.message_type)
        elif field.cpp_type == field.CPPTYPE_INT64:
            plain_form[name] = int(value)
        else:
            plain_form[name] = value
    return plain_form


def following(quote: quote_pb2.Quote, labels: int) -> str:
    """Says what the labels after a budget would add; empty where nothing is left to label."""
    known = [point for point in quote.points if point.human_labels <= labels]
    if not known or not known[-1].HasField("next"):
        return ""
    more = known[-1].next
    return _premise(quote) + (
        f"The next {more.human_labels:,} labels after {known[-1].human_labels:,} would add "
        f"{words.points(more.accuracy.estimate)} points ({100 * more.accuracy.low:.1f} to "
        f"{100 * more.accuracy.high:.1f}): {more.corrected_per_label.estimate:.2f} errors corrected a label."
    )


def _premise(quote: quote_pb2.Quote) -> str:
    """What an answer rests on, where that is not the pilot."""
    return "If all is as assumed: " if quote.basis == ASSUMPTIONS else ""


def _for_accuracy(quote: quote_pb2.Quote, points: Sequence[quotes.Point], accuracy: float) -> str:
    cost = quote_answers.labels_for(points, accuracy)
    wanted = words.percent(accuracy)
    if cost.forecast is None:
        return f"For {wanted}: not reached with every label."
    forecast = f"For {wanted}: {_priced(quote, cost.forecast)} by the forecast"
    if cost.safe is None:
        return f"{forecast}; no budget whose lower bound reaches it."
    if cost.safe == points[-1].labels:
        return f"{forecast}; to be sure of it, {_priced(quote, cost.safe)}, which is every item."
    return f"{forecast}; {_priced(quote, cost.safe)} where the lower bound reaches it."


def _bought(quote: quote_pb2.Quote, points: Sequence[quotes.Point], labels: int) -> str:
    point = quote_answers.at_labels(points, labels)
    bounds = words.interval(point.low, point.high)
    everything = ", which is every item" if point.labels == points[-1].labels else ""
    parts = [f"{words.percent(point.accuracy)} ({bounds}), with {_priced(quote, point.labels)}{everything}"]
    for name, said in _TIMES:
        if all(each.HasField(name) for each in quote.points):
            value, low, high = (
                words.duration(_between(quote, name, end, point.labels))
                for end in ("estimate", "low", "high")
            )
            parts.append(f"{said} {value} ({low} to {high})")
    return "; ".join(parts) + "."


def _priced(quote: quote_pb2.Quote, labels: int) -> str:
    money = labels * quote.budget.human_label_micros + quote.machine_micros
    return f"{words.counted(labels, 'label')} ({words.money(money)})"


def _between(quote: quote_pb2.Quote, name: _Time, end: str, labels: int) -> float:
    """A figure of time at some labels; it is linear in them."""
    at = [point.human_labels for point in quote.points]
    intervals: list[campaign_pb2.Interval] = [getattr(point, name) for point in quote.points]
    return float(np.interp(labels, at, [getattr(each, end) for each in intervals]))


def _points(quote: quote_pb2.Quote) -> list[quotes.Point]:
    return [
        quotes.Point(
            labels=point.human_labels,
            accuracy=point.corrected_accuracy.estimate,
            low=point.corrected_accuracy.low,
            high=point.corrected_accuracy.high,
            method=point.corrected_accuracy.method,  # type: ignore[arg-type]
        )
        for point in quote.points
    ]

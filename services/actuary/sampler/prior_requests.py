"""From the message `QuotePriorRequest` to wishes: a part of `service`, which would be too long with it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

from google.protobuf import json_format

from actuary import errors
from actuary.sampler import prior_quoting
from actuary.stats import assumed, weighing
from actuary.v1 import campaign_pb2, sampler_service_pb2


def wishes(request: sampler_service_pb2.QuotePriorRequest) -> prior_quoting.Wishes:
    """What is assumed and wished.

    Raises:
        errors.InvalidInputError: names each range that is none, and what does not go together.
    """
    given, wrong = request.HasField, list[errors.Violation]()

    def believed(field: str, default: assumed.Range) -> assumed.Range:
        if not given(field):  # type: ignore[arg-type]
            return default
        ends = getattr(request, field)
        try:
            return assumed.Range(low=ends.low, high=ends.high, floor=default.floor)
        except ValueError as error:
            wrong.append(errors.Violation(field, f"{str(error).partition(': ')[2]}: move the ends"))
            return default

    def span(field: str) -> prior_quoting.Span | None:
        if not given(field):  # type: ignore[arg-type]
            return None
        ends = getattr(request, field)
        if not 0.0 <= ends.low <= ends.high:
            description = f"expected 0 <= low <= high, got low {ends.low} and high {ends.high}: move the ends"
            wrong.append(errors.Violation(field, description))
        return prior_quoting.Span(low=ends.low, high=ends.high)

    budget, sampling = request.budget, request.sampling
    if budget.WhichOneof("human") is None:
        wrong.append(
            errors.Violation("budget", "expected human_labels (a count) or human_share, got neither: add one")
        )
    share = math.floor(budget.human_share * request.item_count)
    found = prior_quoting.Wishes(
        items=request.item_count,
        labels=budget.human_labels if budget.HasField("human_labels") else share,
        accuracy=believed("machine_accuracy", assumed.MACHINE_ACCURACY),
        auroc=believed("critic_auroc", assumed.CRITIC_AUROC),
        weighing=weighing.Weighing.of(json_format.MessageToDict(sampling, preserving_proto_field_name=True)),
        pilot=sampling.pilot_items if sampling.HasField("pilot_items") else None,
        audit=sampling.audit_items if sampling.HasField("audit_items") else None,
        classes=request.class_count if given("class_count") else 2,
        alpha=1.0 - (sampling.confidence_level if sampling.HasField("confidence_level") else 0.95),
        double_share=request.double_share,
        label_micros=budget.human_label_micros,
        money_micros=budget.money_micros if budget.HasField("money_micros") else None,
        item_micros=span("machine_item_micros"),
        item_seconds=span("machine_item_seconds"),
        label_seconds=span("human_label_seconds"),
        reviewers=request.reviewer_count if given("reviewer_count") else 1,
        workers=request.worker_count if given("worker_count") else 1,
    )
    if budget.WhichOneof("human") is not None:
        wrong += _by_their_field(prior_quoting.violations(found), budget)
    if wrong:
        raise errors.InvalidInputError.of(wrong)
    return found


def _by_their_field(wrong: Iterable[errors.Violation], budget: campaign_pb2.Budget) -> list[errors.Violation]:
    """Violations of the budget by the field that gave it."""
    path = f"budget.{budget.WhichOneof('human')}"
    return [
        dataclasses.replace(each, field=path) if each.field == "budget.human_labels" else each
        for each in wrong
    ]

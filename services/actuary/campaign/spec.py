"""A campaign's wishes as plain values with their defaults, so that decisions need no protobuf.

Built from the JSON form of the `Campaign` message (proto field names), which is what the database keeps.
What only the data can tell, the number of items, is the matter of `budgeting`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from actuary import errors
from actuary.campaign import loss_check
from actuary.stats import training, weighing

PILOT_LEAST = 20
PILOT_SMALLEST = 100
PILOT_LARGEST = 500


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a campaign asks for. Counts and money are integers; shares are in [0, 1]."""

    classes: tuple[str, ...]
    human_labels: int | None
    human_share: float | None
    money_micros: int | None
    human_label_micros: int
    rule: str
    beta: float
    pilot_items: int | None
    audit_items: int | None
    slice_minimum: int
    """Fewest items of each slice that people look at; 0: no minimum."""
    class_minimum: int
    """Fewest items of each class that the machine gave; 0: no minimum."""
    failed_share: float
    confidence_level: float
    double_share: float
    gold_share: float
    """Share of the labels of waves after the pilot that are gold tasks."""
    review_mode: str
    training_model: str
    training_lambda: float
    training_cap: float
    approval_required: bool
    has_truth: bool
    needs_exemplars: bool
    guarantee: str
    """What is to be proven: `budget`, `target` or nothing."""
    message: Mapping[str, Any]
    """The whole message in JSON form, for what is only handed on."""


def parse(message: Mapping[str, Any]) -> Spec:
    """Reads the JSON form of a checked `Campaign` message."""
    budget = message.get("budget", {})
    sampling = message.get("sampling", {})
    review = message.get("review", {})
    data = message.get("data", {})
    loss = message.get("training", {})
    models = [message.get("annotator", {}).get("model", {}), message.get("critic", {}).get("model", {})]
    return Spec(
        classes=tuple(c.get("name", "") for c in message.get("task", {}).get("classes", [])),
        human_labels=int(budget["human_labels"]) if "human_labels" in budget else None,
        human_share=float(budget["human_share"]) if "human_share" in budget else None,
        money_micros=int(budget["money_micros"]) if "money_micros" in budget else None,
        human_label_micros=int(budget.get("human_label_micros", 0)),
        rule=weighing.rule_of(message),
        beta=float(sampling.get("beta", 10.0)),
        pilot_items=int(sampling["pilot_items"]) if "pilot_items" in sampling else None,
        audit_items=int(sampling["audit_items"]) if "audit_items" in sampling else None,
        slice_minimum=int(sampling.get("slice_minimum", 0)),
        class_minimum=int(sampling.get("class_minimum", 0)),
        failed_share=float(sampling.get("failed_share", 0.25)),
        confidence_level=float(sampling.get("confidence_level", 0.95)),
        double_share=float(review.get("double_share", 0.0)),
        gold_share=float(review.get("gold_share", 0.0)),
        review_mode=review.get("mode") or "people",
        training_model=loss.get("model") or "linear",
        training_lambda=float(loss.get("lambda", training.LAMBDA)),
        training_cap=float(loss.get("weight_cap", training.CAP)),
        approval_required=message.get("approval") == "required",
        has_truth=bool(data.get("truth_column")) or str(data.get("uri", "")).startswith("sample:"),
        needs_exemplars=any(model.get("kind") in ("exemplar", "linear") for model in models),
        guarantee=message.get("guarantee", {}).get("mode", ""),
        message=message,
    )


def check(spec: Spec) -> None:
    """Checks how fields fit together.

    Raises:
        errors.InvalidInputError: with every violation.
    """
    found = violations(spec)
    if found:
        raise errors.InvalidInputError.of(found)


def violations(spec: Spec) -> list[errors.Violation]:
    """Lists what the field rules cannot see: how fields fit together, before anything is bought."""
    found = []
    message = spec.message
    names = list(spec.classes)
    for name in sorted({name for name in names if names.count(name) > 1}):
        found.append(errors.Violation("task.classes", f"expected unique names, got {name!r} twice"))
    for place, name in enumerate(names):
        if name != name.strip():
            description = f"expected a name without spaces around it, got {name!r}"
            found.append(errors.Violation(f"task.classes[{place}].name", description))
    if spec.human_labels is None and spec.human_share is None:
        found.append(
            errors.Violation("budget", "expected human_labels (a count) or human_share, got neither")
        )
    pilot = spec.pilot_items if spec.pilot_items is not None else PILOT_LEAST
    if spec.human_labels is not None and spec.human_labels < pilot:
        description = f"expected at least the pilot of {pilot} labels, got {spec.human_labels}; raise it"
        found.append(errors.Violation("budget.human_labels", description))
    found += unpaid(spec, pilot)
    found += _guarantee(spec)
    if spec.training_model != "none" and not spec.guarantee:
        labels = spec.human_labels
        left = None if labels is None else labels - pilot_labels(spec, labels)
        found += loss_check.without_chance(spec.rule, spec.audit_items, left)
    for path, model in _models(message):
        if not {*model.get("prices", {})} - {"compute_seconds_limit"}:
            description = (
                "expected input_micros_per_1000_tokens, output_micros_per_1000_tokens or gpu_hour_micros; "
            )
            found.append(errors.Violation(f"{path}.prices", description + "0 says that it is free"))
        if model.get("kind") == "table" and not model.get("uri"):
            found.append(errors.Violation(f"{path}.uri", "expected the file of labels at hand, got nothing"))
    critic = message.get("critic", {})
    if critic.get("strategy") == "class-probability" and not critic.get("model"):
        found.append(errors.Violation("critic.model", "expected the critic's model, got none"))
    if spec.review_mode == "replay" and not spec.has_truth:
        description = "replay plays reviewers from known truth: expected data.truth_column, got none"
        found.append(errors.Violation("review.mode", description))
    if spec.slice_minimum and not message.get("data", {}).get("slice_column"):
        description = "a minimum of each slice needs slices: expected data.slice_column, got none"
        found.append(errors.Violation("sampling.slice_minimum", description))
    without_exemplars = not message.get("data", {}).get("split_column") and not _is_sample(message)
    if spec.gold_share and without_exemplars:
        description = "gold tasks are exemplars: expected data.split_column with rows `exemplar`, got none"
        found.append(errors.Violation("review.gold_share", description))
    if spec.needs_exemplars and without_exemplars:
        description = (
            "this model learns from exemplars: expected data.split_column with rows `exemplar`, got none"
        )
        found.append(errors.Violation("annotator.model.kind", description))
    return found


def pilot_labels(spec: Spec, labels: int) -> int:
    """Labels of the pilot."""
    if spec.pilot_items is not None:
        return spec.pilot_items
    return min(max(labels // 2, PILOT_SMALLEST), PILOT_LARGEST, max(PILOT_LEAST, labels // 2))


def unpaid(spec: Spec, pilot: int) -> list[errors.Violation]:
    """Whether the money pays the labels of the pilot, without which nothing can be quoted."""
    needed = pilot * spec.human_label_micros
    if spec.money_micros is None or spec.money_micros >= needed:
        return []
    description = (
        f"expected at least {needed}, which the pilot's {pilot} labels cost at {spec.human_label_micros} "
        f"each, got {spec.money_micros}; raise it or set sampling.pilot_items lower"
    )
    return [errors.Violation("budget.money_micros", description)]


def _guarantee(spec: Spec) -> list[errors.Violation]:
    """How a guarantee fits the rest."""
    if not spec.guarantee:
        return []
    asked, found = spec.message["guarantee"], []
    target = spec.guarantee == "target"
    if target and "max_error_rate" not in asked:
        description = "expected the share of labels that may be wrong, 0.05 for example, got none"
        found.append(errors.Violation("guarantee.max_error_rate", description))
    if not target:
        for field in ("max_error_rate", "looks", "reserve_items"):
            if asked.get(field) not in (None, 1 if field == "looks" else None):
                description = (
                    f"expected none in mode `budget`, got {asked[field]}: it belongs to mode `target`"
                )
                found.append(errors.Violation(f"guarantee.{field}", description))
    if spec.message.get("sampling", {}).get("rule") not in (None, "", "threshold"):
        description = (
            "a guarantee reviews from the most suspicious item down, beside an audit of its own: expected "
            f"none or `threshold`, got {spec.rule!r}"
        )
        found.append(errors.Violation("sampling.rule", description))
    beside = {
        "sampling.slice_minimum": spec.slice_minimum,
        "sampling.class_minimum": spec.class_minimum,
        "review.gold_share": spec.gold_share,
    }
    for field, value in beside.items():
        if value:
            description = (
                f"a guarantee plans all that people see after the pilot: expected none, got {value:g}"
            )
            found.append(errors.Violation(field, description))
    if float(asked.get("truth_level_share", 0.0)) > 0.0 and spec.double_share == 0.0:
        description = (
            "expected a share above 0, got 0: a claim about the truth (guarantee.truth_level_share) rests on "
            "items that two people label"
        )
        found.append(errors.Violation("review.double_share", description))
    return found


def _is_sample(message: Mapping[str, Any]) -> bool:
    return str(message.get("data", {}).get("uri", "")).startswith("sample:")


def _models(message: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    found = [("annotator.model", message.get("annotator", {}).get("model"))]
    found.append(("critic.model", message.get("critic", {}).get("model")))
    return [(path, model) for path, model in found if model is not None]

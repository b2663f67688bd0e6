"""A campaign's wishes as plain values with their defaults, so that decisions need no protobuf.

Built from the JSON form of the `Campaign` message (proto field names), which is what the database keeps.
What only the data can tell (the number of items) enters through `Budgeted`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from actuary import errors
from actuary.campaign import loss_check
from actuary.stats import budgets, certificates, sizing, training, weighing

PILOT_LEAST = 20
LEAST_COVERED = 2
"""Smallest minimum of a slice or class: two items are the fewest that show a variance."""
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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Budgeted:
    """The human budget in labels, once the number of items is known."""

    items: int
    """Items to label, N."""
    labels: int
    """Human labels in all, B."""
    pilot: int
    """Of these, for the pilot, n0."""
    audit: int
    """Of the first wave's labels, for the uniform audit, K."""
    covering: int = 0
    """Of them, for the minima of slices and classes, at most: the pilot may have some already."""


def gold_tasks(spec: Spec, labels: int, exemplars: int, offset: int = 0) -> int:
    """Labels of a wave that gold tasks take.

    Args:
        spec: what is asked for.
        labels: of the wave.
        exemplars: there are.
        offset: exemplars that earlier waves have asked; none is asked twice.
    """
    return min(math.floor(spec.gold_share * labels + 1e-9), max(0, exemplars - offset))


def budgeted(spec: Spec, items: int, slice_sizes: Sequence[int] = ()) -> Budgeted:
    """Resolves the budget against the number of items.

    Args:
        spec: what is asked for.
        items: items to label, N.
        slice_sizes: of them, those of each slice; empty without slices.

    Raises:
        errors.InvalidInputError: the budget is above the number of items, or too small for a pilot or for the
            minima of slices and classes; says by how much.
    """
    # a share of 0.2 of 1,277 items is 255.4 labels: never more than was asked for
    labels = (
        spec.human_labels if spec.human_labels is not None else math.floor((spec.human_share or 0) * items)
    )
    violations = []
    field = "budget.human_labels" if spec.human_labels is not None else "budget.human_share"
    most = math.ceil(items * budgets.labels_an_item(spec.double_share) - 1e-9)
    if labels > most:
        taken = f"{items} items to label" + (f", which take {most} labels" if most > items else "")
        description = f"expected at most the {taken}, got {labels}; lower it or bring more items"
        violations.append(errors.Violation(field, description))
    fitting = min(labels, most)  # so that all that has to change is said at once
    pilot = _pilot(spec, labels)
    if pilot > fitting:
        set_lower = "raise it or set sampling.pilot_items lower"
        description = (
            f"expected at least the pilot of {pilot} labels, got {labels} of {items} items; {set_lower}"
        )
        if fitting < labels:
            field, description = "sampling.pilot_items", f"expected at most {fitting}, got {pilot}; lower it"
        violations.append(errors.Violation(field, description))
    elif spec.audit_items is not None and spec.audit_items > (left := _left(spec, fitting, pilot)):
        description = f"expected at most the {left} labels that the pilot leaves, got {spec.audit_items}"
        violations.append(errors.Violation("sampling.audit_items", description))
    violations += _unpaid(spec, pilot)
    violations += _unprovable(spec, items, pilot, fitting)
    if not violations:
        violations = _uncovered(spec, labels, pilot, items, slice_sizes)
    if violations:
        raise errors.InvalidInputError.of(violations, reason="BUDGET_INVALID")
    covering = _covering(spec, pilot, items, slice_sizes)
    left = _left(spec, labels, pilot) - covering
    # the audit of a guarantee is sized when the risks are frozen
    default = 0 if spec.guarantee else budgets.default_audit(spec.rule, left)
    audit = spec.audit_items if spec.audit_items is not None else default
    return Budgeted(items=items, labels=labels, pilot=pilot, audit=audit, covering=covering)


def _left(spec: Spec, labels: int, pilot: int) -> int:
    """Labels that pilot and gold tasks leave, with as many exemplars as are asked for."""
    return labels - pilot - math.floor(spec.gold_share * (labels - pilot) + 1e-9)


def _covering(spec: Spec, pilot: int, items: int, slice_sizes: Sequence[int]) -> int:
    """The most human labels that minima can take: what the pilot will have of a part is not known."""
    a_label = budgets.labels_an_item(spec.double_share)
    of_slices = sum(min(spec.slice_minimum, size) for size in slice_sizes)
    of_classes = min(spec.class_minimum * len(spec.classes), items)
    looked = math.floor(pilot / a_label + 1e-9)  # by the pilot, of whatever part
    return math.ceil(min(of_slices + of_classes, items - looked) * a_label - 1e-9)


def _uncovered(
    spec: Spec, labels: int, pilot: int, items: int, slice_sizes: Sequence[int]
) -> list[errors.Violation]:
    """Whether labels and money pay the minima, whatever the pilot happens to have of each part."""
    wanted = _covering(spec, pilot, items, slice_sizes)
    price, audit = spec.human_label_micros, spec.audit_items or 0
    paid = labels
    if spec.money_micros is not None and price:
        paid = min(labels, spec.money_micros // price)
    left = max(0, _left(spec, paid, pilot) - audit)
    if wanted <= left:
        return []
    asked = {"slice_minimum": len(slice_sizes), "class_minimum": len(spec.classes)}
    asked = {name: parts for name, parts in asked.items() if getattr(spec, name)}
    listed = " and ".join(
        f"{getattr(spec, name)} items of each of {parts} {'slices' if name == 'slice_minimum' else 'classes'}"
        for name, parts in asked.items()
    )
    needed, lower = pilot + math.ceil((audit + wanted) / (1.0 - spec.gold_share) - 1e-9), "lower it"
    if len(asked) == 1 and (fits := _fitting(spec, next(iter(asked)), left, pilot, items, slice_sizes)):
        lower = f"lower it to {fits}"
    account = f"raise the budget to {needed} labels"
    if paid < labels:
        account = f"raise budget.money_micros to {needed * price}, besides what the models cost"
    gold = " and the gold tasks" if spec.gold_share else ""
    description = (
        f"expected a minimum that the budget pays: {listed} take up to {wanted} labels, and of {paid} that"
        f" are paid for, the pilot's {pilot} and the audit's {audit}{gold} leave {left};"
        f" {lower}, or {account}"
    )
    return [errors.Violation(f"sampling.{next(iter(asked))}", description)]


def _fitting(spec: Spec, name: str, left: int, pilot: int, items: int, slice_sizes: Sequence[int]) -> int:
    """The largest minimum of one kind that so many labels pay; 0 if none does, down to two items a part."""
    low, high = 1, int(getattr(spec, name))
    while high - low > 1:
        middle = (low + high) // 2
        tried = dataclasses.replace(spec, **{name: middle})  # type: ignore[arg-type]
        low, high = (middle, high) if _covering(tried, pilot, items, slice_sizes) <= left else (low, middle)
    return low if low >= LEAST_COVERED else 0


def _pilot(spec: Spec, labels: int) -> int:
    """Labels of the pilot."""
    if spec.pilot_items is not None:
        return spec.pilot_items
    return min(max(labels // 2, PILOT_SMALLEST), PILOT_LARGEST, max(PILOT_LEAST, labels // 2))


def check_training(spec: Spec, budget: Budgeted) -> None:
    """Checks that the labels of a budget can be trained on as is asked for, before any of them is bought.

    A label counts as an item: doubles take the same from every stratum. What a guarantee audits, and so what
    its labels weigh, follows from the risks: the trainer judges it.

    Raises:
        errors.InvalidInputError: they cannot; says what would.
    """
    if spec.training_model == "none" or spec.guarantee:
        return
    left = _left(spec, budget.labels, budget.pilot)
    found = loss_check.without_chance(spec.rule, spec.audit_items, left)
    if spec.rule in ("threshold", "hybrid"):
        drawn = budget.audit
        if spec.rule == "hybrid":
            share = weighing.Weighing.of(spec.message.get("sampling", {})).audit_share
            drawn += round(share * (left - budget.audit))
        found += loss_check.too_uneven(
            rule=spec.rule,
            items=budget.items,
            pilot=budget.pilot,
            drawn=drawn,
            certain=left - drawn,
            lam=spec.training_lambda,
            cap=spec.training_cap,
        )
    if found:
        raise errors.InvalidInputError.of(found, reason="LOSS_NOT_SUPPORTED")


def _unpaid(spec: Spec, pilot: int) -> list[errors.Violation]:
    """Whether the money pays the labels of the pilot, without which nothing can be quoted."""
    needed = pilot * spec.human_label_micros
    if spec.money_micros is None or spec.money_micros >= needed:
        return []
    description = (
        f"expected at least {needed}, which the pilot's {pilot} labels cost at {spec.human_label_micros} "
        f"each, got {spec.money_micros}; raise it or set sampling.pilot_items lower"
    )
    return [errors.Violation("budget.money_micros", description)]


def _unprovable(spec: Spec, items: int, pilot: int, labels: int) -> list[errors.Violation]:
    """Whether the labels that the pilot leaves can prove the target at all, if the audit finds no error."""
    guarantee = spec.message.get("guarantee", {})
    if spec.guarantee != "target" or guarantee.get("per_class") or pilot >= min(items, labels):
        return []
    target, reserve = float(guarantee["max_error_rate"]), int(guarantee.get("reserve_items", 0))
    allowance = certificates.allowance(items, target)
    if reserve > allowance:
        description = f"expected at most {allowance}, the errors that the target allows, got {reserve}"
        return [errors.Violation("guarantee.reserve_items", description)]
    a_label = budgets.labels_an_item(spec.double_share)
    eligible = items - math.floor(pilot / a_label + 1e-9)
    there = min(eligible, math.floor((labels - pilot) / a_label + 1e-9))
    planned = min(spec.audit_items or there, there)
    alpha = (1.0 - spec.confidence_level) * (1.0 - float(guarantee.get("truth_level_share", 0.0)))
    design = certificates.target_design(
        population=items,
        eligible=eligible,
        labels=max(there, 1),
        target=target,
        looks=sizing.doubling(max(planned, 1), int(guarantee.get("looks", 1))),
        alpha1=alpha * (1.0 - certificates.CREDIT_SHARE),
        alpha2=alpha * certificates.CREDIT_SHARE,
        reserve=reserve,
    )
    needed = certificates.needed_audit(design)
    if needed is None:
        return []
    description = (
        f"expected at least {needed} items to audit, which prove an error rate of {target:g} of {items} "
        f"items if they find no error, got {planned}; raise the budget or max_error_rate"
    )
    return [errors.Violation("guarantee.max_error_rate", description)]


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
    found += _unpaid(spec, pilot)
    found += _guarantee(spec)
    if spec.training_model != "none" and not spec.guarantee:
        labels = spec.human_labels
        left = None if labels is None else labels - _pilot(spec, labels)
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

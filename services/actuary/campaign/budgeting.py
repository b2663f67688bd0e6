"""What a campaign's budget comes to once its items are counted: pilot, audit, and what minima take.

Pure. What cannot be paid or proven is refused here before anything is bought, with the numbers that would do.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from actuary import errors
from actuary.campaign import loss_check
from actuary.campaign import spec as specs
from actuary.stats import budgets, certificates, sizing, weighing

LEAST_COVERED = 2
"""Smallest minimum of a slice or class: two items are the fewest that show a variance."""


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


def gold_tasks(spec: specs.Spec, labels: int, exemplars: int, offset: int = 0) -> int:
    """Labels of a wave that gold tasks take.

    Args:
        spec: what is asked for.
        labels: of the wave.
        exemplars: there are.
        offset: exemplars that earlier waves have asked; none is asked twice.
    """
    return min(math.floor(spec.gold_share * labels + 1e-9), max(0, exemplars - offset))


def budgeted(spec: specs.Spec, items: int, slice_sizes: Sequence[int] = ()) -> Budgeted:
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
    pilot = specs.pilot_labels(spec, labels)
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
    violations += specs.unpaid(spec, pilot)
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


def _left(spec: specs.Spec, labels: int, pilot: int) -> int:
    """Labels that pilot and gold tasks leave, with as many exemplars as are asked for."""
    return labels - pilot - math.floor(spec.gold_share * (labels - pilot) + 1e-9)


def _covering(spec: specs.Spec, pilot: int, items: int, slice_sizes: Sequence[int]) -> int:
    """The most human labels that minima can take: what the pilot will have of a part is not known."""
    a_label = budgets.labels_an_item(spec.double_share)
    of_slices = sum(min(spec.slice_minimum, size) for size in slice_sizes)
    of_classes = min(spec.class_minimum * len(spec.classes), items)
    looked = math.floor(pilot / a_label + 1e-9)  # by the pilot, of whatever part
    return math.ceil(min(of_slices + of_classes, items - looked) * a_label - 1e-9)


def _uncovered(
    spec: specs.Spec, labels: int, pilot: int, items: int, slice_sizes: Sequence[int]
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


def _fitting(
    spec: specs.Spec, name: str, left: int, pilot: int, items: int, slice_sizes: Sequence[int]
) -> int:
    """The largest minimum of one kind that so many labels pay; 0 if none does, down to two items a part."""
    low, high = 1, int(getattr(spec, name))
    while high - low > 1:
        middle = (low + high) // 2
        tried = dataclasses.replace(spec, **{name: middle})  # type: ignore[arg-type]
        low, high = (middle, high) if _covering(tried, pilot, items, slice_sizes) <= left else (low, middle)
    return low if low >= LEAST_COVERED else 0


def check_training(spec: specs.Spec, budget: Budgeted) -> None:
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


def _unprovable(spec: specs.Spec, items: int, pilot: int, labels: int) -> list[errors.Violation]:
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

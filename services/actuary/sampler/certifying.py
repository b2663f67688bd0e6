"""From frozen risks to the plans of a certificate: who is audited, who is reviewed, what it comes to.

Pure; reading and writing is `verifying`. A certificate is a row of plans. The first draws the audit of the
first look; each further one either goes on with the next look or reviews what lies above the cut that has
been proven. Every plan follows from the frozen part, the answers so far and its own number, so that a
verifier derives the same rows years later.

A certificate about each class is one about each group by itself, with α/C, K/C and its share of the labels,
so that all hold together (algorithms.md 8.14). Items without a machine label are in none.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from actuary import errors
from actuary.sampler import frames, people, planning
from actuary.stats import audits, certificates, prn, rules, sizing


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a certificate is asked for."""

    mode: Literal["budget", "target"]
    labels: int
    """Items that may be reviewed in all, audit included."""
    looks: tuple[int, ...] = ()
    """Audited items in all at each look, rising; one in budget mode. Empty: sized by the frozen risks."""
    look_count: int = 1
    """Looks to plan where `looks` is empty; each doubles the audit."""
    alpha: float
    """One minus the confidence level of everything that is claimed together."""
    wave: int
    """Number of its first plan: its audit has a key of its own."""
    target: float | None = None
    """Share of wrong labels that may be left, in target mode."""
    alpha_pairs: float = 0.0
    """Part of `alpha` that is kept for the bound on reviewers' mistakes (`doubles`); 0: nothing is said of
    the truth."""
    per_class: bool = False
    reserve: int = 0
    """Items that may stay unresolved without breaking the target; of each class, if per class."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The pool as the certificate finds it; N items, in the order of the risks."""

    ids: pa.Array
    """[N]."""
    final: frames.Longs
    """The frozen label, index into the classes, [N]; -1 without one."""
    risk: frames.Floats
    """Frozen risk, [N]; NaN without a label."""
    known: frames.Bools
    """Which items people have looked at before; their labels may have been used for anything, [N]."""
    charged: frames.Bools
    """Which of them have no agreed label, [N]."""
    classes: tuple[str, ...]
    key: bytes
    """Project key."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One claim's frozen part."""

    name: str
    """The class; empty where the claim is about all labels."""
    design: certificates.Design
    needs: int | None
    """K that the target needs where the planned audit cannot prove it; nobody is asked then."""

    def to_record(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        return {"name": self.name, "design": self.design.to_record(), "needs": self.needs}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Group:
        """Reads what `to_record` wrote."""
        return cls(
            name=record["name"],
            design=certificates.Design.from_record(record["design"]),
            needs=record["needs"],
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """All that is fixed before the first answer; it stands in the manifest of every plan."""

    groups: tuple[Group, ...]
    classes: tuple[str, ...]
    purpose: str
    """Of the audit's key."""
    alpha_pairs: float
    """Level kept for the bound on reviewers' mistakes."""

    def to_record(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        return {
            "groups": [group.to_record() for group in self.groups],
            "classes": list(self.classes),
            "purpose": self.purpose,
            "alpha_pairs": self.alpha_pairs,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Frozen:
        """Reads what `to_record` wrote."""
        return cls(
            groups=tuple(Group.from_record(group) for group in record["groups"]),
            classes=tuple(record["classes"]),
            purpose=record["purpose"],
            alpha_pairs=record["alpha_pairs"],
        )

    @property
    def alpha(self) -> float:
        """α of all claims together."""
        groups = math.fsum(group.design.alpha1 + group.design.alpha2 for group in self.groups)
        return groups + self.alpha_pairs


def freeze(pool: Pool, wishes: Wishes) -> Frozen:
    """Fixes groups, cuts, looks and levels.

    Raises:
        errors.InvalidInputError: wishes that do not fit the pool.
    """
    labelled = pool.final >= 0
    named = [(name, pool.final == index) for index, name in enumerate(pool.classes)]
    masks = [(name, mask) for name, mask in (named if wishes.per_class else [("", labelled)])]
    open_masks = [(name, mask) for name, mask in masks if (mask & ~pool.known).any()]
    if not open_masks:
        description = "expected items with a machine label that nobody has looked at, got none: all is known"
        raise errors.InvalidInputError.of([errors.Violation("certificate", description)])
    whole = int((labelled & ~pool.known).sum())
    try:
        groups = [_group(pool, wishes, name, mask, len(open_masks), whole) for name, mask in open_masks]
    except ValueError as error:
        violation = errors.Violation("certificate", f"{error} (of {whole} items nobody has looked at)")
        raise errors.InvalidInputError.of([violation]) from error
    purpose = f"certificate-{wishes.wave}/audit"
    return Frozen(groups=tuple(groups), classes=pool.classes, purpose=purpose, alpha_pairs=wishes.alpha_pairs)


def _group(pool: Pool, wishes: Wishes, name: str, mask: frames.Bools, parts: int, whole: int) -> Group:
    eligible = int((mask & ~pool.known).sum())
    population = {
        "population": int(mask.sum()),
        "eligible": eligible,
        "charged": int((mask & pool.charged).sum()),
    }
    looks, labels = wishes.looks, wishes.labels
    if parts > 1:
        looks = tuple(sorted({min(max(1, look // parts), eligible) for look in wishes.looks}))
        labels = min(max(wishes.labels * eligible // whole, *looks[:1], 1), eligible)
    risk = pool.risk[mask & ~pool.known]
    if not 0.0 <= wishes.alpha_pairs < wishes.alpha:
        raise ValueError(f"alpha_pairs: expected a part of alpha {wishes.alpha}, got {wishes.alpha_pairs}")
    alpha = (wishes.alpha - wishes.alpha_pairs) / parts
    if wishes.mode == "budget":
        if len(looks) > 1 or wishes.look_count > 1 or wishes.target is not None:
            raise ValueError(
                f"budget mode: expected one look and no target, got looks {wishes.looks} and target"
                f" {wishes.target}"
            )
        audit = looks[0] if looks else sizing.budget_audit(risk, labels, alpha)
        design = certificates.budget_design(**population, labels=labels, audit=audit, alpha=alpha)
        return Group(name=name, design=design, needs=None)
    if wishes.target is None:
        raise ValueError("target mode: expected a target, got none")
    design = certificates.target_design(
        **population,
        labels=labels,
        target=wishes.target,
        looks=looks or tuple(range(1, min(wishes.look_count, labels) + 1)),
        alpha1=alpha * (1.0 - certificates.CREDIT_SHARE),
        alpha2=alpha * certificates.CREDIT_SHARE,
        reserve=wishes.reserve,
    )
    if not looks:
        last = sizing.target_audit(risk, design)
        design = dataclasses.replace(design, looks=sizing.doubling(last, wishes.look_count))
    return Group(name=name, design=design, needs=certificates.needed_audit(design))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A group's frozen order and its audit, as positions in the pool."""

    items: frames.Longs
    """Eligible items, the least suspicious first, [M]."""
    audit: frames.Longs
    """Items of the audit in the order of their draw, up to the last look, [K]."""
    u: frames.Floats
    """Their random numbers, [K]."""
    place: frames.Longs
    """Their places in `items`, [K]."""
    digest: str
    """SHA-256 of the ids of `items`, a line each."""


def order(pool: Pool, frozen: Frozen, group: Group) -> Order:
    """Derives the order and the audit: a simple random sample by a key of its own."""
    mask = (pool.final >= 0) if not group.name else pool.final == pool.classes.index(group.name)
    at = np.flatnonzero(mask & ~pool.known)
    ids = pool.ids.take(pa.array(at)).to_pylist()
    least_first = rules.risk_order(pool.risk[at], planning.ties(ids, pool.key))[::-1]
    items = at[least_first]
    names = [ids[i] for i in least_first]
    u = prn.uniform(names[: group.design.audit_from], prn.derive_key(pool.key, frozen.purpose))
    place = np.argsort(u, kind="stable")[: group.design.looks[-1]].astype(np.int64)
    return Order(
        items=items,
        audit=items[place],
        u=u[place],
        place=place,
        digest=hashlib.sha256("".join(f"{name}\n" for name in names).encode()).hexdigest(),
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one plan asks for; positions in the pool."""

    audit: frames.Longs
    """Items of the audit, in the order of their draw."""
    review: frames.Longs
    """Items above the cut, the most suspicious first."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """A group's steps as far as the answers determine them."""

    steps: tuple[Step, ...]
    """One a plan: those that were answered, and the next one if there is one."""
    looks: tuple[audits.Found, ...]
    """What each look that was taken found."""
    finished: bool
    """Whether the last step is the group's last."""


_NOBODY = np.empty(0, dtype=np.int64)


def walk(pool: Pool, group: Group, found: Order, label: frames.Longs, answered: int) -> Walk:
    """Derives what each plan asks for from the answers to the plans before it.

    Args:
        pool: as frozen.
        group: one of the frozen groups.
        found: its order.
        label: `answers` to the certificate's own plans, [N].
        answered: number of plans whose answers are in, at least 0.

    Raises:
        ValueError: an audited item is one that people had looked at before.
    """
    design = group.design
    if group.needs is not None:
        return Walk(steps=(), looks=(), finished=True)
    budget = design.mode == "budget"
    review = _above(design, found, design.cuts[0], 1) if budget else _NOBODY
    steps = [Step(audit=found.audit[: design.looks[0]], review=review)]
    looks: list[audits.Found] = []
    finished = budget
    while len(looks) < answered:
        taken = len(looks) + 1
        looks.append(_look(pool, design, found, label, taken))
        if finished:
            break
        following = _audited(design, found, taken) if taken < len(design.looks) else None
        decision = audits.decide(design, looks, following)
        if decision.another:
            more = found.audit[design.looks[taken - 1] : design.looks[taken]]
            steps.append(Step(audit=more, review=_NOBODY))
        else:
            steps.append(Step(audit=_NOBODY, review=_above(design, found, decision.cut, taken)))
            finished = True
            break
    return Walk(steps=tuple(steps), looks=tuple(looks), finished=finished)


def _look(
    pool: Pool, design: certificates.Design, found: Order, label: frames.Longs, taken: int
) -> audits.Found:
    size = design.looks[taken - 1]
    at = found.audit[:size]
    said = label[at]
    return audits.tally(found.place[:size], said != pool.final[at], said < 0, pool.known[at], design.cuts)


def _audited(design: certificates.Design, found: Order, look: int) -> tuple[int, ...]:
    places = np.sort(found.place[: design.looks[look]])
    return tuple(int(a) for a in np.searchsorted(places, design.cuts))


def _above(design: certificates.Design, found: Order, cut: int, looks: int) -> frames.Longs:
    above = found.items[cut:][::-1]
    return above[~np.isin(above, found.audit[: design.looks[looks - 1]])]


def answers(waves: Sequence[people.Wave], ids: pa.Array) -> frames.Longs:
    """Returns what people said of each of `ids` in some plans, [N], as `people.Wave.label`."""
    label = people.labels(waves, ids)
    label[people.looked(waves, ids) & (label < 0)] = people.UNRESOLVED
    return label


def orders(pool: Pool, frozen: Frozen) -> tuple[Order, ...]:
    """Derives the order of every group; it costs a hash and a sort of all ids, and never changes."""
    return tuple(order(pool, frozen, group) for group in frozen.groups)


def rows(
    pool: Pool, frozen: Frozen, found: Sequence[Order], label: frames.Longs, number: int
) -> planning.Rows:
    """Draws plan `number` of the certificate, counted from 0; no rows when nothing is left to plan.

    Args:
        pool: as frozen.
        frozen: from `freeze`, or from the manifest of the first plan.
        found: its `orders`.
        label: `answers` to the certificate's plans before this one, [N]; -1 everywhere for the first.
        number: of the plan.
    """
    made = planning.Rows()
    for group, each in zip(frozen.groups, found, strict=True):
        steps = walk(pool, group, each, label, number).steps
        if len(steps) <= number:
            continue
        step = steps[number]
        if size := len(step.audit):
            u = each.u[np.isin(each.audit, step.audit)]
            pi = np.full(size, size / group.design.audit_from)
            made.add("audit", step.audit, s=np.ones(size), pi=pi, u=u, order=u, tau=float(u[-1]))
        if size := len(step.review):
            made.add(
                "certain",
                step.review,
                s=pool.risk[step.review],
                pi=np.ones(size),
                u=planning.ties(pool.ids.take(pa.array(step.review)).to_pylist(), pool.key),
                order=np.arange(size, dtype=np.float64),
                tau=math.inf,
            )
    return made


def conclude(group: Group, steps: Walk, label: frames.Longs, answered: int) -> audits.Conclusion | None:
    """Concludes a group after its plans; None where its audit could prove nothing.

    Raises:
        ValueError: the group is not finished: a plan is missing.
    """
    if group.needs is not None:
        return None
    missing = [step for step in steps.steps[answered:] if len(step.audit) or len(step.review)]
    if missing or not steps.finished:
        raise ValueError(
            f"plans: expected {len(steps.steps)} plans, got {answered}: "
            f"the next one asks for {len(steps.steps[-1].audit) + len(steps.steps[-1].review)} items more"
        )
    above = np.concatenate([step.review for step in steps.steps])
    return audits.conclude(group.design, steps.looks, int((label[above] < 0).sum()))

"""What the Jobs of a certificate do in their process: draw its plans, and issue it.

The plans of a campaign with a guarantee, from wave 1 on, are those of one certificate: the first freezes
labels, risks and the whole design, each further one follows from that and from the answers so far
(`certifying`). What is read here is what a verifier reads (`verifying`), so that nothing can be planned that
would not be found again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from actuary import errors
from actuary.jobs import worker
from actuary.sampler import certificate, certifying, frames, people, planning, pools, surveying, verifying
from actuary.stats import audits, sizing
from actuary.storage import artifacts

FIRST = 1
"""Wave of a certificate's first plan; the pilot comes before it."""
VERDICTS = ("certified", "not-met", "budget-exhausted", "not-provable")
"""From the best to the worst."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A plan of a certificate."""

    rows: planning.Rows
    picked: pools.Picked
    """The items that the rows' positions are of."""
    frozen: certifying.Frozen
    another: bool
    """Whether a further plan follows once people have answered this one."""


def wishes(spec: Mapping[str, Any], items: int) -> certifying.Wishes:
    """Reads what a plan's message asks to be proven.

    Args:
        spec: JSON form of the message `Plan`, with its `guarantee`.
        items: that may be reviewed.
    """
    guarantee, sampling = spec["guarantee"], spec.get("sampling", {})
    alpha = 1.0 - float(sampling.get("confidence_level", 0.95))
    return certifying.Wishes(
        mode=guarantee["mode"],
        labels=items,
        looks=_looks(guarantee, sampling, items),
        look_count=int(guarantee.get("looks", 1)),
        alpha=alpha,
        wave=FIRST,
        target=float(guarantee["max_error_rate"]) if "max_error_rate" in guarantee else None,
        alpha_pairs=alpha * float(guarantee.get("truth_level_share", 0.0)),
        per_class=bool(guarantee.get("per_class", False)),
        reserve=int(guarantee.get("reserve_items", 0)),
    )


def _looks(guarantee: Mapping[str, Any], sampling: Mapping[str, Any], items: int) -> tuple[int, ...]:
    last = min(int(sampling.get("audit_items", 0)), items)
    return sizing.doubling(last, int(guarantee.get("looks", 1))) if last else ()


def draw(
    stored: pools.Stored, spec: Mapping[str, Any], found: surveying.Survey, asked: planning.Wishes
) -> Drawn:
    """Draws the certificate's plan of a wave from what lies in the store.

    Args:
        stored: the frozen risks.
        spec: JSON form of the message `Plan`.
        found: the survey of the same pool.
        asked: labels, doubles and key of the plan.

    Raises:
        errors.InvalidInputError: a guarantee that the pool cannot have.
        errors.PreconditionError: no label is left for it.
    """
    plans, resolved = list(spec["earlier_plans"]), list(spec.get("earlier_resolved", []))
    sources = certificate.Sources(
        items=spec["items"],
        risks=stored.manifest.uri,
        earlier_plans=tuple(plans[:FIRST]),
        earlier_resolved=tuple(resolved[:FIRST]),
        plans=tuple(plans[FIRST:]),
        resolved=tuple(resolved[FIRST:]),
    )
    classes, number = list(spec["classes"]), asked.wave - FIRST
    pool = verifying.read_pool(stored.store, sources, classes, asked.key)
    rows = planning.Rows()
    if number == 0:
        spent = _failed(rows, stored, pool, found, asked)
        items = min(asked.items - spent, found.population)  # labels may be more than there is to review
        if items < 1 <= found.population:
            raise errors.PreconditionError(
                f"no label is left for what is to be proven: of {asked.labels} that are paid for, {spent} "
                "items without a machine label take theirs first. Top up money where that is short and "
                "resume, or start another campaign with more labels",
                reason="NO_LABELS_LEFT",
            )
        frozen = certifying.freeze(pool, wishes(spec, items))
        rows.notes += _notes(frozen)
    else:
        first = artifacts.read_manifest(stored.store, sources.plans[0])[0]
        frozen = certifying.Frozen.from_record(first.parameters["design"]["certificate"])
    waves = people.waves(stored.store, sources.plans, sources.resolved, classes)
    label, orders = certifying.answers(waves, pool.ids), certifying.orders(pool, frozen)
    own = certifying.rows(pool, frozen, orders, label, number)
    for name in ("at", "stratum", "s", "pi", "u", "order", "tau"):
        getattr(rows, name).extend(getattr(own, name))
    walks = [
        certifying.walk(pool, group, each, label, number)
        for group, each in zip(frozen.groups, orders, strict=True)
    ]
    another = any(not walk.finished or len(walk.steps) > number + 1 for walk in walks)
    return Drawn(rows=rows, picked=_picked(stored, pool, rows), frozen=frozen, another=another)


def _failed(
    rows: planning.Rows,
    stored: pools.Stored,
    pool: certifying.Pool,
    found: surveying.Survey,
    asked: planning.Wishes,
) -> int:
    """Items without a machine label come first: no claim is about them, people alone can label them."""
    most = planning.failed_items(found, asked)
    taken = found.failed_draw.finish(most)
    if most:
        u = taken.key.view(np.float64)
        order = np.argsort(taken.place)
        names = stored.pick(taken.place[order]).ids
        at, u = frames.indices(pool.ids, names), u[order]
        pi = np.full(most, most / found.failed)
        rows.add("failed", at, s=np.ones(most), pi=pi, u=u, order=u, tau=float(u.max()))
    rows.constants = {"failed": found.failed}
    return most


def _picked(stored: pools.Stored, pool: certifying.Pool, rows: planning.Rows) -> pools.Picked:
    """The items that the rows ask about; the rows' positions become those among them."""
    chosen = np.unique(np.concatenate([*rows.at, np.empty(0, dtype=np.int64)]))
    rows.at = [np.searchsorted(chosen, at) for at in rows.at]
    return stored.pick(stored.places(chosen))


def _notes(frozen: certifying.Frozen) -> list[str]:
    """What no answer can change any more."""
    found = []
    for group in frozen.groups:
        if group.needs is None:
            continue
        of = f" of labels that the machine gave as {group.name!r}" if group.name else ""
        found.append(
            f"An error rate of at most {100 * (group.design.target or 0):.6g} %{of} is not provable with an"
            f" audit of {group.design.looks[-1]}: it needs {group.needs}. Nobody is asked for it."
        )
    return found


class IssueCertificate:
    """Task `certificate`: derives it from the artifacts, as a verifier does, and writes it down."""

    def run(self, context: worker.WorkContext) -> None:
        """Issues; the artifact is one JSON file."""
        spec = context.spec.parameters
        lists = ("earlier_plans", "earlier_resolved", "plans", "resolved")
        sources = certificate.Sources(
            items=spec["items"], risks=spec["risks"], **{name: tuple(spec.get(name, ())) for name in lists}
        )
        made = verifying.issue(context.store, sources)
        ref = context.write_file("certificate.json", made.to_json())
        results = {"proof": {"document": ref.key, **proof(made)}}
        context.finish(
            objects=(ref,), counts={"claims": len(made.conclusions)}, parameters={"results": results}
        )


def proof(made: certificate.Certificate) -> dict[str, Any]:
    """What is proven, in the JSON form of the message `Proof`, but for the document's URI."""
    claims = [
        _claim(group, conclusion, looks)
        for group, conclusion, looks in zip(made.frozen.groups, made.conclusions, made.looks, strict=True)
    ]
    found: dict[str, Any] = {
        "statement": made.statement,
        "confidence_level": made.confidence,
        "verdict": max((claim["verdict"] for claim in claims), key=VERDICTS.index),
        "claims": claims,
    }
    if made.truth is not None and made.truth.error is not None:
        found["truth_error_rate"] = made.truth.error
    return found


def _claim(
    group: certifying.Group, conclusion: audits.Conclusion | None, looks: Sequence[audits.Found]
) -> dict[str, Any]:
    design = group.design
    found: dict[str, Any] = {"class_name": group.name, "label_count": design.population}
    if conclusion is None:
        return {
            **found,
            "verdict": "not-provable",
            "needed_audit_count": group.needs,
            "unreviewed_count": design.eligible,
        }
    taken = design.looks[len(looks) - 1]
    return {
        **found,
        "verdict": conclusion.verdict,
        "error_count": conclusion.errors,
        "error_rate": conclusion.errors / design.population,
        "audited_count": taken,
        "wrong_count": conclusion.wrong,
        "unreviewed_count": conclusion.cut - conclusion.audited,
    }

"""What the Jobs of a certificate do in their process: draw its plans, and issue it.

The plans of a campaign with a guarantee, from wave 1 on, are those of one certificate: the first freezes
labels, risks and the whole design, each further one follows from that and from the answers so far
(`certifying`). What is read here is what a verifier reads (`verifying`), so that nothing can be planned that
would not be found again.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from actuary.jobs import worker
from actuary.sampler import certificate, certifying, frames, people, planning, verifying
from actuary.stats import audits, draws, sizing
from actuary.storage import artifacts, objects

FIRST = 1
"""Wave of a certificate's first plan; the pilot comes before it."""
VERDICTS = ("certified", "not-met", "budget-exhausted", "not-provable")
"""From the best to the worst."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A plan of a certificate."""

    rows: planning.Rows
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
        looks=_looks(guarantee, sampling),
        look_count=int(guarantee.get("looks", 1)),
        alpha=alpha,
        wave=FIRST,
        target=float(guarantee["max_error_rate"]) if "max_error_rate" in guarantee else None,
        alpha_pairs=alpha * float(guarantee.get("truth_level_share", 0.0)),
        per_class=bool(guarantee.get("per_class", False)),
        reserve=int(guarantee.get("reserve_items", 0)),
    )


def _looks(guarantee: Mapping[str, Any], sampling: Mapping[str, Any]) -> tuple[int, ...]:
    last = int(sampling.get("audit_items", 0))
    return sizing.doubling(last, int(guarantee.get("looks", 1))) if last else ()


def draw(
    store: objects.ObjectStore,
    spec: Mapping[str, Any],
    risks: str,
    asked: planning.Wishes,
    frame: frames.Frame,
) -> Drawn:
    """Draws the certificate's plan of a wave from what lies in the store.

    Args:
        store: where the artifacts are.
        spec: JSON form of the message `Plan`.
        risks: URI of the frozen risks.
        asked: labels, doubles and key of the plan.
        frame: the pool.

    Raises:
        errors.InvalidInputError: a guarantee that the pool cannot have.
    """
    own = FIRST  # plans before the certificate's
    plans, resolved = list(spec["earlier_plans"]), list(spec.get("earlier_resolved", []))
    sources = certificate.Sources(
        items=spec["items"],
        risks=risks,
        earlier_plans=tuple(plans[:own]),
        earlier_resolved=tuple(resolved[:own]),
        plans=tuple(plans[own:]),
        resolved=tuple(resolved[own:]),
    )
    classes, number = list(spec["classes"]), asked.wave - FIRST
    pool = verifying.read_pool(store, sources, classes, asked.key)
    rows = planning.Rows()
    if number == 0:
        _failed(rows, frame, pool, asked)
        spent = len(np.concatenate([np.empty(0), *rows.at]))
        frozen = certifying.freeze(pool, wishes(spec, asked.items - spent))
        rows.notes += _notes(frozen)
    else:
        first = artifacts.read_manifest(store, sources.plans[0])[0]
        frozen = certifying.Frozen.from_record(first.parameters["design"]["certificate"])
    label = certifying.answers(people.waves(store, sources.plans, sources.resolved, classes), pool.ids)
    orders = certifying.orders(pool, frozen)
    own_rows = certifying.rows(pool, frozen, orders, label, number)
    _append(rows, own_rows, frames.indices(frame.ids, pool.ids))
    walks = [
        certifying.walk(pool, group, found, label, number)
        for group, found in zip(frozen.groups, orders, strict=True)
    ]
    another = any(not walk.finished or len(walk.steps) > number + 1 for walk in walks)
    return Drawn(rows=rows, frozen=frozen, another=another)


def _failed(rows: planning.Rows, frame: frames.Frame, pool: certifying.Pool, asked: planning.Wishes) -> None:
    """Items without a machine label come first: no claim is about them, people alone can label them."""
    known = pool.known[frames.indices(pool.ids, frame.ids)]
    failed = np.flatnonzero(~frame.labelled & ~known)
    had = int((~frame.labelled & known).sum())  # by the pilot, of the same share
    most = math.floor(asked.failed_share * asked.labels + 1e-9) - had
    take = max(0, min(len(failed), asked.items, most))
    if take:
        drawn = draws.srs(frame.u[failed], take)
        at = failed[drawn.selected]
        u = frame.u[at]
        pi = np.full(take, take / len(failed))
        rows.add("failed", at, s=np.ones(take), pi=pi, u=u, order=u, tau=drawn.tau)
    rows.constants = {"failed": len(failed)}


def _append(rows: planning.Rows, own: planning.Rows, at: frames.Longs) -> None:
    """Appends the certificate's rows; `at` are the positions of the pool's items in the frame."""
    rows.at += [at[each] for each in own.at]
    for name in ("stratum", "s", "pi", "u", "order", "tau"):
        getattr(rows, name).extend(getattr(own, name))


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

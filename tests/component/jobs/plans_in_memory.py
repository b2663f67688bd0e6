"""Plans from a pool that is held whole, by sorts of arrays: what plans from shards must be, bit for bit.

It is how waves were drawn before pools were read in chunks, kept as an independent implementation.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from actuary import errors
from actuary.sampler import frames, judging, people, planning, risking
from actuary.stats import draws, prn, robust, rules, weighing
from actuary.storage import artifacts, folder, tables


class Rows(planning.Rows):
    """Rows, and how far a constant moves with the budget."""

    moving: float = math.inf
    """Σ dπ/dx over the budget: x is log κ, and β α for the exponential rule."""


@dataclasses.dataclass
class Plan:
    """A plan, and what it rests on."""

    table: pa.Table
    """Sorted by id, with the column `shard`."""
    constants: dict[str, float]
    rule: weighing.Weighing
    notes: list[str]
    moving: float
    flipped: int = 0
    risks: pa.Table | None = None


def plan(store: folder.FolderStore, spec: Mapping[str, Any]) -> Plan:
    """Plans as the Job's parameters ask for."""
    sampling, wave_number = spec.get("sampling", {}), spec["wave"]
    key = prn.project_key(spec["seed"])
    wishes = planning.Wishes(
        wave=wave_number,
        labels=spec["label_count"],
        audit=sampling.get("audit_items", 0),
        weighing=weighing.Weighing.of(sampling),
        failed_share=sampling.get("failed_share", 0.25),
        double_share=spec.get("double_share", 0.0),
        key=key,
    )
    classes = spec["classes"]
    frame = frames.load(
        store,
        items=spec["items"],
        annotations=spec.get("annotations", []),
        critiques=spec.get("critiques", []),
        classes=classes,
        features=wave_number == 1,
    )
    if wave_number == 0:
        rows = pilot(frame, wishes)
        return _made(frame, rows, wishes, pa.nulls(frame.size, pa.string()), spec)
    manifest = artifacts.read_manifest(store, spec["risk_model"])[0]
    model = risking.Model.from_json(tables.read_file(store, manifest.objects[0]))
    if spec.get("earlier_risks"):
        found = frames.sharded(store, artifacts.read_manifest(store, spec["earlier_risks"])[0])
        risks = risking.read(found, frame.ids, classes)
    else:
        risks = risking.price(frame, model, key)
    earlier = people.waves(store, spec["earlier_plans"], spec["earlier_resolved"], classes)
    known = people.looked(earlier, frame.ids)
    first = artifacts.read_manifest(store, spec["earlier_plans"][0])[0]
    asked = _tuned(wishes, sampling, frame, risks, earlier)
    rule, note = judging.follow(judging.evidence(model, risks, earlier), asked.rule, model.reason)
    wishes = dataclasses.replace(wishes, weighing=dataclasses.replace(asked, rule=rule))
    rows = wave(frame, risks.risk, known, first.parameters["design"]["tau"], wishes)
    rows.notes += [note] if note else []
    label = pa.array(classes, pa.string()).take(pa.array(risks.final, mask=risks.final < 0))
    found = _made(frame, rows, wishes, label, spec)
    found.flipped = int((risks.final != frame.label).sum())
    found.risks = risking.table(frame, risks, classes).sort_by("item_id")
    return found


def _made(
    frame: frames.Frame, rows: Rows, wishes: planning.Wishes, label: pa.Array, spec: Mapping[str, Any]
) -> Plan:
    table = planning.table(frame, rows, wishes, label, spec.get("human_label_micros", 0))
    return Plan(table.sort_by("item_id"), rows.constants, wishes.weighing, rows.notes, rows.moving)


def _tuned(
    wishes: planning.Wishes,
    sampling: Mapping[str, Any],
    frame: frames.Frame,
    risks: risking.Risks,
    earlier: Sequence[people.Wave],
) -> weighing.Weighing:
    asked = wishes.weighing
    if asked.rule not in ("square-root", "hybrid") or "gamma" in sampling:
        return asked
    pilot_wave, size = earlier[0], wishes.items - wishes.audit
    at = frames.indices(frame.ids, pilot_wave.ids)
    told = np.full(frame.size, -1, dtype=np.int64)
    told[at[pilot_wave.labelled]] = pilot_wave.label[pilot_wave.labelled]
    rows = risks.final >= 0
    inside = rows & (told >= 0)
    wrong = told[inside] != risks.final[inside]
    gamma = robust.tune_gamma(risks.risk[rows], inside[rows], wrong, size)
    return dataclasses.replace(asked, gamma=gamma)


def pilot(frame: frames.Frame, wishes: planning.Wishes) -> Rows:
    """Draws wave 0: a simple random sample by the items' own permanent random numbers.

    Raises:
        errors.InvalidInputError: there are fewer items than the pilot is to have.
    """
    size = wishes.items
    if size > frame.size:
        description = f"expected at most the {frame.size} items of the pool, got {size}"
        raise errors.InvalidInputError.of([errors.Violation("sampling.pilot_items", description)])
    rows = Rows()
    if size == 0:
        rows.constants = {"population": frame.size, "tau": 0.0}
        return rows
    drawn = draws.srs(frame.u, size)
    at = np.flatnonzero(drawn.selected)
    u = frame.u[at]
    rows.add("pilot", at, s=np.ones(size), pi=drawn.pi[at], u=u, order=u, tau=drawn.tau)
    rows.constants = {"population": frame.size, "tau": drawn.tau}
    return rows


def wave(
    frame: frames.Frame,
    eps: frames.Floats,
    known: frames.Bools,
    pilot_tau: float,
    wishes: planning.Wishes,
    cost: float = 1.0,
) -> Rows:
    """Draws a later wave.

    Args:
        frame: the pool, N items.
        eps: risk of each item's label, [N]; NaN without a label.
        known: which items people have looked at before, [N].
        pilot_tau: the largest permanent random number that the pilot used up.
        wishes: what is wanted.
        cost: of one label; equal for all, so that only its presence is written.
    """
    rows = Rows()
    ids = frame.ids.to_pylist()
    left = wishes.items
    failed = np.flatnonzero(~frame.labelled & ~known)
    had = int((~frame.labelled & known).sum()) if wishes.wave == 1 else 0  # by the pilot, of the same share
    most = math.floor(wishes.failed_share * wishes.labels + 1e-9) - had
    take = max(0, min(len(failed), left, most))
    if take:
        drawn = draws.srs(frame.u[failed], take)
        at = failed[drawn.selected]
        u = frame.u[at]
        rows.add(
            "failed", at, s=np.ones(take), pi=np.full(take, take / len(failed)), u=u, order=u, tau=drawn.tau
        )
        left -= take
    population = np.flatnonzero(frame.labelled & ~known)
    left = min(left, len(population))
    rows.constants = {"population": len(population), "failed": len(failed)}
    audit = min(wishes.audit, left)
    in_audit = np.zeros(len(population), dtype=np.bool_)
    if audit:
        key = prn.derive_key(wishes.key, f"wave-{wishes.wave}/audit")
        u = prn.uniform([ids[i] for i in population], key)
        drawn = draws.srs(u, audit)
        in_audit = drawn.selected
        chosen = population[in_audit]
        rows.add(
            "audit",
            chosen,
            s=np.ones(audit),
            pi=drawn.pi[in_audit],
            u=u[in_audit],
            order=u[in_audit],
            tau=drawn.tau,
        )
    rest = population[~in_audit]
    size = min(left - audit, len(rest))
    if size == 0:
        return rows
    if wishes.weighing.rule == "threshold":
        _certain(rows, frame, ids, eps, rest, size, wishes)
    else:
        _drawn(rows, frame, ids, eps, rest, size, pilot_tau, wishes)
    return rows


def _certain(
    rows: Rows,
    frame: frames.Frame,
    ids: Sequence[str],
    eps: frames.Floats,
    rest: frames.Longs,
    size: int,
    wishes: planning.Wishes,
) -> None:
    """The most suspicious of what the audit left, served by falling risk."""
    u = planning.ties([ids[i] for i in rest], wishes.key)
    order = rules.risk_order(eps[rest], u)[:size]
    at = rest[order]
    rows.add(
        "certain",
        at,
        s=eps[at],
        pi=np.ones(size),
        u=u[order],
        order=np.arange(size, dtype=np.float64),
        tau=math.inf,
    )
    rows.constants["threshold"] = float(eps[at[-1]])


def _drawn(
    rows: Rows,
    frame: frames.Frame,
    ids: Sequence[str],
    eps: frames.Floats,
    rest: frames.Longs,
    size: int,
    pilot_tau: float,
    wishes: planning.Wishes,
) -> None:
    """A priority sample by the rule's size measures, with what the rule takes for certain among it."""
    inclusion = wishes.weighing.inclusion(eps[rest], size, planning.ties([ids[i] for i in rest], wishes.key))
    rows.notes += [said for said in (inclusion.warning, inclusion.note) if said]
    pi, floor = inclusion.pi, inclusion.constants.get("floor", 0.0)
    moves = pi * (1.0 - pi) if wishes.weighing.rule == "exponential" else pi[(pi < 1.0) & (pi > floor)]
    rows.moving = float(moves.sum()) / size
    u = _numbers(frame, ids, rest, pilot_tau, wishes)
    drawn = draws.draw_exact(weighing.scores(inclusion), u, size, inclusion.take_all)
    at = rest[drawn.selected]
    chosen = drawn.selected
    rows.add(
        "drawn",
        at,
        s=drawn.score[chosen],
        pi=drawn.pi[chosen],
        u=u[chosen],
        order=drawn.rank[chosen],
        tau=drawn.tau,
    )
    rows.constants.update({**inclusion.constants, "tau": drawn.tau})


def _numbers(
    frame: frames.Frame, ids: Sequence[str], rest: frames.Longs, pilot_tau: float, wishes: planning.Wishes
) -> frames.Floats:
    """Uniform numbers given all earlier draws: rescaled after the pilot (8.1), fresh in later waves."""
    fresh = prn.uniform([ids[i] for i in rest], prn.derive_key(wishes.key, f"wave-{wishes.wave}/drawn"))
    if wishes.wave > 1:
        return fresh
    u = frame.u[rest]
    # whom the pilot drew and nobody answered has used up its number
    unused = u > pilot_tau
    fresh[unused] = draws.rescale(u[unused], pilot_tau)
    return fresh

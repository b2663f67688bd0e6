"""Task `plan`: draws a wave; before wave 1 it freezes labels and risks for good.

The pool is read shard by shard, and never held but for a certificate, whose frozen order is of all items: in
wave 1 each shard is priced, written and surveyed, in later ones what was written is surveyed again. The draw
then reads risks alone (`planning`). Memory is that of the largest shard, of the plan and of the plans before
it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from actuary import errors
from actuary.jobs import worker
from actuary.sampler import (
    certifying,
    covering,
    frames,
    judging,
    people,
    planning,
    pools,
    proving,
    risking,
    slices,
    stored,
    surveying,
)
from actuary.stats import firsts, levels, orders, prn, streamed_weighing, weighing
from actuary.storage import artifacts, schemas, tables


class MakePlan:
    """Task `plan`: draws a wave; from wave 1 on it first freezes labels and risks."""

    def run(self, context: worker.WorkContext) -> None:
        """Draws and writes the plan; its shards are those of the items."""
        spec = context.spec.parameters
        sampling = spec.get("sampling", {})
        wishes = planning.Wishes(
            wave=int(spec.get("wave", 0)),
            labels=int(spec.get("label_count", 0)),
            audit=int(sampling.get("audit_items", 0)),
            weighing=weighing.Weighing.of(sampling),
            failed_share=float(sampling.get("failed_share", 0.25)),
            double_share=float(spec.get("double_share", 0.0)),
            key=prn.project_key(int(spec.get("seed", 0))),
        )
        if wishes.wave == 0:
            self._pilot(context, wishes)
        else:
            self._later(context, wishes)

    def _pilot(self, context: worker.WorkContext, wishes: planning.Wishes) -> None:
        """Draws wave 0: the first by their permanent random numbers; a second pass names them."""
        drawn = firsts.Firsts(wishes.items)
        for frame in _frames(context, features=False):
            drawn.add(orders.by_number(frame.u, pools.places(int(frame.shard[0]), frame.size)))
        taken = planning.pilot_draw(drawn, wishes)
        ids, shard = [pa.array([], pa.string())], [np.empty(0, dtype=np.int64)]
        for frame in _frames(context, features=False):
            place = pools.places(int(frame.shard[0]), frame.size)
            at = np.flatnonzero(np.isin(place, taken.place, assume_unique=True))
            ids.append(frame.ids.take(pa.array(at)))
            shard.append(frame.shard[at])
        size = len(taken.place)
        picked = pools.Picked(
            place=taken.place,
            ids=pa.concat_arrays(ids),
            shard=np.concatenate(shard),
            u=taken.key.view(np.float64),
            risk=np.full(size, np.nan),
            label=pa.nulls(size, pa.string()),
        )
        rows = planning.pilot_of(np.arange(size), taken, drawn.items)
        _write(context, wishes, rows, picked, {})

    def _later(self, context: worker.WorkContext, wishes: planning.Wishes) -> None:
        """Surveys the pool, decides on the rule, draws."""
        spec = context.spec.parameters
        store, classes = context.store, list(spec.get("classes", []))
        model = stored.read_model(context, spec["risk_model"])
        earlier = people.waves(store, spec["earlier_plans"], spec.get("earlier_resolved", []), classes)
        first = artifacts.read_manifest(store, spec["earlier_plans"][0])[0]
        frozen = spec.get("earlier_risks") or f"{context.spec.artifact}/risks"
        if spec.get("earlier_risks"):
            shards = _frozen(context, frozen, classes)
        else:
            shards = _priced(context, frozen, classes, model, wishes.key)
        asked_for = any(f"{part}_minimum" in spec.get("sampling", {}) for part in covering.STRATA)
        proven = "guarantee" in spec  # which draws an audit of its own
        looked = dataclasses.replace(wishes, audit=0) if proven else wishes
        found = _survey(shards, earlier, planning.survey(looked, covers=asked_for))
        results: dict[str, Any] = {"risks": frozen, "flipped_count": found.flipped}
        pool = pools.Stored(store=store, manifest=artifacts.read_manifest(store, frozen)[0])
        if proven:
            drawn = proving.draw(pool, spec, found.survey, wishes)
            results["another"] = drawn.another
            _write(context, wishes, drawn.rows, drawn.picked, results, drawn.frozen)
            return
        asked = wishes.weighing
        if asked.rule in ("square-root", "hybrid") and "gamma" not in spec.get("sampling", {}):
            asked = _tuned(pool, found, earlier, wishes)
        rule, note = judging.follow(judging.evidence(model, found.seen, earlier), asked.rule, model.reason)
        wishes = dataclasses.replace(wishes, weighing=dataclasses.replace(asked, rule=rule))
        pilot_tau = float(first.parameters["design"]["tau"])
        covers = _covers(context, pool, earlier, wishes) if asked_for else []
        rows, picked = planning.draw(pool, found.survey, pilot_tau, wishes, covers)
        rows.notes += [note] if note else []
        _write(context, wishes, rows, picked, results)


def _frames(context: worker.WorkContext, *, features: bool) -> Iterator[frames.Frame]:
    spec = context.spec.parameters
    return frames.shards(
        context.store,
        items=spec["items"],
        annotations=spec.get("annotations", []),
        critiques=spec.get("critiques", []),
        classes=list(spec.get("classes", [])),
        features=features,
    )


def _priced(
    context: worker.WorkContext, uri: str, classes: Sequence[str], model: risking.Model, key: bytes
) -> Iterator[risking.Risks]:
    """Prices every label and writes the risks for good, a shard at a time."""
    refs: list[tables.ObjectRef] = []
    count = 0
    for frame in _frames(context, features=True):
        risks = risking.price(frame, model, key)
        refs += stored.write_shards(context, uri, risking.table(frame, risks, classes), schemas.RISKS)
        count += frame.size
        yield risks
    items = artifacts.read_manifest(context.store, context.spec.parameters["items"])[0]
    artifacts.write_manifest(
        context.store,
        artifacts.Manifest(
            uri=uri,
            table="risks",
            version=schemas.version_of(schemas.RISKS),
            objects=tuple(refs),
            parents=context.parents(),
            parameters={"flips": model.flipping},
            code_version=context.code_version,
            counts={"priced": count},
            shards=items.shards,
        ),
    )


def _frozen(context: worker.WorkContext, uri: str, classes: Sequence[str]) -> Iterator[risking.Risks]:
    """Reads what wave 1 wrote, a shard at a time."""
    for table in frames.by_shard(context.store, artifacts.read_manifest(context.store, uri)[0]):
        yield risking.read(table, table["item_id"].combine_chunks(), classes)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What one pass over all shards found."""

    survey: surveying.Survey
    seen: risking.Risks
    """Of the items that earlier waves planned."""
    place: frames.Longs
    """Theirs."""
    flipped: int
    """Labels that are not the machine's any more."""


def _survey(
    shards: Iterator[risking.Risks], earlier: Sequence[people.Wave], survey: surveying.Survey
) -> _Found:
    seen, places, flipped = [], [], 0
    for risks in shards:
        shard = int(risks.shard[0])
        place = pools.places(shard, len(risks.u))
        here = [wave.within(shard) for wave in earlier]
        survey.add(
            ids=risks.ids,
            u=risks.u,
            labelled=risks.final >= 0,
            known=people.looked(here, risks.ids),
            place=place,
        )
        flipped += int((risks.final != risks.machine).sum())
        planned = np.unique(np.concatenate([frames.indices(risks.ids, wave.ids) for wave in here]))
        planned = planned[planned >= 0]
        seen.append(risks.take(planned))
        places.append(place[planned])
    if not seen:
        raise errors.PreconditionError("items: expected a pool to plan for, got none of its items")
    return _Found(survey=survey, seen=risking.joined(seen), place=np.concatenate(places), flipped=flipped)


def _covers(
    context: worker.WorkContext, pool: pools.Stored, earlier: Sequence[people.Wave], wishes: planning.Wishes
) -> list[covering.Drawn]:
    """Draws what slices and classes lack of their minima. Ids and labels of the pool are held meanwhile."""
    spec = context.spec.parameters
    ids, label = frames.frozen(context.store, pool.manifest, list(spec["classes"]))
    drawn = covering.draw(
        slices.minima(context.store, spec, ids, label),
        ids.to_pylist(),
        label >= 0,
        people.looked(earlier, ids),
        wishes.items,
        wishes.key,
        wishes.wave,
    )
    return [dataclasses.replace(each, at=pool.places(each.at)) for each in drawn]


def _tuned(
    pool: pools.Pool, found: _Found, earlier: Sequence[people.Wave], wishes: planning.Wishes
) -> weighing.Weighing:
    """Chooses gamma on the pilot."""
    pilot, size = earlier[0], wishes.items - wishes.audit
    told = people.labels([pilot], found.seen.ids)
    inside = np.flatnonzero((found.seen.final >= 0) & (told >= 0))
    if not inside.size or not 1 <= size <= found.survey.labelled - inside.size:
        return wishes.weighing
    out = np.sort(found.place[inside])

    def others() -> Iterator[levels.Priced]:
        return (levels.Priced(risk=chunk.outside(out).risk) for chunk in pool.chunks())

    wrong = told[inside] != found.seen.final[inside]
    gamma = streamed_weighing.tune_gamma(others, size, found.seen.risk[inside], wrong)
    return dataclasses.replace(wishes.weighing, gamma=gamma)


def _write(
    context: worker.WorkContext,
    wishes: planning.Wishes,
    rows: planning.Rows,
    picked: pools.Picked,
    results: Mapping[str, Any],
    proven: certifying.Frozen | None = None,
) -> None:
    spec = context.spec.parameters
    planned = planning.table(picked, rows, wishes, picked.label, int(spec.get("human_label_micros", 0)))
    items = artifacts.read_manifest(context.store, spec["items"])[0]
    design = {**wishes.weighing.to_record(), "seed": str(spec.get("seed", 0))}
    parents = context.parents()
    if proven is not None:
        design["certificate"] = proven.to_record()
        # a verifier follows the chain from each plan to the risks, also where they were frozen beside it
        parents += context.parents([results["risks"]]) if wishes.wave == proving.FIRST else ()
    # JSON has no infinity: without a threshold, nothing stands for it
    constants = {name: value if math.isfinite(value) else None for name, value in rows.constants.items()}
    artifacts.write_manifest(
        context.store,
        artifacts.Manifest(
            uri=context.spec.artifact,
            table="plan",
            version=schemas.version_of(schemas.PLAN),
            objects=stored.write_shards(context, context.spec.artifact, planned, schemas.PLAN),
            parents=parents,
            parameters={
                "wave": wishes.wave,
                "item_count": planned.num_rows,
                "design": {**design, **constants},
                "results": {**results, "stratum_counts": rows.counts(), "notes": rows.notes},
            },
            code_version=context.code_version,
            counts={"planned": planned.num_rows},
            shards=items.shards,
        ),
    )

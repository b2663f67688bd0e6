"""What the sampler's Jobs do in their process: fit the risk model, quote, plan, estimate.

Each reads artifacts, calls the pure decisions of `risking`, `judging`, `planning` and `estimating`, and
writes one artifact. Chance comes from the campaign's key alone, so a Job that dies and is repeated writes the
same.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from actuary import errors
from actuary.jobs import worker
from actuary.sampler import (
    effort,
    estimating,
    frames,
    judging,
    people,
    phases,
    planning,
    proving,
    quoting,
    risking,
)
from actuary.stats import budget_score, estimates, intervals, prn, robust, weighing
from actuary.storage import artifacts, schemas, tables


class FitRisk:
    """Task `risk`: calibrates the critic on the pilot; the artifact is one JSON file."""

    def run(self, context: worker.WorkContext) -> None:
        """Fits, measures out of fold, writes."""
        spec = context.spec.parameters
        classes = list(spec["classes"])
        resolved = people.resolved(context.store, spec["resolved"], classes)
        frame = frames.load(
            context.store,
            items=spec["items"],
            annotations=spec["annotations"],
            critiques=spec["critiques"],
            classes=classes,
            keep=resolved.ids,
            lengths=True,
        )
        key = prn.project_key(int(spec.get("seed", 0)))
        label = resolved.of(frame.ids)
        model = risking.fit(frame, label, key, 1.0 - float(spec.get("confidence_level", 0.95)))
        ref = context.write_file("risk.json", model.to_json())
        context.finish(
            objects=(ref,), counts={"labelled": model.items}, parameters={"results": judging.figures(model)}
        )


class MakeQuote:
    """Task `quote`: what any budget would buy."""

    def run(self, context: worker.WorkContext) -> None:
        """Forecasts along a grid of budgets, writes the points."""
        spec = context.spec.parameters
        model = read_model(context, spec["risk_model"])
        budget, sampling = spec["budget"], spec.get("sampling", {})
        asked = weighing.Weighing.of(sampling)
        rule, unfollowed = judging.follow(model.worth, asked.rule, model.reason)
        quoted = quoting.quote_points(
            model,
            items=int(spec["item_count"]),
            pilot=int(sampling.get("pilot_items", model.items)),
            labels=int(budget["human_labels"]),
            audit=int(sampling.get("audit_items", 0)),
            spent=dataclasses.replace(asked, rule=rule),
            label_micros=int(budget.get("human_label_micros", 0)),
            machine_micros=int(spec.get("machine_micros", 0)),
            double_share=float(spec.get("double_share", 0.0)),
            told=self._told(context, spec, model.alpha, unfollowed),
        )
        ref = context.write_file("quote.json", json.dumps(quoted, sort_keys=True).encode())
        context.finish(
            objects=(ref,), counts={"points": len(quoted["points"])}, parameters={"results": quoted}
        )

    def _told(
        self, context: worker.WorkContext, spec: Mapping[str, Any], alpha: float, unfollowed: str
    ) -> quoting.Told:
        """Reads what the pilot tells of time, cost and answers."""
        resolved = [artifacts.read_manifest(context.store, uri)[0] for uri in spec.get("resolved", [])]
        answers = [tables.read_all(context.store, manifest)["label"] for manifest in resolved]
        columns = []
        for uri in (*spec.get("annotations", []), *spec.get("critiques", [])):
            table = tables.read_all(context.store, artifacts.read_manifest(context.store, uri)[0])
            columns.append(
                (
                    table["compute_seconds"].to_numpy(),
                    table["cost_micros"].to_numpy().astype(np.float64),
                )
            )
        return quoting.Told(
            people=effort.people([manifest.parameters.get("timing", {}) for manifest in resolved], alpha),
            machines=effort.machines(columns, max(1, int(spec.get("worker_count", 1))), alpha),
            answers=[label for each in answers for label in each.to_pylist() if label is not None],
            unfollowed=unfollowed,
        )


class MakePlan:
    """Task `plan`: draws a wave; from wave 1 on it first freezes labels and risks."""

    def run(self, context: worker.WorkContext) -> None:
        """Draws and writes the plan; its shards are those of the items."""
        spec = context.spec.parameters
        wave = int(spec.get("wave", 0))
        key = prn.project_key(int(spec.get("seed", 0)))
        sampling = spec.get("sampling", {})
        wishes = planning.Wishes(
            wave=wave,
            labels=int(spec.get("label_count", 0)),
            audit=int(sampling.get("audit_items", 0)),
            weighing=weighing.Weighing.of(sampling),
            failed_share=float(sampling.get("failed_share", 0.25)),
            double_share=float(spec.get("double_share", 0.0)),
            key=key,
        )
        classes = list(spec.get("classes", []))
        frame = frames.load(
            context.store,
            items=spec["items"],
            annotations=spec.get("annotations", []),
            critiques=spec.get("critiques", []),
            classes=classes,
            lengths=wave == 1,
        )
        names = pa.array(classes, pa.string())
        proven: dict[str, Any] = {}
        if wave == 0:
            rows = planning.pilot(frame, wishes)
            label = pa.nulls(frame.size, pa.string())
            results: dict[str, Any] = {}
        else:
            model = read_model(context, spec["risk_model"])
            risks = self._risks(context, spec, frame, classes, key, model)
            label = names.take(pa.array(risks.final, mask=risks.final < 0))
            results = {
                "risks": f"{context.spec.artifact}/risks" if wave == 1 else spec["earlier_risks"],
                "flipped_count": int((risks.final != frame.label).sum()),
            }
        if wave > 0 and "guarantee" in spec:
            drawn = proving.draw(context.store, spec, results["risks"], wishes, frame)
            rows, results["another"] = drawn.rows, drawn.another
            proven = {"certificate": drawn.frozen.to_record()}
        elif wave > 0:
            earlier = people.waves(
                context.store, spec["earlier_plans"], spec.get("earlier_resolved", []), classes
            )
            known = people.looked(earlier, frame.ids)
            pilot_tau = float(
                artifacts.read_manifest(context.store, spec["earlier_plans"][0])[0].parameters["design"][
                    "tau"
                ]
            )
            asked = self._tuned(wishes, sampling, frame, risks, earlier)
            rule, note = judging.follow(judging.evidence(model, risks, earlier), asked.rule, model.reason)
            wishes = dataclasses.replace(wishes, weighing=dataclasses.replace(asked, rule=rule))
            rows = planning.wave(frame, risks.risk, known, pilot_tau, wishes)
            rows.notes += [note] if note else []
        # a verifier follows the chain from the plan of a certificate to the risks that were frozen beside it
        written = [results["risks"]] if proven and wave == 1 else []
        parents = (*context.parents(), *context.parents(written))
        planned = planning.table(frame, rows, wishes, label, int(spec.get("human_label_micros", 0)))
        items = artifacts.read_manifest(context.store, spec["items"])[0]
        refs = write_shards(context, context.spec.artifact, planned, schemas.PLAN)
        artifacts.write_manifest(
            context.store,
            artifacts.Manifest(
                uri=context.spec.artifact,
                table="plan",
                version=schemas.version_of(schemas.PLAN),
                objects=refs,
                parents=parents,
                parameters={
                    "wave": wave,
                    "item_count": planned.num_rows,
                    "design": {
                        **wishes.weighing.to_record(),
                        "seed": str(spec.get("seed", 0)),
                        **rows.constants,
                        **proven,
                    },
                    "results": {**results, "stratum_counts": rows.counts(), "notes": rows.notes},
                },
                code_version=context.code_version,
                counts={"planned": planned.num_rows},
                shards=items.shards,
            ),
        )

    def _tuned(
        self,
        wishes: planning.Wishes,
        sampling: Mapping[str, Any],
        frame: frames.Frame,
        risks: risking.Risks,
        earlier: Sequence[people.Wave],
    ) -> weighing.Weighing:
        """Chooses gamma on the pilot, where the rule has one and nobody gave it."""
        asked = wishes.weighing
        if asked.rule not in ("square-root", "hybrid") or "gamma" in sampling or not earlier:
            return asked
        pilot, size = earlier[0], wishes.items - wishes.audit
        at = frames.indices(frame.ids, pilot.ids)
        told = np.full(frame.size, -1, dtype=np.int64)
        told[at[pilot.labelled]] = pilot.label[pilot.labelled]
        rows = risks.final >= 0
        inside = rows & (told >= 0)
        if not inside.any() or size < 1 or size > int((rows & ~inside).sum()):
            return asked
        wrong = told[inside] != risks.final[inside]
        gamma = robust.tune_gamma(risks.risk[rows], inside[rows], wrong, size)
        return dataclasses.replace(asked, gamma=gamma)

    def _risks(
        self,
        context: worker.WorkContext,
        spec: Mapping[str, Any],
        frame: frames.Frame,
        classes: list[str],
        key: bytes,
        model: risking.Model,
    ) -> risking.Risks:
        """Prices every label; wave 1 writes them for good, later waves read what it wrote."""
        if spec.get("earlier_risks"):
            manifest = artifacts.read_manifest(context.store, spec["earlier_risks"])[0]
            return risking.read(frames.sharded(context.store, manifest), frame.ids, classes)
        risks = risking.price(frame, model, key)
        uri = f"{context.spec.artifact}/risks"
        table = risking.table(frame, risks, classes)
        items = artifacts.read_manifest(context.store, spec["items"])[0]
        artifacts.write_manifest(
            context.store,
            artifacts.Manifest(
                uri=uri,
                table="risks",
                version=schemas.version_of(schemas.RISKS),
                objects=write_shards(context, uri, table, schemas.RISKS),
                parents=context.parents(),
                parameters={"flips": risks.flips},
                code_version=context.code_version,
                counts={"priced": frame.size},
                shards=items.shards,
            ),
        )
        return risks


class MakeEstimate:
    """Task `estimate`: both accuracies, and the weight of every human label."""

    def run(self, context: worker.WorkContext) -> None:
        """Estimates and writes the table of weights; the figures stand in the manifest."""
        spec = context.spec.parameters
        classes = list(spec["classes"])
        waves = people.waves(context.store, spec["plans"], spec["resolved"], classes)
        manifest = artifacts.read_manifest(context.store, spec["risks"])[0]
        table = frames.sharded(context.store, manifest)
        ids = table["item_id"].combine_chunks()
        risks = risking.read(table, ids, classes)
        labelled = np.flatnonzero(risks.machine >= 0)
        population = phases.Population(
            ids=ids.take(pa.array(labelled)),
            machine=risks.machine[labelled],
            final=risks.final[labelled],
            machine_risk=risks.machine_risk[labelled],
            risk=risks.risk[labelled],
            soft=risks.soft(labelled),
        )
        without_label = risks.machine < 0
        said = people.labels(waves, ids)
        failed = said[without_label & (said >= 0)]
        try:
            outcome = estimating.estimate(
                population,
                waves,
                prn.project_key(int(spec.get("seed", 0))),
                1.0 - float(spec.get("confidence_level", 0.95)),
                failed=failed,
            )
        except ValueError as error:
            message = (
                f"{context.spec.name}: no estimate from {sum(len(w.label) for w in waves)} planned items: "
            )
            raise errors.PreconditionError(message + str(error), reason="NO_ESTIMATE") from error
        alone = set(ids.filter(pa.array(without_label)).to_pylist())
        weights = self._weights(waves, outcome, classes, ids, table, alone)
        without = len(ids) - len(labelled) - len(failed)
        refs = write_shards(context, context.spec.artifact, weights, schemas.WEIGHTS)
        artifacts.write_manifest(
            context.store,
            artifacts.Manifest(
                uri=context.spec.artifact,
                table="weights",
                version=schemas.version_of(schemas.WEIGHTS),
                objects=refs,
                parents=context.parents(),
                parameters={
                    "item_count": weights.num_rows,
                    "critic": judging.measured(
                        *judging.sampled(risks, waves), 1.0 - float(spec.get("confidence_level", 0.95))
                    ),
                    "design": outcome.design.to_record(),
                    "results": {
                        **figures(outcome, classes),
                        "unlabelled_rate": without / len(ids) if len(ids) else 0.0,
                    },
                },
                code_version=context.code_version,
                counts={"weights": weights.num_rows},
                shards=manifest.shards,
            ),
        )

    def _weights(
        self,
        waves: list[people.Wave],
        outcome: estimating.Outcome,
        classes: list[str],
        ids: pa.Array,
        risks: pa.Table,
        alone: set[str],
    ) -> pa.Table:
        """One row a planned item: the one that was labelled, where an item was planned twice.

        `alone` are the items without a machine label: nothing but people's word is known of them, and each
        stands for itself.
        """
        used = {
            item: (float(pi) if np.isfinite(pi) else None, float(g))
            for item, pi, g in zip(outcome.ids.to_pylist(), outcome.pi, outcome.g, strict=True)
        }
        rows: dict[str, dict[str, Any]] = {}
        for wave in waves:
            strata = wave.stratum.to_pylist()
            for place, item in enumerate(wave.ids.to_pylist()):
                label = int(wave.label[place])
                if item in rows and rows[item]["label"] is not None:
                    continue
                pi, g = used.get(item, (None, 0.0)) if label >= 0 else (None, 0.0)
                if item in alone and label >= 0:
                    g = 1.0
                rows[item] = {
                    "item_id": item,
                    "wave": wave.number,
                    "stratum": strata[place],
                    "label": classes[label] if label >= 0 else None,
                    "pi": pi,
                    "g": g,
                }
        schema = schemas.WEIGHTS
        found = pa.Table.from_pylist(list(rows.values()), schema=schema.remove_metadata())
        shard = risks["shard"].to_numpy()
        at = frames.indices(ids, found["item_id"].combine_chunks())
        found = found.append_column("shard", pa.array(shard[at]))
        return found.sort_by([("shard", "ascending"), ("item_id", "ascending")])


def write_shards(
    context: worker.WorkContext, uri: str, table: pa.Table, schema: pa.Schema
) -> tuple[tables.ObjectRef, ...]:
    """Writes a table that is sorted by its column `shard`, one object a shard that has rows."""
    shard = table["shard"].to_numpy()
    rows = table.select(schema.names)
    refs = []
    for number in np.unique(shard):
        first, last = np.searchsorted(shard, [number, number + 1])
        key = tables.shard_key(uri, int(number))
        refs.append(
            tables.write_table(context.store, key, rows.slice(first, last - first), schema, shard=int(number))
        )
    return tuple(refs)


def read_model(context: worker.WorkContext, uri: str) -> risking.Model:
    """Reads the artifact of a risk model."""
    manifest = artifacts.read_manifest(context.store, uri)[0]
    return risking.Model.from_json(tables.read_file(context.store, manifest.objects[0]))


def figures(outcome: estimating.Outcome, classes: Sequence[str]) -> dict[str, Any]:
    """What an estimate says, in the JSON form of the message `Estimate`."""
    found: dict[str, Any] = {
        "machine_accuracy": interval(outcome.machine),
        "process_accuracy": interval(outcome.process),
        "corrected_accuracy": interval(outcome.corrected),
        "classes_found": [
            {
                "name": name,
                "share": interval(each.share),
                "process_share": interval(each.process),
                "item_count": each.items,
                "corrected_accuracy": interval(each.corrected),
            }
            for name, each in zip(classes, outcome.classes, strict=True)
        ],
        "notes": list(outcome.notes),
    }
    if outcome.score is not None:
        for name in ("ideal_budget", "ratio", "excess"):
            measured: budget_score.Measured = getattr(outcome.score, name)
            bounds = intervals.wald(measured.value, measured.se, outcome.alpha)
            key = name if name == "ideal_budget" else f"budget_score_{name}"
            found[key] = {
                "estimate": measured.value,
                "low": bounds.low,
                "high": bounds.high,
                "method": "wald",
            }
    return found


def interval(estimate: estimates.Estimate | None) -> dict[str, Any]:
    """Returns the JSON form of the message `Interval`; empty where nothing could be estimated."""
    if estimate is None:
        return {}
    return {
        "estimate": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "method": estimate.method,
    }


TASKS: Mapping[str, worker.Task] = {
    "risk": FitRisk(),
    "quote": MakeQuote(),
    "plan": MakePlan(),
    "estimate": MakeEstimate(),
    "certificate": proving.IssueCertificate(),
}
"""By kind of Job."""

"""The end of a wave: the export table, the figures that the campaign answers with, and the report.

One pass over the shards joins what every stage left. The sealed truth is read here, once everything that
could be bent by it is written: only to say, where a truth is known, how far the estimates are from it.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from actuary import errors
from actuary.campaign import policy, report_values, requests
from actuary.jobs import worker
from actuary.report import render, values
from actuary.stats import weighing
from actuary.storage import artifacts, objects, schemas, tables

EXAMPLES = 24
"""Suspicious items in the report: a screenful."""


@dataclasses.dataclass(slots=True)
class Tally:
    """What the pass over the shards counts."""

    items: int = 0
    labelled: int = 0
    unlabelled: int = 0
    flipped: int = 0
    machine_known: int = 0
    """Items with a machine label and a known truth."""
    machine_right: int = 0
    corrected_known: int = 0
    corrected_right: int = 0
    risk: list[npt.NDArray[np.float64]] = dataclasses.field(default_factory=list)
    """Risk of the frozen label, of items whose label and truth are known, shard by shard."""
    wrong: list[npt.NDArray[np.bool_]] = dataclasses.field(default_factory=list)
    """Whether that label differs from the truth, likewise."""
    slices: dict[str, dict[str, list[int]]] = dataclasses.field(default_factory=dict)
    """By slice and by label, `machine` or `corrected`: items whose truth is known, and the right ones."""

    @property
    def machine_true(self) -> float | None:
        """Accuracy of the machine's labels against the sealed truth."""
        return self.machine_right / self.machine_known if self.machine_known else None

    @property
    def corrected_true(self) -> float | None:
        """Accuracy of the final labels against the sealed truth."""
        return self.corrected_right / self.corrected_known if self.corrected_known else None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The manifests that a report joins; what does not exist is None or empty."""

    items: artifacts.Manifest
    risks: artifacts.Manifest
    weights: artifacts.Manifest
    annotations: tuple[artifacts.Manifest, ...]
    plans: tuple[artifacts.Manifest, ...]
    resolved: tuple[artifacts.Manifest, ...]
    truth: artifacts.Manifest | None
    risk_model: artifacts.Manifest
    quote: artifacts.Manifest
    training: artifacts.Manifest | None
    certificate: artifacts.Manifest | None = None
    exemplars: artifacts.Manifest | None = None

    def all(self) -> list[artifacts.Manifest]:
        """Everything that the report rests on."""
        found = [
            self.items,
            *self.plans,
            *self.annotations,
            *self.resolved,
            self.risk_model,
            self.quote,
            self.risks,
            self.weights,
        ]
        return [*found, *(each for each in (self.certificate, self.training) if each is not None)]


def close(context: worker.WorkContext) -> None:
    """Does the Job `report`: writes `<artifact>/export/`, `<artifact>/report.html` and the manifest."""
    parameters = context.spec.parameters
    uris = requests.Artifacts(context.spec.campaign)
    wave = int(parameters["wave"])
    inputs = _inputs(context.store, uris, wave)
    export_uri = f"{context.spec.artifact}/export"
    tally, suspicious = _export(context, inputs, export_uri)
    results = _results(tally, inputs, parameters, wave)
    built = report_values.build(
        campaign=context.spec.campaign,
        message=parameters["campaign"],
        facts=parameters["facts"],
        inputs=inputs,
        tally=tally,
        suspicious=suspicious,
        results=results,
        batches=uris.waves(policy.Kind.REVIEW, wave),
        true_curve=_true_curve(tally, inputs, parameters["campaign"], parameters["facts"]["budget"]),
        store=context.store,
    )
    report = context.write_file("report.html", render.render(built).encode())
    results["report"] = report.key
    results["export"] = export_uri
    context.finish(objects=(report,), counts={"exported": tally.items}, parameters={"results": results})


def _inputs(store: objects.ObjectStore, uris: requests.Artifacts, wave: int) -> Inputs:
    def read(uri: str) -> artifacts.Manifest:
        return artifacts.read_manifest(store, uri)[0]

    def optional(uri: str) -> artifacts.Manifest | None:
        return read(uri) if artifacts.exists(store, uri) else None

    kind = policy.Kind
    return Inputs(
        items=read(uris.items),
        risks=read(uris.risks),
        weights=read(uris.of(kind.ESTIMATE, wave)),
        annotations=tuple(read(uri) for uri in uris.waves(kind.ANNOTATE, 1)),
        plans=tuple(read(uri) for uri in uris.waves(kind.PLAN, wave)),
        resolved=tuple(read(uri) for uri in uris.resolved(wave)),
        truth=optional(uris.truth),
        risk_model=read(uris.of(kind.RISK, 0)),
        quote=read(uris.of(kind.QUOTE, 0)),
        training=optional(uris.of(kind.TRAIN, wave)),
        certificate=optional(uris.of(kind.CERTIFY, wave)),
        exemplars=optional(uris.exemplars),
    )


def _export(
    context: worker.WorkContext, inputs: Inputs, uri: str
) -> tuple[Tally, list[report_values.Suspicious]]:
    """Writes the export shard by shard; keeps the most suspicious items on the way."""
    tally = Tally()
    heap: list[tuple[float, str, report_values.Suspicious]] = []
    refs = []
    for shard in range(inputs.items.shards):
        joined = _joined(context.store, inputs, shard)
        if joined.num_rows:
            _count(tally, joined)
            _keep_suspicious(heap, joined)
            export = joined.select(schemas.EXPORT.names)
            refs.append(
                tables.write_table(
                    context.store, tables.shard_key(uri, shard), export, schemas.EXPORT, shard=shard
                )
            )
        context.progress(phase="join", done=tally.items, total=sum(inputs.items.counts.values()))
    artifacts.write_manifest(
        context.store,
        artifacts.Manifest(
            uri=uri,
            table="export",
            version=schemas.version_of(schemas.EXPORT),
            objects=tuple(refs),
            parents=tuple(
                artifacts.Parent(uri=m.uri, digest=artifacts.read_manifest(context.store, m.uri)[1])
                for m in inputs.all()
            ),
            code_version=artifacts.code_version(),
            counts={"exported": tally.items},
            shards=inputs.items.shards,
        ),
    )
    chosen = [item for _, _, item in sorted(heap, key=lambda entry: (-entry[0], entry[1]))]
    return tally, chosen


def _joined(store: objects.ObjectStore, inputs: Inputs, shard: int) -> pa.Table:
    """The pool's items of a shard with all that is known of them; the export's columns and a few more."""
    shown = ["item_id", "split", "text", "question", "image", "slice"]
    items = tables.read_shard(store, inputs.items, shard, shown)
    items = items.filter(pc.equal(items["split"], "pool"))
    ids = items["item_id"].combine_chunks()
    risks = _aligned(ids, tables.read_shard(store, inputs.risks, shard))
    weights = _aligned(ids, tables.read_shard(store, inputs.weights, shard))
    notes = _aligned(
        ids,
        tables.read_shard(
            store, inputs.annotations, shard, ["item_id", "model", "prompt_digest", "cost_micros", "outcome"]
        ),
    )
    answered = tables.read_shard(store, inputs.resolved, shard, ["item_id"])
    truth = pa.nulls(len(ids), pa.string())
    if inputs.truth is not None:
        truth = _aligned(ids, tables.read_shard(store, inputs.truth, shard))["label"]
    human = weights["label"]
    label = pc.coalesce(human, risks["label"])
    flipped = pc.fill_null(risks["flipped"], False)
    source = pc.if_else(
        pc.is_valid(human),
        "human",
        pc.if_else(pc.is_null(risks["label"]), "none", pc.if_else(flipped, "flipped", "machine")),
    )
    return pa.table(
        {
            "item_id": ids,
            "label": label,
            "source": source,
            "machine_label": risks["machine_label"],
            "risk": risks["risk"],
            "pi": weights["pi"],
            "g": weights["g"],
            "wave": weights["wave"],
            "model": notes["model"],
            "prompt_digest": notes["prompt_digest"],
            "cost_micros": pc.fill_null(notes["cost_micros"], 0),
            "truth": truth,
            "frozen": risks["label"],
            "human": human,
            "reviewed": pc.is_in(ids, value_set=answered["item_id"].combine_chunks()),
            "machine_risk": risks["machine_risk"],
            "text": items["text"],
            "question": items["question"],
            "image": items["image"],
            "slice": items["slice"],
        }
    )


def _aligned(ids: pa.Array, table: pa.Table) -> pa.Table:
    """Rows of `table` in the order of `ids`, null where there is none."""
    at = pc.index_in(ids, value_set=table["item_id"].combine_chunks())
    return table.take(at)


def _count(tally: Tally, joined: pa.Table) -> None:
    known = pc.is_valid(joined["truth"])

    def agreeing(column: str) -> tuple[int, int]:
        both = pc.and_(known, pc.is_valid(joined[column]))
        right = pc.fill_null(pc.equal(joined[column], joined["truth"]), False)
        return int(pc.sum(both).as_py() or 0), int(pc.sum(pc.and_(both, right)).as_py() or 0)

    tally.items += joined.num_rows
    tally.unlabelled += int(joined["label"].null_count)
    tally.labelled += joined.num_rows - int(joined["label"].null_count)
    tally.flipped += int(pc.sum(pc.equal(joined["source"], "flipped")).as_py() or 0)
    count, right = agreeing("machine_label")
    tally.machine_known += count
    tally.machine_right += right
    both = joined.filter(pc.and_(known, pc.is_valid(joined["frozen"])))
    tally.risk.append(both["risk"].to_numpy())
    tally.wrong.append(pc.not_equal(both["frozen"], both["truth"]).to_numpy())
    count, right = agreeing("label")
    tally.corrected_known += count
    tally.corrected_right += right
    _count_slices(tally, joined.filter(pc.and_(known, pc.is_valid(joined["slice"]))))


def _count_slices(tally: Tally, joined: pa.Table) -> None:
    for name, column in (("machine", "machine_label"), ("corrected", "label")):
        both = joined.filter(pc.is_valid(joined[column])).append_column(
            "right", pc.cast(pc.equal(joined[column], joined["truth"]).drop_null(), pa.int64())
        )
        found = both.group_by("slice").aggregate([("right", "count"), ("right", "sum")])
        for row in found.to_pylist():
            counts = tally.slices.setdefault(row["slice"], {}).setdefault(name, [0, 0])
            counts[0] += row["right_count"]
            counts[1] += row["right_sum"]


def _keep_suspicious(heap: list[tuple[float, str, report_values.Suspicious]], joined: pa.Table) -> None:
    scored = joined.filter(pc.is_valid(joined["machine_risk"]))
    order = pc.sort_indices(scored, [("machine_risk", "descending"), ("item_id", "ascending")])
    for row in scored.take(order[:EXAMPLES]).to_pylist():
        entry = (row["machine_risk"], row["item_id"], report_values.Suspicious(**_example(row)))
        if len(heap) < EXAMPLES:
            heapq.heappush(heap, entry)
        elif entry[:2] > heap[0][:2]:
            heapq.heapreplace(heap, entry)


def _example(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "item_id": row["item_id"],
        "risk": row["machine_risk"],
        "machine_label": row["machine_label"],
        "corrected_label": row["label"],
        "text": row["text"] or "",
        "question": row["question"] or "",
        "image": row["image"],
        "reviewed": row["reviewed"],
        "human_answer": row["human"],
        "truth": row["truth"],
    }


def _true_curve(
    tally: Tally, inputs: Inputs, campaign: Mapping[str, Any], budget: Mapping[str, int]
) -> list[values.CurvePoint]:
    """What the quote forecast, told from the truth: the accuracy after each of its budgets, in expectation.

    Pilot and audit fall on any item alike, so that a share u/N of all errors is found by them; the rest of a
    budget is spent by the rule on what they left. Of doubles, and where a plan followed another rule since
    the critic was not shown to be worth following, nothing is told.
    """
    asked = weighing.Weighing.of({**campaign.get("sampling", {}), "rule": weighing.rule_of(campaign)})
    used = [weighing.Weighing.of(plan.parameters.get("design", {})) for plan in inputs.plans[1:]]
    followed = all(each.rule == asked.rule for each in used)
    review = campaign.get("review", {})  # doubles and gold tasks take labels that buy no item
    otherwise = review.get("double_share") or review.get("gold_share") or campaign.get("guarantee")
    if not tally.corrected_known or not followed or otherwise:
        return []
    weigh = used[0] if used else asked
    risk, wrong = np.concatenate(tally.risk), np.concatenate(tally.wrong)
    size = len(wrong)
    points = []
    for labels in (int(point["human_labels"]) for point in inputs.quote.parameters["results"]["points"]):
        by_chance = budget["pilot"] + budget["audit"] + budget.get("covering", 0)
        anywhere = min(labels, by_chance, size)
        share = anywhere / size
        reach = size if share == 1 else min(size, (labels - anywhere) / (1 - share))
        remaining = (1 - share) * float((wrong * (1.0 - _reviewed(weigh, risk, reach))).sum())
        points.append(values.CurvePoint(human_labels=labels, estimate=1.0 - remaining / size))
    return points


def _slice(tally: Tally, found: Mapping[str, Any]) -> dict[str, Any]:
    """A slice in the JSON form of `SliceAccuracy`, with its truth where one is known."""
    told = {key: value for key, value in found.items() if key != "class_shares"}
    for name, (known, right) in tally.slices.get(found["name"], {}).items():
        told[f"{name}_accuracy"] = {**found[f"{name}_accuracy"], "true_value": right / known}
    return told


def _reviewed(
    weigh: weighing.Weighing, risk: npt.NDArray[np.float64], labels: float
) -> npt.NDArray[np.float64]:
    """The probability of each item, [N], that a rule with so many labels takes it, in [0, N]."""
    size = len(risk)
    if labels in (0, size):
        return np.full(size, labels / size)
    rank = np.empty(size)
    rank[np.argsort(-risk, kind="stable")] = np.arange(size)
    if weigh.rule == "threshold":
        return np.clip(labels - rank, 0.0, 1.0)
    return weigh.inclusion(risk, labels, (rank + 0.5) / size).pi


def _results(tally: Tally, inputs: Inputs, parameters: Mapping[str, Any], wave: int) -> dict[str, Any]:
    """The campaign's `Results` in JSON form."""
    estimated = inputs.weights.parameters.get("results", {})
    if not estimated:
        raise errors.DataLossError(f"{inputs.weights.uri}: expected the results of an estimate, got none")
    machine, corrected = dict(estimated["machine_accuracy"]), dict(estimated["corrected_accuracy"])
    if tally.machine_true is not None:
        machine["true_value"] = tally.machine_true
    if tally.corrected_true is not None:
        corrected["true_value"] = tally.corrected_true
    results: dict[str, Any] = {
        "item_count": tally.items,
        "human_label_count": int(parameters["facts"].get("human_labels_used", 0)),
        "unlabelled_rate": tally.unlabelled / tally.items if tally.items else 0.0,
        "machine_accuracy": machine,
        "corrected_accuracy": corrected,
        "wave": wave,
        "slices": [_slice(tally, each) for each in estimated.get("slices_found", [])],
    }
    if inputs.certificate is not None:
        results["certificate"] = inputs.certificate.parameters["results"]["proof"]
    if inputs.training is not None:
        results["test_accuracies"] = inputs.training.parameters["results"].get("test_accuracies", {})
    return results

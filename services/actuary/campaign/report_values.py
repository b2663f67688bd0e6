"""From manifests and facts to the values of a report. Nothing is drawn here and nothing computed but sums."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from actuary.campaign import review_values
from actuary.report import values
from actuary.stats import weighing
from actuary.storage import artifacts, objects, tables

if TYPE_CHECKING:
    from actuary.campaign import closing

PAYERS = {"review": "people", "annotate": "annotator", "critique": "critic", "train": "trainer"}
"""Who is paid in a step, by the kind of its Job."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Suspicious:
    """One item with a high risk, as the pass over the shards keeps it."""

    item_id: str
    risk: float
    machine_label: str | None
    corrected_label: str | None
    text: str
    question: str
    image: bytes | None
    reviewed: bool
    human_answer: str | None
    truth: str | None


def build(
    *,
    campaign: str,
    message: Mapping[str, Any],
    facts: Mapping[str, Any],
    inputs: closing.Inputs,
    tally: closing.Tally,
    suspicious: Sequence[Suspicious],
    results: Mapping[str, Any],
    batches: Sequence[str],
    true_curve: Sequence[values.CurvePoint],
    store: objects.ObjectStore,
) -> values.ReportValues:
    """Builds the values.

    Args:
        campaign: resource name.
        message: the campaign's message in JSON form.
        facts: what the controller knows: spend, labels, times.
        inputs: the manifests of everything.
        tally: what the pass over the shards counted.
        suspicious: the items of the highest risk.
        results: the campaign's `Results` in JSON form.
        batches: URIs of the review batches, for the answers.
        true_curve: what the forecast forecasts, where the truth is known.
        store: where the plans are, for the strata.
    """
    budget = facts["budget"]
    asked = message.get("budget", {})
    task = message.get("task", {})
    sampling = message.get("sampling", {})
    critic = message.get("critic", {})
    level = float(sampling.get("confidence_level", 0.95))
    return values.ReportValues(
        name=campaign,
        title=message.get("display_name", ""),
        state="BUDGET_EXHAUSTED" if _over_budget(inputs) or _too_dear(results) else "SUCCEEDED",
        items=tally.items,
        human_labels=values.HumanLabels(
            budget=int(facts["human_labels_limit"] or budget["labels"]),
            used=int(facts["human_labels_used"]),
            asked=f"{100 * asked['human_share']:.3g} % of the items" if "human_share" in asked else "",
        ),
        money=values.Money(
            used_micros=int(facts["money_used_micros"]), limit_micros=facts.get("money_limit_micros")
        ),
        seconds=_seconds(facts.get("started"), facts.get("now")),
        wave=int(results["wave"]),
        instruction=task.get("instruction", ""),
        classes=tuple(
            values.ClassDescription(name=c["name"], description=c.get("description", ""))
            for c in task.get("classes", [])
        ),
        data_source=str(message.get("data", {}).get("uri", "")).rsplit("/", 1)[-1],
        annotator=message.get("annotator", {}).get("model", {}).get("kind", ""),
        critic=" ".join(
            filter(None, [critic.get("strategy", "confidence"), critic.get("model", {}).get("kind", "")])
        ),
        rule=weighing.rule_of(message),
        confidence_level=level,
        machine_accuracy=interval(results["machine_accuracy"]),
        corrected_accuracy=interval(results["corrected_accuracy"]),
        process_accuracy=interval(inputs.weights.parameters["results"].get("process_accuracy")),
        class_results=_class_results(inputs),
        certificate=_certificate(results.get("certificate")),
        slice_results=_slice_results(results, inputs),
        unlabelled_rate=float(results["unlabelled_rate"]),
        flipped=tally.flipped,
        curve=_curve(inputs, results, facts, true_curve),
        critic_quality=_critic(inputs, critic.get("strategy", "confidence")),
        spend=_spend(facts),
        suspicious=tuple(values.SuspiciousItem(**dataclasses.asdict(item)) for item in suspicious),
        strata=_strata(inputs, store),
        review=review_values.summary(
            store,
            inputs,
            batches,
            corrected_low=results["corrected_accuracy"].get("low"),
            alpha=1.0 - level,
        ),
        training=_training(inputs),
        notes=_notes(inputs),
        parameters=_parameters(message, budget),
        artifacts=tuple(
            values.ArtifactReference(
                uri=m.uri, digest=artifacts.read_manifest(store, m.uri)[1], rows=m.rows or None
            )
            for m in inputs.all()
        ),
        code_version=inputs.items.code_version,
        finished=_time(facts.get("now")),
    )


def _over_budget(inputs: closing.Inputs) -> int:
    """Items that were not labelled for want of money."""
    return sum(int(manifest.counts.get("OVER_BUDGET", 0)) for manifest in inputs.annotations)


def _too_dear(results: Mapping[str, Any]) -> bool:
    """Whether the labels did not suffice for what was to be proven."""
    return bool(results.get("certificate", {}).get("verdict") == "budget-exhausted")


def _certificate(proof: Mapping[str, Any] | None) -> values.Certificate | None:
    if proof is None:
        return None
    return values.Certificate(
        statement=proof["statement"],
        document=proof["document"],
        verdict=proof["verdict"],
        confidence_level=float(proof["confidence_level"]),
        claims=tuple(
            values.Claim(
                name=claim["class_name"],
                verdict=claim["verdict"],
                labels=int(claim["label_count"]),
                errors=claim.get("error_count"),
                audited=int(claim.get("audited_count", 0)),
                wrong=int(claim.get("wrong_count", 0)),
                unreviewed=int(claim.get("unreviewed_count", 0)),
                needed=claim.get("needed_audit_count"),
            )
            for claim in proof["claims"]
        ),
    )


def _notes(inputs: closing.Inputs) -> tuple[str, ...]:
    """What a reader must know, as each stage says it, each once."""
    found = list(inputs.weights.parameters["results"].get("notes", []))
    reason = inputs.risk_model.parameters["results"].get("figures", {}).get("reason")
    if reason:
        found.append(f"All risks are the pilot's error rate, and the rule knows no better: {reason}.")
    for manifest in (*inputs.plans, *([inputs.training] if inputs.training else [])):
        found += manifest.parameters["results"].get("notes", [])
    return tuple(dict.fromkeys(found))


def interval(form: Mapping[str, Any] | None) -> values.Interval | None:
    """Reads the JSON form of the message `Interval`."""
    if not form:
        return None
    return values.Interval(
        estimate=form.get("estimate"),
        low=form.get("low"),
        high=form.get("high"),
        method=form.get("method", ""),
        true=form.get("true_value"),
    )


def _curve(
    inputs: closing.Inputs,
    results: Mapping[str, Any],
    facts: Mapping[str, Any],
    true_curve: Sequence[values.CurvePoint],
) -> values.QualityCurve | None:
    points = inputs.quote.parameters["results"].get("points", [])
    forecast = tuple(
        values.CurvePoint(
            human_labels=int(point["human_labels"]),
            estimate=float(point["corrected_accuracy"]["estimate"]),
            low=point["corrected_accuracy"].get("low"),
            high=point["corrected_accuracy"].get("high"),
        )
        for point in points
    )
    corrected = results["corrected_accuracy"]
    reached = None
    if corrected.get("estimate") is not None:
        reached = values.CurvePoint(
            human_labels=int(facts["human_labels_used"]),
            estimate=float(corrected["estimate"]),
            low=corrected.get("low"),
            high=corrected.get("high"),
        )
    if not forecast:
        return None
    said = inputs.quote.parameters["results"].get("notes", [])
    # what a later stage says as well stands at the top of the page
    again = _notes(inputs)
    notes = tuple(note for note in said if note not in again)
    return values.QualityCurve(forecast=forecast, reached=reached, true=tuple(true_curve), notes=notes)


def _critic(inputs: closing.Inputs, strategy: str) -> values.CriticQuality | None:
    figures = inputs.risk_model.parameters["results"].get("figures", {})
    if "calibrated" not in figures:
        return None
    estimated = inputs.weights.parameters["results"]
    # the estimate has measured it again, on pilot and audit together
    latest = inputs.weights.parameters.get("critic", figures)
    return values.CriticQuality(
        strategy=strategy,
        calibrated=_reliability(latest["calibrated"]),
        raw=_reliability(figures["raw"]) if "raw" in figures else None,
        auroc=interval(latest.get("auroc")),
        ideal_budget=interval(estimated.get("ideal_budget")),
        budget_score_ratio=interval(estimated.get("budget_score_ratio")),
        budget_score_excess=interval(estimated.get("budget_score_excess")),
        items=int(latest.get("items", 0)),
        worth=str(figures.get("worth", "")),
        embedding=str(figures.get("embedding", "")),
    )


def _reliability(form: Mapping[str, Any]) -> values.Reliability:
    return values.Reliability(
        bins=tuple(values.ReliabilityBin(**each) for each in form["bins"]),
        expected_calibration_error=form.get("expected_calibration_error"),
        by_chance=form.get("calibration_error_by_chance"),
    )


def _spend(facts: Mapping[str, Any]) -> tuple[values.StageSpend, ...]:
    found = []
    for key, child in facts["children"].items():
        kind, _, wave = key.partition("-w")
        found.append(
            values.StageSpend(
                stage=f"{kind} {wave}" if wave else kind,
                payer=PAYERS.get(kind, "actuary"),
                cost_micros=int(child.get("spent_micros", 0)),
                seconds=_seconds(child.get("start"), child.get("end")),
                items=int(child.get("done_count", 0)),
                tokens_in=int(child.get("tokens_in", 0)),
                tokens_out=int(child.get("tokens_out", 0)),
            )
        )
    return tuple(found)


def _strata(inputs: closing.Inputs, store: objects.ObjectStore) -> tuple[values.StratumCount, ...]:
    planned: dict[tuple[int, str], int] = {}
    answered: dict[tuple[int, str], int] = {}
    for plan in inputs.plans:
        wave = int(plan.parameters["wave"])
        for stratum, count in plan.parameters["results"].get("stratum_counts", {}).items():
            planned[wave, stratum] = planned.get((wave, stratum), 0) + int(count)
    for ref in inputs.weights.objects:
        with tables.open_shard(store, ref, ["wave", "stratum", "label"], table="weights") as reader:
            table = reader.read()
        table = table.filter(pc.is_valid(table["label"]))
        for row in table.to_pylist():
            key = (row["wave"], row["stratum"])
            answered[key] = answered.get(key, 0) + 1
    return tuple(
        values.StratumCount(
            wave=wave, stratum=stratum, items=count, answered=answered.get((wave, stratum), 0)
        )
        for (wave, stratum), count in sorted(planned.items())
    )


def _class_results(inputs: closing.Inputs) -> tuple[values.ClassResult, ...]:
    found = inputs.weights.parameters["results"].get("classes_found", [])
    return tuple(
        values.ClassResult(
            name=each["name"],
            share=share,
            process_share=interval(each.get("process_share")),
            items=int(each.get("item_count", 0)),
            reviewed=int(each.get("reviewed_count", 0)),
            corrected_accuracy=interval(each.get("corrected_accuracy")),
        )
        for each in found
        if (share := interval(each["share"])) is not None
    )


def _slice_results(results: Mapping[str, Any], inputs: closing.Inputs) -> tuple[values.SliceResult, ...]:
    estimated = inputs.weights.parameters["results"].get("slices_found", [])
    return tuple(
        values.SliceResult(
            name=each["name"],
            items=int(each["item_count"]),
            reviewed=int(each["reviewed_count"]),
            needed=int(each["needed_count"]),
            machine_accuracy=_estimated(each["machine_accuracy"]),
            corrected_accuracy=_estimated(each["corrected_accuracy"]),
            shares=tuple(found for share in source["class_shares"] if (found := interval(share)) is not None),
        )
        for each, source in zip(results.get("slices", []), estimated, strict=True)
    )


def _estimated(form: Mapping[str, Any]) -> values.Interval | None:
    """An interval that has an estimate; a truth alone is none."""
    return interval(form) if form.get("estimate") is not None else None


def _training(inputs: closing.Inputs) -> values.TrainingOutcome | None:
    if inputs.training is None:
        return None
    form = inputs.training.parameters["results"]
    weights = form.get("weights")
    return values.TrainingOutcome(
        model=form.get("model", ""),
        accuracies=tuple(
            values.ModelAccuracy(training_set=name, accuracy=accuracy)
            for name, each in form.get("test_accuracies", {}).items()
            if (accuracy := interval(each)) is not None
        ),
        gap=interval(form.get("gap")),
        test_items=int(form.get("test_items", 0)),
        weights=values.WeightDiagnostics(**weights) if weights else None,
    )


def _parameters(message: Mapping[str, Any], budget: Mapping[str, Any]) -> dict[str, str]:
    found = {
        "seed": str(message.get("seed", 0)),
        "pilot": str(budget["pilot"]),
        "audit": str(budget["audit"]),
    }
    for section in ("guarantee", "sampling", "review", "training", "execution"):
        for key, value in sorted(message.get(section, {}).items()):
            if not isinstance(value, dict | list):
                found[f"{section}.{key}"] = str(value)
    return found


def _time(text: str | None) -> datetime.datetime | None:
    return datetime.datetime.fromisoformat(text) if text else None


def _seconds(start: str | None, end: str | None) -> float:
    began, ended = _time(start), _time(end)
    return (ended - began).total_seconds() if began and ended else 0.0

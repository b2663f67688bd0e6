"""Task `estimate`: from plans and answers to both accuracies, and to a weight for every human label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from actuary import errors
from actuary.jobs import worker
from actuary.sampler import estimating, frames, judging, people, phases, risking, slices, stored
from actuary.stats import budget_score, estimates, intervals, prn
from actuary.storage import artifacts, schemas


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
        named = slices.read(context.store, spec["items"], ids) if spec.get("items") else None
        population = phases.Population(
            ids=ids.take(pa.array(labelled)),
            machine=risks.machine[labelled],
            final=risks.final[labelled],
            machine_risk=risks.machine_risk[labelled],
            risk=risks.risk[labelled],
            soft=risks.soft(labelled),
            slice=named.of[labelled] if named else None,
        )
        without_label = risks.machine < 0
        said = people.labels(waves, ids)
        alone_told = without_label & (said >= 0)
        failed = said[alone_told]
        try:
            outcome = estimating.estimate(
                population,
                waves,
                prn.project_key(int(spec.get("seed", 0))),
                1.0 - float(spec.get("confidence_level", 0.95)),
                failed=failed,
                slice_names=named.names if named else (),
                failed_slice=named.of[alone_told] if named else None,
            )
        except ValueError as error:
            message = (
                f"{context.spec.name}: no estimate from {sum(len(w.label) for w in waves)} planned items: "
            )
            raise errors.PreconditionError(message + str(error), reason="NO_ESTIMATE") from error
        alone = set(ids.filter(pa.array(without_label)).to_pylist())
        weights = self._weights(waves, outcome, classes, ids, table, alone)
        without = len(ids) - len(labelled) - len(failed)
        refs = stored.write_shards(context, context.spec.artifact, weights, schemas.WEIGHTS)
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
                "item_count": each.part.items,
                "reviewed_count": each.part.reviewed,
                "corrected_accuracy": interval(each.part.corrected),
            }
            for name, each in zip(classes, outcome.classes, strict=True)
        ],
        "slices_found": [
            {
                "name": each.name,
                "item_count": each.part.items,
                "reviewed_count": each.part.reviewed,
                "machine_accuracy": interval(each.part.machine),
                "corrected_accuracy": interval(each.part.corrected),
                "class_shares": [interval(share) for share in each.part.shares],
                "needed_count": each.needed,
            }
            for each in outcome.slices
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

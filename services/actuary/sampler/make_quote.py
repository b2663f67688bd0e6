"""Task `quote`: what any budget would buy, before the bulk of the money is spent."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from actuary.jobs import worker
from actuary.sampler import effort, judging, quoting, stored
from actuary.stats import weighing
from actuary.storage import artifacts, tables


class MakeQuote:
    """Task `quote`: what any budget would buy."""

    def run(self, context: worker.WorkContext) -> None:
        """Forecasts along a grid of budgets, writes the points."""
        spec = context.spec.parameters
        model = stored.read_model(context, spec["risk_model"])
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
            gold_share=float(spec.get("gold_share", 0.0)),
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

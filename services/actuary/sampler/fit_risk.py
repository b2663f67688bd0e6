"""Task `risk`: from a pilot's labels to a model that prices every label."""

from __future__ import annotations

from actuary.jobs import worker
from actuary.sampler import frames, judging, people, risking
from actuary.stats import prn


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
            features=True,
        )
        key = prn.project_key(int(spec.get("seed", 0)))
        label = resolved.of(frame.ids)
        model = risking.fit(frame, label, key, 1.0 - float(spec.get("confidence_level", 0.95)))
        ref = context.write_file("risk.json", model.to_json())
        context.finish(
            objects=(ref,), counts={"labelled": model.items}, parameters={"results": judging.figures(model)}
        )

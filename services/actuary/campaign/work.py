"""What the campaign's own Jobs do in their process: importing the data set, and writing export and report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actuary import names
from actuary.campaign import buckets, closing, ingest, row_checks, samples, sources
from actuary.jobs import worker
from actuary.stats import prn


class Import:
    """Task `import`: source to items, sealed truth and exemplars; it counts what is to be labelled."""

    def run(self, context: worker.WorkContext) -> None:
        """Imports, then writes the Job's own manifest with the counts."""
        campaign = context.spec.parameters["campaign"]
        artifact = context.spec.artifact
        items = f"{artifact}/items"
        data = campaign["data"]
        classes = [c["name"] for c in campaign["task"]["classes"]]
        execution = campaign.get("execution", {})

        def progress(phase: str, done: int, total: int) -> None:
            context.progress(phase=phase, done=done, total=total)

        result = ingest.ingest(
            source(data, context.scratch),
            context.store,
            items_uri=items,
            truth_uri=names.sealed(items),
            exemplars_uri=f"{artifact}/exemplars",
            shards=int(execution["shards"]) if "shards" in execution else None,
            key=prn.project_key(int(campaign.get("seed", 0))),
            scratch=context.scratch,
            classes=classes,
            progress=progress,
        )
        counts = {name: result.counts[name] for name in row_checks.SPLITS if result.counts.get(name)}
        results: dict[str, Any] = {"counts": counts}
        if result.slices:
            results["slice_sizes"] = sorted(result.slices.values())
        context.finish(counts=counts, parameters={"item_count": counts.get("pool", 0), "results": results})


class Report:
    """Task `report`: joins everything into the export table and the report."""

    def run(self, context: worker.WorkContext) -> None:
        """Writes export and report, then the Job's manifest with the campaign's results."""
        closing.close(context)


def source(data: dict[str, Any], scratch: Path) -> sources.Source:
    """Opens the source that a campaign names; what lies in a bucket is fetched into `scratch`."""
    uri = data["uri"]
    if uri.startswith("sample:"):
        match = re.fullmatch(r"sample:([a-z]+)(?:\?items=(\d+))?", uri)
        name, items = (match[1], match[2]) if match else (uri, None)
        return samples.source(
            name,
            int(items) if items else None,
            slices=data.get("slice_column", ""),
            embedding=data.get("embedding_column", ""),
        )
    columns = sources.Columns(
        **{
            key: data[f"{key}_column"]
            for key in ("id", "text", "image", "question", "split", "truth", "slice", "embedding")
            if data.get(f"{key}_column")
        }
    )
    form = data.get("format", "")
    if buckets.has(uri):
        return sources.open_source(str(buckets.fetch(uri, scratch)), columns, form=form, shown=uri)
    return sources.open_source(uri, columns, form=form)


TASKS: Mapping[str, worker.Task] = {"import": Import(), "report": Report()}
"""By kind of Job."""

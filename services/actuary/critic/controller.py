"""How criticism is cut into processes, from a Job's row and the manifests of items and annotations."""

from __future__ import annotations

from actuary.jobs import planning, protocol
from actuary.state import jobs as job_state
from actuary.storage import objects

KINDS = ("critique",)
"""Kinds of Jobs that this service runs."""


class Planner:
    """Plans critique Jobs."""

    def __init__(self, store: objects.ObjectStore, options: planning.PlanningSettings) -> None:
        self._store = store
        self._options = options

    def __call__(self, record: job_state.JobRecord) -> protocol.JobSpec:
        """Describes the work: every machine label of the annotations."""
        spec = record.spec
        return planning.sharded(
            record,
            store=self._store,
            options=self._options,
            items=spec["items"],
            parents=[spec["items"], spec["annotations"]],
            parameters={
                "items": spec["items"],
                "annotations": spec["annotations"],
                "exemplars": spec.get("exemplars", ""),
                "task": spec["task"],
                "critic": spec["critic"],
            },
        )

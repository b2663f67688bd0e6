"""How annotation is cut into processes, from a Job's row and the manifest of its items."""

from __future__ import annotations

from actuary.jobs import planning, protocol
from actuary.state import jobs as job_state
from actuary.storage import objects

KINDS = ("annotation",)
"""Kinds of Jobs that this service runs."""


class Planner:
    """Plans annotation Jobs."""

    def __init__(self, store: objects.ObjectStore, options: planning.PlanningSettings) -> None:
        self._store = store
        self._options = options

    def __call__(self, record: job_state.JobRecord) -> protocol.JobSpec:
        """Describes the work: the pool's items, or those inside or outside of a plan."""
        spec = record.spec
        plan = spec.get("plan", "")
        return planning.sharded(
            record,
            store=self._store,
            options=self._options,
            items=spec["items"],
            parents=[spec["items"], *([plan] if plan else [])],
            parameters={
                "items": spec["items"],
                "exemplars": spec.get("exemplars", ""),
                "task": spec["task"],
                "model": spec["model"],
                "select": {"plan": plan, "keep": "out" if spec.get("exclude_plan") else "in"} if plan else {},
            },
        )

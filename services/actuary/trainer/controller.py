"""How training is launched: one process that trains and tests each trial."""

from __future__ import annotations

from actuary.jobs import planning, protocol
from actuary.state import jobs as job_state
from actuary.storage import objects

KINDS = ("train",)
"""Kinds of Jobs that this service runs."""


class Planner:
    """Plans training Jobs."""

    def __init__(self, store: objects.ObjectStore, options: planning.PlanningSettings) -> None:
        self._store = store
        self._options = options

    def __call__(self, record: job_state.JobRecord) -> protocol.JobSpec:
        """Describes the work: one process with the resource as its parameters."""
        fields = ("items", "risks", "estimate", "resolved", "truth")
        return planning.single(
            record,
            store=self._store,
            options=self._options,
            parents=planning.artifacts_of(record.spec, fields),
            parameters=record.spec,
        )

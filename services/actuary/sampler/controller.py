"""How the sampler's Jobs are launched: one process each, which streams what it needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from actuary.jobs import planning, protocol
from actuary.state import jobs as job_state
from actuary.storage import objects

KINDS = ("risk", "quote", "plan", "estimate", "certificate")
"""Kinds of Jobs that this service runs."""

_INPUTS: Mapping[str, tuple[str, ...]] = {
    "risk": ("items", "annotations", "critiques", "resolved"),
    "quote": ("risk_model", "annotations", "critiques", "resolved"),
    "plan": (
        "items",
        "annotations",
        "critiques",
        "risk_model",
        "earlier_plans",
        "earlier_resolved",
        "earlier_risks",
    ),
    "estimate": ("items", "plans", "resolved", "risks"),
    "certificate": ("items", "risks", "earlier_plans", "earlier_resolved", "plans", "resolved"),
}
"""Fields of each resource that name artifacts."""


class Planner:
    """Plans the sampler's Jobs."""

    def __init__(self, store: objects.ObjectStore, options: planning.PlanningSettings) -> None:
        self._store = store
        self._options = options

    def __call__(self, record: job_state.JobRecord) -> protocol.JobSpec:
        """Describes the work: one process with the resource as its parameters."""
        spec = planning.single(
            record,
            store=self._store,
            options=self._options,
            parents=planning.artifacts_of(record.spec, _INPUTS[record.kind]),
            parameters=record.spec,
        )
        if record.kind == "certificate":
            # it follows the chain of digests back to whatever the risks were made from
            return dataclasses.replace(spec, reads=(f"{record.campaign}/",))
        return spec

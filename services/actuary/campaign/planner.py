"""How the campaign's own Jobs are launched: import and report, one process each."""

from __future__ import annotations

import dataclasses

from actuary import names
from actuary.campaign import policy
from actuary.jobs import planning, protocol
from actuary.state import jobs as job_state
from actuary.storage import objects

KINDS = (policy.Kind.IMPORT.value, policy.Kind.REPORT.value)


class Planner:
    """Plans imports and reports."""

    def __init__(self, store: objects.ObjectStore, options: planning.PlanningSettings) -> None:
        self._store = store
        self._options = options

    def __call__(self, record: job_state.JobRecord) -> protocol.JobSpec:
        """Describes the work: one process with the campaign as its parameters."""
        spec = planning.single(
            record, store=self._store, options=self._options, parents=[], parameters=record.spec
        )
        if record.kind == policy.Kind.IMPORT.value:
            return dataclasses.replace(spec, writes=(f"{names.sealed(spec.artifact)}/",))
        # it closes the campaign: it reads what every step left, and the truth
        whole = f"{record.campaign}/"
        return dataclasses.replace(spec, reads=(whole, names.sealed(whole)))

"""The campaign service's own Jobs: importing the data set and writing the report.

They are rows of the same table and run by the same controller of Jobs as those of every service; they are
only not created over gRPC, since nobody but the campaign asks for them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from actuary import errors, names
from actuary.campaign import children, policy, requests
from actuary.state import campaigns as campaign_state
from actuary.state import jobs as job_state


class OwnJobs:
    """Creates and reads them."""

    def __init__(self, jobs: job_state.Jobs) -> None:
        self._jobs = jobs

    def create(
        self,
        record: campaign_state.CampaignRecord,
        step: policy.Step,
        job_id: str,
        facts: Mapping[str, Any],
    ) -> children.Child:
        """Creates the Job of a step; creating it again is success.

        Args:
            record: the campaign.
            step: import or report.
            job_id: id of the Job.
            facts: what only the controller knows and a report says: spend, labels used, times.
        """
        name = names.child(record.name, requests.COLLECTIONS[step.kind], job_id)
        spec: dict[str, Any] = {"campaign": record.spec, "wave": step.wave}
        # Times differ when a step that died is repeated, and the report of the first try is as good:
        # they stay out of the digest that tells whether the Job is the same.
        digest = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()
        if step.kind == policy.Kind.REPORT:
            spec["facts"] = dict(facts)
        job = job_state.JobRecord(
            name=name,
            kind=step.kind.value,
            campaign=record.name,
            spec=spec,
            spec_digest=digest,
            artifact=names.artifact(name),
        )
        return _child(self._jobs.create(job))

    def get(self, name: str) -> children.Child:
        """Looks at one."""
        return _child(self._jobs.get(name))

    def cancel(self, name: str) -> children.Child:
        """Asks one to stop."""
        while True:
            record = self._jobs.get(name)
            if record.cancel_requested or record.state in job_state.FINAL:
                return _child(record)
            try:
                wanted = dataclasses.replace(record, cancel_requested=True)
                return _child(self._jobs.update(wanted, record.version))
            except errors.ConflictError:
                continue  # its controller wrote meanwhile


def _child(record: job_state.JobRecord) -> children.Child:
    progress = record.progress
    return children.Child(
        state=record.state,
        item_count=int(progress.get("item_count", 0)),
        done_count=int(progress.get("done_count", 0)),
        counts=progress.get("outcome_counts", {}),
        cost_micros=record.cost_micros,
        error=record.error,
        phase=str(progress.get("phase", "")),
        waiting=str(progress.get("waiting", "")),
        resource=progress.get("results", {}),
    )

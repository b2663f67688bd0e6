"""How training is launched: one process that trains and tests each trial, if the design can bear the loss."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc

from actuary import errors
from actuary.jobs import planning, protocol
from actuary.state import jobs as job_state
from actuary.storage import artifacts, objects, tables
from actuary.trainer import policy

KINDS = ("train",)
"""Kinds of Jobs that this service runs."""


class Planner:
    """Plans training Jobs."""

    def __init__(self, store: objects.ObjectStore, options: planning.PlanningSettings) -> None:
        self._store = store
        self._options = options

    def __call__(self, record: job_state.JobRecord) -> protocol.JobSpec:
        """Describes the work: one process with the resource as its parameters.

        Raises:
            errors.PreconditionError: the weights of the human labels cannot support the loss asked for.
            errors.NotFoundError: an artifact that is to be read does not exist.
        """
        self._check(record)
        fields = ("items", "risks", "estimate", "resolved", "truth")
        return planning.single(
            record,
            store=self._store,
            options=self._options,
            parents=planning.artifacts_of(record.spec, fields),
            parameters=record.spec,
        )

    def _check(self, record: job_state.JobRecord) -> None:
        """Reads a row a human label: few enough for a server, and better than a Job that trains in vain."""
        manifest = artifacts.read_manifest(self._store, record.spec["estimate"])[0]
        weights = tables.read_all(self._store, manifest)
        labelled = weights.filter(pc.is_valid(weights["label"]))
        wishes = record.spec.get("training", {})
        reason = policy.unsupported(
            np.asarray(labelled["g"].to_numpy(), dtype=np.float64),
            float(wishes.get("weight_cap", policy.CAP)),
            items=int(manifest.parameters["design"]["phases"][0]["population"]),
            lam=float(wishes.get("lambda", policy.LAMBDA)),
        )
        if reason is not None:
            raise errors.PreconditionError(f"{record.name}: {reason}", reason="LOSS_NOT_SUPPORTED")

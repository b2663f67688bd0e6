"""The two shapes of work: a table cut by shards over many processes, and one process for everything.

Services choose the shape and name the inputs; how many processes and chunks there are is decided here, from
the manifest of the items and the settings of the process.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import pydantic
import pydantic_settings

from actuary import names
from actuary.jobs import protocol
from actuary.state import jobs as job_state
from actuary.storage import artifacts, objects

CHUNK_ITEMS = 2_000
"""Items a chunk by default: seconds of work of a slow model, a tenth of a second of a fast one."""


class PlanningSettings(pydantic_settings.BaseSettings):
    """How Jobs are cut; variables `ACTUARY_JOBS_…`."""

    model_config = pydantic_settings.SettingsConfigDict(
        env_prefix="ACTUARY_JOBS_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    workers: int = pydantic.Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """Processes of a stage, where the campaign does not say; the machine's cores."""
    backoff_limit_per_index: int = pydantic.Field(default=6, ge=0)
    """How often a process that crashed is started again, where nothing was done or learnt in between."""
    report_address: str = ""
    """host:port of the WorkerService that processes report to."""


def sharded(
    record: job_state.JobRecord,
    *,
    store: objects.ObjectStore,
    options: PlanningSettings,
    items: str,
    parents: Sequence[str],
    parameters: Mapping[str, Any],
) -> protocol.JobSpec:
    """Describes work on every shard of a table.

    Args:
        record: the Job; its spec may say `worker_count` and `chunk_item_count`.
        store: where the items are.
        options: defaults.
        items: URI of the items artifact, which knows the shards.
        parents: URIs of the artifacts that are read; each must exist.
        parameters: what the task is told.

    Raises:
        errors.NotFoundError: an artifact that is to be read does not exist.
    """
    manifest = artifacts.read_manifest(store, items)[0]
    for parent in parents:
        artifacts.read_manifest(store, parent)
    workers = int(record.spec.get("worker_count", 0)) or options.workers
    return protocol.JobSpec(
        name=record.name,
        kind=record.kind,
        campaign=record.campaign,
        indexes=max(1, min(workers, manifest.shards)),
        parallelism=max(1, min(workers, manifest.shards)),
        artifact=names.artifact(record.name),
        parents=tuple(parents),
        parameters=dict(parameters),
        report_address=options.report_address or None,
        store_uri=store.uri,
        chunk_items=int(record.spec.get("chunk_item_count", 0)) or CHUNK_ITEMS,
        shards=manifest.shards,
        backoff_limit_per_index=options.backoff_limit_per_index,
    )


def single(
    record: job_state.JobRecord,
    *,
    store: objects.ObjectStore,
    options: PlanningSettings,
    parents: Sequence[str],
    parameters: Mapping[str, Any],
) -> protocol.JobSpec:
    """Describes work of one process, which writes its artifact's manifest itself.

    Raises:
        errors.NotFoundError: an artifact that is to be read does not exist.
    """
    for parent in parents:
        artifacts.read_manifest(store, parent)
    return protocol.JobSpec(
        name=record.name,
        kind=record.kind,
        campaign=record.campaign,
        indexes=1,
        parallelism=1,
        artifact=names.artifact(record.name),
        parents=tuple(parents),
        parameters=dict(parameters),
        report_address=options.report_address or None,
        store_uri=store.uri,
        chunk_items=CHUNK_ITEMS,
        shards=1,
        backoff_limit_per_index=options.backoff_limit_per_index,
    )


def artifacts_of(spec: Mapping[str, Any], fields: Sequence[str]) -> list[str]:
    """Returns the URIs in some fields of a resource, each a string or a list; empty ones are left out."""
    found: list[str] = []
    for field in fields:
        value = spec.get(field) or []
        found += [value] if isinstance(value, str) else list(value)
    return found

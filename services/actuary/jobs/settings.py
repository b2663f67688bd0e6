"""Settings of launching and of the processes that are launched; variables `ACTUARY_JOBS_…`."""

from __future__ import annotations

import os
from pathlib import Path

import pydantic
import pydantic_settings


class JobsSettings(pydantic_settings.BaseSettings):
    """How processes are started, stopped and listened to."""

    model_config = pydantic_settings.SettingsConfigDict(
        env_prefix="ACTUARY_JOBS_", frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    cores: int = pydantic.Field(default_factory=lambda: len(os.sched_getaffinity(0)), ge=1)
    """Processes at once over all Jobs of a local runner; the cores that this process may use."""
    log_folder: Path | None = None
    """Where a local runner keeps what workers write on standard error; a temporary folder when not given."""
    log_bytes: int = pydantic.Field(default=1 << 20, ge=1 << 12)
    """Longest log of one index; the older half is dropped beyond it."""
    grace_seconds: float = pydantic.Field(default=30.0, ge=0)
    """From SIGTERM to SIGKILL; what Kubernetes grants by default."""
    restart_seconds: float = pydantic.Field(default=0.1, ge=0)
    """Pause before the first restart of an index; it doubles with every further one."""
    restart_longest_seconds: float = pydantic.Field(default=10.0, ge=0)
    """Upper bound of that pause; a guess."""
    report_patience_seconds: float = pydantic.Field(default=300.0, ge=0)
    """How long a worker goes on within its last allowance while its service does not answer; long enough
    for a rolling update, short against the work that an unsupervised worker could waste."""
    drain_seconds: float = pydantic.Field(default=15.0, ge=0)
    """How long a worker that was told to stop finishes what is open before it drops it; below the grace."""

"""Settings of servers and channels; variables `ACTUARY_RPC_…`."""

from __future__ import annotations

import pydantic
import pydantic_settings


class RpcSettings(pydantic_settings.BaseSettings):
    """How calls are served and made."""

    model_config = pydantic_settings.SettingsConfigDict(
        env_prefix="ACTUARY_RPC_", frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    unary_threads: int = pydantic.Field(default=5, ge=1)
    """Threads of calls; streams have their own. As many as the database keeps connections open, and few:
    threads of one Python take turns: GetCampaign is slower with 12 than with 4. A handler that called its own
    server would need more."""
    max_watchers: int = pydantic.Field(default=128, ge=1)
    """Streams served at once; each holds a thread. Beyond it a stream is refused with RESOURCE_EXHAUSTED."""
    max_concurrent_calls: int = pydantic.Field(default=2000, ge=1)
    """Calls that run or wait for a thread; beyond it they are refused at once, not timed out. A guess."""
    deadline_seconds: float = pydantic.Field(default=30.0, gt=0)
    """Deadline of a call that has none, on either side."""
    stream_deadline_seconds: float = pydantic.Field(default=86_400.0, gt=0)
    """Deadline of a stream that has none; a day, since watching is cheap and watchers come back."""
    grace_seconds: float = pydantic.Field(default=10.0, ge=0)
    """How long a stopping server lets calls end; below what Kubernetes grants a pod."""
    max_message_bytes: int = pydantic.Field(default=16 << 20, ge=1 << 12)
    """Longest message either way; 16 MB hold the 100,000 rows of the largest inline request."""
    retry_attempts: int = pydantic.Field(default=5, ge=1, le=5)
    """Tries of an idempotent call that finds nobody, the first included; gRPC allows 5."""
    retry_first_seconds: float = pydantic.Field(default=0.1, gt=0)
    """Upper bound of the first pause; it doubles with every further one, and gRPC draws below it."""
    retry_longest_seconds: float = pydantic.Field(default=3.0, gt=0)
    """Upper bound of every pause."""
    connect_seconds: float = pydantic.Field(default=5.0, ge=0.1)
    """How long one attempt to connect may take: enough for a port that is forwarded around the world, and
    short against the deadline of a call to an address where nothing answers."""
    keepalive_seconds: float = pydantic.Field(default=30.0, ge=10)
    """Pause between pings that tell a broken connection from a silent one; servers refuse less than 10 s."""
    report_deadline_seconds: float = pydantic.Field(default=10.0, gt=0)
    """Deadline of a worker's report; short, since the worker has work to do and reports again."""

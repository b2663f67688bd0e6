"""What the review service can be told; campaigns say the rest in their spec."""

from __future__ import annotations

import pydantic
import pydantic_settings


class ReviewSettings(pydantic_settings.BaseSettings):
    """Settings of the review service; variables `ACTUARY_REVIEW_…`."""

    model_config = pydantic_settings.SettingsConfigDict(
        env_prefix="ACTUARY_REVIEW_", frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    window: int = pydantic.Field(default=500, ge=1)
    """Items that are put before people at a time; bounds the rows beyond the answered ones."""
    segment_rows: int = pydantic.Field(default=1000, ge=1)
    """Answers a segment: so many are written to the store together."""
    segment_seconds: float = pydantic.Field(default=60.0, ge=0)
    """Seconds after which an answer is written to the store though its segment is not full."""
    lease_seconds: float = pydantic.Field(default=600.0, gt=0)
    """How long a reviewer may hold a task when the campaign does not say."""
    replay_reviewers: int = pydantic.Field(default=3, ge=3)
    """Played reviewers; three can settle a disagreement."""
    replay_tasks: int = pydantic.Field(default=100, ge=1)
    """Tasks that a played reviewer takes at a time."""
    controller_seconds: float = pydantic.Field(default=10.0, gt=0)
    """Length of the lease under which one controller acts on a batch, well above a step's length; as long as
    a controller's own, so that a batch of a server that died does not wait longer than everything else."""

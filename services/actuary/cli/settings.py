"""Settings of a whole process: which database, which store, where the other services are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import pydantic
import pydantic_settings

SERVICES = ("campaign", "annotator", "critic", "sampler", "review", "trainer")
"""The six, by the names that commands and variables use."""


class ProcessSettings(pydantic_settings.BaseSettings):
    """Settings of a server process; variables `ACTUARY_…`."""

    model_config = pydantic_settings.SettingsConfigDict(
        env_prefix="ACTUARY_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    database_url: str = ""
    """`sqlite:///path` or `postgresql+psycopg://user@host/name`; by default a file in the data folder."""
    store_uri: str = ""
    """`file:///folder` or `s3://bucket/prefix`; by default a folder in the data folder."""
    runner: Literal["local", "kubernetes"] = "local"
    """Where Jobs run: as processes of this machine, or as Jobs of a cluster (`ACTUARY_KUBERNETES_…`)."""
    cores: int = pydantic.Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """Worker processes at once, over all Jobs of this process; the machine's cores."""
    controller_seconds: float = pydantic.Field(default=0.2, gt=0)
    """Seconds between two looks of a controller; short, since a look at nothing costs a query."""
    lease_seconds: float = pydantic.Field(default=10.0, gt=0)
    """Seconds after which a stopped controller's work is taken over; a restart waits no longer than that."""
    start_seconds: float = pydantic.Field(default=0.0, ge=0)
    """How long a process that starts waits for its database and store; in a cluster all start at once."""
    addresses: dict[str, str] = pydantic.Field(default_factory=dict)
    """host:port of the services that run elsewhere, as JSON: {"annotator": "annotator:7411"}."""
    report_address: str = ""
    """host:port at which worker processes reach this one; by default where it listens."""

    def for_folder(self, folder: Path) -> ProcessSettings:
        """Fills in what a data folder implies."""
        folder = folder.absolute()
        return self.model_copy(
            update={
                "database_url": self.database_url or f"sqlite:///{folder / 'actuary.db'}",
                "store_uri": self.store_uri or f"file://{folder / 'store'}",
            }
        )

"""What a cluster's operators decide about the Jobs that run there; variables `ACTUARY_KUBERNETES_…`.

Sections that are objects are given as JSON; the chart renders them from its values.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic
import pydantic_settings

from actuary.storage import credentials

DEFAULT_KIND = "default"
"""Key of what holds for kinds of Jobs that are not named."""
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def _own_namespace() -> str:
    """The namespace of the pod that this process runs in."""
    try:
        return _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
    except OSError:
        return "default"


class Profile(pydantic.BaseModel):
    """How the pods of one kind of Job look."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, coerce_numbers_to_str=True
    )

    resources: Mapping[str, Mapping[str, str]] = {}
    """`requests` and `limits` of the worker's container, in Kubernetes' units; a GPU is `nvidia.com/gpu`."""
    node_selector: Mapping[str, str] = {}
    """Labels that a node must have."""
    tolerations: tuple[Mapping[str, Any], ...] = ()
    """Taints that are tolerated, `nvidia.com/gpu` for example."""
    affinity: Mapping[str, Any] = {}
    """Affinity of the pods."""
    sidecars: tuple[Mapping[str, Any], ...] = ()
    """Containers that start before the worker and end after it (native sidecars): a model server, say."""
    volumes: tuple[Mapping[str, Any], ...] = ()
    """Volumes for the sidecars."""
    env: tuple[Mapping[str, Any], ...] = ()
    """Further variables of the worker, after those of all workers."""
    scratch: str = "10Gi"
    """Size of the worker's scratch folder."""


class KubernetesSettings(pydantic_settings.BaseSettings):
    """Where Jobs run and what their pods look like."""

    model_config = pydantic_settings.SettingsConfigDict(
        env_prefix="ACTUARY_KUBERNETES_", frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    namespace: str = pydantic.Field(default_factory=_own_namespace)
    """Where Jobs are created; that of the service by default."""
    instance: str = "actuary"
    """Name of the installation: Jobs of others in the namespace are left alone."""
    image: str = ""
    """Image of the workers."""
    image_pull_policy: str = "IfNotPresent"
    """`Always`, `IfNotPresent` or `Never`."""
    image_pull_secrets: tuple[str, ...] = ()
    """Names of the Secrets with which the image is pulled."""
    service_account: str = "default"
    """Of the workers; no token of it is mounted."""
    config_map: str = ""
    """Name of a ConfigMap whose keys become variables of the workers: store, logs and so on."""
    secret: str = ""
    """Name of a Secret with `access_key` and `secret_key` of the store, where Jobs have none of their own."""
    credentials_seconds: int = pydantic.Field(default=43_200, ge=0, le=credentials.LONGEST_SECONDS)
    """Life of the credentials for the store that each Job gets for itself, in [3600, 604,800] seconds; they
    are renewed before half of it is over. 0: Jobs use `secret`, as with a store without STS; a Job that has
    credentials of its own then keeps them until they end."""
    profiles: Mapping[str, Profile] = {}
    """Pods by kind of Job (`annotation`, `critique`, `train`, …); `default` is for those not named."""
    ttl_seconds: int = pydantic.Field(default=86_400, ge=60)
    """How long a Job that has ended is kept, so that a person can look at its pods; a controller sees it long
    before."""
    deadline_seconds: int = pydantic.Field(default=0, ge=0)
    """Longest life of a Job that has no deadline of its own; 0 for none."""
    grace_seconds: int = pydantic.Field(default=30, ge=1)
    """From SIGTERM to SIGKILL."""
    queue: str = ""
    """Kueue's local queue; a Job is created suspended then, and Kueue admits it."""
    priority: str = ""
    """Kueue's workload priority class."""
    priority_class: str = ""
    """Kubernetes' own priority class of the pods."""
    labels: Mapping[str, str] = {}
    """Further labels of Jobs and pods, for cost tools for example."""
    annotations: Mapping[str, str] = {}
    """Further annotations of the pods."""
    env: tuple[Mapping[str, Any], ...] = ()
    """Further variables of all workers, as a container has them."""
    run_as_user: int = pydantic.Field(default=65532, ge=1)
    """User and group of the workers."""

    @pydantic.field_validator("credentials_seconds")
    @classmethod
    def _long_enough(cls, seconds: int) -> int:
        if 0 < seconds < credentials.SHORTEST_SECONDS:
            raise ValueError(f"expected 0 or at least {credentials.SHORTEST_SECONDS} seconds; got {seconds}")
        return seconds

    def profile(self, kind: str) -> Profile:
        """What the pods of a kind of Job look like."""
        return self.profiles.get(kind) or self.profiles.get(DEFAULT_KIND) or Profile()

"""From a Job's description to the Kubernetes Job that does it. Pure: it asks nobody.

A Kubernetes Job is Indexed, a pod an index. What a pod may do is little: it has no token, no root, and writes
nothing but its scratch folder. A pod that is drained, evicted or preempted does not count as a failure; one
that says that it would fail again ends its index.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from kubernetes import client

from actuary import tracing
from actuary.jobs import access, protocol
from actuary.jobs.cluster import settings as cluster_settings
from actuary.storage import credentials

WORKER = "worker"
"""Name of the container that does the work."""
SCRATCH, SCRATCH_VOLUME = "/tmp", "scratch"
"""A volume of the pod's own."""
MANAGED_BY = "app.kubernetes.io/managed-by"
KIND, CAMPAIGN = "actuary.dev/kind", "actuary.dev/campaign"
"""Labels by which Jobs are found."""
NAME = "actuary.dev/name"
"""Annotation: resource name of the Job."""
ACCESS = "actuary.dev/store-access"
"""Annotation: what of the store its pods may reach, as JSON."""
SETTINGS = "actuary.dev/settings"
"""Annotation: digest of the settings that a Job was built by."""
SECRET_TYPE = "actuary.dev/store-credentials"
"""Type of the Secrets with credentials. The API server lets nobody change a type, so that it refuses to
replace a Secret that is not ours, which we could not read."""
_BUCKET = "s3://"
QUEUE, PRIORITY = "kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/priority-class"
INSTANCE = "app.kubernetes.io/instance"
PODS_BACKOFF_LIMIT = 6
"""Pods of one index that may fail; within a pod a worker that crashes is started again by its supervisor."""
CREDENTIALS_FOLDER = "/var/run/actuary/store"
"""Where a worker finds the credentials of its Job."""
CREDENTIALS = ("access_key", "secret_key", "session_token")
"""Keys of the Secret that holds them; settings of the store have the same names."""
_LONGEST_NAME = 57
"""A pod's host name is the Job's, a dash and the index, at most 63 characters: 20,000 indexes need six."""
_COUNTS = {
    "ACTUARY_POD_FAILURES": "batch.kubernetes.io/job-index-failure-count",
    "ACTUARY_POD_DISRUPTIONS": "batch.kubernetes.io/job-index-ignored-failure-count",
}
"""Annotations in which Kubernetes says how many pods the index had before."""


def selector(instance: str, kinds: Collection[str] = ()) -> str:
    """Finds the Jobs and pods of an installation that are of some kinds; of all where none are named.

    >>> selector("actuary", ["report", "import"]).partition("instance=")[2]
    'actuary,actuary.dev/kind in (import,report)'
    """
    kind = f"{KIND} in ({','.join(sorted(map(label_of, kinds)))})" if kinds else KIND
    return f"{MANAGED_BY}=actuary,{INSTANCE}={label_of(instance)},{kind}"


def name_of(job: str, instance: str = "actuary") -> str:
    """The name in Kubernetes of a Job by its resource name; no two share one.

    >>> name_of("campaigns/c1/annotationJobs/annotate-w0")
    'c1-annotate-w0-c0c71308'
    """
    parts = job.split("/")
    digest = hashlib.sha256(f"{instance}/{job}".encode()).hexdigest()[:8]
    readable = re.sub(r"[^a-z0-9-]+", "-", f"{parts[1]}-{parts[-1]}".lower())[: _LONGEST_NAME - 9]
    # a name begins with a letter: a Job may get a Service of its name
    return f"{readable if readable[:1].isalpha() else 'c' + readable[:-1]}-{digest}".replace("--", "-")


def label_of(text: str) -> str:
    """A label's value for any text: as it is where it may be, else cut and told apart by a digest."""
    if re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", text):
        return text
    cleaned = re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:54].strip("-")
    return f"{cleaned}-{hashlib.sha256(text.encode()).hexdigest()[:8]}".strip("-")


def digest_of(settings: cluster_settings.KubernetesSettings, kind: str) -> str:
    """Tells apart what operators decide about a kind of Job; decisions about other kinds change nothing."""
    decided = settings.model_dump(mode="json", exclude={"profiles"})
    decided["profile"] = settings.profile(kind).model_dump(mode="json")
    return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:16]


def secret_of(job: str) -> str:
    """Name of the Secret with a Job's credentials, by the Job's name in Kubernetes."""
    return f"{job}-store"


def secret(name: str, job: Mapping[str, Any], issued: credentials.Issued) -> dict[str, Any]:
    """The Secret with a Job's credentials; it goes with the Job."""
    metadata = job["metadata"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"]}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": SECRET_TYPE,
        "metadata": {
            "name": name,
            "labels": {key: metadata["labels"][key] for key in (MANAGED_BY, INSTANCE, KIND, CAMPAIGN)},
            "annotations": {"actuary.dev/expires": issued.expires.isoformat()},
            "ownerReferences": [owner],
        },
        "stringData": {key: getattr(issued, key) for key in CREDENTIALS},
    }


def job_of(spec: protocol.JobSpec, uri: str, settings: cluster_settings.KubernetesSettings) -> client.V1Job:
    """Builds the Job.

    Args:
        spec: what is to be done.
        uri: of its description in the store, which its pods are given.
        settings: the cluster's.
    """
    labels = {
        "app.kubernetes.io/name": "actuary",
        "app.kubernetes.io/component": WORKER,
        MANAGED_BY: "actuary",
        INSTANCE: label_of(settings.instance),
        KIND: label_of(spec.kind),
        CAMPAIGN: label_of(spec.campaign.removeprefix("campaigns/")),
        **settings.labels,
    }
    queue = {QUEUE: settings.queue} if settings.queue else {}
    if settings.queue and settings.priority:
        queue[PRIORITY] = settings.priority
    name = name_of(spec.name, settings.instance)
    own = secret_of(name) if settings.credentials_seconds and spec.store_uri.startswith(_BUCKET) else ""
    annotations = {NAME: spec.name, SETTINGS: digest_of(settings, spec.kind)}
    if own:
        reached = dataclasses.asdict(access.access_of(spec))
        annotations[ACCESS] = json.dumps({"store": spec.store_uri, **reached}, separators=(",", ":"))
    deadline = spec.deadline_seconds or settings.deadline_seconds or None
    return client.V1Job(
        api_version="batch/v1",
        kind="Job",
        metadata=client.V1ObjectMeta(
            name=name,
            namespace=settings.namespace,
            labels={**labels, **queue},
            annotations=annotations,
        ),
        spec=client.V1JobSpec(
            completion_mode="Indexed",
            completions=spec.indexes,
            parallelism=spec.parallelism,
            backoff_limit_per_index=PODS_BACKOFF_LIMIT,
            max_failed_indexes=spec.max_failed_indexes,
            pod_failure_policy=_failure_policy(),
            pod_replacement_policy="Failed",
            active_deadline_seconds=None if deadline is None else max(1, int(deadline)),
            ttl_seconds_after_finished=settings.ttl_seconds,
            suspend=True if settings.queue else None,
            template=client.V1PodTemplateSpec(
                metadata=client.V1ObjectMeta(
                    labels=labels, annotations={NAME: spec.name, **settings.annotations}
                ),
                spec=_pod(spec, uri, settings, own),
            ),
        ),
    )


def _failure_policy() -> client.V1PodFailurePolicy:
    def on_exit(code: int, action: str) -> client.V1PodFailurePolicyRule:
        return client.V1PodFailurePolicyRule(
            action=action,
            on_exit_codes=client.V1PodFailurePolicyOnExitCodesRequirement(
                container_name=WORKER, operator="In", values=[code]
            ),
        )

    disrupted = client.V1PodFailurePolicyOnPodConditionsPattern(type="DisruptionTarget", status="True")
    return client.V1PodFailurePolicy(
        rules=[
            on_exit(protocol.EXIT_PERMANENT, "FailIndex"),
            on_exit(protocol.EXIT_DRAINED, "Ignore"),
            client.V1PodFailurePolicyRule(action="Ignore", on_pod_conditions=[disrupted]),
        ]
    )


def _pod(
    spec: protocol.JobSpec,
    uri: str,
    settings: cluster_settings.KubernetesSettings,
    own: str,
) -> client.V1PodSpec:
    profile = settings.profile(spec.kind)
    volumes: list[Any] = [
        client.V1Volume(
            name=SCRATCH_VOLUME, empty_dir=client.V1EmptyDirVolumeSource(size_limit=profile.scratch)
        )
    ]
    mounts = [client.V1VolumeMount(name=SCRATCH_VOLUME, mount_path=SCRATCH)]
    if own:
        volumes.append(
            client.V1Volume(
                name="store", secret=client.V1SecretVolumeSource(secret_name=own, default_mode=0o440)
            )
        )
        mounts.append(client.V1VolumeMount(name="store", mount_path=CREDENTIALS_FOLDER, read_only=True))
    worker = client.V1Container(
        name=WORKER,
        image=settings.image,
        image_pull_policy=settings.image_pull_policy,
        command=["actuary", "work", uri, "--in-pod"],
        env=_environment(settings, profile, own=bool(own), trace=spec.trace),
        env_from=_environment_from(settings),
        resources=client.V1ResourceRequirements(**profile.resources) if profile.resources else None,
        security_context=client.V1SecurityContext(
            allow_privilege_escalation=False,
            read_only_root_filesystem=True,
            capabilities=client.V1Capabilities(drop=["ALL"]),
        ),
        termination_message_policy="FallbackToLogsOnError",
        volume_mounts=mounts,
    )
    user = settings.run_as_user
    return client.V1PodSpec(
        restart_policy="Never",
        service_account_name=settings.service_account,
        automount_service_account_token=False,
        enable_service_links=False,
        termination_grace_period_seconds=settings.grace_seconds,
        priority_class_name=settings.priority_class or None,
        image_pull_secrets=[client.V1LocalObjectReference(name=name) for name in settings.image_pull_secrets]
        or None,
        node_selector=dict(profile.node_selector) or None,
        tolerations=[dict(each) for each in profile.tolerations] or None,
        affinity=dict(profile.affinity) or None,
        topology_spread_constraints=[_spread(spec)] if spec.parallelism > 1 else None,
        security_context=client.V1PodSecurityContext(
            run_as_non_root=True,
            run_as_user=user,
            run_as_group=user,
            fs_group=user,
            seccomp_profile=client.V1SeccompProfile(type="RuntimeDefault"),
        ),
        init_containers=[{**each, "restartPolicy": "Always"} for each in profile.sidecars] or None,
        containers=[worker],
        volumes=[*volumes, *(dict(each) for each in profile.volumes)],
    )


def _environment(
    settings: cluster_settings.KubernetesSettings,
    profile: cluster_settings.Profile,
    *,
    own: bool,
    trace: Mapping[str, str],
) -> list[Any]:
    found: list[Any] = [
        client.V1EnvVar(
            name=name,
            value_from=client.V1EnvVarSource(
                field_ref=client.V1ObjectFieldSelector(field_path=f"metadata.annotations['{annotation}']")
            ),
        )
        for name, annotation in _COUNTS.items()
    ]
    found.append(client.V1EnvVar(name="ACTUARY_JOBS_GRACE_SECONDS", value=str(settings.grace_seconds)))
    # a worker that was told to stop is to be done before it is killed
    found.append(client.V1EnvVar(name="ACTUARY_JOBS_DRAIN_SECONDS", value=str(settings.grace_seconds // 2)))
    if settings.secret and not own:
        found += [
            client.V1EnvVar(
                name=f"ACTUARY_STORAGE_{key.upper()}",
                value_from=client.V1EnvVarSource(
                    secret_key_ref=client.V1SecretKeySelector(name=settings.secret, key=key)
                ),
            )
            for key in ("access_key", "secret_key")
        ]
    if own:
        found += [
            client.V1EnvVar(name=f"ACTUARY_STORAGE_{key.upper()}_FILE", value=f"{CREDENTIALS_FOLDER}/{key}")
            for key in CREDENTIALS
        ]
    found += [client.V1EnvVar(name=name, value=value) for name, value in tracing.environment(trace).items()]
    # of two with one name the later one holds
    return [*found, *(dict(each) for each in (*settings.env, *profile.env))]


def _environment_from(settings: cluster_settings.KubernetesSettings) -> list[client.V1EnvFromSource] | None:
    found = []
    if settings.config_map:
        found.append(
            client.V1EnvFromSource(config_map_ref=client.V1ConfigMapEnvSource(name=settings.config_map))
        )
    return found or None


def _spread(spec: protocol.JobSpec) -> client.V1TopologySpreadConstraint:
    """Workers of a Job share a node only where they must: a node that dies takes few of them."""
    mine: Mapping[str, str] = {
        KIND: label_of(spec.kind),
        CAMPAIGN: label_of(spec.campaign.removeprefix("campaigns/")),
    }
    return client.V1TopologySpreadConstraint(
        max_skew=1,
        topology_key="kubernetes.io/hostname",
        when_unsatisfiable="ScheduleAnyway",
        label_selector=client.V1LabelSelector(match_labels=dict(mine)),
    )

"""What a pod, a Job and an event of Kubernetes tell, cut down to what a runner needs. Pure.

Kubernetes says why something does not run in a dozen places; here each becomes one sentence that a person can
act on.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from actuary.jobs import protocol
from actuary.jobs.cluster import builder

INDEX = "batch.kubernetes.io/job-completion-index"
JOB = "batch.kubernetes.io/job-name"
_IMAGE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "RegistryUnavailable"}
)
_CONFIG = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_NO_START = frozenset({"StartError", "ContainerCannotRun"})
_OUT_OF_MEMORY = "OOMKilled"
SCRATCH_FULL = "SCRATCH_FULL"
"""Reason of a Job whose worker took more scratch than its pod may have."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One pod of a Job."""

    name: str
    job: str
    """Name in Kubernetes of its Job."""
    index: int
    phase: str
    """Pending, Running, Succeeded or Failed."""
    created: str
    """RFC 3339."""
    waiting: str = ""
    """Why it does not run yet, in words; empty where it is only starting."""
    ended: str = ""
    """Why it failed, in words; empty where it did not."""
    exit_code: int | None = None
    """Of the worker; None where it did not end, or never ran."""
    message: str = ""
    """The worker's last words: its termination message, or the end of its log."""
    out_of_memory: bool = False
    """Whether the kernel killed the worker, or a child of it, for want of memory."""
    overfilled: bool = False
    """Whether it was evicted since its scratch folder passed its limit."""


def pod_of(form: Mapping[str, Any]) -> Pod:
    """Reads a pod, as the API server writes it in JSON."""
    metadata, spec, status = form["metadata"], form.get("spec", {}), form.get("status", {})
    labels = metadata.get("labels", {})
    container = _worker(spec.get("containers", []))
    state = _worker(status.get("containerStatuses", []))
    terminated = state.get("state", {}).get("terminated") or {}
    phase = status.get("phase", "Pending")
    starved = _starved(terminated)
    return Pod(
        name=metadata["name"],
        job=labels.get(JOB, ""),
        index=int(labels.get(INDEX, metadata.get("annotations", {}).get(INDEX, 0))),
        phase=phase,
        created=metadata.get("creationTimestamp", ""),
        waiting=_waiting(spec, status) if phase == "Pending" else "",
        ended=_ended(metadata, container, status, terminated, starved) if phase == "Failed" else "",
        exit_code=terminated.get("exitCode"),
        message=terminated.get("message", "").strip(),
        out_of_memory=starved,
        overfilled=phase == "Failed" and _overfilled(status),
    )


def _worker(containers: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The worker's, of containers or of their statuses; empty where it has none yet."""
    return next((each for each in containers if each["name"] == builder.WORKER), {})


def _starved(terminated: Mapping[str, Any]) -> bool:
    """Whether memory ran out: for the container, for a child of it, or before it had begun."""
    reason, message = terminated.get("reason", ""), terminated.get("message", "")
    if reason == _OUT_OF_MEMORY or (reason in _NO_START and "oom-killed" in message.lower()):
        return True
    error = error_in(message.strip())
    return error is not None and error["reason"] == protocol.OUT_OF_MEMORY


def _overfilled(status: Mapping[str, Any]) -> bool:
    """Whether the pod's own scratch folder is why it was evicted."""
    full = f'EmptyDir volume "{builder.SCRATCH_VOLUME}"' in str(status.get("message", ""))
    return status.get("reason") == "Evicted" and full


def _waiting(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            if condition.get("reason") == "SchedulingGated":
                return "it waits to be admitted to its queue"
            return f"no node takes it: {condition.get('message', 'no reason was given')}"
    images = {
        c["name"]: c.get("image", "") for c in [*spec.get("initContainers", []), *spec.get("containers", [])]
    }
    for each in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        waiting = each.get("state", {}).get("waiting") or {}
        reason, message = waiting.get("reason", ""), waiting.get("message", "")
        if reason in _IMAGE:
            image = images.get(each["name"], each.get("image", ""))
            return f"the image {image} of container {each['name']} cannot be pulled ({reason}): {message}"
        if reason in _CONFIG or reason == "CrashLoopBackOff":
            return f"container {each['name']} cannot start ({reason}): {message}"
    return ""


def _ended(
    metadata: Mapping[str, Any],
    container: Mapping[str, Any],
    status: Mapping[str, Any],
    terminated: Mapping[str, Any],
    starved: bool,
) -> str:
    profile = f"worker.profiles.{metadata.get('labels', {}).get(builder.KIND, '<kind>')}"
    if status.get("reason") == "Evicted":
        said = str(status.get("message", "no reason was given")).rstrip(". ")
        todo = f". Raise {profile}.scratch in the chart's values" if _overfilled(status) else ""
        return f"evicted from its node: {said}{todo}"
    if starved:
        limit = container.get("resources", {}).get("limits", {}).get("memory")
        if limit:
            return (
                f"out of memory: the worker took its limit of {limit}. Raise "
                f"{profile}.resources.limits.memory in the chart's values"
            )
        return (
            "out of memory: the worker took all that its node had. Set "
            f"{profile}.resources.requests.memory in the chart's values, for a node that has enough"
        )
    for condition in status.get("conditions", []):
        if condition["type"] == "DisruptionTarget" and condition["status"] == "True":
            return f"disrupted ({condition.get('reason', '')}): {condition.get('message', '')}"
    if terminated.get("reason") in _NO_START:
        return f"its container could not start: {terminated.get('message', 'no reason was given')}"
    if terminated:
        code, signal = terminated.get("exitCode"), terminated.get("signal")
        return f"killed by signal {signal}" if signal else f"ended with exit code {code}"
    return str(status.get("message") or status.get("reason") or "it never ran")


def unmounted(pod: Pod, message: str) -> Pod:
    """A pod with the reason why it does not get its volumes, which only an event tells."""
    if not message or pod.phase != "Pending" or pod.waiting or pod.exit_code is not None:
        return pod
    todo = ""
    if builder.secret_of(pod.job) in message:
        todo = (
            ". It holds the Job's credentials for the store; the service that runs the Job writes it anew "
            "when that is started again (kubectl rollout restart)"
        )
    return dataclasses.replace(pod, waiting=f"a volume cannot be mounted: {message.rstrip('. ')}{todo}")


def failure_of(pod: Pod) -> protocol.IndexFailure:
    """What the last pod of an index that failed for good says."""
    error = error_in(pod.message)
    full = pod.out_of_memory or pod.overfilled
    if full:  # what the worker said last knows no limit, and not who sets it
        error = {
            "code": "RESOURCE_EXHAUSTED",
            "reason": protocol.OUT_OF_MEMORY if pod.out_of_memory else SCRATCH_FULL,
            "message": f"index {pod.index}: {pod.ended}",
            "metadata": {},
        }
    return protocol.IndexFailure(
        index=pod.index,
        attempt=0,
        exit_code=pod.exit_code,
        reason=str(error["message"]) if error and not full else pod.ended,
        log_tail=pod.message,
        error=error,
    )


def error_in(message: str) -> dict[str, Any] | None:
    """The error that a worker ended with, as JSON in its last line; None where there is none."""
    try:
        error = json.loads(message.splitlines()[-1]) if message else None
    except ValueError:
        return None
    return error if isinstance(error, dict) and {"code", "reason", "message"} <= set(error) else None


def indexes_in(text: str) -> set[int]:
    """The indexes in Kubernetes' short form.

    >>> sorted(indexes_in("0,3-5,9"))
    [0, 3, 4, 5, 9]
    """
    found: set[int] = set()
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def conditions_of(job: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The conditions of a Job that hold, by type: Complete, Failed, Suspended and so on."""
    return {
        each["type"]: each
        for each in job.get("status", {}).get("conditions", [])
        if each.get("status") == "True"
    }

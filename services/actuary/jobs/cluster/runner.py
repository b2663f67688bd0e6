"""The runner that has Jobs done by Kubernetes: creates them, looks at what became of them, deletes them.

Kubernetes keeps what it is told, so this runner remembers nothing: after a restart, or in another replica,
the same Jobs are found again by their names. What it is asked all the time, how a Job stands, it answers from
a view that is kept by watching; the API server hears of it only when something is created or deleted.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import json
import threading
from collections.abc import Collection, Iterator
from typing import Any

import structlog
import urllib3
from kubernetes import client, config

from actuary import errors, metrics
from actuary.jobs import protocol
from actuary.jobs.cluster import builder, grants, pods, view
from actuary.jobs.cluster import settings as cluster_settings
from actuary.storage import credentials

OVERFILLS = 3
"""So often one index may be evicted for its own scratch folder. An eviction counts as no failure, so that
Kubernetes would start it for ever. A guess."""
_SYNC_SECONDS = 30.0
"""How long the first call waits for the view."""
_CALL_TIMEOUT = (5, 30)
_log = structlog.get_logger("actuary.kubernetes")


def connect() -> client.ApiClient:
    """A client with the credentials of the pod that this process runs in, else of KUBECONFIG.

    Raises:
        errors.PreconditionError: there are none.
    """
    try:
        try:
            config.load_incluster_config()
        except config.ConfigException:
            config.load_kube_config()
    except (config.ConfigException, OSError) as error:
        message = (
            f"no access to a Kubernetes API: expected to run in a pod, or KUBECONFIG to name a file: {error}"
        )
        raise errors.PreconditionError(message, reason="NO_KUBERNETES") from error
    return client.ApiClient()


class KubernetesRunner:
    """A `protocol.Runner` of Indexed Jobs.

    Args:
        settings: the cluster's.
        api: connected to its API server; closed with the runner.
        kinds: of the Jobs that it will be asked about; all where none are named. A pod changes eight times in
            its life, and each change is sent to, and parsed by, all who watch it.
    """

    def __init__(
        self,
        settings: cluster_settings.KubernetesSettings,
        api: client.ApiClient,
        *,
        kinds: Collection[str] = (),
    ) -> None:
        self._settings = settings
        self._api = api
        self._batch = client.BatchV1Api(api)
        self._core = client.CoreV1Api(api)
        self._grants = (
            grants.Grants(settings.credentials_seconds, credentials.issue, self._write_secret, _now)
            if settings.credentials_seconds
            else None
        )
        self._view = view.View(api, settings.namespace, builder.selector(settings.instance, kinds))
        self._view.start()
        self._lock = threading.Lock()
        self._writes = 0

    @property
    def calls(self) -> int:
        """Calls made to the API server by now, watches included."""
        return self._view.calls + self._writes

    def launch(self, spec: protocol.JobSpec, uri: str) -> None:
        """Creates the Job, and then its credentials; one of ours with that name is left alone.

        In between its pods wait for the Secret that they mount. A runner that dies there leaves the rest to
        whoever asks for the Job's status next.

        Raises:
            errors.AlreadyExistsError: something that is not ours has the name.
            errors.PreconditionError: the API server refuses: the Role, a quota, a policy; says what it said.
                Or the store gives no credentials.
            errors.RefusedError: the Job asks for what its kind may not reach in the store.
            errors.UnavailableError: one of them does not answer.
        """
        job = builder.job_of(spec, uri, self._settings)
        with _mapped(f"create the Job {job.metadata.name}"):
            try:
                self._count("create")
                answer = self._batch.create_namespaced_job(
                    self._settings.namespace, job, _preload_content=False, _request_timeout=_CALL_TIMEOUT
                )
                there = _form(answer)
            except client.ApiException as error:
                if error.status != 409:
                    raise
                there = self._ours(job.metadata.name, spec.name)
        self._view.put(there)
        if self._grants is not None and not _over(there):
            self._grants.give(there)

    def _ours(self, name: str, resource: str) -> view.Form:
        self._count("get")
        answer = self._batch.read_namespaced_job(
            name, self._settings.namespace, _preload_content=False, _request_timeout=_CALL_TIMEOUT
        )
        there = _form(answer)
        if there["metadata"].get("annotations", {}).get(builder.NAME) != resource:
            raise errors.AlreadyExistsError(
                f"the Job {name} in namespace {self._settings.namespace} is not {resource}: delete it"
            )
        return there

    def _write_secret(self, name: str, form: dict[str, Any]) -> None:
        """Creates a Secret, or replaces ours of that name, whoever wrote it and whatever is in it."""
        namespace = self._settings.namespace
        options = {"_preload_content": False, "_request_timeout": _CALL_TIMEOUT}
        with _mapped(f"write the Secret {name}"):
            try:
                self._count("create")
                _form(self._core.create_namespaced_secret(namespace, form, **options))
            except client.ApiException as error:
                if error.status != 409:
                    raise
                self._replace_secret(name, form, options)

    def _replace_secret(self, name: str, form: dict[str, Any], options: dict[str, Any]) -> None:
        namespace = self._settings.namespace
        try:
            self._count("update")
            _form(self._core.replace_namespaced_secret(name, namespace, form, **options))
        except client.ApiException as error:
            if error.status == 422:
                raise errors.AlreadyExistsError(
                    f"the Secret {name} in namespace {namespace} is not of type {builder.SECRET_TYPE}, so it "
                    f"is not ours: delete it. The API server says: {_message(error)}"
                ) from error
            if error.status in (404, 409):  # it went with a Job of that name that was there before
                message = f"the Secret {name} in namespace {namespace} changed meanwhile: {_message(error)}"
                raise errors.UnavailableError(message, reason="KUBERNETES_UNAVAILABLE") from error
            raise

    def status(self, name: str) -> protocol.RunStatus | None:
        """What became of a Job; None when there is none.

        Its credentials are renewed here when that is due. One that is stuck, and was built by settings that
        have changed since, is deleted: whoever wants it done launches it again, by those of now. What its
        pods had finished is kept, as always.

        Raises:
            errors.UnavailableError: the API server has not answered for a while: nobody knows.
        """
        self._view.check(_SYNC_SECONDS)
        job = self._view.job(builder.name_of(name, self._settings.instance))
        if job is None:
            return None
        problem = ""
        if self._grants is not None and not _over(job) and not job["metadata"].get("deletionTimestamp"):
            problem = self._grants.renew(job)
        there = self._view.pods(job["metadata"]["name"])
        status = status_of(job, there, self._view.refused(job["metadata"]["name"]))
        digest = builder.digest_of(self._settings, job["metadata"].get("labels", {}).get(builder.KIND, ""))
        if status.waiting and outdated(job, there, digest):
            _log.info("making a job anew by changed settings", job=name, waiting=status.waiting)
            self._delete(job["metadata"]["name"])
        return dataclasses.replace(status, waiting=problem) if problem else status

    def cancel(self, name: str) -> None:
        """Deletes a Job that has not ended, its pods first; they get SIGTERM, and their grace."""
        self._view.check(_SYNC_SECONDS)
        job = self._view.job(builder.name_of(name, self._settings.instance))
        if job is not None and not _over(job) and not job["metadata"].get("deletionTimestamp"):
            self._delete(job["metadata"]["name"])

    def retain(self, names: Collection[str], kinds: Collection[str]) -> None:
        """Deletes the Jobs of some kinds that have not ended and are not named: nobody asks about them."""
        self._view.check(_SYNC_SECONDS)
        ours = {builder.label_of(kind) for kind in kinds}
        if self._grants is not None:
            self._grants.keep({job["metadata"]["name"] for job in self._view.jobs()})
        for job in self._view.jobs():
            metadata = job["metadata"]
            known = metadata.get("annotations", {}).get(builder.NAME, "") in names
            if metadata.get("labels", {}).get(builder.KIND) not in ours or known:
                continue
            if not _over(job) and not metadata.get("deletionTimestamp"):
                _log.info("deleting a job that nobody asks about", job=metadata["name"])
                self._delete(metadata["name"])

    def leave(self, kinds: Collection[str]) -> None:
        """Nothing: another controller acts now, and finds the same Jobs."""

    def close(self) -> None:
        """Stops watching; Jobs go on."""
        self._view.close()
        self._api.close()

    def _delete(self, name: str) -> None:
        with _mapped(f"delete the Job {name}"):
            self._count("delete")
            try:
                # the Job stays in sight until its pods have ended, and reported what they used
                self._batch.delete_namespaced_job(
                    name,
                    self._settings.namespace,
                    propagation_policy="Foreground",
                    _preload_content=False,
                    _request_timeout=_CALL_TIMEOUT,
                )
            except client.ApiException as error:
                if error.status != 404:
                    raise

    def _count(self, verb: str) -> None:
        metrics.KUBERNETES_CALLS.labels(verb=verb).inc()
        with self._lock:
            self._writes += 1


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def status_of(job: view.Form, there: list[pods.Pod], refused: str) -> protocol.RunStatus:
    """How a Job stands, from what the API server says about it and its pods."""
    status = job.get("status", {})
    conditions = pods.conditions_of(job)
    succeeded = len(pods.indexes_in(status.get("completedIndexes", "")))
    failed = pods.indexes_in(status.get("failedIndexes", ""))
    last = {pod.index: pod for pod in there if pod.ended}
    state: protocol.State = "running"
    failures: list[protocol.IndexFailure] = []
    if "Complete" in conditions:
        state = "succeeded"
    elif "Failed" in conditions:
        state = "failed"
    overfilled = collections.Counter(pod.index for pod in there if pod.overfilled)
    again = [index for index, times in overfilled.items() if times >= OVERFILLS]
    if state == "running" and again:
        # the Job itself is deleted once nobody asks about it
        state, failures = "failed", [pods.failure_of(last[index]) for index in sorted(again)]
    elif state == "failed" or failed:
        failures = [pods.failure_of(last[index]) for index in sorted(failed) if index in last]
    if state == "failed" and not failures:
        failures = [_without_pod(conditions["Failed"], last)]
    ended = len(there) - sum(pod.phase in ("Pending", "Running") for pod in there)
    return protocol.RunStatus(
        state=state,
        indexes_succeeded=succeeded,
        indexes_running=int(status.get("active", 0)),
        failed=tuple(failures),
        restarts=max(0, ended - succeeded - (len(failed) if state == "failed" else 0)),
        waiting=_waiting(job, conditions, there, refused) if state == "running" else "",
    )


def outdated(job: view.Form, there: list[pods.Pod], digest: str) -> bool:
    """Whether a Job that waits may wait for what was mended since: its settings are not those of now.

    One of whose pods runs gets on, and one in a queue would lose its place.
    """
    if "Suspended" in pods.conditions_of(job) or any(pod.phase == "Running" for pod in there):
        return False
    return bool(job["metadata"].get("annotations", {}).get(builder.SETTINGS) != digest)


def _waiting(job: view.Form, conditions: dict[str, Any], there: list[pods.Pod], refused: str) -> str:
    """Why a Job does not get on, in words; empty where it does."""
    if job["metadata"].get("deletionTimestamp"):
        return ""
    if "Suspended" in conditions:
        queue = job["metadata"].get("labels", {}).get(builder.QUEUE)
        return f"suspended until the queue {queue} admits it" if queue else "suspended: somebody set suspend"
    if refused and not any(pod.phase in ("Pending", "Running") for pod in there):
        return f"no pod can be created: {refused}"
    stuck = [pod for pod in there if pod.waiting]
    if not stuck:
        # an index whose pods end again and again is about to fail, and a person may mend what kills it
        dead = [pod for pod in there if pod.ended and pod.exit_code != protocol.EXIT_DRAINED]
        running = {pod.index for pod in there if pod.phase == "Running"}
        again = [pod for pod in dead if pod.index not in running]
        return (
            f"index {again[-1].index}: {pods.failure_of(again[-1]).reason}; it is started again"
            if again
            else ""
        )
    more = f" ({len(stuck) - 1:,} more wait)" if len(stuck) > 1 else ""
    return f"index {stuck[0].index}: {stuck[0].waiting}{more}"


def _without_pod(condition: view.Form, last: dict[int, pods.Pod]) -> protocol.IndexFailure:
    """Why a Job failed whose failed indexes have no pod to look at any more, or that has none."""
    if last and condition.get("reason") != "DeadlineExceeded":
        return pods.failure_of(last[min(last)])
    reason = f"{condition.get('reason', 'Failed')}: {condition.get('message', 'no reason was given')}"
    return protocol.IndexFailure(index=0, attempt=0, exit_code=None, reason=reason, log_tail="")


def _over(job: view.Form) -> bool:
    return bool(pods.conditions_of(job).keys() & {"Complete", "Failed"})


def _form(answer: Any) -> view.Form:
    if not 200 <= answer.status <= 299:
        raise client.ApiException(http_resp=answer)
    form: view.Form = json.loads(answer.data)
    return form


@contextlib.contextmanager
def _mapped(what: str) -> Iterator[None]:
    """The client's errors as ours."""
    try:
        yield
    except client.ApiException as error:
        said = _message(error)
        if error.status is None or error.status >= 500 or error.status == 429:
            raise errors.UnavailableError(
                f"cannot {what}: {said}", reason="KUBERNETES_UNAVAILABLE"
            ) from error
        raise errors.PreconditionError(f"cannot {what}: {said}", reason="KUBERNETES_REFUSED") from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        message = f"cannot {what}: the Kubernetes API does not answer: {error}"
        raise errors.UnavailableError(message, reason="KUBERNETES_UNAVAILABLE") from error


def _message(error: client.ApiException) -> str:
    """What the API server said, out of the Status in its answer."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"

"""What is in the namespace, kept up to date by watching: asking it costs the API server nothing.

Four threads list once and then watch Jobs, their pods, and the events that say why no pod was created, or why
one gets no volume: no status of a Job or pod tells that. A
watch that breaks goes on from where it was; one that is too old (410 Gone) lists anew. A view that has been
cut off for a while says so instead of what it knew last.
"""

from __future__ import annotations

import collections
import contextlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import structlog
import urllib3
from kubernetes import client

from actuary import errors, metrics
from actuary.jobs.cluster import pods

PAGE = 500
"""Objects a list call."""
WATCH_SECONDS = 120
"""After so long a watch is made anew, as the API server would do by itself."""
CUT_OFF_SECONDS = 30.0
"""A view that could not list or watch for so long is not trusted."""
_LONGEST_PAUSE = 10.0
_MOUNTS_TRIED = 3
"""So often a volume must have been missed: the Secret of a Job comes a moment later than its pods may."""
_log = structlog.get_logger("actuary.kubernetes")

Form = Mapping[str, Any]


class View:
    """Jobs and pods of ours in one namespace. Safe to be asked from any thread."""

    def __init__(self, api: client.ApiClient, namespace: str, selector: str) -> None:
        self._lock = threading.Condition()
        self._jobs: dict[str, Form] = {}
        self._pods: dict[str, dict[str, pods.Pod]] = collections.defaultdict(dict)
        self._refused: dict[str, str] = {}
        """Why no pod of a Job could be created, by the Job's name."""
        self._unmounted: dict[str, str] = {}
        """Why a pod of a Job does not get its volumes, by the pod's name."""
        batch, core = client.BatchV1Api(api), client.CoreV1Api(api)
        self._watches = [
            _Watch("jobs", batch.list_namespaced_job, namespace, self._see_job, label_selector=selector),
            _Watch("pods", core.list_namespaced_pod, namespace, self._see_pod, label_selector=selector),
            _Watch(
                "events of jobs",
                core.list_namespaced_event,
                namespace,
                self._see_refusal,
                field_selector="involvedObject.kind=Job,reason=FailedCreate",
            ),
            _Watch(
                "events of pods",
                core.list_namespaced_event,
                namespace,
                self._see_unmounted,
                field_selector="involvedObject.kind=Pod,reason=FailedMount",
            ),
        ]

    def start(self) -> None:
        """Begins to watch."""
        for watch in self._watches:
            watch.start()

    def close(self) -> None:
        """Stops watching."""
        for watch in self._watches:
            watch.stop()

    @property
    def calls(self) -> int:
        """Calls made to the API server by now."""
        return sum(watch.calls for watch in self._watches)

    def check(self, timeout_seconds: float = 0.0) -> None:
        """Makes sure that the view is whole and of now, waiting for its first list.

        Raises:
            errors.UnavailableError: the API server does not answer, or refuses to be asked.
        """
        end = time.monotonic() + timeout_seconds
        for watch in self._watches:
            watch.listed.wait(max(0.0, end - time.monotonic()))
            if not watch.listed.is_set() or watch.cut_off_seconds > CUT_OFF_SECONDS:
                reason = watch.problem or "no answer yet"
                message = f"the Kubernetes API cannot be asked about {watch.what}: {reason}"
                raise errors.UnavailableError(message, reason="KUBERNETES_UNAVAILABLE")

    def job(self, name: str) -> Form | None:
        """A Job by its name in Kubernetes, as the API server wrote it."""
        with self._lock:
            return self._jobs.get(name)

    def jobs(self) -> list[Form]:
        """All Jobs."""
        with self._lock:
            return list(self._jobs.values())

    def pods(self, job: str) -> list[pods.Pod]:
        """The pods of a Job, oldest first."""
        with self._lock:
            found = sorted(self._pods.get(job, {}).values(), key=lambda pod: (pod.created, pod.name))
            return [pods.unmounted(pod, self._unmounted.get(pod.name, "")) for pod in found]

    def refused(self, job: str) -> str:
        """Why the API server creates no pod for a Job; empty where it does."""
        with self._lock:
            return self._refused.get(job, "")

    def put(self, job: Form) -> None:
        """Takes a Job that was just created, which the watch has yet to show."""
        with self._lock:
            self._jobs.setdefault(job["metadata"]["name"], job)

    def wait(self, until: Callable[[], bool], timeout_seconds: float) -> bool:
        """Waits until something holds that changes with what is seen; whether it does."""
        with self._lock:
            return self._lock.wait_for(until, timeout_seconds)

    def _see_job(self, gone: bool, form: Form) -> None:
        name = form["metadata"]["name"]
        with self._lock:
            if gone:
                self._jobs.pop(name, None)
                self._refused.pop(name, None)
            else:
                self._jobs[name] = form
            self._lock.notify_all()

    def _see_pod(self, gone: bool, form: Form) -> None:
        pod = pods.pod_of(form)
        with self._lock:
            if gone:
                self._pods[pod.job].pop(pod.name, None)
                self._unmounted.pop(pod.name, None)
                if not self._pods[pod.job]:
                    del self._pods[pod.job]
            else:
                self._pods[pod.job][pod.name] = pod
                self._refused.pop(pod.job, None)
            self._lock.notify_all()

    def _see_refusal(self, gone: bool, form: Form) -> None:
        if gone:
            return
        with self._lock:
            self._refused[form["involvedObject"]["name"]] = form.get("message", "")
            self._lock.notify_all()

    def _see_unmounted(self, gone: bool, form: Form) -> None:
        name = form["involvedObject"]["name"]
        with self._lock:
            # an event lives for an hour, and so long is remembered what other pods of the namespace miss
            if gone:
                self._unmounted.pop(name, None)
            elif form.get("count", 1) >= _MOUNTS_TRIED:
                self._unmounted[name] = form.get("message", "")
            self._lock.notify_all()


class _Watch:
    """One list and watch, in a thread of its own."""

    def __init__(
        self,
        what: str,
        ask: Callable[..., Any],
        namespace: str,
        see: Callable[[bool, Form], None],
        **wanted: str,
    ) -> None:
        self.what = what
        self.calls = 0
        self.problem = ""
        self.listed = threading.Event()
        self._ask = ask
        self._namespace = namespace
        self._see = see
        self._wanted = wanted
        self._known: dict[str, Form] = {}
        """Name and label part of what was seen, so that a new list shows what is gone."""
        self._version = ""
        self._answered = time.monotonic()
        self._response: Any = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch-{what}", daemon=True)

    @property
    def cut_off_seconds(self) -> float:
        """How long nothing could be asked."""
        return time.monotonic() - self._answered if self.problem else 0.0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        response = self._response
        if response is not None:
            # its thread may have come to its end meanwhile: closed, given back, or without a socket by now
            with contextlib.suppress(OSError, ValueError, RuntimeError):
                response.shutdown() if hasattr(response, "shutdown") else response.close()

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(random.uniform(0.0, pause)):
            try:
                if not self._version:
                    self._list()
                self._follow()
                pause = 0.0
            except client.ApiException as error:
                if error.status == 410:  # too old: what happened meanwhile is no longer told
                    self._version, pause = "", 0.0
                    continue
                pause = self._failed(f"{error.status} {error.reason}", pause)
            except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                pause = self._failed(str(error) or type(error).__name__, pause)

    def _failed(self, problem: str, pause: float) -> float:
        if not self._stop.is_set() and not self.problem:
            _log.warning("watch broken", what=self.what, problem=problem)
        self.problem = problem
        return min(max(0.2, 2 * pause), _LONGEST_PAUSE)

    def _list(self) -> None:
        found: dict[str, Form] = {}
        token: str | None = None
        while True:
            answer = self._call(limit=PAGE, _continue=token)
            form = json.loads(answer.data)
            for each in form.get("items", []):
                found[each["metadata"]["name"]] = each
            self._version = form["metadata"]["resourceVersion"]
            token = form["metadata"].get("continue")
            if not token:
                break
        for name in self._known.keys() - found.keys():
            self._see(True, self._known[name])
        self._known = {name: _key(form) for name, form in found.items()}
        for form in found.values():
            self._see(False, form)
        self._good()
        self.listed.set()

    def _follow(self) -> None:
        self._response = self._call(
            watch=True,
            resource_version=self._version,
            allow_watch_bookmarks=True,
            timeout_seconds=WATCH_SECONDS,
            # longer than the server's: only a dead connection ends it
            _request_timeout=(5, WATCH_SECONDS + 30),
        )
        self._good()
        try:
            for line in _lines(self._response):
                event = json.loads(line)
                form = event["object"]
                if event["type"] == "ERROR":
                    raise client.ApiException(status=form.get("code"), reason=form.get("message"))
                self._version = form["metadata"]["resourceVersion"]
                if event["type"] == "BOOKMARK":
                    continue
                gone = event["type"] == "DELETED"
                self._see(gone, form)
                if gone:
                    self._known.pop(form["metadata"]["name"], None)
                else:
                    self._known[form["metadata"]["name"]] = _key(form)
        finally:
            response, self._response = self._response, None
            response.release_conn()

    def _call(self, **arguments: Any) -> Any:
        self.calls += 1
        metrics.KUBERNETES_CALLS.labels(verb="watch" if arguments.get("watch") else "list").inc()
        arguments.setdefault("_request_timeout", (5, 60))
        given = {name: value for name, value in arguments.items() if value is not None}
        answer = self._ask(self._namespace, **self._wanted, **given, _preload_content=False)
        if not 200 <= answer.status <= 299:
            raise client.ApiException(http_resp=answer)
        return answer

    def _good(self) -> None:
        self._answered = time.monotonic()
        if self.problem:
            _log.info("watch goes on", what=self.what)
        self.problem = ""


def _key(form: Form) -> Form:
    """What is needed to say later that an object is gone."""
    metadata = form["metadata"]
    kept = {"name": metadata["name"], "labels": metadata.get("labels", {})}
    return {"metadata": kept, "involvedObject": form.get("involvedObject", {})}


def _lines(response: Any) -> Iterator[str]:
    """Whole lines of a streamed answer."""
    rest = b""
    for part in response.stream(amt=None, decode_content=False):
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            if line.strip():
                yield line.decode()

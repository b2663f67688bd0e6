"""Keeps the worker of a pod going: what a local runner does for its children, inside a container.

The worker is a fork of this process, so that nothing is loaded twice. One that crashes is started again as
long as something was done or learnt in between (`evidence`): an item that kills its worker is found and
passed over without a new pod each time. What ends the pod is a worker that is done, drained, sure to fail
again, or out of patience.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from actuary import errors
from actuary.jobs import evidence, protocol, worker
from actuary.jobs import settings as job_settings
from actuary.storage import location

ATTEMPTS_A_POD = 128
"""Attempts are numbered `launch * ATTEMPTS_A_LAUNCH + pod * ATTEMPTS_A_POD + restart`."""
INDEX = "JOB_COMPLETION_INDEX"
_PODS_BEFORE = ("ACTUARY_POD_FAILURES", "ACTUARY_POD_DISRUPTIONS")
_OOM_COUNTERS = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))
"""Where the kernel counts whom it killed for want of memory: cgroup v2, v1."""
_log = structlog.get_logger("actuary.worker")
_FINAL = (protocol.EXIT_DONE, protocol.EXIT_DRAINED, protocol.EXIT_PERMANENT)

Work = Callable[[int, int], int]
"""Does (index, attempt) in this process; returns its exit code."""


def supervise(uri: str, work: Work, environment: Mapping[str, str] = os.environ) -> int:
    """Runs a pod's worker to its end; returns the pod's exit code. To be called in the main thread.

    Args:
        uri: of the Job's description.
        work: what the worker does.
        environment: names the index and how many pods it had before.
    """
    stop = threading.Event()
    child: list[int] = []

    def terminate(*_: Any) -> None:
        stop.set()
        for pid in child:
            os.kill(pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, terminate)
    index = int(environment[INDEX])
    try:
        spec = _described(uri)
    except errors.ActuaryError as error:
        return worker.failed(error)
    options = job_settings.JobsSettings()
    pods_before = sum(int(environment.get(name) or 0) for name in _PODS_BEFORE)
    first = spec.launch * protocol.ATTEMPTS_A_LAUNCH + pods_before * ATTEMPTS_A_POD
    patience = evidence.Patience(spec.backoff_limit_per_index)
    starved = False
    for restart in range(ATTEMPTS_A_POD):
        if stop.is_set():
            return protocol.EXIT_DRAINED
        attempt = first + restart
        _log.info("worker", resource=spec.name, index=index, attempt=attempt)
        killed = killed_for_memory()
        code = _forked(lambda attempt=attempt: work(index, attempt), child)  # type: ignore[misc]
        if code in _FINAL or stop.is_set():
            return code if code >= 0 else protocol.EXIT_DRAINED
        _log.warning("worker crashed", resource=spec.name, index=index, attempt=attempt, exit_code=code)
        starved = code == -signal.SIGKILL and killed_for_memory() > killed
        if not patience.crashed(evidence.look(spec, index)):
            break
        if starved and patience.in_a_row > 1:
            break  # the limit stays what it is: who can raise it is to hear of it soon
        pause = options.restart_seconds * 2.0 ** (patience.in_a_row - 1)
        stop.wait(min(pause, options.restart_longest_seconds))
    if code < 0:
        reason = protocol.OUT_OF_MEMORY if starved else "WORKER_CRASHED"
        message = f"index {index}: the worker was killed by {_name(-code)}, after {restart} restarts"
        worker.say_last("INTERNAL", reason, message, {})
        return 1
    return code


def _described(uri: str) -> protocol.JobSpec:
    store_uri, key = protocol.split_uri(uri)
    return protocol.JobSpec.from_json(location.open_store(store_uri).get(key))


def _forked(work: Callable[[], int], child: list[int]) -> int:
    """Runs something in a child; returns its exit code, negative for a signal, as `subprocess` counts."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            code = work()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    child[:] = [pid]
    try:
        _, status = os.waitpid(pid, 0)
    finally:
        child.clear()
    return os.waitstatus_to_exitcode(status)


def _name(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    return (
        f"{name} (out of memory, perhaps: the kernel kills what takes too much)"
        if name == "SIGKILL"
        else name
    )


def killed_for_memory(counters: Sequence[Path] = _OOM_COUNTERS) -> int:
    """How many processes of this container the kernel killed for want of memory; 0 where it does not say."""
    for path in counters:
        with contextlib.suppress(OSError, ValueError):
            for line in path.read_text(encoding="ascii").splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
    return 0

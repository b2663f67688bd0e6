"""The runner that starts a Job's processes on this machine: no cluster, no daemon, nothing to install.

At most `cores` processes are at work over all Jobs, first come first served. A process that crashes is
started again until it has crashed too often: in a row with nothing done and nothing learnt about what killed
it (`evidence`). One that was drained is started again as if nothing had been. Why one failed for good is said
in words, with the last lines it wrote.

It deliberately remembers nothing beyond its own life: after a restart of its server a Job is unknown, is
launched again and goes on from its durable chunks. A process dies with its runner: its standard input is a
pipe that nothing is ever written to, and ends when the runner does.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from actuary import tracing
from actuary.jobs import evidence, protocol
from actuary.jobs import settings as job_settings

WORK = (sys.executable, "-m", "actuary.cli.main", "work")
"""What a process is; URI, `--index` and `--attempt` follow."""
_TAIL_LINES = 12
_TAIL_CHARACTERS = 2000
_MOST_DOUBLINGS = 30
_PUMP_SECONDS = 2.0
"""How long to wait for the last words of a process that ended, when a grandchild keeps its pipe open."""


@dataclasses.dataclass(slots=True, kw_only=True)
class _Run:
    """One Job."""

    spec: protocol.JobSpec
    uri: str
    waiting: set[int]
    """Indexes that are to be started, at once or after a pause."""
    running: dict[int, _Process] = dataclasses.field(default_factory=dict)
    starts: collections.Counter[int] = dataclasses.field(default_factory=collections.Counter)
    patience: dict[int, evidence.Patience] = dataclasses.field(default_factory=dict)
    """Of each index that has crashed."""
    drains: collections.Counter[int] = dataclasses.field(default_factory=collections.Counter)
    succeeded: set[int] = dataclasses.field(default_factory=set)
    failed: list[protocol.IndexFailure] = dataclasses.field(default_factory=list)
    stopped: bool = False
    dropped: bool = False
    """Nobody asks about it any more: it is forgotten when its processes have ended."""
    deadline: threading.Timer | None = None

    @property
    def state(self) -> protocol.State:
        if self.stopped or len(self.failed) > self.spec.max_failed_indexes:
            return "running" if self.running else "failed"
        return "succeeded" if len(self.succeeded) + len(self.failed) == self.spec.indexes else "running"


class LocalRunner:
    """A `protocol.Runner` of child processes.

    Args:
        settings: cores, pauses, logs.
        command: what to start; tests start a program of their own.
        environment: of the processes; this process's own when not given.
    """

    def __init__(
        self,
        settings: job_settings.JobsSettings | None = None,
        *,
        command: Sequence[str] = WORK,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings or job_settings.JobsSettings()
        self._command = tuple(command)
        self._environment = None if environment is None else dict(environment)
        self._changed = threading.Condition()
        self._runs: dict[str, _Run] = {}
        self._queue: collections.deque[tuple[str, int]] = collections.deque()
        self._busy = 0
        self._closed = False
        self._timers: set[threading.Timer] = set()
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if self._settings.log_folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="actuary-logs-", ignore_cleanup_errors=True)
            self._logs = Path(self._temporary.name)
        else:
            self._logs = self._settings.log_folder

    def launch(self, spec: protocol.JobSpec, uri: str) -> None:
        """Queues all indexes of a Job; one that is known already is left alone."""
        with self._changed:
            if self._closed or spec.name in self._runs:
                return
            run = _Run(spec=spec, uri=uri, waiting=set(range(spec.indexes)))
            self._runs[spec.name] = run
            if spec.deadline_seconds is not None:
                run.deadline = self._later(spec.deadline_seconds, lambda: self._expire(spec.name))
            self._queue.extend((spec.name, index) for index in range(spec.indexes))
            self._fill()

    def status(self, name: str) -> protocol.RunStatus | None:
        """What became of a Job; None when this runner does not know it."""
        with self._changed:
            run = self._runs.get(name)
            return None if run is None else _status(run)

    def wait(self, name: str, timeout_seconds: float) -> protocol.RunStatus:
        """Waits until a Job has ended.

        Raises:
            TimeoutError: it has not; the message holds its status.
            KeyError: this runner does not know it.
        """
        with self._changed:
            run = self._runs[name]
            if not self._changed.wait_for(lambda: run.state != "running", timeout_seconds):
                raise TimeoutError(f"{name} has not ended within {timeout_seconds} s: {_status(run)}")
            return _status(run)

    def cancel(self, name: str) -> None:
        """Asks a Job's processes to stop and kills those that do not within the grace."""
        with self._changed:
            run = self._runs.get(name)
            if run is not None and run.state == "running":
                self._stop(run, "cancelled")
                self._fill()

    def retain(self, names: Collection[str], kinds: Collection[str]) -> None:
        """Stops and forgets the Jobs of some kinds that are not named, with what their processes wrote."""
        with self._changed:
            for run in list(self._runs.values()):
                if run.spec.kind in kinds and run.spec.name not in names and not run.dropped:
                    run.dropped = True
                    if run.state == "running":
                        self._stop(run, "its controller gave it up")
                    self._forget(run)
            self._fill()

    def leave(self, kinds: Collection[str]) -> None:
        """Stops the Jobs of some kinds: whoever acts on them now has a runner of its own."""
        self.retain(frozenset(), kinds)

    def _forget(self, run: _Run) -> None:
        if run.dropped and not run.running:
            self._runs.pop(run.spec.name, None)
            if run.deadline is not None:
                run.deadline.cancel()
            shutil.rmtree(self._folder(run), ignore_errors=True)

    def _folder(self, run: _Run) -> Path:
        return self._logs / run.spec.key.rpartition("/")[0]

    def close(self) -> None:
        """Stops all Jobs and waits for their processes."""
        with self._changed:
            self._closed = True
            for run in self._runs.values():
                if run.state == "running":
                    self._stop(run, "its runner was closed")
            self._changed.wait_for(lambda: self._busy == 0)
            timers = list(self._timers)
        for timer in timers:
            timer.cancel()
            timer.join()
        if self._temporary is not None:
            self._temporary.cleanup()

    def _fill(self) -> None:
        """Starts what may be started, in order; a Job that is at its parallelism is passed over."""
        for _ in range(len(self._queue)):
            if self._busy >= self._settings.cores:
                break
            name, index = self._queue.popleft()
            run = self._runs.get(name)
            if run is None or run.stopped or run.state == "failed" or index not in run.waiting:
                continue
            if len(run.running) >= run.spec.parallelism:
                self._queue.append((name, index))
                continue
            run.waiting.remove(index)
            self._start(run, index)
        self._changed.notify_all()

    def _start(self, run: _Run, index: int) -> None:
        attempt = run.spec.launch * protocol.ATTEMPTS_A_LAUNCH + run.starts[index]
        run.starts[index] += 1
        try:
            process = _Process(
                [*self._command, run.uri, "--index", str(index), "--attempt", str(attempt)],
                environment=self._variables(run.spec),
                log=Log(self._folder(run) / f"index-{index:05d}.log", self._settings.log_bytes),
                ended=lambda code: self._ended(run, index, attempt, code),
            )
        except OSError as error:
            reason = f"cannot start a worker process ({self._command[0]}): {error.strerror}"
            run.failed.append(
                protocol.IndexFailure(
                    index=index, attempt=attempt, exit_code=None, reason=reason, log_tail=""
                )
            )
            return
        run.running[index] = process
        self._busy += 1
        process.watch()

    def _variables(self, spec: protocol.JobSpec) -> dict[str, str]:
        own = os.environ if self._environment is None else self._environment
        return {**own, **tracing.environment(spec.trace)}

    def _ended(self, run: _Run, index: int, attempt: int, code: int) -> None:
        crashed = code not in (protocol.EXIT_DONE, protocol.EXIT_DRAINED, protocol.EXIT_PERMANENT)
        shown = evidence.look(run.spec, index) if crashed and not run.stopped else evidence.Evidence()
        with self._changed:
            process = run.running.pop(index)
            self._busy -= 1
            if code == protocol.EXIT_DONE:
                run.succeeded.add(index)
            elif not run.stopped:
                self._failed(run, index, attempt, code, process.log, shown)
            if run.state != "running" and run.deadline is not None:
                run.deadline.cancel()
            self._forget(run)
            self._fill()

    def _failed(
        self, run: _Run, index: int, attempt: int, code: int, log: Log, shown: evidence.Evidence
    ) -> None:
        patience = run.patience.setdefault(index, evidence.Patience(run.spec.backoff_limit_per_index))
        again = False
        if code == protocol.EXIT_DRAINED:
            run.drains[index] += 1
            again = True
        elif code != protocol.EXIT_PERMANENT:
            again = patience.crashed(shown)
        if again:
            doublings = min(patience.in_a_row + run.drains[index] - 1, _MOST_DOUBLINGS)
            pause = self._settings.restart_seconds * 2.0**doublings
            run.waiting.add(index)
            self._later(
                min(pause, self._settings.restart_longest_seconds), lambda: self._again(run.spec.name, index)
            )
            return
        failure = _explain(index, attempt, code, log, max(run.starts[index] - 1, 0))
        run.failed.append(failure)
        if len(run.failed) > run.spec.max_failed_indexes:
            self._stop(run, None)

    def _again(self, name: str, index: int) -> None:
        with self._changed:
            self._queue.append((name, index))
            self._fill()

    def _expire(self, name: str) -> None:
        with self._changed:
            run = self._runs.get(name)
            if run is not None and run.state == "running":
                self._stop(run, f"not done within {run.spec.deadline_seconds:g} s, its deadline")
                self._fill()

    def _stop(self, run: _Run, reason: str | None) -> None:
        """Ends a Job; `reason` is why, where no failure of an index says so."""
        if run.stopped:
            return
        run.stopped = True
        if reason is not None:
            index = min([*run.running, *run.waiting], default=0)
            attempt = run.spec.launch * protocol.ATTEMPTS_A_LAUNCH + max(run.starts[index] - 1, 0)
            tail = run.running[index].log.tail() if index in run.running else ""
            run.failed.append(
                protocol.IndexFailure(
                    index=index, attempt=attempt, exit_code=None, reason=reason, log_tail=tail
                )
            )
        run.waiting.clear()
        processes = list(run.running.values())
        for process in processes:
            process.signal(signal.SIGTERM)
        if processes:
            self._later(self._settings.grace_seconds, lambda: _kill(processes))

    def _later(self, seconds: float, act: Callable[[], object]) -> threading.Timer:
        self._timers = {timer for timer in self._timers if timer.is_alive()}
        timer = threading.Timer(seconds, act)
        timer.daemon = True
        timer.start()
        self._timers.add(timer)
        return timer


class _Process:
    """One child, its log and its end."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Log,
        ended: Callable[[int], None],
    ) -> None:
        self.log = log
        self._ended = ended
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C at a terminal is for the runner, which drains its workers
        )

    def watch(self) -> None:
        threading.Thread(target=self._watch, name=f"worker-{self._child.pid}", daemon=True).start()

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._child.send_signal(number)

    def _watch(self) -> None:
        stderr, stdin = self._child.stderr, self._child.stdin
        pump = threading.Thread(target=self.log.pump, args=(stderr,), daemon=True)
        pump.start()
        code = self._child.wait()
        pump.join(_PUMP_SECONDS)
        if stdin is not None:
            stdin.close()
        self._ended(code)


class Log:
    """What one index wrote, over all its attempts, in a file that never grows beyond a bound."""

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._limit = limit
        path.parent.mkdir(parents=True, exist_ok=True)

    def pump(self, source: BinaryIO) -> None:
        """Copies a process's output until it ends."""
        with source, self._path.open("ab") as target:
            while data := os.read(source.fileno(), 1 << 16):
                # where the disk is full, its words are lost; a pipe that nobody reads would stop the process
                with contextlib.suppress(OSError):
                    self._keep(target, data)

    def _keep(self, target: BinaryIO, data: bytes) -> None:
        target.write(data)
        target.flush()
        if target.tell() > self._limit:
            kept = self._path.read_bytes()[-self._limit // 2 :]
            target.truncate(0)
            target.write(kept)
            target.flush()

    def tail(self) -> str:
        """The last lines."""
        return "\n".join(self._lines()[-_TAIL_LINES:])[-_TAIL_CHARACTERS:]

    def last_line(self) -> str:
        """The last line, whole."""
        return "".join(self._lines()[-1:])

    def _lines(self) -> list[str]:
        try:
            return self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []


def _kill(processes: Sequence[_Process]) -> None:
    for process in processes:
        process.signal(signal.SIGKILL)


def _status(run: _Run) -> protocol.RunStatus:
    return protocol.RunStatus(
        state=run.state,
        indexes_succeeded=len(run.succeeded),
        indexes_running=len(run.running),
        failed=tuple(run.failed),
        restarts=sum(max(starts - 1, 0) for starts in run.starts.values()),
    )


def _explain(index: int, attempt: int, code: int, log: Log, crashes: int) -> protocol.IndexFailure:
    error = _last_error(log.last_line()) if code > 0 else None
    if error is not None:
        reason = str(error["message"])
        if code != protocol.EXIT_PERMANENT:
            error = {**error, "message": f"{reason} (tried {crashes + 1} times)"}
    elif code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        why = " (out of memory, perhaps: the kernel kills what takes too much)" if name == "SIGKILL" else ""
        reason = f"killed by {name}{why}, after {crashes} restarts"
    else:
        reason = f"ended with exit code {code}, after {crashes} restarts"
    return protocol.IndexFailure(
        index=index, attempt=attempt, exit_code=code, reason=reason, log_tail=log.tail(), error=error
    )


def _last_error(line: str) -> dict[str, Any] | None:
    """The error that a process ended with, where it gave one."""
    try:
        error = json.loads(line)
    except ValueError:
        return None
    return error if isinstance(error, dict) and {"code", "reason", "message"} <= set(error) else None

"""A process's conversation with its service: what it has done, at the pace the service asks for.

One thread reports what was last told; whoever needs money asks at once. A service that does not answer is
borne for a while within the last allowance. A service that says stop is obeyed.

It deliberately decides nothing about money: the pipeline compares the allowance with its worst case.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time

from actuary import errors
from actuary.jobs import protocol
from actuary.jobs import settings as job_settings

_FIRST_SECONDS = 0.5
"""From its start to the first report of a process that asks for no money."""
_TRANSIENT = (errors.UnavailableError, errors.ExhaustedError, errors.ConflictError)
"""Answers of a service that is away, or busy with others; it may answer later."""
_PAUSE_SECONDS = 1.0
"""Between two tries to reach a service that money is asked of."""


class Session:
    """The reports of one attempt of one index; used as a context manager around the work.

    Args:
        reporter: the way to the service.
        stop: set when the service says stop.
        settings: how long silence is borne.
    """

    def __init__(
        self, reporter: protocol.Reporter, stop: threading.Event, settings: job_settings.JobsSettings
    ) -> None:
        self._reporter = reporter
        self._stop = stop
        self._patience = settings.report_patience_seconds
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._start = time.monotonic()
        self._cpu_start = time.process_time()
        """What starting the interpreter took before: no part of the time that `_start` counts from either."""
        self._heard = self._start
        self._progress = protocol.Progress()
        self._reported: protocol.Progress | None = None
        """What the last answered report said."""
        self._allowance = protocol.Allowance(money_micros=0, next_report_seconds=_FIRST_SECONDS)
        self._failure: errors.ActuaryError | None = None
        self._thread = threading.Thread(target=self._report_on, name="reports", daemon=True)

    def __enter__(self) -> Session:
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._progress is not self._reported and self._failure is None:
            # what a short process did, or one that was told to stop, is counted too, if somebody answers
            with contextlib.suppress(errors.ActuaryError):
                self._exchange()

    @property
    def allowance(self) -> protocol.Allowance:
        """The last answer."""
        return self._allowance

    def tell(self, progress: protocol.Progress) -> None:
        """Sets what the next report says; costs nothing."""
        self._progress = progress

    def ask(self, progress: protocol.Progress) -> protocol.Allowance:
        """Reports now and waits for the answer, as long as the service may be away.

        Raises:
            errors.ActuaryError: it did not answer for too long, or never will.
        """
        self._progress = progress
        while True:
            try:
                return self._exchange(exact=True)
            except _TRANSIENT:
                if time.monotonic() - self._heard > self._patience:
                    raise
            if self._stop.wait(_PAUSE_SECONDS):
                return self._allowance

    def check(self) -> None:
        """Raises what went wrong with the reports meanwhile."""
        if self._failure is not None:
            raise self._failure

    def _exchange(self, *, exact: bool = False) -> protocol.Allowance:
        with self._lock:
            seconds = time.monotonic() - self._start
            # one process is one attempt
            cpu = time.process_time() - self._cpu_start
            progress = self._progress
            told = dataclasses.replace(progress, seconds=seconds, cpu_seconds=cpu, exact=exact)
            allowance = self._reporter.report(told)
            self._heard = time.monotonic()
            self._allowance = allowance
            self._reported = progress
        if allowance.stop:
            self._stop.set()
        return allowance

    def _report_on(self) -> None:
        while not self._ended.wait(self._allowance.next_report_seconds):
            try:
                self._exchange()
            except _TRANSIENT as error:
                if time.monotonic() - self._heard > self._patience:
                    self._fail(error)
                    return
            except errors.ActuaryError as error:
                self._fail(error)
                return

    def _fail(self, error: errors.ActuaryError) -> None:
        self._failure = error
        self._stop.set()

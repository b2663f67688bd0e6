"""Where the processes of Jobs report: the servicer of `WorkerService`. Their side is `reporter`.

A report is keyed by (Job, index, attempt) and cumulative, so that a repeated one changes nothing; what it may
spend is `state.Jobs`' answer. The servicer adds the pace: so many seconds until the next report that all live
processes together send at most 100 a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

import grpc

from actuary.state import jobs as job_state
from actuary.v1 import worker_service_pb2, worker_service_pb2_grpc

REPORTS_PER_SECOND: Final = 100.0
"""What one service takes, however many processes there are."""
SHORTEST_SECONDS: Final = 0.5
"""Between two reports of a process; short enough for a progress bar."""
_SILENT: Final = 3.0
"""A process that has missed this many reports is taken for dead."""


class Pace:
    """Says when each process reports again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is monotonic, in seconds."""
        self._clock = clock
        self._lock = threading.Lock()
        self._live: dict[tuple[str, int], float] = {}
        self._swept = clock()

    def next_seconds(self, job: str, index: int, *, done: bool) -> float:
        """Notes a report; returns the seconds until the process' next."""
        now = self._clock()
        with self._lock:
            if now - self._swept >= 1.0:
                self._live = {key: until for key, until in self._live.items() if until > now}
                self._swept = now
            self._live.pop((job, index), None)
            live = len(self._live) + (0 if done else 1)
            seconds = max(SHORTEST_SECONDS, live / REPORTS_PER_SECOND)
            if not done:
                self._live[job, index] = now + _SILENT * seconds
            return seconds

    @property
    def live(self) -> int:
        """Processes that are taken to be alive."""
        now = self._clock()
        with self._lock:
            return sum(until > now for until in self._live.values())


class WorkerServicer(worker_service_pb2_grpc.WorkerServiceServicer):
    """Serves `actuary.v1.WorkerService` from the table of Jobs."""

    def __init__(self, jobs: job_state.Jobs, pace: Pace | None = None) -> None:
        self._jobs = jobs
        self._pace = pace or Pace()

    def ReportWork(  # noqa: N802
        self, request: worker_service_pb2.ReportWorkRequest, context: grpc.ServicerContext
    ) -> worker_service_pb2.ReportWorkResponse:
        """Takes a report and answers what may be spent, when to report again and whether to stop."""
        grant = self._jobs.report(
            request.job,
            request.index,
            request.attempt,
            progress_of(request),
            request.next_slice_micros,
            exact=request.exact,
        )
        return worker_service_pb2.ReportWorkResponse(
            allowance_micros=grant.allowance_micros,
            next_report_seconds=self._pace.next_seconds(request.job, request.index, done=request.done),
            stop=grant.stop,
            wait=grant.wait,
        )


def progress_of(request: worker_service_pb2.ReportWorkRequest) -> dict[str, Any]:
    """A report as the row of an index keeps it; the names are those of `JobProgress`."""
    return {
        "outcome_counts": dict(request.outcome_counts),
        "retry_counts": dict(request.retry_counts),
        "input_token_count": request.input_token_count,
        "output_token_count": request.output_token_count,
        "cost_micros": request.cost_micros,
        "seconds": request.seconds,
        "cpu_seconds": request.cpu_seconds,
        "asked_count": request.asked_count,
        "done": request.done,
        "phase": request.phase,
        "item_count": request.item_count,
        "failure": request.failure,
    }

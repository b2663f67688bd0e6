"""The life of a Job, the same for every service: PENDING, launched, RUNNING, its artifact whole, SUCCEEDED.

A step reads the row, looks at the runner, acts and writes the row once. Whatever dies is repeated: launching
what runs is success, a manifest that exists is not written again, and a row is only changed by who has read
its last version. What a Job's processes do is the service's `work.py`; how its work is cut, the service's
planner.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import structlog

from actuary import errors, failpoints, metrics, tracing
from actuary.jobs import figures, protocol, receipts
from actuary.state import figures as figure_state
from actuary.state import jobs as job_state
from actuary.storage import artifacts, objects

_TOKENS = ("input_token_count", "output_token_count")
_LEAVE = datetime.timedelta(seconds=60)
"""How long the processes of a Job that is done may take to end; a guess."""
_TRANSIENT = (errors.UnavailableError, errors.ConflictError)
_log = structlog.get_logger("actuary.jobs")


class Planner(Protocol):
    """Turns a Job's row into what is launched; reads its inputs' manifests, writes nothing."""

    def __call__(self, record: job_state.JobRecord) -> protocol.JobSpec:
        """Returns the description of the Job's work.

        Raises:
            errors.ActuaryError: the Job cannot be done: an input is missing, a model cannot what is asked.
        """
        ...


class Controller:
    """Runs the Jobs of some kinds."""

    def __init__(
        self,
        *,
        jobs: job_state.Jobs,
        store: objects.ObjectStore,
        runner: protocol.Runner,
        planners: Mapping[str, Planner],
        clock: Callable[[], datetime.datetime],
        code_version: str,
    ) -> None:
        """`planners` has one entry a kind; Jobs of other kinds are somebody else's.

        Raises:
            ValueError: no metric knows a kind.
        """
        for kind in planners:  # now, not when the first of its Jobs is counted
            figures.stage_of(kind)
        self._jobs = jobs
        self._open: tuple[job_state.JobRecord, ...] = ()
        self._ending: dict[str, datetime.datetime] = {}
        """Jobs whose artifact was whole before their processes had ended, and until when they may."""
        self._store = store
        self._runner = runner
        self._planners = planners
        self._clock = clock
        self._code_version = code_version

    def step(self) -> bool:
        """Takes every Job of its kinds as far as it goes now; returns whether there is one."""
        records = self._jobs.open(self._planners)
        for record in records:
            with tracing.entered(record.trace):
                self._try(record)
        self._open = records
        # what ended under another controller is stopped here too
        self._runner.retain({record.name for record in records} | self._leaving(), self._planners)
        return bool(records)

    def _try(self, record: job_state.JobRecord) -> None:
        """Takes one Job as far as it goes; a fault that it meets must not stop the others."""
        try:
            self.step_one(record)
        except errors.ConflictError as error:
            _log.warning("job step put off", job=record.name, reason=error.reason, message=error.message)
        except errors.UnavailableError as error:
            # it was retried for long: whoever watches has to hear why nothing moves
            _log.error("job step put off", job=record.name, reason=error.reason, message=error.message)
        except Exception:
            _log.exception("job step failed", job=record.name)

    def figures(self, kept: figure_state.Figures) -> dict[metrics.Key, float]:
        """What is to be shown of these kinds of Jobs: how the last step found them, and all totals."""
        totals = figures.totals(kept.read([figure.name for figure in figures.TOTALS]), self._planners)
        return {**figures.gauges(self._open, self._planners), **totals}

    def _leaving(self) -> set[str]:
        """Jobs that are done, and whose processes are about to end by themselves."""
        now = self._clock()
        for name, until in list(self._ending.items()):
            status = self._runner.status(name)
            if status is None or status.state != "running" or until < now:
                del self._ending[name]
        return set(self._ending)

    def stand_down(self) -> None:
        """Another controller acts now."""
        self._runner.leave(self._planners)

    def step_one(self, record: job_state.JobRecord) -> job_state.JobRecord:
        """Reads, decides, writes once, and then launches if that was decided.

        The row says that a Job is launched before it is: a controller that was stopped meanwhile, and has
        been replaced, finds the row changed and launches nothing. One that dies in between has a successor
        whose runner knows nothing of the Job, and launches it again.
        """
        launch: protocol.JobSpec | None = None
        try:
            after, launch = self._after(record)
        except _TRANSIENT:
            raise
        except errors.ActuaryError as error:
            self._runner.cancel(record.name)
            after = self._ended(record, "FAILED", error=error_form(error))
        if after != record:
            after = self._jobs.update(after, record.version, figures.changes(record, after))
        if launch is not None:
            try:
                self._launch(launch)
            except _TRANSIENT:
                raise
            except errors.ActuaryError as error:  # a cluster that refuses the Job would do so again
                failed = self._ended(after, "FAILED", error=error_form(error))
                after = self._jobs.update(failed, after.version, figures.changes(after, failed))
        if after.state != record.state:
            _log.info("job", job=after.name, state=after.state, reason=(after.error or {}).get("reason"))
            _record(after)
        return after

    def _after(self, record: job_state.JobRecord) -> tuple[job_state.JobRecord, protocol.JobSpec | None]:
        """The row as it is to be, and what is to be launched then."""
        status = self._runner.status(record.name)
        unknown = record.state == "PENDING" or status is None
        if unknown and not record.cancel_requested and not artifacts.exists(self._store, record.artifact):
            return self._launched(record)
        return self._seen(record, status), None

    def _seen(self, record: job_state.JobRecord, status: protocol.RunStatus | None) -> job_state.JobRecord:
        if record.cancel_requested:
            self._runner.cancel(record.name)
            if status is None:
                return self._ended(record, "CANCELLED")
            # its processes may still finish what they are at, and report what that cost
            after = self._spent(record, status)
            return after if status.state == "running" else self._ended(after, "CANCELLED")
        if status is None or artifacts.exists(self._store, record.artifact):
            # a controller that died between the manifest and the row left this behind, or a process that
            # writes the manifest itself has yet to end
            if status is not None:
                self._ending[record.name] = self._clock() + _LEAVE
            return self._succeeded(record if status is None else self._spent(record, status))
        after = self._spent(record, status)
        if status.state == "failed":
            return self._ended(after, "FAILED", error=_failure(status))
        # processes that have said that they are done take seconds to be seen to have ended
        running, done = status.state == "running", int(after.progress.get("done", 0))
        if running and not done:
            return after
        spec = self._planners[record.kind](record)
        if running and done < spec.indexes:
            return after
        if receipts.finish(self._store, spec, self._code_version, ended=not running) is None:
            return after
        if running:
            self._ending[record.name] = self._clock() + _LEAVE
        return self._succeeded(after)

    def _launched(self, record: job_state.JobRecord) -> tuple[job_state.JobRecord, protocol.JobSpec]:
        """Plans; the count of launches orders the attempts of a process over restarts of the runner."""
        launches = int(record.progress.get("launches", 0)) + 1
        trace = {} if record.trace is None else record.trace.carrier()
        spec = dataclasses.replace(self._planners[record.kind](record), launch=launches, trace=trace)
        progress = {**record.progress, "launches": launches, "item_count": spec.item_count}
        start = record.start_time or self._clock()
        return dataclasses.replace(record, state="RUNNING", start_time=start, progress=progress), spec

    def _launch(self, spec: protocol.JobSpec) -> None:
        with failpoints.around("job.spec"):
            uri = protocol.write(self._store, spec)
        with failpoints.around("job.launch"):
            self._runner.launch(spec, uri)

    def _spent(self, record: job_state.JobRecord, status: protocol.RunStatus) -> job_state.JobRecord:
        """The Job with what its processes have reported."""
        progress = self._progress(record, status)
        return dataclasses.replace(record, progress=progress, cost_micros=int(progress.get("cost_micros", 0)))

    def _progress(self, record: job_state.JobRecord, status: protocol.RunStatus) -> dict[str, Any]:
        totals = self._jobs.totals(record.name)
        # a process that replaces another may report before it has found what that one left: what was seen
        # done stays done, else it would be counted again
        known = record.progress.get("outcome_counts", {})
        counts = {**known, **{key: int(value) for key, value in totals.get("outcome_counts", {}).items()}}
        counts = {key: max(value, int(known.get(key, 0))) for key, value in counts.items()}
        tokens = {name: max(int(totals.get(name, 0)), int(record.progress.get(name, 0))) for name in _TOKENS}
        return {
            **record.progress,
            **totals,
            **tokens,
            "outcome_counts": counts,
            "item_count": int(record.progress.get("item_count", 0)) or int(totals.get("item_count", 0)),
            "done_count": sum(counts.values()),
            # a runner sees processes that died before they reported, reports those that it has forgotten
            "restart_count": max(status.restarts, int(totals.get("restarts", 0))),
            "running_count": status.indexes_running,
            "queue_seconds": self._queue_seconds(record) if totals else None,
            "waiting": status.waiting,
        }

    def _queue_seconds(self, record: job_state.JobRecord) -> float:
        """From a Job's creation to the first report of a process."""
        known = record.progress.get("queue_seconds")
        if known is not None or record.create_time is None:
            return float(known or 0.0)
        return max(0.0, (self._clock() - record.create_time).total_seconds())

    def _succeeded(self, record: job_state.JobRecord) -> job_state.JobRecord:
        manifest, _ = artifacts.read_manifest(self._store, record.artifact)
        items = int(manifest.parameters.get("item_count", sum(manifest.counts.values())))
        progress = {
            **record.progress,
            "outcome_counts": dict(manifest.counts),
            "item_count": items,
            "done_count": items,
            "results": manifest.parameters.get("results", {}),
        }
        done = dataclasses.replace(record, progress=progress, cost_micros=manifest.cost_micros)
        return self._ended(done, "SUCCEEDED")

    def _ended(
        self, record: job_state.JobRecord, state: str, *, error: dict[str, Any] | None = None
    ) -> job_state.JobRecord:
        now = self._clock()
        return dataclasses.replace(
            record, state=state, error=error, start_time=record.start_time or now, end_time=now
        )


def _record(ended: job_state.JobRecord) -> None:
    """Hands the life of a Job that has ended to whoever writes down what took how long."""
    context = tracing.below(ended.trace)
    if ended.create_time is None or ended.end_time is None or not tracing.recording(context):
        return
    tracing.record(
        tracing.Span(
            name=f"job {ended.kind}",
            context=context,
            start_ns=int(ended.create_time.timestamp() * 1e9),
            end_ns=int(ended.end_time.timestamp() * 1e9),
            attributes={
                "actuary.resource": ended.name,
                "actuary.state": ended.state,
                "actuary.launches": int(ended.progress.get("launches", 0)),
            },
            error=str((ended.error or {}).get("message", "")),
        )
    )


def error_form(error: errors.ActuaryError) -> dict[str, Any]:
    """Returns the form in which a row keeps an error."""
    return {"code": error.code, "reason": error.reason, "message": error.message, "metadata": error.metadata}


def _failure(status: protocol.RunStatus) -> dict[str, Any]:
    failures = status.failed
    if not failures:
        return {
            "code": "INTERNAL",
            "reason": "WORKER_FAILED",
            "message": "a process failed and left no reason",
        }
    first = failures[0]
    if first.error is not None:
        return dict(first.error)
    more = f" ({len(failures) - 1} more indexes failed)" if len(failures) > 1 else ""
    message = f"index {first.index}: {first.reason}{more}. Last lines: {first.log_tail}"
    return {"code": "INTERNAL", "reason": "WORKER_FAILED", "message": message}

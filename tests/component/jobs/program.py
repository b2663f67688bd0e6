"""A worker program of the tests: the real harness, real tasks, a model that writes down what it was asked.

Parameters of its Jobs besides those of `annotation`: `calls`, a file to which every call appends the
number of its items; `drain_call`, the call before which it is told to stop, at attempt 0; `caps`, allowances
of which the next is granted when the last does not suffice; `reports`, a file to which every report is
appended; `stop_at`, the number of the report that is answered with stop; `database`, that of the Job's row,
which is asked instead; `overstated`, how many times the cost the worst case is.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from actuary import errors
from actuary.annotator import work
from actuary.jobs import chunks, protocol, supervisor, worker
from actuary.models import forms
from actuary.models import protocol as models
from actuary.state import database, jobs


class LoggedModel:
    """Counts the items of each call; signals itself before call number `drain_call`."""

    def __init__(self, inner: models.Model, calls: Path, drain_call: int | None) -> None:
        self._inner = inner
        self._calls = calls
        self._left = drain_call
        self.capabilities = inner.capabilities

    async def score(self, prompts: Sequence[models.Prompt], options: Sequence[str]) -> models.ScoreBatch:
        with self._calls.open("a") as file:
            file.write(f"{len(prompts)}\n")
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGTERM)
        return await self._inner.score(prompts, options)

    async def generate(self, prompts, limits):
        return await self._inner.generate(prompts, limits)

    async def close(self) -> None:
        await self._inner.close()


class Annotate:
    def run(self, context: worker.WorkContext) -> None:
        parameters = context.spec.parameters
        template = forms.template_of(parameters["task"])
        model = forms.open_model(parameters["model"], template, store=context.store, scratch=context.scratch)
        drain_call = parameters.get("drain_call") if context.attempt == 0 else None
        logged = LoggedModel(model, Path(parameters["calls"]), drain_call)
        stage = Overstated(logged, template, parameters["model"], context.store)
        stage.times = parameters.get("overstated", 1)
        chunks.run(context, stage, work.Items(context, parameters))


class Overstated(work.Stage):
    """A model that may write much and writes little."""

    times = 1

    def worst_case_micros(self, rows):
        return self.times * super().worst_case_micros(rows)


class WriteFile:
    def run(self, context: worker.WorkContext) -> None:
        ref = context.write_file("model.bin", b"weights")
        context.finish(counts={"files": 1}, objects=[ref], parameters={"results": {"x": 1}})


class Wait:
    def run(self, context: worker.WorkContext) -> None:
        started(context)
        context.stop.wait()


class Deaf:
    def run(self, context: worker.WorkContext) -> None:
        started(context)
        threading.Event().wait()


class Crash:
    def run(self, context: worker.WorkContext) -> None:
        sys.stderr.write("about to crash\n")
        sys.stderr.flush()
        if "signal" in context.spec.parameters:
            os.kill(os.getpid(), context.spec.parameters["signal"])
        if context.attempt % protocol.ATTEMPTS_A_LAUNCH < context.spec.parameters.get("crashes", 10**6):
            raise RuntimeError("the worker broke")


class Refuse:
    def run(self, context: worker.WorkContext) -> None:
        raise errors.PreconditionError("there is nothing to do: give it items", reason="NOTHING")


def started(context: worker.WorkContext) -> None:
    """Tells the test that the process is at work."""
    with open(context.spec.parameters["fifo"], "w") as file:
        file.write(f"{os.getpid()}\n")


class ScriptedReporter:
    def __init__(self, spec: protocol.JobSpec) -> None:
        self._caps = list(spec.parameters.get("caps", []))
        self._reports = spec.parameters.get("reports")
        self._stop_at = spec.parameters.get("stop_at", 0)
        self._count = 0

    def report(self, progress: protocol.Progress) -> protocol.Allowance:
        self._count += 1
        wanted = progress.cost_micros + progress.next_slice_micros
        if len(self._caps) > 1 and wanted > self._caps[0]:
            self._caps.pop(0)
        if self._reports:
            with open(self._reports, "a") as file:
                line = {"counts": dict(progress.outcome_counts), "cost": progress.cost_micros}
                file.write(json.dumps({**line, "done": progress.done}) + "\n")
        return protocol.Allowance(
            money_micros=self._caps[0] if self._caps else None,
            next_report_seconds=60,
            stop=self._count == self._stop_at,
        )


class DatabaseReporter:
    """What the service answers, without the service."""

    def __init__(self, spec: protocol.JobSpec, index: int, attempt: int) -> None:
        self._jobs = jobs.Jobs(database.Database.open(spec.parameters["database"]))
        self._key = (spec.name, index, attempt)

    def report(self, progress: protocol.Progress) -> protocol.Allowance:
        figures = {"cost_micros": progress.cost_micros, "seconds": progress.seconds, "done": progress.done}
        grant = self._jobs.report(*self._key, figures, progress.next_slice_micros, exact=progress.exact)
        return protocol.Allowance(
            money_micros=grant.allowance_micros, next_report_seconds=0.5, stop=grant.stop, wait=grant.wait
        )


def reporter(spec: protocol.JobSpec, index: int, attempt: int) -> protocol.Reporter:
    if "database" in spec.parameters:
        return DatabaseReporter(spec, index, attempt)
    return ScriptedReporter(spec)


TASKS: dict[str, worker.Task] = {
    "annotation": Annotate(),
    "file": WriteFile(),
    "wait": Wait(),
    "train": Wait(),  # under the name of a kind that controllers know
    "deaf": Deaf(),
    "crash": Crash(),
    "refuse": Refuse(),
}

if __name__ == "__main__":
    if "--in-pod" in sys.argv:
        uri = sys.argv[1]
        sys.exit(supervisor.supervise(uri, lambda i, k: worker.main(uri, i, k, TASKS, reporter)))
    uri, _, index, _, attempt = sys.argv[1:]
    sys.exit(worker.main(uri, int(index), int(attempt), TASKS, reporter))

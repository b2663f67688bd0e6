"""`actuary work`: one process of a Job. Each service brings its tasks; here they are put together."""

from __future__ import annotations

import importlib.abc
import sys

from actuary import spans, tracing
from actuary.jobs import protocol, worker

SERVICES = {
    "import": "campaign",
    "report": "campaign",
    "annotation": "annotator",
    "critique": "critic",
    "risk": "sampler",
    "quote": "sampler",
    "plan": "sampler",
    "estimate": "sampler",
    "certificate": "sampler",
    "train": "trainer",
}
"""Which service knows the task of a kind of Job."""


class _Late:
    """A task whose service is imported when it runs: a worker that annotates loads no torch."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def run(self, context: worker.WorkContext) -> None:
        import importlib

        if self._kind in _ASK_FOR_PANDAS:
            sys.meta_path.remove(_WITHOUT_PANDAS)
        module = importlib.import_module(f"actuary.{SERVICES[self._kind]}.work")
        tasks: dict[str, worker.Task] = module.TASKS
        which = {"resource": context.spec.name, "index": context.index, "attempt": context.attempt}
        with tracing.span(f"work {self._kind}", **which):
            tasks[self._kind].run(context)


def _reporter(spec: protocol.JobSpec, index: int, attempt: int) -> protocol.Reporter:
    from actuary.rpc import reporter  # late: a Job that nobody asks about needs no gRPC

    return reporter.reporter(spec, index, attempt)


class _WithoutPandas(importlib.abc.MetaPathFinder):
    """Makes `import pandas` fail, as if it were not installed.

    pyarrow looks for pandas when it builds its first array. That costs every process 0.4 s where pandas is
    installed, and no task works with frames.
    """

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """Refuses pandas and leaves everything else to others."""
        if fullname == "pandas":
            raise ModuleNotFoundError("a worker does without pandas", name="pandas")


_WITHOUT_PANDAS = _WithoutPandas()
_ASK_FOR_PANDAS = frozenset({"train"})
"""Kinds whose libraries only ask, by `find_spec`, whether pandas is there: torch does."""


def work_in_pod(uri: str) -> int:
    """Does the index of this pod; returns the pod's exit code."""
    from actuary import logs
    from actuary.jobs import supervisor

    logs.configure(form="json")
    return supervisor.supervise(uri, lambda index, attempt: work(uri, index, attempt))


def work(uri: str, index: int, attempt: int) -> int:
    """Does one index of a Job; returns the exit code."""
    sys.meta_path.insert(0, _WITHOUT_PANDAS)
    tasks = {kind: _Late(kind) for kind in SERVICES}
    with spans.exporting("actuary-worker", _say):
        return worker.main(uri, index, attempt, tasks, _reporter)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")

"""The harness around a Job's process: it knows how to begin, to be stopped, to report and to end.

A process gets the URI of its description and an index. It reads the description, runs the task of that kind
and ends with a code that its runner understands (`protocol.EXIT_…`). SIGTERM asks it to stop; a standard
input that is a pipe and ends says that its parent is dead, and then it dies too.

What a task computes is a service's `work.py`; how items become tables is `chunks.py`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import signal
import stat
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from actuary import errors, failpoints, tracing
from actuary.jobs import protocol, receipts, reporting
from actuary.jobs import settings as job_settings
from actuary.storage import artifacts, location, objects, schemas, tables
from actuary.storage import settings as storage_settings

_LAST_WORDS_SECONDS = 5.0
"""How long a process whose parent died tries to say that nobody is to blame."""
_PERMANENT = (
    errors.InvalidInputError,
    errors.NotFoundError,
    errors.AlreadyExistsError,
    errors.PreconditionError,
    errors.RefusedError,
    errors.ExhaustedError,
    errors.DataLossError,
)
"""What would fail again, until somebody acts; a store that does not answer may be better next time."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_THERE = (errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WorkContext:
    """What a task works with."""

    spec: protocol.JobSpec
    index: int
    attempt: int
    store: objects.ObjectStore
    session: reporting.Session
    """The conversation with the service."""
    stop: threading.Event
    """Set when the process is to stop: finish or drop what is open and return."""
    scratch: Path
    """A folder of its own, gone afterwards."""
    settings: job_settings.JobsSettings
    last_words: list[Callable[[], None]] = dataclasses.field(default_factory=list)
    """Called when the process is about to be ended from outside; short, from any thread."""

    def progress(self, *, phase: str, done: int, total: int) -> None:
        """Says how far a task has come that is no table of outcomes."""
        self.session.tell(protocol.Progress(outcome_counts={"DONE": done}, item_count=total, phase=phase))

    @property
    def code_version(self) -> str:
        """Version of the code at work, for manifests."""
        return artifacts.code_version()

    def parents(self, uris: Sequence[str] | None = None) -> tuple[artifacts.Parent, ...]:
        """Artifacts with their digests, for a manifest; by default those that the Job reads."""
        return receipts.parents(self.store, self.spec.parents if uris is None else uris)

    def write_file(self, name: str, data: bytes | Path) -> tables.ObjectRef:
        """Writes an object of the artifact that is no table: a model, a report."""
        with failpoints.around("worker.file"):
            return tables.write_file(self.store, f"{self.spec.artifact}/{name}", data)

    def finish(
        self,
        *,
        counts: Mapping[str, int],
        parameters: Mapping[str, Any] | None = None,
        objects: Sequence[tables.ObjectRef] = (),
        table: str | None = None,
        cost_micros: int = 0,
    ) -> str:
        """Writes the manifest of a Job that one process does alone; returns its digest.

        Args:
            counts: rows by outcome, or whatever the stage counts.
            parameters: what was asked and what came of it, the same for the same work; the Job's if None.
            objects: what it wrote, in the order of the shards.
            table: name of the table that they are; None for files.
            cost_micros: what it cost.
        """
        return artifacts.write_manifest(
            self.store,
            artifacts.Manifest(
                uri=self.spec.artifact,
                table=table,
                version=0 if table is None else schemas.version_of(schemas.of(table)),
                objects=tuple(objects),
                parents=self.parents(),
                parameters=self.spec.parameters if parameters is None else parameters,
                code_version=self.code_version,
                counts=counts,
                cost_micros=cost_micros,
                shards=self.spec.shards,
            ),
        )


class Task(Protocol):
    """What the processes of one kind of Job do."""

    def run(self, context: WorkContext) -> None:
        """Works until it is done or `context.stop` is set. Whatever it writes may be there already."""
        ...


ReporterFactory = Callable[[protocol.JobSpec, int, int], protocol.Reporter]
"""Makes the reporter of (Job, index, attempt)."""


def unsupervised(spec: protocol.JobSpec, index: int, attempt: int) -> protocol.Reporter:
    """A reporter factory for Jobs that nobody asks about."""
    return protocol.Unsupervised()


def main(
    uri: str,
    index: int,
    attempt: int,
    tasks: Mapping[str, Task],
    reporter_factory: ReporterFactory = unsupervised,
    *,
    settings: job_settings.JobsSettings | None = None,
    storage: storage_settings.StorageSettings | None = None,
) -> int:
    """Does one index of a Job; returns the process's exit code. To be called in the main thread.

    Args:
        uri: of the Job's description.
        index: of this process, in [0, spec.indexes).
        attempt: grows with every start of the index.
        tasks: by kind.
        reporter_factory: connects to the Job's service.
        settings: of jobs; from the environment when not given.
        storage: of the object store, likewise.
    """
    stop = threading.Event()
    last_words: list[Callable[[], None]] = []
    # the default pool keeps what it once had; here a worker's memory is to stay that of its largest chunk
    pa.set_memory_pool(pa.system_memory_pool())
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    _watch_parent(last_words)
    try:
        spec, store = _described(uri, index, tasks, storage)
        if artifacts.exists(store, spec.artifact):
            return protocol.EXIT_DONE
        settings = settings or job_settings.JobsSettings()
        session = reporting.Session(reporter_factory(spec, index, attempt), stop, settings)
        with _scratch() as scratch, session:
            context = WorkContext(
                spec=spec,
                index=index,
                attempt=attempt,
                store=store,
                session=session,
                stop=stop,
                scratch=scratch,
                settings=settings,
                last_words=last_words,
            )
            tasks[spec.kind].run(context)
            session.check()
            if stop.is_set():
                return protocol.EXIT_DRAINED
    except errors.ActuaryError as error:
        return failed(error)
    except OSError as error:  # of the scratch folder: a store maps its own
        if error.errno in _FULL:
            where = error.filename or tempfile.gettempdir()
            return failed(
                errors.ExhaustedError(
                    f"no room to write {where}: {error.strerror}. Free space there, or set TMPDIR to a "
                    "folder that has some, then run the same command again: finished work is kept."
                )
            )
        if error.errno in _NOT_THERE and error.filename:
            message = f"{error.filename}: cannot be read or written: {error.strerror}"
            return failed(errors.InvalidInputError(message))
        traceback.print_exc()
        return 1
    except Exception:
        traceback.print_exc()
        return 1
    return protocol.EXIT_DONE


def failed(error: errors.ActuaryError) -> int:
    """Says why the process ends, for its runner to read; returns the exit code."""
    say_last(error.code, error.reason, error.message, error.metadata)
    return protocol.EXIT_PERMANENT if isinstance(error, _PERMANENT) else 1


def say_last(code: str, reason: str, message: str, metadata: Mapping[str, str]) -> None:
    """Leaves why the process ends as the last line of its log, where its runner finds it."""
    form: dict[str, Any] = {"code": code, "reason": reason, "message": message, "metadata": dict(metadata)}
    trace = tracing.current()
    if trace is not None:
        form["trace_id"] = trace.trace_id
    sys.stderr.write(json.dumps(form, ensure_ascii=False) + "\n")


def _described(
    uri: str, index: int, tasks: Mapping[str, Task], storage: storage_settings.StorageSettings | None
) -> tuple[protocol.JobSpec, objects.ObjectStore]:
    store_uri, key = protocol.split_uri(uri)
    store = location.open_store(store_uri, storage)
    spec = protocol.JobSpec.from_json(store.get(key))
    if not 0 <= index < spec.indexes:
        raise errors.InvalidInputError(f"--index: expected [0, {spec.indexes}), got {index}")
    if spec.kind not in tasks:
        known = ", ".join(sorted(tasks))
        raise errors.UnsupportedError(f"{spec.name}: no task of kind {spec.kind!r}; this build has {known}")
    return spec, store


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="actuary-work-") as folder:
        yield Path(folder)


def _watch_parent(last_words: Sequence[Callable[[], None]]) -> None:
    """Ends this process when standard input, if it is a pipe, ends: its other end is the parent's."""
    try:
        if not stat.S_ISFIFO(os.fstat(0).st_mode):
            return
    except OSError:  # closed: nobody to watch
        return

    def wait() -> None:
        while os.read(0, 4096):
            pass
        # nobody is to blame for this end; but a store that hangs must not keep the process alive
        speaker = threading.Thread(target=lambda: [word() for word in last_words], daemon=True)
        speaker.start()
        speaker.join(_LAST_WORDS_SECONDS)
        os._exit(protocol.EXIT_DRAINED)

    threading.Thread(target=wait, name="parent", daemon=True).start()

"""What a Job is to those who launch it, run it and wait for it: a description, a status, and a conversation.

A Job is `indexes` processes that get the URI of its description and an index, nothing else. While it runs a
process says what it has done (`Progress`) and hears what it may still spend (`Allowance`). How processes are
started is a `Runner`'s matter; what they compute is a `Task` of a service's `work.py`.

The module deliberately knows no service and no transport.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from typing import Any, Final, Literal, Protocol

from actuary import errors
from actuary.storage import objects

EXIT_DONE: Final = 0
EXIT_PERMANENT: Final = 3
"""It would fail again: no retry. The last line on standard error is the error as JSON."""
EXIT_DRAINED: Final = 75
"""Asked to stop before it was done (EX_TEMPFAIL): started again, not counted as a failure."""

OUT_OF_MEMORY: Final = "OUT_OF_MEMORY"
"""Reason of the error of a process that the kernel killed for want of memory."""

ATTEMPTS_A_LAUNCH: Final = 1_000_000
"""Attempts are numbered `launch * ATTEMPTS_A_LAUNCH + restart`, so that they grow over launches too."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """All that a Job's processes need to know; `job.json` in the object store."""

    name: str
    """Resource name."""
    kind: str
    """Which task: annotation, critique, import, plan, …"""
    campaign: str
    """Resource name of the campaign."""
    indexes: int
    """Number of processes in all, >= 1."""
    parallelism: int
    """Processes at once, >= 1."""
    artifact: str
    """URI of the artifact that the Job writes; its place to write."""
    store_uri: str
    """The object store of `artifact` and `parents`."""
    parents: tuple[str, ...] = ()
    """URIs of the artifacts that it reads."""
    reads: tuple[str, ...] = ()
    """Further prefixes of the store that it reads, each with its slash at the end."""
    writes: tuple[str, ...] = ()
    """Further prefixes of the store that it writes."""
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What the task is asked to do; JSON."""
    report_address: str | None = None
    """`host:port` of the WorkerService; None: nobody asks, nothing is capped."""
    chunk_items: int = 1024
    """Items a chunk, >= 1: seconds of work, and what a crash may cost."""
    shards: int = 1
    """Shards of the campaign's tables; index i works on those whose number is i modulo `indexes`."""
    item_count: int = 0
    """Items to do in all indexes together, for progress; 0 where unknown."""
    launch: int = 0
    """How often the Job was launched before and now: orders the attempts over restarts of a runner."""
    backoff_limit_per_index: int = 6
    """Crashes of one index in a row, with nothing done or learnt in between, before it counts as failed."""
    max_failed_indexes: int = 0
    """Failed indexes that the Job bears."""
    deadline_seconds: float | None = None
    """Seconds from its launch after which it is stopped as failed."""
    resources: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What a process needs (cpu, memory, gpu); for runners that place processes."""
    trace: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """The trace that its processes go on with (`tracing.Context.carrier`); a runner gives it to them in their
    environment."""

    def __post_init__(self) -> None:
        for field in ("indexes", "parallelism", "chunk_items", "shards"):
            if getattr(self, field) < 1:
                raise errors.InvalidInputError.of(
                    [errors.Violation(f"job.{field}", f"expected >= 1, got {getattr(self, field)}")]
                )

    @property
    def key(self) -> str:
        """Key of its description in the store.

        The name is unique in its campaign and a legal key: collections and ids have no odd characters.
        """
        collection, _, job_id = self.name.removeprefix(f"{self.campaign}/").rpartition("/")
        return f"{self.campaign}/jobs/{collection or self.kind}-{job_id}/job.json"

    @property
    def uri(self) -> str:
        """What a process is given: the store's URI and the key of the description."""
        return f"{self.store_uri}#{self.key}"

    def shards_of(self, index: int) -> range:
        """The shards that an index works on."""
        return range(index, self.shards, self.indexes)

    def to_json(self) -> bytes:
        """The description as canonical JSON."""
        return json.dumps(
            dataclasses.asdict(self),
            ensure_ascii=False,
            sort_keys=True,
            separators=(",", ":"),
            allow_nan=False,
        ).encode()

    @classmethod
    def from_json(cls, data: bytes) -> JobSpec:
        """Reads a description.

        Raises:
            errors.DataLossError: it is none.
        """
        try:
            fields = json.loads(data)
            lists = {name: tuple(fields.get(name, ())) for name in ("parents", "reads", "writes")}
            return cls(**{**fields, **lists})
        except (ValueError, TypeError, AttributeError) as error:
            raise errors.DataLossError(f"job.json: no description of a Job: {error!r}") from error


def write(store: objects.ObjectStore, spec: JobSpec) -> str:
    """Writes the description; returns the URI for the Job's processes. Twice is as good as once."""
    store.put(spec.key, spec.to_json())
    return spec.uri


def split_uri(uri: str) -> tuple[str, str]:
    """The store's URI and the key in the URI of a Job.

    >>> split_uri("file:///data#campaigns/c1/jobs/annotationJobs-a/job.json")
    ('file:///data', 'campaigns/c1/jobs/annotationJobs-a/job.json')
    """
    store_uri, separator, key = uri.rpartition("#")
    if not separator or not store_uri or not key:
        raise errors.InvalidInputError(f"expected a Job's URI, STORE#KEY; got {uri!r}")
    return store_uri, key


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What an index has done since its Job began, over all attempts, as durable chunks say."""

    outcome_counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Items by outcome."""
    tokens_in: int = 0
    tokens_out: int = 0
    cost_micros: int = 0
    retries: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Retried calls by reason, of this attempt."""
    seconds: float = 0.0
    """Seconds that this attempt has been at work."""
    cpu_seconds: float = 0.0
    """Seconds of processor time of this attempt, since its work began."""
    asked: int = 0
    """Items that this attempt has given to its model, whether or not an answer was kept."""
    next_slice_micros: int = 0
    """The most that work may cost that is under way or is to begin next."""
    done: bool = False
    """The index is done; nothing more will be spent."""
    phase: str = ""
    """What is being done, in a word."""
    item_count: int = 0
    """Items to do, where the process knows."""
    failure: str = ""
    """Why one item failed, with its id; of this attempt."""
    exact: bool = False
    """The process begins nothing beyond `next_slice_micros` before it has the answer, so that whatever it was
    allowed beyond that may be dealt to others."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """The answer to a report."""

    money_micros: int | None = None
    """What the index may have spent in all; None: no cap."""
    next_report_seconds: float = 10.0
    """When to report again."""
    stop: bool = False
    """Whether to stop: the Job was cancelled, or a later attempt is at work."""
    wait: bool = False
    """Whether others of the Job hold money that they may not need: what does not fit now may fit soon."""


class Reporter(Protocol):
    """A process's way to its service, made for one (job, index, attempt)."""

    def report(self, progress: Progress) -> Allowance:
        """Reports and hears the answer.

        Raises:
            errors.UnavailableError: nobody answers; the last allowance stays good.
        """
        ...


class Unsupervised:
    """The reporter of a Job that nobody asks about: no cap, no stop."""

    def report(self, progress: Progress) -> Allowance:
        """Allows everything."""
        return Allowance()


State = Literal["running", "succeeded", "failed"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class IndexFailure:
    """Why an index failed for good."""

    index: int
    attempt: int
    exit_code: int | None
    """Negative: the signal that ended it, as `subprocess` counts; None: it never ran."""
    reason: str
    """In words, for people."""
    log_tail: str
    """The last lines it wrote on standard error."""
    error: Mapping[str, Any] | None = None
    """The error that the process itself gave for a permanent failure: code, reason, message, metadata."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """What a runner knows about a Job."""

    state: State
    indexes_succeeded: int
    indexes_running: int
    failed: tuple[IndexFailure, ...] = ()
    restarts: int = 0
    """Starts beyond the first of each index."""
    waiting: str = ""
    """Why it does not get on, in words, where its processes cannot be placed or started."""


class Runner(Protocol):
    """Starts the processes of Jobs and keeps them going."""

    def launch(self, spec: JobSpec, uri: str) -> None:
        """Starts a Job; one that it knows already is left alone."""
        ...

    def status(self, name: str) -> RunStatus | None:
        """What became of it; None: unknown here, launch it (again)."""
        ...

    def cancel(self, name: str) -> None:
        """Stops it: SIGTERM, after a grace SIGKILL. Unknown or ended Jobs are left alone."""
        ...

    def retain(self, names: Collection[str], kinds: Collection[str]) -> None:
        """Stops and forgets the Jobs of some kinds that are not named: they ended, or are another's now."""
        ...

    def leave(self, kinds: Collection[str]) -> None:
        """Another controller acts on the Jobs of some kinds now: stops those that it would start again."""
        ...

    def close(self) -> None:
        """Ends the runner, and with it whatever only it keeps going."""
        ...

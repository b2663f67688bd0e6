"""Places where a test can make the process die, before and after every durable write.

`ACTUARY_FAILPOINT=worker.chunk.before` kills the process with SIGKILL when it gets there, as a power cut or
an out-of-memory kill would; `worker.chunk.before:3` when it gets there for the third time. Several, with
commas between them, make a campaign die again and again. With `ACTUARY_FAILPOINT_MARK=/some/file` each does
so once in all processes together: they count in `/some/file.worker.chunk.before`, a byte a time. Without the
variable a failpoint costs one comparison.

The names form a closed set, so that a test can visit every one of them.
"""

from __future__ import annotations

import collections
import contextlib
import os
import signal
from collections.abc import Iterator

WRITES: tuple[str, ...] = (
    "campaign.create",  # the campaign's row
    "campaign.update",  # state, stage and wave of a campaign
    "purse.open",
    "purse.reserve",
    "purse.settle",
    "purse.raise",  # a top-up
    "job.create",  # a Job's row
    "job.update",  # state and progress of a Job
    "job.spec",  # job.json in the store
    "job.launch",  # processes or a Kubernetes Job
    "manifest",  # makes an artifact exist
    "worker.suspects",  # who was at work when a worker died
    "worker.chunk",
    "worker.receipt",  # makes the shard count as done
    "worker.cleanup",  # chunks of a compacted shard are deleted
    "worker.file",  # a file that is no table: a model, a report
    "table.items",  # a shard of each table
    "table.truth",
    "table.exemplars",
    "table.annotations",
    "table.critiques",
    "table.risks",
    "table.plan",
    "table.answers",
    "table.resolved",
    "table.weights",
    "table.export",
    "import.image",  # an image too large for its row
    "lease",  # who may act
    "review.batch",  # a batch and its tasks
    "review.acquire",
    "review.submit",
    "review.segment",  # answers flushed to the store
    "review.close",
    "review.resume",  # a batch that failed or was cancelled is taken up again
)
"""Every durable write by the name of what is written."""

NAMES: tuple[str, ...] = tuple(f"{write}.{side}" for write in WRITES for side in ("before", "after"))


def _read(text: str) -> dict[str, int]:
    """Reads the variable: name to the time at which to die, from 1."""
    armed: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        name, _, time = part.partition(":")
        if name not in NAMES or (time and not (time.isdecimal() and int(time) >= 1)):
            raise ValueError(
                f"ACTUARY_FAILPOINT: expected one of {', '.join(NAMES)}, with `:2` for its second time; "
                f"got {part!r}"
            )
        armed[name] = int(time or 1)
    return armed


_armed = _read(os.environ.get("ACTUARY_FAILPOINT", ""))
_mark = os.environ.get("ACTUARY_FAILPOINT_MARK", "")
_times: collections.Counter[str] = collections.Counter()


def _hit(name: str) -> None:
    if name not in _armed:
        return
    if _mark:
        # an append is atomic, so each comer of all processes learns its own number
        file = os.open(f"{_mark}.{name}", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        os.write(file, b".")
        time = os.lseek(file, 0, os.SEEK_CUR)
        os.close(file)
    else:
        _times[name] += 1
        time = _times[name]
    if time == _armed[name]:
        os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def around(write: str) -> Iterator[None]:
    """Surrounds one durable write with its two failpoints.

    Raises:
        ValueError: `write` is not in `WRITES`; the set is closed so that no failpoint escapes its test.
    """
    if write not in WRITES:
        raise ValueError(f"unknown failpoint {write!r}: add it to failpoints.WRITES")
    _hit(f"{write}.before")
    yield
    _hit(f"{write}.after")

"""What happens to a batch by itself: answers are flushed, played reviewers answer, the batch closes.

One step at a time, under a lease in the database, so that any number of replicas may run; a step that dies
is simply made again. The controller has no thread of its own: the service calls `step_all` in a loop.
"""

from __future__ import annotations

import time

from actuary import errors, metrics
from actuary.review import desk as desks
from actuary.review import replay
from actuary.state import figures, leases, reviews

_TOTALS = (metrics.ANSWERS, metrics.HUMAN_SECONDS, metrics.DOUBLES)


class Controller:
    """Steps every unfinished batch."""

    def __init__(self, desk: desks.Desk, held: leases.Leases, holder: str) -> None:
        self._desk = desk
        self._leases = held
        self._holder = holder
        self._replays: dict[str, replay.Replay] = {}
        self._queues: dict[str, tuple[int, int]] = {}
        self._held: dict[str, float] = {}
        """When the lease of a batch is renewed, on a monotonic clock."""

    def step_all(self) -> bool:
        """One step for each batch that this controller gets the lease of; whether anything happened.

        Raises:
            UnavailableError: The store or the database does not answer; try again later.
        """
        acted = False
        self._queues.clear()
        records = self._desk.unfinished()
        for record in records:
            if self._leads(record.name):
                acted = self.step(record.name) or acted
        names = {record.name for record in records}
        self._held = {name: until for name, until in self._held.items() if name in names}
        return acted

    def figures(self, kept: figures.Figures) -> dict[metrics.Key, float]:
        """What is to be shown of reviews: the queue as the last step found it, and all totals."""
        zeros = {key: zero for figure in _TOTALS for key, zero in figure.zeros().items()}
        queues = list(self._queues.values())
        return {
            **zeros,
            **kept.read([figure.name for figure in _TOTALS]),
            metrics.QUEUE_TASKS.key(state="open"): sum(waiting for waiting, _ in queues),
            metrics.QUEUE_TASKS.key(state="held"): sum(held for _, held in queues),
        }

    def _leads(self, name: str) -> bool:
        """Whether this controller acts on a batch; its lease is renewed when half of it is over."""
        now, seconds = time.monotonic(), self._desk.settings.controller_seconds
        if now < self._held.get(name, 0.0):
            return True
        if self._leases.acquire(f"review/{name}", self._holder, seconds) is None:
            return False
        self._held[name] = now + seconds / 2
        return True

    def step(self, name: str) -> bool:
        """One step of one batch: read, decide, act; whether anything happened.

        An error that retrying cannot mend ends the batch as FAILED with its message.
        """
        try:
            return self._step(self._desk.progress(name))
        except (errors.UnavailableError, errors.ExhaustedError, errors.ConflictError):
            raise
        except errors.ActuaryError as error:
            self._desk.fail(name, error)
            return True
        finally:
            if self._desk.get(name).state in reviews.FINAL:
                self._replays.pop(name, None)

    def _step(self, progress: desks.Progress) -> bool:
        record = progress.record
        if record.state in reviews.FINAL:
            return False
        self._queues[record.name] = (progress.open_tasks, progress.held_tasks)
        if record.stop:
            self._desk.finish(record.name)
            return True
        if progress.complete:
            self._desk.close(record.name)
            return True
        if record.spec["mode"] == "replay":
            if record.name not in self._replays:
                self._replays[record.name] = replay.Replay(self._desk, record.name)
            if not self._replays[record.name].play():
                # Nobody who may answer is left; a hold of a reviewer who died would have been taken up again.
                self._desk.close(record.name)
            self._desk.flush(record.name)
            return True
        return self._desk.flush(record.name) > 0

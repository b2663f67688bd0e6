"""The threads in which controllers step: one a service, under a lease, so that of many replicas one acts.

The lease is renewed by a thread of its own: a step may take longer than a lease (a slow store, a busy
machine), and if another replica took over meanwhile, both would start the same workers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

import structlog

from actuary import errors, exposition, metrics
from actuary.state import leases

_log = structlog.get_logger("actuary.loop")

_FIGURES_SECONDS = 1.0
"""Between two looks at the figures; nobody scrapes more often."""
_LONGEST = 10
"""The longest pause, in intervals: a server that only waits for people costs next to nothing."""
LEASE_SECONDS = 10.0
"""A stopped controller's work is taken over after so long; renewed at a third of it."""


class Loop:
    """Calls `step` again and again while it holds the lease."""

    def __init__(
        self,
        name: str,
        step: Callable[[], bool],
        *,
        figures: Callable[[], Mapping[metrics.Key, float]] = dict,
        stand_down: Callable[[], None] = lambda: None,
        table: leases.Leases,
        holder: str,
        interval_seconds: float = 0.2,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        """Nothing runs before `start`.

        Args:
            name: of the lease, `controllers/annotator` for example.
            step: what is done again and again; returns whether something goes on. When nothing does, the
                pauses become longer.
            figures: what is to be shown on the metrics page while this process leads.
            stand_down: called when somebody else has got the lease and does the work.
            table: the leases.
            holder: this process.
            interval_seconds: between two steps while something goes on.
            lease_seconds: length of the lease.
        """
        self.name = name
        self._step = step
        self._figures = figures
        self._shown = 0.0
        """When figures were shown last, on a monotonic clock."""
        self._stand_down = stand_down
        self._table = table
        self._holder = holder
        self._interval = interval_seconds
        self._lease_seconds = lease_seconds
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._ended = threading.Event()
        """The last step has ended, and nobody here needs the lease any more."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._keeper = threading.Thread(target=self._keep, name=f"{name} lease", daemon=True)
        self._lease: leases.Lease | None = None
        self._taken = threading.Event()
        """Somebody else has got the lease that was held here."""
        self._held_until = 0.0
        self._led = False

    def start(self) -> None:
        """Starts the threads."""
        metrics.LEADER.labels(loop=self.name.rsplit("/", 1)[-1]).set(0)
        self._keeper.start()
        self._thread.start()

    def wake(self) -> None:
        """Makes the next step happen now."""
        self._wake.set()

    def stop(self, timeout_seconds: float = 30.0) -> None:
        """Lets the step that runs end, then gives the lease back; the lease is kept until then."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
        if self._ended.is_set():
            self._keeper.join(timeout_seconds)

    @property
    def leading(self) -> bool:
        """Whether this process holds the lease, by its own clock."""
        return time.monotonic() < self._held_until

    def _run(self) -> None:
        pause = self._interval
        while not self._stop.is_set():
            if self._taken.is_set():
                self._taken.clear()
                self._stand_down()
            if self.leading:
                pause = min(2 * pause, _LONGEST * self._interval)
                try:
                    if self._step():
                        pause = self._interval
                    self._show()
                except errors.ConflictError as error:
                    _log.warning("step put off", loop=self.name, reason=error.reason, message=error.message)
                except errors.ActuaryError as error:  # a full disk, a database that is gone: it may come back
                    _log.error("step put off", loop=self.name, reason=error.reason, message=error.message)
                except Exception:
                    # a fault in one step must not end the service: it is logged whole, and the next step may
                    # do better
                    _log.exception("step failed", loop=self.name)
            else:
                exposition.BOARD.clear(self.name)  # whoever leads shows what is true now
            if self._wake.wait(pause if self.leading else self._lease_seconds / 3):
                pause = self._interval
            self._wake.clear()
        exposition.BOARD.clear(self.name)
        self._ended.set()

    def _show(self) -> None:
        now = time.monotonic()
        if now - self._shown >= _FIGURES_SECONDS:
            exposition.BOARD.show(self.name, self._figures())
            self._shown = now

    def _keep(self) -> None:
        """Takes the lease when it is free and renews it until the last step has ended."""
        while True:
            asked = time.monotonic()
            try:
                held = self._lease is not None
                self._lease = self._table.acquire(self.name, self._holder, self._lease_seconds)
                self._held_until = asked + self._lease_seconds if self._lease is not None else 0.0
                if held and self._lease is None:
                    self._taken.set()
            except errors.ActuaryError as error:
                _log.warning("lease not renewed", lease=self.name, message=error.message)
            except Exception:
                _log.exception("lease not renewed", lease=self.name)
            if self.leading != self._led:
                self._led = not self._led
                metrics.LEADER.labels(loop=self.name.rsplit("/", 1)[-1]).set(self._led)
                _log.info("lease", lease=self.name, leading=self._led)
                self._wake.set()
            if self._ended.wait(self._lease_seconds / 3):
                break
        if self._lease is not None:
            try:
                self._table.release(self._lease)
            except errors.ActuaryError as error:
                _log.warning("lease not given back", lease=self.name, message=error.message)

"""The threads in which controllers step: one a service, under a lease, so that of many replicas one acts.

The lease is renewed by a thread of its own: a step may take longer than a lease (a slow store, a busy
machine), and if another replica took over meanwhile, both would start the same workers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from actuary import errors
from actuary.state import leases

_log = structlog.get_logger("actuary.loop")

LEASE_SECONDS = 10.0
"""A stopped controller's work is taken over after so long; renewed at a third of it."""


class Loop:
    """Calls `step` again and again while it holds the lease."""

    def __init__(
        self,
        name: str,
        step: Callable[[], None],
        *,
        table: leases.Leases,
        holder: str,
        interval_seconds: float = 0.2,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        """`name` names the lease, `controllers/annotator` for example; `holder` this process."""
        self.name = name
        self._step = step
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
        self._held_until = 0.0
        self._led = False

    def start(self) -> None:
        """Starts the threads."""
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
        while not self._stop.is_set():
            if self.leading:
                try:
                    self._step()
                except errors.ConflictError as error:
                    _log.warning("step put off", loop=self.name, reason=error.reason, message=error.message)
                except errors.ActuaryError as error:  # a full disk, a database that is gone: it may come back
                    _log.error("step put off", loop=self.name, reason=error.reason, message=error.message)
                except Exception:
                    # a fault in one step must not end the service: it is logged whole, and the next step may
                    # do better
                    _log.exception("step failed", loop=self.name)
            self._wake.wait(self._interval if self.leading else self._lease_seconds / 3)
            self._wake.clear()
        self._ended.set()

    def _keep(self) -> None:
        """Takes the lease when it is free and renews it until the last step has ended."""
        while True:
            asked = time.monotonic()
            try:
                self._lease = self._table.acquire(self.name, self._holder, self._lease_seconds)
                self._held_until = asked + self._lease_seconds if self._lease is not None else 0.0
            except errors.ActuaryError as error:
                _log.warning("lease not renewed", lease=self.name, message=error.message)
            except Exception:
                _log.exception("lease not renewed", lease=self.name)
            if self.leading != self._led:
                self._led = not self._led
                _log.info("lease", lease=self.name, leading=self._led)
                self._wake.set()
            if self._ended.wait(self._lease_seconds / 3):
                break
        if self._lease is not None:
            try:
                self._table.release(self._lease)
            except errors.ActuaryError as error:
                _log.warning("lease not given back", lease=self.name, message=error.message)

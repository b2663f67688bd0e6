"""Says that services cannot do their work while the database does not answer.

Health of a service by its name is about its work: a cluster sends it no calls while it is NOT_SERVING.
Health of the whole server, by the empty name, is about the process: it stays SERVING, since a process is not
mended by being started again while a database is away.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from actuary import errors

_SECONDS = 2.0
"""Between two looks."""
_MISSES = 2
"""Looks in a row without an answer before it is said: one may be a connection that was just cut."""
_log = structlog.get_logger("actuary.readiness")


class Readiness:
    """Looks again and again; used as a context manager.

    Args:
        look: raises an ActuaryError while the work cannot be done.
        say: is told whether it can, when that changes.
        seconds: between two looks.
    """

    def __init__(
        self, look: Callable[[], None], say: Callable[[bool], None], seconds: float = _SECONDS
    ) -> None:
        self._look = look
        self._say = say
        self._seconds = seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="readiness", daemon=True)

    def __enter__(self) -> Readiness:
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        # not waited for: a look may hang as long as a connection takes to fail
        self._stop.set()

    def _run(self) -> None:
        misses, said = 0, True
        while not self._stop.wait(self._seconds):
            problem = self._problem()
            misses = misses + 1 if problem else 0
            ready = misses < _MISSES if said else misses == 0
            if ready == said or self._stop.is_set():
                continue
            said = ready
            if ready:
                _log.info("ready again")
            else:
                _log.error("not ready", problem=problem)
            self._say(ready)

    def _problem(self) -> str:
        try:
            self._look()
        except errors.ActuaryError as error:
            return error.message
        return ""

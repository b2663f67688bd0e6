"""How an asynchronous piece of work ends early: at once without blame, soon without what it had begun.

A thread looks at the event that signal handlers and reports set, since neither may touch an event loop. It
deliberately stops nothing that ends by itself in time.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable

_LOOK_SECONDS = 0.05
"""How long a drain may go unnoticed."""


class Drain:
    """While it is entered: a process that is to stop blames nobody at once, and gives up after a while."""

    def __init__(self, stop: threading.Event, release: Callable[[], None], seconds: float) -> None:
        self._stop = stop
        self._release = release
        self._seconds = seconds
        self._ended = threading.Event()

    def __enter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._thread = threading.Thread(target=self._watch, name="drain", daemon=True)
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        self._ended.set()
        self._thread.join()
        return kind is asyncio.CancelledError and self._stop.is_set()

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            if self._ended.is_set():
                return
        self._release()
        if not self._ended.wait(self._seconds):
            # the loop may end at this moment: then there is nothing left to give up
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._task.cancel)

"""Streams and the threads that they hold: how many there may be, and how they end.

grpcio serves a stream on a thread from its first answer to its last, so that enough watchers would leave none
for calls. Streams therefore have a pool of their own, with a thread for each that a `Gate` lets in and a few
that refuse the rest at once; calls neither lose their threads nor run on more of them than they were given.

A handler that waits does so with `wait`, which ends at once when the caller goes away, time is up or the
server stops; a thread that sleeps instead is held for nothing.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc

from actuary import errors, metrics


class Gate:
    """Lets so many streams in, and tells them all when the server stops."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._ends: set[threading.Event] = set()
        self._closed = False

    @property
    def count(self) -> int:
        """Streams that are served now."""
        return len(self._ends)

    def check(self) -> None:
        """Raises UnavailableError once the server is stopping."""
        if self._closed:
            raise stopping()

    @contextlib.contextmanager
    def enter(self, end: threading.Event) -> Iterator[None]:
        """Holds one place; `end` is set when the server stops.

        Raises:
            errors.ExhaustedError: all places are taken.
            errors.UnavailableError: the server is stopping.
        """
        with self._lock:
            if self._closed:
                raise stopping()
            if len(self._ends) >= self._limit:
                raise errors.ExhaustedError(
                    f"this server serves at most {self._limit} streams at once, and that many are open: "
                    "close one, try again later, or poll with Get; ACTUARY_RPC_MAX_WATCHERS raises the limit",
                    reason="TOO_MANY_WATCHERS",
                    metadata={"limit": str(self._limit)},
                )
            self._ends.add(end)
            metrics.WATCHERS.set(len(self._ends))
        try:
            yield
        finally:
            with self._lock:
                self._ends.discard(end)
                metrics.WATCHERS.set(len(self._ends))

    def close(self) -> None:
        """Lets nobody in any more and tells those inside to end."""
        with self._lock:
            self._closed = True
            for end in self._ends:
                end.set()


def stopping() -> errors.UnavailableError:
    """The error that ends the streams of a stopping server."""
    return errors.UnavailableError("the server is stopping: call again to go on", reason="STOPPING")


class Context:
    """The context of a stream's handler: grpcio's own, but no longer active once the stream is to end."""

    def __init__(self, inner: grpc.ServicerContext, end: threading.Event, deadline: float) -> None:
        self._inner = inner
        self._end = end
        self._deadline = deadline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def is_active(self) -> bool:
        """Whether it is worth going on."""
        return not self._end.is_set() and self.expired() is False and self._inner.is_active()

    def expired(self) -> bool:
        """Whether its time is up."""
        return time.monotonic() >= self._deadline

    def wait(self, seconds: float) -> bool:
        """Waits; false when the stream is to end before the time is over."""
        left = self._deadline - time.monotonic()
        if self._end.wait(min(seconds, max(left, 0.0))):
            return False
        return seconds < left


def wait(context: grpc.ServicerContext, seconds: float) -> bool:
    """Waits within the handler of a stream; returns whether to go on.

    Args:
        context: what the handler was given.
        seconds: how long at most.
    """
    if isinstance(context, Context):
        return context.wait(seconds)
    # called without this package's server: only the caller's going away ends it
    end = threading.Event()
    return bool(context.add_callback(end.set)) and not end.wait(seconds)

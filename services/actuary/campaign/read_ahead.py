"""Reads a source in a thread, a few batches ahead of who uses them: parsing releases Python's lock."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Iterator

from actuary.campaign import findings, sources

BATCHES = 4


def batches(
    source: sources.Source, found: findings.Findings, phases: dict[str, float]
) -> Iterator[sources.Batch]:
    """The batches of a source, read in a thread a few ahead; its errors are raised here.

    Args:
        source: what to read.
        found: told about what cannot be read.
        phases: busy seconds of reading are added to its `read`.
    """
    ready: queue.Queue[sources.Batch | BaseException | None] = queue.Queue(BATCHES)
    stop = threading.Event()

    def offer(value: sources.Batch | BaseException | None) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(value, timeout=0.1)
                return

    def read() -> None:
        try:
            start = time.perf_counter()
            for batch in source.batches(found):
                phases["read"] += time.perf_counter() - start
                offer(batch)
                if stop.is_set():
                    return
                start = time.perf_counter()
            phases["read"] += time.perf_counter() - start
            offer(None)
        except BaseException as error:
            offer(error)

    thread = threading.Thread(target=read, name="import-reader", daemon=True)
    thread.start()
    try:
        while (value := ready.get()) is not None:
            if isinstance(value, BaseException):
                raise value
            yield value
    finally:
        stop.set()
        thread.join()

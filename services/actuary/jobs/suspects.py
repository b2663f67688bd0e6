"""Who was at work when a worker died, so that an item that kills its worker costs itself and nothing else.

A worker keeps one small object with the chunks that it has open. Whoever starts the index next and finds
chunks in it knows that they died with their worker and does them carefully: a part at a time, about as many
parts as a part has items, with the part named in the object; a part that dies as well is done item by item;
an item under whose name two attempts died is passed over. So n items take at most two square roots of n
writes more, and an item is blamed only when it was alone at work. An attempt counts once however often it is
seen, and a worker that is told to stop leaves a clean object.

    <artifact>/.work/suspects/index-00002.json

It deliberately knows neither rows nor models: items are positions in their chunk.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import threading
from typing import Any

from actuary import failpoints
from actuary.storage import objects

LIMIT = 2
"""Attempts that an item may kill before it is passed over."""

ChunkId = tuple[int, int]
"""(shard, number of the chunk)"""
Part = tuple[int, int]
"""Items start to stop of a chunk."""


def key_of(artifact: str, index: int) -> str:
    """The key of the record of an index."""
    return f"{artifact}/.work/suspects/index-{index:05d}.json"


def cases(store: objects.ObjectStore, artifact: str, index: int) -> str:
    """What is known about the chunks that died with their worker, in a form that can be compared."""
    key = key_of(artifact, index)
    return "" if store.stat(key) is None else json.dumps(json.loads(store.get(key))["cases"])


@dataclasses.dataclass(slots=True, kw_only=True)
class _Case:
    """What is known about one chunk that died with its worker."""

    parts: list[Part] = dataclasses.field(default_factory=list)
    """Parts that died too: done item by item."""
    deaths: dict[int, list[str]] = dataclasses.field(default_factory=dict)
    """Attempts that died with this item alone at work."""


class Suspects:
    """The record of one index; made at the start of an attempt, when it judges how the last one ended.

    Args:
        store: the Job's store.
        artifact: URI of the artifact in progress.
        index: of the process.
        attempt: names the attempt over all Jobs that write this artifact.
    """

    def __init__(self, store: objects.ObjectStore, artifact: str, index: int, attempt: str) -> None:
        self._store = store
        self._key = key_of(artifact, index)
        self._attempt = attempt
        self._lock = threading.Lock()
        self._open: list[ChunkId] = []
        self._part: Part | None = None
        self._released = False
        self._cases: dict[ChunkId, _Case] = {}
        self._judge()

    def suspected(self, chunk: ChunkId) -> bool:
        """Whether a chunk died with its worker and is to be done in `parts`, alone."""
        return chunk in self._cases

    def parts(self, chunk: ChunkId, items: int) -> list[Part]:
        """How to do a chunk of which the first `items` items are to be done."""
        case = self._cases.get(chunk)
        return _split(items, [] if case is None else case.parts)

    def blamed(self, chunk: ChunkId) -> frozenset[int]:
        """Items of a chunk that are passed over."""
        case = self._cases.get(chunk)
        if case is None:
            return frozenset()
        return frozenset(item for item, attempts in case.deaths.items() if len(attempts) >= LIMIT)

    def open(self, chunk: ChunkId, part: Part | None = None) -> None:
        """Says that a chunk, or one part of the only open one, is at work from now."""
        with self._lock:
            if chunk not in self._open:
                self._open.append(chunk)
            self._part = part
            if not self._released:
                self._write()

    def close(self, chunk: ChunkId) -> None:
        """Says that a chunk is written. Becomes durable with the next `open` or `release`."""
        with self._lock:
            if chunk in self._open:
                self._open.remove(chunk)
            self._part = None
            self._cases.pop(chunk, None)

    def release(self) -> None:
        """Says that whatever ends this process from now on is nobody's fault."""
        with self._lock:
            if not self._released:
                self._released = True
                self._write()

    def _judge(self) -> None:
        if self._store.stat(self._key) is None:
            return
        record = json.loads(self._store.get(self._key))
        for case in record["cases"]:
            self._cases[case["shard"], case["chunk"]] = _Case(
                parts=[(start, stop) for start, stop in case["parts"]],
                deaths={int(item): attempts for item, attempts in case["deaths"].items()},
            )
        chunks: list[ChunkId] = [(shard, number) for shard, number in record["open"]]
        for chunk in chunks:
            case = self._cases.setdefault(chunk, _Case())
            if record["part"] is None:
                continue
            start, stop = record["part"]
            if stop - start == 1:
                seen = case.deaths.setdefault(start, [])
                if record["attempt"] not in seen:
                    seen.append(record["attempt"])
            if (start, stop) not in case.parts:
                case.parts.append((start, stop))
        if chunks:
            self._write()

    def _write(self) -> None:
        record: dict[str, Any] = {
            "attempt": self._attempt,
            "open": [] if self._released else self._open,
            "part": None if self._released else self._part,
            "cases": [
                {
                    "shard": chunk[0],
                    "chunk": chunk[1],
                    "parts": case.parts,
                    "deaths": {str(item): attempts for item, attempts in case.deaths.items()},
                }
                for chunk, case in self._cases.items()
            ],
        }
        with failpoints.around("worker.suspects"):
            self._store.put(self._key, json.dumps(record, sort_keys=True).encode())


def _split(items: int, closely: list[Part]) -> list[Part]:
    """Cuts 0 to `items` into parts, those that `closely` names into single items.

    Cuts are at multiples of about the square root of `items`, and around each item that `closely` names.

    >>> _split(10, [(4, 6)])
    [(0, 4), (4, 5), (5, 6), (6, 8), (8, 10)]
    """
    single = {item for start, stop in closely for item in range(start, stop)}
    size = math.isqrt(max(items - 1, 0)) + 1
    cuts = {0, items, *range(0, items, size)}
    for item in single:
        cuts |= {item, item + 1}
    edges = sorted(cut for cut in cuts if 0 <= cut <= items)
    return list(itertools.pairwise(edges))

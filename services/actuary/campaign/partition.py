"""Sorts rows into shards without holding a data set in memory.

Rows are collected into pieces of some megabytes, each ordered by shard as soon as it is full. When the pieces
pass a limit they are spilled to an Arrow IPC file with one record batch a shard, which is mapped and not
read: taking a shard later touches only its own bytes. What fits below the limit never leaves memory.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

MEMORY_BYTES = 256 << 20
"""Rows held in memory before they are spilled."""
_PIECE_BYTES = 8 << 20
"""Rows ordered at a time: few enough for a cache, enough that a shard is not in thousands of slices."""


class Partition:
    """Rows by shard. Threads may add; they may take once `finish` was called.

    Args:
        shards: number of shards.
        scratch: an existing folder for spilled rows; whoever made it removes it.
        memory_bytes: rows held before a spill.
    """

    def __init__(self, shards: int, scratch: Path, *, memory_bytes: int = MEMORY_BYTES) -> None:
        self._shards = shards
        self._scratch = scratch
        self._limit = memory_bytes
        self._lock = threading.Lock()
        self._loose: list[tuple[pa.RecordBatch, npt.NDArray[np.int64]]] = []
        self._pieces: list[_Piece] = []
        self._held = 0
        self._spilled: list[_Spilled] = []

    @property
    def spilled(self) -> int:
        """Files written to the scratch folder."""
        return len(self._spilled)

    def add(self, batch: pa.RecordBatch, numbers: npt.NDArray[np.int64]) -> None:
        """Adds rows, all with the same columns, with the shard of each."""
        with self._lock:
            self._loose.append((batch, numbers))
            if sum(b.nbytes for b, _ in self._loose) > min(_PIECE_BYTES, self._limit):
                self._order()

    def finish(self) -> None:
        """Orders what is left; no rows may be added after."""
        with self._lock:
            if self._loose:
                self._order()

    def rows(self, shard: int) -> pa.Table | None:
        """All rows of a shard, sorted by id; None when it has none."""
        sources: list[_Spilled | _Piece] = [*self._spilled, *self._pieces]
        batches = [b for source in sources if (b := source.rows(shard)) is not None]
        if not batches:
            return None
        batch = batches[0] if len(batches) == 1 else pa.concat_batches(batches)
        return pa.Table.from_batches([batch.take(pc.sort_indices(batch.column("item_id")))])

    def _order(self) -> None:
        """Makes a piece of the loose batches, and a file of the pieces when they are too much to hold."""
        batch = pa.concat_batches([b for b, _ in self._loose])
        narrow = np.concatenate([n for _, n in self._loose]).astype(np.uint16)  # NumPy sorts 16 bits by radix
        self._loose = []
        order = np.argsort(narrow, kind="stable")
        bounds = np.searchsorted(narrow[order], np.arange(self._shards + 1))
        self._pieces.append(_Piece(batch=batch.take(pa.array(order)), bounds=bounds))
        self._held += batch.nbytes
        if self._held > self._limit:
            path = self._scratch / f"run-{len(self._spilled):05d}.arrow"
            self._spilled.append(_spill(self._pieces, self._shards, path))
            self._pieces, self._held = [], 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """Rows in memory, ordered by shard; those of shard s are batch[bounds[s]:bounds[s + 1]]."""

    batch: pa.RecordBatch
    bounds: npt.NDArray[np.int64]

    def rows(self, shard: int) -> pa.RecordBatch | None:
        first, after = int(self.bounds[shard]), int(self.bounds[shard + 1])
        return self.batch.slice(first, after - first) if after > first else None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Spilled:
    """Rows in a mapped file; `index` gives the record batch of each shard that has rows."""

    path: Path
    index: dict[int, int]

    def rows(self, shard: int) -> pa.RecordBatch | None:
        if shard not in self.index:
            return None
        with pa.memory_map(str(self.path)) as source, pa.ipc.open_file(source) as reader:
            return reader.get_batch(self.index[shard])


def _spill(pieces: Sequence[_Piece], shards: int, path: Path) -> _Spilled:
    index: dict[int, int] = {}
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, pieces[0].batch.schema) as writer:
        for shard in range(shards):
            slices = [b for piece in pieces if (b := piece.rows(shard)) is not None]
            if slices:
                index[shard] = len(index)
                writer.write_batch(pa.concat_batches(slices))
    return _Spilled(path=path, index=index)

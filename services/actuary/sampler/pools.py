"""A pool as chunks: the columns of the risks artifact that a selection needs, a batch of rows at a time.

`frames` loads a pool whole; this is for pools that fit no memory. A place names a row by its shard and its
row there, so the order of places is that of a frame, and `stats.streams` breaks its last ties as `planning`
does. The module deliberately decides nothing: chunks go to `stats`, and places that come back become ids.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from actuary import errors
from actuary.sampler import frames
from actuary.storage import artifacts, objects, tables

CHUNK_ROWS = 2**16
"""Rows a chunk: its numbers, and what is made of them, stay in a processor's cache."""

_ROW_BITS = 32
"""Of a place; above them stands the shard."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """n items that have a risk."""

    risk: frames.Floats
    """Risk of the frozen label, [n]."""
    u: frames.Floats
    """The items' own permanent random numbers, [n]."""
    place: frames.Longs | int
    """Where each item stands, [n]; or the first one's place, where the others follow it one by one."""
    ids: pa.Array | None
    """Item ids, [n], where they were asked for: numbers of another key (ties, an audit) are made of them."""


def chunks(store: objects.ObjectStore, manifest: artifacts.Manifest, *, ids: bool = False) -> Iterator[Chunk]:
    """Reads the risks artifact once, leaving out items without a label, which have no risk.

    Raises:
        errors.InvalidInputError: it is another table.
        errors.DataLossError: a shard is damaged.
    """
    if manifest.table != "risks":
        raise errors.InvalidInputError(f"{manifest.uri}: expected a table of risks, got {manifest.table}")
    columns = ["risk", "u", "item_id"] if ids else ["risk", "u"]
    for ref in manifest.objects:
        first = (ref.shard or 0) << _ROW_BITS
        with tables.open_shard(store, ref, columns, table=manifest.table) as reader:
            for batch in reader.batches(CHUNK_ROWS):
                yield _chunk(batch, first)
                first += batch.num_rows


def _chunk(batch: pa.RecordBatch, first: int) -> Chunk:
    risk = batch.column("risk")
    place: frames.Longs | int = first
    if risk.null_count:
        place = first + np.flatnonzero(risk.is_valid().to_numpy(zero_copy_only=False))
        batch = batch.filter(risk.is_valid())
    return Chunk(
        risk=batch.column("risk").to_numpy(),
        u=batch.column("u").to_numpy(),
        place=place,
        ids=batch.column("item_id") if "item_id" in batch.schema.names else None,
    )


def ids_at(store: objects.ObjectStore, manifest: artifacts.Manifest, places: frames.Longs) -> pa.Array:
    """Returns the ids of the items at some places, in rising order of place.

    Raises:
        errors.DataLossError: a shard is damaged, or has no such row.
    """
    found: list[pa.Array] = [pa.array([], pa.string())]
    shard = places >> _ROW_BITS
    for ref in manifest.objects:
        rows = np.sort(places[shard == (ref.shard or 0)] & (2**_ROW_BITS - 1))
        if not rows.size:
            continue
        if ref.rows is not None and int(rows[-1]) >= ref.rows:
            raise errors.DataLossError(f"{ref.key}: expected a row {int(rows[-1])}, it has {ref.rows}")
        with tables.open_shard(store, ref, ["item_id"], table=manifest.table) as reader:
            found.append(reader.read()["item_id"].take(pa.array(rows)).combine_chunks())
    return pa.concat_arrays(found)

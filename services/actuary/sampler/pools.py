"""A pool as chunks: the columns of the risks artifact that a selection needs, a batch of rows at a time.

`frames` loads a pool whole; this is for pools that fit no memory. A place names a row by its shard and its
row there, so the order of places is that of a frame, and `stats.streams` breaks its last ties as a sort in
memory does. The module deliberately decides nothing: chunks go to `stats`, and places that come back become
rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actuary import errors
from actuary.sampler import frames
from actuary.stats import orders
from actuary.storage import artifacts, objects, schemas, tables

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

    def outside(self, out: frames.Longs) -> Chunk:
        """Returns the items whose places are not among some others, which rise."""
        rows = orders.outside(self.place, self.risk.size, out)
        if rows.size == self.risk.size:
            return self
        return Chunk(
            risk=self.risk[rows],
            u=self.u[rows],
            place=self.place + rows if isinstance(self.place, int) else self.place[rows],
            ids=None if self.ids is None else self.ids.take(pa.array(rows)),
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """D items of a pool, in the order of their places."""

    place: frames.Longs
    """[D]."""
    ids: pa.Array
    """[D]."""
    shard: frames.Longs
    """[D]."""
    u: frames.Floats
    """Their own permanent random numbers, [D]."""
    risk: frames.Floats
    """Of the frozen label, [D]; NaN without one."""
    label: pa.Array
    """Names of the frozen labels, [D]; null without one."""


class Pool(Protocol):
    """A pool that can be read again and again; always the same."""

    def chunks(self, *, ids: bool = False) -> Iterator[Chunk]:
        """The items that have a risk, once."""
        ...

    def pick(self, place: frames.Longs) -> Picked:
        """The items at some places, which rise; with or without a risk."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The pool of a risks artifact."""

    store: objects.ObjectStore
    manifest: artifacts.Manifest

    def chunks(self, *, ids: bool = False) -> Iterator[Chunk]:
        """See `Pool`; raises as `chunks`."""
        return chunks(self.store, self.manifest, ids=ids)

    def places(self, at: frames.Longs) -> frames.Longs:
        """Returns the places of the rows at some positions of the whole table, as `frames.sharded` reads it.

        Raises:
            errors.DataLossError: a shard does not say how many rows it has.
        """
        counts = [ref.rows for ref in self.manifest.objects]
        if None in counts:
            raise errors.DataLossError(
                f"{self.manifest.uri}: expected the rows of every shard, got none of one"
            )
        first = np.concatenate([[0], np.cumsum(np.array(counts, dtype=np.int64))])
        which = np.searchsorted(first, at, side="right") - 1
        shards = np.array([ref.shard or 0 for ref in self.manifest.objects], dtype=np.int64)
        place: frames.Longs = (shards[which] << _ROW_BITS) + at - first[which]
        return place

    def pick(self, place: frames.Longs) -> Picked:
        """See `Pool`.

        Raises:
            errors.DataLossError: a shard is damaged, or has no such row.
        """
        rows = _rows_at(self.store, self.manifest, place, ["item_id", "u", "risk", "label"])
        risk = pc.fill_null(rows["risk"].combine_chunks(), np.nan)
        return Picked(
            place=place,
            ids=rows["item_id"].combine_chunks(),
            shard=place >> _ROW_BITS,
            u=rows["u"].to_numpy(),
            risk=np.asarray(risk.to_numpy(zero_copy_only=False), dtype=np.float64),
            label=rows["label"].combine_chunks(),
        )


def places(shard: int, rows: int) -> frames.Longs:
    """Returns the places of the first rows of a shard."""
    return (shard << _ROW_BITS) + np.arange(rows, dtype=np.int64)


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


def ids_at(store: objects.ObjectStore, manifest: artifacts.Manifest, place: frames.Longs) -> pa.Array:
    """Returns the ids of the items at some places, in rising order of place.

    Raises:
        errors.DataLossError: a shard is damaged, or has no such row.
    """
    return _rows_at(store, manifest, place, ["item_id"])["item_id"].combine_chunks()


def _rows_at(
    store: objects.ObjectStore, manifest: artifacts.Manifest, place: frames.Longs, columns: Sequence[str]
) -> pa.Table:
    place = np.sort(place)
    found = []
    for ref in sorted(manifest.objects, key=lambda each: each.shard or 0):
        first = (ref.shard or 0) << _ROW_BITS
        rows = place[slice(*np.searchsorted(place, [first, first + (1 << _ROW_BITS)]))] - first
        if not rows.size:
            continue
        if ref.rows is not None and int(rows[-1]) >= ref.rows:
            raise errors.DataLossError(f"{ref.key}: expected a row {int(rows[-1])}, it has {ref.rows}")
        with tables.open_shard(store, ref, columns, table=manifest.table) as reader:
            found.append(reader.read().take(pa.array(rows)).replace_schema_metadata(None))
    if not found:
        schema = schemas.project(schemas.of("risks"), list(columns))
        found.append(schema.empty_table().replace_schema_metadata(None))
    return pa.concat_tables(found)

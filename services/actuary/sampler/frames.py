"""A campaign's pool as columns of numbers, joined by item id inside each shard.

What rules, draws and estimates need of an item are a dozen numbers, so a million items are some tens of
megabytes; texts and images stay where they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from actuary import errors
from actuary.stats import keyed_hash, orders, prn
from actuary.storage import artifacts, objects, tables

Floats = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """N items of the pool, in the order of shards and ids. K classes."""

    ids: pa.Array
    """Item ids, [N]."""
    shard: Longs
    """Shard of each item, [N]."""
    u: Floats
    """Permanent random numbers in (0, 1), [N]."""
    outcome: pa.Array
    """Outcome of the annotation, [N]; null where there is none."""
    label: Longs
    """Machine label as an index into the classes, [N]; -1 without one."""
    confidence: Floats
    """The annotator's confidence, [N]; NaN where none was given."""
    probabilities: Floats
    """The annotator's class probabilities, [N, K]; rows of NaN where none were given."""
    scores: Mapping[str, Floats]
    """The scores of each critic by its id, [N]; NaN where it gave none."""
    length: Floats | None = None
    """Characters of text and question, [N]; None where nobody asked for them."""
    embedding: npt.NDArray[np.float32] | None = None
    """What is known of each item as numbers, [N, p]; rows of NaN where there are none; None without any."""

    @property
    def size(self) -> int:
        """N."""
        return len(self.u)

    @property
    def labelled(self) -> Bools:
        """Which items have a machine label, [N]."""
        return self.label >= 0


def load(
    store: objects.ObjectStore,
    *,
    items: str,
    annotations: Sequence[str],
    critiques: Sequence[str],
    classes: Sequence[str],
    keep: pa.Array | None = None,
    features: bool = False,
) -> Frame:
    """Reads the pool; with `keep`, only the items of these ids; with `features`, lengths and embeddings.

    Raises:
        errors.DataLossError: a shard is damaged, or a label is none of the classes.
    """
    pieces = shards(
        store,
        items=items,
        annotations=annotations,
        critiques=critiques,
        classes=classes,
        keep=keep,
        features=features,
    )
    return _joined(list(pieces), len(classes))


def shards(
    store: objects.ObjectStore,
    *,
    items: str,
    annotations: Sequence[str],
    critiques: Sequence[str],
    classes: Sequence[str],
    keep: pa.Array | None = None,
    features: bool = False,
) -> Iterator[Frame]:
    """Reads the pool as `load` does, a frame for each shard that has items of it.

    Raises:
        errors.DataLossError: as `load`.
    """
    manifest = artifacts.read_manifest(store, items)[0]
    annotated = [artifacts.read_manifest(store, uri)[0] for uri in annotations]
    critiqued = [artifacts.read_manifest(store, uri)[0] for uri in critiques]
    for shard in range(manifest.shards):
        looked = ["text", "question", "embedding"] if features else []
        table = tables.read_shard(store, manifest, shard, ["item_id", "split", "u", *looked])
        table = table.filter(pc.equal(table["split"], "pool"))
        if keep is not None:
            table = table.filter(pc.is_in(table["item_id"], value_set=keep))
        if table.num_rows == 0:
            continue
        ids = table["item_id"].combine_chunks()
        frame = _blank(ids, shard, table["u"].to_numpy(), len(classes))
        if features:
            embedding = _embeddings(table["embedding"])
            frame = dataclasses.replace(frame, length=_characters(table), embedding=embedding)
        if annotated:
            columns = ["item_id", "outcome", "label", "confidence", "probabilities"]
            frame = _annotated(frame, tables.read_shard(store, annotated, shard, columns), classes)
        if critiqued:
            columns = ["item_id", "critic_id", "raw_score"]
            frame = _critiqued(frame, tables.read_shard(store, critiqued, shard, columns))
        yield frame


def sharded(store: objects.ObjectStore, manifest: artifacts.Manifest) -> pa.Table:
    """Reads a whole table with one column more: `shard`, of every row."""
    pieces = list(by_shard(store, manifest))
    if not pieces:
        raise errors.DataLossError(f"{manifest.uri}: expected at least one shard, got none")
    return pa.concat_tables(pieces)


def by_shard(store: objects.ObjectStore, manifest: artifacts.Manifest) -> Iterator[pa.Table]:
    """Reads a table as `sharded` does, a shard at a time."""
    for ref in manifest.objects:
        with tables.open_shard(store, ref, table=manifest.table) as reader:
            piece = reader.read()
        number = pa.array(np.full(piece.num_rows, ref.shard, dtype=np.int64))
        yield piece.replace_schema_metadata(None).append_column("shard", number)


def frozen(
    store: objects.ObjectStore, manifest: artifacts.Manifest, classes: Sequence[str]
) -> tuple[pa.Array, Longs]:
    """Reads ids and frozen labels of a whole risks artifact, in the order of `sharded`.

    Returns:
        Ids, [N], and labels as indexes into the classes, [N]; -1 without one.
    """
    pieces = []
    for ref in manifest.objects:
        with tables.open_shard(store, ref, ["item_id", "label"], table=manifest.table) as reader:
            pieces.append(reader.read().replace_schema_metadata(None))
    if not pieces:
        raise errors.DataLossError(f"{manifest.uri}: expected at least one shard, got none")
    rows = pa.concat_tables(pieces)
    return rows["item_id"].combine_chunks(), indices(pa.array(classes, pa.string()), rows["label"])


def indices(ids: pa.Array, of: pa.Array | pa.ChunkedArray) -> Longs:
    """Returns where each of `of` stands in `ids`; -1 where it does not."""
    flat = of.combine_chunks() if isinstance(of, pa.ChunkedArray) else of
    at = pc.fill_null(pc.index_in(flat, value_set=ids), -1)
    return np.asarray(at.to_numpy(zero_copy_only=False), dtype=np.int64)


def hashed(ids: pa.Array, key: bytes) -> Floats:
    """Returns the permanent random numbers of ids, as `prn.uniform` does, [N]; duplicates are not looked for.

    Ids come as bytes from Arrow's buffers, without a string of Python each.
    """
    found = keyed_hash.digests(ids.cast(pa.binary()).to_pylist(), key)
    return prn.numbers(found)[1]


def made(ids: pa.Array, key: bytes) -> orders.Made:
    """Returns the permanent random numbers of ids as numbers that are made where they are looked at, [N]."""
    return orders.Made(lambda rows: hashed(ids.take(pa.array(rows)), key))


def _blank(ids: pa.Array, shard: int, u: Floats, classes: int) -> Frame:
    size = len(ids)
    return Frame(
        ids=ids,
        shard=np.full(size, shard, dtype=np.int64),
        u=u,
        outcome=pa.nulls(size, pa.string()),
        label=np.full(size, -1, dtype=np.int64),
        confidence=np.full(size, np.nan),
        probabilities=np.full((size, classes), np.nan),
        scores={},
    )


def _annotated(frame: Frame, table: pa.Table, classes: Sequence[str]) -> Frame:
    at = indices(table["item_id"].combine_chunks(), frame.ids)
    # an item without a row takes null everywhere
    rows = table.take(pa.array(np.where(at < 0, 0, at), mask=at < 0)) if table.num_rows else None
    if rows is None:
        return frame
    names = rows["label"].combine_chunks()
    label = indices(pa.array(classes, pa.string()), names)
    strange = pc.and_(pc.is_valid(names), pa.array(label < 0))
    if pc.any(strange).as_py():
        first = names.filter(strange)[0].as_py()
        raise errors.DataLossError(f"annotations hold the label {first!r}, which is none of {list(classes)}")
    return dataclasses.replace(
        frame,
        outcome=rows["outcome"].combine_chunks(),
        label=label,
        confidence=_numbers(rows["confidence"]),
        probabilities=completed(matrix(rows["probabilities"], len(classes))),
    )


def _critiqued(frame: Frame, table: pa.Table) -> Frame:
    scores = {}
    for critic in sorted(pc.unique(table["critic_id"]).to_pylist()):
        own = table.filter(pc.equal(table["critic_id"], critic))
        at = indices(own["item_id"].combine_chunks(), frame.ids)
        rows = own.take(pa.array(np.where(at < 0, 0, at), mask=at < 0))
        scores[critic] = _numbers(rows["raw_score"])
    return dataclasses.replace(frame, scores=scores)


def _characters(table: pa.Table) -> Floats:
    parts = [pc.fill_null(pc.utf8_length(table[name]), 0) for name in ("text", "question")]
    return _numbers(pc.add(*parts))


def _numbers(column: pa.ChunkedArray) -> Floats:
    filled = pc.fill_null(column.combine_chunks().cast(pa.float64()), np.nan)
    return np.asarray(filled.to_numpy(zero_copy_only=False), dtype=np.float64)


def _embeddings(column: pa.ChunkedArray) -> npt.NDArray[np.float32] | None:
    lengths = pc.list_value_length(column).drop_null()
    return matrix(column, lengths[0].as_py(), np.float32) if len(lengths) else None


def matrix(column: pa.ChunkedArray, width: int, kind: npt.DTypeLike = np.float64) -> npt.NDArray[Any]:
    """Turns lists of `width` numbers into rows; rows of NaN where a list is null."""
    flat = column.combine_chunks()
    out = np.full((len(flat), width), np.nan, dtype=kind)
    valid = pc.is_valid(flat).to_numpy(zero_copy_only=False)
    if valid.any():
        kept = flat.filter(pa.array(valid))
        values = kept.flatten().to_numpy(zero_copy_only=False)
        if len(values) == width * len(kept):
            out[valid] = values.reshape(len(kept), width)
    return out


def completed(rows: Floats) -> Floats:
    """Spreads what rows of probabilities lack to 1 evenly over their zeros, [N, K]; rows of NaN stay.

    With many classes an annotation keeps the largest probabilities only.

    >>> completed(np.array([[0.5, 0.3, 0.0, 0.0]])).tolist()
    [[0.5, 0.3, 0.1, 0.1]]
    """
    missing = 1.0 - rows.sum(axis=1)
    zeros = (rows == 0.0).sum(axis=1)
    spread = (missing > 1e-6) & (zeros > 0)
    share = np.where(spread, missing / np.maximum(zeros, 1), 0.0)
    return np.where((rows == 0.0) & spread[:, None], share[:, None], rows)


def _joined(pieces: Sequence[Frame], classes: int) -> Frame:
    if not pieces:
        return _blank(pa.array([], pa.string()), 0, np.empty(0), classes)
    found = [piece.length for piece in pieces if piece.length is not None]
    return Frame(
        ids=pa.chunked_array([piece.ids for piece in pieces]).combine_chunks(),
        shard=np.concatenate([piece.shard for piece in pieces]),
        u=np.concatenate([piece.u for piece in pieces]),
        outcome=pa.chunked_array([piece.outcome.cast(pa.string()) for piece in pieces]).combine_chunks(),
        label=np.concatenate([piece.label for piece in pieces]),
        confidence=np.concatenate([piece.confidence for piece in pieces]),
        probabilities=np.concatenate([piece.probabilities for piece in pieces]),
        scores={
            critic: np.concatenate([p.scores.get(critic, np.full(p.size, np.nan)) for p in pieces])
            for critic in sorted({critic for piece in pieces for critic in piece.scores})
        },
        length=np.concatenate(found) if found else None,
        embedding=_stacked(pieces),
    )


def _stacked(pieces: Sequence[Frame]) -> npt.NDArray[np.float32] | None:
    widths = [piece.embedding.shape[1] for piece in pieces if piece.embedding is not None]
    if not widths:
        return None
    return np.concatenate(
        [
            np.full((piece.size, widths[0]), np.nan, np.float32)
            if piece.embedding is None
            else piece.embedding
            for piece in pieces
        ]
    )

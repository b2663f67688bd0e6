"""The objects of work in progress: chunks, each with its totals, and the shards that they become.

    <artifact>/.work/chunks/00007/000003.parquet      its totals in the schema's metadata
    <artifact>/shard-00007.parquet                    a row group a chunk

A chunk is written only if absent. When two attempts of an index are at work at once, the first chunk stays
and both compact the same bytes. It deliberately does not decide what is written when: the pipeline does.
"""

from __future__ import annotations

import dataclasses
import io
import json

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actuary import errors, failpoints
from actuary.jobs import receipts
from actuary.storage import objects, schemas, tables

_TOTALS = b"actuary.totals"


class Pieces:
    """Chunks and shards of one artifact.

    Args:
        store: where they are.
        artifact: its URI.
        schema: of its table.
    """

    def __init__(self, store: objects.ObjectStore, artifact: str, schema: pa.Schema) -> None:
        self._store = store
        self._artifact = artifact
        self._schema = schema

    def found(self, shard: int) -> dict[int, receipts.Totals]:
        """The durable chunks of a shard by their number."""
        found = {}
        for info in self._store.list(self._prefix(shard)):
            number = int(info.key.rpartition("/")[2].removesuffix(".parquet"))
            found[number] = self._totals_of(info.key)
        return found

    def write_chunk(self, shard: int, number: int, table: pa.Table) -> receipts.Totals:
        """Makes a chunk durable; returns the totals of what stands, its own or another attempt's."""
        totals = _sum(table)
        key = self._key(shard, number)
        with failpoints.around("worker.chunk"):
            written = self._store.put(key, _encode(table, totals), if_absent=True)
        if written:
            return totals
        try:
            return self._totals_of(key)
        except errors.NotFoundError:  # the other attempt has compacted and deleted it since
            return totals

    def write_shard(self, shard: int, chunks: int) -> tables.ObjectRef:
        """Compacts the chunks of a shard.

        Raises:
            errors.NotFoundError: a chunk is gone, as when another attempt has compacted them.
        """
        key = tables.shard_key(self._artifact, shard)
        with tables.ShardWriter(self._store, key, self._schema, shard=shard) as writer:
            for number in range(chunks):
                # one call: a chunk is small, and looking for its footer first would make three
                data = self._store.get(self._key(shard, number))
                table = pq.ParquetFile(pa.BufferReader(data)).read()
                writer.write(table.cast(self._schema))
        return writer.ref

    def clean(self, shard: int, chunks: int | None = None) -> None:
        """Deletes the chunks of a shard that is done: the first `chunks`, which spares a listing, or all."""
        if chunks is None:
            keys = [info.key for info in self._store.list(self._prefix(shard))]
        else:
            keys = [self._key(shard, number) for number in range(chunks)]
        if keys:
            with failpoints.around("worker.cleanup"):
                for key in keys:
                    self._store.delete(key)

    def _prefix(self, shard: int) -> str:
        return prefix_of(self._artifact, shard)

    def _key(self, shard: int, number: int) -> str:
        return f"{self._prefix(shard)}{number:06d}.parquet"

    def _totals_of(self, key: str) -> receipts.Totals:
        with self._store.open(key) as stream:
            metadata = pq.ParquetFile(stream).schema_arrow.metadata or {}
        return receipts.Totals(**json.loads(metadata[_TOTALS]))


def prefix_of(artifact: str, shard: int) -> str:
    """The beginning of the keys of a shard's chunks."""
    return f"{artifact}/.work/chunks/{shard:05d}/"


def _sum(table: pa.Table) -> receipts.Totals:
    counts = {each["values"]: each["counts"] for each in pc.value_counts(table.column("outcome")).to_pylist()}
    return receipts.Totals(
        counts=dict(sorted(counts.items())),
        cost_micros=pc.sum(table.column("cost_micros")).as_py(),
        tokens_in=pc.sum(table.column("tokens_in")).as_py(),
        tokens_out=pc.sum(table.column("tokens_out")).as_py(),
    )


def _encode(table: pa.Table, totals: receipts.Totals) -> bytes:
    metadata = {**table.schema.metadata, _TOTALS: json.dumps(dataclasses.asdict(totals)).encode()}
    buffer = io.BytesIO()
    pq.write_table(
        table.replace_schema_metadata(metadata),
        buffer,
        compression="lz4",
        write_statistics=False,
        use_dictionary=[name for name in table.column_names if name in schemas.REPEATED],
    )
    return buffer.getvalue()

"""What the sampler's tasks read and write alike."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from actuary.jobs import worker
from actuary.sampler import risking
from actuary.storage import artifacts, tables


def write_shards(
    context: worker.WorkContext, uri: str, table: pa.Table, schema: pa.Schema
) -> tuple[tables.ObjectRef, ...]:
    """Writes a table that is sorted by its column `shard`, one object a shard that has rows."""
    shard = table["shard"].to_numpy()
    rows = table.select(schema.names)
    refs = []
    for number in np.unique(shard):
        first, last = np.searchsorted(shard, [number, number + 1])
        key = tables.shard_key(uri, int(number))
        refs.append(
            tables.write_table(context.store, key, rows.slice(first, last - first), schema, shard=int(number))
        )
    return tuple(refs)


def read_model(context: worker.WorkContext, uri: str) -> risking.Model:
    """Reads the artifact of a risk model."""
    manifest = artifacts.read_manifest(context.store, uri)[0]
    return risking.Model.from_json(tables.read_file(context.store, manifest.objects[0]))

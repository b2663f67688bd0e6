"""The slices of a pool, read from its items: which part of the data each item belongs to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actuary.sampler import covering, frames
from actuary.storage import artifacts, objects, tables


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Slices:
    """Slices of N items."""

    names: tuple[str, ...]
    """In their order; some may have no item to label."""
    of: frames.Longs
    """Index into the names, [N]; -1 for an item that is in none."""


def read(store: objects.ObjectStore, uri: str, ids: pa.Array) -> Slices | None:
    """Reads the slices of some items.

    Args:
        store: where they are.
        uri: the items artifact.
        ids: of the items, [N], all of the artifact.

    Returns:
        In the order of `ids`; None for a data set without slices.

    Raises:
        errors.DataLossError: a shard is damaged.
    """
    manifest = artifacts.read_manifest(store, uri)[0]
    names = tuple(manifest.parameters.get("slices", ()))
    if not names:
        return None
    index = pa.array(names, pa.string())
    items, of = [pa.array([], pa.string())], [np.empty(0, dtype=np.int64)]
    for shard in range(manifest.shards):
        rows = tables.read_shard(store, manifest, shard, ["item_id", "slice"])
        rows = rows.filter(pc.is_valid(rows["slice"]))
        items.append(rows["item_id"].combine_chunks())
        of.append(frames.indices(index, rows["slice"]))
    at = frames.indices(pa.concat_arrays(items), ids)
    found = np.concatenate([*of, np.array([-1])])  # the last for items that are in none
    return Slices(names=names, of=found[at])


def minima(
    store: objects.ObjectStore, plan: Mapping[str, Any], ids: pa.Array, final: frames.Longs
) -> list[covering.Minimum]:
    """The minima of slices and classes that a plan is asked for.

    Args:
        store: where the items are.
        plan: the message `Plan` in JSON form.
        ids: of the pool, [N].
        final: the frozen label of each, index into the classes, [N]; -1 without one.
    """
    sampling = plan.get("sampling", {})
    of_slices, of_classes = (int(sampling.get(f"{name}_minimum", 0)) for name in covering.STRATA)
    found = []
    if of_slices and (named := read(store, plan["items"], ids)):
        minimum = covering.Minimum(stratum="slice", items=of_slices, of=named.of, parts=len(named.names))
        found.append(minimum)
    if of_classes:
        parts = len(plan["classes"])
        found.append(covering.Minimum(stratum="class", items=of_classes, of=final, parts=parts))
    return found

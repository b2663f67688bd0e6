"""Gold tasks: exemplars, whose answer is known, mixed among a batch's tasks.

Nobody can tell them apart. They show how often each reviewer errs. They are rows of the serving order and of
nothing else: no plan has them, no label comes of them, and what people say of them stays in the ledger of
answers.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actuary.stats import prn
from actuary.storage import artifacts, objects, tables

STRATUM = "gold"
"""In the serving order, where other rows have the stratum of their plan."""


def labels(store: objects.ObjectStore, uri: str) -> dict[str, str]:
    """The known label of every exemplar.

    Raises:
        NotFoundError: there are none.
        DataLossError: a digest is wrong.
    """
    manifest, _ = artifacts.read_manifest(store, uri)
    rows = tables.read_shard(store, manifest, 0, ["item_id", "label"])
    return dict(zip(rows["item_id"].to_pylist(), rows["label"].to_pylist(), strict=True))


def chosen(ids: list[str], seed: int, offset: int, count: int) -> list[str]:
    """The exemplars of a batch: the next ones in an order by hash, so that no wave asks one again.

    Args:
        ids: of all exemplars.
        seed: of the campaign.
        offset: how many of the order earlier batches have asked.
        count: how many this one asks, fewer where there are no more.
    """
    u = prn.uniform(ids, prn.derive_key(prn.project_key(seed), "gold"))
    return [ids[i] for i in np.argsort(u, kind="stable")[offset : offset + count]]


def mixed(order: pa.Table, ids: list[str], seed: int, *, shows_label: bool = False) -> pa.Table:
    """Puts gold tasks among the rows of a serving order, evenly and not quite regularly.

    Each gets the look of a row beside it: blind, one label wanted, the same price.

    Args:
        order: rows in serving order, [D], with a column `shard`.
        ids: exemplars, [G].
        seed: of the campaign.
        shows_label: whether rows that are not blind show the machine's label: gold tasks, which have none,
            then go among the others.

    Returns:
        [D + G] in serving order.
    """
    among = int(pc.sum(order["blind"]).as_py() or 0) if shows_label else order.num_rows
    if not ids or not among:
        return order
    jitter = prn.uniform(ids, prn.derive_key(prn.project_key(seed), "gold/place"))
    place = (np.arange(len(ids)) + jitter) / len(ids) * among
    like = order.take(pa.array(np.minimum(place.astype(np.int64), among - 1)))
    columns = {
        "item_id": pa.array(ids, pa.string()),
        "stratum": pa.array([STRATUM] * len(ids), pa.string()),
        "blind": pa.array([True] * len(ids), pa.bool_()),
        "labels_wanted": pa.array([1] * len(ids), pa.int32()),
        "label": pa.nulls(len(ids), pa.string()),
        "shard": pa.array([0] * len(ids), pa.int32()),
    }
    rows = pa.table({name: columns.get(name, like[name]) for name in order.column_names})
    both = pa.concat_tables([order, rows.cast(order.schema)])
    keys = np.concatenate([np.arange(order.num_rows) + 0.5, place])
    return both.take(pa.array(np.argsort(keys, kind="stable"))).combine_chunks()


def is_gold(order: pa.Table) -> pa.ChunkedArray:
    """Which rows of a serving order are gold tasks."""
    return pc.equal(order["stratum"], STRATUM)

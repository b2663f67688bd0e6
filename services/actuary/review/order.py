"""The serving order of a batch: the rows of its plan, in the order that keeps every prefix a valid sample.

It is computed from the plan alone, and from the exemplars where there are gold tasks, so that any process
finds the same positions again. It holds the selected rows of one wave in memory, some 100 bytes each: they
are items that people label, not the items of the campaign.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from actuary import errors
from actuary.review import batch, gold, policy
from actuary.storage import artifacts, objects, schemas, tables

COLUMNS = ("item_id", "wave", "stratum", "rank", "blind", "labels_wanted", "label", "cost_micros")


def of_batch(store: objects.ObjectStore, spec: batch.BatchSpec) -> pa.Table:
    """The serving order of a batch: the rows of its plan, gold tasks among them.

    Raises:
        NotFoundError: There is no such plan, or there are no exemplars for gold tasks.
        DataLossError: As `read`.
    """
    rows = read(store, spec.plan, spec.wave)
    if not spec.gold:
        return rows
    known = sorted(gold.labels(store, spec.exemplars))
    asked = gold.chosen(known, spec.seed, spec.gold_offset, spec.gold)
    return gold.mixed(rows, asked, spec.seed, shows_label=spec.show_machine_label)


def read(store: objects.ObjectStore, plan: str, wave: int) -> pa.Table:
    """The plan's rows of a wave with their shard, position = row number.

    Raises:
        NotFoundError: There is no such plan.
        DataLossError: A stratum that is unknown, an item that occurs twice, or a digest that is wrong.
    """
    manifest, _ = artifacts.read_manifest(store, plan)
    if manifest.table != "plan":
        raise errors.InvalidInputError(f"{plan}: expected a plan, got {manifest.table or 'no table'}")
    empty = schemas.project(schemas.PLAN, COLUMNS).remove_metadata().empty_table()
    pieces = [empty.append_column("shard", pa.array([], pa.int32()))]
    for shard in sorted({ref.shard for ref in manifest.objects if ref.shard is not None}):
        rows = tables.read_shard(store, manifest, shard, COLUMNS)
        rows = rows.filter(pc.equal(rows["wave"], wave))
        shards = pa.array([shard] * rows.num_rows, pa.int32())
        pieces.append(rows.replace_schema_metadata(None).append_column("shard", shards))
    order = sort(pa.concat_tables(pieces), where=plan)
    if pc.count_distinct(order["item_id"]).as_py() != order.num_rows:
        raise errors.DataLossError(f"{plan}: an item occurs twice in wave {wave}")
    return order


def sort(rows: pa.Table, *, where: str = "plan") -> pa.Table:
    """The rows by tier of their stratum, then rank, then id.

    Raises:
        DataLossError: A stratum that is unknown.
    """
    strata = rows["stratum"].combine_chunks().dictionary_encode()
    unknown = sorted(set(strata.dictionary.to_pylist()) - set(policy.TIERS))
    if unknown:
        raise errors.DataLossError(
            f"{where}: expected strata {', '.join(policy.TIERS)}; got {', '.join(unknown)}"
        )
    tiers = pa.array([policy.TIERS[name] for name in strata.dictionary.to_pylist()], pa.int8())
    keyed = rows.append_column(
        "tier", tiers.take(strata.indices) if rows.num_rows else pa.array([], pa.int8())
    )
    keys = [("tier", "ascending"), ("rank", "ascending"), ("item_id", "ascending")]
    return keyed.sort_by(keys).drop_columns(["tier"]).combine_chunks()

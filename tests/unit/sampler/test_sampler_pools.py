"""A pool read as chunks selects what a pool in memory selects."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from actuary import errors
from actuary.sampler import frames, planning, pools
from actuary.stats import draws, orders, prn, rules, streams
from actuary.storage import artifacts, folder, schemas, tables

KEY = prn.project_key(3)


@pytest.fixture
def stored(tmp_path) -> tuple[folder.FolderStore, artifacts.Manifest]:
    """Three of four shards, with twenty distinct risks; some items have no label."""
    store = folder.FolderStore(tmp_path)
    rng = np.random.default_rng(1)
    refs = []
    for shard, size in ((0, 700), (2, 1), (3, 800)):
        ids = [f"item-{shard}-{row:04d}" for row in range(size)]
        gone = rng.random(size) < (0.1 if shard else 0.0)
        risk = rng.choice(np.linspace(0.05, 1.0, 20), size)
        rows = [
            {
                "item_id": item, "machine_label": None if lost else "a", "label": None if lost else "a",
                "flipped": False, "risk": None if lost else value, "machine_risk": None if lost else value,
                "probabilities": None, "fold": 0, "u": number, "outcome": "FAILED" if lost else "OK",
            }
            for item, lost, value, number in zip(ids, gone, risk, prn.uniform(ids, KEY), strict=True)
        ]  # fmt: skip
        content = pa.Table.from_pylist(rows, schema=schemas.RISKS)
        key = tables.shard_key("risks", shard)
        refs.append(tables.write_table(store, key, content, schemas.RISKS, shard=shard))
    manifest = artifacts.Manifest(
        uri="risks", table="risks", version=1, objects=tuple(refs), code_version="test", shards=4
    )
    return store, manifest


def in_memory(
    store: folder.FolderStore, manifest: artifacts.Manifest
) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    table = frames.sharded(store, manifest)
    table = table.filter(table["risk"].is_valid())
    return table["item_id"].combine_chunks(), table["risk"].to_numpy(), table["u"].to_numpy()


@pytest.mark.parametrize("rows", [1, 64, 10_000])
def test_the_threshold_of_a_pool_in_chunks_is_that_of_the_plan(stored, rows, monkeypatch):
    monkeypatch.setattr(pools, "CHUNK_ROWS", rows)
    store, manifest = stored
    ids, risk, _ = in_memory(store, manifest)
    ties = planning.ties(ids.to_pylist(), KEY)
    expected = np.flatnonzero(rules.pi_threshold(risk, 100, ties).pi)

    def keys() -> Iterator[orders.Keys]:
        for chunk in pools.chunks(store, manifest, ids=True):
            yield orders.by_risk(chunk.risk, planning.ties(chunk.ids.to_pylist(), KEY), chunk.place)

    taken = streams.take(keys, 100)

    assert pools.ids_at(store, manifest, taken.place).to_pylist() == ids.take(pa.array(expected)).to_pylist()


def test_the_priority_sample_of_a_pool_in_chunks_is_that_of_the_draw(stored):
    store, manifest = stored
    ids, risk, u = in_memory(store, manifest)
    drawn = draws.draw_exact(risk, u, 100)

    taken = streams.take(
        lambda: (orders.by_priority(c.risk, c.u, c.place) for c in pools.chunks(store, manifest)), 100
    )

    assert (
        pools.ids_at(store, manifest, taken.place).to_pylist()
        == ids.filter(pa.array(drawn.selected)).to_pylist()
    )
    assert taken.cut.tau == drawn.tau


def test_another_table_and_a_row_that_is_not_there_are_refused(stored):
    store, manifest = stored
    with pytest.raises(errors.InvalidInputError, match="expected a table of risks, got plan"):
        next(pools.chunks(store, dataclasses.replace(manifest, table="plan")))
    with pytest.raises(errors.DataLossError, match="expected a row 5, it has 1"):
        pools.ids_at(store, manifest, np.array([(2 << 32) + 5]))

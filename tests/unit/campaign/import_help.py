"""Imports into a folder, and what they left."""

import csv
from pathlib import Path

import pyarrow as pa
import pytest

from actuary import errors
from actuary.campaign import ingest, sources
from actuary.storage import artifacts, folder, tables

KEY = b"a key of sixteen"
ITEMS, TRUTH, EXEMPLARS = "campaigns/c/items", "sealed/campaigns/c/items", "campaigns/c/exemplars"


def run(source: sources.Source, store: folder.FolderStore, **changes) -> ingest.IngestResult:
    scratch = Path(store._root).parent / "scratch"
    scratch.mkdir(exist_ok=True)
    options = {
        "items_uri": ITEMS,
        "truth_uri": TRUTH,
        "exemplars_uri": EXEMPLARS,
        "shards": None,
        "key": KEY,
        "scratch": scratch,
        "classes": None,
        "progress": lambda phase, done, total: None,
    }
    result = ingest.ingest(source, store, **{**options, **changes})
    assert list(scratch.iterdir()) == []
    return result


def refused(source: sources.Source, store: folder.FolderStore, **changes) -> str:
    """The message of an import that must fail, after checking that it left nothing."""
    with pytest.raises(errors.InvalidInputError) as caught:
        run(source, store, **changes)
    assert list(store.list("")) == []
    return str(caught.value)


def table(store: folder.FolderStore, uri: str) -> pa.Table:
    manifest, _ = artifacts.read_manifest(store, uri)
    return pa.concat_tables(tables.read_shard(store, manifest, s) for s in range(manifest.shards))


def rows(store: folder.FolderStore, uri: str) -> dict[str, dict]:
    return {row["item_id"]: row for row in table(store, uri).to_pylist()}


def write_csv(path: Path, header: list[str], *lines: list[str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([header, *lines])
    return path


def csv_source(path: Path, **columns) -> sources.Source:
    return sources.open_source(str(path), sources.Columns(**columns))

"""Columns, versions and what is not of them."""

import dataclasses
import io
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actuary import errors
from actuary.storage import artifacts, folder, schemas, tables


@pytest.mark.parametrize("name", list(schemas.TABLES))
def test_every_table_keeps_its_schema_through_parquet(name: str):
    schema = schemas.of(name)
    sink = io.BytesIO()
    pq.write_table(schema.empty_table(), sink)
    read = pq.read_schema(io.BytesIO(sink.getvalue()))
    assert schemas.name_of(read) == name
    assert schemas.version_of(read) == {"items": 3}.get(name, 1)
    schemas.check(read, name)
    assert read.equals(schema, check_metadata=True)


def stamped(table: str, version: int) -> pa.Schema:
    return schemas.ITEMS.with_metadata({"actuary.table": table, "actuary.version": str(version)})


@pytest.mark.parametrize("version", [0, 4])
def test_another_version_is_named_with_ours(version: int):
    with pytest.raises(errors.InvalidInputError, match=f"version {version}, this build reads version 3"):
        schemas.check(stamped("items", version), "items")


class TestOlderItems:
    """What was imported before items had slices and embeddings is read as ever; it has none."""

    SINCE: ClassVar = {2: ("embedding",), 1: ("slice", "embedding")}

    def schema(self, version: int) -> pa.Schema:
        return pa.schema(
            [field for field in schemas.ITEMS if field.name not in self.SINCE[version]],
            metadata={"actuary.table": "items", "actuary.version": str(version)},
        )

    def written(self, store: folder.FolderStore, version: int = 1) -> artifacts.Manifest:
        rows = [{"item_id": name, "text": "x", "split": "pool", "u": 0.5} for name in "ab"]
        table = pa.Table.from_pylist(rows, schema=self.schema(version))
        sink = io.BytesIO()
        pq.write_table(table, sink)
        ref = tables.write_file(store, "old/shard-00000.parquet", sink.getvalue())
        ref = dataclasses.replace(ref, rows=2, shard=0)
        manifest = artifacts.Manifest(
            uri="old", table="items", version=version, objects=(ref,), code_version="t", shards=1
        )
        artifacts.write_manifest(store, manifest)
        return artifacts.read_manifest(store, "old")[0]

    @pytest.mark.parametrize("version", [1, 2])
    def test_whole_tables_and_single_columns_are_read(self, tmp_path, version):
        store = folder.FolderStore(tmp_path)
        manifest = self.written(store, version)
        whole = tables.read_all(store, manifest)
        assert whole.schema.equals(schemas.ITEMS)
        assert whole["slice"].to_pylist() == whole["embedding"].to_pylist() == [None, None]
        some = tables.read_shard(store, manifest, 0, ["slice", "item_id"])
        assert some.to_pylist() == [{"slice": None, "item_id": "a"}, {"slice": None, "item_id": "b"}]
        assert tables.read_shard(store, manifest, 0, ["item_id", "u"])["u"].to_pylist() == [0.5, 0.5]

    def test_batches_have_the_column_too(self, tmp_path):
        store = folder.FolderStore(tmp_path)
        (ref,) = self.written(store).objects
        with tables.open_shard(store, ref, ["item_id", "slice"], table="items") as reader:
            (batch,) = reader.batches()
        assert batch.to_pylist() == [{"item_id": "a", "slice": None}, {"item_id": "b", "slice": None}]

    def test_a_column_that_it_had_is_still_missed(self, tmp_path):
        had = self.schema(1)
        without = had.remove(had.get_field_index("u"))
        with pytest.raises(errors.DataLossError, match="'u': expected double; got no such column"):
            schemas.check(without, "items")

    def test_no_other_table_is_read_in_another_version(self):
        assert schemas.OLDEST_READ == {"items": 1}
        with pytest.raises(errors.InvalidInputError, match="version 0, this build reads version 1"):
            schemas.check_version("risks", 0, "x")


def test_another_table_is_named():
    with pytest.raises(errors.DataLossError, match=r"expected table 'items'.*got 'risks'"):
        schemas.check(schemas.RISKS, "items")
    with pytest.raises(errors.DataLossError, match="without a table name"):
        schemas.check(pa.schema([("item_id", pa.string())]), "items")


def test_a_column_that_is_missing_or_another_is_named():
    with pytest.raises(errors.DataLossError, match="'u': expected double; got no such column"):
        schemas.check(schemas.ITEMS.remove(schemas.ITEMS.get_field_index("u")), "items")
    changed = schemas.ITEMS.set(6, pa.field("u", pa.string()))
    with pytest.raises(errors.DataLossError, match="'u': expected double; got string"):
        schemas.check(changed, "items")


def test_conform_orders_casts_and_fills():
    given = pa.table({"label": ["x"], "item_id": ["a"]})
    assert schemas.conform(given, schemas.TRUTH).column_names == ["item_id", "label"]
    risks = {"item_id": ["a"], "flipped": [False], "fold": [3], "u": [0.5], "outcome": ["FAILED"]}
    table = schemas.conform(pa.table(risks), schemas.RISKS)
    assert table.column("fold").type == pa.int8()
    assert table.column("risk").to_pylist() == [None]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"item_id": ["a"]}, "needs the column 'label'"),
        ({"item_id": ["a"], "label": ["x"], "truth": ["x"]}, "has no column truth"),
        ({"item_id": ["a"], "label": pa.array([None], pa.string())}, "1 nulls where none"),
        ({"item_id": ["a"], "label": [[1]]}, "expected string; got list"),
    ],
)
def test_conform_refuses_what_does_not_fit(columns: dict, words: str):
    with pytest.raises(errors.InvalidInputError, match=words):
        schemas.conform(pa.table(columns), schemas.TRUTH)


def test_an_unknown_table_lists_the_known():
    with pytest.raises(errors.InvalidInputError, match="annotations"):
        schemas.of("annotation")


class TestReadShard:
    def manifest(
        self, store: folder.FolderStore, uri: str, table: str, shards: int = 4
    ) -> artifacts.Manifest:
        return artifacts.Manifest(
            uri=uri, table=table, version=1, objects=(), code_version="t", shards=shards
        )

    def test_a_shard_that_an_artifact_lacks_is_empty(self, tmp_path):
        store = folder.FolderStore(tmp_path)
        table = tables.read_shard(store, self.manifest(store, "a", "truth"), 3, ["label"])
        assert (table.num_rows, table.column_names) == (0, ["label"])

    def test_artifacts_with_other_shards_or_tables_do_not_mix(self, tmp_path):
        store = folder.FolderStore(tmp_path)
        for other in (self.manifest(store, "b", "truth", 5), self.manifest(store, "b", "items")):
            with pytest.raises(errors.InvalidInputError, match="of one table with the same shards"):
                tables.read_shard(store, [self.manifest(store, "a", "truth"), other], 0)
        with pytest.raises(errors.InvalidInputError, match="none"):
            tables.read_shard(store, [], 0)

    def test_a_shard_of_another_table_is_refused(self, tmp_path):
        store = folder.FolderStore(tmp_path)
        truth = pa.table({"item_id": ["a"], "label": ["x"]})
        ref = tables.write_table(store, "a/s", truth, schemas.TRUTH, shard=0)
        with pytest.raises(errors.DataLossError, match="expected table 'items'"):
            tables.open_shard(store, ref, table="items")

    def test_lists_come_back_together_with_an_empty_shard(self, tmp_path):
        store = folder.FolderStore(tmp_path)
        risks = {"item_id": ["a", "b"], "flipped": [False] * 2, "fold": [3] * 2, "u": [0.5] * 2}
        rows = pa.table({**risks, "outcome": ["LABELLED"] * 2, "probabilities": [[0.25, 0.75], None]})
        ref = tables.write_table(store, "a/s", rows, schemas.RISKS, shard=0)
        manifest = artifacts.Manifest(
            uri="a", table="risks", version=1, objects=(ref,), code_version="t", shards=2
        )
        table = tables.read_shard(store, [manifest, manifest], 0)
        assert table.column("probabilities").to_pylist() == [[0.25, 0.75], [0.25, 0.75], None, None]
        assert table.schema.equals(schemas.RISKS)


def test_a_manifest_digest_survives_json(tmp_path):
    store = folder.FolderStore(tmp_path)
    parameters = {"by number": {10: "a", 9: "b"}, "tuple": (1, 2), "share": 0.1, "big": 2**60}
    manifest = artifacts.Manifest(
        uri="a", table=None, version=0, objects=(), code_version="t", shards=1, parameters=parameters
    )
    digest = artifacts.write_manifest(store, manifest)
    assert artifacts.read_manifest(store, "a")[1] == digest


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"x"])
def test_parameters_that_are_no_json_are_refused(tmp_path, value):
    manifest = artifacts.Manifest(
        uri="a", table=None, version=0, objects=(), code_version="t", shards=1, parameters={"x": value}
    )
    with pytest.raises(errors.InvalidInputError, match="not JSON"):
        artifacts.write_manifest(folder.FolderStore(tmp_path), manifest)

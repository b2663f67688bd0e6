"""Embeddings at the door: the forms that are read, what is refused and where."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actuary import errors
from actuary.campaign import findings, samples, sources
from actuary.storage import artifacts, folder
from unit.campaign.import_help import ITEMS, csv_source, refused, rows, run, write_csv


@pytest.fixture
def store(tmp_path):
    return folder.FolderStore(tmp_path / "store")


def data(tmp_path, *values):
    lines = [[f"i{n}", "x", value] for n, value in enumerate(values)]
    return write_csv(tmp_path / "d.csv", ["item_id", "text", "emb"], *lines)


def kept(store) -> dict:
    return {item: row["embedding"] for item, row in rows(store, ITEMS).items()}


def test_a_csv_file_holds_them_as_text_and_an_item_may_have_none(tmp_path, store):
    path = data(tmp_path, "[1, -0.5]", "", "[2e-3,16777217]")
    run(csv_source(path, embedding="emb"), store)
    assert kept(store) == {"i0": [1.0, -0.5], "i1": None, "i2": [np.float32(2e-3), 16777216.0]}
    again = run(csv_source(path, embedding="emb"), store)
    assert again.existed
    with pytest.raises(errors.AlreadyExistsError):
        run(csv_source(path), store)


def test_json_lines_hold_lists(tmp_path, store):
    path = tmp_path / "d.jsonl"
    form = [{"item_id": f"i{n}", "text": "x", "emb": [n, 0.25]} for n in range(5_000)]
    del form[7]["emb"]
    form[8]["emb"] = None
    path.write_text("".join(json.dumps(each) + "\n" for each in form))
    run(sources.open_source(str(path), sources.Columns(embedding="emb")), store)
    expected = {f"i{n}": [float(n), 0.25] for n in range(5_000)} | {"i7": None, "i8": None}
    assert kept(store) == expected


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float64()),
        pa.large_list(pa.float32()),
        pa.list_(pa.float16(), 2),
        pa.list_(pa.float32(), 2),
        pa.list_(pa.int64()),
        pa.string(),
    ],
    ids=str,
)
def test_a_parquet_file_holds_lists_of_any_kind_of_number(tmp_path, store, kind):
    values = [[1, 2], None, [3, -4]]
    if kind == pa.string():
        values = [None if each is None else json.dumps(each) for each in values]
    elif pa.types.is_floating(kind.value_type):
        values = [
            None if each is None else np.array(each, kind.value_type.to_pandas_dtype()) for each in values
        ]
    path = tmp_path / "d.parquet"
    ids = {"item_id": ["a", "b", "c"], "text": ["x"] * 3}
    pq.write_table(pa.table({**ids, "emb": pa.array(values, kind)}), path)
    run(sources.open_source(str(path), sources.Columns(embedding="emb")), store)
    assert kept(store) == {"a": [1.0, 2.0], "b": None, "c": [3.0, -4.0]}


def test_without_a_column_there_are_none_and_nothing_else_changes(tmp_path, store):
    run(csv_source(data(tmp_path, "[1]", "[2]")), store)
    assert kept(store) == {"i0": None, "i1": None}
    assert "embedding" not in artifacts.read_manifest(store, ITEMS)[0].parameters["columns"]


WRONG = {
    "[1, 2, 3]": "row 2: expected 2 numbers in 'emb', as in the first row that has any; got 3",
    "[]": "row 2: expected 1 to 4,096 numbers in 'emb'; got 0",
    json.dumps([0] * 4_097): "row 2: expected 1 to 4,096 numbers in 'emb'; got 4097",
    "[1, NaN]": "row 2: expected finite numbers in 'emb'; got one that is missing or infinite",
    "[1, 1e39]": "row 2: expected finite numbers in 'emb'; got one that is missing or infinite",
    f"[1, 1{'0' * 400}]": "row 2: column 'emb': EXPECTED; int too large",
    "[1, null]": "row 2: column 'emb': EXPECTED; got null",
    '[1, "2"]': "row 2: column 'emb': EXPECTED; got \"2\"",
    "[1, true]": "row 2: column 'emb': EXPECTED; got true",
    '{"a": 1}': "row 2: column 'emb': EXPECTED; got {\"a\": 1}",
    "0.1 0.2": "row 2: column 'emb': EXPECTED; Extra data",
}


@pytest.mark.parametrize("value", WRONG, ids=range(len(WRONG)))
def test_what_is_no_embedding_is_named_with_its_row(tmp_path, store, value):
    path = data(tmp_path, "[1, 2]", value, "[3, 4]")
    said = refused(csv_source(path, embedding="emb"), store)
    description = WRONG[value].replace("EXPECTED", "expected a list of numbers, such as [0.12, -0.5]")
    assert f"{path}, {description}" in said
    assert "row 1:" not in said
    assert "row 3:" not in said


def test_a_missing_number_in_a_list_is_named(tmp_path, store):
    path = tmp_path / "d.parquet"
    table = pa.table({"item_id": ["a", "b"], "text": ["x", "y"], "emb": [[1.0, 2.0], [1.0, None]]})
    pq.write_table(table, path)
    said = refused(sources.open_source(str(path), sources.Columns(embedding="emb")), store)
    assert "row 2: expected finite numbers in 'emb'" in said


def test_a_column_that_is_missing_or_empty_or_of_another_type_is_named_with_its_field(tmp_path, store):
    said = refused(csv_source(data(tmp_path, "[1]"), embedding="embed"), store)
    assert "no column 'embed' (data.embedding_column)" in said
    assert "Did you mean" not in said or "'emb'" in said
    said = refused(csv_source(data(tmp_path, "", ""), embedding="emb"), store)
    assert "the column 'emb' (data.embedding_column); it is empty in every row" in said
    path = tmp_path / "d.parquet"
    pq.write_table(pa.table({"item_id": ["a"], "text": ["x"], "emb": [1.5]}), path)
    said = refused(sources.open_source(str(path), sources.Columns(embedding="emb")), store)
    assert "column 'emb': expected lists of numbers, or text such as [0.12, -0.5]; got double" in said


def test_a_folder_of_images_has_none(tmp_path):
    (tmp_path / "images").mkdir()
    found = findings.Findings()
    list(sources.open_source(str(tmp_path / "images"), sources.Columns(embedding="e")).batches(found))
    with pytest.raises(errors.InvalidInputError, match=r"no column 'e' \(data.embedding_column\)"):
        found.raise_if_any()


def test_the_pixels_of_the_digits_are_an_embedding():
    (batch,) = samples.source("digits", embedding="pixels").batches(findings.Findings())
    pixels = batch.rows.column("embedding")
    assert set(pa.compute.list_value_length(pixels).to_pylist()) == {64}
    assert pixels.flatten().to_numpy().max() == 16
    with pytest.raises(errors.InvalidInputError, match=r"no column 'ink' in sample:digits: .* has 'pixels'"):
        samples.source("digits", embedding="ink")
    with pytest.raises(errors.InvalidInputError, match="no column 'pixels' in sample:synthetic"):
        samples.source("synthetic", embedding="pixels")

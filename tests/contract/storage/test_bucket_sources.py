"""Data sets in a bucket of a real MinIO: read like files, and called by their URI wherever they are named."""

from __future__ import annotations

import gzip
import json
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actuary import errors
from actuary.campaign import buckets, findings, work
from actuary.cli.commands import doctor
from actuary.storage import location
from contract.storage import conftest

pytestmark = pytest.mark.real


@pytest.fixture
def bucket(minio_url, monkeypatch) -> str:
    """A bucket of its own, which the variables of a worker reach."""
    for name, value in (
        ("endpoint", minio_url),
        ("access_key", conftest.ACCESS),
        ("secret_key", conftest.SECRET),
    ):
        monkeypatch.setenv(f"ACTUARY_STORAGE_{name.upper()}", value)
    return f"s3://data-{uuid.uuid4().hex[:12]}/in here"


def put(bucket: str, name: str, data: bytes) -> str:
    location.open_store(bucket).put(name, data)
    return f"{bucket}/{name}"


def read(uri: str, scratch: Path, **fields: str) -> list[dict]:
    """Rows of a data set; raises what was found wrong."""
    found = findings.Findings()
    source = work.source({"uri": uri, **fields}, scratch)
    rows = [row for batch in source.batches(found) for row in batch.rows.to_pylist()]
    found.raise_if_any()
    return rows


ROWS = [{"item_id": "007", "text": "good"}, {"item_id": "8", "text": 'a "b",\nc'}]


def test_every_format_is_read_from_a_bucket(bucket, tmp_path):
    parquet = tmp_path / "written"
    pq.write_table(pa.Table.from_pylist(ROWS), parquet)
    files = {
        "items.csv": b'item_id,text\n007,good\n8,"a ""b"",\nc"\n',
        "items.jsonl.gz": gzip.compress("\n".join(map(json.dumps, ROWS)).encode()),
        "items.parquet": parquet.read_bytes(),
    }
    for name, data in files.items():
        assert read(put(bucket, name, data), tmp_path) == ROWS, name


def test_a_row_is_named_by_the_uri(bucket, tmp_path):
    uri = put(bucket, "items.csv", b"item_id,text\n1,a\n2,b,c\n")
    with pytest.raises(errors.InvalidInputError) as caught:
        read(uri, tmp_path)
    assert f"{uri}, row 2" in caught.value.message
    assert str(tmp_path) not in caught.value.message


def test_images_lie_in_a_column_not_beside_a_file_that_is_in_a_bucket(bucket, tmp_path):
    uri = put(bucket, "items.csv", b"item_id,image\n1,a.png\n")
    with pytest.raises(errors.InvalidInputError, match="put the images into a Parquet column; got paths"):
        read(uri, tmp_path)


@pytest.mark.parametrize("ask", [buckets.size, lambda uri: buckets.fetch(uri, Path("/tmp"))])
def test_an_object_that_is_not_there_is_named(bucket, ask):
    put(bucket, "other.csv", b"")
    with pytest.raises(errors.InvalidInputError, match=r"data.uri: there is no s3://.*/items.csv: expected"):
        ask(f"{bucket}/items.csv")


def test_a_bucket_without_a_key_is_refused_before_anything_is_asked():
    for uri in ("s3://bucket", "s3://bucket/", "s3://"):
        with pytest.raises(errors.InvalidInputError, match="expected s3://bucket/key"):
            buckets.size(uri)


def test_doctor_reads_it_and_fetches_nothing_large(bucket):
    uri = put(bucket, "items.csv", b"item_id,text\n1,a\n2,b\n")
    form = {"task": {"classes": [{"name": "x"}, {"name": "y"}]}, "data": {"uri": uri}}
    counted = doctor._Counted()
    assert doctor._data(form, counted) == f"{uri}: 2 items to label; text"
    large = put(bucket, "large.csv", b"0" * (doctor.MOST_READ_BYTES + 1))
    form["data"]["uri"] = large
    assert "too large to be fetched for a look" in doctor._data(form, doctor._Counted())

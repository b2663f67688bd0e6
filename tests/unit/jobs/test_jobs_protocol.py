"""The description of a Job, and what it costs."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actuary import errors
from actuary.jobs import chunks, prices, protocol


def spec(**changes) -> protocol.JobSpec:
    fields = {
        "name": "campaigns/c1/annotationJobs/a-1",
        "kind": "annotation",
        "campaign": "campaigns/c1",
        "indexes": 2,
        "parallelism": 2,
        "artifact": "campaigns/c1/a",
        "store_uri": "file:///data#odd",
    }
    return protocol.JobSpec(**{**fields, **changes})


def test_a_description_survives_its_json():
    one = spec(parents=("campaigns/c1/items",), parameters={"größe": [1, {"a": None}]}, deadline_seconds=1.5)
    assert protocol.JobSpec.from_json(one.to_json()) == one


def test_the_uri_of_a_job_leads_to_store_and_key_whatever_the_store_is_called():
    assert protocol.split_uri(spec().uri) == (
        "file:///data#odd",
        "campaigns/c1/jobs/annotationJobs-a-1/job.json",
    )


@pytest.mark.parametrize("uri", ["", "file:///data", "#key", "file:///data#"])
def test_a_uri_that_names_no_job_is_refused(uri):
    with pytest.raises(errors.InvalidInputError, match="STORE#KEY"):
        protocol.split_uri(uri)


@pytest.mark.parametrize("data", [b"", b"[]", b'{"name": "x"}', b'{"unknown": 1}'])
def test_a_damaged_description_is_data_loss(data):
    with pytest.raises(errors.DataLossError):
        protocol.JobSpec.from_json(data)


def test_a_job_without_processes_is_refused():
    with pytest.raises(errors.InvalidInputError, match=r"job\.indexes: expected >= 1, got 0"):
        spec(indexes=0)


@settings(deadline=None)
@given(shards=st.integers(1, 300), indexes=st.integers(1, 40))
def test_every_shard_belongs_to_exactly_one_index(shards, indexes):
    one = spec(shards=shards, indexes=indexes)
    assert sorted(s for i in range(indexes) for s in one.shards_of(i)) == list(range(shards))


@settings(deadline=None)
@given(
    tokens=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=20),
    price_in=st.integers(0, 10**6),
    price_out=st.integers(0, 10**6),
)
def test_an_item_is_never_charged_less_than_its_tokens_nor_a_micro_more(tokens, price_in, price_out):
    table = prices.Prices(input_micros_per_1000_tokens=price_in, output_micros_per_1000_tokens=price_out)
    read, written = np.array(tokens).T
    for cost, (a, b) in zip(table.cost_micros(read, written).tolist(), tokens, strict=True):
        exact = a * price_in + b * price_out
        assert exact <= 1000 * cost < exact + 1000


def test_prices_are_read_from_json_whose_numbers_are_text():
    table = prices.Prices.of({"input_micros_per_1000_tokens": "7", "gpu_hour_micros": "3600"})
    assert table.cost_micros(np.array([1000]), np.array([5]), np.array([0.5])).tolist() == [8]


@settings(deadline=None)
@given(sizes=st.lists(st.integers(0, 20), max_size=10), rows=st.integers(1, 15))
def test_chunks_keep_rows_and_order_and_are_full_but_the_last(sizes, rows):
    edges = np.cumsum([0, *sizes]).tolist()
    stream = [pa.table({"n": range(a, b)}) for a, b in itertools.pairwise(edges)]
    cut = [table["n"].to_pylist() for table in chunks._rechunk(stream, rows)]
    assert [n for piece in cut for n in piece] == list(range(edges[-1]))
    assert all(len(piece) == rows for piece in cut[:-1])
    assert all(cut)

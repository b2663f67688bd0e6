"""Samples: the same rows for everyone, and good enough to show what the method does."""

import asyncio
import io

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from google.protobuf import json_format
from PIL import Image

from actuary import errors
from actuary.campaign import findings, samples
from actuary.models import prompts, protocol, registry
from actuary.v1 import campaign_pb2


@pytest.fixture(scope="module")
def digits() -> pa.Table:
    return pa.Table.from_batches([samples.digits()])


def test_digits_have_two_exemplars_a_class_and_the_promised_sizes(digits: pa.Table) -> None:
    counts = {row["values"]: row["counts"] for row in pc.value_counts(digits["split"]).to_pylist()}
    assert counts == {"exemplar": 20, "pool": 1277, "test": 500}
    labels = digits.filter(pc.equal(digits["split"], "exemplar"))["label"].to_pylist()
    assert sorted(labels) == sorted(str(i) for i in range(10) for _ in range(2))
    assert len(set(digits["item_id"].to_pylist())) == 1797


def test_digits_are_png_files_that_hold_the_levels(digits: pa.Table) -> None:
    from sklearn import datasets

    first = np.asarray(Image.open(io.BytesIO(digits["image"][0].as_py())))
    assert (first == np.round(datasets.load_digits().images[0] * 255 / 16)).all()


def test_a_png_larger_than_a_block_is_read_back() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (300, 400), dtype=np.uint8)
    assert (np.asarray(Image.open(io.BytesIO(samples.png(levels)))) == levels).all()


def test_digits_stay_the_same_from_machine_to_machine(digits: pa.Table) -> None:
    chosen = digits.filter(pc.equal(digits["split"], "exemplar"))["item_id"].to_pylist()
    numbers = (
        104,
        114,
        117,
        175,
        186,
        272,
        293,
        339,
        426,
        877,
        983,
        1039,
        1040,
        1075,
        1084,
        1161,
        1244,
        1417,
        1622,
        1696,
    )
    assert chosen == [f"digit-{i:04d}" for i in numbers]


def test_the_most_central_point_comes_first() -> None:
    points = np.array([[0], [4], [5], [6], [20]], np.int64)
    # squared ways by hand: from 5, 25+1+0+1+225 = 252; from 6, 36+4+1+0+196 = 237; then 20 saves 196
    assert list(samples.central(points))[:2] == [3, 4]
    assert sorted(samples.central(points)) == [0, 1, 2, 3, 4]


def test_exemplars_know_digits_well_enough_and_the_critic_sees_where_they_err(digits: pa.Table) -> None:
    exemplars = digits.filter(pc.equal(digits["split"], "exemplar"))
    pool = digits.filter(pc.equal(digits["split"], "pool"))
    template = prompts.Template(
        instruction="Which digit?", classes=tuple(prompts.ClassDefinition(name=str(i)) for i in range(10))
    )
    context = protocol.ModelContext(classes=template.options, exemplars=exemplars)
    asked = template.render(pool)
    truth = np.array([int(label) for label in pool["label"].to_pylist()])

    def ask(kind: str) -> protocol.ScoreBatch:
        model = registry.open_model(protocol.ModelSpec(kind=kind), context)
        return asyncio.run(model.score(asked, template.options))

    machine, critic = ask("exemplar"), ask("linear")
    wrong = machine.label_index != truth
    suspicion = -critic.log_probabilities[np.arange(len(truth)), machine.label_index]
    from sklearn import metrics

    assert 1 - wrong.mean() >= 0.8
    assert metrics.roc_auc_score(wrong, suspicion) >= 0.8


def test_synthetic_items_are_made_as_they_are_read() -> None:
    source = samples.source("synthetic", 70_000)
    batches = list(source.batches(findings.Findings()))
    assert [b.first_row for b in batches] == [1, 65_537]
    assert sum(b.rows.num_rows for b in batches) == 70_000
    assert batches[0].rows.schema.names == ["item_id", "text", "split", "label"]
    assert set(batches[1].rows["label"].to_pylist()) == set(samples.SYNTHETIC_CLASSES)
    again = list(samples.source("synthetic", 70_000).batches(findings.Findings()))
    assert batches[1].rows.equals(again[1].rows)


@pytest.mark.parametrize("name", samples.NAMES)
def test_the_suggested_campaign_is_a_campaign(name: str) -> None:
    message = json_format.ParseDict(samples.campaign(name), campaign_pb2.Campaign())
    assert message.data.uri.startswith(f"sample:{name}")


def test_an_unknown_sample_gets_the_list() -> None:
    with pytest.raises(errors.InvalidInputError, match="digits, synthetic; got 'digit'"):
        samples.source("digit")
    with pytest.raises(errors.InvalidInputError, match="1,797"):
        samples.source("digits", 5)
    with pytest.raises(errors.InvalidInputError, match="at least 1"):
        samples.source("synthetic", 0)

"""From the pilot's answers to risks and quotes, and what people said matched to plans."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from actuary.sampler import frames, people, quoting, risking
from actuary.stats import prn, weighing
from actuary.storage import artifacts, folder, schemas, tables

KEY = prn.project_key(3)


def frame(size: int = 120, classes: int = 3) -> tuple[frames.Frame, np.ndarray]:
    """Items of which class 0 is mostly wrong and its second choice right, as the annotator's doubt says."""
    rng = np.random.default_rng(1)
    ids = [f"item-{number:04d}" for number in range(size)]
    label = rng.integers(0, classes, size)
    second = (label + 1) % classes
    doubt = np.where(label == 0, rng.uniform(0.4, 0.6, size), 0.05)
    probabilities = np.zeros((size, classes))
    probabilities[np.arange(size), label] = 1 - doubt
    probabilities[np.arange(size), second] = doubt
    truth = np.where((label == 0) & (rng.random(size) < 0.9), second, label)
    made = frames.Frame(
        ids=pa.array(ids),
        shard=np.zeros(size, dtype=np.int64),
        u=prn.uniform(ids, KEY),
        outcome=pa.array(["LABELLED"] * size),
        label=label,
        confidence=1 - doubt,
        probabilities=probabilities,
        scores={"confidence": doubt},
    )
    return made, truth


def quoted(model: risking.Model, **changes) -> dict:
    asked = {
        "items": 400, "pilot": model.items, "labels": 200, "audit": 40, "spent": weighing.Weighing(),
        "label_micros": 10, "machine_micros": 0, **changes,
    }  # fmt: skip
    return quoting.quote_points(model, **asked)


def test_a_quote_is_about_the_labels_that_there_will_be_flips_included():
    data, truth = frame()
    model = risking.fit(data, truth, KEY, 0.05)
    assert model.flips.lower > 0
    assert model.wrong_final.mean() < 0.5 * model.wrong.mean()
    first = quoted(model)["points"][0]["corrected_accuracy"]["estimate"]
    # the pilot's own mistakes are corrected already
    assert first == pytest.approx(1 - model.wrong_final.mean() * (1 - model.items / 400), abs=1e-9)
    assert quoted(model)["machine_accuracy"]["estimate"] == pytest.approx(1 - model.wrong.mean())
    assert risking.Model.from_json(model.to_json()).to_json() == model.to_json()


def test_labels_are_flipped_above_the_bar_that_was_proven_and_the_others_keep_label_and_risk():
    data, truth = frame()
    model = risking.fit(data, truth, KEY, 0.05)
    raised = dataclasses.replace(model, flips=dataclasses.replace(model.flips, above=0.7))
    risks = risking.price(data, raised, KEY)

    flipped = risks.final != risks.machine
    assert flipped.any()
    np.testing.assert_array_equal(flipped, risks.machine_risk > 0.7)
    np.testing.assert_allclose(
        risks.risk, np.where(flipped, 1 - risks.machine_risk, risks.machine_risk), atol=1e-12
    )


def test_the_pilot_is_taken_in_the_order_of_its_draw_whatever_order_its_file_has():
    data, truth = frame()
    model = risking.fit(data, truth, KEY, 0.05)
    assert model.raw.tolist() == data.scores["confidence"][np.argsort(data.u)].tolist()


def test_labels_buy_fewer_items_where_some_are_labelled_twice():
    data, truth = frame(90)
    model = risking.fit(data, truth, KEY, 0.05)
    once = {p["human_labels"]: p["corrected_accuracy"]["estimate"] for p in quoted(model)["points"]}
    twice = {
        p["human_labels"]: p["corrected_accuracy"]["estimate"]
        for p in quoted(model, double_share=0.5)["points"]
    }
    assert twice["200"] < once["200"]
    assert max(map(int, twice)) > max(map(int, once)) == 400


def test_probabilities_of_many_classes_that_were_cut_off_price_and_flip_like_whole_ones():
    """An annotation keeps the five largest of more than 50 classes."""
    rng = np.random.default_rng(0)
    whole = rng.dirichlet(np.full(60, 0.3), 200)
    cut = np.where(whole >= np.sort(whole, axis=1)[:, -5:-4], whole, 0.0)
    assert (cut.sum(axis=1) < 1 - 1e-6).all()
    spread = frames.completed(cut)
    assert spread.sum(axis=1) == pytest.approx(1)
    assert (spread >= cut).all()
    assert spread.argmax(axis=1).tolist() == cut.argmax(axis=1).tolist()
    data, _ = frame(200)
    label = cut.argmax(axis=1)
    data = dataclasses.replace(data, label=label, probabilities=spread)
    truth = np.where(rng.random(200) < 0.7, label, (label + 1) % 60)
    model = risking.fit(data, truth, KEY, 0.05)
    assert np.isfinite(risking.price(data, model, KEY).risk).all()
    missing = frames.completed(np.array([[np.nan] * 3, [0.2, 0.3, 0.5]]))
    assert np.isnan(missing[0]).all()
    assert missing[1].tolist() == [0.2, 0.3, 0.5]


def written(store: folder.FolderStore, uri: str, table: str, rows: list[dict], **parameters) -> str:
    schema = schemas.of(table)
    content = pa.Table.from_pylist(rows, schema=schema)
    ref = tables.write_table(store, tables.shard_key(uri, 0), content, schema, shard=0)
    manifest = artifacts.Manifest(
        uri=uri, table=table, version=schemas.version_of(schema), objects=(ref,), code_version="test",
        parameters=parameters, shards=1,
    )  # fmt: skip
    artifacts.write_manifest(store, manifest)
    return uri


def planned(item: str, place: int) -> dict:
    return {
        "item_id": item, "wave": 1, "stratum": "drawn", "s": 0.5, "pi": 0.5, "u": 0.1, "rank": 0.1 * place,
        "tau": 1.0, "cost_micros": 1, "blind": True, "labels_wanted": 2, "label": "a",
    }  # fmt: skip


def test_a_wave_that_nobody_answered_has_no_labels_and_one_without_agreement_is_looked_at(tmp_path):
    store = folder.FolderStore(tmp_path)
    rows = [planned(item, place) for place, item in enumerate("abcd")]
    plan = written(store, "plan", "plan", rows, design={"rule": "exponential", "beta": 7.0})
    (empty,) = people.waves(store, [plan], [written(store, "none", "resolved", [])], ["a", "b"])
    assert empty.label.tolist() == [-1] * 4
    assert empty.weighing == weighing.Weighing(rule="exponential", beta=7.0)

    def said(item, place, label, answers, method):
        return {
            "item_id": item, "wave": 1, "label": label, "answers": answers, "agreement": 1.0,
            "method": method, "position": place,
        }  # fmt: skip

    answers = [
        said("a", 0, "b", 1, "single"),
        said("b", 1, None, 1, "single"),
        said("c", 2, None, 2, "majority"),
    ]
    (wave,) = people.waves(store, [plan], [written(store, "some", "resolved", answers)], ["a", "b"])
    assert wave.label.tolist() == [1, people.UNRESOLVED, people.UNRESOLVED, -1]
    assert wave.labelled.tolist() == [True, False, False, False]
    assert wave.looked.tolist() == [True, True, True, False]
    assert people.looked([wave], wave.ids).tolist() == wave.looked.tolist()


def test_the_sizes_of_a_draw_follow_from_the_risks_alone():
    eps = np.random.default_rng(0).uniform(0, 1, 50)
    tie = np.linspace(0.01, 0.99, eps.size)
    for rule in ("uniform", "normalised", "exponential", "square-root", "hybrid"):
        how = weighing.Weighing(rule=rule)
        score = weighing.scores(how.inclusion(eps, 10, tie))
        assert (score > 0).all()
        assert score.tolist() == weighing.scores(how.inclusion(eps.copy(), 10, tie)).tolist()


def critique(item: str, critic: str, score: float | None) -> dict:
    return {
        "item_id": item, "critic_id": critic, "outcome": "LABELLED", "raw_score": score, "model": "",
        "prompt_digest": "", "tokens_in": 0, "tokens_out": 0, "cost_micros": 0, "compute_seconds": 0.0,
    }  # fmt: skip


def test_each_critic_has_its_own_score_of_an_item_and_features_are_read_when_they_are_asked_for(tmp_path):
    store = folder.FolderStore(tmp_path)
    rows = [
        {
            "item_id": "a",
            "text": "four",
            "question": "two?",
            "split": "pool",
            "u": 0.1,
            "embedding": [1, 2.5],
        },
        {"item_id": "b", "text": None, "question": None, "split": "pool", "u": 0.2},
        {"item_id": "c", "text": "t", "question": None, "split": "test", "u": 0.3},
    ]
    items = written(store, "items", "items", rows)
    first = written(store, "first", "critiques", [critique("a", "x", 0.5), critique("a", "y", 0.25)])
    second = written(store, "second", "critiques", [critique("b", "x", None), critique("c", "x", 0.9)])
    asked = {"items": items, "annotations": [], "critiques": [first, second], "classes": ["p", "q"]}
    found = frames.load(store, **asked, features=True)
    assert list(found.scores) == ["x", "y"]
    np.testing.assert_equal(found.scores["x"], [0.5, np.nan])
    np.testing.assert_equal(found.scores["y"], [0.25, np.nan])
    assert found.length.tolist() == [8.0, 0.0]
    np.testing.assert_equal(found.embedding, [[1, 2.5], [np.nan, np.nan]])
    bare = frames.load(store, **asked)
    assert (bare.length, bare.embedding) == (None, None)

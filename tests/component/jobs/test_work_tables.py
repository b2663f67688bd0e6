"""What annotation and critique write, in this process."""

from __future__ import annotations

import dataclasses
import hashlib
import threading

import pyarrow as pa
import pytest

from actuary import errors
from actuary.annotator import work as annotation
from actuary.critic import work as critique
from actuary.jobs import protocol, reporting, worker
from actuary.jobs import settings as job_settings
from actuary.storage import artifacts, schemas, tables


def work(bench, task: worker.Task, spec: protocol.JobSpec) -> list[dict]:
    """Does all of a Job; returns its rows."""
    stop = threading.Event()
    settings = job_settings.JobsSettings()
    for index in range(spec.indexes):
        with reporting.Session(protocol.Unsupervised(), stop, settings) as session:
            context = worker.WorkContext(
                spec=spec,
                index=index,
                attempt=0,
                store=bench.store,
                session=session,
                stop=stop,
                scratch=bench.root,
                settings=settings,
            )
            task.run(context)
    return bench.table(spec)


def critique_spec(bench, name: str, critic: dict, annotations: str = "campaigns/c/a1") -> protocol.JobSpec:
    spec = bench.spec(name, critic=critic, annotations=annotations)
    parents = ("campaigns/c/items", annotations)
    return dataclasses.replace(spec, kind="critique", parents=parents)


@pytest.fixture
def annotated(bench) -> dict[str, dict]:
    options = {"failure_rate": "0.2", "abstain_rate": "0.2"}
    return {row["item_id"]: row for row in work(bench, annotation.Task(), bench.spec(options=options))}


def test_test_items_are_never_annotated(bench, annotated):
    assert sorted(annotated) == sorted(bench.ids)


def test_every_outcome_has_what_belongs_to_it(annotated):
    outcomes = {row["outcome"] for row in annotated.values()}
    assert outcomes == {"LABELLED", "ABSTAINED", "FAILED"}
    for row in annotated.values():
        labelled = row["outcome"] == "LABELLED"
        assert (row["label"] in ("ja", "nein")) == labelled
        assert (row["probabilities"] is not None) == labelled
        assert (row["reason"] is not None) == (row["outcome"] == "FAILED")
        if labelled:
            assert sum(row["probabilities"]) == pytest.approx(1)
            at = ("ja", "nein").index(row["label"])
            assert row["probabilities"][at] == pytest.approx(row["confidence"])


@pytest.mark.parametrize("keep", ["in", "out"])
def test_a_plan_narrows_the_items(bench, keep):
    drawn = sorted(bench.ids[::7])
    of_shard = {shard: [i for i in drawn if i in bench.ids[shard::3]] for shard in (0, 1)}
    refs = []
    for shard, ids in of_shard.items():
        n = len(ids)
        zeros, ones = [0.0] * n, [1.0] * n
        columns = {
            **{"item_id": ids, "wave": [0] * n, "stratum": ["pilot"] * n, "s": ones, "pi": ones},
            **{"u": zeros, "rank": zeros, "tau": zeros, "cost_micros": [0] * n},
            **{"blind": [True] * n, "labels_wanted": [1] * n},
        }
        table = schemas.conform(pa.table(columns), schemas.PLAN)
        key = tables.shard_key("campaigns/c/plan", shard)
        refs.append(tables.write_table(bench.store, key, table, schemas.PLAN, shard=shard))
    manifest = artifacts.Manifest(
        uri="campaigns/c/plan", table="plan", version=1, objects=tuple(refs), code_version="test", shards=3
    )
    artifacts.write_manifest(bench.store, manifest)
    rows = work(bench, annotation.Task(), bench.spec(select={"plan": "campaigns/c/plan", "keep": keep}))
    planned = {i for ids in of_shard.values() for i in ids}
    wanted = planned if keep == "in" else set(bench.ids) - planned
    assert {row["item_id"] for row in rows} == wanted


def test_an_image_that_is_gone_or_changed_fails_its_item_alone(bench):
    keys = [hashlib.sha256(data).hexdigest() for data in (b"good", b"changed", b"gone")]
    bench.store.put(f"images/{keys[0]}", b"good")
    bench.store.put(f"images/{keys[1]}", b"something else")
    rows = {
        "item_id": ["a", "b", "c"],
        "image_uri": [f"images/{key}" for key in keys],
        "split": ["pool"] * 3,
        "u": [0.5] * 3,
    }
    table = schemas.conform(pa.table(rows), schemas.ITEMS)
    key = tables.shard_key("campaigns/c/pictures", 0)
    ref = tables.write_table(bench.store, key, table, schemas.ITEMS, shard=0)
    manifest = artifacts.Manifest(
        uri="campaigns/c/pictures", table="items", version=1, objects=(ref,), code_version="test", shards=3
    )
    artifacts.write_manifest(bench.store, manifest)
    spec = dataclasses.replace(bench.spec(items="campaigns/c/pictures"), parents=("campaigns/c/pictures",))
    found = work(bench, annotation.Task(), spec)
    assert [row["outcome"] for row in found] == ["LABELLED", "FAILED", "FAILED"]
    assert "SHA-256" in found[1]["reason"]
    assert "no object" in found[2]["reason"]


def test_confidence_is_turned_into_suspicion_of_labelled_items_only(bench, annotated):
    rows = work(bench, critique.Task(), critique_spec(bench, "k1", {}))
    labelled = {i: row for i, row in annotated.items() if row["outcome"] == "LABELLED"}
    assert {row["item_id"] for row in rows} == set(labelled)
    for row in rows:
        assert row["raw_score"] == pytest.approx(1 - labelled[row["item_id"]]["confidence"])
        assert (row["outcome"], row["critic_id"], row["cost_micros"]) == ("LABELLED", "confidence", 0)


def test_a_missing_confidence_is_a_missing_score_and_not_a_low_one(bench):
    work(bench, annotation.Task(), bench.spec(options={"abstain_rate": "0"}))
    manifest, _ = artifacts.read_manifest(bench.store, "campaigns/c/a1")
    refs = []
    for ref in manifest.objects:
        table = tables.read_shard(bench.store, manifest, ref.shard)
        at = table.column_names.index("confidence")
        table = table.set_column(at, schemas.ANNOTATIONS.field(at), pa.nulls(table.num_rows, pa.float64()))
        key = tables.shard_key("campaigns/c/mute", ref.shard)
        refs.append(tables.write_table(bench.store, key, table, schemas.ANNOTATIONS, shard=ref.shard))
    mute = dataclasses.replace(manifest, uri="campaigns/c/mute", objects=tuple(refs))
    artifacts.write_manifest(bench.store, mute)
    rows = work(bench, critique.Task(), critique_spec(bench, "k1", {}, "campaigns/c/mute"))
    assert {(row["outcome"], row["raw_score"]) for row in rows} == {("ABSTAINED", None)}


def test_another_model_is_asked_what_it_gives_the_label(bench, annotated):
    critic = {"kind": "null", "options": {"seed": "3"}, "prices": {"input_micros_per_1000_tokens": "1000000"}}
    other = bench.spec("a2", options={"seed": "3"})
    other_rows = {row["item_id"]: row for row in work(bench, annotation.Task(), other)}
    spec = critique_spec(bench, "k1", {"strategy": "class-probability", "model": critic})
    rows = work(bench, critique.Task(), spec)
    labelled = {i: row for i, row in annotated.items() if row["outcome"] == "LABELLED"}
    assert {row["item_id"] for row in rows} == set(labelled)
    for row in rows:
        at = ("ja", "nein").index(labelled[row["item_id"]]["label"])
        assert row["raw_score"] == pytest.approx(1 - other_rows[row["item_id"]]["probabilities"][at])
        assert row["raw_score"] == row["error_probability"]
        assert row["cost_micros"] == 1000 * row["tokens_in"]


def test_a_critic_without_probabilities_is_refused_before_it_costs(bench, annotated):
    critic = {"strategy": "class-probability", "model": {"kind": "null", "options": {"probabilities": "no"}}}
    with pytest.raises(errors.UnsupportedError, match="gives none"):
        work(bench, critique.Task(), critique_spec(bench, "k1", critic))


def test_an_unknown_strategy_is_refused_with_the_list(bench, annotated):
    with pytest.raises(errors.InvalidInputError, match="confidence, class-probability"):
        work(bench, critique.Task(), critique_spec(bench, "k1", {"strategy": "vibes"}))

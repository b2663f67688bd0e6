"""Gold tasks: asked among the others, paid like them, known to nobody, and no label comes of them."""

import dataclasses

import pyarrow as pa
import pytest

from actuary import errors
from actuary.review import batch, gold, replay, segments
from actuary.review import desk as desks
from actuary.stats import prn
from actuary.storage import artifacts, schemas, tables
from component.review.conftest import BATCH, Item, make_spec, write_campaign

EXEMPLARS = "campaigns/c/exemplars"
KNOWN = {f"g{n:02d}": ("cat", "dog")[n % 2] for n in range(12)}


@pytest.fixture
def gilded(desk, store):
    """Opens a batch of plain items with gold tasks among them."""

    def run(items=30, **changes):
        if isinstance(items, int):
            items = [Item(f"i{place:03d}", rank=place) for place in range(items)]
        write_campaign(store, items)
        rows = {"item_id": list(KNOWN), "text": [f"known {i}" for i in KNOWN], "label": list(KNOWN.values())}
        ref = tables.write_table(
            store, tables.shard_key(EXEMPLARS, 0), pa.table(rows), schemas.EXEMPLARS, shard=0
        )
        manifest = artifacts.Manifest(
            uri=EXEMPLARS, table="exemplars", version=1, objects=(ref,), code_version="t", shards=1
        )
        artifacts.write_manifest(store, manifest)
        spec = make_spec(**{"exemplars": EXEMPLARS, "gold": 6, **changes})
        desk.open_batch(spec)
        return desk

    return run


def served(desk):
    return desk.serving_order(BATCH)["item_id"].to_pylist()


def everything(desk, label=lambda task: "cat", reviewer="ada"):
    """One person answers all there is; the tasks in the order in which they came."""
    tasks = []
    while new := desk.acquire(BATCH, reviewer, 5).tasks:
        tasks += new
        desk.submit(BATCH, reviewer, [desks.Answer(task=task.id, label=label(task)) for task in new])
    return tasks


def test_gold_tasks_lie_evenly_among_the_others_which_keep_their_order(gilded):
    ids = served(gilded())
    places = [place for place, item in enumerate(ids) if item in KNOWN]
    assert len(places) == 6
    assert [item for item in ids if item not in KNOWN] == [f"i{place:03d}" for place in range(30)]
    before = [sum(item not in KNOWN for item in ids[:place]) for place in places]
    assert all(5 * sixth <= count <= 5 * (sixth + 1) for sixth, count in enumerate(before))


def test_a_gold_task_looks_like_any_other_and_shows_its_content(gilded):
    tasks = everything(gilded())
    assert len(tasks) == 36
    asked = [task for task in tasks if task.item_id in KNOWN]
    assert {task.content.text for task in asked} == {f"known {task.item_id}" for task in asked}
    hidden = ("id", "item_id", "content", "lease_end_time")
    assert (
        len(
            {
                tuple(getattr(task, f.name) for f in dataclasses.fields(task) if f.name not in hidden)
                for task in tasks
            }
        )
        == 1
    )


def test_gold_tasks_are_paid_and_resolve_to_nothing(gilded, store):
    desk = gilded()
    everything(desk)
    record = desk.close(BATCH)
    assert (record.label_count, record.item_count) == (36, 36)
    manifest = artifacts.read_manifest(store, segments.resolved_uri(BATCH))[0]
    resolved = tables.read_all(store, manifest)
    assert set(resolved["item_id"].to_pylist()) == {f"i{place:03d}" for place in range(30)}
    assert manifest.cost_micros == 36 * 7
    answers = segments.read(store, BATCH)
    assert len(set(answers["item_id"].to_pylist()) & set(KNOWN)) == 6


def test_the_cap_counts_gold_tasks(gilded):
    desk = gilded(label_cap=12)
    assert len(everything(desk)) == 12
    assert desk.progress(BATCH).complete


def test_a_later_batch_asks_other_exemplars_and_stops_when_there_are_no_more(gilded):
    first = set(served(gilded())) & set(KNOWN)
    chosen = gold.chosen(sorted(KNOWN), 0, 0, 6)
    assert first == set(chosen)
    assert not first & set(gold.chosen(sorted(KNOWN), 0, 6, 6))
    assert len(gold.chosen(sorted(KNOWN), 0, 10, 6)) == 2
    assert gold.chosen(sorted(KNOWN), 0, 12, 6) == []
    u = prn.uniform(sorted(KNOWN), prn.derive_key(prn.project_key(0), "gold"))
    assert chosen == [item for _, item in sorted(zip(u, sorted(KNOWN), strict=True))[:6]]


def test_where_labels_are_shown_gold_tasks_are_among_the_blind(gilded):
    items = [Item(f"a{n}", "audit", n) for n in range(6)] + [Item(f"c{n}", "certain", n) for n in range(6)]
    ids = served(gilded(items, show_machine_label=True))
    assert max(place for place, item in enumerate(ids) if item in KNOWN) < ids.index("c0")


def test_played_reviewers_answer_gold_tasks_from_what_is_known(gilded, store):
    desk = gilded(mode="replay")
    played = replay.Replay(desk, BATCH)
    while played.play():
        pass
    desk.close(BATCH)
    said = segments.read(store, BATCH).select(["item_id", "label"]).to_pylist()
    assert len(said) == 36
    assert all(row["label"] == KNOWN.get(row["item_id"], "cat") for row in said)


def test_gold_without_exemplars_is_refused():
    with pytest.raises(errors.InvalidInputError, match="exemplars: expected the URI"):
        batch.check(make_spec(gold=3))


def test_a_batch_without_gold_is_the_batch_that_it_was():
    document = make_spec().to_json()
    assert not {"gold", "gold_offset", "exemplars"} & set(document)
    assert batch.BatchSpec.from_json(document) == make_spec()
    kept = make_spec(exemplars=EXEMPLARS, gold=3, gold_offset=2)
    assert batch.BatchSpec.from_json(kept.to_json()) == kept

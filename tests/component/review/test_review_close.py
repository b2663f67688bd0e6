import os
import subprocess
import sys

import pytest

from actuary import errors
from actuary.review import controller, segments, submission
from actuary.state import leases
from actuary.stats import played
from actuary.storage import artifacts, folder, gc, schemas, tables
from component.review.conftest import BATCH, Item, make_spec, write_campaign


def answer(desk, count, reviewer="a", label="cat"):
    for task in desk.acquire(BATCH, reviewer, count).tasks:
        (result,) = desk.submit(BATCH, reviewer, [submission.Answer(task=task.id, label=label, seconds=1.5)])
        assert result.accepted


def resolved(store, uri):
    manifest, _ = artifacts.read_manifest(store, uri)
    return [row for s in range(3) for row in tables.read_shard(store, manifest, s).to_pylist()]


def test_answers_are_flushed_when_a_segment_is_full_or_a_minute_old(opened, store, clock):
    desk = opened(20)
    answer(desk, 4)
    assert desk.flush(BATCH) == 0
    answer(desk, 1)
    assert desk.flush(BATCH) == 5
    answer(desk, 1)
    assert desk.flush(BATCH) == 0
    clock.advance(60)
    assert desk.flush(BATCH) == 1
    assert [m.rows for m, _ in segments.list_segments(store, BATCH)] == [5, 1]


def test_segments_hold_every_answer_in_its_order_corrections_included(opened, store, clock):
    desk = opened(7)
    answer(desk, 7)
    desk.submit(BATCH, "a", [submission.Answer(task="000000002", label=None)])
    desk.flush(BATCH, everything=True)
    table = segments.read(store, BATCH)
    schemas.check(table.schema, "answers")
    assert table["sequence"].to_pylist() == list(range(1, 9))
    last = table.to_pylist()[-1]
    assert (last["item_id"], last["label"], last["supersedes"], last["wave"]) == ("i002", None, 3, 1)
    assert last["arrived"] == clock.now
    assert last["blind"] is True


def test_two_who_flush_at_once_leave_each_answer_once(opened, store, together):
    desk = opened(23)
    answer(desk, 23)
    flushed = together(*[lambda: desk.flush(BATCH, everything=True)] * 4)
    assert all(isinstance(count, int) for count in flushed), flushed
    assert segments.read(store, BATCH)["sequence"].to_pylist() == list(range(1, 24))


def test_a_segment_that_another_process_wrote_further_is_adopted(opened, store):
    desk = opened(6)
    answer(desk, 3)
    record = desk.get(BATCH)
    answer(desk, 1)
    later = desk._reviews.answers(BATCH, 1, 4)
    assert segments.write(store, desk.get(BATCH), later, 1) == 4
    assert segments.write(store, record, later[:3], 1) == 4
    assert desk.flush(BATCH, everything=True) == 4
    assert segments.read(store, BATCH).num_rows == 4


def test_of_two_segments_that_are_written_at_the_same_moment_the_first_manifest_counts(
    opened, store, tmp_path
):
    desk = opened(6)
    answer(desk, 4)
    record, rows = desk.get(BATCH), desk._reviews.answers(BATCH, 1, 4)

    class Overtaken(folder.FolderStore):
        """The same folder; while this one writes its file, somebody else writes a longer segment."""

        def create(self, key):
            assert segments.write(store, record, rows, 1) == 4
            return super().create(key)

    assert segments.write(Overtaken(tmp_path / "store"), record, rows[:3], 1) == 4
    assert desk.flush(BATCH, everything=True) == 4
    assert segments.read(store, BATCH)["sequence"].to_pylist() == [1, 2, 3, 4]


def test_closing_early_leaves_the_answers_with_their_serving_positions(opened, store):
    desk = opened(10)
    answer(desk, 4)
    record = desk.close(BATCH)
    assert (record.state, record.artifact) == ("SUCCEEDED", f"{BATCH}/resolved")
    rows = resolved(store, record.artifact)
    assert {row["item_id"]: row["position"] for row in rows} == {f"i{place:03d}": place for place in range(4)}
    manifest, _ = artifacts.read_manifest(store, record.artifact)
    assert manifest.counts == {"answers": 4, "labels": 4, "items": 10, "single": 4}
    assert manifest.cost_micros == 28
    assert manifest.shards == 3
    assert {parent.uri for parent in manifest.parents} == {
        "campaigns/c/plans/p",
        f"{BATCH}/answers/000000000001",
    }


def test_closing_twice_changes_nothing(opened):
    desk = opened(3)
    answer(desk, 3)
    assert desk.close(BATCH) == desk.close(BATCH)


def test_closing_without_an_answer_leaves_an_empty_table(opened, store):
    record = opened(3).close(BATCH)
    assert resolved(store, record.artifact) == []


def test_a_plan_without_rows_of_the_wave_closes_at_once(opened, store, db, clock):
    desk = opened(3, wave=7)
    assert controller.Controller(desk, leases.Leases(db, clock), "me").step_all()
    assert resolved(store, desk.get(BATCH).artifact) == []


def test_cancelling_keeps_the_answers_and_resolves_nothing(opened, store):
    desk = opened(3)
    answer(desk, 2)
    record = desk.cancel(BATCH)
    assert (record.state, record.artifact) == ("CANCELLED", "")
    assert segments.read(store, BATCH).num_rows == 2
    assert desk.close(BATCH).state == "CANCELLED"


def test_the_labels_are_computed_again_from_plan_and_segments_alone(opened, store):
    items = [Item(f"i{place}", rank=place, wanted=2) for place in range(4)]
    desk = opened(items)
    answer(desk, 4, "a", "cat")
    answer(desk, 4, "b", "dog")
    answer(desk, 2, "c", "dog")
    record = desk.close(BATCH)
    again = segments.resolve(segments.read(store, BATCH), desk.serving_order(BATCH)).drop_columns(["shard"])
    by_id = sorted(resolved(store, record.artifact), key=lambda row: row["item_id"])
    assert sorted(again.to_pylist(), key=lambda row: row["item_id"]) == by_id
    assert [row["method"] for row in by_id] == ["adjudicated", "adjudicated", "unresolved", "unresolved"]
    assert [row["agreement"] for row in by_id] == [2 / 3, 2 / 3, 0, 0]


def test_collecting_garbage_spares_the_segments_of_an_open_batch(opened, store, clock):
    import datetime

    desk = opened(6)
    answer(desk, 6)
    desk.flush(BATCH)
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=99)
    assert gc.plan(store, "campaigns/c/", datetime.timedelta(0), now=later).unnamed == ()


def play(desk, db, clock):
    steps = controller.Controller(desk, leases.Leases(db, clock), "me")
    for _ in range(100):
        if desk.get(BATCH).state != "RUNNING":
            return desk.get(BATCH)
        steps.step_all()
    raise AssertionError(desk.get(BATCH))


def test_a_replay_without_error_gives_the_truth(opened, store, db, clock):
    items = [Item(f"i{place}", rank=place, truth=("cat", "dog", "鳥")[place % 3]) for place in range(30)]
    desk = opened(items, mode="replay")
    record = play(desk, db, clock)
    truth = {item.id: item.truth for item in items}
    assert record.state == "SUCCEEDED", record
    assert {row["item_id"]: row["label"] for row in resolved(store, record.artifact)} == truth
    assert record.label_count == 30


def test_a_replay_settles_disagreements_within_its_cap(opened, store, db, clock):
    items = [Item(f"i{place}", rank=place, wanted=2) for place in range(40)]
    record = play(opened(items, mode="replay", error_rate=0.3, label_cap=100, seed=5), db, clock)
    methods = [row["method"] for row in resolved(store, record.artifact)]
    assert record.label_count <= 100
    assert "adjudicated" in methods
    assert len(methods) == 40


def test_a_replay_stops_at_its_cap(opened, db, clock):
    record = play(opened(30, mode="replay", label_cap=17), db, clock)
    assert (record.state, record.label_count, record.answered_count) == ("SUCCEEDED", 17, 17)


@pytest.mark.parametrize("mode", ["replay", "people"])
def test_a_batch_without_labels_to_give_asks_nobody_and_resolves_nothing(opened, store, db, clock, mode):
    record = play(opened(5, mode=mode, label_cap=0), db, clock)
    assert (record.state, record.label_count) == ("SUCCEEDED", 0)
    assert list(resolved(store, record.artifact)) == []


def test_a_batch_that_was_cancelled_is_taken_up_with_its_answers(opened, store, db, clock):
    desk = opened(6)
    answer(desk, 4)
    assert desk.cancel(BATCH).state == "CANCELLED"
    for _ in range(2):
        taken_up = desk.take_up(BATCH)
        assert (taken_up.state, taken_up.label_count, taken_up.stop, taken_up.end_time) == (
            "RUNNING",
            4,
            "",
            None,
        )
    answer(desk, 2)
    record = play(desk, db, clock)
    assert record.state == "SUCCEEDED"
    assert len(list(resolved(store, record.artifact))) == 6
    # what has resolved its answers stays as it is
    assert desk.take_up(BATCH) == desk.get(BATCH) == record


def test_a_replay_whose_truth_is_missing_fails_and_says_for_which_item(opened, db, clock):
    record = play(opened([Item("known"), Item("stranger", truth="")], mode="replay"), db, clock)
    assert record.state == "FAILED"
    assert "'stranger'" in record.error["message"]


def test_a_replay_whose_truth_is_no_class_fails_and_says_so(opened, db, clock):
    record = play(opened([Item("known"), Item("odd", truth="cow")], mode="replay"), db, clock)
    assert record.state == "FAILED"
    assert "cow" in record.error["message"]


def test_the_share_of_wrong_answers_is_as_asked_and_depends_on_the_seed_alone():
    def wrong(seed, ordinal=0):
        answers = [
            played.answer(
                item_id=f"i{n}",
                truth="a",
                ordinal=ordinal,
                classes=["a", "b", "c"],
                seed=seed,
                error_rate=0.02,
            )
            for n in range(20_000)
        ]
        return {n for n, answer in enumerate(answers) if answer != "a"}

    # 20,000 draws at 2 %: below 306 or above 502 with probability 1e-6 each (binom.ppf)
    assert 306 <= len(wrong(1)) <= 502
    assert wrong(1) == wrong(1)
    assert wrong(1) != wrong(2)
    assert len(wrong(1) & wrong(1, ordinal=1)) < 50


def test_people_who_stop_leave_the_rest_to_the_others_and_the_controller_closes_when_all_is_done(
    opened, db, clock
):
    desk = opened(5)
    steps = controller.Controller(desk, leases.Leases(db, clock), "me")
    desk.acquire(BATCH, "gone", 2)
    answer(desk, 5)
    steps.step_all()
    assert desk.get(BATCH).state == "RUNNING"
    clock.advance(601)
    answer(desk, 5)
    steps.step_all()
    assert desk.get(BATCH).state == "SUCCEEDED"


def test_of_two_controllers_one_acts_and_the_other_takes_over_when_the_lease_ends(opened, db, clock):
    desk = opened(3)
    answer(desk, 3)
    held = leases.Leases(db, clock)
    first, second = controller.Controller(desk, held, "first"), controller.Controller(desk, held, "second")
    assert held.acquire(f"review/{BATCH}", "first", 30) is not None
    assert not second.step_all()
    assert desk.get(BATCH).state == "RUNNING"
    clock.advance(30)
    assert second.step_all()
    assert desk.get(BATCH).state == "SUCCEEDED"
    assert not first.step_all()


_REPLAY = """
import sys
from actuary.review import controller, desk as desks, settings
from actuary.state import database, leases
from actuary.storage import location
from component.review.conftest import BATCH, make_spec
url, folder = sys.argv[1:]
db = database.Database.open(url)
options = settings.ReviewSettings(window=4, segment_rows=5, replay_tasks=3)
desk = desks.Desk(db, location.open_store(f"{folder}/store"), options=options)
desk.open_batch(make_spec(mode="replay", error_rate=0.2, label_cap=33))
steps = controller.Controller(desk, leases.Leases(db), "me")
while desk.get(BATCH).state == "RUNNING":
    steps.step_all()
"""


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize(
    "write", ["review.batch", "review.acquire", "review.submit", "review.segment", "review.close", "manifest"]
)
def test_a_replay_that_is_killed_anywhere_gives_the_same_labels_when_run_again(
    desk, store, url, tmp_path, write, side
):
    items = [Item(f"i{place}", rank=place, wanted=1 + (place < 2)) for place in range(20)]
    write_campaign(store, items)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", _REPLAY, url, str(tmp_path)]
    armed = {**environment, "ACTUARY_FAILPOINT": f"{write}.{side}"}
    assert subprocess.run(command, env=armed, check=False, timeout=60).returncode == -9
    assert subprocess.run(command, env=environment, check=False, timeout=60).returncode == 0
    record = desk.get(BATCH)
    assert record.state == "SUCCEEDED"
    assert segments.read(store, BATCH)["sequence"].to_pylist() == list(range(1, record.sequence + 1))
    labels = {row["item_id"]: row["label"] for row in resolved(store, record.artifact)}
    assert (labels, record.label_count) == expected(items)


def expected(items):
    """What a replay without a kill gives, computed by itself."""
    spec = make_spec(error_rate=0.2)
    labels, used = {}, 0
    for item in items:
        said = [
            played.answer(
                item_id=item.id, truth="cat", ordinal=n, classes=spec.class_names, seed=0, error_rate=0.2
            )
            for n in range(3)
        ]
        if item.wanted == 1:
            labels[item.id], used = said[0], used + 1
        else:
            agreed = said[0] == said[1]
            labels[item.id] = (
                said[0] if agreed or said[2] == said[0] else said[1] if said[2] == said[1] else None
            )
            used += 2 if agreed else 3
    return labels, used


def test_a_damaged_segment_is_noticed_and_named(opened, store):
    desk = opened(6)
    answer(desk, 6)
    desk.flush(BATCH)
    (ref,) = next(segments.list_segments(store, BATCH))[0].objects
    store.put(ref.key, store.get(ref.key)[:-1] + b"x")
    with pytest.raises(errors.DataLossError, match="answers-1-5"):
        segments.read(store, BATCH)

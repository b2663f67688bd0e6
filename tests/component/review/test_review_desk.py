import collections

import pytest

from actuary import errors
from actuary.review import desk as desks
from actuary.review import submission
from component.review.conftest import BATCH, Item, make_spec, write_campaign


def take(desk, reviewer, limit=1):
    return [task.id for task in desk.acquire(BATCH, reviewer, limit).tasks]


def give(desk, reviewer, task, label="cat"):
    (result,) = desk.submit(BATCH, reviewer, [submission.Answer(task=task, label=label)])
    return result.error


def label(desk, reviewer, answer="cat", limit=1):
    """Takes tasks and answers them all alike."""
    tasks = take(desk, reviewer, limit)
    assert [give(desk, reviewer, task, answer) for task in tasks] == [None] * len(tasks)
    return tasks


def used(desk):
    return desk.get(BATCH).label_count


def test_tasks_come_in_the_order_of_their_stratum_then_rank(opened):
    desk = opened(
        [
            Item("c1", "certain", 0.1), Item("d2", "drawn", 0.9), Item("d1", "drawn", 0.2),
            Item("a1", "audit", 5.0), Item("f1", "failed", 9.0),
        ]
    )  # fmt: skip
    served = [desk.acquire(BATCH, f"r{place}").tasks[0].item_id for place in range(5)]
    assert served == ["f1", "a1", "d1", "d2", "c1"]


def test_a_task_shows_the_item_and_its_lease(opened, clock):
    (task,) = opened([Item("ü 1")], lease_seconds=30).acquire(BATCH, "r").tasks
    assert task.content.text == "text of ü 1"
    assert (task.lease_end_time - clock.now).total_seconds() == 30
    assert task.ordinal == 0


def test_the_machine_label_is_only_shown_in_the_certain_stratum_and_only_if_asked_for(opened):
    strata = ("failed", "pilot", "audit", "drawn", "certain")
    desk = opened([Item(name, name) for name in strata], show_machine_label=True)
    shown = {task.item_id: task.machine_label for task in desk.acquire(BATCH, "r", 5).tasks}
    assert shown == {"failed": None, "pilot": None, "audit": None, "drawn": None, "certain": "dog"}


def test_without_being_asked_for_no_machine_label_is_shown(opened):
    assert opened([Item("c", "certain")]).acquire(BATCH, "r").tasks[0].machine_label is None


def test_two_people_never_hold_the_same_task(opened, together):
    desk = opened(40)
    held = together(*[lambda who=who: take(desk, who, 5) for who in "abcdefgh"])
    assert sorted(task for tasks in held for task in tasks) == [f"{place:09d}" for place in range(40)]


def test_taking_again_returns_what_one_holds_first(opened):
    desk = opened(3)
    assert take(desk, "a", 2) == take(desk, "a", 2) == ["000000000", "000000001"]
    assert take(desk, "a", 3) == ["000000000", "000000001", "000000002"]


def test_a_lease_that_ended_comes_back_to_the_others_and_an_answer_to_it_is_refused(opened, clock):
    desk = opened(2, lease_seconds=600)
    (task,) = take(desk, "a")
    clock.advance(600)
    late = give(desk, "a", task)
    assert isinstance(late, errors.RefusedError)
    assert late.reason == "LEASE_ENDED"
    assert take(desk, "b") == [task]
    assert give(desk, "a", task).reason == "NOT_YOURS"
    assert give(desk, "b", task) is None
    assert used(desk) == 1


def test_tasks_can_be_taken_by_name_as_far_as_they_are_free(opened, clock):
    desk = opened(6, lease_seconds=60)
    mine = [task.id for task in desk.acquire(BATCH, "a", 3).tasks]
    desk.submit(BATCH, "a", [desks.Answer(task=mine[0], label="cat")])
    clock.advance(61)
    theirs = [task.id for task in desk.acquire(BATCH, "b", 1).tasks]
    assert theirs == [mine[1]]
    taken = desk.acquire(BATCH, "a", tasks=[*mine, "000000005", "no task"])
    assert [task.id for task in taken.tasks] == [mine[2]]
    assert [task.id for task in desk.acquire(BATCH, "a", tasks=[mine[2]]).tasks] == [mine[2]]  # and again
    assert all(r.accepted for r in desk.submit(BATCH, "a", [desks.Answer(task=mine[2], label="cat")]))
    assert desk.acquire(BATCH, "a", tasks=mine).tasks == ()


def test_by_name_no_label_is_taken_that_the_cap_cannot_pay(opened, clock):
    desk = opened([Item(f"{n}", wanted=2, rank=n) for n in range(3)], label_cap=3, lease_seconds=60)
    names = [task.id for task in desk.acquire(BATCH, "a", 3).tasks]
    assert desk.acquire(BATCH, "b", tasks=names).tasks == ()
    clock.advance(61)
    assert [task.id for task in desk.acquire(BATCH, "b", tasks=names[:2]).tasks] == names[:2]
    assert [task.id for task in desk.acquire(BATCH, "a", tasks=names).tasks] == names[2:]


def test_who_gets_no_task_is_told_what_it_waits_for(opened):
    desk = opened([Item("double", wanted=2, rank=1), Item("plain", rank=2)])
    first, second = desk.acquire(BATCH, "a", 2).tasks
    waiting = desk.acquire(BATCH, "b", 2)
    assert [task.item_id for task in waiting.tasks] == ["double"]
    desk.release(BATCH, "b")
    answers = [desks.Answer(task=first.id, label="cat"), desks.Answer(task=second.id, label=None)]
    desk.submit(BATCH, "a", answers)
    alone = desk.acquire(BATCH, "a", 1)
    assert (alone.tasks, alone.done, alone.held, alone.other_person) == ((), False, 0, 2)
    desk.acquire(BATCH, "b", 1)
    alone = desk.acquire(BATCH, "a", 1)
    assert (alone.held, alone.other_person) == (1, 1)


def test_one_person_has_one_name_however_it_is_typed(opened):
    desk = opened(2)
    task = desk.acquire(BATCH, " Zoe\u0301 ", 1).tasks[0]
    assert desk.acquire(BATCH, "Zo\u00e9", 1).tasks[0].id == task.id
    assert desk.submit(BATCH, "Zo\u00e9\n", [desks.Answer(task=task.id, label="cat")])[0].accepted
    with pytest.raises(errors.InvalidInputError, match="without control characters"):
        desk.acquire(BATCH, "a\x1b[2Jb")


def test_a_released_task_comes_back(opened):
    desk = opened(2)
    (task,) = take(desk, "a")
    assert desk.release(BATCH, "a", [task]) == 1
    assert take(desk, "b") == [task]
    take(desk, "a")
    assert desk.release(BATCH, "a") == 1
    assert desk.release(BATCH, "a") == 0


def test_an_answer_that_is_sent_twice_counts_once(opened):
    desk = opened(2)
    (task,) = take(desk, "a")
    twice = [submission.Answer(task=task, label="cat")] * 2
    assert [result.accepted for result in desk.submit(BATCH, "a", twice)] == [True, True]
    assert give(desk, "a", task) is None
    assert used(desk) == desk.get(BATCH).sequence == 1


def test_only_what_changes_something_is_fresh(opened):
    desk = opened(1)
    task = desk.acquire(BATCH, "a").tasks[0].id
    cat, dog = (desks.Answer(task=task, label=label, seconds=3) for label in ("cat", "dog"))
    assert [desk.submit(BATCH, "a", [answer])[0].fresh for answer in (cat, cat, dog, dog)] == [
        True, False, True, False,
    ]  # fmt: skip


def test_an_answer_that_is_sent_by_many_threads_at_once_counts_once(opened, together):
    desk = opened(1)
    (task,) = take(desk, "a")
    assert together(*[lambda: give(desk, "a", task)] * 6) == [None] * 6
    assert used(desk) == 1


def test_another_answer_of_the_same_person_corrects_the_first_and_costs_nothing(opened):
    desk = opened(1)
    (task,) = label(desk, "a", "cat")
    assert give(desk, "a", task, "dog") is None
    assert (used(desk), desk.get(BATCH).sequence) == (1, 2)
    assert resolved(desk) == {"i000": ("dog", "single")}


def test_an_answer_to_somebody_elses_task_is_refused(opened):
    desk = opened(2)
    (task,) = take(desk, "a")
    refused = give(desk, "b", task)
    assert isinstance(refused, errors.RefusedError)
    assert "somebody else holds it" in refused.message
    assert used(desk) == 0


def test_an_answer_to_a_task_that_has_all_its_answers_is_refused(opened):
    desk = opened(2)
    (task,) = label(desk, "a")
    refused = give(desk, "b", task)
    assert isinstance(refused, errors.PreconditionError)
    assert refused.reason == "TASK_NOT_OPEN"


def test_an_answer_to_a_task_that_was_never_taken_or_does_not_exist_is_refused(opened):
    desk = opened(2)
    take(desk, "a")
    assert give(desk, "b", "000000001").reason == "NOT_YOURS"
    for unknown in ("000000077", "", "x", "-1", "٠٠٠٠٠٠٠٠٠"):
        assert isinstance(give(desk, "b", unknown), errors.NotFoundError)


def test_a_label_that_is_no_class_is_refused_with_the_nearest_name(opened):
    desk = opened(1)
    (task,) = take(desk, "a")
    refused = give(desk, "a", task, "dgo")
    assert isinstance(refused, errors.InvalidInputError)
    assert "did you mean 'dog'?" in refused.message
    assert give(desk, "a", task, "鳥") is None


def test_one_wrong_answer_of_a_call_does_not_keep_the_others_out(opened):
    desk = opened(3)
    tasks = take(desk, "a", 3)
    answers = [
        submission.Answer(task=task, label=label)
        for task, label in zip(tasks, ("cat", "?", None), strict=True)
    ]
    assert [result.accepted for result in desk.submit(BATCH, "a", answers)] == [True, False, True]
    assert used(desk) == 2


def resolved(desk):
    record = desk.close(BATCH)
    from actuary.storage import artifacts, tables

    manifest, _ = artifacts.read_manifest(desk.store, record.artifact)
    rows = [row for s in range(3) for row in tables.read_shard(desk.store, manifest, s).to_pylist()]
    return {row["item_id"]: (row["label"], row["method"]) for row in rows}


def test_a_double_is_held_by_two_different_people_at_most(opened):
    desk = opened([Item("i", wanted=2)])
    assert take(desk, "a") == take(desk, "b") == ["000000000"]
    assert take(desk, "c") == []
    assert take(desk, "a") == ["000000000"]


def test_the_same_person_never_answers_a_double_twice(opened):
    desk = opened([Item("i", wanted=2)])
    label(desk, "a")
    assert take(desk, "a") == []
    assert label(desk, "b") == ["000000000"]
    assert resolved(desk) == {"i": ("cat", "majority")}


def test_a_second_label_need_not_wait_until_the_firsts_are_handed_in(opened):
    desk = opened([Item(f"i{place}", rank=place, wanted=2) for place in range(2)], label_cap=3)
    assert take(desk, "a", 5) == take(desk, "a", 5) == ["000000000", "000000001"]
    assert take(desk, "b", 5) == ["000000000"]
    assert take(desk, "c", 5) == []


def test_a_disagreement_is_settled_by_a_third_person(opened):
    desk = opened([Item("i", wanted=2)])
    label(desk, "a", "cat")
    label(desk, "b", "dog")
    assert take(desk, "a") == take(desk, "b") == []
    label(desk, "c", "dog")
    assert used(desk) == 3
    assert resolved(desk) == {"i": ("dog", "adjudicated")}


def test_three_who_all_disagree_leave_the_item_unresolved(opened):
    desk = opened([Item("i", wanted=2)])
    for reviewer, answer in zip("abc", ("cat", "dog", "鳥"), strict=True):
        label(desk, reviewer, answer)
    assert take(desk, "d") == []
    assert resolved(desk) == {"i": (None, "unresolved")}


def test_who_cannot_tell_is_paid_and_somebody_else_is_asked(opened):
    desk = opened(1)
    label(desk, "a", None)
    assert take(desk, "a") == []
    label(desk, "b", "dog")
    assert used(desk) == 2
    assert resolved(desk) == {"i000": ("dog", "single")}


def test_without_labels_left_an_item_that_nobody_could_tell_stays_unresolved(opened):
    desk = opened(1, label_cap=1)
    label(desk, "a", None)
    assert take(desk, "b") == []
    assert desk.progress(BATCH).complete
    assert resolved(desk) == {"i000": (None, "unresolved")}


def test_a_correction_that_makes_two_agree_needs_no_third(opened):
    desk = opened([Item("i", wanted=2)])
    (task,) = label(desk, "a", "cat")
    label(desk, "b", "dog")
    give(desk, "b", task, "cat")
    assert take(desk, "c") == []
    assert resolved(desk) == {"i": ("cat", "majority")}


def test_second_and_third_labels_wait_until_every_first_label_is_sure_to_be_paid(opened):
    items = [Item(f"i{place}", rank=place, wanted=2) for place in range(6)]
    desk = opened(items, label_cap=8)
    firsts = label(desk, "a", limit=100)
    assert len(firsts) == 6
    assert label(desk, "b", limit=100) == ["000000000", "000000001"]
    assert take(desk, "c", 100) == []
    assert used(desk) == 8
    assert desk.progress(BATCH).complete


@pytest.mark.parametrize("cap", [1, 5, 7, 11, 13, 40])
def test_many_reviewers_never_pass_the_cap_and_lose_no_item(opened, together, cap):
    items = [Item(f"i{place}", rank=place, wanted=1 + place % 2) for place in range(10)]
    desk = opened(items, label_cap=cap)

    def work(who, answer):
        while True:
            acquired = desk.acquire(BATCH, who, 2)
            assert desk.get(BATCH).label_count + desk.progress(BATCH).held_tasks <= cap
            if not acquired.tasks:
                return
            for task in acquired.tasks:
                assert give(desk, who, task.id, answer) is None

    for _ in range(3):  # one who had nothing to do may have had to wait for another
        results = together(*[lambda w=w: work(w, "cat" if w < "d" else "dog") for w in "abcdef"])
        assert results == [None] * 6
    progress = desk.progress(BATCH)
    assert progress.complete
    assert progress.record.label_count <= cap
    assert progress.record.answered_count == min(10, cap)
    people = collections.defaultdict(list)
    for row in desk._reviews.answers(BATCH, 1, 10**6):
        people[row.position].append(row.reviewer)
    assert all(len(set(names)) == len(names) for names in people.values())


def test_opening_twice_returns_the_same_batch_and_another_spec_is_refused(opened):
    desk = opened(2)
    take(desk, "a")
    assert desk.open_batch(make_spec()) == desk.get(BATCH)
    with pytest.raises(errors.AlreadyExistsError):
        desk.open_batch(make_spec(label_cap=9))


def test_what_is_wrong_with_a_batch_is_said_all_at_once(desk):
    with pytest.raises(errors.InvalidInputError) as caught:
        desk.open_batch(make_spec(label_cap=-1, classes=(), mode="crowd", error_rate=1.0, lease_seconds=0))
    fields = {violation.field for violation in caught.value.violations}
    assert fields == {
        "label_cap", "task.classes", "review.mode", "review.replay_error_rate", "review.lease_duration"
    }  # fmt: skip
    with pytest.raises(errors.InvalidInputError, match="truth"):
        desk.open_batch(make_spec(mode="replay", truth=""))


def test_a_plan_that_is_missing_or_of_another_kind_is_refused_and_nothing_is_left(desk, store):
    with pytest.raises(errors.NotFoundError):
        desk.open_batch(make_spec())
    write_campaign(store, [Item("i")])
    with pytest.raises(errors.InvalidInputError, match="expected a plan"):
        desk.open_batch(make_spec(plan="campaigns/c/items"))
    with pytest.raises(errors.NotFoundError):
        desk.get(BATCH)


def test_a_stratum_that_is_unknown_is_refused(desk, store):
    write_campaign(store, [Item("i", stratum="novel")])
    with pytest.raises(errors.DataLossError, match="novel"):
        desk.open_batch(make_spec())


def test_a_nameless_reviewer_is_refused(opened):
    with pytest.raises(errors.InvalidInputError, match="reviewer"):
        opened(1).acquire(BATCH, "  ")


def test_after_the_end_nobody_gets_or_answers_tasks_but_a_repeated_answer_is_still_success(opened):
    desk = opened(3)
    answered, held = label(desk, "a")[0], take(desk, "a")[0]
    desk.close(BATCH)
    assert desk.acquire(BATCH, "a") == desks.Acquired(tasks=(), done=True)
    assert give(desk, "a", held).reason == "BATCH_ENDED"
    assert give(desk, "a", answered) is None
    assert give(desk, "a", answered, "dog").reason == "BATCH_ENDED"
    assert used(desk) == 1


def test_progress_counts_what_is_open_and_held(opened):
    desk = opened(10)
    label(desk, "a", limit=2)
    take(desk, "b", 3)
    progress = desk.progress(BATCH)
    assert (progress.open_tasks, progress.held_tasks, progress.complete) == (5, 3, False)


def test_a_small_window_bounds_the_rows_and_serves_everything(opened):
    desk = opened(25)
    take(desk, "a")
    assert desk.get(BATCH).next_position == 4
    seen = label(desk, "a", limit=1000) + label(desk, "b", limit=1000)
    assert len(seen) == 25
    assert desk.progress(BATCH).complete

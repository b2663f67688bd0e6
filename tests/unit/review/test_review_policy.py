import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actuary import errors
from actuary.review import policy
from actuary.state import reviews

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
ANSWERS = st.lists(st.sampled_from(["a", "b", "c", None]), max_size=3)


def task(position):
    return reviews.TaskRow(batch="b", position=position, item_id="i", missing=1)


@pytest.mark.parametrize(
    ("labels", "wanted", "missing", "label", "method"),
    [
        ([], 1, 1, None, "unresolved"),
        (["a"], 1, 0, "a", "single"),
        ([None], 1, 1, None, "unresolved"),
        ([None, "a"], 1, 0, "a", "single"),
        ([None, None], 1, 0, None, "unresolved"),
        ([], 2, 2, None, "unresolved"),
        (["a"], 2, 1, "a", "single"),
        (["a", "a"], 2, 0, "a", "majority"),
        (["a", "b"], 2, 1, None, "unresolved"),
        (["a", None], 2, 1, "a", "single"),
        (["a", None, "a"], 2, 0, "a", "majority"),
        ([None, None], 2, 0, None, "unresolved"),
        (["a", "b", "a"], 2, 0, "a", "adjudicated"),
        (["a", "b", "b"], 2, 0, "b", "adjudicated"),
        (["a", "b", "c"], 2, 0, None, "unresolved"),
        (["a", "b", None], 2, 0, None, "unresolved"),
    ],
)
def test_what_answers_want_and_come_to(labels, wanted, missing, label, method):
    assert policy.missing(labels, wanted) == missing
    resolution = policy.resolve(labels)
    assert (resolution.label, resolution.method) == (label, method)


@given(ANSWERS, st.integers(0, 4))
def test_an_item_never_gets_more_than_three_answers_and_its_label_never_depends_on_their_order(
    labels, wanted
):
    assert len(labels) + policy.missing(labels, wanted) <= policy.MOST_ANSWERS
    assert policy.resolve(labels).label == policy.resolve(labels[::-1]).label
    assert policy.missing(labels, wanted) == policy.missing(labels[::-1], wanted)


@given(ANSWERS)
def test_agreement_is_the_share_that_gave_the_label(labels):
    resolution = policy.resolve(labels)
    if resolution.label is not None:
        assert resolution.agreement == labels.count(resolution.label) / len(labels)
    else:
        assert resolution.agreement == 0


def test_the_machine_label_is_shown_only_where_nothing_is_estimated():
    for stratum in policy.TIERS:
        for blind in (True, False):
            shown = policy.shows_label(stratum, blind=blind, show=True)
            assert shown == (stratum == "certain" and not blind)
            assert not policy.shows_label(stratum, blind=blind, show=False)


def test_extras_are_served_in_order_with_the_others_while_all_first_labels_can_be_paid():
    chosen = policy.choose(
        untouched=[task(3), task(4)], extras=[task(0), task(1)], limit=3, label_room=5, untouched_count=4
    )
    assert [each.position for each in chosen] == [0, 3, 4]


@pytest.mark.parametrize(("limit", "room", "count"), [(2, 9, 2), (9, 2, 2), (0, 9, 0), (3, 0, 0)])
def test_no_more_is_served_than_asked_for_or_can_be_paid(limit, room, count):
    chosen = policy.choose(
        untouched=[task(n) for n in range(5)], extras=[], limit=limit, label_room=room, untouched_count=5
    )
    assert len(chosen) == count


def test_extras_matter_only_beyond_the_first_labels():
    assert policy.extra_limit(limit=5, label_room=10, untouched_count=8) == 2
    assert policy.extra_limit(limit=1, label_room=10, untouched_count=8) == 1
    assert policy.extra_limit(limit=5, label_room=3, untouched_count=8) == 0


@pytest.mark.parametrize(
    ("used", "answered", "open_tasks", "holds", "complete"),
    [
        (5, 5, 0, 0, True),
        (5, 5, 1, 0, False),
        (5, 4, 1, 0, False),
        (5, 5, 0, 1, False),
        (9, 4, 3, 0, True),
        (9, 4, 3, 1, False),
    ],
)
def test_a_batch_is_complete_when_nobody_can_get_a_task_again(used, answered, open_tasks, holds, complete):
    record = reviews.BatchRecord(
        name="b", campaign="c", spec={}, spec_digest="", label_cap=9, item_count=5,
        label_count=used, answered_count=answered,
    )  # fmt: skip
    assert policy.is_complete(record, open_tasks=open_tasks, holds=holds) == complete


@pytest.mark.parametrize(
    ("rows", "age", "due"), [(0, None, False), (1, 59, False), (1, 60, True), (9, 0, False), (10, 0, True)]
)
def test_a_flush_is_due_by_rows_or_by_age(rows, age, due):
    oldest = None if age is None else NOW - datetime.timedelta(seconds=age)
    assert policy.flush_is_due(rows=rows, oldest=oldest, now=NOW, most_rows=10, most_seconds=60) == due


def test_a_label_is_checked_against_the_classes():
    assert policy.check_label(None, ["a"]) is None
    assert policy.check_label("a", ["a"]) is None
    many = [f"class{n}" for n in range(30)]
    assert "…" in policy.check_label("zzz", many).message
    assert "did you mean" not in policy.check_label("zzz", many).message
    assert "did you mean 'class1'" in policy.check_label("clas1", many).message


def hold(reviewer, seconds):
    return reviews.HoldRow(
        batch="b", position=0, reviewer=reviewer, end_time=NOW + datetime.timedelta(seconds=seconds)
    )


@pytest.mark.parametrize(
    ("row", "holds", "kind", "reason"),
    [
        (None, [], errors.NotFoundError, "NOT_FOUND"),
        (task(0), [hold("me", 1)], None, None),
        (task(0), [hold("me", 0)], errors.RefusedError, "LEASE_ENDED"),
        (task(0), [hold("you", 1)], errors.RefusedError, "NOT_YOURS"),
        (task(0), [hold("you", 0)], errors.RefusedError, "NOT_YOURS"),
        (task(0), [], errors.RefusedError, "NOT_YOURS"),
        (
            reviews.TaskRow(batch="b", position=0, item_id="i", missing=0, answers=1),
            [],
            errors.PreconditionError,
            "TASK_NOT_OPEN",
        ),
    ],
)
def test_who_may_answer_a_task(row, holds, kind, reason):
    refused = policy.refusal(task="t", reviewer="me", row=row, holds=holds, now=NOW)
    assert refused is None if kind is None else isinstance(refused, kind)
    assert getattr(refused, "reason", None) == reason

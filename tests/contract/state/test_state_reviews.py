import dataclasses
import datetime

import pytest

from actuary import errors
from actuary.state import reviews

NAME = "campaigns/c/reviewBatches/b"


@pytest.fixture
def store(db, clock):
    return reviews.Reviews(db, clock)


def record(name=NAME, digest="d", **fields):
    options = {"campaign": "campaigns/c", "label_cap": 100, "item_count": 50, **fields}
    return reviews.BatchRecord(name=name, spec={"a": [1]}, spec_digest=digest, **options)


@pytest.fixture
def batch(store):
    store.create(record())
    rows = [reviews.TaskRow(batch=NAME, position=n, item_id=f"ü{n}", missing=1 + n % 2) for n in range(50)]
    store.change(NAME, lambda session: session.add_tasks(rows))
    return store


def answer(sequence, position, reviewer="a", label="x", **fields):
    now = datetime.datetime(2026, 1, 1, 0, 0, 0, sequence, tzinfo=datetime.UTC)
    return reviews.AnswerRow(
        batch=NAME, sequence=sequence, position=position, item_id="i", reviewer=reviewer, label=label,
        seconds=0.5, blind=True, arrived=now, **fields,
    )  # fmt: skip


def take(store, clock, reviewer, count):
    """What a desk does in the simplest case."""

    def body(session):
        end = clock.now + datetime.timedelta(seconds=10)
        tasks = session.untouched(count)
        session.hold(
            reviews.HoldRow(batch=NAME, position=t.position, reviewer=reviewer, end_time=end) for t in tasks
        )
        return [task.position for task in tasks]

    return store.change(NAME, body)


def test_creating_is_idempotent_and_another_spec_is_refused(store, clock):
    made = store.create(record())
    clock.advance(1)
    assert store.create(record()) == made == store.get(NAME)
    with pytest.raises(errors.AlreadyExistsError):
        store.create(record(digest="e"))
    with pytest.raises(errors.NotFoundError):
        store.get("campaigns/c/reviewBatches/none")
    with pytest.raises(errors.NotFoundError):
        store.change("campaigns/c/reviewBatches/none", lambda session: None)


def test_listings_hold_a_campaigns_batches_oldest_first_and_open_ones_of_all(store, clock):
    for place in range(3):
        store.create(record(f"{NAME}{2 - place}"))
        clock.advance(1)
    store.create(record("campaigns/d/reviewBatches/b", campaign="campaigns/d", state="SUCCEEDED"))
    first, token = store.list("campaigns/c", page_size=2)
    rest, end = store.list("campaigns/c", 2, token)
    assert [batch.name[-1] for batch in (*first, *rest)] == ["2", "1", "0"]
    assert end == ""
    assert len(store.open()) == 3


def test_a_session_that_raises_changes_nothing(batch):
    def interrupted(session):
        session.set(label_count=7)
        session.release_all()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        batch.change(NAME, interrupted)
    assert batch.get(NAME).label_count == 0


def test_concurrent_reviewers_get_different_tasks(batch, clock, together):
    taken = together(*[lambda who=who: take(batch, clock, who, 8) for who in "abcdef"])
    assert sorted(position for positions in taken for position in positions) == list(range(48))


def test_counters_of_concurrent_sessions_add_up(batch, together):
    def count(session):
        session.set(label_count=session.record.label_count + 1)

    assert together(*[lambda: [batch.change(NAME, count) for _ in range(10)]] * 5) == [[None] * 10] * 5
    assert batch.get(NAME).label_count == 50


def test_holds_end_are_renewed_and_are_given_back(batch, clock):
    take(batch, clock, "a", 3)
    later = clock.now + datetime.timedelta(seconds=60)
    batch.change(NAME, lambda session: session.renew("a", [1], later))
    assert batch.change(NAME, lambda session: session.held_untouched_count()) == 3
    clock.advance(10)
    assert batch.change(NAME, lambda session: session.expire(clock.now)) == 2
    (hold,) = batch.look(NAME, lambda session: session.holds(reviewer="a"))
    assert (hold.position, hold.end_time) == (1, later)
    assert batch.change(NAME, lambda session: session.release("b", None)) == 0
    assert batch.change(NAME, lambda session: session.release("a", [0, 1])) == 1


def test_extras_are_tasks_that_want_another_person(batch, clock):
    take(batch, clock, "a", 2)  # position 0 wants one answer, position 1 two
    assert [t.position for t in batch.look(NAME, lambda session: session.extras("b", 9))] == [1]
    assert batch.look(NAME, lambda session: session.extras("a", 9)) == []

    def answered(session):
        session.add_answers([answer(1, 1)])
        session.release("a", [1])
        session.update_tasks([reviews.TaskRow(batch=NAME, position=1, item_id="ü1", answers=1, missing=1)])

    batch.change(NAME, answered)
    assert [t.position for t in batch.look(NAME, lambda session: session.extras("b", 9))] == [1]
    assert batch.look(NAME, lambda session: session.extras("a", 9)) == []
    assert 1 not in [t.position for t in batch.look(NAME, lambda session: session.untouched(99))]
    assert batch.look(NAME, lambda session: session.open_task_count()) == 50


def test_a_correction_replaces_what_it_corrects_and_both_stay(batch):
    rows = [
        answer(1, 4, label="x"),
        answer(2, 4, reviewer="b", label=None),
        answer(3, 4, supersedes=1, label="é"),
    ]
    batch.change(NAME, lambda session: session.add_answers(rows))
    current = batch.look(NAME, lambda session: session.current_answers([4, 5]))
    assert {p: [(a.reviewer, a.label) for a in found] for p, found in current.items()} == {
        4: [("b", None), ("a", "é")]
    }
    assert batch.answers(NAME, 1, 9) == (dataclasses.replace(rows[0], current=False), *rows[1:])
    assert [each.sequence for each in batch.answers(NAME, 2, 2)] == [2]


def test_the_oldest_answer_in_no_segment_is_known(batch):
    assert batch.look(NAME, lambda session: session.oldest_unflushed()) is None
    rows = [answer(1, 4), answer(2, 5)]

    def flushed(session):
        session.add_answers(rows)
        session.set(flushed=1, sequence=2)

    batch.change(NAME, flushed)
    assert batch.look(NAME, lambda session: session.oldest_unflushed()) == rows[1].arrived

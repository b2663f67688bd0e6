"""Which tasks a reviewer gets now, inside the transaction that hands them out.

The rows are read and locked here; which of them are given is decided by `policy.choose`. A batch puts its
items before people a window at a time, in serving order, so that a large one is never loaded whole.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence

import pyarrow as pa

from actuary.review import policy
from actuary.state import reviews


def named(session: reviews.Session, reviewer: str, positions: Sequence[int]) -> Sequence[reviews.TaskRow]:
    """Of these tasks, which have been put before people, those that the reviewer may take now."""
    record = session.record
    room = record.label_cap - record.label_count - len(session.holds())
    held = collections.Counter(hold.position for hold in session.holds(positions=positions))
    answers = session.current_answers(positions)
    free = [
        task
        for task in session.tasks(positions).values()
        if task.missing > held[task.position]
        and all(answer.reviewer != reviewer for answer in answers.get(task.position, []))
    ]
    return policy.choose(
        untouched=[task for task in free if not task.answers and not held[task.position]],
        extras=[task for task in free if task.answers or held[task.position]],
        limit=len(positions),
        label_room=room,
        untouched_count=_untouched(session),
    )


def following(
    session: reviews.Session, rows: pa.Table, reviewer: str, limit: int, window: int
) -> Sequence[reviews.TaskRow]:
    """The next tasks in serving order, after putting as many further items before people as that needs.

    Args:
        session: of the batch.
        rows: its plan in serving order.
        reviewer: who asks.
        limit: at most so many.
        window: how many items are put before people at once, at least.
    """
    record = session.record
    room = record.label_cap - record.label_count - len(session.holds())
    if limit <= 0 or room <= 0:
        return []
    untouched = session.untouched(limit)
    if len(untouched) < limit and record.next_position < record.item_count:
        _put_before_people(session, rows, max(window, limit))
        untouched = session.untouched(limit)
    untouched_count = _untouched(session)
    most = policy.extra_limit(limit=limit, label_room=room, untouched_count=untouched_count)
    return policy.choose(
        untouched=untouched,
        extras=session.extras(reviewer, most) if most else [],
        limit=limit,
        label_room=room,
        untouched_count=untouched_count,
    )


def _put_before_people(session: reviews.Session, rows: pa.Table, count: int) -> None:
    record = session.record
    start = record.next_position
    stop = min(record.item_count, start + count)
    ids = rows["item_id"].slice(start, stop - start).to_pylist()
    wanted = rows["labels_wanted"].slice(start, stop - start).to_pylist()
    session.add_tasks(
        reviews.TaskRow(
            batch=record.name,
            position=start + place,
            item_id=item_id,
            missing=policy.missing([], wanted[place]),
        )
        for place, item_id in enumerate(ids)
    )
    session.set(next_position=stop)


def _untouched(session: reviews.Session) -> int:
    """Items that nobody has answered or holds."""
    record = session.record
    return record.item_count - record.answered_count - session.held_untouched_count()

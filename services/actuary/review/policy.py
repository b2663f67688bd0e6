"""The decisions about reviews: what is served next, when an item has answers enough, what its label is.

Pure functions of values, after algorithms.md 8.6 to 8.8. An item gets at most three answers, each by
another person: one (or two, if the plan wants a double), another one if somebody cannot tell, and a third
if two disagree.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import difflib
import itertools
import unicodedata
from collections.abc import Sequence

from actuary import errors
from actuary.state import reviews

TIERS = {"failed": 0, "pilot": 1, "slice": 1, "class": 2, "audit": 3, "drawn": 4, "certain": 5}
"""Serving order of the strata: the drawn before the certain, so that every prefix is a valid smaller draw;
what covers slices and classes before the audit, which was drawn from what they left."""

MOST_ANSWERS = 3
"""Two and, when they disagree, a third."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What the answers to an item come to."""

    label: str | None
    agreement: float
    """Share of the answers that gave the label; 0 without one."""
    method: str
    """`single`, `majority`, `adjudicated` or `unresolved`."""


def reviewer_name(name: str) -> str:
    """The name under which a person's answers are kept: one person has one, however it was typed.

    >>> reviewer_name(" Zoe\u0301 ") == "Zo\u00e9"
    True

    Raises:
        InvalidInputError: No name, or one that does not print.
    """
    kept = unicodedata.normalize("NFC", name).strip()
    if not kept:
        raise errors.InvalidInputError.of([errors.Violation("reviewer", "expected a name, got none")])
    if not kept.isprintable():
        description = f"expected a name without control characters, got {name!r}"
        raise errors.InvalidInputError.of([errors.Violation("reviewer", description)])
    return kept


def shows_label(stratum: str, *, blind: bool, show: bool) -> bool:
    """Whether the machine's label may be shown: only in the certain stratum, which estimates nothing."""
    return show and not blind and stratum == "certain"


def missing(labels: Sequence[str | None], wanted: int) -> int:
    """How many further answers an item wants, given its answers (None: cannot tell) in their order.

    >>> missing([], 2), missing(["a", "b"], 2), missing(["a", "a"], 2), missing([None], 1)
    (2, 1, 0, 1)
    """
    wanted = min(max(wanted, 1), 2)
    given = [label for label in labels if label is not None]
    if len(labels) >= MOST_ANSWERS:
        return 0
    if len(labels) < wanted:
        return wanted - len(labels)
    if not given:
        return 1 if len(labels) < 2 else 0  # two who cannot tell settle it
    if len(given) == 1:
        return wanted - 1  # a double with one who could not tell asks somebody else
    return 0 if len(set(given)) == 1 else 1


def resolve(labels: Sequence[str | None]) -> Resolution:
    """The label that the answers give, in the order in which people first answered.

    >>> resolve(["a", "b", "b"]).method, resolve(["a", "b"]).label
    ('adjudicated', None)
    """
    given = [label for label in labels if label is not None]
    counts = collections.Counter(given).most_common()
    if not counts or (len(counts) > 1 and counts[0][1] == counts[1][1]):
        return Resolution(label=None, agreement=0.0, method="unresolved")
    label, count = counts[0]
    method = "adjudicated" if len(counts) > 1 else "single" if count == 1 else "majority"
    return Resolution(label=label, agreement=count / len(labels), method=method)


def choose(
    *,
    untouched: Sequence[reviews.TaskRow],
    extras: Sequence[reviews.TaskRow],
    limit: int,
    label_room: int,
    untouched_count: int,
) -> list[reviews.TaskRow]:
    """The tasks to hand out, in serving order.

    Args:
        untouched: Items that nobody has answered or holds, in serving order.
        extras: Items that want one more person, in serving order.
        limit: At most so many.
        label_room: Labels that can still be paid, those of present holders taken off.
        untouched_count: Items that nobody has answered or holds, whether they are among `untouched` or not
            yet in the database. A second or third label is only paid when every item could still get its
            first.
    """
    extra_room = max(0, label_room - untouched_count)
    served = sorted([*untouched, *extras[:extra_room]], key=lambda task: task.position)
    return served[: max(0, min(limit, label_room))]


def extra_limit(*, limit: int, label_room: int, untouched_count: int) -> int:
    """How many extras can matter to `choose`."""
    return max(0, min(limit, label_room - untouched_count))


def is_complete(record: reviews.BatchRecord, *, open_tasks: int, holds: int) -> bool:
    """Whether nobody will ever get a task again: all is answered, or the batch's labels are used up."""
    if holds:
        return False
    if record.label_count >= record.label_cap:
        return True
    return record.answered_count >= record.item_count and open_tasks == 0


def flush_is_due(
    *,
    rows: int,
    oldest: datetime.datetime | None,
    now: datetime.datetime,
    most_rows: int,
    most_seconds: float,
) -> bool:
    """Whether the answers that are in no segment yet are to be written to the store."""
    if rows <= 0 or oldest is None:
        return False
    return rows >= most_rows or (now - oldest).total_seconds() >= most_seconds


def check_label(label: str | None, classes: Sequence[str]) -> errors.InvalidInputError | None:
    """What is wrong with a label, with the nearest class; None when it is one or means "cannot tell"."""
    if label is None or label in classes:
        return None
    near = difflib.get_close_matches(label, classes, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    shown = ", ".join(repr(name) for name in itertools.islice(classes, 20)) + (
        ", …" if len(classes) > 20 else ""
    )
    description = f"expected one of {shown}; got {label!r}{hint}"
    return errors.InvalidInputError.of([errors.Violation("label", description)], reason="UNKNOWN_LABEL")


def refusal(
    *,
    task: str,
    reviewer: str,
    row: reviews.TaskRow | None,
    holds: Sequence[reviews.HoldRow],
    now: datetime.datetime,
) -> errors.ActuaryError | None:
    """Why a reviewer who has not answered a task yet may not do so; None when it may."""
    if row is None:
        return errors.NotFoundError(f"task {task}: no such task has been handed out", metadata={"task": task})
    mine = next((hold for hold in holds if hold.reviewer == reviewer), None)
    if mine is not None and mine.end_time > now:
        return None
    if mine is not None:
        return errors.RefusedError(
            f"task {task}: your lease ended at {mine.end_time:%Y-%m-%d %H:%M:%S} UTC; take it again",
            reason="LEASE_ENDED",
            metadata={"task": task},
        )
    if row.missing <= 0:
        return errors.PreconditionError(
            f"task {task} is not open: it has all the answers that it wants",
            reason="TASK_NOT_OPEN",
            metadata={"task": task},
        )
    if any(hold.end_time > now for hold in holds):
        return errors.RefusedError(
            f"task {task} is not yours: somebody else holds it", reason="NOT_YOURS", metadata={"task": task}
        )
    return errors.RefusedError(
        f"task {task} is not yours: take it first (a lease that ended comes back to the others)",
        reason="NOT_YOURS",
        metadata={"task": task},
    )

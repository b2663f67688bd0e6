"""Answers as they are handed in: each is accepted or refused on its own, and counts once.

A submission works inside one session of the batch: it reads at once what its answers concern, takes them
one after the other in memory, and writes what they change at once.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
from collections.abc import Sequence

import pyarrow as pa

from actuary import errors, metrics
from actuary.review import batch, policy, segments
from actuary.state import reviews


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer."""

    task: str
    label: str | None
    """None: cannot tell."""
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one answer."""

    task: str
    error: errors.ActuaryError | None = None
    """Why it was refused; None when it counts."""
    fresh: bool = False
    """Whether it changed something: the same answer, sent again, does not."""

    @property
    def accepted(self) -> bool:
        """Whether the answer counts now."""
        return self.error is None


class Submission:
    """The answers of one call, taken one after the other against what the session has read at once."""

    def __init__(
        self,
        session: reviews.Session,
        spec: batch.BatchSpec,
        rows: pa.Table,
        reviewer: str,
        now: datetime.datetime,
        positions: Sequence[int],
    ) -> None:
        self._session = session
        self._spec = spec
        self._rows = rows
        self._reviewer = reviewer
        self._now = now
        self._tasks = session.tasks(positions)
        self._holds: dict[int, list[reviews.HoldRow]] = {}
        for hold in session.holds(positions=positions):
            self._holds.setdefault(hold.position, []).append(hold)
        self._answers = session.current_answers(positions)
        self._added: list[reviews.AnswerRow] = []
        self._touched: set[int] = set()
        self._counted: dict[metrics.Key, float] = collections.defaultdict(float)
        self._paid = 0
        self._first = 0

    def take(self, answers: Sequence[Answer]) -> tuple[Result, ...]:
        """Takes the answers and writes what they change."""
        results = tuple(self._result(answer) for answer in answers)
        if self._added:
            session, record = self._session, self._session.record
            session.add_answers(self._added)
            session.update_tasks(self._tasks[position] for position in sorted(self._touched))
            session.release(self._reviewer, sorted(self._touched))
            session.count(self._counted)
            session.set(
                sequence=self._added[-1].sequence,
                label_count=record.label_count + self._paid,
                answered_count=record.answered_count + self._first,
            )
        return results

    def _result(self, answer: Answer) -> Result:
        before = len(self._added)
        error = self._take(answer)
        return Result(task=answer.task, error=error, fresh=len(self._added) > before)

    def _take(self, answer: Answer) -> errors.ActuaryError | None:
        wrong = policy.check_label(answer.label, self._spec.class_names)
        if wrong is not None:
            return wrong
        position = segments.position_of(answer.task)
        current = self._answers.get(position, [])
        mine = next((row for row in current if row.reviewer == self._reviewer), None)
        if mine is not None and mine.label == answer.label:
            return None  # sent again
        if not self._session.record.running:
            return errors.PreconditionError(
                f"task {answer.task} is not open: {self._spec.name} has ended", reason="BATCH_ENDED"
            )
        if mine is None:
            refused = policy.refusal(
                task=answer.task,
                reviewer=self._reviewer,
                row=self._tasks.get(position),
                holds=self._holds.get(position, []),
                now=self._now,
            )
            if refused is not None:
                return refused
        self._record(position, answer, mine)
        return None

    def _record(self, position: int, answer: Answer, mine: reviews.AnswerRow | None) -> None:
        task = self._tasks[position]
        stratum, blind = self._rows["stratum"][position].as_py(), self._rows["blind"][position].as_py()
        row = reviews.AnswerRow(
            batch=self._spec.name,
            sequence=self._session.record.sequence + len(self._added) + 1,
            position=position,
            item_id=task.item_id,
            reviewer=self._reviewer,
            label=answer.label,
            seconds=answer.seconds,
            blind=not policy.shows_label(stratum, blind=blind, show=self._spec.show_machine_label),
            arrived=self._now,
            supersedes=None if mine is None else mine.sequence,
        )
        self._added.append(row)
        others = [each for each in self._answers.get(position, []) if each is not mine]
        self._answers[position] = [*others, row]
        self._counted[metrics.HUMAN_SECONDS.key()] += answer.seconds
        if mine is None:
            self._paid += 1
            self._first += not others
            outcome = "CANNOT_TELL" if answer.label is None else "LABEL"
            self._counted[metrics.ANSWERS.key(outcome=outcome)] += 1
            if len(others) == 1:
                agreed = "yes" if others[0].label == answer.label else "no"
                self._counted[metrics.DOUBLES.key(agreed=agreed)] += 1
        labels = [each.label for each in self._answers[position]]
        wanted = self._rows["labels_wanted"][position].as_py()
        self._tasks[position] = dataclasses.replace(
            task, answers=len(labels), missing=policy.missing(labels, wanted)
        )
        self._touched.add(position)

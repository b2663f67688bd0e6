"""Scores tables: rows in, columns of answers out, in the order of the rows.

Annotator and critic both turn rows into prompts, prompts into answers and answers into columns; this is the
part that they share. A piece of rows is cut into batches as large as the model takes, all batches of all
pieces share one window, and a piece comes back when its last batch does.

It deliberately knows no outcome, no price and no table of results.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from actuary import errors
from actuary.models import protocol, window

_PASSING = (errors.UnavailableError, errors.ExhaustedError)
"""Errors of rendering that are about the store and not about the row."""

Render = Callable[[pa.Table], list[protocol.Prompt]]
"""Makes the prompts of rows, one a row."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Answers to N rows, in their order; rows in `failures` have none."""

    position: int
    """Which piece, from 0 in the order given."""
    answered: npt.NDArray[np.bool_]
    label_index: protocol.Longs
    """[N]; -1 where the model abstained."""
    log_probabilities: protocol.Floats | None
    """[N, K]; NaN where there are none."""
    confidence: protocol.Floats
    """[N]; NaN where the model says nothing."""
    tokens_in: protocol.Longs
    tokens_out: protocol.Longs
    compute_seconds: protocol.Floats
    failures: Mapping[int, str]
    """Reason by row."""
    retries: Mapping[str, int]


class _Gather:
    """A piece whose answers are coming in."""

    def __init__(self, position: int, ids: Sequence[str], failures: dict[int, str], options: int) -> None:
        n = len(ids) + len(failures)
        self.position = position
        self.missing = len(ids)
        self._ids = ids
        self._rows = np.setdiff1d(np.arange(n), list(failures)) if failures else None
        self._index: dict[str, int] = {}
        self._options = options
        self._failures = failures
        self._retries: dict[str, int] = {}
        self._answered = np.zeros(n, np.bool_)
        self._label = np.full(n, -1, np.int64)
        self._logs: protocol.Floats | None = None
        self._confidence = np.full(n, np.nan)
        self._tokens_in = np.zeros(n, np.int64)
        self._tokens_out = np.zeros(n, np.int64)
        self._seconds = np.zeros(n)

    def add(self, start: int, stop: int, scored: window.Scored) -> None:
        """Takes the answers to the prompts from `start` to `stop`."""
        scores = scored.scores
        rows = self._where(start, stop, scores.item_ids)
        self._answered[rows] = True
        self._label[rows] = scores.label_index
        if scores.log_probabilities is not None and len(scores.item_ids):
            if self._logs is None:
                self._logs = np.full((len(self._label), self._options), np.nan)
            self._logs[rows] = scores.log_probabilities
        self._confidence[rows] = scores.confidence
        self._tokens_in[rows] = scores.tokens_in
        self._tokens_out[rows] = scores.tokens_out
        self._seconds[rows] = scores.compute_seconds
        if scores.failures:
            failed = list(scores.failures)
            for row, item_id in zip(self._where(start, stop, failed).tolist(), failed, strict=True):
                self._failures[row] = scores.failures[item_id]
        for reason, count in scored.retries.items():
            self._retries[reason] = self._retries.get(reason, 0) + count
        self.missing -= stop - start

    def answers(self) -> Answers:
        return Answers(
            position=self.position,
            answered=self._answered,
            label_index=self._label,
            log_probabilities=self._logs,
            confidence=self._confidence,
            tokens_in=self._tokens_in,
            tokens_out=self._tokens_out,
            compute_seconds=self._seconds,
            failures=self._failures,
            retries=self._retries,
        )

    def _where(self, start: int, stop: int, ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Rows of the answers: nearly always those that were sent, in that order."""
        if ids == self._ids[start:stop]:
            prompts = np.arange(start, stop)
        else:
            if not self._index:
                self._index = {item_id: at for at, item_id in enumerate(self._ids)}
            prompts = np.fromiter((self._index[item_id] for item_id in ids), np.int64, len(ids))
        return prompts if self._rows is None else self._rows[prompts]


async def score(
    model: protocol.Model,
    pieces: AsyncIterator[pa.Table],
    render: Render,
    options: Sequence[str],
    settings: window.WindowSettings | None = None,
) -> AsyncIterator[Answers]:
    """Scores pieces of a table; each comes back when it is complete, in any order.

    A row whose prompt cannot be made (its image is gone) fails alone.

    Args:
        model: an open model.
        pieces: rows of the table of items; ids are unique inside a piece.
        render: makes prompts.
        options: what to choose from.
        settings: of the window.
    """
    step = model.capabilities.max_batch
    batches: dict[int, tuple[_Gather, int, int]] = {}
    ready: list[Answers] = []

    async def cut() -> AsyncIterator[Sequence[protocol.Prompt]]:
        position = 0
        batch = 0
        async for rows in pieces:
            prompts, failures = _render(render, rows)
            gather = _Gather(position, [p.item_id for p in prompts], failures, len(options))
            position += 1
            if not prompts:
                ready.append(gather.answers())
            for start in range(0, len(prompts), step):
                stop = min(start + step, len(prompts))
                batches[batch] = gather, start, stop
                batch += 1
                yield prompts[start:stop] if stop - start < len(prompts) else prompts

    async for scored in window.run(model, cut(), options, settings):
        while ready:
            yield ready.pop()
        gather, start, stop = batches.pop(scored.position)
        gather.add(start, stop, scored)
        if not gather.missing:
            yield gather.answers()
    while ready:
        yield ready.pop()


def _render(render: Render, rows: pa.Table) -> tuple[list[protocol.Prompt], dict[int, str]]:
    """The prompts of rows and, by row, the reasons of those that have none."""
    try:
        return render(rows), {}
    except _PASSING:
        raise
    except errors.ActuaryError as error:
        if rows.num_rows == 1:
            return [], {0: error.message}
    prompts: list[protocol.Prompt] = []
    failures: dict[int, str] = {}
    for row in range(rows.num_rows):
        made, failed = _render(render, rows.slice(row, 1))
        prompts += made
        if failed:
            failures[row] = failed[0]
    return prompts, failures


def most_tokens_in(
    head: Sequence[protocol.Text], rows: pa.Table, size: Callable[[str], int]
) -> protocol.Longs:
    """The most tokens that each row's prompt can have, by the convention of `protocol.count_tokens`.

    The in-process models count exactly so. An adapter with a tokenizer will have to bring its own bound.

    Args:
        head: the parts that come first in each prompt.
        rows: of the table of items.
        size: bytes of an image that is kept apart, by its `image_uri`.
    """
    fixed = sum(len(part.text) // protocol.CHARACTERS_PER_TOKEN for part in head)
    total = np.full(rows.num_rows, fixed, np.int64)
    for name in ("text", "question"):
        if name in rows.column_names and rows.column(name).null_count < rows.num_rows:
            total += _numbers(pc.utf8_length(rows.column(name))) // protocol.CHARACTERS_PER_TOKEN
    for name in ("image", "image_uri"):
        if name in rows.column_names and rows.column(name).null_count < rows.num_rows:
            column = rows.column(name)
            if name == "image":
                sizes = _numbers(pc.binary_length(column))
            else:
                sizes = np.array([size(uri) if uri else 0 for uri in column.to_pylist()], np.int64)
            total += -(-sizes // protocol.BYTES_PER_IMAGE_TOKEN)
    return total


def _numbers(column: pa.ChunkedArray) -> protocol.Longs:
    return np.asarray(pc.fill_null(column, 0).to_numpy(), np.int64)

"""Calls a model on many batches with as many calls in flight as it takes well, and with retries.

The window grows by one a round while latency stays flat and shrinks when latency or the model itself says
that it is too much (additive increase, multiplicative decrease: Chiu and Jain 1989; latency as the signal:
Brakmo and Peterson 1995). Answers come as they are ready: a slow batch delays nobody but itself. A model that
computes in this process gets one call at a time, without a task or a thread.

Retried is only what can succeed later: UnavailableError, ExhaustedError and timeouts, with full jitter, until
the deadline. What fails for good is halved until the items that cause it stand alone and are failures.

It deliberately knows no money and no chunk: the caller decides what to send.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import tenacity

from actuary import errors
from actuary.models import protocol

_RETRIED = (errors.UnavailableError, errors.ExhaustedError, TimeoutError)
_FATAL = (
    errors.UnavailableError,
    errors.ExhaustedError,
    errors.PreconditionError,
    errors.NotFoundError,
    errors.RefusedError,
)
"""Errors that are about the model and not about an item: every other item would get them too."""
_GRACE = 0.005
"""Seconds of latency that count as flat whatever the baseline: the event loop's own noise. A guess."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WindowSettings:
    """How the window moves and how long it tries."""

    smallest: int = 1
    start: int = 4
    largest: int = 256
    """Calls in flight at most."""
    flat: float = 1.5
    """Latency up to so many times the lowest seen counts as flat. A guess: batching servers answer a fuller
    batch a little later."""
    deadline_seconds: float = 600.0
    """From the first attempt of a call until it is given up: longer than a server takes to restart."""
    timeout_seconds: float = 120.0
    """One attempt."""
    first_wait_seconds: float = 0.5
    """Bound of the first pause; each one after is drawn below twice the bound before."""
    longest_wait_seconds: float = 30.0


class Scored(NamedTuple):
    """All answers to one batch."""

    position: int
    """Which batch, from 0 in the order given."""
    scores: protocol.ScoreBatch
    retries: dict[str, int]
    """Attempts that were repeated, by reason: UNAVAILABLE, EXHAUSTED, TIMEOUT."""
    seconds: float
    """From the batch's first call to its last answer."""


class Window:
    """How many calls may be in flight; moved by what each call met. Knows no clock."""

    def __init__(self, settings: WindowSettings) -> None:
        self._settings = settings
        self._limit = float(min(max(settings.start, settings.smallest), settings.largest))
        self._lowest: float | None = None
        self._rest = 0

    @property
    def limit(self) -> int:
        """Calls in flight at most."""
        return int(self._limit)

    def answered(self, seconds: float, *, in_flight: int) -> None:
        """A call was answered. A window that was not full of late does not grow.

        Args:
            seconds: latency of the call.
            in_flight: the most calls that were in flight during the last round.
        """
        # the baseline creeps up by 1 % a call, so that a model that became slower for good is believed
        self._lowest = seconds if self._lowest is None else min(seconds, self._lowest * 1.01)
        if seconds > self._settings.flat * self._lowest + _GRACE:
            self._shrink(0.9)
        elif in_flight >= self.limit:
            self._limit = min(self._limit + 1 / self._limit, float(self._settings.largest))
        self._rest = max(self._rest - 1, 0)

    def pushed_back(self) -> None:
        """The model said that it is too much, or did not answer."""
        self._shrink(0.5)
        self._rest = max(self._rest - 1, 0)

    def _shrink(self, factor: float) -> None:
        # once a round: what is in flight already was sent under the old window
        if self._rest == 0:
            self._limit = max(self._limit * factor, float(self._settings.smallest))
            self._rest = self.limit


async def run(
    model: protocol.Model,
    batches: AsyncIterator[Sequence[protocol.Prompt]] | Iterable[Sequence[protocol.Prompt]],
    options: Sequence[str],
    settings: WindowSettings | None = None,
) -> AsyncIterator[Scored]:
    """Scores every batch; yields each as soon as it is complete, in any order.

    Batches are pulled only when the window has room, so memory is bounded by the window. A batch larger than
    the model takes is sent in pieces and comes back whole.

    Args:
        model: an open model.
        batches: prompts; ids are unique inside a batch.
        options: what to choose from, K of them.
        settings: of the window.

    Raises:
        errors.UnavailableError: the model did not answer until the deadline; nothing is marked as failed.
        errors.ActuaryError: the model cannot do this at all.
    """
    settings = settings or WindowSettings()
    caller = _Caller(model, tuple(options), settings)
    source = _iterate(batches)
    if not model.capabilities.concurrent:
        position = 0
        async for batch in source:
            yield await caller.batch(position, batch)
            position += 1
        return
    tasks: set[asyncio.Task[Scored]] = set()
    position, exhausted = 0, False
    try:
        while not exhausted or tasks:
            while not exhausted and caller.has_room(len(tasks)):
                try:
                    batch = await anext(source)
                except StopAsyncIteration:
                    exhausted = True
                    break
                tasks.add(asyncio.create_task(caller.batch(position, batch)))
                position += 1
                await asyncio.sleep(0)  # lets it take its place in the window, which has_room looks at
            if not tasks:
                continue
            ready, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ready:
                yield task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _iterate(
    batches: AsyncIterator[Sequence[protocol.Prompt]] | Iterable[Sequence[protocol.Prompt]],
) -> AsyncIterator[Sequence[protocol.Prompt]]:
    if isinstance(batches, Iterable):
        for batch in batches:
            yield batch
    else:
        async for batch in batches:
            yield batch


class _Caller:
    """Sends batches to one model under one window."""

    def __init__(self, model: protocol.Model, options: tuple[str, ...], settings: WindowSettings) -> None:
        self._model = model
        self._options = options
        self._settings = settings
        self._window = Window(settings)
        self._in_flight = 0
        self._peak = 0
        self._answers = 0
        self._waiting: collections.deque[asyncio.Future[None]] = collections.deque()

    def has_room(self, batches: int) -> bool:
        # batches that wait for their next attempt leave room for others, but not without end
        limit = self._window.limit
        return self._in_flight < limit and not self._waiting and batches < 2 * limit

    async def batch(self, position: int, prompts: Sequence[protocol.Prompt]) -> Scored:
        start = time.monotonic()
        retries: dict[str, int] = {}
        step = self._model.capabilities.max_batch
        if len(prompts) <= step:
            pieces = [await self._piece(prompts, retries, self._settings.deadline_seconds)]
        elif self._model.capabilities.concurrent:
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [
                        group.create_task(self._piece(each, retries, self._settings.deadline_seconds))
                        for each in _cut(prompts, step)
                    ]
            except BaseExceptionGroup as several:
                raise several.exceptions[0] from several
            pieces = [task.result() for task in tasks]
        else:
            deadline = self._settings.deadline_seconds
            pieces = [await self._piece(each, retries, deadline) for each in _cut(prompts, step)]
        return Scored(position, merge(pieces, len(self._options)), retries, time.monotonic() - start)

    async def _piece(
        self, prompts: Sequence[protocol.Prompt], retries: dict[str, int], deadline: float
    ) -> protocol.ScoreBatch:
        try:
            return await self._retried(prompts, retries, deadline)
        except _FATAL:
            raise
        except Exception as error:
            if len(prompts) == 1:
                return _failed(prompts[0].item_id, error, len(self._options))
            # what timed out until the deadline gets one more attempt a half, not one more deadline
            deadline = 0.0 if isinstance(error, TimeoutError) else deadline
        middle = len(prompts) // 2
        halves = [await self._piece(half, retries, deadline) for half in (prompts[:middle], prompts[middle:])]
        return merge(halves, len(self._options))

    async def _retried(
        self, prompts: Sequence[protocol.Prompt], retries: dict[str, int], deadline: float
    ) -> protocol.ScoreBatch:
        if not self._model.capabilities.concurrent:
            # retries of an object that is in this process would meet the same error
            answers = await self._model.score(prompts, self._options)
            protocol.check_answers(prompts, answers, len(self._options))
            return answers

        def count(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            reason = "DEADLINE_EXCEEDED" if isinstance(error, TimeoutError) else getattr(error, "code", "")
            retries[reason] = retries.get(reason, 0) + 1

        attempts = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_RETRIED),
            wait=tenacity.wait_random_exponential(
                multiplier=self._settings.first_wait_seconds, max=self._settings.longest_wait_seconds
            ),
            stop=tenacity.stop_before_delay(deadline) if deadline else tenacity.stop_after_attempt(1),
            before_sleep=count,
            reraise=True,
        )
        return await attempts(self._attempt, prompts)

    async def _attempt(self, prompts: Sequence[protocol.Prompt]) -> protocol.ScoreBatch:
        await self._enter()
        clock = asyncio.get_running_loop().time
        start = clock()
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                answers = await self._model.score(prompts, self._options)
        except _RETRIED:
            self._window.pushed_back()
            raise
        else:
            self._window.answered(clock() - start, in_flight=self._peak)
        finally:
            self._leave()
        protocol.check_answers(prompts, answers, len(self._options))
        return answers

    async def _enter(self) -> None:
        while self._in_flight >= self._window.limit:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            finally:
                if turn in self._waiting:
                    self._waiting.remove(turn)
        self._in_flight += 1
        self._peak = max(self._peak, self._in_flight)

    def _leave(self) -> None:
        self._in_flight -= 1
        self._answers += 1
        if self._answers >= self._window.limit:  # a round is over
            self._answers, self._peak = 0, self._in_flight + 1
        for _ in range(min(len(self._waiting), self._window.limit - self._in_flight)):
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)


def _cut(prompts: Sequence[protocol.Prompt], step: int) -> list[Sequence[protocol.Prompt]]:
    return [prompts[i : i + step] for i in range(0, len(prompts), step)]


def _failed(item_id: str, error: Exception, options: int) -> protocol.ScoreBatch:
    reason = str(error) or type(error).__name__
    if not isinstance(error, errors.ActuaryError):
        reason = f"{type(error).__name__}: {reason}" if str(error) else type(error).__name__
    empty = merge([], options)
    return dataclasses.replace(empty, failures={item_id: reason})


def merge(parts: Sequence[protocol.ScoreBatch], options: int) -> protocol.ScoreBatch:
    """One batch of several, in their order.

    Args:
        parts: answers to disjoint prompts.
        options: K.
    """
    if len(parts) == 1:
        return parts[0]
    with_rows = [p for p in parts if len(p.item_ids)]
    logs = None
    if any(p.log_probabilities is not None for p in with_rows):
        unknown = [np.full((len(p.item_ids), options), np.nan) for p in with_rows]
        given = [p.log_probabilities for p in with_rows]
        logs = np.concatenate([u if g is None else g for g, u in zip(given, unknown, strict=True)])
    return protocol.ScoreBatch(
        item_ids=[i for p in with_rows for i in p.item_ids],
        label_index=np.concatenate([np.zeros(0, np.int64), *(p.label_index for p in with_rows)]),
        log_probabilities=logs,
        confidence=np.concatenate([np.zeros(0), *(p.confidence for p in with_rows)]),
        tokens_in=np.concatenate([np.zeros(0, np.int64), *(p.tokens_in for p in with_rows)]),
        tokens_out=np.concatenate([np.zeros(0, np.int64), *(p.tokens_out for p in with_rows)]),
        compute_seconds=np.concatenate([np.zeros(0), *(p.compute_seconds for p in with_rows)]),
        failures={i: reason for p in parts for i, reason in p.failures.items()},
    )

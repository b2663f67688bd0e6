"""The window: growth, retries, splitting; on an event loop whose time is the test's."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import numpy as np
import pytest

from actuary import errors
from actuary.models import null, protocol, window

OPTIONS = ("a", "b")


class TurnedLoop(asyncio.SelectorEventLoop):
    """An event loop that does not wait: when everybody sleeps it turns its clock to whoever wakes first."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self.now = max(self.now, self._scheduled[0]._when)
        super()._run_once()


Behaviour = Callable[[Sequence[protocol.Prompt]], Awaitable[None]]


@dataclasses.dataclass
class Scripted:
    """The null model behind a server that behaves as the test says."""

    behaviour: Behaviour
    max_batch: int = 100
    concurrent: bool = True
    calls: list[int] = dataclasses.field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    def __post_init__(self) -> None:
        self.inner = null.NullModel(protocol.ModelSpec(kind="null"), protocol.ModelContext(classes=OPTIONS))
        self.capabilities = dataclasses.replace(
            self.inner.capabilities, max_batch=self.max_batch, concurrent=self.concurrent
        )

    async def score(self, prompts: Sequence[protocol.Prompt], options: Sequence[str]) -> protocol.ScoreBatch:
        self.calls.append(len(prompts))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await self.behaviour(prompts)
        finally:
            self.in_flight -= 1
        return await self.inner.score(prompts, options)

    async def generate(
        self, prompts: Sequence[protocol.Prompt], limits: protocol.Limits
    ) -> protocol.GenerationBatch:
        return await self.inner.generate(prompts, limits)

    async def close(self) -> None:
        pass


def batch(*ids: str) -> list[protocol.Prompt]:
    return [protocol.Prompt(i, (protocol.Text("text"),)) for i in ids]


def collect(
    model: protocol.Model, batches: list[list[protocol.Prompt]], **settings: float
) -> list[window.Scored]:
    async def go() -> list[window.Scored]:
        chosen = window.WindowSettings(**settings)  # type: ignore[arg-type]
        return [scored async for scored in window.run(model, batches, OPTIONS, chosen)]

    with asyncio.Runner(loop_factory=TurnedLoop) as runner:
        return runner.run(go())


async def at_once(prompts: Sequence[protocol.Prompt]) -> None:
    return None


def test_every_batch_comes_back_once() -> None:
    batches = [batch(f"{i}a", f"{i}b") for i in range(50)]
    scored = collect(Scripted(at_once), batches)
    assert sorted(s.position for s in scored) == list(range(50))
    assert all(list(s.scores.item_ids) == [f"{s.position}a", f"{s.position}b"] for s in scored)


def test_a_slow_batch_delays_nobody_but_itself() -> None:
    async def slow(prompts: Sequence[protocol.Prompt]) -> None:
        await asyncio.sleep(60 if prompts[0].item_id == "0" else 0.1)

    scored = collect(Scripted(slow), [batch(str(i)) for i in range(40)])
    assert [s.position for s in scored][-1] == 0
    assert len(scored) == 40


def test_a_model_in_this_process_gets_one_call_at_a_time_in_order() -> None:
    model = Scripted(at_once, concurrent=False, max_batch=2)
    scored = collect(model, [batch("a", "b", "c"), batch("d")])
    assert [s.position for s in scored] == [0, 1]
    assert list(scored[0].scores.item_ids) == ["a", "b", "c"]
    assert model.calls == [2, 1, 1]
    assert model.most_in_flight == 1


def test_the_window_grows_while_latency_is_flat_and_stops_at_the_largest() -> None:
    async def flat(prompts: Sequence[protocol.Prompt]) -> None:
        await asyncio.sleep(1)

    model = Scripted(flat)
    collect(model, [batch(str(i)) for i in range(400)], start=2, largest=12)
    assert model.most_in_flight == 12


def test_latency_that_rises_closes_the_window() -> None:
    state = window.Window(window.WindowSettings(start=16))
    state.answered(1.0, in_flight=16)
    for _ in range(200):
        state.answered(5.0 if state.limit > 6 else 1.0, in_flight=state.limit)
    assert 4 <= state.limit <= 7


def test_push_back_halves_the_window_once_a_round() -> None:
    state = window.Window(window.WindowSettings(start=16))
    for _ in range(5):
        state.pushed_back()
    assert state.limit == 8
    for _ in range(8):
        state.answered(1.0, in_flight=1)
    state.pushed_back()
    assert state.limit == 4


def test_a_model_that_only_pushes_back_is_asked_one_call_at_a_time_in_the_end() -> None:
    state = window.Window(window.WindowSettings(start=256))
    for _ in range(1000):
        state.pushed_back()
    assert state.limit == 1


def test_a_window_that_is_not_full_does_not_grow() -> None:
    state = window.Window(window.WindowSettings(start=4))
    for _ in range(100):
        state.answered(1.0, in_flight=2)
    assert state.limit == 4


def test_what_can_succeed_later_is_repeated_and_counted() -> None:
    times = iter(range(100))

    async def busy(prompts: Sequence[protocol.Prompt]) -> None:
        turn = next(times)
        if turn < 2:
            raise errors.UnavailableError("starting")
        if turn == 2:
            raise errors.ExhaustedError("too fast")
        if turn == 3:
            await asyncio.sleep(1000)

    (scored,) = collect(Scripted(busy), [batch("a")], timeout_seconds=5)
    assert scored.retries == {"UNAVAILABLE": 2, "RESOURCE_EXHAUSTED": 1, "DEADLINE_EXCEEDED": 1}
    assert list(scored.scores.item_ids) == ["a"]
    assert scored.scores.failures == {}


def test_a_model_that_stays_away_fails_the_run_and_no_item() -> None:
    async def away(prompts: Sequence[protocol.Prompt]) -> None:
        raise errors.UnavailableError("gone")

    with pytest.raises(errors.UnavailableError, match="gone"):
        collect(Scripted(away), [batch("a"), batch("b")], deadline_seconds=0.05, first_wait_seconds=0.001)


@pytest.mark.parametrize("concurrent", [True, False])
def test_one_bad_item_fails_alone(concurrent: bool) -> None:
    async def bad(prompts: Sequence[protocol.Prompt]) -> None:
        if any(p.item_id == "i37" for p in prompts):
            raise ValueError("cannot read it")

    model = Scripted(bad, concurrent=concurrent)
    (scored,) = collect(model, [batch(*(f"i{i}" for i in range(64)))])
    assert scored.scores.failures == {"i37": "ValueError: cannot read it"}
    assert sorted(scored.scores.item_ids) == sorted(f"i{i}" for i in range(64) if i != 37)
    assert len(model.calls) <= 1 + 2 * 6


def test_an_item_that_always_times_out_fails_alone() -> None:
    async def hangs(prompts: Sequence[protocol.Prompt]) -> None:
        if any(p.item_id == "b" for p in prompts):
            await asyncio.sleep(10_000)

    (scored,) = collect(Scripted(hangs), [batch("a", "b", "c")], timeout_seconds=1, deadline_seconds=0.01)
    assert scored.scores.failures == {"b": "TimeoutError"}
    assert sorted(scored.scores.item_ids) == ["a", "c"]


def test_what_no_item_can_pass_ends_the_run() -> None:
    async def unable(prompts: Sequence[protocol.Prompt]) -> None:
        raise errors.UnsupportedError("no images")

    with pytest.raises(errors.UnsupportedError, match="no images"):
        collect(Scripted(unable, max_batch=1), [batch("a", "b")])


def test_an_answer_for_another_item_is_no_answer() -> None:
    @dataclasses.dataclass
    class Confused(Scripted):
        async def score(
            self, prompts: Sequence[protocol.Prompt], options: Sequence[str]
        ) -> protocol.ScoreBatch:
            answers = await super().score(prompts, options)
            return dataclasses.replace(answers, item_ids=["x" for _ in prompts])

    (scored,) = collect(Confused(at_once), [batch("a")])
    assert "not asked for" in scored.scores.failures["a"]


def test_batches_are_pulled_only_when_there_is_room() -> None:
    pulled = 0

    async def source() -> AsyncIterator[list[protocol.Prompt]]:
        nonlocal pulled
        for i in range(1000):
            pulled += 1
            yield batch(str(i))

    async def go() -> int:
        answers = window.run(Scripted(slow), source(), OPTIONS, window.WindowSettings(start=2, largest=8))
        await anext(answers)
        seen = pulled
        await answers.aclose()  # type: ignore[attr-defined]
        return seen

    async def slow(prompts: Sequence[protocol.Prompt]) -> None:
        await asyncio.sleep(1)

    with asyncio.Runner(loop_factory=TurnedLoop) as runner:
        assert runner.run(go()) <= 16


def test_merging_keeps_rows_and_failures() -> None:
    async def go() -> protocol.ScoreBatch:
        model = Scripted(at_once)
        first = await model.score(batch("a", "b"), OPTIONS)
        second = dataclasses.replace(await model.score(batch("c"), OPTIONS), log_probabilities=None)
        third = dataclasses.replace(window.merge([], 2), failures={"d": "why"})
        return window.merge([first, second, third], 2)

    merged = asyncio.run(go())
    assert list(merged.item_ids) == ["a", "b", "c"]
    assert merged.log_probabilities is not None
    assert np.isnan(merged.log_probabilities).any(axis=1).tolist() == [False, False, True]
    assert merged.failures == {"d": "why"}

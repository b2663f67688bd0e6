"""How often processes report: at most 100 times a second, however many they are."""

from __future__ import annotations

import heapq

import pytest

from actuary.rpc import worker


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_few_processes_report_every_half_second():
    pace = worker.Pace(Clock())

    assert [pace.next_seconds("j", index, done=False) for index in range(50)] == [0.5] * 50


@pytest.mark.parametrize("processes", [10, 200, 5000])
def test_all_processes_together_send_at_most_100_reports_a_second(processes):
    clock = Clock()
    pace = worker.Pace(clock)
    due = [(0.01 * index, index) for index in range(processes)]  # they start one after another
    heapq.heapify(due)
    times = []
    while due[0][0] < 60 + 0.02 * processes:
        clock.now, index = heapq.heappop(due)
        times.append(clock.now)
        heapq.heappush(due, (clock.now + pace.next_seconds("j", index, done=False), index))

    settled = [time for time in times if time > 30 + 0.01 * processes]
    rate = len(settled) / (settled[-1] - settled[0])
    assert rate <= 100 * 1.01


def test_processes_that_are_done_or_silent_leave_their_share_to_the_others():
    clock = Clock()
    pace = worker.Pace(clock)
    for index in range(1000):
        pace.next_seconds("j", index, done=False)
    assert pace.next_seconds("j", 0, done=False) == pytest.approx(10)

    pace.next_seconds("j", 1, done=True)
    assert pace.live == 999
    clock.now = 31.0

    assert pace.next_seconds("j", 0, done=False) == 0.5
    assert pace.live == 1

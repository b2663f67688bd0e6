"""A controller's loop keeps its lease while it steps, however long that takes, and gives it back."""

from __future__ import annotations

import datetime
import itertools
import threading
import time

import pytest

from actuary.cli import loops
from actuary.state import database, leases
from component.kill import campaigns

LEASE_SECONDS = 0.6


def later() -> datetime.datetime:
    """The clock of a machine that is ahead."""
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)


@pytest.fixture
def table(tmp_path):
    db = database.Database.open(f"sqlite:///{tmp_path}/actuary.db")
    db.migrate()
    yield leases.Leases(db)
    db.close()


def loop(table, holder, step, **more) -> loops.Loop:
    return loops.Loop(
        "controllers/x",
        step,
        table=table,
        holder=holder,
        interval_seconds=0.01,
        lease_seconds=LEASE_SECONDS,
        **more,
    )


def test_a_step_longer_than_the_lease_keeps_the_lease_and_stopping_gives_it_to_the_next(table):
    entered, done, taken = threading.Event(), threading.Event(), threading.Event()

    def long_step() -> bool:
        entered.set()
        return done.wait(campaigns.LIMIT_SECONDS)

    first, second = loop(table, "first", long_step), loop(table, "second", lambda: taken.set() or True)
    first.start()
    assert entered.wait(10)
    second.start()
    assert not taken.wait(3 * LEASE_SECONDS), "the second stepped while the first was in a step"
    assert first.leading
    done.set()
    first.stop()
    assert taken.wait(10)
    second.stop()
    assert table.acquire("controllers/x", "third", 1.0) is not None


def test_who_loses_the_lease_to_another_stands_down_and_steps_no_more(table):
    entered, stood_down = threading.Event(), threading.Event()
    stepped: list[bool] = []

    def step() -> bool:
        entered.set()
        stepped.append(stood_down.is_set())
        return True

    first = loop(table, "first", step, stand_down=stood_down.set)
    first.start()
    assert entered.wait(10)
    # as if this process had been stopped for longer than its lease
    taken = table.acquire("controllers/x", "second", 3600.0)
    while taken is None:
        taken = leases.Leases(table._db, later).acquire("controllers/x", "second", 3600.0)
    assert stood_down.wait(campaigns.LIMIT_SECONDS)
    first.stop()
    assert not any(stepped)


def test_a_loop_in_which_nothing_goes_on_steps_seldom_until_it_is_woken(table):
    times: list[float] = []
    many, woken = threading.Event(), threading.Event()

    def step() -> bool:
        times.append(time.monotonic())
        if len(times) >= 8:
            many.set()
        if len(times) >= 10:
            woken.set()
        return False

    idle = loop(table, "first", step)
    idle.start()
    assert many.wait(10)
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert pauses[-1] >= 5 * 0.01
    while not woken.is_set():
        idle.wake()
    idle.stop()

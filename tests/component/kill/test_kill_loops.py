"""A controller's loop keeps its lease while it steps, however long that takes, and gives it back."""

from __future__ import annotations

import threading

import pytest

from actuary.cli import loops
from actuary.state import database, leases
from component.kill import campaigns

LEASE_SECONDS = 0.6


@pytest.fixture
def table(tmp_path):
    db = database.Database.open(f"sqlite:///{tmp_path}/actuary.db")
    db.migrate()
    yield leases.Leases(db)
    db.close()


def loop(table, holder, step) -> loops.Loop:
    return loops.Loop(
        "controllers/x",
        step,
        table=table,
        holder=holder,
        interval_seconds=0.01,
        lease_seconds=LEASE_SECONDS,
    )


def test_a_step_longer_than_the_lease_keeps_the_lease_and_stopping_gives_it_to_the_next(table):
    entered, done, taken = threading.Event(), threading.Event(), threading.Event()

    def long_step() -> None:
        entered.set()
        done.wait(campaigns.LIMIT_SECONDS)

    first, second = loop(table, "first", long_step), loop(table, "second", taken.set)
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

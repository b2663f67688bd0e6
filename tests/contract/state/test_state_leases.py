import subprocess

import pytest

from actuary.state import leases


@pytest.fixture
def store(db, clock):
    return leases.Leases(db, clock)


def test_while_one_holds_it_another_gets_none(store, clock):
    assert store.acquire("n", "a", 10).holder == "a"
    clock.advance(9.9)
    assert store.acquire("n", "b", 10) is None


def test_the_holder_renews_with_the_same_token(store, clock):
    first = store.acquire("n", "a", 10)
    clock.advance(9)
    again = store.acquire("n", "a", 10)
    assert again.token == first.token
    clock.advance(9)
    assert store.acquire("n", "b", 10) is None


def test_a_lease_that_ended_is_taken_over_with_a_larger_token(store, clock):
    first = store.acquire("n", "a", 10)
    clock.advance(10)
    second = store.acquire("n", "b", 10)
    assert second.token > first.token
    assert store.acquire("n", "a", 10) is None


def test_a_holder_that_comes_back_late_gets_a_larger_token(store, clock):
    first = store.acquire("n", "a", 10)
    clock.advance(11)
    assert store.acquire("n", "a", 10).token > first.token


def test_a_released_lease_is_free_at_once(store):
    store.release(store.acquire("n", "a", 10))
    assert store.acquire("n", "b", 10).holder == "b"


def test_releasing_what_is_no_longer_ours_changes_nothing(store, clock):
    first = store.acquire("n", "a", 10)
    clock.advance(11)
    store.acquire("n", "b", 10)
    store.release(first)
    assert store.acquire("n", "c", 10) is None


def test_of_many_threads_one_gets_it(store, together):
    held = together(*[lambda holder=holder: store.acquire("n", holder, 10) for holder in "abcdef"])
    assert sum(lease is not None for lease in held) == 1


def test_of_several_processes_one_gets_it(store, url, python):
    script = (
        "import os, sys; from actuary.state import database, leases;"
        "store = leases.Leases(database.Database.open(sys.argv[1]));"
        "print(store.acquire('n', str(os.getpid()), 60) is not None)"
    )
    processes = [
        subprocess.Popen([*python, script, url], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    assert sorted(process.communicate(timeout=60)[0].strip() for process in processes) == [
        "False",
        "False",
        "True",
    ]

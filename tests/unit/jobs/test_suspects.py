"""Who is blamed for a worker's death."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from actuary.jobs import suspects
from actuary.storage import folder

CHUNK = (7, 3)


def attempt_at(store: folder.FolderStore, number: int) -> suspects.Suspects:
    return suspects.Suspects(store, "campaigns/c/a1", 0, f"job/{number}")


def dies(record: suspects.Suspects, items: int, poison: set[int]) -> bool:
    """Works through the chunk as the pipeline does; true when the worker dies on the way."""
    if not record.suspected(CHUNK):
        record.open(CHUNK)
        if poison:
            return True
    else:
        for start, stop in record.parts(CHUNK, items):
            if stop - start == 1 and start in record.blamed(CHUNK):
                continue
            record.open(CHUNK, (start, stop))
            if poison & set(range(start, stop)):
                return True
    return False


@settings(deadline=None, max_examples=15)
@given(items=st.integers(1, 120), data=st.data())
def test_exactly_the_items_that_kill_are_blamed_after_four_deaths_each_at_most(items, data):
    poison = data.draw(st.sets(st.integers(0, items - 1), max_size=3))
    with tempfile.TemporaryDirectory() as root:
        store = folder.FolderStore(Path(root))
        deaths = 0
        record = attempt_at(store, deaths)
        while dies(record, items, poison):
            deaths += 1
            assert deaths <= 1 + 3 * len(poison)
            record = attempt_at(store, deaths)
        assert record.blamed(CHUNK) == poison


@settings(deadline=None)
@given(
    items=st.integers(0, 3000),
    closely=st.lists(st.tuples(st.integers(0, 2999), st.integers(1, 60)), max_size=3),
)
def test_parts_cover_every_item_once_in_order(items, closely):
    parts = suspects._split(items, [(start, start + length) for start, length in closely])
    assert [item for start, stop in parts for item in range(start, stop)] == list(range(items))


@settings(deadline=None)
@given(items=st.integers(1, 100_000))
def test_a_careful_pass_needs_about_a_square_root_of_parts(items):
    assert len(suspects._split(items, [])) <= math.isqrt(items) + 1


def test_an_attempt_that_is_seen_twice_counts_once(tmp_path):
    store = folder.FolderStore(tmp_path)
    first = attempt_at(store, 0)
    first.open(CHUNK, (4, 5))
    for number in (1, 2, 3):
        assert attempt_at(store, number).blamed(CHUNK) == frozenset()
        first.open(CHUNK, (4, 5))


def test_a_chunk_that_was_written_is_not_suspected_of_the_next_death(tmp_path):
    store = folder.FolderStore(tmp_path)
    first = attempt_at(store, 0)
    first.open((0, 0))
    first.close((0, 0))
    first.open((0, 1))
    second = attempt_at(store, 1)
    assert (second.suspected((0, 0)), second.suspected((0, 1))) == (False, True)


def test_a_released_record_accuses_nobody_even_of_what_is_opened_after(tmp_path):
    store = folder.FolderStore(tmp_path)
    first = attempt_at(store, 0)
    first.open((0, 0))
    first.release()
    first.open((0, 1))
    second = attempt_at(store, 1)
    assert not second.suspected((0, 0))
    assert not second.suspected((0, 1))

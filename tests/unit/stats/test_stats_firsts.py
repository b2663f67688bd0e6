"""The first items of an order in one pass: those of two passes, and no more memory than is promised."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actuary.stats import firsts, orders, streams


def chunks(size, rng):
    """Rows of a random partition into chunks, in random order, some of them empty."""
    return np.split(rng.permutation(size), np.sort(rng.integers(0, size + 1, rng.integers(0, 6))))


@settings(max_examples=100, deadline=None)
@given(
    pool=st.lists(
        st.tuples(
            st.sampled_from([0.25, 0.5, 1.0]) | st.floats(1e-9, 1.0),
            st.sampled_from([0.5]) | st.floats(0.0, 1.0, exclude_min=True, exclude_max=True),
        ),
        min_size=1,
        max_size=40,
    ),
    data=st.data(),
)
def test_the_first_of_an_order_are_those_that_two_passes_take(pool, data):
    score, u = (np.array(column) for column in zip(*pool, strict=True))
    size = data.draw(st.integers(0, score.size))
    fewer = data.draw(st.integers(0, size))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    expected = streams.take(lambda: [orders.by_priority(score, u, 0)], fewer)
    best, other = firsts.Firsts(size), firsts.Firsts(size)

    for number, rows in enumerate(chunks(score.size, rng)):
        (best, other)[number % 2].add(orders.by_priority(score[rows], u[rows], rows))
    best.merge(other)
    taken = best.finish(fewer)

    assert taken.place.tolist() == expected.place.tolist()
    assert taken.key.tolist() == expected.key.tolist()
    assert taken.cut == expected.cut


@pytest.mark.parametrize("equal", [False, True])
def test_no_more_is_held_than_twice_what_is_taken_and_a_little(equal):
    u = np.full(500_000, 0.5) if equal else np.random.default_rng(1).permutation(500_000) / 500_001 + 1e-7
    best = firsts.Firsts(10_000)
    most = 0

    for first in range(0, u.size, 5_000):
        best.add(orders.by_number(u[first : first + 5_000], first))
        most = max(most, best.held)

    assert 10_000 < most <= 2 * 10_000 + 2**16
    assert best.finish().place.tolist() == sorted(np.lexsort((np.arange(u.size), u))[:10_000].tolist())


def test_more_than_came_costs_and_other_sizes_are_refused():
    best = firsts.Firsts(3)
    best.add(orders.by_number([0.5], 0))

    with pytest.raises(ValueError, match="expected at most 1 items, those that can be taken, got 3"):
        best.finish()
    with pytest.raises(ValueError, match=r"size: expected a whole number in \[0, 3\], got 4"):
        best.finish(4)
    with pytest.raises(ValueError, match="size: expected 3 items in both, got 2"):
        best.merge(firsts.Firsts(2))
    with pytest.raises(ValueError, match="cost: expected none"):
        best.add(orders.by_risk([0.5], [0.5], 0, [2]))

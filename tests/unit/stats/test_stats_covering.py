"""Covers: every part gets what it lacks, at random inside it, and every prefix is a sample of each part."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from actuary.stats import covering, domains


def test_a_part_lacks_what_is_missing_to_the_minimum_and_never_more_than_it_has():
    assert covering.shortfall(30, [0, 29, 30, 31, 5], [100, 100, 100, 100, 7]).tolist() == [30, 1, 0, 0, 7]
    assert covering.shortfall(0, [0, 5], [9, 9]).tolist() == [0, 0]


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(0, 60))
def test_every_part_gets_exactly_its_size_and_its_smallest_numbers(seed, parts, items):
    rng = np.random.default_rng(seed)
    of, u = rng.integers(-1, parts, items), rng.uniform(1e-9, 1 - 1e-9, items)
    size = np.array([rng.integers(0, (of == h).sum() + 1) for h in range(parts)])
    drawn = covering.draw(of, size, u)
    assert not drawn.selected[of < 0].any()
    for h in range(parts):
        inside = np.flatnonzero(of == h)
        taken = inside[drawn.selected[inside]]
        assert len(taken) == size[h]
        assert set(taken) == set(inside[np.argsort(u[inside])[: size[h]]])
        assert drawn.pi[inside].tolist() == pytest.approx([size[h] / max(len(inside), 1)] * len(inside))
        assert np.argsort(drawn.rank[taken]).tolist() == np.argsort(u[taken]).tolist()
    order = rng.permutation(items)
    again = covering.draw(of[order], size, u[order])
    assert again.selected.tolist() == drawn.selected[order].tolist()
    assert again.rank.tolist() == drawn.rank[order].tolist()


def test_parts_advance_together():
    of = np.repeat([0, 1], [40, 10])
    drawn = covering.draw(of, [20, 5], np.random.default_rng(0).random(50))
    served = of[np.argsort(drawn.rank)[:25]]
    for stop in (5, 10, 15, 20):
        assert abs((served[:stop] == 1).sum() - stop / 5) <= 1


def test_every_item_of_a_part_is_as_likely_as_every_other():
    rng, draws = np.random.default_rng(4), 4_000
    of = np.array([0] * 8 + [1] * 4)
    counts = sum(covering.draw(of, [2, 3], rng.random(12)).selected.astype(int) for _ in range(draws))
    # 12 counts, each outside of its bounds once in ten million times
    for count, pi in zip(counts, [2 / 8] * 8 + [3 / 4] * 4, strict=True):
        low, high = scipy.stats.binom.ppf([5e-8, 1 - 5e-8], draws, pi)
        assert low <= count <= high


def test_what_is_answered_before_the_first_gap_of_a_part_stands_for_it():
    part, rank = [0, 0, 0, 1, 1, 2], [0.1, 0.5, 0.9, 0.25, 0.75, 0.5]
    assert covering.answered(part, rank, [1, 1, 0, 0, 1, 1]).tolist() == [1, 1, 0, 0, 0, 1]
    assert covering.answered([], [], []).tolist() == []


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: covering.shortfall(-1, [0], [1]), "minimum"),
        (lambda: covering.shortfall(2, [0, 1], [1]), "there: expected 2 values"),
        (lambda: covering.draw([0, 0], [3], [0.1, 0.2]), "at most the open items of each part, got 3 of 2"),
        (lambda: covering.draw([0, 1], [1], [0.1, 0.2]), "part"),
        (lambda: covering.draw([0], [1], [1.5]), "u"),
        (lambda: covering.answered([0], [0.1, 0.2], [True]), "rank"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize(
    ("rate", "population", "alpha"), [(0.3, 10_000, 0.05), (0.05, 60, 0.1), (0.0, 500, 0.05)]
)
def test_the_items_for_a_margin_are_the_fewest_that_reach_it(rate, population, alpha):
    found = domains.items_for(rate, 0.1, population, alpha)
    p, z = min(max(rate, 0.01), 0.99), scipy.stats.norm.ppf(1 - alpha / 2)

    def reach(n):
        return z * np.sqrt(p * (1 - p) / n * (population - n) / (population - 1))

    assert reach(found) <= 0.1 + 1e-12
    assert found == 1 or reach(found - 1) > 0.1


@pytest.mark.parametrize("bad", [(1.5, 0.1, 10), (0.5, 0.0, 10), (0.5, 0.1, 0)])
def test_a_margin_of_nothing_is_refused(bad):
    with pytest.raises(ValueError, match="expected"):
        domains.items_for(*bad)

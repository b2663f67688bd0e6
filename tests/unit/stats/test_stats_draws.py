import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actuary.stats import draws


@st.composite
def populations(draw):
    size = draw(st.integers(1, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    score = draw(st.sampled_from([rng.random(size), np.ones(size), rng.gamma(0.2, size=size) + 1e-6]))
    return score, rng.random(size)


@given(populations(), st.data())
def test_an_exact_draw_has_exactly_its_size_and_is_nested_in_it(population, data):
    score, u = population
    size = data.draw(st.integers(1, score.size))

    draw = draws.draw_exact(score, u, size)

    assert draw.selected.sum() == size
    assert ((draw.pi > 0) & (draw.pi <= 1)).all()
    if size < score.size:
        larger = draws.draw_exact(score, u, size + 1)
        assert larger.selected[draw.selected].all()
        assert draw.tau == larger.rank[larger.selected].max()


@given(populations(), st.data())
def test_an_exact_draw_does_not_depend_on_the_order_of_items(population, data):
    score, u = population
    size = data.draw(st.integers(1, score.size))
    order = np.random.default_rng(1).permutation(score.size)

    shuffled = draws.draw_exact(score[order], u[order], size)

    plain = draws.draw_exact(score, u, size)
    assert shuffled.selected.tolist() == plain.selected[order].tolist()
    assert shuffled.pi.tolist() == plain.pi[order].tolist()


@given(populations(), st.data())
def test_the_scale_of_scores_does_not_matter(population, data):
    score, u = population
    size = data.draw(st.integers(1, score.size))

    scaled = draws.draw_exact(score * 2.0**20, u, size)

    assert scaled.pi.tolist() == draws.draw_exact(score, u, size).pi.tolist()


def test_an_exact_draw_worked_by_hand():
    draw = draws.draw_exact([1.0, 2.0, 4.0, 0.0], [0.5, 0.2, 0.8, 0.1], 2)

    assert draw.rank.tolist() == [0.5, 0.1, 0.2, np.inf]
    assert draw.selected.tolist() == [False, True, True, False]
    assert draw.tau == 0.5
    assert draw.pi.tolist() == [0.5, 1.0, 1.0, 0.0]


def test_take_all_items_count_into_the_size_and_are_served_among_the_others():
    draw = draws.draw_exact([1.0, 1.0, 1.0], [0.2, 0.4, 0.5], 2, take_all=[False, False, True])

    assert draw.selected.tolist() == [True, False, True]
    assert draw.pi.tolist() == [0.4, 0.4, 1.0]
    assert (draw.tau, draw.rank[2], draw.score[2]) == (0.4, 0.2, 2.5)


def test_drawing_everybody_has_no_threshold():
    draw = draws.draw_exact([1.0, 2.0], [0.2, 0.4], 2)

    assert (draw.tau, draw.pi.tolist()) == (np.inf, [1.0, 1.0])


def test_items_of_score_zero_are_never_drawn():
    with pytest.raises(ValueError, match="expected at most 1 items to draw, those of positive score, got 2"):
        draws.draw_exact([1.0, 0.0], [0.2, 0.4], 2)


def test_a_score_that_overflows_is_refused():
    with pytest.raises(ValueError, match="too close to 0"):
        draws.draw_exact([1.0, 1e-310], [0.5, 0.5], 1)


@pytest.mark.parametrize(
    "call",
    [
        lambda: draws.draw_exact([1.0], [0.5], 2),
        lambda: draws.draw_exact([1.0], [0.5], 0),
        lambda: draws.draw_exact([-1.0], [0.5], 1),
        lambda: draws.draw_exact([float("nan")], [0.5], 1),
        lambda: draws.draw_exact([1.0], [1.0], 1),
        lambda: draws.draw_exact([1.0, 1.0], [0.5], 1),
        lambda: draws.draw_exact([1.0, 1.0], [0.5, 0.6], 1, take_all=[True, True]),
        lambda: draws.draw_poisson([1.5], [0.5]),
        lambda: draws.draw_poisson([0.5], [0.5, 0.5]),
        lambda: draws.srs([0.5], 2),
        lambda: draws.srs([0.0], 1),
        lambda: draws.rescale([0.5], 1.0),
        lambda: draws.rescale([0.5], -0.1),
        lambda: draws.rescale([0.5], float("nan")),
    ],
)
def test_draws_refuse_bad_input(call):
    with pytest.raises(ValueError, match="expected"):
        call()


def test_a_poisson_draw_takes_certain_items_and_no_impossible_ones():
    u = np.random.default_rng(0).random(100)

    assert draws.draw_poisson(np.ones(100), u).all()
    assert not draws.draw_poisson(np.zeros(100), u).any()


def test_a_simple_random_sample_is_the_smallest_numbers():
    sample = draws.srs([0.9, 0.1, 0.5], 2)

    assert sample.selected.tolist() == [False, True, True]
    assert sample.tau == 0.5
    np.testing.assert_allclose(sample.pi, 2 / 3)


def test_numbers_left_by_a_draw_are_uniform_again_after_rescaling():
    u = np.random.default_rng(0).random(20_000)
    pilot = draws.srs(u, 5_000)

    fresh = np.sort(draws.rescale(u[~pilot.selected], pilot.tau))

    grid = np.arange(1, fresh.size + 1) / fresh.size
    assert np.abs(fresh - grid).max() < np.sqrt(np.log(2e6) / 2 / fresh.size)


def test_rescaling_refuses_an_item_that_was_drawn():
    with pytest.raises(ValueError, match="it was drawn by the earlier wave"):
        draws.rescale([0.5, 0.2], 0.2)


def test_rescaling_knows_thresholds_by_item():
    np.testing.assert_allclose(draws.rescale([0.5, 0.5], [0.0, 0.25]), [0.5, 1 / 3])

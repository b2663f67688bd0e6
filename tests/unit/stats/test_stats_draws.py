import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actuary.stats import checks, draws


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


@st.composite
def priced(draw):
    """Scores, numbers, costs, take-all items, and money that the dearest item fits beside them."""
    score, u = draw(populations())
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    cost = draw(
        st.sampled_from([np.ones(u.size), rng.integers(1, 6, u.size) * 1e6, rng.gamma(1.0, size=u.size)])
    )
    sure = (rng.random(u.size) < 0.3) & (draw(st.booleans()))
    sure[int(rng.integers(u.size))] = False
    least = cost[sure].sum() + cost[~sure].max()
    part = draw(st.sampled_from([0.0, 0.3, 1.0]))
    total = math.fsum(cost)
    return score, u, cost, sure, min(float(least + part * (total - least)), total)


@settings(deadline=None)
@given(priced())
def test_a_draw_for_money_never_spends_more_and_stops_where_the_next_item_does_not_fit(population):
    score, u, cost, sure, money = population

    draw = draws.draw_money(score, u, cost, money, sure)

    spent = cost[draw.selected].sum()
    assert spent <= money * (1 + 1e-12)
    assert draw.selected[sure].all()
    assert (draw.selected[~sure] == (draw.rank[~sure] < draw.tau)).all()
    if np.isfinite(draw.tau):
        assert spent + cost[draw.rank == draw.tau][0] > money * (1 - 1e-12)
    else:
        assert draw.selected.all()


@settings(deadline=None)
@given(priced(), st.floats(1.0, 3.0))
def test_more_money_only_adds_items(population, factor):
    score, u, cost, sure, money = population

    larger = draws.draw_money(score, u, cost, min(money * factor, math.fsum(cost)), sure)

    assert larger.selected[draws.draw_money(score, u, cost, money, sure).selected].all()


@settings(deadline=None)
@given(priced(), st.data())
def test_draws_for_money_and_with_take_all_do_not_depend_on_the_order_of_items(population, data):
    score, u, cost, sure, money = population
    size = data.draw(st.integers(int(sure.sum()) + 1, u.size))
    order = np.random.default_rng(1).permutation(u.size)

    pairs = [
        (
            draws.draw_exact(score[order], u[order], size, sure[order]),
            draws.draw_exact(score, u, size, sure),
        )
    ]
    if (cost == np.round(cost)).all():  # other costs are added with rounding
        shuffled = draws.draw_money(score[order], u[order], cost[order], money, sure[order])
        pairs.append((shuffled, draws.draw_money(score, u, cost, money, sure)))

    for shuffled, plain in pairs:
        assert shuffled.tau == plain.tau
        for name in ("selected", "pi", "rank", "score"):
            assert getattr(shuffled, name).tolist() == getattr(plain, name)[order].tolist()


@settings(deadline=None)
@given(priced())
def test_a_shard_needs_nothing_but_the_threshold_to_draw_its_part(population):
    score, u, cost, sure, money = population
    draw = draws.draw_money(score, u, cost, money, sure)

    for shard in np.array_split(np.arange(u.size), 3):
        alone = sure[shard] | (u[shard] / score[shard] < draw.tau)
        assert alone.tolist() == draw.selected[shard].tolist()


def planned(score, u, size, cost, money, sure):
    return draws.draw_exact(score, u, size, sure) if size else draws.draw_money(score, u, cost, money, sure)


@settings(deadline=None)
@given(priced(), st.booleans(), st.data())
def test_an_item_is_served_exactly_if_its_number_is_below_its_probability(population, by_money, data):
    """Why the weights are exact: the others' numbers fix the probability, and the item's own decides.

    It holds for every length of the answered prefix, for take-all items too, for sizes and for money.
    """
    score, u, cost, sure, money = population
    size = 0 if by_money else data.draw(st.integers(int(sure.sum()) + 1, u.size))
    plan = planned(score, u, size, cost, money, sure)
    served = np.argsort(np.where(plan.selected, plan.rank, np.inf))[: int(plan.selected.sum())]
    answered = data.draw(st.integers(1, served.size))
    item = served[data.draw(st.integers(0, answered - 1))]
    # the whole plan is answered: its own τ; else the rank of the next one
    t = plan.tau if answered == served.size else plan.rank[served[answered]]
    probability = min(1.0, t * plan.score[item])

    other = u.copy()
    other[item] = data.draw(st.floats(0.001, 0.999))
    again = planned(score, other, size, cost, money, sure)
    order = np.argsort(np.where(again.selected, again.rank, np.inf))[: int(again.selected.sum())]
    if by_money and answered == served.size:
        answered = order.size  # the money's prefix may then have another length

    if abs(other[item] - probability) > 1e-9:
        assert (item in order[:answered]) == (other[item] < probability)


def test_a_draw_for_money_worked_by_hand():
    draw = draws.draw_money([1.0, 2.0, 1.0, 4.0], [0.5, 0.2, 0.3, 0.8], [3, 2, 1, 4], 5)

    # r = .5, .1, .3, .2: the second item (2) fits, the fourth (4) does not, nor does anybody after it
    assert draw.selected.tolist() == [False, True, False, False]
    assert draw.tau == pytest.approx(0.2)
    np.testing.assert_allclose(draw.pi, [0.2, 0.4, 0.2, 0.8])


def test_take_all_items_are_paid_first():
    draw = draws.draw_money([1.0, 1.0, 1.0], [0.2, 0.4, 0.9], [1, 1, 3], 4.5, take_all=[0, 0, 1])

    assert draw.selected.tolist() == [True, False, True]
    assert draw.pi.tolist() == [0.4, 0.4, 1.0]


def test_an_item_that_never_fits_is_refused_because_the_estimate_would_not_know_it():
    with pytest.raises(
        checks.BudgetInfeasible, match=r"at least 7, .* got 6; an item that never fits"
    ) as raised:
        draws.draw_money([1, 1, 1], [0.2, 0.4, 0.9], [2, 1, 5], 6, take_all=[1, 0, 0])
    assert raised.value.min_budget == 7


def test_take_all_items_that_leave_nothing_to_draw_are_refused():
    with pytest.raises(ValueError, match="expected fewer than 1 items, the size, so that others are drawn"):
        draws.draw_exact([1.0, 1.0], [0.2, 0.4], 1, take_all=[True, False])


@settings(deadline=None)
@given(priced())
def test_money_for_everybody_takes_everybody_whatever_the_rounding(population):
    score, u, cost, sure, _ = population

    draw = draws.draw_money(score, u, cost, math.fsum(cost), sure)

    assert draw.tau == np.inf
    assert draw.selected.all()
    assert (draw.pi == 1.0).all()


def test_take_all_items_of_a_whole_population_are_served_in_the_order_of_their_numbers():
    draw = draws.draw_exact([1.0, 1.0], [0.9, 0.4], 2, take_all=[True, True])

    assert draw.rank.tolist() == [0.9, 0.4]
    assert draw.pi.tolist() == [1.0, 1.0]


@settings(deadline=None)
@given(populations(), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_poisson_draws_with_the_same_numbers_are_nested(population, first, second):
    score, u = population
    low, high = sorted([first, second])
    pi = score / score.max()

    assert draws.draw_poisson(high * pi, u)[draws.draw_poisson(low * pi, u)].all()


def test_the_conditional_probability_is_what_two_draws_with_the_same_numbers_do():
    """Counted on a grid of numbers, which is exact: of those at or above π₁, the share below π₂."""
    u = (np.arange(1_000) + 0.5) / 1_000
    before, now = np.repeat([0.2, 0.5, 0.0], 1_000), np.repeat([0.6, 0.4, 0.3], 1_000)
    numbers = np.tile(u, 3)
    left = ~draws.draw_poisson(before, numbers)
    drawn = draws.draw_poisson(now, numbers) & left
    share = drawn.reshape(3, -1).sum(axis=1) / left.reshape(3, -1).sum(axis=1)

    np.testing.assert_allclose(draws.conditional([0.2, 0.5, 0.0], [0.6, 0.4, 0.3]), share, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: draws.draw_money([1, 1], [0.1, 0.2], [1, 0], 1),
            r"cost: expected values above 0, got 0.0 at",
        ),
        (lambda: draws.draw_money([1, 1], [0.1, 0.2], [1, float("nan")], 1), "cost: expected finite"),
        (lambda: draws.draw_money([1, 1], [0.1, 0.2], [1, 2], 3.5), "0 < budget <= 3"),
        (lambda: draws.draw_money([1, 1], [0.1, 0.2], [1, 2], 0), "0 < budget <= 3"),
        (lambda: draws.draw_money([1, 1], [0.1], [1, 2], 2), "u: expected 2 values"),
        (lambda: draws.draw_money([1, 1], [0.1, 0.2], [1, 2], 2, [1]), "take_all: expected 2 values"),
        (lambda: draws.draw_money([1, -1], [0.1, 0.2], [1, 2], 2), "score: expected values of at least 0"),
        (lambda: draws.conditional([1.0], [1.0]), "such an item was drawn before"),
        (lambda: draws.conditional([0.5], [1.5]), "now: expected values"),
        (lambda: draws.conditional([0.5], [0.5, 0.6]), "now: expected 1 values"),
    ],
)
def test_draws_with_costs_refuse_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


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

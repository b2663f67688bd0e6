import numpy as np
import pytest
import scipy.stats

from actuary.stats import intervals


def test_wald_by_hand():
    interval = intervals.wald(5.0, 2.0, alpha=0.1)

    assert interval.high == pytest.approx(5 + 2 * 1.6448536)
    assert interval.low == pytest.approx(5 - 2 * 1.6448536)


@pytest.mark.parametrize(("found", "trials"), [(0, 7), (7, 7), (3, 40)])
def test_clopper_pearson_equals_scipys(found, trials):
    theirs = scipy.stats.binomtest(found, trials).proportion_ci(0.95, method="exact")

    ours = intervals.clopper_pearson(found, trials)

    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize(
    ("population", "sampled", "found"), [(50, 10, 0), (50, 10, 10), (30, 30, 4), (40, 0, 0), (60, 20, 7)]
)
def test_the_hypergeometric_bound_equals_trying_every_number_of_errors(population, sampled, found):
    possible = range(found, population - sampled + found + 1)
    kept = [
        m for m in possible if sum(scipy.stats.hypergeom.pmf(range(found + 1), population, m, sampled)) > 0.05
    ]

    assert intervals.hypergeom_ucb(population, sampled, found) == max(kept)


def test_a_complete_count_has_no_uncertainty():
    assert intervals.hypergeom_bounds(30, 30, 4) == intervals.Interval(low=4.0, high=4.0)


def test_the_gamma_interval_equals_its_chi_square_form():
    y, v, w = 12.0, 30.0, 4.0

    interval = intervals.fay_feuer(y, v, w)

    high_y, high_v = y + w, v + w * w
    low = v / (2 * y) * scipy.stats.chi2.ppf(0.025, 2 * y * y / v)
    high = high_v / (2 * high_y) * scipy.stats.chi2.ppf(0.975, 2 * high_y**2 / high_v)
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_the_gamma_interval_is_poissons_when_weights_are_equal():
    interval = intervals.fay_feuer(3.0, 3.0, 1.0)

    assert interval.low == pytest.approx(scipy.stats.chi2.ppf(0.025, 6) / 2)
    assert interval.high == pytest.approx(scipy.stats.chi2.ppf(0.975, 8) / 2)


def test_the_gamma_interval_of_a_certain_sum_is_a_point():
    assert intervals.fay_feuer(7.0, 0.0, 0.0) == intervals.Interval(low=7.0, high=7.0)
    assert intervals.fay_feuer(0.0, 0.0, 0.0) == intervals.Interval(low=0.0, high=0.0)


def test_the_gamma_interval_takes_a_smaller_variance_for_one_more_error():
    assert (
        intervals.fay_feuer(0.0, 0.0, 5.0, largest_variance=10.0).high
        < intervals.fay_feuer(0.0, 0.0, 5.0).high
    )


def test_betting_equals_a_slow_walk_along_one_candidate():
    x = np.random.default_rng(2).beta(2, 5, size=40)
    lower = intervals.betting_lower(x, 0.05)

    def richest(mean):
        wealth, best, seen = 1.0, 1.0, []
        squares = 0.25
        for i, value in enumerate(x):
            bet = min(np.sqrt(2 * np.log(20) / (40 * squares / (i + 1))), 0.5 / mean)
            wealth *= 1 + bet * (value - mean)
            best = max(best, wealth)
            seen.append(value)
            squares += (value - (0.5 + sum(seen)) / (i + 2)) ** 2
        return best

    assert richest(lower) >= 20.0
    assert richest(lower + 1 / intervals.GRID) < 20.0


@pytest.mark.parametrize("shape", [(0.05, 1.0), (2.0, 5.0), (0.3, 0.3), (5.0, 0.5)])
def test_a_betting_bound_equals_trying_every_candidate(shape):
    """Whoever bets against a mean gets rich up to the bound, and nowhere above it."""
    x = np.random.default_rng(3).beta(*shape, size=50)
    grid = np.arange(1, intervals.GRID) / intervals.GRID
    wealth, best, squares = np.ones(grid.size), np.ones(grid.size), 0.25
    for i, value in enumerate(x):
        bet = np.minimum(np.sqrt(2 * np.log(20) / (50 * squares / (i + 1))), 0.5 / grid)
        wealth *= 1 + bet * (value - grid)
        best = np.maximum(best, wealth)
        squares += (value - (0.5 + x[: i + 1].sum()) / (i + 2)) ** 2

    np.testing.assert_array_equal(
        best >= 20.0, grid < intervals.betting_lower(x, 0.05) + 0.5 / intervals.GRID
    )


def test_betting_is_symmetric():
    x = np.random.default_rng(2).random(50)
    direct, mirrored = intervals.betting(x), intervals.betting(1 - x)

    assert direct.low == pytest.approx(1 - mirrored.high)


def test_betting_knows_the_ends():
    assert intervals.betting_lower([0.0] * 10) == 0.0
    assert intervals.betting([1.0] * 500).high == 1.0
    assert intervals.betting([1.0] * 500).low > 0.98


def test_a_mean_of_two_values_is_a_proportion_and_any_other_a_bet():
    two, method = intervals.bounded_mean([0.0, 0.25, 0.25, 0.0], 0.25)
    assert method == "clopper-pearson"
    assert two.high == pytest.approx(0.25 * intervals.clopper_pearson(2, 4).high)

    many, method = intervals.bounded_mean([0.0, 0.25, 0.1, 0.0], 0.25)
    assert method == "betting"
    assert 0.0 <= many.low <= 0.0875 <= many.high <= 0.25


def test_the_choice_of_interval_follows_the_rule():
    assert intervals.choose(20, [1.0] * 10, exact=False) == "wald"
    assert intervals.choose(19, [1.0] * 100, exact=False) == "gamma"
    assert intervals.choose(50, [1.0] * 50 + [10.0], exact=False) == "gamma"
    assert intervals.choose(0, [], exact=False) == "gamma"
    assert intervals.choose(3, [1.0], exact=True) == "hypergeometric"


@pytest.mark.parametrize(
    "call",
    [
        lambda: intervals.wald(float("nan"), 1.0),
        lambda: intervals.wald(1.0, -1.0),
        lambda: intervals.wald(1.0, 1.0, alpha=1.0),
        lambda: intervals.clopper_pearson(3, 2),
        lambda: intervals.clopper_pearson(0, 0),
        lambda: intervals.hypergeom_ucb(10, 11, 0),
        lambda: intervals.hypergeom_ucb(10, 5, 6),
        lambda: intervals.hypergeom_bounds(10, 5, 1, alpha=0.0),
        lambda: intervals.fay_feuer(-1.0, 1.0, 1.0),
        lambda: intervals.fay_feuer(1.0, float("inf"), 1.0),
        lambda: intervals.betting([]),
        lambda: intervals.betting([1.5]),
        lambda: intervals.betting_lower([0.5], alpha=2.0),
        lambda: intervals.bounded_mean([0.5], 0.0),
        lambda: intervals.bounded_mean([0.5], 0.25),
        lambda: intervals.choose(-1, [], exact=False),
        lambda: intervals.choose(1, [-1.0], exact=False),
    ],
)
def test_intervals_refuse_bad_input(call):
    with pytest.raises(ValueError, match="expected"):
        call()

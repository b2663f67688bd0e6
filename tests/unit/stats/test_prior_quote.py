"""Quotes from assumptions: they rise with the budget, end at certainty, and say which pilot pays."""

import numpy as np
import pytest

from actuary.stats import assumed, checks, prior_quote, quote, weighing

SURE = assumed.Range(low=0.699, high=0.701)
GOOD = assumed.Range(low=0.849, high=0.851, floor=0.5)
BUDGETS = [50, 51, 80, 150, 400, 900, 1_999, 2_000]


def worlds(accuracy=assumed.MACHINE_ACCURACY, auroc=assumed.CRITIC_AUROC, rule="threshold", level=0.1):
    return assumed.worlds(accuracy, auroc, quote.Plan(rule=rule), level)


@pytest.mark.parametrize("rule", weighing.RULES)
@pytest.mark.parametrize("audit", [0, 100])
def test_a_curve_rises_from_the_machine_to_certainty(rule, audit):
    points = prior_quote.curve(worlds(rule=rule), 2_000, 50, BUDGETS, audit)

    for end in ("low", "accuracy", "high"):
        values = [getattr(point, end) for point in points]
        assert values == sorted(values)
    assert all(0.0 <= p.low <= p.accuracy <= p.high <= 1.0 for p in points)
    assert (points[-1].low, points[-1].accuracy, points[-1].high) == (1.0, 1.0, 1.0)
    assert [p.labels for p in points] == BUDGETS
    assert {p.method for p in points} == {"prior-predictive"}


def test_before_a_label_a_quote_is_what_was_assumed_of_the_machine():
    many = 10_000_000  # chance among items is far below the range
    (point,) = prior_quote.curve(worlds(), many, 0, [0])

    alone = prior_quote.machine(worlds(), many)
    assert (point.low, point.accuracy, point.high) == (alone.low, alone.accuracy, alone.high)
    wide = assumed.MACHINE_ACCURACY
    # the order statistic is within a world or two of its quantile, of 51 in a tail
    assert alone.low == pytest.approx(wide.low, abs=0.005)
    assert alone.high == pytest.approx(wide.high, abs=0.001)


def test_what_is_nearly_known_leaves_what_chance_leaves():
    """A critic of a world that is known: errors left are a binomial sum, and its spread is the interval."""
    items, budget = 10_000, 2_000
    made = worlds(SURE, GOOD, level=1.0)
    eps = assumed.population(0.3, 0.85, items=10_000)

    (point,) = prior_quote.curve(made, items, 0, [budget])

    left = eps[budget:]
    sd = np.sqrt((left * (1.0 - left)).sum()) / items
    assert point.accuracy == pytest.approx(1.0 - left.sum() / items, abs=sd / 4)
    # the items above the cut vary as well, which adds less than the errors themselves
    assert 2 * 1.96 * sd < point.high - point.low < 2 * 1.96 * sd * np.sqrt(2) + 0.002


def test_a_gain_is_the_slope_of_the_curve():
    made = worlds(SURE, GOOD, level=1.0)
    before, after = prior_quote.curve(made, 10_000, 0, [1_000, 1_100])

    gained = prior_quote.gain(made, 10_000, 0, 1_000, 100)

    assert gained.labels == 100
    assert gained.accuracy == pytest.approx(after.accuracy - before.accuracy, abs=5e-4)
    assert 0.0 <= gained.low <= gained.accuracy <= gained.high <= 0.01
    assert prior_quote.gain(made, 10_000, 0, 9_950, 100).labels == 50


def test_chance_corrects_as_many_errors_as_there_are():
    made = worlds(SURE, assumed.Range(low=0.5001, high=0.5002, floor=0.5))

    gained = prior_quote.gain(made, 100_000, 50, 1_000, 1_000)

    assert gained.accuracy * 100_000 == pytest.approx(300, abs=2)


def test_a_pilot_that_shows_no_critic_is_best_small():
    tried = prior_quote.trials(
        worlds(SURE, assumed.Range(low=0.5001, high=0.5002, floor=0.5)),
        10_000,
        1_000,
        [20, 100, 500],
        [0] * 3,
    )

    assert [trial.followed for trial in tried] == [0.0, 0.0, 0.0]
    assert prior_quote.best(tried).labels == 20


def test_a_pilot_pays_as_long_as_it_shows_more_critics_than_it_costs_corrections():
    sizes = [20, 50, 100, 200, 500, 900]
    tried = prior_quote.trials(worlds(), 10_000, 1_000, sizes, [0] * len(sizes))

    shown = [trial.followed for trial in tried]
    assert shown == sorted(shown)
    assert 20 < prior_quote.best(tried).labels < 900
    # the mean accuracy is that of the curve's worlds
    accuracies = [trial.accuracy for trial in tried]
    assert max(accuracies) - accuracies[-1] > 0.005


def test_of_pilots_that_do_about_the_same_the_smallest_is_best():
    alike = [prior_quote.Trial(labels=n, accuracy=0.9 + n * 1e-6, followed=0.5) for n in (300, 20, 100)]
    assert prior_quote.best(alike).labels == 20


def test_a_budget_below_the_pilot_says_what_the_pilot_takes():
    with pytest.raises(checks.BudgetInfeasible, match="pilot's 50 labels") as refusal:
        prior_quote.curve(worlds(), 2_000, 50, [49])
    assert refusal.value.min_budget == 50


@pytest.mark.parametrize(
    "call",
    [
        lambda made: prior_quote.curve(made, 0, 0, [0]),
        lambda made: prior_quote.curve(made, 100, 101, [101]),
        lambda made: prior_quote.curve(made, 100, 10, [101]),
        lambda made: prior_quote.curve(made, 100, 10, [50], audit=-1),
        lambda made: prior_quote.curve(made, 100, 10, [50], alpha=0.0),
        lambda made: prior_quote.gain(made, 100, 10, 100, 1),
        lambda made: prior_quote.gain(made, 100, 10, 50, 0),
        lambda made: prior_quote.machine(made, 0),
        lambda made: prior_quote.trials(made, 100, 50, [51], [0]),
        lambda made: prior_quote.best([]),
    ],
)
def test_quotes_from_assumptions_refuse_bad_input(call):
    with pytest.raises(ValueError, match="expected"):
        call(worlds())

import numpy as np
import pytest

from actuary.stats import checks, intervals, quote, weighing

ERR = np.array([1, 0, 1, 0, 0] * 12, dtype=bool)
EPS = np.where(ERR, 0.6, 0.2) + np.linspace(0, 0.1, 60)


@pytest.mark.parametrize("rule", weighing.RULES)
@pytest.mark.parametrize("audit", [0, 100])
def test_a_curve_rises_with_the_budget_from_the_machine_to_certainty(rule, audit):
    budgets = [60, 90, 160, 300, 600, 1000, 1060]

    points = quote.curve(ERR, EPS, 1060, budgets, quote.Plan(rule=rule, audit=audit))

    values = [point.accuracy for point in points]
    assert values == sorted(values)
    assert values[0] == pytest.approx(1 - 0.4 * 1000 / 1060)
    assert (points[-1].accuracy, points[-1].low, points[-1].high) == (1.0, 1.0, 1.0)
    assert all(0 <= p.low <= p.accuracy <= p.high <= 1 for p in points)
    assert [p.labels for p in points] == budgets


def test_before_anything_is_spent_the_forecast_is_the_pilots_error_rate():
    (point,) = quote.curve(ERR, EPS, 1060, [60], quote.Plan(rule="threshold"))

    errors = intervals.clopper_pearson(24, 60)
    assert point.low == pytest.approx(1 - errors.high * 1000 / 1060)
    assert point.high == pytest.approx(1 - errors.low * 1000 / 1060)


def test_a_uniform_rule_removes_errors_in_proportion():
    (point,) = quote.curve(ERR, EPS, 1060, [560], quote.Plan(rule="uniform", audit=100))

    assert point.accuracy == pytest.approx(1 - 0.4 * 0.5 * 1000 / 1060)


def test_what_stays_unreviewed_bounds_the_errors():
    (point,) = quote.curve([True] * 20, [0.5] * 20, 1020, [1010], quote.Plan(rule="threshold"))

    assert point.low >= 1 - 10 / 1020 - 1e-12


def test_a_pilot_of_everything_leaves_nothing():
    (point,) = quote.curve([True, False], [0.5, 0.5], 2, [2], quote.Plan(rule="uniform"))

    assert point.accuracy == 1.0


def test_a_budget_below_the_pilot_says_what_is_spent_already():
    with pytest.raises(checks.BudgetInfeasible, match="pilot's 60 labels") as refusal:
        quote.curve(ERR, EPS, 1060, [59], quote.Plan(rule="uniform"))

    assert refusal.value.min_budget == 60


@pytest.mark.parametrize(
    "call",
    [
        lambda: quote.curve([], [], 10, [10], quote.Plan(rule="uniform")),
        lambda: quote.curve(ERR, EPS[:-1], 1060, [60], quote.Plan(rule="uniform")),
        lambda: quote.curve(ERR, EPS + 1, 1060, [60], quote.Plan(rule="uniform")),
        lambda: quote.curve(ERR, EPS, 59, [59], quote.Plan(rule="uniform")),
        lambda: quote.curve(ERR, EPS, 1060, [1061], quote.Plan(rule="uniform")),
        lambda: quote.curve(ERR, EPS, 1060, [60], quote.Plan(rule="best")),
        lambda: quote.curve(ERR, EPS, 1060, [60], quote.Plan(rule="uniform", audit=-1)),
        lambda: quote.curve(ERR, EPS, 1060, [60], quote.Plan(rule="exponential", beta=0.0), alpha=1.0),
        lambda: quote.curve(ERR, EPS, 1060, [100], quote.Plan(rule="exponential", beta=0.0)),
    ],
)
def test_quotes_refuse_bad_input(call):
    with pytest.raises(ValueError, match="expected"):
        call()

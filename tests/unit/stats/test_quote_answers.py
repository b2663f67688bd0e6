"""What an accuracy costs, what a budget buys, and what the next labels add."""

import numpy as np
import pytest

from actuary.stats import checks, intervals, quote, quote_answers, weighing

ERR = np.array([1, 0, 1, 0, 0] * 12, dtype=bool)
EPS = np.where(ERR, 0.6, 0.2) + np.linspace(0, 0.1, 60)
UNIFORM = quote.Plan(rule="uniform")


def point(labels, low, accuracy, high=1.0):
    return quote.Point(labels=labels, accuracy=accuracy, low=low, high=high, method="betting")


CURVE = (point(100, 0.7, 0.8, 0.9), point(200, 0.8, 0.9, 0.95), point(300, 0.9, 0.95, 0.97))


def test_the_forecast_of_a_uniform_rule_is_met_exactly_between_points():
    curve = quote.curve(ERR, EPS, 1060, [60, 560, 1060], UNIFORM)
    # 0.4 of the 1,000 others are wrong: 1 - 0.4 (1060 - b)/1060 = 0.9 at b = 795
    assert quote_answers.labels_for(curve, 0.9).forecast == 795


def test_a_lower_bound_counts_only_from_where_it_holds_to_the_end():
    dip = (point(100, 0.9, 0.9), point(200, 0.8, 0.95), point(300, 0.92, 0.97))
    assert quote_answers.labels_for(dip, 0.9).safe == 300


def test_an_accuracy_that_no_budget_reaches_is_an_answer():
    assert quote_answers.labels_for(CURVE, 0.96) == quote_answers.Cost(forecast=None, safe=None)
    assert quote_answers.labels_for(CURVE, 0.94) == quote_answers.Cost(forecast=280, safe=None)


def test_an_accuracy_that_the_pilot_reached_takes_no_more_labels():
    assert quote_answers.labels_for(CURVE, 0.7) == quote_answers.Cost(forecast=100, safe=100)


def test_every_item_labelled_is_sure():
    curve = quote.curve(ERR, EPS, 1060, [60, 1060], UNIFORM)
    assert quote_answers.labels_for(curve, 1.0) == quote_answers.Cost(forecast=1060, safe=1060)


def test_between_points_the_bounds_are_those_of_the_neighbours_that_hold():
    found = quote_answers.at_labels(CURVE, 250)
    assert (found.labels, found.low, found.high) == (250, 0.8, 0.97)
    assert found.accuracy == pytest.approx(0.925)


def test_at_a_point_its_own_bounds_are_answered():
    assert quote_answers.at_labels(CURVE, 200) == CURVE[1]


def test_more_labels_than_there_are_items_for_are_not_used():
    assert quote_answers.at_labels(CURVE, 5_000) == CURVE[-1]


def test_fewer_labels_than_the_pilots_are_refused_with_what_is_spent():
    with pytest.raises(checks.BudgetInfeasible, match="at least the 100") as refusal:
        quote_answers.at_labels(CURVE, 99)
    assert refusal.value.min_budget == 100


def test_money_pays_the_machines_first_and_then_whole_labels():
    assert quote_answers.labels_within(509, label=10, fixed=100) == 40
    assert quote_answers.labels_within(100, label=0, fixed=100) is None
    with pytest.raises(checks.BudgetInfeasible, match="the 100 that the machines cost"):
        quote_answers.labels_within(99, label=10, fixed=100)


@pytest.mark.parametrize(
    "call",
    [
        lambda: quote_answers.labels_for([], 0.9),
        lambda: quote_answers.labels_for(CURVE[::-1], 0.9),
        lambda: quote_answers.labels_for(CURVE, 97),
        lambda: quote_answers.labels_for(CURVE, 0.0),
        lambda: quote_answers.labels_within(-1, label=1, fixed=0),
        lambda: quote.gain(ERR, EPS, 1060, 1060, 100, UNIFORM),
        lambda: quote.gain(ERR, EPS, 1060, 59, 100, UNIFORM),
        lambda: quote.gain(ERR, EPS, 1060, 60, 0, UNIFORM),
        lambda: quote.gain(ERR, EPS, 1060, 60, 100, quote.Plan(rule="best")),
    ],
)
def test_answers_refuse_bad_input(call):
    with pytest.raises(ValueError, match="expected"):
        call()


@pytest.mark.parametrize("rule", weighing.RULES)
@pytest.mark.parametrize("audit", [0, 150])
@pytest.mark.parametrize("budget", [60, 160, 400, 990])
def test_a_gain_is_the_difference_of_two_points_of_the_curve(rule, audit, budget):
    plan = quote.Plan(rule=rule, audit=audit)
    step = quote.gain(ERR, EPS, 1060, budget, 100, plan)
    before, after = quote.curve(ERR, EPS, 1060, [budget, min(budget + 100, 1060)], plan)
    assert step.labels == after.labels - budget
    # both solve for the rule's constant by bisection, to a billionth
    assert step.accuracy == pytest.approx(after.accuracy - before.accuracy, abs=1e-8)
    assert 0 <= step.low <= step.accuracy + 1e-12
    assert step.high <= step.labels / 1060 + 1e-12


def test_a_step_of_the_audit_gains_the_pilots_error_rate_a_label():
    step = quote.gain(ERR, EPS, 1060, 60, 100, quote.Plan(rule="threshold", audit=400))
    bounds = intervals.clopper_pearson(24, 60)
    assert step.accuracy * 1060 / 100 == pytest.approx(0.4)
    assert (step.low * 10.6, step.high * 10.6) == pytest.approx((bounds.low, bounds.high))

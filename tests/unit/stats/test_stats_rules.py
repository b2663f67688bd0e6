import numpy as np
import pytest
import scipy.optimize  # noqa: F401 - the exponential rule imports it late; half a second in no example's time
from hypothesis import given, settings
from hypothesis import strategies as st

from actuary.stats import checks, rules

risk = st.one_of(st.sampled_from([0.0, 1.0, 0.5]), st.floats(1e-9, 1.0))
risks = st.lists(risk, min_size=1, max_size=40)
share = st.floats(0.001, 1.0)


@given(risks, share, st.floats(0.01, 1e5))
def test_every_rule_spends_exactly_the_budget(eps, part, beta):
    budget = part * len(eps)
    for rule in (
        rules.pi_uniform(len(eps), budget),
        rules.pi_normalised(eps, budget),
        rules.pi_exponential(eps, budget, beta),
    ):
        assert rule.pi.sum() == pytest.approx(budget, rel=1e-9)
        assert ((rule.pi >= 0) & (rule.pi <= 1)).all()
        least, mean = rule.pi.min(), rule.pi.mean()
        thin = least < mean / 10 and 0.1 * least * rule.pi.size < 1
        assert bool(rule.warning) == (thin or least < min(1e-3, mean / 100))


@given(risks, share)
def test_a_riskier_item_is_never_less_likely_to_be_looked_at(eps, part):
    order = np.argsort(eps)
    for rule in (
        rules.pi_normalised(eps, part * len(eps)),
        rules.pi_exponential(eps, part * len(eps), 10.0),
    ):
        assert (np.diff(rule.pi[order]) >= -1e-12).all()


@given(risks, share, share)
def test_a_larger_budget_makes_no_item_less_likely(eps, first, second):
    low, high = sorted([first, second])
    for make in (rules.pi_normalised, lambda e, b: rules.pi_exponential(e, b, 10.0)):
        assert (make(eps, high * len(eps)).pi >= make(eps, low * len(eps)).pi - 1e-9).all()


def test_normalised_equals_capping_one_item_after_the_other():
    rng = np.random.default_rng(3)
    for _ in range(50):
        eps = rng.beta(0.3, 1.0, size=30)
        budget = float(rng.uniform(0.5, 29.0))
        fixed = np.zeros(30, dtype=bool)
        while True:  # the slow way: cap what passes 1, share the rest again, until nothing passes
            pi = np.where(fixed, 1.0, (budget - fixed.sum()) * eps / eps[~fixed].sum())
            if (pi <= 1.0 + 1e-12).all():
                break
            fixed |= pi > 1.0
        np.testing.assert_allclose(rules.pi_normalised(eps, budget).pi, np.minimum(pi, 1.0), rtol=1e-9)


def test_normalised_probabilities_follow_from_the_constant():
    eps = np.array([0.9, 0.5, 0.1, 0.02])
    rule = rules.pi_normalised(eps, 2)

    np.testing.assert_allclose(rule.pi, np.minimum(1.0, rule.constants["kappa"] * eps))


def test_exponential_probabilities_follow_from_the_constants():
    eps = np.array([0.9, 0.5, 0.1, 0.02])
    rule = rules.pi_exponential(eps, 2, beta=20)

    alpha = rule.constants["alpha"]
    np.testing.assert_allclose(rule.pi, 1 / (1 + np.exp(-20 * (eps - alpha))))


def test_normalised_gives_items_without_risk_what_the_others_cannot_use():
    rule = rules.pi_normalised([0.5, 0.0, 0.0], 2)

    assert rule.pi.tolist() == [1.0, 0.5, 0.5]
    assert (rule.score > 0).all()


def test_normalised_without_any_risk_is_uniform():
    assert rules.pi_normalised([0.0, 0.0], 1).pi.tolist() == [0.5, 0.5]


def test_equal_risks_make_every_rule_uniform():
    for rule in (rules.pi_normalised([0.3] * 4, 1), rules.pi_exponential([0.3] * 4, 1, 50)):
        np.testing.assert_allclose(rule.pi, 0.25)


def test_the_whole_population_as_budget_takes_everybody():
    for rule in (rules.pi_normalised([0.3, 0.0], 2), rules.pi_exponential([0.3, 0.0], 2, 50)):
        assert rule.pi.tolist() == [1.0, 1.0]


def test_a_steep_exponential_rule_warns_that_it_cannot_support_an_estimate():
    assert "no valid estimate" in rules.pi_exponential([0.9, 0.1, 0.1], 1, beta=50).warning
    assert rules.pi_exponential([0.9, 0.1, 0.1], 1, beta=1).warning == ""


def test_a_risk_too_small_to_divide_by_is_refused():
    with pytest.raises(ValueError, match="at least 1e-300"):
        rules.pi_normalised([0.5, 1e-305], 1)


@given(risks, st.data())
def test_threshold_takes_exactly_the_most_suspicious(eps, data):
    budget = data.draw(st.integers(1, len(eps)))
    u = np.random.default_rng(0).random(len(eps))

    rule = rules.pi_threshold(eps, budget, u)

    assert rule.pi.sum() == budget
    taken, left = np.array(eps)[rule.pi == 1], np.array(eps)[rule.pi == 0]
    assert left.size == 0 or taken.min() >= left.max()
    assert rule.constants["threshold"] == taken.min()


def test_ties_of_risk_are_broken_by_their_own_numbers_not_by_file_order():
    order = rules.risk_order([0.5, 0.5, 0.5, 0.9], [0.3, 0.1, 0.2, 0.8])

    assert order.tolist() == [3, 1, 2, 0]


@settings(deadline=None)
@given(risks, st.data())
def test_threshold_for_money_takes_a_prefix_of_risk_per_cost_that_it_can_pay(eps, data):
    eps = np.array(eps)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    cost, u = rng.integers(1, 9, eps.size).astype(float), rng.random(eps.size)
    money = data.draw(st.floats(float(cost.max()), float(cost.sum())))

    rule = rules.pi_threshold(eps, money, u, cost)

    order = np.lexsort((u, -eps / cost))
    taken = rule.pi[order] == 1.0
    assert (np.diff(taken.astype(int)) <= 0).all()
    assert rule.take_all.tolist() == (rule.pi == 1.0).tolist()
    assert (cost * rule.pi).sum() <= money
    if not taken.all():
        assert (cost * rule.pi).sum() + cost[order][~taken][0] > money


def test_threshold_with_money_for_everybody_takes_everybody_whatever_the_rounding():
    cost = [0.1] * 10  # added one by one they come to .9999999999999999
    assert rules.pi_threshold([0.5] * 10, 1.0, np.arange(1, 11) / 20, cost).pi.all()
    cost = [0.1, 0.2, 0.3]  # and these, from the left, to .6000000000000001
    assert rules.pi_threshold([0.3, 0.2, 0.1], 0.6, [0.1, 0.2, 0.3], cost).pi.all()


def test_threshold_for_money_worked_by_hand():
    rule = rules.pi_threshold([0.9, 0.6, 0.2, 0.5], 4, [0.1, 0.2, 0.3, 0.4], [3.0, 1.0, 1.0, 2.0])

    # risk per cost .3, .6, .2, .25: the second (1), the first (3), then the fourth would pass 4
    assert rule.pi.tolist() == [1.0, 1.0, 0.0, 0.0]
    assert rule.constants["threshold"] == pytest.approx(0.3)


def test_threshold_with_money_for_nobody_says_what_the_first_would_cost():
    with pytest.raises(
        checks.BudgetInfeasible, match="at least 3, the cost of the most suspicious"
    ) as raised:
        rules.pi_threshold([0.9, 0.1], 2, [0.1, 0.2], [3.0, 1.0])
    assert raised.value.min_budget == 3.0


def test_costs_that_are_all_one_change_no_bit():
    rng = np.random.default_rng(6)
    eps = rng.beta(0.3, 1.0, size=100)
    for make in (
        lambda cost: rules.pi_uniform(100, 13.0, cost),
        lambda cost: rules.pi_normalised(eps, 13.0, cost),
        lambda cost: rules.pi_exponential(eps, 13.0, 10.0, cost),
    ):
        assert make(None).pi.tolist() == make(np.ones(100)).pi.tolist()


def test_normalised_for_money_by_hand():
    rule = rules.pi_normalised([0.9, 0.3, 0.1], 4.0, [2.0, 1.0, 5.0])

    # κ (1.8 + .3 + .5) = 4 would want π = 1.38 of the first: it costs 2, the others share 2 with κ = 2.5
    np.testing.assert_allclose(rule.pi, [1.0, 0.75, 0.25], rtol=1e-12)


def test_equal_risks_are_said():
    assert rules.pi_normalised([0.3, 0.3], 1).note == rules.ALL_EQUAL
    assert rules.pi_threshold([0.3, 0.3], 1, [0.1, 0.2]).note == rules.ALL_EQUAL
    assert rules.pi_exponential([0.3, 0.4], 1, 2.0).note == ""


def test_a_small_share_of_a_large_population_is_no_reason_to_warn():
    assert rules.pi_uniform(10_000_000, 1_000).warning == ""


@pytest.mark.parametrize(
    "call",
    [
        lambda: rules.pi_uniform(0, 1),
        lambda: rules.pi_uniform(3, 4),
        lambda: rules.pi_normalised([0.5, float("nan")], 1),
        lambda: rules.pi_normalised([0.5, 1.1], 1),
        lambda: rules.pi_normalised([], 1),
        lambda: rules.pi_normalised([0.5], 0),
        lambda: rules.pi_normalised([0.5], 2),
        lambda: rules.pi_exponential([0.5], 1, 0.0),
        lambda: rules.pi_exponential([0.5], 1, float("inf")),
        lambda: rules.pi_exponential([-0.5], 1, 1.0),
        lambda: rules.pi_threshold([0.5], 2, [0.5]),
        lambda: rules.pi_threshold([0.5, 0.4], 1.5, [0.5, 0.6]),
        lambda: rules.pi_threshold([0.5], 1, [0.5, 0.6]),
        lambda: rules.pi_threshold([0.5], 1, [1.0]),
        lambda: rules.pi_threshold([0.5], 1.5, [0.5], [1.0]),
        lambda: rules.pi_threshold([0.5], 1.0, [0.5], [0.0]),
        lambda: rules.pi_uniform(2, 3, [1.0, 1.0]),
        lambda: rules.pi_uniform(2, 1, [1.0]),
        lambda: rules.pi_normalised([0.5], 1, [-1.0]),
        lambda: rules.pi_exponential([0.5], 1, 1.0, [float("inf")]),
    ],
)
def test_rules_refuse_bad_input(call):
    with pytest.raises(ValueError, match="expected"):
        call()

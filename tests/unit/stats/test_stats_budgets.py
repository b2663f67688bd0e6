import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actuary.stats import budgets, checks, robust


def test_the_budget_for_an_aim_by_the_closed_form():
    v, cost = np.array([0.2, 0.1, 0.05]), np.array([1.0, 2.0, 1.0])

    budget = budgets.budget_for(v, 0.3, cost)

    assert budget == pytest.approx(np.sqrt(v * cost).sum() ** 2 / (9 * 0.3**2 + v.sum()))


@settings(deadline=None)
@given(st.integers(1, 60), st.floats(1e-4, 1.0), st.integers(0, 2**32))
def test_the_square_root_rule_reaches_the_aim_with_the_budget_for_it(items, se, seed):
    """Also where some items are certain; the rule is solved by other means, so this checks both."""
    rng = np.random.default_rng(seed)
    v, cost = rng.gamma(0.3, size=items).clip(1e-6, 1.0), rng.integers(1, 9, items).astype(float)

    pi = robust.pi_sqrt(v, budgets.budget_for(v, se, cost), cost, gamma=0.0).pi

    # the rule's budget is exact to 1e-9, and dVar/dB = -2 Var/B at most when nothing is capped
    variance = (v * (1 - pi) / pi).sum()
    assert variance == pytest.approx((items * se) ** 2, rel=1e-6, abs=1e-8 * (v / pi).sum())


@st.composite
def strata(draw):
    size = draw(st.integers(1, 8))
    population = np.array(draw(st.lists(st.integers(1, 50), min_size=size, max_size=size)))
    minimum = np.array([draw(st.integers(0, int(n))) for n in population])
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    wanted = np.where(rng.random(size) < 0.2, 0.0, rng.gamma(0.5, size=size) * 10)
    low = max(1, int(minimum.sum()))
    return wanted, minimum, population, draw(st.integers(low, int(population.sum())))


@settings(deadline=None)
@given(strata())
def test_strata_get_their_minimum_and_together_exactly_the_budget(case):
    wanted, minimum, population, budget = case

    share = budgets.share(wanted, minimum, population, budget)

    assert share.sum() == budget
    assert (share >= minimum).all()
    assert (share <= population).all()


@settings(deadline=None)
@given(strata())
def test_strata_above_their_minimum_share_in_proportion_to_what_the_rule_wants(case):
    wanted, minimum, population, budget = case

    share = budgets.share(wanted, minimum, population, budget)

    # between the bounds κ w, but for rounding by less than one label
    free = (share > minimum + 1) & (share < population - 1) & (wanted > 0)
    if free.sum() > 1:
        low, high = (share[free] - 1) / wanted[free], (share[free] + 1) / wanted[free]
        assert low.max() <= high.min() + 1e-9


def test_strata_whose_wishes_fit_get_them():
    assert budgets.share([5.0, 3.0, 2.0], [1, 1, 1], [20, 20, 20], 10).tolist() == [5, 3, 2]


def test_a_stratum_nobody_wants_gets_its_minimum_until_the_others_are_full():
    assert budgets.share([5.0, 0.0], [0, 1], [4, 9], 4).tolist() == [3, 1]
    assert budgets.share([5.0, 0.0], [0, 1], [4, 9], 7).tolist() == [4, 3]


def test_minima_that_are_too_dear_say_the_smallest_budget_that_would_do():
    with pytest.raises(checks.BudgetInfeasible, match="at least 7 labels") as raised:
        budgets.share([1.0, 1.0], [3, 4], [5, 5], 6)
    assert raised.value.min_budget == 7


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: budgets.share([1.0], [2], [1], 1), r"minimum: .* got 2 of 1 at \[0\]; ask for"),
        (lambda: budgets.share([1.0, 1.0], [0], [1, 1], 1), "minimum: expected 2 values"),
        (lambda: budgets.share([-1.0], [0], [1], 1), "wanted: expected values of at least 0"),
        (lambda: budgets.share([1.0], [0], [3], 4), r"budget: expected a whole number in \[1, 3\]"),
        (lambda: budgets.budget_for([0.0], 0.1), "variances and a standard error above 0"),
        (lambda: budgets.budget_for([], 0.1), "variances and a standard error above 0"),
        (lambda: budgets.budget_for([0.1], 0.0), "variances and a standard error above 0"),
        (lambda: budgets.budget_for([0.1], 0.1, [0.0]), "cost: expected values above 0"),
    ],
)
def test_budgets_refuse_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()

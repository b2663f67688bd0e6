import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actuary.stats import checks, draws, robust, rules

risk = st.one_of(st.sampled_from([0.0, 1.0, 0.5]), st.floats(1e-9, 1.0))


@st.composite
def populations(draw, cost=True):
    """Risks, costs (or none), numbers for ties, and a budget that all items would cost more than."""
    eps = np.array(draw(st.lists(risk, min_size=1, max_size=40)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kinds = [
        None,
        np.ones(eps.size),
        rng.gamma(0.5, size=eps.size) + 1e-3,
        rng.integers(1, 9, eps.size) * 1e6,
    ]
    price = draw(st.sampled_from(kinds[: 4 if cost else 1]))
    total = eps.size if price is None else math.fsum(price)
    return eps, price, rng.random(eps.size), draw(st.floats(0.01, 1.0)) * total


def all_rules(eps, price, u_tie, budget):
    v = 0.7 * eps + 0.3 * max(eps.mean(), 1e-3)
    share = budget / (eps.size if price is None else math.fsum(price))
    yield "sqrt", robust.pi_sqrt(eps, budget, price)
    yield "floor", robust.pi_sqrt(eps, budget, price, floor=0.5 * share)
    yield "ceiling", robust.pi_sqrt(eps, budget, price, ceiling=min(1.0, 1.5 * share))
    yield "hybrid", robust.pi_hybrid(eps, budget, u_tie, price)
    yield "lagrange", robust.pi_lagrange(eps, v, budget, 0.01, price)
    yield "lagrange, floor", robust.pi_lagrange(eps, v, budget, 0.01, price, floor=0.5 * share)
    yield "cdi", robust.pi_cdi(eps, budget, price)
    yield "uniform", rules.pi_uniform(eps.size, budget, price)
    yield "normalised", rules.pi_normalised(eps, budget, price)
    yield "exponential", rules.pi_exponential(eps, budget, 10.0, price)


@settings(deadline=None)
@given(populations())
def test_every_rule_costs_exactly_the_budget(population):
    eps, price, _, budget = population
    cost = np.ones(eps.size) if price is None else price
    for name, rule in all_rules(*population):
        assert math.fsum(cost * rule.pi) == pytest.approx(budget, rel=1e-9), name
        assert ((rule.pi >= 0.0) & (rule.pi <= 1.0)).all(), name
        assert rule.score.shape == eps.shape


@settings(deadline=None)
@given(populations())
def test_every_rule_gives_each_item_the_same_whatever_the_order_of_items(population):
    eps, price, u_tie, budget = population
    order = np.random.default_rng(1).permutation(eps.size)
    shuffled = all_rules(eps[order], None if price is None else price[order], u_tie[order], budget)
    for (name, plain), (_, other) in zip(all_rules(*population), shuffled, strict=True):
        if name.startswith(("exponential", "lagrange")):  # a sum, and the mean in this test's v, follow it
            np.testing.assert_allclose(other.pi, plain.pi[order], rtol=1e-9, err_msg=name)
        else:
            assert other.pi.tolist() == plain.pi[order].tolist(), name
            assert other.score.tolist() == plain.score[order].tolist(), name


@settings(deadline=None)
@given(populations(cost=False), st.data())
def test_the_score_draws_as_many_as_the_rule_planned(population, data):
    """The score is π before capping, so that τ is the rule's own constant when numbers are spread evenly."""
    eps, _, u_tie, _ = population
    size = data.draw(st.integers(1, eps.size))
    for name, rule in all_rules(eps, None, u_tie, float(size)):
        if name in ("exponential", "normalised"):
            continue  # items of score 0 may be too many to draw
        drawn = draws.draw_exact(rule.score, u_tie, size, rule.take_all)
        assert drawn.selected.sum() == size, name
        if rule.take_all is not None:
            assert drawn.selected[rule.take_all].all()


@settings(deadline=None)
@given(populations(cost=False), st.integers(1, 40), st.integers(1, 40))
def test_a_larger_budget_makes_no_item_less_likely_under_robust_rules(population, first, second):
    eps, _, u_tie, _ = population
    low, high = (min(size, eps.size) for size in sorted([first, second]))
    for (name, less), (_, more) in zip(
        all_rules(eps, None, u_tie, low), all_rules(eps, None, u_tie, high), strict=True
    ):
        assert (more.pi >= less.pi - 1e-9).all(), name


def test_the_square_root_equals_the_closed_form_where_nothing_is_clipped():
    eps, cost = np.array([0.5, 0.2, 0.1, 0.05]), np.array([1.0, 4.0, 2.0, 1.0])
    v = 0.7 * eps + 0.3 * eps.mean()

    rule = robust.pi_sqrt(eps, 1.2, cost)

    np.testing.assert_allclose(rule.pi, 1.2 * np.sqrt(v / cost) / np.sqrt(v * cost).sum(), rtol=1e-12)


def test_items_that_are_almost_certain_are_drawn_by_their_size_and_not_as_equals():
    rule = robust.pi_sqrt([1.0, 0.64, 0.01, 0.01], 2.5, gamma=0.0)

    assert rule.pi[:2].tolist() == [1.0, 1.0]
    np.testing.assert_allclose(rule.score, [1.0, 0.8, 0.1, 0.1])


def test_floor_and_ceiling_are_in_the_score_so_that_the_draw_keeps_them():
    rule = robust.pi_sqrt([1.0, 0.64, 0.01, 0.01], 1.6, gamma=0.0, floor=0.2, ceiling=0.7)

    np.testing.assert_allclose(rule.score * rule.constants["kappa"], rule.pi)


def test_the_square_root_follows_from_its_constants():
    eps = np.random.default_rng(0).beta(0.3, 1.0, size=50)

    rule = robust.pi_sqrt(eps, 20, gamma=0.2, floor=0.25, ceiling=0.7)

    k = rule.constants
    v = (1 - k["gamma"]) * eps + k["gamma"] * k["mean"]
    np.testing.assert_array_equal(rule.pi, np.clip(k["kappa"] * np.sqrt(v), k["floor"], k["ceiling"]))
    assert rule.pi.min() == 0.25
    assert rule.pi.max() == 0.7


@settings(deadline=None)
@given(st.lists(risk, min_size=2, max_size=40), st.floats(0.01, 0.5), st.floats(0.05, 1.0))
def test_gamma_bounds_every_weight(eps, share, gamma):
    rule = robust.pi_sqrt(eps, share * len(eps), gamma=gamma)

    assert (1.0 / rule.pi).max() <= 1.0 / (share * math.sqrt(gamma)) * (1 + 1e-9)


def test_probabilities_above_one_are_shared_among_the_others_and_not_cut():
    """As printed, the size measures would want π = 1.6 and .2; truncated they would spend 1.2 of 1.8."""
    for rule in (
        robust.pi_sqrt([0.64, 0.01, 0.01], 1.8, gamma=0.0),
        robust.pi_cdi([0.64, 0.01, 0.01], 1.8, tau=1e-6),
    ):
        np.testing.assert_allclose(rule.pi, [1.0, 0.4, 0.4], rtol=1e-9)


def test_a_floor_that_is_too_dear_says_the_smallest_budget_that_would_do():
    for call in (
        lambda: robust.pi_sqrt([0.5] * 4, 1, [1, 1, 1, 2], floor=0.3),
        lambda: robust.pi_lagrange([0.5] * 4, [0.1] * 4, 1, 0.1, [1, 1, 1, 2], floor=0.3),
    ):
        with pytest.raises(checks.BudgetInfeasible, match=r"at least 1.5.*lower the floor") as raised:
            call()
        assert raised.value.min_budget == pytest.approx(1.5)


def test_equal_risks_make_every_rule_uniform_and_the_rule_says_so():
    eps = np.full(5, 0.3)
    for name, rule in all_rules(eps, None, np.arange(1, 6) / 10, 2):
        if name != "hybrid":
            np.testing.assert_allclose(rule.pi, 0.4, rtol=1e-9, err_msg=name)
        assert rule.note == ("" if name == "uniform" else rules.ALL_EQUAL), name
    assert robust.pi_sqrt([0.3, 0.4], 1).note == ""


def test_risks_of_zero_and_one_are_within_reach():
    for name, rule in all_rules(np.array([1.0, 0.0, 1.0, 0.0]), None, np.arange(1, 5) / 10, 3):
        if name not in ("normalised", "exponential"):
            assert (rule.pi > 0.1).all(), name


def test_one_item_and_the_whole_population_are_taken():
    for eps in (np.array([0.2]), np.array([0.2, 0.0, 1.0, 0.6])):
        for name, rule in all_rules(eps, None, np.arange(1, eps.size + 1) / 10, eps.size):
            assert rule.pi.tolist() == [1.0] * eps.size, name


# Hybrid


def test_a_hybrid_worked_by_hand():
    rule = robust.pi_hybrid(
        [0.9, 0.8, 0.5, 0.1, 0.1], 3, [0.1, 0.2, 0.3, 0.4, 0.5], audit=0.4, gamma=0.0, floor_frac=0.0
    )

    # 1.8 labels buy one item, two are drawn by √ε: Σ √ε = .894427 + .707107 + 2 (.316228) = 2.233990
    np.testing.assert_allclose(rule.pi, [1.0, 0.800744, 0.633044, 0.283106, 0.283106], atol=1e-6)
    assert rule.take_all.tolist() == [True, False, False, False, False]
    assert rule.constants["threshold"] == 0.9


@settings(deadline=None)
@given(populations(), st.floats(0.05, 1.0))
def test_a_hybrid_keeps_the_audit_its_share_and_every_item_its_floor(population, audit):
    eps, price, u_tie, budget = population
    cost = np.ones(eps.size) if price is None else price
    rule = robust.pi_hybrid(eps, budget, u_tie, price, audit=audit, gamma=1e-6)  # so that only floors help
    rest = ~rule.take_all

    assert cost[rule.take_all].sum() <= (1 - audit) * budget * (1 + 1e-9)
    assert (rule.pi[rest] >= 0.25 * audit * budget / cost[rest].sum() * (1 - 1e-9)).all()


@settings(deadline=None)
@given(populations())
def test_a_hybrid_whose_floor_is_the_whole_audit_draws_uniformly(population):
    eps, price, u_tie, budget = population
    rule = robust.pi_hybrid(eps, budget, u_tie, price, floor_frac=1.0)
    rest = ~rule.take_all

    np.testing.assert_allclose(rule.pi[rest], rule.pi[rest][0], rtol=1e-9)
    if rule.pi[rest][0] < 1.0 - 1e-9:
        np.testing.assert_allclose(rule.score[rest], rule.score[rest][0], rtol=1e-9)


def test_a_hybrid_takes_the_most_suspicious_per_cost():
    rule = robust.pi_hybrid([0.9, 0.8, 0.5], 2, [0.1, 0.2, 0.3], [3.0, 1.0, 1.0], audit=0.5)

    assert rule.take_all.tolist() == [False, True, False]


def test_a_hybrid_whose_top_fits_no_budget_only_draws():
    rule = robust.pi_hybrid([0.9, 0.1], 1, [0.1, 0.2], audit=0.3)

    assert not rule.take_all.any()
    assert rule.constants["threshold"] == math.inf


# Lagrange


def lagrange_value(eps, v, lam, pi):
    return (pi * eps).sum() - lam * (v / pi).sum()


def test_the_lagrange_rule_is_best_among_neighbours_of_the_same_cost():
    rng = np.random.default_rng(4)
    eps, v, cost = rng.random(12), 0.05 + rng.random(12), 1.0 + rng.random(12)
    for lam in (1e-4, 1e-2, 1.0):
        rule = robust.pi_lagrange(eps, v, 5.0, lam, cost)
        best = lagrange_value(eps, v, lam, rule.pi)
        for _ in range(200):
            step = rng.normal(size=12) * 1e-3
            other = np.clip(rule.pi + step, 1e-6, 1.0)
            other *= 5.0 / (cost * other).sum()
            if (other <= 1.0).all():
                assert lagrange_value(eps, v, lam, other) <= best + 1e-12


def test_the_lagrange_rule_tends_to_its_limits():
    rng = np.random.default_rng(5)
    eps, u_tie = rng.random(30), rng.random(30)
    v = 0.7 * eps + 0.3 * eps.mean()

    greedy = robust.pi_lagrange(eps, v, 9, 1e-8)
    cautious = robust.pi_lagrange(eps, v, 9, 1e6)

    np.testing.assert_allclose(greedy.pi, rules.pi_threshold(eps, 9, u_tie).pi, atol=0.01)
    np.testing.assert_allclose(cautious.pi, robust.pi_sqrt(eps, 9).pi, rtol=1e-5)


def test_the_lagrange_rule_follows_from_its_constants_and_takes_what_is_certain():
    eps, v = np.array([0.9, 0.5, 0.1, 0.02]), np.full(4, 0.2)

    rule = robust.pi_lagrange(eps, v, 2, 0.01, floor=0.05)

    left = rule.constants["mu"] - eps
    expected = np.where(left > 0.01 * v, np.sqrt(0.01 * v / np.maximum(left, 1e-9)), 1.0)
    np.testing.assert_allclose(rule.pi, np.maximum(expected, 0.05), rtol=1e-9)
    assert rule.take_all.tolist() == (rule.pi == 1.0).tolist()
    assert rule.take_all.any()


def test_a_lambda_too_small_to_share_a_budget_among_equals_is_refused():
    with pytest.raises(ValueError, match="raise it, or use"):
        robust.pi_lagrange([0.5] * 10, [0.1] * 10, 5, 1e-18)


# Gamma from the pilot


def test_a_pilot_that_believes_the_critic_lowers_gamma_and_one_that_does_not_raises_it():
    rng = np.random.default_rng(2)
    eps = rng.beta(0.3, 1.0, size=4_000)
    pilot = np.arange(eps.size) < 400
    right, useless = rng.random(400) < eps[pilot], rng.random(400) < eps.mean()

    assert robust.tune_gamma(eps, pilot, right, 300) < robust.tune_gamma(eps, pilot, useless, 300)


def test_gamma_is_the_least_predicted_variance_by_an_independent_computation():
    rng = np.random.default_rng(3)
    eps, cost = rng.beta(0.3, 1.0, size=300), rng.integers(1, 5, size=300).astype(float)
    pilot = rng.random(300) < 0.3
    err = rng.random(int(pilot.sum())) < 0.5 * eps[pilot] + 0.1
    grid = (0.1, 0.3, 0.6, 1.0)
    outside, variances = ~pilot, []
    for gamma in grid:
        mean = eps[outside].mean()
        s = np.sqrt(((1 - gamma) * eps + gamma * mean) / cost)
        kappa = 40.0 / (cost * s)[outside].sum()  # nothing reaches 1 at this budget
        assert (kappa * s[outside]).max() < 1
        variances.append(np.mean((err + 0.02) / np.minimum(1, kappa * s[pilot])))

    chosen = robust.tune_gamma(eps, pilot, err, 40.0, cost, grid=grid)

    assert chosen == grid[int(np.argmin(variances))]


def test_gamma_without_any_risk_is_uniform():
    assert robust.tune_gamma([0.0] * 4, [1, 0, 0, 1], [0, 0], 1) == 1.0


GOOD = ([0.5, 0.2], [0.1, 0.2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: robust.pi_sqrt([0.5, float("nan")], 1), "eps: expected finite values"),
        (lambda: robust.pi_sqrt([0.5, 1.1], 1), r"eps: expected values in \[0, 1\], got 1.1 at \[1\]"),
        (lambda: robust.pi_sqrt([], 1), "at least one item"),
        (lambda: robust.pi_sqrt([0.5], 0), "0 < budget <= 1"),
        (lambda: robust.pi_sqrt([0.5], 1.01), "0 < budget <= 1"),
        (lambda: robust.pi_sqrt([0.5, 0.5], 3.1, [1, 2]), "0 < budget <= 3"),
        (lambda: robust.pi_sqrt([0.5, 0.5], 1, [1, 0]), r"cost: expected values above 0, got 0.0 at \[1\]"),
        (lambda: robust.pi_sqrt([0.5, 0.5], 1, [1, float("inf")]), "cost: expected finite values"),
        (lambda: robust.pi_sqrt([0.5, 0.5], 1, [1]), "cost: expected 2 values, got 1"),
        (lambda: robust.pi_sqrt([0.5, 0.0], 1, gamma=0.0), "raise gamma"),
        (lambda: robust.pi_sqrt([0.5], 1, gamma=1.5), r"gamma: expected a number in \[0, 1\], got 1.5"),
        (lambda: robust.pi_sqrt([0.5], 1, floor=0.5, ceiling=0.4), "floor <= ceiling"),
        (lambda: robust.pi_sqrt([0.5] * 4, 3, ceiling=0.5), "at most 2, since no item may have more"),
        (lambda: robust.pi_hybrid(*GOOD[:1], 1, [0.1, 1.0]), "u_tie"),
        (
            lambda: robust.pi_hybrid(GOOD[0], 1, GOOD[1], audit=0.0),
            r"audit: expected a number in \[0.001, 1\]",
        ),
        (lambda: robust.pi_hybrid(GOOD[0], 1, GOOD[1], floor_frac=1.5), "floor_frac"),
        (lambda: robust.pi_hybrid(GOOD[0], 2.5, GOOD[1]), "0 < budget <= 2"),
        (lambda: robust.pi_lagrange([0.5], [0.0], 1, 0.1), "predicted variances and a lambda above 0"),
        (lambda: robust.pi_lagrange([0.5], [0.1], 1, 0.0), "lambda above 0"),
        (lambda: robust.pi_lagrange([0.5], [0.1, 0.2], 1, 0.1), "v: expected 1 values"),
        (lambda: robust.pi_lagrange([0.5], [0.1], 1, 0.1, floor=-1), "floor"),
        (lambda: robust.pi_cdi([0.5, 0.1], 1, tau=0.0), "tau"),
        (lambda: robust.pi_cdi([0.5, 1.5], 1), "predicted: expected values"),
        (lambda: robust.tune_gamma([0.5, 0.1], [1, 1], [1, 0], 1), "pilot: expected some items of 2"),
        (lambda: robust.tune_gamma([0.5, 0.1], [0, 0], [], 1), "pilot: expected some items of 2"),
        (lambda: robust.tune_gamma([0.5, 0.1], [0, 1], [1, 0], 1), "err: expected 1 values"),
        (lambda: robust.tune_gamma([0.5, 0.1], [0, 1], [1], 1, grid=()), "at least one gamma"),
        (
            lambda: robust.tune_gamma([0.5, 0.1], [0, 1], [1], 1, grid=(0.0,)),
            r"grid: expected a number in \[1e-06",
        ),
    ],
)
def test_robust_rules_refuse_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Constants of rules from chunks: they spend the budget, and are the same bits whatever the chunks."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actuary.stats import checks, families, levels, rules, words

LIKERT = np.linspace(0.05, 1.0, 20)


def passes(risk, cost=None, seed=0):
    """Every pass has other chunks in another order, some of them empty."""
    rng = np.random.default_rng(seed)

    def chunks():
        cuts = np.sort(rng.integers(0, risk.size + 1, 5))
        for rows in np.split(rng.permutation(risk.size), cuts):
            yield levels.Priced(risk=risk[rows], cost=None if cost is None else cost[rows])

    return chunks


def pool(kind, size=2000):
    rng = np.random.default_rng(7)
    return {
        "beta": rng.beta(0.5, 2, size),
        "likert": rng.choice(LIKERT, size),
        "equal": np.full(size, 0.3),
        "rare": np.where(rng.random(size) < 0.01, 0.9, 1e-9),
        "tiny": rng.random(size) * 1e-30,
        "zeros and ones": (rng.random(size) < 0.5).astype(float),
    }[kind]


SOLVERS = {
    "normalised": lambda p, b: levels.normalised(p, b),
    "square root": lambda p, b: levels.square_root(p, b),
    "square root with a floor": lambda p, b: levels.square_root(p, b, gamma=0.05, floor=0.004),
    "lagrange": lambda p, b: levels.lagrange(p, b, lam=0.02, floor=0.002),
    "exponential": lambda p, b: levels.exponential(p, b, beta=10.0),
}


@pytest.mark.parametrize("kind", ["beta", "likert", "equal", "rare", "tiny", "zeros and ones"])
@pytest.mark.parametrize("rule", SOLVERS)
def test_a_rule_from_chunks_spends_its_budget(rule, kind):
    risk = pool(kind)
    for budget in (20, 333.25, 1500, 1999):
        family, theta = SOLVERS[rule](passes(risk), budget)

        # 1.2e-10 is the solver's own tolerance; numpy's sum of 2,000 numbers is good to 2,000 2^-53
        assert family.pi(risk, None, theta).sum() == pytest.approx(budget, rel=2e-10)


@pytest.mark.parametrize("rule", SOLVERS)
def test_a_rule_from_chunks_spends_its_budget_of_money(rule):
    risk, cost = pool("beta"), np.random.default_rng(1).integers(1, 10**6, 2000)
    budget = int(cost.sum()) // 5

    family, theta = SOLVERS[rule](passes(risk, cost), budget)

    assert (cost * family.pi(risk, cost.astype(float), theta)).sum() == pytest.approx(budget, rel=2e-10)


@pytest.mark.parametrize("kind", ["beta", "likert", "rare"])
@pytest.mark.parametrize("rule", SOLVERS)
@pytest.mark.parametrize("costs", [False, True])
def test_a_constant_is_the_same_bits_whatever_the_chunks(rule, kind, costs):
    risk = pool(kind)
    cost = np.random.default_rng(2).integers(1, 9, 2000) if costs else None
    in_memory = SOLVERS[rule](lambda: [levels.Priced(risk=risk, cost=cost)], 200)

    assert {SOLVERS[rule](passes(risk, cost, seed), 200) for seed in range(6)} == {in_memory}


@settings(max_examples=100, deadline=None)
@given(
    risk=st.lists(st.floats(0.0, 1.0) | st.sampled_from([0.0, 1.0, 1e-6, *LIKERT]), min_size=1, max_size=30),
    share=st.floats(0.01, 1.0),
)
def test_the_normalised_rule_from_chunks_agrees_with_that_in_memory(risk, share):
    eps = np.array(risk)
    eps[eps < rules.SMALLEST_RISK] = 0.0
    budget = share * eps.size

    family, kappa = levels.normalised(passes(eps), budget)

    # each Σ is within 1e-9 of the budget; κ follows from Σ, unless all that is not 0 is capped
    assert family.pi(eps, None, kappa) == pytest.approx(
        rules.pi_normalised(eps, budget).pi, rel=2e-9, abs=1e-9
    )


def test_the_exponential_rule_from_chunks_agrees_with_that_in_memory():
    risk = pool("beta")
    for beta in (2.0, 10.0, 50.0):
        family, theta = levels.exponential(passes(risk), 200, beta)
        rule = rules.pi_exponential(risk, 200, beta)

        # dα = dB/(β Σ π(1 - π)) for a tolerance of 1.2e-10 B
        slope = beta * (rule.pi * (1.0 - rule.pi)).sum()
        assert abs(family.alpha(theta) - rule.constants["alpha"]) <= 2e-10 * 200 / slope


def test_the_square_root_by_hand():
    family, kappa = levels.square_root(passes(np.array([0.64, 0.04, 0.04, 0.04])), 1.1, gamma=0.0)

    assert kappa == pytest.approx(1.1 / 1.4, rel=2e-10)
    assert family.pi(np.array([0.64]), None, kappa) == pytest.approx([0.8 * 1.1 / 1.4], rel=2e-10)


def test_lagrange_is_a_stationary_point():
    risk, cost = pool("beta"), np.random.default_rng(3).integers(1, 9, 2000)
    family, theta = levels.lagrange(passes(risk, cost), 1000, lam=0.02)
    pi = family.pi(risk, cost.astype(float), theta)
    v = 0.7 * risk + 0.3 * math.fsum(risk) / 2000
    inner = pi < 1.0

    # ε + λ v/π² = μ c where π < 1, and at least that where it is 1
    price = (risk + 0.02 * v / pi**2) * theta / cost
    assert price[inner] == pytest.approx(1.0, rel=1e-9)
    assert (price[~inner] >= 1.0 - 1e-9).all()
    assert 0 < inner.sum() < 2000


def test_a_rule_that_jumps_over_the_budget_says_how_near_it_comes():
    with pytest.raises(ValueError, match="expected a rule that can spend 1000, the nearest is"):
        levels.lagrange(passes(pool("equal")), 1000, lam=1e-30)


def test_a_floor_that_costs_more_than_the_budget_says_what_would_do():
    with pytest.raises(checks.BudgetInfeasible, match="expected at least 20, what a floor") as caught:
        levels.square_root(passes(pool("beta")), 10, floor=0.01)

    assert caught.value.min_budget == 20.0


@pytest.mark.parametrize("budget", [0, -1, 2001, math.nan])
@pytest.mark.parametrize("rule", SOLVERS)
def test_a_budget_out_of_range_is_refused(rule, budget):
    with pytest.raises(ValueError, match=r"budget: expected a number in \(0, 2000\]"):
        SOLVERS[rule](passes(pool("beta")), budget)


def test_a_budget_for_everything_takes_everything():
    for solver in ("normalised", "square root", "exponential"):
        family, theta = SOLVERS[solver](passes(pool("beta")), 2000)

        assert family.pi(pool("beta"), None, theta).sum() == pytest.approx(2000, rel=2e-10)


def test_sketches_of_shards_merge_to_that_of_all():
    risk, cost = pool("beta"), np.random.default_rng(4).integers(1, 2**50, 2000)
    whole = levels.sketch(lambda: [levels.Priced(risk=risk, cost=cost)])
    parts = [
        levels.sketch(lambda r=r: [levels.Priced(risk=risk[r], cost=cost[r])])
        for r in np.split(np.arange(2000), [9, 999])
    ]

    parts[2].merge(parts[0])
    parts[2].merge(parts[1])

    assert (parts[2].cells == whole.cells).all()
    for name in ("items", "risk", "cost", "positive", "smallest", "mean"):
        assert getattr(parts[2], name) == getattr(whole, name)


def test_a_sketch_grows_with_the_first_cost_and_knows_the_ends():
    few, dear = levels.Sketch(), levels.Sketch()
    few.add(levels.Priced(risk=np.array([0.0, 0.25])))
    dear.add(levels.Priced(risk=np.array([0.75, 0.5]), cost=np.array([1, 40])))

    few.merge(dear)
    dear.merge(levels.Sketch())

    assert (few.items, few.cost, few.none, few.least, few.most) == (4, 43, 1, 0.0, 0.75)
    assert (dear.least, dear.most) == (0.5, 0.75)
    assert few.points()[2].sum() == 4


def test_constants_that_are_solved_for_together_are_those_of_each_alone():
    risk = pool("beta")
    known = levels.sketch(passes(risk))
    each = [families.SquareRoot(mean=known.mean, gamma=gamma) for gamma in (0.05, 0.5, 1.0)]

    together = levels.solve_all(passes(risk), each, 333, known)

    assert together == [levels.solve(passes(risk, seed=1), family, 333, known) for family in each]


@settings(max_examples=200, deadline=None)
@given(values=st.lists(st.floats(0.0, 2.0**34) | st.floats(0.0, 1.0), max_size=50), seed=st.integers(0, 9))
def test_a_total_is_exact(values, seed):
    array = np.array(values, dtype=np.float64)
    shuffled = np.random.default_rng(seed).permutation(array)

    assert words.total(array) == words.total(shuffled[:20]) + words.total(shuffled[20:])
    assert words.rounded(words.total(array)) == math.fsum(values)


def test_a_total_of_many_parts_is_exact():
    values = np.random.default_rng(5).random(200_000) ** 9

    assert words.rounded(words.total(values)) == math.fsum(values)


def test_values_whose_sum_could_round_are_refused():
    with pytest.raises(words.SumTooLarge, match="expected values below 2\\^35"):
        words.total(np.array([2.0**35]))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0.0, allow_infinity=True, allow_nan=False), min_size=2, max_size=9))
def test_words_order_values_and_give_them_back(values):
    rising, falling = words.rising("x", values), words.falling("x", values)

    assert np.argsort(rising, kind="stable").tolist() == np.argsort(values, kind="stable").tolist()
    assert (rising + falling == words.INFINITE).all()
    assert [words.value(int(word)) for word in rising] == values


def test_minus_zero_is_zero():
    assert words.rising("x", [-0.0, 0.5], 1.0).tolist()[0] == 0


@pytest.mark.parametrize("value", [math.nan, -1e-300, 1.5])
def test_a_value_out_of_range_is_named_with_its_place(value):
    with pytest.raises(ValueError, match=r"x: expected values in \[0, 1\], got .* at \[1\] \(1 of 2\)"):
        words.rising("x", [0.5, value], 1.0)


def test_parameters_of_families_are_checked():
    with pytest.raises(ValueError, match="lam: expected a finite number above 0"):
        families.Lagrange(lam=0.0, mean=0.5)
    with pytest.raises(ValueError, match="beta: expected a number in"):
        families.Exponential(beta=0.0, most=1.0)
    with pytest.raises(ValueError, match="mean, gamma, floor"):
        families.SquareRoot(mean=0.5, gamma=1.5)


def test_values_of_more_axes_are_refused():
    with pytest.raises(ValueError, match=r"x: expected 1 axes, got shape \(1, 2\)"):
        words.rising("x", [[0.1, 0.2]])

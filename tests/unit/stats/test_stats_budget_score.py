import csv
import itertools
import pathlib

import numpy as np
import pytest
import scipy.special
import scipy.stats

from actuary.stats import budget_score, risk

POLITENESS = pathlib.Path(__file__).parents[4] / "shared/data/politeness-gpt4o/politeness.csv"


def population(items=3_000, seed=0):
    rng = np.random.default_rng(seed)
    eps = np.round(rng.beta(1.0, 3.0, items), 2)  # ties, as models' confidences have them
    return eps, rng.random(items) < scipy.special.expit(3 * eps - 1.6)


def gains_of(eps, wrong, shares):
    """AQG from full truth."""
    found = budget_score.gain(eps, np.arange(len(eps)), wrong, np.ones(len(eps)), shares)
    return [gain.value for gain in found]


def test_full_truth_gives_the_areas_of_the_curve_without_error():
    eps, wrong = population()
    everyone, one = np.arange(eps.size), np.ones(eps.size)
    e0 = wrong.mean()
    grid = np.linspace(0.0, e0, 20_001)
    area = budget_score.area(gains_of(eps, wrong, grid), grid, e0)

    found = budget_score.score(eps, everyone, wrong, one)

    assert found.ideal_budget == budget_score.Measured(value=e0, se=0.0)
    assert found.ratio.value == pytest.approx(area.ratio, rel=1e-6)
    assert found.excess.value == pytest.approx(area.excess, rel=1e-6)
    assert (found.ratio.se, found.excess.se) == (0.0, 0.0)


def test_a_gain_with_ties_is_the_mean_over_all_orders():
    eps, err = [0.9, 0.5, 0.5, 0.5, 0.1], np.array([0, 1, 0, 1, 0])
    tied = list(itertools.permutations([1, 2, 3]))

    curve = gains_of(eps, err, np.arange(6) / 5)

    slow = [np.mean([err[[0, *order, 4]][:k].sum() / 5 for order in tied]) for k in range(6)]
    np.testing.assert_allclose(curve, slow)


def test_an_oracle_has_an_excess_of_one_and_a_random_critic_of_zero():
    err = np.arange(1000) < 300
    grid = np.linspace(0, 1, 1001)

    oracle = budget_score.area(gains_of(err.astype(float), err, grid), grid, 0.3)
    random = budget_score.area(gains_of(np.full(1000, 0.5), err, grid), grid, 0.3)

    assert oracle.ratio == pytest.approx(1.0)
    assert oracle.excess == pytest.approx(1.0)
    assert random.excess == pytest.approx(0.0, abs=1e-9)


def test_up_to_the_ideal_budget_a_random_critic_has_the_error_rate_as_ratio():
    # algorithms.md section 1: .299 at e0 = .304
    grid = np.linspace(0, 0.304, 50)

    assert budget_score.area(grid * 0.304, grid, 0.304).ratio == pytest.approx(0.304)


def slow(eps, at, wrong, g, steps=4_000):
    """By the definitions, budget by budget: sort, review from the top, ties in equal parts."""
    total = sum(g)
    e0 = sum(w * d for w, d in zip(g, wrong, strict=True)) / total

    def gain(b):
        found = 0.0
        for i, d, w in zip(at, wrong, g, strict=True):
            above = sum(e > eps[i] for e in eps)
            tied = sum(e == eps[i] for e in eps)
            found += w * d * min(1.0, max(0.0, (b * len(eps) - above) / tied))
        return found / total

    width = e0 / steps
    area = sum(gain((k + 0.5) * width) for k in range(steps)) * width
    oracle = sum(min((k + 0.5) * width, e0) for k in range(steps)) * width
    chance = sum((k + 0.5) * width * e0 for k in range(steps)) * width
    return e0, area / oracle, (area - chance) / (oracle - chance)


def test_a_sample_by_its_weights_equals_the_definition():
    eps = population(30, seed=3)[0]
    at, g = [2, 5, 7, 11, 19, 23, 28], [4.0, 1.0, 4.0, 9.0, 4.0, 1.0, 7.0]
    d = [bool(x) for x in (1, 0, 1, 0, 0, 1, 0)]

    found = budget_score.score(eps, at, d, g)

    e0, ratio, excess = slow(eps.tolist(), at, d, g)
    assert found.ideal_budget.value == pytest.approx(e0)
    assert found.ratio.value == pytest.approx(ratio, abs=1e-5)
    assert found.excess.value == pytest.approx(excess, abs=1e-5)


def within_chance(values, expected):
    """A mean lies within 4.9 of its standard errors, beyond which it is once in a million."""
    values = np.asarray(values, dtype=float)
    assert abs(values.mean() - expected) <= 4.9 * values.std(ddof=1) / np.sqrt(values.size)


def second_order(eps, wrong, pi):
    """Bias of each measure to second order: 1/2 Σ (1 - π)/π ∂²f/∂w_i², over the weight w_i of every item.

    Items of one risk and label have the same derivative; it is taken from differences, at one of each kind.
    """
    everyone, step = np.arange(eps.size), 1e-2
    kinds, first, kind = np.unique(np.stack([eps, wrong]), axis=1, return_index=True, return_inverse=True)
    spread = np.bincount(kind, (1 - pi) / pi, minlength=kinds.shape[1])

    def measured(at, change):
        weight = np.ones(eps.size)
        weight[at] += change
        found = budget_score.score(eps, everyone, wrong, weight)
        return np.array([getattr(found, name).value for name in MEASURES])

    here = measured(0, 0.0)
    return sum(
        each * (measured(at, step) - 2 * here + measured(at, -step)) / step**2 / 2
        for at, each in zip(first, spread, strict=True)
    )


MEASURES = ("ideal_budget", "ratio", "excess")


@pytest.mark.parametrize("design", ["simple", "by risk"])
def test_standard_errors_are_those_of_repeated_samples(design):
    eps, wrong = population()
    pi = np.full(eps.size, 0.1) if design == "simple" else np.clip(0.04 + 0.3 * eps, 0.0, 1.0)
    truth = budget_score.score(eps, np.arange(eps.size), wrong, np.ones(eps.size))
    bias = second_order(eps, wrong, pi)
    rng = np.random.default_rng(1)
    found = []
    for _ in range(2_000):
        at = np.flatnonzero(rng.random(eps.size) < pi)
        found.append(budget_score.score(eps, at, wrong[at], 1 / pi[at]))

    for name, beside in zip(MEASURES, bias, strict=True):
        measured = [getattr(f, name) for f in found]
        value, se = np.array([m.value for m in measured]), np.array([m.se for m in measured])
        exact = getattr(truth, name).value
        within_chance(value, exact + beside)
        within_chance((value - value.mean()) ** 2 - se**2, 0.0)
        hits = (np.abs(value - exact) <= 1.959964 * se).sum()
        assert hits >= scipy.stats.binom.ppf(1e-6, 2_000, 0.95)


@pytest.mark.skipif(not POLITENESS.is_file(), reason=f"the politeness data is not at {POLITENESS}")
def test_politeness_has_the_scores_that_are_known_of_it():
    """algorithms.md section 1, which had another pilot of 500 of the 5,480.

    Over 40 pilots ratio and excess have standard deviations of .0052 and .0062 for the raw critic, .0037 and
    .0051 for the calibrated one; two pilots differ by √2 of these, and by more than four of those once in
    16,000.
    """
    with POLITENESS.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    said = np.array([float(row["Prediction_human"]) for row in rows])
    machine = np.array([float(row["Prediction_gpt-4o"] in {"1", "1.0", "polite"}) for row in rows])
    polite = np.array([float(row["Confidence_gpt-4o"]) for row in rows])  # stated for "polite"
    wrong = said != machine
    raw = np.where(machine == 1.0, 1.0 - polite, polite)
    pilot = np.random.default_rng(0).permutation(len(rows)) < 500
    x = np.column_stack([risk.logit(polite), machine, risk.logit(polite) * machine])
    calibrated = risk.predict(risk.fit_platt(x[pilot], wrong[pilot]), x)
    left = np.flatnonzero(~pilot)

    def of(eps, at):
        return budget_score.score(eps[left], at, wrong[left][at], np.full(at.size, left.size / at.size))

    rng = np.random.default_rng(1)
    for eps, ratio, excess, spread in (
        (raw, 0.319, 0.020, (0.0052, 0.0062)),
        (calibrated, 0.675, 0.532, (0.0037, 0.0051)),
    ):
        full = of(eps, np.arange(left.size))
        assert abs(full.ratio.value - ratio) < 4 * np.sqrt(2) * spread[0]
        assert abs(full.excess.value - excess) < 4 * np.sqrt(2) * spread[1]
        # The bias of a ratio is of order 1/n - 1/N: two sizes of audit are weighed so that it cancels.
        small, large = (
            [of(eps, rng.choice(left.size, size, replace=False)).ratio for _ in range(1_000)]
            for size in (249, 498)
        )
        few, many = (np.array([each.value for each in found]) for found in (small, large))
        order = 1 / 249 - 1 / left.size, 1 / 498 - 1 / left.size
        within_chance((order[0] * many - order[1] * few) / (order[0] - order[1]), full.ratio.value)
        within_chance((many - many.mean()) ** 2 - np.array([each.se**2 for each in large]), 0.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: budget_score.score([0.5, 0.2], [0, 0], [1, 0], [1, 1]),
        lambda: budget_score.score([0.5, 0.2], [0, 2], [1, 0], [1, 1]),
        lambda: budget_score.score([0.5, 0.2], [0, 1], [1, 1], [1, 1]),
        lambda: budget_score.score([0.5, 0.2], [0, 1], [1, 0], [1, -1]),
        lambda: budget_score.score([0.5, 0.2], [0, 1], [1, 0], [0, 0]),
        lambda: budget_score.score([0.5, 1.2], [0, 1], [1, 0], [1, 1]),
        lambda: budget_score.score([0.5, 0.2], [], [], []),
        lambda: budget_score.gain([0.5, 0.2], [0], [1], [1], [1.2]),
        lambda: budget_score.area([0.0], [0.0], 0.5),
        lambda: budget_score.area([0.0, 0.1], [0.1, 0.1], 0.5),
        lambda: budget_score.area([0.0, 0.1], [0.0, 0.1], 0.0),
        lambda: budget_score.area([0.0], [0.0, 0.1], 0.5),
    ],
)
def test_budget_score_refuses_bad_input(call):
    with pytest.raises(ValueError, match="expected"):
        call()

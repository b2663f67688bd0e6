"""Weights from chunks: those of the rule in memory, whatever the chunks."""

import math

import numpy as np
import pytest

from actuary.stats import levels, orders, robust, streamed_weighing, weighing

LIKERT = np.linspace(0.05, 1.0, 20)
POOLS = ("beta", "likert", "equal", "rare", "zeros and ones", "nothing")
EXACT = {
    "uniform": weighing.Weighing(rule="uniform"),
    "normalised": weighing.Weighing(rule="normalised"),
    "square-root": weighing.Weighing(rule="square-root", gamma=0.05),
    "hybrid": weighing.Weighing(rule="hybrid", audit_share=0.3),
    "hybrid, no top": weighing.Weighing(rule="hybrid", audit_share=1.0),
}
SOLVED = {
    "exponential": weighing.Weighing(rule="exponential", beta=8.0),
    "hybrid, a floor that binds": weighing.Weighing(rule="hybrid", gamma=0.01),
}


def pool(kind, size=2000):
    rng = np.random.default_rng(7)
    risk = {
        "beta": rng.beta(0.5, 2, size),
        "likert": rng.choice(LIKERT, size),
        "equal": np.full(size, 0.3),
        "rare": np.where(rng.random(size) < 0.01, 0.9, 1e-9),
        "zeros and ones": (rng.random(size) < 0.1).astype(float),
        "nothing": np.zeros(size),
    }[kind]
    return risk, (rng.permutation(size) + 0.5) / size


def passes(risk, tie, seed=0):
    """Every pass has other chunks in another order, some of them empty."""
    rng = np.random.default_rng(seed)

    def chunks(ties):
        cuts = np.sort(rng.integers(0, risk.size + 1, 5))
        for rows in np.split(rng.permutation(risk.size), cuts):
            made = orders.Made(lambda more, rows=rows: tie[rows[more]])
            yield streamed_weighing.Suspects(risk=risk[rows], place=rows, tie=made if ties else None)

    return chunks


def both(how, kind, budget, seed=0):
    risk, tie = pool(kind)
    return (
        risk,
        how.inclusion(risk, budget, tie),
        streamed_weighing.weigh(passes(risk, tie, seed), how, budget),
    )


@pytest.mark.parametrize("kind", POOLS)
@pytest.mark.parametrize("budget", [1, 20, 333, 1500, 2000])
@pytest.mark.parametrize("name", EXACT)
def test_size_measures_from_chunks_are_those_of_the_rule_in_memory(name, kind, budget):
    risk, rule, found = both(EXACT[name], kind, budget)
    sure = np.zeros(risk.size, dtype=np.bool_) if rule.take_all is None else rule.take_all
    certain = [] if found.certain is None else found.certain.place.tolist()

    assert certain == np.flatnonzero(sure).tolist()
    assert found.score(risk[~sure]).tolist() == weighing.scores(rule)[~sure].tolist()
    assert (found.warning, found.note) == (rule.warning, rule.note)
    assert {*found.constants} == {*rule.constants}
    for constant, value in rule.constants.items():
        pi = rule.pi[~sure]
        moving = pi[pi < 1.0].sum()
        if constant == "kappa" and budget < risk.size and moving:
            # both spend the budget to 1e-9, the promise of the rules in memory
            assert found.constants[constant] == pytest.approx(value, rel=1e-9 * budget / moving)
        else:
            assert found.constants[constant] == value


@pytest.mark.parametrize("kind", ["beta", "likert", "rare"])
@pytest.mark.parametrize("budget", [20, 333, 1500, 2000])
@pytest.mark.parametrize("name", SOLVED)
def test_size_measures_that_hang_on_a_solved_constant_differ_by_its_tolerance(name, kind, budget):
    risk, rule, found = both(SOLVED[name], kind, budget)
    sure = np.zeros(risk.size, dtype=np.bool_) if rule.take_all is None else rule.take_all
    pi, floor = rule.pi[~sure], rule.constants.get("floor", 0.0)
    # d log s <= d Σ π / Σ dπ/dx, x being β α or log κ
    moving = pi * (1.0 - pi) if name == "exponential" else pi[(pi > floor) & (pi < 1.0)]
    slack = (levels.TOLERANCE + 1e-12) * budget / moving.sum() if budget < risk.size else 0.0

    assert found.score(risk[~sure]) == pytest.approx(weighing.scores(rule)[~sure], rel=slack)
    assert (found.warning, found.note) == (rule.warning, rule.note)
    assert budget < risk.size or found.constants == rule.constants


@pytest.mark.parametrize("kind", ["beta", "likert"])
@pytest.mark.parametrize("name", [*EXACT, *SOLVED])
def test_weights_are_the_same_bits_whatever_the_chunks(name, kind):
    found = [both({**EXACT, **SOLVED}[name], kind, 200, seed)[2] for seed in range(4)]
    risk = pool(kind)[0]

    assert all(each.constants == found[0].constants for each in found)
    assert all(each.score(risk).tolist() == found[0].score(risk).tolist() for each in found)
    assert len({each.smallest for each in found}) == 1


@pytest.mark.parametrize("useful", [True, False])
def test_gamma_from_chunks_is_that_of_the_pool_in_memory(useful):
    rng = np.random.default_rng(3)
    risk = rng.beta(0.5, 2.0, 3000)
    pilot = np.arange(3000) < 300
    wrong = rng.random(300) < (risk[:300] if useful else risk.mean())

    gammas = {
        streamed_weighing.tune_gamma(
            lambda step=step: (levels.Priced(risk=part) for part in np.array_split(risk[300:], step)),
            100,
            risk[:300],
            wrong,
        )
        for step in (1, 3, 50)
    }

    assert gammas == {robust.tune_gamma(risk, pilot, wrong, 100)}


def test_where_all_risks_are_equal_no_rounding_chooses_gamma():
    risk, wrong = np.full(400, 0.3), np.arange(40) < 10
    pilot = np.arange(400) < 40

    assert robust.tune_gamma(risk, pilot, wrong, 37) == 1.0
    assert streamed_weighing.tune_gamma(lambda: [levels.Priced(risk=risk[40:])], 37, risk[:40], wrong) == 1.0


def test_what_cannot_be_weighed_says_so():
    risk, tie = pool("beta")
    with pytest.raises(ValueError, match="rule: expected one that draws, got 'threshold'"):
        streamed_weighing.weigh(passes(risk, tie), weighing.Weighing(rule="threshold"), 5)
    with pytest.raises(ValueError, match=r"budget: expected a whole number in \[1, 2000\], got 2001"):
        streamed_weighing.weigh(passes(risk, tie), EXACT["uniform"], 2001)
    with pytest.raises(ValueError, match="eps: expected 0 or at least 1e-300"):
        streamed_weighing.weigh(passes(np.array([1e-301, 0.5]), tie[:2]), EXACT["normalised"], 1)
    with pytest.raises(ValueError, match="tie: expected tie numbers, which an order needs, got none"):
        streamed_weighing.Suspects(risk=risk, place=0).by_risk()
    with pytest.raises(ValueError, match="grid: expected at least one gamma"):
        streamed_weighing.tune_gamma(lambda: [], 1, np.array([0.5]), np.array([True]), grid=())


def test_ties_are_made_only_where_risks_tie_at_the_cut():
    risk, tie = pool("beta", 100_000)
    made = []

    def chunks(ties):
        for first in range(0, risk.size, 10_000):
            rows = slice(first, first + 10_000)

            def make(more, first=first):
                made.append(more.size)
                return tie[first + more]

            yield streamed_weighing.Suspects(
                risk=risk[rows], place=first, tie=orders.Made(make) if ties else None
            )

    found = streamed_weighing.weigh(chunks, EXACT["hybrid"], 2_000)

    assert found.certain is not None
    assert found.certain.place.size == 1_400
    assert sum(made) < 200  # the items of one bin in 512 a doubling of risk


def test_items_outside_of_some_places():
    out = np.array([3, 11, 13, 900])

    assert orders.outside(10, 4, out).tolist() == [0, 2]
    assert orders.outside(np.array([13, 5, 11, 12]), 4, out).tolist() == [1, 3]
    assert orders.outside(np.array([20, 21]), 2, out).tolist() == [0, 1]
    assert orders.outside(np.empty(0, dtype=np.int64), 0, out).tolist() == []
    assert math.isfinite(orders.Made(lambda rows: rows / 9.0).take(np.array([1, 2]))[np.array([1])][0])

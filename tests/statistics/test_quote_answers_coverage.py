"""Promises of a quote: budgets reach what they were answered for, gains lie in their intervals."""

import numpy as np
import pytest
import replays

from actuary.stats import quote, quote_answers
from actuary.stats import rules as allocation

ITEMS, PILOT, MORE = 800, 100, 100
BUDGETS = [*range(PILOT, ITEMS, 100), ITEMS]
REPLAYS = replays.REPLAYS


def populations(critic):
    """Errors and what a critic says of them, [REPLAYS, ITEMS]; the first PILOT columns are the pilot."""
    rng = np.random.default_rng(len(critic))
    truth = rng.beta(0.6, 1.4, size=(REPLAYS, ITEMS))
    wrong = rng.random(truth.shape) < truth
    said = {
        "calibrated": truth,
        "overconfident": truth**3 / (truth**3 + (1 - truth) ** 3),
        "useless": rng.random(truth.shape),
        "adversarial": 1 - truth,
    }[critic]
    return wrong, said


def left_by_a_threshold(wrong, eps):
    """Errors left outside the pilot once the r most suspicious are reviewed, [REPLAYS, rest + 1]."""
    rest_wrong, rest_eps = wrong[:, PILOT:], eps[:, PILOT:]
    order = np.argsort(-rest_eps, axis=1, kind="stable")
    found = np.cumsum(np.take_along_axis(rest_wrong, order, axis=1), axis=1)
    return found[:, -1:] - np.concatenate([np.zeros((len(wrong), 1), dtype=int), found], axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("critic", ["calibrated", "overconfident", "useless", "adversarial"])
def test_a_budget_whose_lower_bound_reaches_an_accuracy_reaches_it(critic):
    wanted = 0.9
    wrong, eps = populations(critic)
    left = left_by_a_threshold(wrong, eps)
    safe, forecast = [], []
    for replay in range(REPLAYS):
        curve = quote.curve(
            wrong[replay, :PILOT], eps[replay, :PILOT], ITEMS, BUDGETS, quote.Plan(rule="threshold")
        )
        cost = quote_answers.labels_for(curve, wanted)
        safe.append(cost.safe)
        forecast.append(cost.forecast)
    safe, forecast = np.array(safe), np.array(forecast)
    rows = np.arange(REPLAYS)
    kept = 1 - left[rows, safe - PILOT] / ITEMS >= wanted
    hoped = 1 - left[rows, forecast - PILOT] / ITEMS >= wanted

    # one side of a 95 % interval, looked at in a fixed sequence: 97.5 %
    assert kept.sum() >= replays.enough(REPLAYS, 0.975)
    # the forecast is an even bet and would not do, and the promise is not "label everything"
    assert hoped.sum() < replays.enough(REPLAYS, 0.975)
    # (behind an adversarial critic it is: the right labels are looked at first)
    assert np.median(safe) < ITEMS or critic == "adversarial"
    assert (safe >= forecast).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "critic"),
    [
        ("threshold", "calibrated"), ("threshold", "overconfident"), ("threshold", "useless"),
        ("threshold", "adversarial"), ("uniform", "calibrated"), ("normalised", "calibrated"),
        ("normalised", "overconfident"), ("normalised", "adversarial"),
    ],
)  # fmt: skip
def test_the_interval_of_a_gain_covers_the_gain(rule, critic):
    budget = 300
    wrong, eps = populations(critic)
    left = left_by_a_threshold(wrong, eps)
    hits = 0
    for replay in range(REPLAYS):
        step = quote.gain(
            wrong[replay, :PILOT], eps[replay, :PILOT], ITEMS, budget, MORE, quote.Plan(rule=rule)
        )
        if rule == "threshold":
            gained = left[replay, budget - PILOT] - left[replay, budget + MORE - PILOT]
        else:
            solve = allocation.pi_uniform if rule == "uniform" else allocation.pi_normalised
            argument = ITEMS - PILOT if rule == "uniform" else eps[replay, PILOT:]
            before, after = (solve(argument, each - PILOT).pi for each in (budget, budget + MORE))
            gained = (wrong[replay, PILOT:] * (after - before)).sum()
        hits += step.low <= gained / ITEMS <= step.high

    assert hits >= replays.enough(REPLAYS)

"""Quotes from assumptions cover at their level, where all is as assumed; their gate is that of real bets."""

import functools
import itertools
import math

import numpy as np
import pytest
import scipy.special
import scipy.stats

from actuary.stats import assumed, choice, prior_quote, quote, risk, worth

ITEMS, PILOT, AUDIT = 600, 60, 60
BUDGETS = [60, 120, 200, 400]
VAGUE = (
    assumed.Range(low=0.55, high=0.95),
    assumed.Range(low=0.55, high=0.9, floor=0.5),
)
KNOWN = (
    assumed.Range(low=0.695, high=0.705),
    assumed.Range(low=0.795, high=0.805, floor=0.5),
)
"""Of what is nearly known, all that is left is the chance among the items."""


def at_least(replays, level):
    """The count that a method of this level falls short of once in a million tests."""
    return scipy.stats.binom.ppf(1e-6, replays, level)


def at_most(replays, level):
    """The count that it passes once in a million tests."""
    return scipy.stats.binom.ppf(1.0 - 1e-6, replays, level)


def believed(rng, low, high, floor, size):
    """Draws from a belief by its definition: normal log odds above the floor, 2.5 % beyond either end."""
    ends = [math.log((end - floor) / (1.0 - end)) for end in (low, high)]
    eta = rng.normal(sum(ends) / 2.0, (ends[1] - ends[0]) / (2.0 * 1.959964), size)
    return floor + (1.0 - floor) / (1.0 + np.exp(-eta))


def simulated(beliefs, replays, rng):
    """Worlds with their items: wrong or right, and what the critic says, [replays, ITEMS]."""
    accuracy, auroc = (believed(rng, each.low, each.high, each.floor, replays) for each in beliefs)
    wrong = rng.random((replays, ITEMS)) > accuracy[:, None]
    delta = math.sqrt(2.0) * scipy.special.ndtri(auroc)
    return accuracy, auroc, wrong, rng.normal(size=wrong.shape) + delta[:, None] * wrong


@functools.cache
def left_after_each_budget(beliefs, level, replays=4_000):
    """Errors left in simulated worlds when threshold spends each budget, [budgets, replays]."""
    rng = np.random.default_rng(11)
    accuracy, auroc, wrong, score = simulated(beliefs, replays, rng)
    followed = np.ones(replays, dtype=bool)
    if level < 1.0:
        for k, (a, q) in enumerate(zip(accuracy, auroc, strict=True)):
            followed[k] = assumed.labels_to_show(assumed.population(1.0 - a, q, items=200), level) <= PILOT
    suspicion = np.where(followed[:, None], score, rng.random(score.shape))
    found = []
    for budget in BUDGETS:
        # items come in random order: the first ones are the pilot, the next ones the audit
        looked = PILOT + min(AUDIT, budget - PILOT)
        order = np.argsort(-suspicion[:, looked:], axis=1)
        kept = np.take_along_axis(wrong[:, looked:], order, axis=1)[:, budget - looked :]
        found.append(kept.sum(axis=1))
    return np.array(found)


CASES = pytest.mark.parametrize(
    ("beliefs", "level"),
    [(VAGUE, 1.0), (VAGUE, 0.1), (KNOWN, 1.0)],
    ids=["always-followed", "followed-where-shown", "nearly-known"],
)


@CASES
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_the_interval_of_each_budget_covers_the_worlds_that_are_assumed(beliefs, level, alpha):
    left = left_after_each_budget(beliefs, level)
    made = assumed.worlds(*beliefs, quote.Plan(rule="threshold"), level)

    for row, point in zip(left, prior_quote.curve(made, ITEMS, PILOT, BUDGETS, AUDIT, alpha), strict=True):
        accuracy = 1.0 - row / ITEMS
        hits = int(((point.low <= accuracy) & (accuracy <= point.high)).sum())
        assert hits >= at_least(row.size, 1.0 - alpha)
        # no wider than whole errors make it: both ends are inside, each with all its probability
        ends = max(float((accuracy == end).mean()) for end in (point.low, point.high))
        assert hits <= at_most(row.size, min(1.0, 1.0 - alpha + 2.0 * ends + 0.005))


@CASES
def test_the_interval_of_a_gain_covers_the_gain(beliefs, level):
    left = left_after_each_budget(beliefs, level)
    made = assumed.worlds(*beliefs, quote.Plan(rule="threshold"), level)

    for k, (budget, then) in enumerate(itertools.pairwise(BUDGETS)):
        step = prior_quote.gain(made, ITEMS, PILOT, budget, then - budget, AUDIT)
        gained = (left[k] - left[k + 1]) / ITEMS
        hits = int(((step.low - 1e-12 <= gained) & (gained <= step.high + 1e-12)).sum())
        assert hits >= at_least(gained.size, 0.95)


@pytest.mark.parametrize("rule", ["uniform", "square-root", "hybrid"])
def test_rules_that_draw_cover_as_well(rule):
    """By Poisson draws with the rule's own probabilities, on risks that are calibrated."""
    replays, budget = 300, 200
    rng = np.random.default_rng(5)
    accuracy, auroc, wrong, score = simulated(VAGUE, replays, rng)
    plan = quote.Plan(rule=rule)
    made = assumed.worlds(*VAGUE, plan, 1.0)
    (point,) = prior_quote.curve(made, ITEMS, PILOT, [budget])
    hits = 0
    for e, q, d, z in zip(1.0 - accuracy, auroc, wrong[:, PILOT:], score[:, PILOT:], strict=True):
        delta = assumed.separation(q)
        eps = scipy.special.expit(delta * z - delta**2 / 2.0 + scipy.special.logit(e))
        pi = quote.probabilities(eps, (budget - PILOT) / eps.size, plan)
        left = d[rng.random(eps.size) >= pi].sum()
        hits += point.low <= 1.0 - left / ITEMS <= point.high

    assert hits >= at_least(replays, 0.95)


def judged(error, auroc, labels, pilots, seed):
    """What real bets on so many pilots of a binormal critic come to."""
    rng, delta = np.random.default_rng(seed), assumed.separation(auroc)
    platt = choice.Candidate(kind="platt", columns=(0,), fit=risk.fit_platt)
    for _ in range(pilots):
        wrong = rng.random(labels) < error
        z = rng.normal(size=labels) + delta * wrong
        yield worth.bet([platt], z[:, None], wrong, 0.1, scores=(0,))


@pytest.mark.parametrize(("error", "auroc"), [(0.3, 0.75), (0.4, 0.7), (0.1, 0.8)])
def test_half_of_the_pilots_of_the_size_that_is_said_show_the_critic(error, auroc):
    """A share between a third and two thirds passes all but once in a million tests.

    Fewer than one in six, or more than five in six, fail as surely.
    """
    labels, pilots = math.ceil(assumed.labels_to_show(assumed.population(error, auroc), 0.1)), 400
    shown = sum(each.shown for each in judged(error, auroc, labels, pilots, seed=2))
    assert at_least(pilots, 1 / 3) <= shown <= at_most(pilots, 2 / 3)


@pytest.mark.parametrize(("error", "auroc"), [(0.2, 0.65), (0.4, 0.7), (0.1, 0.8)])
def test_most_pilots_of_the_size_that_is_said_speak_for_the_critic(error, auroc):
    """Half of them pass all but once in a million tests."""
    least, pilots = math.ceil(assumed.labels_to_show(assumed.population(error, auroc), 0.5)), 400
    labels = max(risk.MIN_LABELS, least)
    supported = sum(each.supported for each in judged(error, auroc, labels, pilots, seed=3))
    assert supported >= at_least(pilots, 1 / 2)

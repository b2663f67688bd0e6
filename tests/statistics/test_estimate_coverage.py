"""Accuracies and class shares cover as often as they say: 5,000 replays a case of a frozen pool.

A case fails below binom.ppf(1e-6, 5000, .95) = 4,674 hits: a method that covers as it says fails once in a
million runs, one that covers 92 % passes once in 25,000. Several waves are in `test_wave_coverage`.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
import replays

from actuary.sampler import judging, risking
from actuary.stats import designs, estimates, placing, shares, weighing, worth

REPLAYS, ITEMS = replays.REPLAYS, replays.ITEMS
STEEP = weighing.Weighing(rule="exponential", beta=50.0)


def pilot_of(size):
    return lambda answers: answers.pilot(size)


CASES = {
    "calibrated": (replays.pool("calibrated"), 100),
    "overconfident": (replays.pool("overconfident"), 100),
    "useless": (replays.pool("useless"), 100),
    "adversarial": (replays.pool("adversarial"), 100),
    "a sample of 30": (replays.pool("calibrated"), 30),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_every_interval_of_an_estimate_covers_as_it_says(case):
    items, size = CASES[case]

    replays.assert_covers(items, pilot_of(size))


@pytest.mark.slow
@pytest.mark.parametrize(("found", "errors"), [(0, 2), (1, 7), (2, 14)])
def test_intervals_cover_where_hardly_an_error_is_found(found, errors):
    covered = replays.cover(replays.pool("calibrated", errors / ITEMS, exactly=errors), pilot_of(100))

    print(covered.shares)  # shown by -rP
    assert not covered.short
    # it is the case that it is about: so many are found with a probability of .27 at least, most often of all
    assert (covered.found == found).sum() >= replays.enough(REPLAYS, 0.27)


def lone_draw(weigh):
    return lambda answers: answers.drawn(weigh, 100)


@pytest.mark.slow
@pytest.mark.parametrize("critic", ["calibrated", "adversarial", "overconfident"])
def test_a_draw_that_supports_no_estimate_says_so(critic):
    """A steep rule without an audit beside it: weights of millions, and intervals that mean nothing.

    Which of them fail depends on the critic; one at least does.
    """
    items = replays.pool(critic)
    rule = STEEP.inclusion(items.eps, 100, np.random.default_rng(0).random(ITEMS))

    covered = replays.cover(items, lone_draw(STEEP), 1_000)

    print(covered.shares)  # shown by -rP
    assert "no valid estimate from this draw alone" in rule.warning
    assert covered.short


@pytest.mark.parametrize("critic", ["useless", "adversarial"])
def test_a_critic_that_says_nothing_is_hardly_ever_shown_to_say_something(critic):
    """On an audit of 100 with frozen risks; a useless critic may pass with a probability of .1 at most.

    Nor is it followed more often than that here: risks as bold as these lose their bets.
    """
    items, rng = replays.pool("calibrated"), np.random.default_rng(8)
    eps = rng.permutation(items.eps) if critic == "useless" else 1 - items.eps
    shown = followed = 0
    for _ in range(REPLAYS):
        at = rng.permutation(ITEMS)[:100]
        evidence = worth.Worth(alpha=risking.WORTH_ALPHA).after(eps[at], items.wrong[at])
        rule, why = judging.follow(evidence, "hybrid")
        shown += evidence.shown
        followed += rule == "hybrid"
        assert (rule == "hybrid") or "has not been shown to tell wrong labels from right ones" in why

    assert shown <= replays.most(REPLAYS, risking.WORTH_ALPHA)
    assert followed <= replays.most(REPLAYS, risking.WORTH_ALPHA)


def one_phase(sampled, items=ITEMS):
    phase = placing.Phase(name="a", kind="srs", population=items, certain=0, sampled=sampled, tau=None)
    return designs.Design(phases=(phase,), omega=(1.0,))


@pytest.mark.parametrize(("rate", "sampled"), [(0.02, 100), (0.3, 100), (0.3, 300)])
def test_the_interval_of_a_process_covers_its_rate(rate, sampled):
    """A fresh pool of 300 items each time; the sample says of the pool, the pool of the process."""
    rng = np.random.default_rng(3)
    total = rng.binomial(300, rate, REPLAYS)
    found = rng.hypergeometric(total, 300 - total, sampled)

    @functools.cache
    def bounds(k):
        sample = estimates.Sample.of(
            phase=[0] * sampled,
            pi=[sampled / 300] * sampled,
            wrong=np.arange(sampled) < k,
            eps=[0.0] * sampled,
        )
        share = shares.of_items(shares.total(one_phase(sampled, 300), sample, 0.0), 300)
        return shares.process(share, 300)

    hits = sum(bounds(int(k)).low <= rate <= bounds(int(k)).high for k in found)
    assert hits >= replays.enough(REPLAYS)


def test_tuning_a_hard_label_keeps_the_coverage_and_lowers_the_error():
    items = replays.pool("calibrated", errors=0.35)
    y, f = items.people == 0, (items.machine == 0).astype(float)
    rng = np.random.default_rng(9)
    design, hits, errors = one_phase(150), 0, []
    phase, pi = np.zeros(150, dtype=np.int64), np.full(150, 150 / ITEMS)
    for _ in range(REPLAYS):
        at = rng.permutation(ITEMS)[:150]
        sample = estimates.Sample(phase=phase, pi=pi, wrong=y[at], eps=f[at])
        tuned = shares.tuned(design, sample, f.sum())
        found = shares.total(design, tuned.sample, tuned.f_sum)
        hits += found.low <= y.sum() <= found.high
        plain = f.sum() + ((sample.wrong - sample.eps) / pi).sum()
        errors.append((found.value - y.sum(), plain - y.sum()))

    assert hits >= replays.enough(REPLAYS)
    tuned_error, plain_error = np.sqrt((np.array(errors) ** 2).mean(axis=0))
    # The root mean square of n normal errors has a standard error of 1/√(2n): 1 % here; 5 of them for each.
    assert tuned_error < plain_error * (1 - 0.05) / (1 + 0.05)

"""What draws, intervals and flips promise on average and with probability, by simulation.

A 95 % interval may miss in 5 % of replays. The tests fail below binom.ppf(1e-6, replays, .95) hits: a true
method fails once in a million runs, and the seeds are fixed besides. A mean must lie within 4.9 standard
errors (1e-6) of its value.
"""

from __future__ import annotations

import numpy as np
import pytest
import replays

from actuary.stats import draws, flips, intervals

Z = 4.9
REPLAYS = replays.REPLAYS


# Draws


@pytest.mark.parametrize("size", [1, 5, 11])
def test_priority_samples_are_unbiased_with_the_variance_they_say(size):
    rng = np.random.default_rng(size)
    score, value = rng.gamma(0.7, size=12) + 0.05, rng.normal(1.0, 1.0, size=12)
    totals, variances = [], []
    for _ in range(6_000):
        draw = draws.draw_exact(score, rng.random(12), size)
        pi, picked = draw.pi[draw.selected], value[draw.selected]
        totals.append((picked / pi).sum())
        variances.append(((1 - pi) / pi**2 * picked**2).sum())

    replays.assert_mean(totals, value.sum())
    if size > 1:  # at one item the variance is infinite, as Duffield et al. say
        squared = (np.array(totals) - value.sum()) ** 2
        replays.assert_mean(squared - variances, 0.0)


def test_poisson_draws_select_with_their_probabilities():
    rng = np.random.default_rng(0)
    pi = np.array([0.01, 0.3, 0.77, 1.0])
    hits = sum(draws.draw_poisson(pi, rng.random(4)).astype(int) for _ in range(20_000))

    tolerance = Z * np.sqrt(20_000 * pi * (1 - pi))
    assert (np.abs(hits - 20_000 * pi) <= tolerance).all()


# Intervals, flips


@pytest.mark.parametrize(("n", "errors"), [(30, 0.01), (100, 0.05), (100, 0.3)])
def test_exact_intervals_cover_in_small_samples(n, errors):
    rng = np.random.default_rng(1)
    total = round(500 * errors)
    found = rng.hypergeometric(total, 500 - total, n, size=REPLAYS)
    bounds = {k: intervals.hypergeom_bounds(500, n, int(k)) for k in np.unique(found)}

    assert sum(bounds[k].low <= total <= bounds[k].high for k in found) >= replays.enough(REPLAYS)


@pytest.mark.parametrize("shape", [(0.05, 1.0), (2.0, 5.0), (0.3, 0.3)])
def test_betting_covers_for_variables_of_any_shape(shape):
    rng = np.random.default_rng(2)
    mean = shape[0] / sum(shape)
    hits = 0
    for _ in range(REPLAYS):
        bounds = intervals.betting(rng.beta(*shape, size=60))
        hits += bounds.low <= mean <= bounds.high

    assert hits >= replays.enough(REPLAYS)


def test_bands_of_flips_that_do_not_help_are_rarely_made_beside_one_that_does():
    rng = np.random.default_rng(5)
    eps = np.repeat([0.8, 0.55], 40)
    made = 0
    for _ in range(REPLAYS):
        before = rng.random(80) < np.repeat([0.9, 0.5], 40)
        made += flips.proven(eps, before, ~before).above == flips.BARS[1]

    assert made <= replays.most(REPLAYS, 0.05)


def test_flips_that_do_not_help_are_rarely_made():
    rng = np.random.default_rng(4)
    made = 0
    for _ in range(REPLAYS):
        changed = rng.random(60) < 0.3
        before = rng.random(60) < 0.5
        made += flips.gain_lower_bound(before, np.where(changed, ~before, before)).lower > 0

    assert made <= replays.most(REPLAYS, 0.05)

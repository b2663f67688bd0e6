"""The sampler keeps its promise as a whole: pilot, wave and estimate by its own plans, with frozen risks.

The estimators by themselves have their cases elsewhere; here several things go wrong at once. Campaigns whose
risks are fitted on their pilots are the benchmark of coverage.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import replays
import worlds

from actuary.stats import prn

CAMPAIGNS = 1_000
"""Each is planned and estimated whole, several times the work of a replay of the estimators alone: those have
their 5,000 a case elsewhere. Of a thousand a method of 95 % covers fewer than 914 once in a million."""


@pytest.mark.slow
def test_the_intervals_of_a_campaign_cover_when_much_goes_wrong_at_once():
    """A blind slice, items without a machine label, answers that do not agree, and people who stop."""
    world = worlds.World(rule="hybrid", blind_share=0.1, failed=30, untold_share=0.06, answered=0.7)
    items = worlds.pool(world, np.random.default_rng(1))
    risks = items.frozen()

    hits = np.array(
        [worlds.replay(world, items, prn.project_key(seed), risks).hits for seed in range(CAMPAIGNS)]
    )

    assert (hits.sum(axis=0) >= replays.enough(CAMPAIGNS)).all()


def test_flips_happen_in_the_case_that_is_about_them():
    made = [worlds.fresh(worlds.CASES["flips"], 1000 + seed).outcome for seed in range(20)]
    assert any("flipped" in " ".join(each.notes) for each in made)


def test_an_item_without_an_agreed_label_widens_the_interval_on_both_sides():
    world = worlds.World(rule="uniform")
    plain = worlds.fresh(world, 7)
    doubtful = worlds.fresh(dataclasses.replace(world, untold_share=0.1), 7)
    assert doubtful.machine[0] < doubtful.machine[1]
    assert doubtful.outcome.machine.low < plain.outcome.machine.low
    assert "without an agreed label" in " ".join(doubtful.outcome.notes)

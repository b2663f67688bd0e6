"""Estimates cover as often as they say where people stop early or cannot tell: 5,000 replays a case.

When a case fails says `test_estimate_coverage`.
"""

from __future__ import annotations

import pytest
import replays

from actuary.stats import weighing

HYBRID = weighing.Weighing(rule="hybrid")


def stopped_threshold(answers):
    answers.pilot(60)
    answers.threshold(60, 60, int(answers.rng.integers(10, 120)))


def stopped_hybrid(answers):
    answers.pilot(60)
    answers.audit(40)
    answers.drawn(HYBRID, 80, int(answers.rng.integers(10, 80)))


ALL_TOLD = replays.pool("calibrated")
UNTOLD = replays.pool("calibrated", untold=0.06)
CASES = {
    "people stop, threshold": (ALL_TOLD, stopped_threshold),
    "people stop, hybrid": (ALL_TOLD, stopped_hybrid),
    "people cannot tell, threshold": (UNTOLD, replays.threshold_wave),
    "people cannot tell, hybrid": (UNTOLD, replays.waves(HYBRID)),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_every_interval_of_an_estimate_covers_where_answers_are_missing(case):
    replays.assert_covers(*CASES[case])

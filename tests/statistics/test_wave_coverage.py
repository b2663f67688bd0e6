"""Estimates from several waves cover as often as they say: 5,000 replays a case of a frozen pool.

With critics of every kind, a slice where the critic is wrong with confidence, people who stop early and
people who cannot tell. When a case fails says `test_estimate_coverage`.
"""

from __future__ import annotations

import pytest
import replays

from actuary.stats import weighing

NORMALISED, ROBUST = weighing.Weighing(rule="normalised"), weighing.Weighing(rule="square-root")
HYBRID = weighing.Weighing(rule="hybrid")


def threshold_wave(answers):
    answers.pilot(60)
    answers.threshold(60, 60, 120)


def stopped_threshold(answers):
    answers.pilot(60)
    answers.threshold(60, 60, int(answers.rng.integers(10, 120)))


def waves(weigh):
    def plan(answers):
        answers.pilot(60)
        answers.drawn(weigh, 80)
        answers.audit(60)

    return plan


def stopped(weigh):
    def plan(answers):
        answers.pilot(60)
        answers.audit(40)
        answers.drawn(weigh, 80, int(answers.rng.integers(10, 80)))

    return plan


CALIBRATED = replays.pool("calibrated")
BLIND = replays.pool("calibrated", blind=0.05)
UNTOLD = replays.pool("calibrated", untold=0.06)
CASES = {
    "overconfident": (replays.pool("overconfident"), waves(NORMALISED)),
    "useless": (replays.pool("useless"), threshold_wave),
    "adversarial": (replays.pool("adversarial"), waves(ROBUST)),
    "blind slice, threshold": (BLIND, threshold_wave),
    "blind slice, normalised": (BLIND, waves(NORMALISED)),
    "blind slice, hybrid": (BLIND, waves(HYBRID)),
    "people stop, threshold": (CALIBRATED, stopped_threshold),
    "people stop, hybrid": (CALIBRATED, stopped(HYBRID)),
    "people cannot tell, threshold": (UNTOLD, stopped_threshold),
    "people cannot tell, hybrid": (UNTOLD, waves(HYBRID)),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_every_interval_of_an_estimate_from_waves_covers_as_it_says(case):
    replays.assert_covers(*CASES[case])

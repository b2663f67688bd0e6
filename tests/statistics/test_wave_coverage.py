"""Estimates from several waves cover as often as they say: 5,000 replays a case of a frozen pool.

With critics of every kind, and a slice where the critic is wrong with confidence. When a case fails says
`test_estimate_coverage`; people who do not answer are in `test_missing_answers_coverage`.
"""

from __future__ import annotations

import pytest
import replays

from actuary.stats import weighing

NORMALISED, ROBUST = weighing.Weighing(rule="normalised"), weighing.Weighing(rule="square-root")
HYBRID = weighing.Weighing(rule="hybrid")
BLIND = replays.pool("calibrated", blind=0.05)
CASES = {
    "overconfident": (replays.pool("overconfident"), replays.waves(NORMALISED)),
    "useless": (replays.pool("useless"), replays.threshold_wave),
    "adversarial": (replays.pool("adversarial"), replays.waves(ROBUST)),
    "blind slice, threshold": (BLIND, replays.threshold_wave),
    "blind slice, normalised": (BLIND, replays.waves(NORMALISED)),
    "blind slice, hybrid": (BLIND, replays.waves(HYBRID)),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_every_interval_of_an_estimate_from_waves_covers_as_it_says(case):
    replays.assert_covers(*CASES[case])

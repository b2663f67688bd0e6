"""Money that does not suffice: the campaign ends with what was bought, and a top-up takes it on."""

from __future__ import annotations

import pytest

from component.kill import campaigns

LABELS_MICROS = 72 * 50_000
MODEL_MICROS = 800
"""Of the 1,456 that 182 items cost."""


@pytest.mark.slow
def test_a_campaign_without_enough_money_ends_usable_and_a_top_up_adds_a_wave(tmp_path, undisturbed):
    budget = {**campaigns.NULL["budget"], "money_micros": LABELS_MICROS + MODEL_MICROS}
    place = campaigns.Place(tmp_path, {**campaigns.NULL, "budget": budget})
    results = place.run()
    left = place.left(results)
    assert results["state"] == "BUDGET_EXHAUSTED"
    limit, reserved, settled = left.balance["money_micros"]
    assert reserved == 0
    assert LABELS_MICROS + MODEL_MICROS / 2 < settled <= limit
    assert left.balance["human_labels"] == (72, 0, 72)
    labelled = [row for row in left.export if row["label"] is not None]
    assert len(left.export) == 182
    assert MODEL_MICROS / 8 / 2 + 36 < len(labelled) < 182
    assert results["corrected_accuracy"]["low"] <= results["corrected_accuracy"]["estimate"]

    place.insist("topup", place.name, "--labels", "10", "--money", "0.5", "--request-id", "more")
    left = place.left(place.run())
    assert left.balance["human_labels"] == (82, 0, 82)
    limit, reserved, settled = left.balance["money_micros"]
    assert (limit, reserved) == (LABELS_MICROS + MODEL_MICROS + 500_000, 0)
    assert settled <= limit
    assert len(left.plans) == 3
    assert len([row for row in left.export if row["label"] is not None]) > len(labelled)

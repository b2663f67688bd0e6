"""Time and cost as the pilot tells them, and what a quote says of machines that do not help."""

import numpy as np
import pytest
import scipy.stats

from actuary.sampler import critics, effort, quoting, risking
from actuary.stats import choice, weighing

TIMING = {"answers": 4, "seconds": 20.0, "squares": 108.0, "reviewers": 2, "elapsed": 60.0}
"""Of 3, 5, 5, and 7 seconds."""


def model(wrong: int, n: int = 100) -> risking.Model:
    """A pilot of n items of which the first are wrong, and a critic that knows them."""
    err = np.arange(n) < wrong
    eps = np.where(err, 0.8, 0.1)
    return risking.Model(
        layout=critics.Layout(critics=("c",), classes=0),
        folds=(choice.constant(err, 1),) * risking.FOLDS,
        worth=None, reason="", wrong=err, eps=eps, wrong_final=err, eps_final=eps,
        raw=eps, flips=None, alpha=0.05,
    )  # fmt: skip


def quoted(told: quoting.Told | None = None, wrong: int = 20, **changes) -> dict:
    asked = {
        "items": 1_000, "pilot": 100, "labels": 300, "audit": 0, "spent": weighing.Weighing(rule="threshold"),
        "label_micros": 10, "machine_micros": 500, **changes,
    }  # fmt: skip
    return quoting.quote_points(model(wrong), told=told, **asked)


def test_a_mean_has_the_normal_interval_of_its_values():
    values = np.array([3.0, 5.0, 5.0, 7.0])
    found = effort.mean(4, values.sum(), np.square(values).sum(), 0.05)
    half = scipy.stats.norm.ppf(0.975) * values.std(ddof=1) / 2
    assert (found.value, found.low, found.high) == pytest.approx((5.0, 5 - half, 5 + half))
    assert effort.mean(1, 3.0, 9.0, 0.05) is None


def test_people_work_as_long_as_their_answers_say_and_pause_as_the_pilot_did():
    people = effort.people([TIMING], 0.05)
    wall = people.wall(100)
    assert people.pace == 15.0
    assert wall.value == wall.high == 1_500.0
    assert wall.low == pytest.approx(100 * people.seconds.low / 2)


def test_a_file_of_answers_that_arrives_at_once_took_its_work_all_the_same():
    people = effort.people([{**TIMING, "elapsed": 0.0}], 0.05)
    assert people.pace == 2.5
    assert people.wall(2).high == pytest.approx(people.seconds.high)


def test_answers_without_times_say_nothing():
    assert effort.people([{}, {}], 0.05) is None
    assert effort.people([], 0.05) is None


def test_machines_add_up_and_share_the_items_among_workers():
    took, cost = np.array([1.0, 1.0, 4.0]), np.array([10.0, 20.0, 30.0])
    found = effort.machines([(took, cost), (took, cost)], 4, 0.05)
    assert (found.seconds.value, found.micros.value) == (4.0, 40.0)
    assert found.wall(100).value == 100.0
    low, high = found.money(1_000)
    assert low < 1_000 < high
    assert effort.machines([], 4, 0.05) is None
    assert effort.machines([(took[:1], cost[:1])], 4, 0.05) is None


def test_machines_that_are_free_have_no_range_of_money():
    nothing = np.zeros(5)
    assert effort.machines([(nothing, nothing)], 1, 0.05).money(0) == (0, 0)


def test_every_point_tells_money_work_and_time_as_ranges_where_the_pilot_does():
    took, cost = np.array([1.0, 2.0, 3.0]), np.array([0.4, 0.5, 0.6])
    told = quoting.Told(
        people=effort.people([TIMING], 0.05), machines=effort.machines([(took, cost)], 1, 0.05)
    )
    first, *_, last = quoted(told)["points"]
    assert int(first["money_micros_low"]) < int(first["money_micros"]) < int(first["money_micros_high"])
    assert first["human_seconds"]["estimate"] == 500.0
    assert first["wall_seconds"]["estimate"] == 2.0 * 900  # the machines alone
    assert last["wall_seconds"]["estimate"] == 2.0 * 900 + 15.0 * 900
    assert not {"human_seconds", "wall_seconds", "money_micros_low"} & set(quoted()["points"][0])


def test_the_next_labels_correct_an_error_each_while_a_good_critic_has_some_left():
    first, *_, last = quoted()["points"]
    assert first["next"]["human_labels"] == "100"
    assert first["next"]["corrected_per_label"]["estimate"] == pytest.approx(1.0)
    assert first["next"]["corrected_per_label"]["high"] <= 1.0 + 1e-9
    assert "next" not in last


def test_the_gain_of_labels_that_count_twice_is_that_of_fewer_items():
    once, twice = quoted(), quoted(double_share=0.5)
    ratio = (
        twice["points"][0]["next"]["corrected_per_label"]["estimate"]
        / once["points"][0]["next"]["corrected_per_label"]["estimate"]
    )
    # 100 labels suffice for floor(100/1.6) = 62 items
    assert ratio == pytest.approx(0.62)


def test_machines_that_are_no_better_than_one_answer_for_all_are_said_to_be():
    (note,) = quoted(quoting.Told(answers=["yes"] * 85 + ["no"] * 15))["notes"]
    assert "have not been shown to help" in note
    assert "'yes' always is right for 85.0 %" in note
    assert quoted(quoting.Told(answers=["yes"] * 50 + ["no"] * 50))["notes"] == []


def test_machines_that_cost_more_than_people_alone_are_said_to():
    (note,) = quoted(machine_micros=7_000_000, label_micros=10_000)["notes"]
    assert "people alone would label every item for $10.00, and this budget comes to $10.00" in note
    assert quoted(machine_micros=6_990_000, label_micros=10_000)["notes"] == []


def test_a_critic_that_is_not_followed_is_said_to_be():
    assert quoted(quoting.Told(unfollowed="Drawn uniformly."))["notes"] == ["Drawn uniformly."]

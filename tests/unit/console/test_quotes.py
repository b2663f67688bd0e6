"""Answers of a quote in sentences."""

import pytest

from actuary import errors
from actuary.cli.console import quotes
from actuary.v1 import quote_pb2


@pytest.fixture
def quote():
    made = quote_pb2.Quote(machine_micros=1_000_000)
    made.budget.human_label_micros = 1_000_000
    for labels, low, estimate in ((100, 0.7, 0.8), (200, 0.8, 0.9), (300, 0.9, 0.95), (400, 1.0, 1.0)):
        point = made.points.add(human_labels=labels, money_micros=(labels + 1) * 1_000_000)
        point.corrected_accuracy.estimate = estimate
        point.corrected_accuracy.low, point.corrected_accuracy.high = low, 1.0
        for name, each in (("human_seconds", 36.0), ("wall_seconds", 18.0)):
            seconds = getattr(point, name)
            seconds.estimate, seconds.low, seconds.high = (
                labels * each, labels * each / 2, labels * each * 2
            )  # fmt: skip
    gain = made.points[0].next
    gain.human_labels = 100
    gain.accuracy.estimate, gain.accuracy.low, gain.accuracy.high = 0.1, 0.04, 0.12
    gain.corrected_per_label.estimate = 0.5
    return made


def asked(quote, **question):
    (line,) = quotes.answers(quote, **{"accuracy": None, "money": None, "labels": None, **question})
    return line


def test_how_much_for_an_accuracy_names_the_even_bet_and_the_safe_budget(quote):
    said = asked(quote, accuracy=0.9)
    assert said == (
        "For 90.0 %: 200 labels ($201.00) by the forecast; 300 labels ($301.00) where the lower bound "
        "reaches it."
    )
    assert "to be sure of it, 400 labels ($401.00), which is every item" in asked(quote, accuracy=0.95)
    del quote.points[3]
    assert "no budget whose lower bound reaches it" in asked(quote, accuracy=0.95)
    assert asked(quote, accuracy=0.99) == "For 99.0 %: not reached with every label."


def test_what_for_some_money_is_what_is_left_after_the_machines(quote):
    said = asked(quote, money=251.50)
    assert said.startswith("For $251.50: 92.5 % (80.0 to 100.0 %), with 250 labels ($251.00)")
    assert "people's work 2 h 30 min (1 h 15 min to 5 h)" in said
    assert "until it is done 1 h 15 min" in said


def test_what_for_more_than_everything_is_everything(quote):
    assert "with 400 labels ($401.00), which is every item" in asked(quote, labels=9_000)


def test_free_labels_are_all_bought(quote):
    quote.budget.human_label_micros = 0
    quote.points[0].money_micros = 1_000_000
    assert "with 400 labels" in asked(quote, money=2)


def test_too_little_is_refused_in_the_unit_that_was_asked_in(quote):
    with pytest.raises(errors.InvalidInputError, match=r"expected at least \$101.00, .* got \$50.00"):
        asked(quote, money=50)
    with pytest.raises(errors.InvalidInputError, match="at least the 100 that the pilot takes, got 9"):
        asked(quote, labels=9)


def test_the_next_labels_are_told_from_the_point_that_is_bought(quote):
    assert quotes.following(quote, 150) == (
        "The next 100 labels after 100 would add +10.0 points (4.0 to 12.0): 0.50 errors corrected a label."
    )
    assert quotes.following(quote, 400) == ""


def test_a_quote_from_assumptions_never_answers_without_saying_so(quote):
    quote.basis = "assumptions"
    questions = ({"accuracy": 0.9}, {"money": 251.50}, {"labels": 9_000})
    said = [asked(quote, **question) for question in questions]
    assert all(line.startswith("If all is as assumed: For ") for line in [*said])
    assert quotes.following(quote, 150).startswith("If all is as assumed: The next 100 labels")


def test_as_json_a_quote_has_numbers_for_numbers_and_its_notes(quote):
    quote.notes.append("The machine labels do not save money.")
    quote.status.start_time.FromJsonString("2026-03-02T14:00:00Z")
    quote.status.progress.outcome_counts["points"] = 40
    form = quotes.plain(quote)
    assert form["points"][0]["human_labels"] == 100
    assert form["points"][0]["money_micros"] == 101_000_000
    assert form["points"][0]["corrected_accuracy"]["low"] == 0.7
    assert form["budget"]["human_label_micros"] == 1_000_000
    assert form["notes"] == ["The machine labels do not save money."]

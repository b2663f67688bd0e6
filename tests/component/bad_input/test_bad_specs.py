"""Specs that say what cannot be: refused as a whole before anything is made, all that is wrong at once."""

from __future__ import annotations

import pytest

from actuary import errors
from actuary.v1 import campaign_pb2

REFUSED = {
    "budget 0": (
        {"budget.human_labels": 0},
        "budget.human_labels: expected at least the pilot of 20 labels, got 0",
    ),
    "no budget": ({"budget.human_labels": None}, "budget: expected human_labels"),
    "a share of 0": (
        {"budget.human_labels": None, "budget.human_share": 0.0},
        "budget.human_share: expected a number in (0, 1], got 0.0",
    ),
    "below the pilot": (
        {"budget.human_labels": 19},
        "budget.human_labels: expected at least the pilot of 20 labels, got 19",
    ),
    "another currency": ({"budget.currency_code": "EUR"}, "budget.currency_code: expected USD; got 'EUR'"),
    "no price of a label": (
        {"budget.human_label_micros": None},
        "budget.human_label_micros: expected a value",
    ),
    "no prices of a model": (
        {"annotator.model.prices": None},
        "annotator.model.prices: expected input_micros_per_1000_tokens",
    ),
    "unknown strategy": (
        {"critic.strategy": "class-probabilty"},
        "critic.strategy: expected one of confidence, class-probability; got 'class-probabilty': "
        "did you mean class-probability?",
    ),
    "unknown rule": (
        {"sampling.rule": "treshold"},
        "sampling.rule: expected one of uniform, normalised, exponential, threshold, square-root, hybrid; "
        "got 'treshold': did you mean threshold?",
    ),
    "unknown model": ({"annotator.model.kind": "tabel"}, "did you mean table?"),
    "unknown field": (
        {"budget.human_lables": 5},
        "budget.human_lables: expected a field of campaign.yaml, got an unknown one: did you mean "
        "human_labels?",
    ),
    "a model to train on what nobody could draw": (
        {"training.model": "linear", "sampling.rule": "threshold", "sampling.audit_items": 0},
        "sampling.audit_items: expected at least 2 beside the rule threshold where a model is trained, got 0",
    ),
    "one class": (
        {"task.classes": [{"name": "red"}]},
        "task.classes: expected at least 2 elements, got 1",
    ),
    "a class twice": (
        {"task.classes": [{"name": "red"}, {"name": "red"}]},
        "task.classes: expected unique names, got 'red' twice",
    ),
    "confidence level above 1": (
        {"sampling.confidence_level": 1.5},
        "sampling.confidence_level: expected a number in [0.5, 1), got 1.5",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, place, client):
    changes, expected = REFUSED[case]
    file = place.spec(changes)
    with pytest.raises(errors.InvalidInputError) as caught:
        client.create(file, campaign_id=place.name)
    assert expected in str(caught.value)
    with pytest.raises(errors.NotFoundError):
        client.get(place.name)


def test_all_that_is_wrong_is_said_at_once_and_a_mended_spec_is_taken(place, client):
    alone = (
        "unknown field",
        "no budget",
        "a share of 0",
        "one class",
        "a model to train on what nobody could draw",  # it names a rule that there is
    )
    wrong = [case for case in REFUSED if case not in alone]
    place.spec({path: value for case in wrong for path, value in REFUSED[case][0].items()})
    said = place.run()
    assert (said.code, said.out) == (2, "")
    message = said.error()
    for field in (
        "budget.human_labels",
        "budget.currency_code",
        "budget.human_label_micros",
        "critic.strategy",
        "sampling.rule",
        "sampling.confidence_level",
        "annotator.model.kind",
        "annotator.model.prices",
        "task.classes",
    ):
        assert f"{field}: expected" in message
    assert place.artifacts() == set()
    with pytest.raises(errors.NotFoundError):
        client.get(place.name)

    place.spec()
    place.create(client)
    place.past_import(client)


def test_a_file_that_is_no_campaign(place):
    file = place.root / "campaign.yaml"
    file.write_text("task: {instruction: Which?,", encoding="utf-8")
    said = place.run()
    assert (said.code, said.out) == (2, "")
    assert said.error().startswith(f"{file}: no YAML: ")
    file.write_text("[]", encoding="utf-8")
    assert place.run().error().startswith(f"{file}: expected a mapping (task:, data:, …), got list")
    file.unlink()
    assert place.run().error().startswith(f"{file}: No such file")


def test_an_id_that_is_taken_by_another_spec(place, client):
    place.create(client)
    place.spec({"seed": 7, "budget.human_labels": 60})
    said = place.run()
    assert (said.code, said.out) == (1, "")
    assert said.error() == (
        f"{place.campaign} exists with another content: budget, seed differ, and what was asked for before "
        f"is under way. Take another id (--id {place.name}-2 on the command line), or send what was sent "
        "before.\n"
    )
    assert client.get(place.name).budget.human_labels == 50
    assert client.get(place.name).state != campaign_pb2.Campaign.FAILED

    place.spec()  # what was sent before
    place.create(client)
    client.cancel(place.name)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"budget.human_labels": 101},
            "budget.human_labels: expected at most the 100 items to label, got 101",
        ),
        (
            {"budget.human_labels": None, "budget.human_share": 0.19},
            "budget.human_share: expected at least the pilot of 20 labels, got 19 of 100 items",
        ),
    ],
)
def test_a_budget_that_does_not_suit_the_items(changes, expected, place, client):
    place.spec(changes)
    said = place.run()
    assert said.code == 1
    assert said.error().startswith(expected)
    assert said.results["state"] == "FAILED"
    assert said.results["spent_micros"] == 0
    assert place.artifacts() == {"importJobs/import", "importJobs/import/items"}

    place.spec()
    place.create(client)
    place.past_import(client)


def test_a_loss_that_few_random_labels_cannot_bear_is_refused_before_any_is_bought(place):
    place.spec(
        {
            "data.uri": "sample:synthetic?items=20000",
            "data.split_column": "split",
            "data.truth_column": "label",
            "budget.human_labels": 1_000,
            "sampling.rule": "threshold",
            "training": {"model": "linear", "weight_cap": 1e6},
        }
    )
    said = place.run()
    assert said.code == 1
    assert said.error().startswith("training.weight_cap: expected a cap that the design can bear, got 1e+06")
    assert said.results["state"] == "FAILED"
    assert said.results["spent_micros"] == 0
    assert place.artifacts() == {"importJobs/import", "importJobs/import/items"}

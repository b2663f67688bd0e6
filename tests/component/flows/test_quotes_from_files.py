"""A quote before there is a campaign: from its file, with what is assumed."""

from __future__ import annotations

import json

import pytest

from component.flows import newcomer


def test_a_file_is_quoted_from_assumptions_before_anything_is_bought(served):
    newcomer.make(served.shell.folder / "unborn", newcomer.campaign(), newcomer.items(60))

    said = served.cli("quote", "unborn", "--accuracy", 0.97, "--money", 3.2, "--label-seconds", 5, 20).stdout

    for shown in (
        "Assumed, not measured: nothing was labelled yet.",
        "assumptions, not measurements",
        "The pilot's 30 labels come to $2.40",
        "your budget",
        "If all is as assumed: For 97.0 %:",
        "If all is as assumed: For $3.20:",
        "If all is as assumed: The next 20 labels after 40",
        "people's work",
        "set approval: required, and actuary run unborn",
    ):
        assert shown in said
    assert "no campaign campaigns/unborn" in served.cli("watch", "unborn", code=1).stderr


def test_as_json_a_quote_from_assumptions_is_one_object_that_says_so(served):
    form = newcomer.campaign(data={"uri": "not-there-yet.csv"})
    folder = newcomer.make(served.shell.folder / "planned", form, newcomer.items(60))

    missing = served.cli("quote", folder / "campaign.yaml", code=2).stderr
    assert "not-there-yet.csv" in missing
    assert "--items N" in missing
    found = json.loads(
        served.cli(
            "quote", folder / "campaign.yaml", "--items", 5_000, "--assume-accuracy", 0.6, 0.8, "--json"
        ).stdout
    )

    assert found["basis"] == "assumptions"
    assert found["campaign"] is None
    assert found["item_count"] == 5_000
    assert found["assumed_machine_accuracy"] == {"low": 0.6, "high": 0.8}
    assert found["points"][0]["human_labels"] == found["pilot"]["human_labels"] == 30
    assert "not measurements" in found["notes"][0]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"guarantee": {"mode": "target", "max_error_rate": 0.4}, "sampling": {"audit_items": 10}},
            "The guarantee is not in this quote",
        ),
        ({"review": {"gold_share": 0.05}}, "they take 5 % of the labels after the pilot"),
    ],
)
def test_what_a_quote_from_assumptions_does_not_price_is_said(served, asked, said):
    data = newcomer.campaign()["data"] | {"split_column": "part"}
    folder = newcomer.make(served.shell.folder / "more", newcomer.campaign(data=data, **asked), "")

    notes = json.loads(served.cli("quote", folder, "--items", 500, "--json").stdout)["notes"]

    assert [note for note in notes if said in note]


def test_what_cannot_be_assumed_is_refused_by_its_option(served):
    folder = newcomer.make(served.shell.folder / "wrong", newcomer.campaign(), newcomer.items(60))

    said = served.cli("quote", folder, "--assume-auroc", 0.3, 0.9, "--label-seconds", 5, 2, code=2).stderr

    assert "--assume-auroc: expected 0.5 < low < high < 1, got low 0.3 and high 0.9" in said
    assert "--label-seconds: expected 0 <= low <= high, got low 5.0 and high 2.0" in said
    training = newcomer.campaign(
        training={"model": "linear"}, sampling={"rule": "threshold", "audit_items": 0}
    )
    newcomer.make(folder, training, newcomer.items(60))
    assert "sampling.audit_items: expected at least 2" in served.cli("quote", folder, code=2).stderr
    assert "no campaign campaigns/neither" in served.cli("quote", "neither", code=1).stderr

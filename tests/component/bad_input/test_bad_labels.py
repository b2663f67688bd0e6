"""Labels at hand that cannot be: each row is named before anything is labelled; resume takes a mended file.

The campaign of these tests has imported its items and stands at the pilot, which fails for want of a file.
"""

from __future__ import annotations

import pytest

from actuary.v1 import campaign_pb2
from component.bad_input import places


@pytest.fixture(scope="module")
def stuck(tmp_path_factory, data, client):
    """A campaign that failed at its pilot, for want of the file of labels."""
    made = places.Place(tmp_path_factory.mktemp("stuck") / "labels", data, name="stuck")
    made.items()
    made.spec({"annotator.model": places.TABLE})
    said = made.run()
    assert said.code == 1
    assert f"{made.root}/labels.csv" in said.error()
    assert said.results["state"] == "FAILED"
    return made


def try_again(place, client):
    """Resumes the campaign, which fails again and keeps nothing; returns what went wrong."""
    message = place.fail(client)
    assert client.get(place.name).stage == "pilot"
    assert not any(uri.startswith("annotationJobs") for uri in place.artifacts())
    return message


def row(number, **changes):
    """Good labels with one row changed, counted from 1."""
    rows = places.good_labels()
    rows[number - 1] = {**rows[number - 1], **changes}
    return rows


def probabilities(number, *values):
    """Good labels with class probabilities, those of one row given."""
    rows = [
        {"item_id": r["item_id"], "label": r["label"], "p_red": "0.2", "p_green": "0.3", "p_blue": "0.5"}
        for r in places.good_labels()
    ]
    rows[number - 1] |= dict(zip(("p_red", "p_green", "p_blue"), values, strict=True))
    return rows


BAD = {
    "confidence above 1": (
        row(5, confidence="1.5"),
        "row 5: confidence: expected a number in [0, 1], got 1.5",
    ),
    "confidence below 0": (
        row(5, confidence="-0.1"),
        "row 5: confidence: expected a number in [0, 1], got -0.1",
    ),
    "confidence that is no number": (row(5, confidence="high"), "confidence: expected a number, got 'high'"),
    "confidence NaN": (row(5, confidence="nan"), "row 5: confidence: expected a number in [0, 1], got nan"),
    "probability NaN": (
        probabilities(9, "nan", "0.5", "0.5"),
        "row 9: probabilities: expected numbers in [0, 1], got nan, 0.5, 0.5",
    ),
    "negative probability": (
        probabilities(9, "-0.5", "1", "0.5"),
        "row 9: probabilities: expected numbers in [0, 1], got -0.5, 1, 0.5",
    ),
    "no sum of 1": (
        probabilities(9, "0.9", "0.9", "0.1"),
        "row 9: probabilities: expected a sum of 1, got 1.9",
    ),
    "label that is no class": (
        row(3, label="bleu"),
        "row 3: label 'bleu' is no class: expected red, green, blue; did you mean 'blue'?",
    ),
    "item twice": (row(4, item_id="item-0"), "row 4: item 'item-0' is in row 1 already"),
    "missing column": (
        [{"item_id": r["item_id"], "lable": r["label"]} for r in places.good_labels()],
        "no column label; it has item_id, lable",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_labels(case, stuck, client):
    rows, expected = BAD[case]
    file = stuck.table("labels.csv", rows)
    message = try_again(stuck, client)
    assert str(file) in message
    assert expected in message


def test_a_shard_that_was_changed_is_named_and_a_restored_one_goes_on(stuck, client):
    stuck.table("labels.csv", places.good_labels())
    shard = next((stuck.data / "store" / stuck.campaign / "importJobs/import/items").glob("*.parquet"))
    spoilt = bytearray(shard.read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    with places.changed(shard, bytes(spoilt)):
        message = try_again(stuck, client)
    assert (
        f"{stuck.campaign}/importJobs/import/items/{shard.name}: expected {len(spoilt)} bytes with" in message
    )
    assert "It is damaged or was replaced: restore it from a backup" in message


def test_a_manifest_that_was_changed_is_named(stuck, client):
    stuck.table("labels.csv", places.good_labels())
    manifest = stuck.data / "store" / stuck.campaign / "importJobs/import/items/manifest.json"
    spoilt = manifest.read_bytes().replace(b'"rows": 100', b'"rows": 101')
    assert spoilt != manifest.read_bytes()
    with places.changed(manifest, spoilt):
        message = try_again(stuck, client)
    assert f"{stuck.campaign}/importJobs/import/items/manifest.json: expected digest " in message


def test_an_older_schema_version_is_named_with_ours(stuck, client):
    stuck.table("labels.csv", places.good_labels())
    manifest = stuck.data / "store" / stuck.campaign / "importJobs/import/items/manifest.json"
    with places.changed(
        manifest, places.of_version(stuck.store(), f"{stuck.campaign}/importJobs/import/items", 0)
    ):
        message = try_again(stuck, client)
    assert (
        "importJobs/import/items/manifest.json: table 'items' has schema version 0, this build reads"
        in message
    )
    assert "run the stage that wrote it again" in message


def test_a_mended_campaign_goes_on(stuck, client):
    stuck.table("labels.csv", places.good_labels())
    said = stuck.actuary("resume", stuck.name)
    assert said.code == 0, said.err
    stuck.until(client, lambda _: any(uri.startswith("annotationJobs") for uri in stuck.artifacts()))
    client.cancel(stuck.name)
    assert client.get(stuck.name).state != campaign_pb2.Campaign.FAILED

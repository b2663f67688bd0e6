"""The campaigns of k8s/samples: a server takes each as it stands, and `actuary doctor` reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from actuary import client as clients
from actuary.campaign import samples

FILES = sorted((Path(__file__).parents[3] / "k8s" / "samples" / "campaigns").glob("*.yaml"))


def test_there_are_samples():
    assert [file.stem for file in FILES] == ["digits", "null-20000", "reviews"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_server_would_take_it(served, file):
    checked = served.client.create(file, campaign_id="a-sample", validate_only=True)
    assert checked.display_name
    assert "a-sample" not in [each.name.removeprefix("campaigns/") for each in served.client.list()]


def test_digits_is_the_sample_that_ships():
    (file,) = (file for file in FILES if file.stem == "digits")
    name, document = clients.load(file)
    assert (name, document) == ("digits", samples.campaign("digits"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("digits", "1,277 items to label, 500 test, 20 exemplar"),
        ("null-20000", "1,000 human labels: pilot 500, 500 where it pays"),
    ],
)
def test_doctor_finds_nothing_wrong_with_what_needs_no_bucket(shell, name, said):
    (file,) = (file for file in FILES if file.stem == name)
    assert said in shell("doctor", file, "--address", "127.0.0.1:0").stdout


def test_doctor_says_what_it_lacks_to_look_into_a_bucket(shell):
    (file,) = (file for file in FILES if file.stem == "reviews")
    said = shell("doctor", file, "--address", "127.0.0.1:0", code=1).stdout
    assert "ok    campaign.yaml" in said
    assert "FAIL  data" in said
    assert "ACTUARY_STORAGE_ACCESS_KEY" in said

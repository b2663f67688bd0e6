"""campaign.yaml as a person writes it: what YAML makes of a word is not always what was meant."""

from __future__ import annotations

import pytest

from actuary import client, errors

WRONG = {
    "a class that is a number": (
        "task: {classes: [{name: 1}, {name: 2.5}]}",
        "task.classes[0].name: expected text: put it in quotes; got the number 1\n"
        "task.classes[1].name: expected text: put it in quotes; got the number 2.5",
    ),
    "a class that is yes": (
        "task: {classes: [{name: yes}]}",
        "task.classes[0].name: expected text: put it in quotes; got true, which YAML makes of yes, no, on, "
        "off, true and false",
    ),
    "classes without names": (
        "task: {classes: [cat, dog]}",
        "task.classes[0]: expected a section with fields out of name, description; got 'cat'\n"
        "task.classes[1]: expected a section with fields out of name, description; got 'dog'",
    ),
    "no list": ("task: {classes: {name: cat}}", "task.classes: expected a list; got a section"),
    "a section that is a number": (
        "budget: 200",
        "budget: expected a section with fields out of human_labels, human_share, money_micros, "
        "human_label_micros, currency_code; got the number 200",
    ),
    "minutes": (
        "review: {lease_duration: 10min}",
        "review.lease_duration: expected seconds and an s, 600s for example; got '10min'",
    ),
    "two budgets": (
        "budget: {human_labels: 200, human_share: .2}",
        "budget: expected one of human_labels, human_share, got 2 of them: take the others out",
    ),
    "half a label": (
        "budget: {human_labels: 20.5}",
        "budget.human_labels: expected a whole number; got the number 20.5",
    ),
    "a word for a number": (
        "annotator: {model: {prices: {gpu_hour_micros: free}}}",
        "annotator.model.prices.gpu_hour_micros: expected a number; got 'free'",
    ),
    "an option that is a number": (
        "annotator: {model: {options: {failure_rate: .1}}}",
        "annotator.model.options.failure_rate: expected text: put it in quotes; got the number 0.1",
    ),
    "a number for yes": (
        "review: {show_machine_label: 1}",
        "review.show_machine_label: expected true or false; got the number 1",
    ),
    "an unknown field deep within": (
        "annotator: {model: {knd: table}}",
        "annotator.model.knd: expected a field of campaign.yaml, got an unknown one: did you mean kind?",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_yaml_makes_of_a_word_is_named_by_its_path(tmp_path, case):
    text, message = WRONG[case]
    (tmp_path / "campaign.yaml").write_text(text)
    with pytest.raises(errors.InvalidInputError) as caught:
        client.parse(client.load(tmp_path)[1])
    assert str(caught.value) == message


def test_all_of_a_file_is_checked_at_once_and_a_good_one_is_read(tmp_path):
    with pytest.raises(errors.InvalidInputError) as caught:
        client.parse({"task": {"classes": [{"name": 1}]}, "bugdet": {}, "seed": "x"})
    assert [violation.field for violation in caught.value.violations] == [
        "task.classes[0].name",
        "bugdet",
        "seed",
    ]
    form = {
        "annotator": {"model": {"options": {"a": "1"}}},
        "review": {"leaseDuration": "1.5s"},
        "budget": {"human_labels": "20"},
    }
    read = client.parse(form)
    assert (read.review.lease_duration.nanos, read.budget.human_labels) == (500_000_000, 20)


def test_bytes_that_are_no_utf8_are_named(tmp_path):
    (tmp_path / "campaign.yaml").write_bytes("task: {instruction: grün}".encode("latin-1"))
    with pytest.raises(
        errors.InvalidInputError, match="expected UTF-8, got 0xfc at byte 22: save it as UTF-8"
    ):
        client.load(tmp_path)


def test_folders_in_any_script_have_ids_of_their_own(tmp_path):
    names = ["数据", "数学", "größe", "grö-e", "my data", "a" * 80, "a" * 81, "…"]
    ids = [client.id_of(name) for name in names]
    assert len(set(ids)) == len(names)
    assert ids[4] == "my-data"
    assert client.id_of("gro\u0308ße") == client.id_of("größe")
    assert all(len(each) <= 63 and client.names.ID.fullmatch(each) for each in ids)

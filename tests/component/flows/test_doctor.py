"""`actuary doctor` tries what a run needs, and says of everything that is wrong what to do, at once."""

from __future__ import annotations

import socket

from component.flows import newcomer


def test_a_fresh_folder_passes_every_check(shell):
    said = shell("doctor", "--address", "127.0.0.1:0").stdout
    for check in ("versions", "space", "store", "database", "port"):
        assert f"ok    {check}" in said
    assert "actuary doctor my-campaign" in said
    assert not any((shell.folder / "actuary-data" / "store" / "doctor").glob("*"))


def test_a_good_campaign_passes_and_the_next_command_is_named(shell):
    newcomer.make(shell.folder / "gut", newcomer.campaign(), newcomer.items(40))
    said = shell("doctor", "gut", "--address", "127.0.0.1:0").stdout
    for check in ("campaign.yaml", "name", "data", "budget", "annotator model"):
        assert f"ok    {check}" in said
    assert "go on: actuary run gut" in said


def test_fields_are_checked_all_at_once(shell):
    form = newcomer.campaign(sampling={"rule": "treshold"}, budget={"human_labels": 0})
    newcomer.make(shell.folder / "falsch", form, newcomer.items(30))
    said = shell("doctor", "falsch", "--address", "127.0.0.1:0", code=1).stdout
    assert "FAIL  campaign.yaml" in said
    assert "did you mean threshold?" in said
    assert "budget.human_labels: expected" in said


def test_a_missing_file_and_a_wrong_label_are_both_found(shell):
    folder = newcomer.make(shell.folder / "falsch", newcomer.campaign(), newcomer.items(30))
    newcomer.write_csv(folder / "labels.csv", ["item_id", "label"], [("007", "nien")])
    (folder / "items.csv").unlink()
    said = shell("doctor", "falsch", "--address", "127.0.0.1:0", code=1)
    assert "FAIL  data" in said.stdout
    assert "label 'nien' is no class" in said.stdout
    assert "2 of 9 checks failed" in said.stderr


def test_a_budget_that_does_not_fit_the_data_is_said_at_once(shell):
    form = newcomer.campaign(
        budget={"human_labels": 200},
        sampling={"pilot_items": 60, "audit_items": 60},
        data={"truth_column": "gold"},
    )
    newcomer.make(shell.folder / "klein", form, newcomer.items(50))
    said = shell("doctor", "klein", "--address", "127.0.0.1:0", code=1).stdout
    assert "items.csv: 50 items to label; text, truth in 'gold'" in said
    assert "FAIL  budget" in said
    assert "budget.human_labels: expected at most the 50 items to label, got 200" in said
    assert "sampling.pilot_items: expected at most 50, got 60; lower it" in said


def test_embeddings_are_counted_and_one_of_another_length_is_found(shell):
    form = newcomer.campaign(data={"embedding_column": "numbers"})
    folder = newcomer.make(shell.folder / "vectors", form, newcomer.items(50))
    rows = [(item.item_id, item.text, "[0.5, -1, 2]") for item in newcomer.items(50)]
    newcomer.write_csv(folder / "items.csv", ["item_id", "text", "numbers"], rows)
    said = shell("doctor", "vectors", "--address", "127.0.0.1:0").stdout
    assert "items.csv: 50 items to label; text, embeddings of 3 numbers" in said
    newcomer.write_csv(
        folder / "items.csv", ["item_id", "text", "numbers"], [*rows[:-1], (*rows[-1][:2], "[1]")]
    )
    said = shell("doctor", "vectors", "--address", "127.0.0.1:0", code=1).stdout
    assert "row 50: expected 3 numbers in 'numbers', as in the first row that has any; got 1" in said


def test_another_campaign_under_the_name_is_found_before_the_run(served):
    folder = newcomer.make(served.shell.folder / "taken", newcomer.campaign(), newcomer.items(40))
    served.client.create(folder)
    served.until("taken", "WAITING_FOR_PEOPLE")
    assert (
        "campaigns/taken is there, waiting_for_people: actuary run goes on with it"
        in served.cli("doctor", folder).stdout
    )
    newcomer.make(folder, newcomer.campaign(seed=9), newcomer.items(40))
    said = served.cli("doctor", folder, code=1).stdout
    assert "campaigns/taken is there with another seed: run with --id taken-2" in said
    served.cli("cancel", "taken")
    said = served.cli("doctor", folder, code=1).stdout
    assert "campaigns/taken was cancelled for good: run with --id taken-2" in said


def test_models_are_opened_and_prices_asked_for(shell):
    form = newcomer.campaign(
        annotator={"model": {"kind": "linear", "prices": {"gpu_hour_micros": 0}, "uri": ""}},
        critic={"strategy": "class-probability", "model": {"kind": "null", "options": {"failure_rat": "1"}}},
    )
    newcomer.make(shell.folder / "modelle", form, newcomer.items(40))
    said = shell("doctor", "modelle", "--address", "127.0.0.1:0", code=1).stdout
    assert "critic.model.prices: expected" in said
    assert "annotator.model.kind: this model learns from exemplars: expected data.split_column" in said
    form["critic"]["model"]["prices"] = {"gpu_hour_micros": 0}
    form["annotator"] = newcomer.campaign()["annotator"]
    newcomer.make(shell.folder / "modelle", form, newcomer.items(40))
    said = shell("doctor", "modelle", "--address", "127.0.0.1:0", code=1).stdout
    assert "FAIL  critic model" in said
    assert "failure_rat" in said
    assert "failure_rate" in said


def test_a_port_in_use_is_named_with_what_to_do(shell):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = shell("doctor", "--address", address, code=1).stdout
    assert f"cannot listen on {address}" in said
    assert "actuary up --address 127.0.0.1:0" in said


def test_a_served_folder_is_named(served):
    assert f"is served at {served.client.address}" in served.cli("doctor").stdout

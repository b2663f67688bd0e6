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
    newcomer.make(shell.folder / "gut", newcomer.campaign(), newcomer.items(30))
    said = shell("doctor", "gut", "--address", "127.0.0.1:0").stdout
    for check in ("campaign.yaml", "data", "annotator model"):
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
    assert "2 of 8 checks failed" in said.stderr


def test_a_port_in_use_is_named_with_what_to_do(shell):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = shell("doctor", "--address", address, code=1).stdout
    assert f"cannot listen on {address}" in said
    assert "actuary up --address 127.0.0.1:0" in said


def test_a_served_folder_is_named(served):
    assert f"is served at {served.client.address}" in served.cli("doctor").stdout

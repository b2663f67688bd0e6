"""Approval, pause, resume, cancel, and specs that were wrong at first: each command says what to do next."""

from __future__ import annotations

import pytest

from actuary.v1 import campaign_pb2
from component.flows import newcomer


@pytest.fixture(scope="module")
def content():
    return newcomer.items(60)


def test_a_campaign_that_asks_first_waits_after_its_quote_and_every_command_says_how_to_go_on(
    served, content
):
    form = newcomer.campaign(approval="required", data={"truth_column": "gold"}, review={"mode": "replay"})
    folder = newcomer.make(served.shell.folder / "ask-first", form, content)
    served.client.create(folder)

    early = served.cli("quote", "ask-first", code=1)
    assert "has no quote yet: it is at stage" in early.stderr
    early = served.cli("approve", "ask-first", code=1)
    assert "expected WAITING_FOR_APPROVAL" in early.stderr

    served.until("ask-first", "WAITING_FOR_APPROVAL")
    said = served.cli("list").stdout
    assert "ask-first: waiting for approval (quote)" in said
    assert "forecast accuracy" in served.cli("quote", "ask-first").stdout
    said = served.cli("pause", "ask-first").stdout
    assert "ask-first: paused" in said
    assert f"go on: actuary resume ask-first --data {served.data}" in said
    said = served.cli("resume", "ask-first").stdout
    assert "ask-first: waiting for approval" in said
    assert f"then go on: actuary approve ask-first --data {served.data}" in said
    assert "ask-first: running" in served.cli("approve", "ask-first").stdout
    assert "ask-first: cancelled" in served.cli("cancel", "ask-first").stdout
    refused = served.cli("run", folder, code=1)
    assert "was cancelled for good: start another one with --id ask-first-2" in refused.stderr
    refused = served.cli("topup", "ask-first", "--labels", 5, "--request-id", "x", code=1)
    assert "expected a campaign that was not cancelled" in refused.stderr


def test_a_spec_that_failed_before_anything_was_bought_is_mended_and_run_again(served, content):
    form = newcomer.campaign(data={"uri": "itmes.csv"}, budget={"human_labels": 100})
    folder = newcomer.make(served.shell.folder / "mended", form, content)

    failed = served.cli("run", folder, code=1)
    assert f"there is none at {folder / 'itmes.csv'}" in failed.stderr
    newcomer.make(folder, newcomer.campaign(budget={"human_labels": 100}), content)
    failed = served.cli("run", folder, code=1)
    assert "budget.human_labels: expected at most the 60 items to label, got 100" in failed.stderr
    newcomer.make(folder, newcomer.campaign(), content)
    served.client.create(folder)
    served.until("mended", "WAITING_FOR_PEOPLE")

    # from here on labels are bought under this spec
    newcomer.make(folder, newcomer.campaign(seed=7), content)
    refused = served.cli("run", folder, code=1)
    assert "exists with another content: seed differ" in refused.stderr
    served.cli("cancel", "mended")


def test_a_failed_campaign_is_tried_again_by_the_same_command(served, content):
    folder = newcomer.make(served.shell.folder / "again", newcomer.campaign(), content)
    rows = [(item.item_id, "vielleicht", 0.5) for item in content]
    newcomer.write_csv(folder / "labels.csv", ["item_id", "label", "confidence"], rows)
    failed = served.cli("run", folder, code=1)
    assert "label 'vielleicht' is no class" in failed.stderr
    assert f"{folder / 'labels.csv'}, row 1" in failed.stderr

    newcomer.make(folder, newcomer.campaign(), content)
    with served.shell.start("run", folder, "--data", served.data):
        newcomer.wait_for(lambda: "trying its stage 'pilot' again" in served.shell.log("run"), "the retry")
        served.until("again", "WAITING_FOR_PEOPLE", "RUNNING")
        newcomer.wait_for(
            lambda: served.client.get("again").state == campaign_pb2.Campaign.WAITING_FOR_PEOPLE, "people"
        )
    assert "stopped; the same command goes on from here" in served.shell.log("run")
    served.cli("cancel", "again")


def test_an_unknown_campaign_is_named(served):
    for command in ("watch", "quote", "approve", "pause", "review"):
        said = served.cli(command, "nobody", code=1)
        assert "no campaign campaigns/nobody" in said.stderr

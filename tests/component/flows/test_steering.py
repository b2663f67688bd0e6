"""Approval, pause, resume, cancel, and specs that were wrong at first: each command says what to do next."""

from __future__ import annotations

import json

import grpc
import pytest

from actuary.v1 import campaign_pb2, campaign_service_pb2
from actuary.v1 import review_service_pb2 as pb
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
    said = served.cli("quote", "ask-first", "--accuracy", 0.9, "--money", 3.2, "--labels", 50).stdout
    for shown in ("forecast accuracy", "For 90.0 %:", "For $3.20:", "with 40 labels", "For 50 labels:"):
        assert shown in said
    assert "errors corrected a label" in said
    found = json.loads(served.cli("quote", "ask-first", "--accuracy", 0.9, "--json").stdout)
    assert (found["campaign"], found["basis"]) == ("campaigns/ask-first", "pilot")
    assert found["notes"] == list(served.client.quote("ask-first").notes)
    assert found["answers"][0].startswith("For 90.0 %:")
    refused = served.cli("quote", "ask-first", "--labels", 5, code=2)
    assert "at least the 30 that the pilot takes, got 5" in refused.stderr
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


def answer(served, name, gold, count):
    """Answers tasks of the batch that is open."""
    batch = served.client.reviews.ListReviewBatches(
        pb.ListReviewBatchesRequest(parent=f"campaigns/{name}", page_size=10)
    ).review_batches[-1]
    taken = served.client.reviews.AcquireTasks(
        pb.AcquireTasksRequest(name=batch.name, reviewer="ada", max_tasks=count)
    ).tasks
    answers = [pb.Answer(task=task.name, label=gold[task.item_id]) for task in taken]
    results = served.client.reviews.SubmitAnswers(
        pb.SubmitAnswersRequest(name=batch.name, reviewer="ada", answers=answers)
    ).results
    assert [result.reason for result in results] == [""] * count
    return [task.item_id for task in taken]


def fail_for_want_of_labels(served, name, content):
    """A campaign of which people have answered 12 tasks when its annotator fails."""
    folder = newcomer.make(served.shell.folder / name, newcomer.campaign(), content)
    (folder / "labels.csv").unlink()
    served.client.create(folder)
    until_failed(served, name, "labels.csv")
    return folder, answer(served, name, {item.item_id: item.gold for item in content}, 12)


def until_failed(served, name, why):
    newcomer.wait_for(lambda: why in served.client.get(name).error.message, f"{name} to fail")
    assert served.client.get(name).state == campaign_pb2.Campaign.FAILED


def labels_of(served, name):
    account = served.client.get(name).purse.human_labels
    return account.limit, account.reserved, account.settled


def test_what_people_answer_counts_whatever_fails_meanwhile_and_is_paid_once(served, content):
    folder, first = fail_for_want_of_labels(served, "meanwhile", content)
    newcomer.make(folder, newcomer.campaign(), content)
    batch = "campaigns/meanwhile/reviewBatches/review-w0"
    served.client.reviews.CancelReviewBatch(pb.CancelReviewBatchRequest(name=batch))
    served.cli("resume", "meanwhile")
    until_failed(served, "meanwhile", "review-w0 was cancelled")
    served.cli("resume", "meanwhile")

    waiting = campaign_pb2.Campaign.WAITING_FOR_PEOPLE
    newcomer.wait_for(lambda: served.client.get("meanwhile").state == waiting, "the batch to be taken up")
    rest = answer(served, "meanwhile", {item.item_id: item.gold for item in content}, 18)
    newcomer.wait_for(lambda: served.client.get("meanwhile").wave == 1, "the drawn items' wave")
    served.until("meanwhile", "WAITING_FOR_PEOPLE")
    assert labels_of(served, "meanwhile") == (40, 10, 30)
    resolved = served.artifact("meanwhile", "reviewBatches/review-w0/resolved").column("item_id")
    assert sorted(resolved.to_pylist()) == sorted([*first, *rest])
    assert len({*first, *rest}) == 30
    served.cli("cancel", "meanwhile")


def test_an_answer_to_another_batch_or_of_two_minds_is_refused(served, content):
    folder = newcomer.make(served.shell.folder / "two-minds", newcomer.campaign(), content)
    served.client.create(folder)
    served.until("two-minds", "WAITING_FOR_PEOPLE")
    batch = "campaigns/two-minds/reviewBatches/review-w0"
    taken = pb.AcquireTasksRequest(name=batch, reviewer="ada", max_tasks=1)
    task = served.client.reviews.AcquireTasks(taken).tasks[0].name
    other = task.replace("two-minds", "another")
    for answer_, why in (
        (pb.Answer(task=other, label=newcomer.YES), "expected a task of"),
        (pb.Answer(task=task, label=newcomer.YES, cannot_tell=True), "got both"),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            served.client.reviews.SubmitAnswers(
                pb.SubmitAnswersRequest(name=batch, reviewer="ada", answers=[answer_])
            )
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert why in refused.value.details()
    assert served.client.reviews.GetReviewBatch(pb.GetReviewBatchRequest(name=batch)).label_count == 0
    served.cli("cancel", "two-minds")


def test_cancelling_what_failed_books_what_people_have_answered(served, content):
    fail_for_want_of_labels(served, "given-up", content)
    assert labels_of(served, "given-up") == (40, 30, 0)
    # what a Job has finished is paid for, and a retry goes on from it: gc knows, whatever its age
    chunk = "campaigns/given-up/annotationJobs/annotate-w0/.work/chunks/00000/000000.parquet"
    path = served.data / "store" / chunk
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert chunk not in served.cli("gc", "--dry-run", "--older-than-hours", 0).stdout
    assert "given-up: cancelled" in served.cli("cancel", "given-up").stdout
    assert labels_of(served, "given-up") == (40, 0, 12)
    assert chunk in served.cli("gc", "--dry-run", "--older-than-hours", 0).stdout


def test_a_top_up_that_is_refused_raises_nothing(served, content):
    folder = newcomer.make(served.shell.folder / "raised", newcomer.campaign(), content)
    served.client.create(folder)
    served.until("raised", "WAITING_FOR_PEOPLE")
    request = campaign_service_pb2.TopUpCampaignRequest(
        name="campaigns/raised", human_labels=5, request_id="r1", etag="v0"
    )
    with pytest.raises(grpc.RpcError) as refused:
        served.client.campaigns.TopUpCampaign(request)
    assert refused.value.code() == grpc.StatusCode.ABORTED
    assert labels_of(served, "raised")[0] == 40
    request.etag = served.client.get("raised").etag
    assert served.client.campaigns.TopUpCampaign(request).purse.human_labels.limit == 45
    served.cli("cancel", "raised")
    request = campaign_service_pb2.TopUpCampaignRequest(
        name="campaigns/raised", human_labels=5, request_id="r2"
    )
    with pytest.raises(grpc.RpcError) as refused:
        served.client.campaigns.TopUpCampaign(request)
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert labels_of(served, "raised")[0] == 45


def test_an_unknown_campaign_is_named(served):
    for command in ("watch", "quote", "approve", "pause", "review"):
        said = served.cli(command, "nobody", code=1)
        assert "no campaign campaigns/nobody" in said.stderr

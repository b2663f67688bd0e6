"""Budgets at their edges, and batches that are closed early: each ends in a result or says what to do."""

from __future__ import annotations

import pytest

from actuary import errors
from actuary.v1 import review_service_pb2
from component.flows import newcomer

PRICE = 80_000


@pytest.fixture(scope="module")
def content():
    return newcomer.items(40)


def replayed(**changes):
    """A campaign whose reviewers are played, so that it ends by itself."""
    return newcomer.campaign(
        data={"truth_column": "gold"}, review={"mode": "replay", "replay_error_rate": 0}, **changes
    )


EDGES = {
    "money-for-the-pilot": ({"budget": {"money_micros": 30 * PRICE}}, 30),
    "money-for-some-more": ({"budget": {"money_micros": 33 * PRICE + 1}}, 33),
    "labels-for-the-pilot": ({"budget": {"human_labels": 30}, "sampling": {"audit_items": 0}}, 30),
    "every-item": ({"budget": {"human_labels": 40}}, 40),
    "the-whole-audit": ({"budget": {"human_labels": 35}, "sampling": {"audit_items": 5}}, 35),
}


@pytest.mark.parametrize("name", EDGES)
def test_a_budget_at_its_edge_ends_in_an_estimate_and_can_be_topped_up(served, content, name):
    changes, labels = EDGES[name]
    client = served.client
    client.create(newcomer.make(served.shell.folder / name, replayed(**changes), content))
    ended = served.until(name, "SUCCEEDED")
    assert ended.purse.human_labels.settled == labels
    assert ended.purse.money_micros.settled == labels * PRICE
    found = ended.results.corrected_accuracy
    assert found.low <= found.estimate <= found.high
    if labels == 40:
        assert found.estimate == found.low == found.high == 1.0
        return
    with_more = min(4, 40 - labels)
    client.top_up(name, human_labels=with_more, money_micros=with_more * PRICE, request_id="more")
    newcomer.wait_for(lambda: client.get(name).wave == 2, "the second wave")
    ended = served.until(name, "SUCCEEDED")
    assert ended.purse.human_labels.settled == labels + with_more
    assert found.low <= found.estimate <= found.high


def test_money_that_cannot_pay_the_pilot_is_refused_before_anything_is_bought(served, content):
    form = replayed(budget={"money_micros": 30 * PRICE - 1})
    with pytest.raises(errors.InvalidInputError) as caught:
        served.client.create(newcomer.make(served.shell.folder / "poor", form, content))
    assert caught.value.message == (
        "budget.money_micros: expected at least 2400000, which the pilot's 30 labels cost at 80000 each, got "
        "2399999; raise it or set sampling.pilot_items lower"
    )
    # the share becomes a count, and the pilot a size, when the items are counted
    form = replayed(budget={"human_share": 0.9, "money_micros": 25 * PRICE - 1})
    del form["budget"]["human_labels"], form["sampling"]
    served.client.create(newcomer.make(served.shell.folder / "poor", form, newcomer.items(60)))
    failed = newcomer.wait_for(lambda: served.client.get("poor").error.message, "the refusal")
    assert "budget.money_micros: expected at least 2160000, which the pilot's 27 labels cost" in failed


def _batch(served, campaign, wave):
    return served.client.reviews.GetReviewBatch(
        review_service_pb2.GetReviewBatchRequest(name=f"campaigns/{campaign}/reviewBatches/review-w{wave}")
    )


def _answer(served, campaign, wave, count, gold):
    reviews, name = served.client.reviews, f"campaigns/{campaign}/reviewBatches/review-w{wave}"
    tasks = reviews.AcquireTasks(
        review_service_pb2.AcquireTasksRequest(name=name, reviewer="ada", max_tasks=count)
    ).tasks
    answers = [review_service_pb2.Answer(task=task.name, label=gold[task.item_id]) for task in tasks]
    results = reviews.SubmitAnswers(
        review_service_pb2.SubmitAnswersRequest(name=name, reviewer="ada", answers=answers)
    ).results
    assert all(result.accepted for result in results)
    assert len(results) == count


@pytest.mark.parametrize(("pilot", "wave"), [(2, 0), (30, 0), (30, 1), (7, 3)])
def test_batches_that_are_closed_early_leave_a_valid_estimate(served, content, pilot, wave):
    name = f"early-{pilot}-{wave}"
    gold = {item.item_id: item.gold for item in content}
    served.client.create(newcomer.make(served.shell.folder / name, newcomer.campaign(), content))
    served.until(name, "WAITING_FOR_PEOPLE")
    refused = served.cli("review", "close", name, code=1)
    assert "is the pilot: expected answers to 2 items at least, got 0" in refused.stderr
    assert "or cancel the campaign" in refused.stderr

    for number, count in enumerate((pilot, wave)):
        newcomer.wait_for(lambda number=number: served.client.get(name).wave == number, "the wave")
        served.until(name, "WAITING_FOR_PEOPLE")
        if count:
            _answer(served, name, number, count, gold)
        if number or count < 30:
            served.cli("review", "close", name)
    ended = served.until(name, "SUCCEEDED")
    assert ended.purse.human_labels.settled == pilot + wave
    found = ended.results.corrected_accuracy
    truth = sum((item.gold == item.label) for item in content) / len(content)
    assert found.low <= found.estimate <= found.high
    assert ended.results.machine_accuracy.low <= truth <= ended.results.machine_accuracy.high

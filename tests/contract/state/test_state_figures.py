import dataclasses

import pytest

from actuary import errors, metrics
from actuary.state import campaigns, figures, jobs, purse

C = "campaigns/c"
ITEMS = metrics.ITEMS.key(stage="annotate", outcome="LABELLED")
COST = metrics.COST_MICROS.key(stage="review", payer="human")
HIGH = metrics.ESTIMATE.key(figure="machine_accuracy", bound="high")


def kept(db):
    return figures.Figures(db).read(list(metrics.FIGURES))


def test_what_was_counted_is_added_with_the_row_or_not_at_all(db, clock):
    store = jobs.Jobs(db, clock)
    made = store.create(
        jobs.JobRecord(name="j", kind="annotation", campaign=C, spec={}, spec_digest="", cap_micros=1)
    )
    after = store.update(dataclasses.replace(made, state="RUNNING"), made.version, {ITEMS: 3.0})
    with pytest.raises(errors.ConflictError):
        store.update(made, made.version, {ITEMS: 100.0})
    store.update(dataclasses.replace(after, state="FAILED"), after.version, {ITEMS: 4.0})
    assert kept(db) == {ITEMS: 7.0}


def test_a_settlement_that_is_repeated_is_counted_once(db, clock):
    store = purse.Purse(db, clock)
    store.open(C, {"human_labels": 10, "money_micros": 100})
    store.reserve(C, "review", {"human_labels": 5, "money_micros": 50})
    for _ in range(3):
        store.settle(C, "review", {"human_labels": 4, "money_micros": 40}, {COST: 40.0})
    assert kept(db) == {COST: 40.0}


def test_a_last_value_is_replaced(db, clock):
    store = campaigns.Campaigns(db, clock)
    made = store.create(campaigns.CampaignRecord(name=C, spec={}, spec_digest="d"))
    made = store.update(made, made.version, {HIGH: 0.9})
    store.update(made, made.version, {HIGH: 0.8})
    assert kept(db) == {HIGH: 0.8}


def test_only_what_is_asked_for_is_read(db):
    with db.begin() as connection:
        figures.count(connection, {ITEMS: 1.0, COST: 2.0})
    assert figures.Figures(db).read([metrics.COST_MICROS.name]) == {COST: 2.0}


def test_many_who_count_at_once_lose_nothing(db, together):
    def add():
        with db.begin() as connection:
            figures.count(connection, {ITEMS: 1.0, COST: 2.0})

    together(*[lambda: [add() for _ in range(20)]] * 4)
    assert kept(db) == {ITEMS: 80.0, COST: 160.0}

import dataclasses
import random

import pytest

from actuary import errors
from actuary.state import jobs

NAME = "campaigns/c/annotationJobs/a"


@pytest.fixture
def store(db, clock):
    return jobs.Jobs(db, clock)


def record(name=NAME, digest="d", **fields):
    options = {"kind": "annotation", "campaign": "campaigns/c", "cap_micros": 1000, **fields}
    return jobs.JobRecord(name=name, spec={"model": "標"}, spec_digest=digest, **options)


def progress(cost, done=False, **fields):
    return {"cost_micros": cost, "done": done, **fields}


def test_creating_is_idempotent_and_another_spec_is_refused(store, clock):
    made = store.create(record())
    clock.advance(9)
    assert store.create(record()) == made == store.get(NAME)
    with pytest.raises(errors.AlreadyExistsError, match="another spec"):
        store.create(record(digest="e"))


def test_an_update_needs_the_version_that_is_there(store, clock):
    made = store.create(record())
    written = store.update(dataclasses.replace(made, state="RUNNING", start_time=clock.now), 1)
    assert written == store.get(NAME)
    with pytest.raises(errors.ConflictError):
        store.update(dataclasses.replace(made, state="FAILED"), 1)


def test_a_listing_holds_one_campaign_and_one_kind(store):
    for place in range(3):
        store.create(record(f"campaigns/c/annotationJobs/a{place}"))
    store.create(record("campaigns/c/critiqueJobs/a", kind="critique"))
    store.create(record("campaigns/d/annotationJobs/a", campaign="campaigns/d"))
    first, token = store.list("campaigns/c", "annotation", page_size=2)
    rest, end = store.list("campaigns/c", "annotation", page_size=2, page_token=token)
    assert [job.name[-2:] for job in first + rest] == ["a0", "a1", "a2"]
    assert end == ""


def test_open_holds_what_has_not_ended(store):
    for state in ("PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"):
        store.create(record(f"{NAME}-{state.lower()}", state=state))
    store.create(record("campaigns/c/critiqueJobs/a", kind="critique"))
    assert [job.state for job in store.open(["annotation"])] == ["PENDING", "RUNNING"]
    assert len(store.open(["annotation", "critique"])) == len(store.open()) == 3


def test_unfinished_are_those_of_a_campaign_that_did_not_succeed(store):
    for state in ("RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"):
        store.create(record(f"{NAME}-{state.lower()}", state=state))
    store.create(record("campaigns/d/annotationJobs/a", campaign="campaigns/d"))
    assert {job.state for job in store.unfinished("campaigns/c")} == {"RUNNING", "FAILED", "CANCELLED"}
    assert {job.campaign for job in store.unfinished("campaigns/c")} == {"campaigns/c"}


def test_an_allowance_covers_what_is_spent_and_the_next_slice(store):
    store.create(record())
    assert store.report(NAME, 0, 0, progress(0), 100) == jobs.Grant(allowance_micros=100, stop=False)
    assert store.report(NAME, 0, 0, progress(80), 100) == jobs.Grant(allowance_micros=180, stop=False)


def test_without_a_cap_there_is_no_allowance(store):
    store.create(record(cap_micros=None))
    assert store.report(NAME, 0, 0, progress(10), 100).allowance_micros is None


def test_the_last_slice_is_cut_at_the_cap(store):
    store.create(record())
    assert store.report(NAME, 0, 0, progress(0), 700).allowance_micros == 700
    assert store.report(NAME, 1, 0, progress(0), 700).allowance_micros == 300
    assert store.report(NAME, 2, 0, progress(0), 700).allowance_micros == 0


def test_an_index_that_is_done_gives_back_what_it_did_not_use(store):
    store.create(record())
    store.report(NAME, 0, 0, progress(0), 1000)
    assert store.report(NAME, 1, 0, progress(0), 100).allowance_micros == 0
    store.report(NAME, 0, 0, progress(400, done=True), 0)
    assert store.report(NAME, 1, 0, progress(0), 700).allowance_micros == 600


def test_an_exact_report_gives_back_what_it_does_not_need_and_any_other_keeps_it(store):
    store.create(record())
    store.report(NAME, 0, 0, progress(0), 900)
    assert store.report(NAME, 0, 0, progress(50), 100).allowance_micros == 900
    assert store.report(NAME, 1, 0, progress(0), 500).allowance_micros == 100
    assert store.report(NAME, 0, 0, progress(50), 100, exact=True).allowance_micros == 150
    assert store.report(NAME, 1, 0, progress(0), 500).allowance_micros == 500


def test_an_exact_report_of_a_later_attempt_keeps_what_the_first_may_be_spending(store):
    store.create(record())
    store.report(NAME, 0, 0, progress(0), 900)
    assert store.report(NAME, 0, 1, progress(0), 100, exact=True).allowance_micros == 900
    assert store.report(NAME, 0, 1, progress(0), 100, exact=True).allowance_micros == 100


def test_who_is_short_waits_while_others_hold_what_they_have_not_spent(store):
    store.create(record())
    store.report(NAME, 0, 0, progress(0), 900)
    short = store.report(NAME, 1, 0, progress(0), 500, exact=True)
    assert (short.allowance_micros, short.wait) == (100, True)
    store.report(NAME, 0, 0, progress(700, done=True), 0)
    assert store.report(NAME, 1, 0, progress(0), 500, exact=True) == jobs.Grant(
        allowance_micros=300, stop=False, wait=False
    )


def test_a_repeated_report_changes_nothing(store):
    store.create(record())
    first = store.report(NAME, 0, 0, progress(50, outcomes={"LABELLED": 3}), 100)
    assert store.report(NAME, 0, 0, progress(50, outcomes={"LABELLED": 3}), 100) == first
    assert store.totals(NAME) == {"cost_micros": 50, "done": 0, "outcomes": {"LABELLED": 3}}


def test_a_report_that_was_overtaken_changes_nothing(store):
    store.create(record())
    store.report(NAME, 0, 0, progress(50), 100)
    assert store.report(NAME, 0, 0, progress(20), 100).allowance_micros == 150
    assert store.totals(NAME)["cost_micros"] == 50
    store.report(NAME, 0, 0, progress(60, done=True), 0)
    assert store.report(NAME, 0, 0, progress(55), 100) == jobs.Grant(allowance_micros=60, stop=True)
    assert store.totals(NAME) == {"cost_micros": 60, "done": 1}


def test_a_later_attempt_starts_from_what_its_chunks_say_and_keeps_the_allowance(store):
    store.create(record())
    store.report(NAME, 0, 0, progress(500), 100)
    grant = store.report(NAME, 0, 1, progress(300), 100)
    assert grant == jobs.Grant(allowance_micros=600, stop=False)  # the first may still be spending it
    assert store.totals(NAME)["cost_micros"] == 300


def test_an_earlier_attempt_is_ignored_and_told_to_stop(store):
    store.create(record())
    store.report(NAME, 0, 1, progress(300), 100)
    assert store.report(NAME, 0, 0, progress(900), 100).stop
    assert store.totals(NAME)["cost_micros"] == 300


@pytest.mark.parametrize("change", [{"cancel_requested": True}, {"state": "CANCELLED"}, {"state": "FAILED"}])
def test_a_job_that_ends_stops_its_processes_and_keeps_their_last_figures(store, change):
    made = store.create(record())
    store.update(dataclasses.replace(made, **change), 1)
    assert store.report(NAME, 0, 0, progress(70), 500) == jobs.Grant(allowance_micros=70, stop=True)
    assert store.totals(NAME)["cost_micros"] == 70


def test_totals_add_up_numbers_of_all_indexes_and_keep_a_text(store):
    store.create(record())
    store.report(NAME, 0, 0, progress(1, done=True, seconds=0.5, outcomes={"LABELLED": 3}, phase="a"), 0)
    store.report(NAME, 1, 0, progress(2, seconds=1.0, outcomes={"LABELLED": 4, "FAILED": 1}, phase="b"), 0)
    assert store.totals(NAME) == {
        "cost_micros": 3, "done": 1, "seconds": 1.5, "outcomes": {"LABELLED": 7, "FAILED": 1}, "phase": "a",
    }  # fmt: skip
    assert store.totals("campaigns/c/annotationJobs/none") == {}


def test_what_an_attempt_has_used_stays_when_the_next_begins(store):
    store.create(record())
    store.report(NAME, 0, 0, progress(5, seconds=2.0, retry_counts={"OTHER": 1}), 0)
    store.report(NAME, 0, 0, progress(6, seconds=3.0, retry_counts={"OTHER": 2}), 0)
    store.report(NAME, 0, 1, progress(6, seconds=0.5, retry_counts={}), 0)
    store.report(NAME, 0, 2, progress(7, seconds=1.0, retry_counts={"OTHER": 4}), 0)
    store.report(NAME, 0, 1, progress(6, seconds=9.0, retry_counts={}), 0)  # late, of an attempt that is over
    totals = store.totals(NAME)
    assert (totals["cost_micros"], totals["seconds"], totals["restarts"]) == (7, 4.5, 2)
    assert totals["retry_counts"] == {"OTHER": 6}


def test_a_report_to_an_unknown_job_is_not_found_and_a_negative_amount_refused(store):
    with pytest.raises(errors.NotFoundError):
        store.report(NAME, 0, 0, progress(0), 1)
    store.create(record())
    with pytest.raises(errors.InvalidInputError):
        store.report(NAME, 0, 0, progress(-1), 1)
    with pytest.raises(errors.NotFoundError):
        store.get("campaigns/c/annotationJobs/none")
    with pytest.raises(errors.NotFoundError):
        store.update(record("campaigns/c/annotationJobs/none"), 1)


@pytest.mark.parametrize("seed", [1, 2])
def test_allowances_of_concurrent_processes_never_pass_the_cap(store, together, seed):
    store.create(record(cap_micros=5000))
    told = {}

    def process(index):
        rng = random.Random(seed * 100 + index)
        spent = 0
        for step in range(15):
            allowance = store.report(NAME, index, 0, progress(spent, seconds=step), 100).allowance_micros
            assert allowance >= spent
            told[index] = allowance
            assert sum(told.values()) <= 5000
            spent += rng.randint(0, allowance - spent)
        told[index] = spent  # it gives the rest back
        store.report(NAME, index, 0, progress(spent, done=True, seconds=99), 0)
        return spent

    spent = together(*[lambda index=index: process(index) for index in range(8)])
    assert all(isinstance(amount, int) for amount in spent), spent
    assert store.totals(NAME)["cost_micros"] == sum(spent) <= 5000

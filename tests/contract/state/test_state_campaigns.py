import dataclasses

import pytest

from actuary import errors
from actuary.state import campaigns


@pytest.fixture
def store(db, clock):
    return campaigns.Campaigns(db, clock)


def record(name="campaigns/c", digest="d", **fields):
    return campaigns.CampaignRecord(name=name, spec={"ключ": ["值", 1, None]}, spec_digest=digest, **fields)


def test_what_was_created_is_read_back(store, clock):
    made = store.create(record(request_id="r"))
    assert store.get("campaigns/c") == made
    assert (made.version, made.create_time, made.update_time) == (1, clock.now, clock.now)


def test_creating_the_same_twice_returns_the_first(store, clock):
    first = store.create(record())
    clock.advance(5)
    assert store.create(record()) == first


def test_a_name_that_is_used_with_another_spec_is_refused(store):
    store.create(record())
    with pytest.raises(errors.AlreadyExistsError, match="another spec"):
        store.create(record(digest="other"))


def test_of_many_creators_one_creates(store, together):
    results = together(*[lambda: store.create(record())] * 6)
    assert {result.version for result in results} == {1}


def test_an_update_writes_state_and_counts_the_version_up(store, clock):
    made = store.create(record())
    clock.advance(1)
    changed = dataclasses.replace(
        made, state="RUNNING", stage="pilot", wave=1, error={"code": 9}, results={"a": 1}
    )
    written = store.update(changed, made.version)
    assert written == store.get(made.name)
    assert (written.version, written.state, written.update_time) == (2, "RUNNING", clock.now)


def test_an_update_of_an_older_version_is_a_conflict_and_changes_nothing(store):
    made = store.create(record())
    there = store.update(dataclasses.replace(made, state="RUNNING"), 1)
    with pytest.raises(errors.ConflictError, match="version 1, it is 2"):
        store.update(dataclasses.replace(made, state="FAILED"), 1)
    assert store.get(made.name) == there


def test_of_many_updaters_of_one_version_one_succeeds(store, together):
    made = store.create(record())
    results = together(*[lambda: store.update(dataclasses.replace(made, state="RUNNING"), 1)] * 6)
    assert sum(isinstance(result, errors.ConflictError) for result in results) == 5


def test_an_unknown_campaign_is_not_found(store):
    with pytest.raises(errors.NotFoundError, match="campaigns/none"):
        store.get("campaigns/none")
    with pytest.raises(errors.NotFoundError, match="campaigns/none"):
        store.update(record("campaigns/none"), 1)


def test_pages_hold_every_campaign_once_oldest_first_also_when_rows_are_added(store, clock):
    names = [f"campaigns/c{place}" for place in range(7)]
    for place, name in enumerate(names[:5]):
        store.create(record(name))
        clock.advance(place % 2)  # some share their time
    seen, token = store.list(page_size=2)
    for name in names[5:]:
        clock.advance(1)
        store.create(record(name))
    pages = [seen]
    while token:
        seen, token = store.list(page_size=2, page_token=token)
        pages.append(seen)
    assert [row.name for page in pages for row in page] == names
    assert [len(page) for page in pages] == [2, 2, 2, 1]


def test_a_page_token_that_was_made_up_is_refused(store):
    for token in ("x", "WzFd", "bm9uc2Vuc2U="):
        with pytest.raises(errors.InvalidInputError, match="page_token"):
            store.list(page_token=token)


def test_active_leaves_out_what_has_ended(store):
    for state in ("CREATED", "RUNNING", "BUDGET_EXHAUSTED", "SUCCEEDED", "FAILED", "CANCELLED"):
        store.create(record(f"campaigns/{state.lower()}", state=state))
    assert store.active() == ("campaigns/budget_exhausted", "campaigns/created", "campaigns/running")

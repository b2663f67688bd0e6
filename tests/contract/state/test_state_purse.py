import subprocess

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from actuary import errors
from actuary.state import purse

C = "campaigns/c"


@pytest.fixture
def store(db, clock):
    return purse.Purse(db, clock)


@pytest.fixture
def opened(store):
    store.open(C, {"human_labels": 100, "money_micros": 1000})
    return store


def free(store):
    return {account: balance.free for account, balance in store.balance(C).items()}


def test_a_reservation_is_taken_off_what_is_free(opened):
    opened.reserve(C, "job", {"money_micros": 400})
    assert free(opened) == {"human_labels": 100, "money_micros": 600}


def test_what_would_pass_the_budget_is_refused_with_its_figures_and_changes_nothing(opened):
    opened.reserve(C, "one", {"money_micros": 400, "human_labels": 10})
    opened.settle(C, "one", {"money_micros": 300, "human_labels": 10})
    opened.reserve(C, "two", {"money_micros": 200})
    before = opened.balance(C), opened.entries(C)
    with pytest.raises(errors.BudgetExceededError) as caught:
        opened.reserve(C, "three", {"human_labels": 5, "money_micros": 501})
    for part in ("money_micros", "1000", "200 reserved", "300 settled", "501", "500 are free"):
        assert part in caught.value.message
    assert caught.value.metadata["account"] == "money_micros"
    assert (opened.balance(C), opened.entries(C)) == before
    opened.reserve(C, "three", {"money_micros": 500})  # the key was not used up
    assert free(opened)["money_micros"] == 0


def test_settling_books_what_was_used_and_frees_the_rest(opened):
    opened.reserve(C, "batch", {"human_labels": 60, "money_micros": 600})
    opened.settle(C, "batch", {"human_labels": 40})
    assert opened.balance(C) == {
        "human_labels": purse.Balance(limit=100, reserved=0, settled=40),
        "money_micros": purse.Balance(limit=1000, reserved=0, settled=0),
    }


def test_every_call_may_be_repeated(opened):
    for _ in range(3):
        opened.open(C, {"human_labels": 100, "money_micros": 1000})
        opened.reserve(C, "k", {"money_micros": 600})
        opened.settle(C, "k", {"money_micros": 500})
        opened.raise_limits(C, "t", {"money_micros": 50})
    assert opened.balance(C)["money_micros"] == purse.Balance(limit=1050, reserved=0, settled=500)
    assert [entry.kind for entry in opened.entries(C)] == ["open", "reserve", "settle", "raise"]


def test_a_key_that_is_used_with_other_amounts_is_refused(opened):
    opened.reserve(C, "k", {"money_micros": 600})
    with pytest.raises(errors.AlreadyExistsError):
        opened.reserve(C, "k", {"money_micros": 601})
    opened.settle(C, "k", {"money_micros": 5})
    with pytest.raises(errors.AlreadyExistsError):
        opened.settle(C, "k", {"money_micros": 6})
    opened.raise_limits(C, "t", {"money_micros": 5})
    with pytest.raises(errors.AlreadyExistsError):
        opened.raise_limits(C, "t", {"human_labels": 5})
    with pytest.raises(errors.AlreadyExistsError):
        opened.open(C, {"human_labels": 7})


def test_more_than_was_reserved_is_never_settled(opened):
    opened.reserve(C, "k", {"money_micros": 600})
    with pytest.raises(errors.BudgetExceededError, match="600"):
        opened.settle(C, "k", {"money_micros": 601})
    with pytest.raises(errors.BudgetExceededError, match="human_labels"):
        opened.settle(C, "k", {"human_labels": 1})
    assert opened.balance(C)["money_micros"].reserved == 600


def test_settling_what_was_never_reserved_is_not_found(opened):
    with pytest.raises(errors.NotFoundError, match="'k'"):
        opened.settle(C, "k", {})


def test_a_top_up_makes_room(opened):
    opened.reserve(C, "k", {"human_labels": 100})
    opened.raise_limits(C, "t", {"human_labels": 20})
    opened.reserve(C, "l", {"human_labels": 20})
    assert free(opened)["human_labels"] == 0


def test_an_account_without_limit_holds_whatever_is_reserved(store):
    store.open(C, {"human_labels": 3})
    store.reserve(C, "k", {"money_micros": 10**15})
    store.raise_limits(C, "t", {"money_micros": 5})
    assert store.balance(C)["money_micros"] == purse.Balance(limit=None, reserved=10**15, settled=0)


def test_a_campaign_without_purse_and_an_unknown_account_are_refused(store):
    with pytest.raises(errors.NotFoundError, match="no purse"):
        store.reserve(C, "k", {"money_micros": 1})
    with pytest.raises(errors.NotFoundError):
        store.balance(C)
    with pytest.raises(errors.InvalidInputError, match="money_micros"):
        store.open(C, {"euros": 3})
    for amount in (-1, 2**63):
        with pytest.raises(errors.InvalidInputError):
            store.reserve(C, "k", {"money_micros": amount})


def test_purses_of_campaigns_are_apart(opened):
    opened.open("campaigns/d", {"human_labels": 1})
    opened.reserve("campaigns/d", "k", {"human_labels": 1})
    assert free(opened)["human_labels"] == 100


def test_many_threads_together_reserve_exactly_the_budget(opened, together):
    def one(key):
        try:
            opened.reserve(C, key, {"money_micros": 70, "human_labels": 1})
        except errors.BudgetExceededError:
            return 0
        return 70

    results = together(*[lambda key=f"k{place}": [one(key), one(key)] for place in range(20)])
    reserved = sum(first for first, _ in results)
    assert reserved == opened.balance(C)["money_micros"].reserved == 980
    assert opened.balance(C)["human_labels"].reserved == 14


_PROCESS = """
import random, sys
from actuary import errors
from actuary.state import database, purse
url, seed = sys.argv[1], int(sys.argv[2])
store, rng = purse.Purse(database.Database.open(url)), random.Random(seed)
for step in range(25):
    key, amount = f"{seed}-{step}", rng.randint(1, 60)
    try:
        store.reserve("campaigns/c", key, {"money_micros": amount})
    except errors.BudgetExceededError:
        continue
    if rng.random() < 0.7:
        store.settle("campaigns/c", key, {"money_micros": rng.randint(0, amount)})
"""


def test_several_processes_together_never_pass_the_budget(opened, url, python):
    processes = [subprocess.Popen([*python, _PROCESS, url, str(seed)]) for seed in range(3)]
    while any(process.poll() is None for process in processes):
        balance = opened.balance(C)["money_micros"]
        assert balance.reserved + balance.settled <= 1000
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert recount(opened) == opened.balance(C)


def recount(store):
    """The balance computed again from the entries alone."""
    limits, reserved, settled, open_keys = {}, {}, {}, {}
    for entry in store.entries(C):
        if entry.kind == "open":
            limits = dict(entry.amounts)
            reserved, settled = dict.fromkeys(limits, 0), dict.fromkeys(limits, 0)
        for account, amount in (entry.amounts if entry.kind != "open" else {}).items():
            if entry.kind == "reserve":
                reserved[account] += amount
            elif entry.kind == "raise" and limits[account] is not None:
                limits[account] += amount
            elif entry.kind == "settle":
                settled[account] += amount
        if entry.kind == "reserve":
            open_keys[entry.key] = entry.amounts
        elif entry.kind == "settle":
            for account, amount in open_keys.pop(entry.key).items():
                reserved[account] -= amount
    return {
        account: purse.Balance(limit=limits[account], reserved=reserved[account], settled=settled[account])
        for account in limits
    }


def test_any_order_of_calls_keeps_the_purse_within_its_limits(db):
    amounts = st.fixed_dictionaries({}, optional={account: st.integers(0, 40) for account in purse.ACCOUNTS})
    keys = st.sampled_from("abcdef")

    class Machine(RuleBasedStateMachine):
        number = 0

        def __init__(self):
            super().__init__()
            Machine.number += 1
            self.campaign = f"campaigns/c{Machine.number}"
            self.store = purse.Purse(db)
            self.store.open(self.campaign, {"human_labels": 50, "money_micros": 60})
            self.reserved, self.settled, self.raised = {}, {}, {}

        def expect(self, known, key, wanted, possible, call):
            """Runs a call and checks its outcome against the model."""
            wanted = {account: amount for account, amount in wanted.items() if amount}
            if key in known:
                if known[key] == wanted:
                    call()
                else:
                    with pytest.raises((errors.AlreadyExistsError, errors.BudgetExceededError)):
                        call()
            elif possible:
                call()
                known[key] = wanted
            else:
                with pytest.raises((errors.BudgetExceededError, errors.NotFoundError)):
                    call()

        def limit(self, account):
            start = {"human_labels": 50, "money_micros": 60}[account]
            return start + sum(add.get(account, 0) for add in self.raised.values())

        def taken(self, account):
            return sum(self.settled.get(key, asked).get(account, 0) for key, asked in self.reserved.items())

        @rule(key=keys, asked=amounts)
        def reserve(self, key, asked):
            fits = all(self.taken(account) + asked[account] <= self.limit(account) for account in asked)
            self.expect(
                self.reserved, key, asked, fits, lambda: self.store.reserve(self.campaign, key, asked)
            )

        @rule(key=keys, used=amounts)
        def settle(self, key, used):
            asked = self.reserved.get(key)
            fits = asked is not None and all(used[account] <= asked.get(account, 0) for account in used)
            self.expect(self.settled, key, used, fits, lambda: self.store.settle(self.campaign, key, used))

        @rule(key=st.sampled_from("xy"), add=amounts)
        def top_up(self, key, add):
            self.expect(self.raised, key, add, True, lambda: self.store.raise_limits(self.campaign, key, add))

        @invariant()
        def agrees_with_the_model(self):
            for account, balance in self.store.balance(self.campaign).items():
                assert balance.limit == self.limit(account)
                assert balance.reserved + balance.settled == self.taken(account) <= balance.limit

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=20,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("write", ["open", "reserve", "settle", "raise"])
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_process_killed_at_any_write_is_simply_run_again(db, url, python, monkeypatch, write, side):
    script = (
        "import sys; from actuary.state import database, purse;"
        "p = purse.Purse(database.Database.open(sys.argv[1]));"
        "p.open('campaigns/c', {'human_labels': 9, 'money_micros': 9});"
        "p.reserve('campaigns/c', 'k', {'human_labels': 8});"
        "p.settle('campaigns/c', 'k', {'human_labels': 7});"
        "p.raise_limits('campaigns/c', 't', {'human_labels': 6})"
    )
    monkeypatch.setenv("ACTUARY_FAILPOINT", f"purse.{write}.{side}")
    assert subprocess.run([*python, script, url], check=False).returncode == -9
    monkeypatch.delenv("ACTUARY_FAILPOINT")
    assert subprocess.run([*python, script, url], check=False).returncode == 0
    store = purse.Purse(db)
    assert store.balance(C)["human_labels"] == purse.Balance(limit=15, reserved=0, settled=7)
    assert len(store.entries(C)) == 4

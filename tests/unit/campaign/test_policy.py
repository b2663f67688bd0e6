import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actuary.campaign import policy, spec

MESSAGE = {
    "task": {"instruction": "?", "classes": [{"name": "a"}, {"name": "b"}]},
    "data": {"uri": "items.csv"},
    "annotator": {"model": {"kind": "null", "prices": {"input_micros_per_1000_tokens": "1"}}},
    "budget": {"human_labels": "100", "human_label_micros": "5"},
}


def view(children=None, *, waves=1, message=None, **fields):
    return policy.View(
        spec=spec.parse({**MESSAGE, **(message or {})}), children=children or {}, waves=waves, **fields
    )


def done(*keys, **more):
    return {key: policy.Child("SUCCEEDED", **more) for key in keys}


def keys(decision):
    return [step.key for step in decision.start]


UP_TO_QUOTE = ("import", "plan-w0", "annotate-w0", "review-w0", "critique-w0", "risk-w0", "quote-w0")


def everything(waves=1):
    return done(*(step.key for step in policy.steps(view().spec, waves)))


def test_a_new_campaign_imports_first():
    decision = policy.decide(view())
    assert keys(decision) == ["import"]
    assert (decision.state, decision.stage) == ("RUNNING", "import")


def test_the_pilot_is_annotated_while_people_label_it():
    decision = policy.decide(view(done("import", "plan-w0")))
    assert keys(decision) == ["annotate-w0", "review-w0"]
    assert decision.stage == "pilot"


def test_the_risk_model_waits_for_people_and_critic():
    children = done("import", "plan-w0", "annotate-w0", "critique-w0") | {
        "review-w0": policy.Child("RUNNING")
    }
    decision = policy.decide(view(children))
    assert keys(decision) == []
    assert decision.state == "WAITING_FOR_PEOPLE"


def test_replayed_reviewers_are_not_waited_for_as_people():
    children = done("import", "plan-w0", "annotate-w0", "critique-w0") | {
        "review-w0": policy.Child("RUNNING")
    }
    message = {"review": {"mode": "replay"}, "data": {"uri": "x.csv", "truth_column": "t"}}
    assert policy.decide(view(children, message=message)).state == "RUNNING"


def test_the_bulk_of_the_money_waits_for_approval_where_one_is_required():
    message = {"approval": "required"}
    waiting = policy.decide(view(done(*UP_TO_QUOTE), message=message))
    assert (waiting.state, keys(waiting)) == ("WAITING_FOR_APPROVAL", [])
    assert keys(policy.decide(view(done(*UP_TO_QUOTE), message=message, approved=True))) == ["annotate-w1"]


def test_without_approval_the_bulk_follows_the_quote():
    assert keys(policy.decide(view(done(*UP_TO_QUOTE)))) == ["annotate-w1"]


def test_a_campaign_ends_when_its_last_step_does():
    decision = policy.decide(view(everything()))
    assert (decision.state, decision.stage, decision.start) == ("SUCCEEDED", "done", ())


def test_running_out_of_money_is_an_end_with_results_and_no_failure():
    children = everything() | {"annotate-w1": policy.Child("SUCCEEDED", {"LABELLED": 5, "OVER_BUDGET": 3})}
    assert policy.decide(view(children)).state == "BUDGET_EXHAUSTED"


def test_a_top_up_appends_a_wave():
    decision = policy.decide(view(everything(), waves=2))
    assert keys(decision) == ["plan-w2"]
    assert (decision.state, decision.stage, decision.wave) == ("RUNNING", "plan", 2)


ERROR = {"code": "INTERNAL", "reason": "WORKER_FAILED", "message": "index 0: killed"}


def test_a_failed_job_ends_the_campaign_with_its_reason_and_lets_people_go_on():
    children = done("import", "plan-w0") | {
        "annotate-w0": policy.Child("FAILED", error=ERROR),
        "review-w0": policy.Child("RUNNING"),
    }
    decision = policy.decide(view(children))
    assert (decision.state, decision.error) == ("FAILED", ERROR)
    assert (decision.cancel, decision.start) == ((), ())


def test_a_failed_review_stops_the_machines_first_and_then_fails_the_campaign_with_its_own_reason():
    children = done("import", "plan-w0") | {
        "annotate-w0": policy.Child("RUNNING"),
        "review-w0": policy.Child("FAILED", error=ERROR),
    }
    decision = policy.decide(view(children))
    assert decision.state == "RUNNING"
    assert [step.key for step in decision.cancel] == ["annotate-w0"]
    children["annotate-w0"] = policy.Child("CANCELLED")
    decision = policy.decide(view(children))
    assert (decision.state, decision.error, decision.cancel) == ("FAILED", ERROR, ())


def test_a_job_that_somebody_cancelled_fails_its_campaign_instead_of_being_waited_for():
    children = done("import", "plan-w0", "review-w0") | {"annotate-w0": policy.Child("CANCELLED")}
    decision = policy.decide(view(children))
    assert decision.state == "FAILED"
    assert decision.error["reason"] == "JOB_CANCELLED"
    assert "annotate-w0 was cancelled" in decision.error["message"]


def test_a_pause_starts_nothing_and_cancels_nothing():
    children = done("import") | {"plan-w0": policy.Child("RUNNING")}
    decision = policy.decide(view(children, paused=True))
    assert (decision.state, decision.start, decision.cancel) == ("PAUSED", (), ())


def test_cancel_wins_over_everything():
    children = done("import") | {"plan-w0": policy.Child("FAILED"), "review-w0": policy.Child("RUNNING")}
    decision = policy.decide(view(children, cancelled=True, paused=True))
    assert decision.state == "RUNNING"
    assert [step.key for step in decision.cancel] == ["review-w0"]
    children["review-w0"] = policy.Child("CANCELLED")
    decision = policy.decide(view(children, cancelled=True, paused=True))
    assert (decision.state, decision.cancel) == ("CANCELLED", ())


@pytest.mark.parametrize(("failed", "state"), [(25, "RUNNING"), (26, "PAUSED")])
def test_more_failed_items_than_their_share_of_the_labels_pause_the_campaign(failed, state):
    children = done(*UP_TO_QUOTE) | {
        "annotate-w1": policy.Child("SUCCEEDED", {"LABELLED": 900, "FAILED": failed})
    }
    decision = policy.decide(view(children, human_labels=100))
    assert decision.state == state
    if state == "PAUSED":
        assert decision.error["reason"] == "TOO_MANY_FAILED_ITEMS"
        assert "26 items" in decision.error["message"]


def test_resuming_accepts_the_failed_items():
    children = done(*UP_TO_QUOTE) | {"annotate-w1": policy.Child("SUCCEEDED", {"FAILED": 99})}
    decision = policy.decide(view(children, human_labels=100, failures_accepted=True))
    assert keys(decision) == ["critique-w1"]


def test_no_training_means_no_training_step():
    graph = policy.steps(spec.parse({**MESSAGE, "training": {"model": "none"}}), 1)
    assert not [step for step in graph if step.kind == policy.Kind.TRAIN]
    assert next(step for step in graph if step.key == "report-w1").after == ("estimate-w1",)


@given(st.integers(1, 4), st.randoms())
def test_every_campaign_ends_whatever_order_its_jobs_end_in(waves, random):
    children: dict[str, policy.Child] = {}
    for _ in range(200):
        decision = policy.decide(view(dict(children), waves=waves))
        if decision.state == "SUCCEEDED":
            break
        for step in decision.start:
            assert step.key not in children
            assert all(children[key].state == "SUCCEEDED" for key in step.after)
            children[step.key] = policy.Child("RUNNING")
        running = [key for key, child in children.items() if child.state == "RUNNING"]
        if running:
            children[random.choice(running)] = policy.Child("SUCCEEDED")
    assert decision.state == "SUCCEEDED"
    assert len(children) == len(policy.steps(view().spec, waves))


def test_a_view_is_a_value():
    assert dataclasses.replace(view(), paused=True) == view(paused=True)


def test_a_campaign_that_failed_before_its_items_were_counted_may_get_another_spec():
    there, asked = {"data": {"uri": "a"}, "budget": {"human_labels": 9}}, {"data": {"uri": "b"}}
    assert policy.replaceable(policy.FAILED, {}, there, asked)
    assert policy.replaceable(policy.FAILED, {"children": {"import": {"state": "FAILED"}}}, there, asked)
    assert not policy.replaceable(policy.RUNNING, {}, there, asked)
    assert not policy.replaceable(policy.FAILED, {"budget": {"labels": 9}}, there, there)


def test_items_that_were_imported_stay_when_only_the_budget_is_mended():
    imported = {"children": {"import": {"state": "SUCCEEDED"}}}
    there = {"data": {"uri": "a"}, "budget": {"human_labels": 9}}
    assert policy.replaceable(policy.FAILED, imported, there, {"data": {"uri": "a"}, "budget": {}})
    assert not policy.replaceable(policy.FAILED, imported, there, {"data": {"uri": "b"}, "budget": {}})


PROVEN = {"guarantee": {"mode": "target", "max_error_rate": 0.05}}


def test_the_waves_of_a_guarantee_are_estimated_and_certified_once_at_the_end():
    graph = policy.steps(view(message=PROVEN).spec, 3)
    assert [step.key for step in graph if step.wave > 0] == [
        "annotate-w1", "critique-w1",
        "plan-w1", "review-w1", "plan-w2", "review-w2", "plan-w3", "review-w3",
        "estimate-w3", "certificate-w3", "train-w3", "report-w3",
    ]  # fmt: skip


def test_a_further_wave_of_a_guarantee_waits_for_the_answers_to_the_one_before():
    before = done(*UP_TO_QUOTE, "annotate-w1", "critique-w1", "plan-w1")
    running = policy.decide(view(before | {"review-w1": policy.Child("RUNNING")}, waves=2, message=PROVEN))
    assert keys(running) == []
    assert keys(policy.decide(view(before | done("review-w1"), waves=2, message=PROVEN))) == ["plan-w2"]
    last = before | done("review-w1", "plan-w2", "review-w2")
    assert keys(policy.decide(view(last, waves=2, message=PROVEN))) == ["estimate-w2"]


def test_labels_that_did_not_suffice_for_the_proof_exhaust_the_budget():
    message = {**PROVEN, "training": {"model": "none"}}
    graph = policy.steps(view(message=message).spec, 1)
    children = done(*(step.key for step in graph))
    assert policy.decide(view(children, message=message)).state == "SUCCEEDED"
    assert policy.decide(view(children, message=message, exhausted=True)).state == "BUDGET_EXHAUSTED"

"""What campaigns show: last values that stay, and gauges of those that have not ended."""

from __future__ import annotations

from actuary import metrics
from actuary.campaign import figures
from actuary.state import campaigns, purse

RISK = {
    "auroc": {"estimate": 0.8},
    "calibrated": {
        "expected_calibration_error": 0.05,
        "bins": [{"items": 30.0, "observed": 0.1}, {"items": 10.0, "observed": 0.5}],
    },
}


def results(state="SUCCEEDED", **outcome):
    return {"children": {"risk-w0": {"state": state, "resource": {"figures": RISK}}}, "outcome": outcome}


def test_an_estimate_is_shown_when_it_is_new():
    outcome = {"machine_accuracy": {"estimate": 0.8, "low": 0.7, "high": 0.9}, "unlabelled_rate": 0.01}
    found = figures.last_values({}, {"outcome": outcome})
    assert found == {
        metrics.ESTIMATE.key(figure="machine_accuracy", bound="estimate"): 0.8,
        metrics.ESTIMATE.key(figure="machine_accuracy", bound="low"): 0.7,
        metrics.ESTIMATE.key(figure="machine_accuracy", bound="high"): 0.9,
        metrics.UNLABELLED_RATE.key(): 0.01,
        metrics.ESTIMATE_COST_MICROS.key(payer="machine"): 0.0,
        metrics.ESTIMATE_COST_MICROS.key(payer="human"): 0.0,
    }
    assert figures.last_values({"outcome": outcome}, {"outcome": outcome}) == {}


def test_an_estimate_is_shown_with_what_had_been_paid_for_it_by_whom():
    spent = {"annotate-w0": 300, "review-w0": 5_000, "critique-w0": 20, "review-w1": 1_000, "plan-w1": None}
    children = {key: {} if micros is None else {"spent_micros": micros} for key, micros in spent.items()}
    found = figures.last_values({}, {"outcome": {"unlabelled_rate": 0.0}, "children": children})
    assert found[metrics.ESTIMATE_COST_MICROS.key(payer="machine")] == 320
    assert found[metrics.ESTIMATE_COST_MICROS.key(payer="human")] == 6_000


def test_a_critic_is_shown_once_its_risk_model_is_done():
    assert figures.last_values({}, results("RUNNING")) == {}
    found = figures.last_values({}, results())
    assert found == {
        metrics.CRITIC.key(figure="auroc"): 0.8,
        metrics.CRITIC.key(figure="expected_calibration_error"): 0.05,
        metrics.CRITIC.key(figure="error_rate"): 0.2,
    }
    assert figures.last_values(results(), results()) == {}


def test_a_critic_that_found_no_error_has_no_auroc():
    resource = {"figures": {"calibrated": {"bins": [], "expected_calibration_error": None}}}
    assert (
        figures.last_values({}, {"children": {"risk-w0": {"state": "SUCCEEDED", "resource": resource}}}) == {}
    )


def test_budgets_of_active_campaigns_add_up_and_no_limit_promises_nothing():
    def row(stage):
        return campaigns.CampaignRecord(name="c", spec={}, spec_digest="", stage=stage)

    limited = purse.Balance(limit=100, reserved=20, settled=30)
    unlimited = purse.Balance(limit=None, reserved=2**50, settled=7)
    shown = figures.gauges(
        {"RUNNING": 2, "FAILED": 1},
        [(row("review"), {"human_labels": limited, "money_micros": unlimited}), (row(""), {})],
    )
    assert shown[metrics.CAMPAIGNS.key(state="RUNNING")] == 2
    assert shown[metrics.CAMPAIGNS.key(state="PAUSED")] == 0
    assert shown[metrics.CAMPAIGNS_AT.key(stage="review")] == 1
    assert shown[metrics.CAMPAIGNS_AT.key(stage="import")] == 1
    parts = {
        part: shown[metrics.BUDGET.key(account="human_labels", part=part)]
        for part in metrics.BUDGET.labels["part"]
    }
    assert parts == {"settled": 30, "reserved": 20, "left": 50, "limit": 100}
    assert shown[metrics.BUDGET.key(account="money_micros", part="limit")] == 0
    assert shown[metrics.BUDGET.key(account="money_micros", part="reserved")] == 0
    assert shown[metrics.BUDGET.key(account="money_micros", part="settled")] == 7


def test_a_campaign_that_used_all_its_money_is_no_open_budget_any_more():
    row = campaigns.CampaignRecord(
        name="c", spec={}, spec_digest="", state="BUDGET_EXHAUSTED", stage="done", wave=1
    )
    used = purse.Balance(limit=100, reserved=0, settled=100)
    shown = figures.gauges({"BUDGET_EXHAUSTED": 1}, [(row, {"money_micros": used})])
    assert shown[metrics.CAMPAIGNS.key(state="BUDGET_EXHAUSTED")] == 1
    assert {key: value for key, value in shown.items() if value} == {
        metrics.CAMPAIGNS.key(state="BUDGET_EXHAUSTED"): 1
    }


def test_a_total_that_nothing_was_added_to_is_zero():
    key = metrics.COST_MICROS.key(stage="annotate", payer="machine")
    shown = figures.totals({key: 5.0})
    assert shown[key] == 5.0
    assert shown[metrics.COST_MICROS.key(stage="review", payer="human")] == 0.0

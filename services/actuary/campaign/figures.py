"""What campaigns say about the work, as figures. Pure.

Last values (an estimate, how good a critic is) are kept with the row that brought them, so that they are
there after a restart; gauges follow from the campaigns that have not ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from actuary import metrics
from actuary.state import campaigns as campaign_state
from actuary.state import purse as purses

KEPT = (
    metrics.COST_MICROS,
    metrics.ESTIMATE,
    metrics.ESTIMATE_COST_MICROS,
    metrics.UNLABELLED_RATE,
    metrics.CRITIC,
)
_RISK = "risk-w0"
"""Key of the step that fits the risk model."""
_REVIEW = "review-"
"""What the keys of reviews begin with."""


def paid(stage: str, payer: str, micros: int) -> dict[metrics.Key, float]:
    """What a settlement adds."""
    return {metrics.COST_MICROS.key(stage=stage, payer=payer): float(micros)}


def last_values(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[metrics.Key, float]:
    """What a campaign has found since its results were `before`: an estimate, a risk model."""
    found: dict[metrics.Key, float] = {}
    outcome = after.get("outcome", {})
    if outcome and outcome != before.get("outcome"):
        for figure in metrics.ESTIMATE.labels["figure"]:
            for bound in metrics.ESTIMATE.labels["bound"]:
                if outcome.get(figure, {}).get(bound) is not None:
                    found[metrics.ESTIMATE.key(figure=figure, bound=bound)] = float(outcome[figure][bound])
        found[metrics.UNLABELLED_RATE.key()] = float(outcome.get("unlabelled_rate") or 0.0)
        found |= _spent(after.get("children", {}))
    risk = _risk_figures(after)
    if risk and risk != _risk_figures(before):
        found |= {metrics.CRITIC.key(figure=name): value for name, value in _critic(risk).items()}
    return found


def gauges(
    counts: Mapping[str, int],
    active: Iterable[tuple[campaign_state.CampaignRecord, Mapping[str, purses.Balance]]],
) -> dict[metrics.Key, float]:
    """How campaigns stand.

    Args:
        counts: how many there are in each state that one is in.
        active: those that have work, with their purses, which are empty before the items are counted. One
            that did all it had money for is among them until a top-up, and has ended as far as figures go.
    """
    values = metrics.CAMPAIGNS.zeros() | metrics.CAMPAIGNS_AT.zeros() | metrics.BUDGET.zeros()
    for state, count in counts.items():
        values[metrics.CAMPAIGNS.key(state=state)] = count
    for record, balances in active:
        stage = record.stage or "import"
        if stage not in metrics.STAGES:
            continue
        values[metrics.CAMPAIGNS_AT.key(stage=stage)] += 1
        for account, balance in balances.items():
            parts = {"settled": balance.settled, "reserved": balance.reserved, "left": balance.free or 0}
            parts["limit"] = balance.limit or 0
            if balance.limit is None:  # what is reserved then is only a bound that nobody reaches
                parts["reserved"] = 0
            for part, amount in parts.items():
                values[metrics.BUDGET.key(account=account, part=part)] += amount
    return values


def totals(kept: Mapping[metrics.Key, float]) -> dict[metrics.Key, float]:
    """What is kept; a total that nothing was added to is 0, a last value that nobody found is absent."""
    return {**metrics.COST_MICROS.zeros(), **kept}


def _risk_figures(results: Mapping[str, Any]) -> Mapping[str, Any]:
    child = results.get("children", {}).get(_RISK, {})
    figures: Mapping[str, Any] = child.get("resource", {}).get("figures", {})
    return figures if child.get("state") == "SUCCEEDED" else {}


def _spent(children: Mapping[str, Mapping[str, Any]]) -> dict[metrics.Key, float]:
    found = metrics.ESTIMATE_COST_MICROS.zeros()
    for key, child in children.items():
        payer = "human" if key.startswith(_REVIEW) else "machine"
        found[metrics.ESTIMATE_COST_MICROS.key(payer=payer)] += float(child.get("spent_micros", 0))
    return found


def _critic(risk: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    if risk.get("auroc", {}).get("estimate") is not None:
        found["auroc"] = float(risk["auroc"]["estimate"])
    calibrated = risk.get("calibrated", {})
    if calibrated.get("expected_calibration_error") is not None:
        found["expected_calibration_error"] = float(calibrated["expected_calibration_error"])
    items = sum(float(each["items"]) for each in calibrated.get("bins", ()))
    if items:
        wrong = sum(float(each["items"]) * float(each["observed"]) for each in calibrated["bins"])
        found["error_rate"] = wrong / items
    return found

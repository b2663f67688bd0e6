"""A quote covers the accuracy that its budget then reaches: 5,000 pilots a case of a frozen pool.

What is promised is the accuracy that the rule reaches on the items outside the pilot, on average over its
draw; so a case costs a quote, and the rule's probabilities for the others.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import replays

from actuary.stats import draws, quote, rules

ITEMS = 400


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """A pool, its critic, and a budget."""

    rule: str = "threshold"
    critic: str = "calibrated"
    rate: float = 0.25
    """Mean of the true risks."""
    blind: float = 0.0
    """Share of items with a risk of .4 that the critic puts at .002."""
    pilot: int = 60
    audit: int = 30
    budget: int = 160


CASES = [
    *(Case(rule=rule) for rule in ("uniform", "normalised", "exponential", "square-root")),
    *(Case(critic=critic) for critic in ("calibrated", "overconfident", "useless", "adversarial")),
    *(Case(rule="hybrid", critic=critic) for critic in ("calibrated", "overconfident", "adversarial")),
    Case(rate=0.01),
    Case(pilot=30, audit=0),
    Case(blind=0.1, budget=280),
    Case(rule="hybrid", blind=0.1, budget=280),
    Case(rule="normalised", rate=0.01),
    Case(rule="normalised", pilot=30, audit=0),
]


def name(case: Case) -> str:
    """What a case changes."""
    changed = dataclasses.asdict(case)
    return ", ".join(
        str(changed[f.name]) if f.name in ("rule", "critic") else f"{f.name} {changed[f.name]}"
        for f in dataclasses.fields(Case)
        if f.name == "rule" or changed[f.name] != f.default
    )


def pool(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Errors and what the critic says, [N]."""
    rng = np.random.default_rng(12)
    true = rng.beta(0.8, 0.8 * (1 - case.rate) / case.rate, ITEMS)
    hidden = rng.random(ITEMS) < case.blind
    true = np.where(hidden, 0.4, true)
    wrong = rng.random(ITEMS) < true
    eps = {
        "calibrated": true,
        "overconfident": true**3 / (true**3 + (1 - true) ** 3),
        "useless": rng.permutation(true),
        "adversarial": 1 - true,
    }[case.critic]
    return wrong, np.where(hidden, 0.002, eps)


def reached(case: Case, plan: quote.Plan, wrong, eps, rng) -> float:
    """The accuracy of all N that a budget reaches by reviewing some of the items outside the pilot."""
    audited = np.zeros(wrong.size, dtype=bool)
    if case.audit:
        audited = draws.srs(rng.random(wrong.size), case.audit).selected
    wrong, eps = wrong[~audited], eps[~audited]
    labels, tie = case.budget - case.pilot - case.audit, rng.random(wrong.size)
    if case.rule == "threshold":
        pi = rules.pi_threshold(eps, labels, tie).pi
    else:
        pi = plan.inclusion(eps, labels, tie).pi
    return 1 - float(wrong @ (1 - pi)) / ITEMS


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=name)
def test_a_quote_covers_what_the_campaign_then_reaches(case):
    wrong, eps = pool(case)
    plan = quote.Plan(rule=case.rule, audit=case.audit, beta=10.0)
    rng, hits = np.random.default_rng(case.budget), 0
    for _ in range(replays.REPLAYS):
        order = rng.permutation(ITEMS)
        pilot, others = order[: case.pilot], order[case.pilot :]
        (point,) = quote.curve(wrong[pilot], eps[pilot], ITEMS, [case.budget], plan)
        hits += point.low <= reached(case, plan, wrong[others], eps[others], rng) <= point.high

    assert hits >= replays.enough(replays.REPLAYS)

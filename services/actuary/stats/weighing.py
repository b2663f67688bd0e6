"""How a wave's draw weighs items: a rule with its parameters, and the size measures that follow from it.

They follow from the frozen risks and the record of the plan alone, so that an estimate knows those of items
that were not drawn, and anybody can compute them again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from actuary.stats import checks, robust, rules

RULES = ("uniform", "normalised", "exponential", "threshold", "square-root", "hybrid")

DEFAULT = "hybrid"
"""Where nobody names a rule: it finds about as many errors as the threshold with an audit beside it, and from
its labels alone one can tell how many are left (tests/benchmarks/sampler/bench_campaigns.py)."""

PROVING = "threshold"
"""Where nobody names a rule and something is to be proven: reviewed from the most suspicious item down."""

SMALLEST_SCORE = 1e-12
"""Of the largest: items of score 0 could never be drawn; the limit of a vanishing risk is drawn last."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Weighing:
    """A rule and what it needs; parameters of other rules are ignored."""

    rule: str = DEFAULT
    """One of `RULES`."""
    beta: float = 10.0
    """Steepness of `exponential`."""
    gamma: float = robust.GAMMA
    """Part of the mean in the variance that `square-root` and `hybrid` expect, against confident mistakes."""
    audit_share: float = 0.4
    """Share of its labels that `hybrid` draws; the others take the most suspicious items. With .4 it finds
    about as many errors as the threshold with a uniform audit of as many, and intervals are about as wide."""

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Weighing:
        """Reads it from a message `Sampling` in JSON form, or from the design of a plan."""
        default = cls()
        return cls(
            rule=str(record.get("rule") or default.rule),
            beta=float(record.get("beta", default.beta)),
            gamma=float(record.get("gamma", default.gamma)),
            audit_share=float(record.get("audit_share", default.audit_share)),
        )

    def to_record(self) -> dict[str, Any]:
        """Returns it as JSON values, for the design of a plan."""
        return dataclasses.asdict(self)

    def inclusion(
        self, eps: checks.Floats, budget: float, tie: checks.Floats, cost: checks.Floats | None = None
    ) -> rules.Inclusion:
        """What the rule says of drawing from some items.

        Args:
            eps: risks, [M].
            budget: items to draw, in [1, M]; with costs money in their unit, in (0, Σc].
            tie: random numbers that break ties of risk, [M].
            cost: c, [M], above 0; None for 1 each.

        Returns:
            Probabilities, size measures, and the items to take for certain, if any.

        Raises:
            ValueError: as the rule, or for `threshold`, which draws nothing (`rules.pi_threshold`).

        >>> by_risk = Weighing(rule="normalised")
        >>> by_risk.inclusion(np.array([0.6, 0.3]), 1, np.array([0.1, 0.2])).pi.round(3).tolist()
        [0.667, 0.333]
        """
        if self.rule == "uniform":
            return rules.pi_uniform(len(eps), budget, cost)
        if self.rule == "normalised":
            return rules.pi_normalised(eps, budget, cost)
        if self.rule == "exponential":
            return rules.pi_exponential(eps, budget, self.beta, cost)
        if self.rule == "square-root":
            return robust.pi_sqrt(eps, budget, cost, gamma=self.gamma)
        if self.rule == "hybrid":
            return robust.pi_hybrid(eps, budget, tie, cost, audit=self.audit_share, gamma=self.gamma)
        raise ValueError(f"rule: expected one that draws, got {self.rule!r}")


def scores(inclusion: rules.Inclusion) -> checks.Floats:
    """Size measures that every item can be drawn with, [M].

    >>> scores(rules.pi_normalised([0.5, 0.0], 1)).tolist()
    [1.0, 1e-12]
    """
    return np.maximum(inclusion.score, np.max(inclusion.score) * SMALLEST_SCORE)


def rule_of(campaign: Mapping[str, Any]) -> str:
    """The rule that a campaign names, or the default.

    Args:
        campaign: the message `Campaign` in JSON form.

    >>> rule_of({}), rule_of({"guarantee": {"mode": "budget"}}), rule_of({"sampling": {"rule": "uniform"}})
    ('hybrid', 'threshold', 'uniform')
    """
    named = campaign.get("sampling", {}).get("rule")
    return str(named or (PROVING if campaign.get("guarantee") else DEFAULT))

"""Families of inclusion probabilities that rise with one constant θ: the rules before a budget fixes θ.

Each is element by element, so that a chunk needs nothing of other chunks, and uses only operations that
IEEE 754 rounds correctly (the exponential rule's exponential excepted), so that π of an item is the same bits
wherever it is computed. `levels` finds θ for a budget.

References:
    algorithms.md 3.2. ACT (arXiv 2511.09833), normalised and exponential rules.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Protocol

import numpy as np

from actuary.stats import checks


class Family(Protocol):
    """π_i(θ), rising in θ >= 0."""

    @property
    def floor(self) -> float:
        """The least π of any item."""
        ...

    def pi(self, risk: checks.Floats, cost: checks.Floats | None, theta: float) -> checks.Floats:
        """Returns π, [n], of items with these risks and costs (None: all 1)."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Proportional:
    """π = min(1, θ ε): the paper's normalised rule, water-filled; θ is κ.

    >>> Proportional().pi(np.array([0.1, 0.9]), None, 2.0).tolist()
    [0.2, 1.0]
    """

    rest: float = 0.0
    """π of items of risk 0, where the budget reaches past all others."""
    floor: float = dataclasses.field(default=0.0, init=False)

    def pi(self, risk: checks.Floats, cost: checks.Floats | None, theta: float) -> checks.Floats:
        """See `Family`."""
        pi = np.minimum(1.0, theta * risk)
        return np.where(risk > 0.0, pi, self.rest) if self.rest else pi


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SquareRoot:
    """π = clip(θ (v/c)^1/2, floor, 1), v = (1 - γ) ε + γ mean ε: the robust square-root rule; θ is κ.

    >>> SquareRoot(mean=0.5, gamma=0.5).pi(np.array([0.0, 1.0]), None, 1.0).round(3).tolist()
    [0.5, 0.866]
    """

    mean: float
    """Mean ε of the items that the rule is for. Where it is 0, so is every risk: v is then 1 for all."""
    gamma: float = 0.3
    floor: float = 0.0

    def __post_init__(self) -> None:
        checks.within("mean, gamma, floor", [self.mean, self.gamma, self.floor], 0.0, 1.0)

    def variance(self, risk: checks.Floats) -> checks.Floats:
        """The predicted variance v, [n], above 0."""
        if self.mean == 0.0:
            return np.ones(risk.shape)
        v = risk * (1.0 - self.gamma)
        v += self.gamma * self.mean
        return v

    def size(self, risk: checks.Floats, cost: checks.Floats | None) -> checks.Floats:
        """The size measure s = (v/c)^1/2, [n], before floor and ceiling."""
        v = self.variance(risk)
        if cost is not None:
            v /= cost
        return np.sqrt(v, out=v)

    def pi(self, risk: checks.Floats, cost: checks.Floats | None, theta: float) -> checks.Floats:
        """See `Family`."""
        return np.clip(theta * self.size(risk, cost), self.floor, 1.0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lagrange:
    """π = (λ v/(μ c - ε))^1/2 where that is below 1, else 1, at least the floor; θ = 1/μ.

    It maximises Σ π ε - λ Σ v/π for Σ c π = B: accuracy, and λ times the precision of the estimate.

    >>> Lagrange(lam=0.5, mean=0.5, gamma=0.0).pi(np.array([0.5, 1.0]), None, 0.5).round(3).tolist()
    [0.408, 0.707]
    """

    lam: float
    """λ > 0: towards 0 the threshold rule, towards infinity the square root."""
    mean: float
    gamma: float = 0.3
    floor: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 < self.lam < math.inf:
            raise ValueError(f"lam: expected a finite number above 0, got {self.lam}")
        SquareRoot(mean=self.mean, gamma=self.gamma, floor=self.floor)

    def pi(self, risk: checks.Floats, cost: checks.Floats | None, theta: float) -> checks.Floats:
        """See `Family`."""
        v = self.lam * SquareRoot(mean=self.mean, gamma=self.gamma).variance(risk)
        slack = (1.0 if cost is None else cost) / np.float64(theta) - risk
        pi = np.ones(risk.shape)
        np.divide(v, slack, out=pi, where=slack > v)
        return np.maximum(np.sqrt(pi), self.floor)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Exponential:
    """π = 1/(1 + exp(-β (ε - α))), α = most - θ: the paper's soft threshold.

    >>> Exponential(beta=10.0, most=1.5).pi(np.array([0.5]), None, 1.0).tolist()
    [0.5]
    """

    beta: float
    """β, (0, 1e5]."""
    most: float
    """An α at which hardly anything is selected: θ counts down from it, so that π rises with θ."""
    floor: float = dataclasses.field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if not 0.0 < self.beta <= 1e5:
            raise ValueError(f"beta: expected a number in (0, 1e5], got {self.beta}")

    def alpha(self, theta: float) -> float:
        """The α of θ."""
        return self.most - theta

    def pi(self, risk: checks.Floats, cost: checks.Floats | None, theta: float) -> checks.Floats:
        """See `Family`."""
        x = (risk - self.alpha(theta)) * -self.beta
        with np.errstate(over="ignore"):  # exp(710) is inf, and π is 0
            return np.asarray(1.0 / (1.0 + np.exp(x)))

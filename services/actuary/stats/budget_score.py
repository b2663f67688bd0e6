"""The paper's metrics of a critic, AQG and ABS, from full truth or off-policy from a reviewed sample.

    AQG(b) = (1/N) Σ_i π_b(i) d_i             gain in accuracy when the most suspicious share b is reviewed
    b*     = e0 = (1/N) Σ_i d_i               the ideal budget: an oracle would need no more
    ABS    = ∫_0^b* AQG / ∫_0^b* min(b, e0) = (2/e0²) ∫_0^b* AQG,    excess = (ABS - e0)/(1 - e0)

π_b(i) needs risks only, which all items have; so the truth enters through totals of d alone, and a sample of
any design gives them by its weights g, whatever it was drawn for. Standard errors are those of the linearised
totals. Reviewed items must have been labelled by a random design; risks that were fitted on them must be out
of fold (8.12).

`quality` has the measures that need no budget.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from actuary.stats import checks


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A number with its standard error; 0 from full truth."""

    value: float
    se: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BudgetScore:
    """What a critic reaches of what an oracle would, on budgets up to the ideal one."""

    ideal_budget: Measured
    """b* = e0, the machine's error rate."""
    ratio: Measured
    """ABS: a random critic has e0, an oracle 1."""
    excess: Measured
    """0 for a random critic, 1 for an oracle."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """The area under a curve of gains, as two ratios."""

    ratio: float
    """A/A_oracle: that of a random critic is the machine's error rate on [0, e0], not 0."""
    excess: float
    """(A - A_random)/(A_oracle - A_random): 0 for a random critic, 1 for an oracle."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Reviewed:
    """Shares of all items before and up to the tie of each reviewed item, in the order of suspicion."""

    before: checks.Floats
    upto: checks.Floats
    wrong: checks.Floats
    g: checks.Floats

    def mean(self, values: checks.Floats) -> float:
        return float((self.g * values).sum() / self.g.sum())

    def se(self, influence: checks.Floats) -> float:
        """Standard error of a weighted mean: g (g - 1) is (1 - π)/π², 0 for items of g = 1."""
        spread = np.maximum(self.g * (self.g - 1.0), 0.0) * (influence - self.mean(influence)) ** 2
        return math.sqrt(float(spread.sum())) / float(self.g.sum())

    def reviewed(self, share: float) -> checks.Floats:
        """π_b at b = share: within a tie the gain is linear."""
        inside = (share - self.before) / (self.upto - self.before)
        share_reviewed: checks.Floats = np.clip(inside, 0.0, 1.0)
        return share_reviewed

    def area(self, share: float) -> checks.Floats:
        """∫_0^share π_b db."""
        inside = np.clip(share, self.before, self.upto) - self.before
        beyond = np.maximum(share - self.upto, 0.0)
        integral: checks.Floats = inside**2 / (2.0 * (self.upto - self.before)) + beyond
        return integral


def _reviewed(eps: npt.ArrayLike, at: npt.ArrayLike, wrong: npt.ArrayLike, g: npt.ArrayLike) -> _Reviewed:
    risk = checks.risks("eps", eps)
    index = checks.indexes("at", at, 0, risk.size)
    if index.size == 0 or np.unique(index).size != index.size:
        raise ValueError(f"at: expected different items, at least one, got {index.size} of which some repeat")
    flags = checks.flags("wrong", wrong, size=index.size)
    weight = checks.sizes("g", g, size=index.size)
    if not weight.sum() > 0.0:
        raise ValueError("g: expected at least one weight above 0, got none")
    ordered = np.sort(risk)
    before = risk.size - np.searchsorted(ordered, risk[index], side="right")
    upto = risk.size - np.searchsorted(ordered, risk[index], side="left")
    return _Reviewed(
        before=before / risk.size, upto=upto / risk.size, wrong=flags.astype(np.float64), g=weight
    )


def gain(
    eps: npt.ArrayLike, at: npt.ArrayLike, wrong: npt.ArrayLike, g: npt.ArrayLike, shares: npt.ArrayLike
) -> tuple[Measured, ...]:
    """AQG(b) at some budgets, each with its standard error.

    Args:
        eps: ε of all items, shape [N], in [0, 1].
        at: indexes of the reviewed items, shape [S], different.
        wrong: their d, shape [S].
        g: their weights (`designs.weights`), shape [S]; 1 for each of all N items is full truth.
        shares: b, shape [G], in [0, 1].

    Returns:
        One a share, in their order.

    Raises:
        ValueError: a value out of range, lengths differ, an item twice, or no weight above 0.

    References:
        ACT (arXiv 2511.09833), as algorithms.md section 1 reads it; linearisation: Särndal, Swensson, Wretman
        (1992), section 5.5.

    >>> [m.value for m in gain([0.9, 0.5, 0.5, 0.1], [0, 1, 2, 3], [1, 1, 0, 0], [1] * 4, [0.25, 0.5])]
    [0.25, 0.375]
    """
    sample = _reviewed(eps, at, wrong, g)
    grid = checks.within("shares", shares, 0.0, 1.0)
    found = [sample.wrong * sample.reviewed(float(b)) for b in grid]
    return tuple(Measured(value=sample.mean(each), se=sample.se(each)) for each in found)


def area(gains: npt.ArrayLike, shares: npt.ArrayLike, error_rate: float) -> Area:
    """ABS of the gains of any rule, on the budgets of a grid.

    A = ∫ AQG by trapezoids; A_oracle = ∫ min(b, e0) and A_random = ∫ b e0 exactly. `score` is that of the
    most suspicious first up to b = e0, without a grid and from a sample.

    Args:
        gains: AQG, shape [G].
        shares: b, shape [G], increasing, in [0, 1].
        error_rate: e0 in (0, 1), the machine's error rate.

    Returns:
        Ratio and excess.

    Raises:
        ValueError: fewer than two shares, not increasing, or e0 outside (0, 1).

    References:
        ACT (arXiv 2511.09833); algorithms.md section 1 for the excess.

    >>> found = area([0.0, 0.05, 0.1], [0.0, 0.1, 0.2], 0.5)
    >>> round(found.ratio, 6), round(abs(found.excess), 6)
    (0.5, 0.0)
    """
    b = checks.within("shares", shares, 0.0, 1.0)
    if b.size < 2 or not (np.diff(b) > 0.0).all():
        raise ValueError("shares: expected at least two, increasing")
    curve = checks.floats("gains", gains, size=b.size)
    e0 = checks.share("error_rate", error_rate)
    under = float(np.trapezoid(curve, b))

    def oracle(x: float) -> float:
        return x * x / 2.0 if x <= e0 else e0 * e0 / 2.0 + (x - e0) * e0

    best = oracle(float(b[-1])) - oracle(float(b[0]))
    random = e0 * (float(b[-1]) ** 2 - float(b[0]) ** 2) / 2.0
    return Area(ratio=under / best, excess=(under - random) / (best - random))


def score(eps: npt.ArrayLike, at: npt.ArrayLike, wrong: npt.ArrayLike, g: npt.ArrayLike) -> BudgetScore:
    """ABS with the ideal budget as its range; both from the same sample.

    With A = mean of d ∫_0^e0 π_b db, the ratio is 2A/e0², whose influence of an item is
    d (2 (∫π + AQG(e0))/e0² - 4A/e0³): the range itself moves with e0.

    Args:
        eps: ε of all items, shape [N], in [0, 1].
        at: indexes of the reviewed items, shape [S], different.
        wrong: their d, shape [S].
        g: their weights, shape [S].

    Returns:
        b*, ratio and excess with standard errors. At least some 30 errors should have been found: the errors
        are large-sample ones.

    Raises:
        ValueError: as `gain`, or all reviewed labels right, or all wrong, where no budget helps or all do.

    References:
        As `gain`.

    >>> found = score([0.9, 0.5, 0.5, 0.1], [0, 1, 2, 3], [1, 1, 0, 0], [1] * 4)
    >>> found.ideal_budget.value, found.ratio.value, found.excess.value
    (0.5, 0.875, 0.75)
    """
    sample = _reviewed(eps, at, wrong, g)
    d = sample.wrong
    e0 = sample.mean(d)
    if not 0.0 < e0 < 1.0:
        raise ValueError(
            f"wrong: expected right and wrong labels with weight, got an error rate of {e0:g}: review more"
        )
    under = sample.area(e0)
    a, at_e0 = sample.mean(d * under), sample.mean(d * sample.reviewed(e0))
    ratio = 2.0 * a / e0**2
    influence = d * (2.0 * (under + at_e0) / e0**2 - 4.0 * a / e0**3)
    excess = (ratio - e0) / (1.0 - e0)
    of_excess = (influence + d * (ratio - 1.0) / (1.0 - e0)) / (1.0 - e0)
    return BudgetScore(
        ideal_budget=Measured(value=e0, se=sample.se(d)),
        ratio=Measured(value=ratio, se=sample.se(influence)),
        excess=Measured(value=excess, se=sample.se(of_excess)),
    )

"""The one constant of a rule, solved for from chunks: Σ c_i π_i(θ) = B without the pool in memory.

Each rule that spreads a budget is a family π_i(θ) that rises with one constant θ >= 0 (`families`). What a
trial value would spend is a sum over all items; as a sum of whole numbers (`words.total`) it is the same in
every order, so the solved θ is the same to the last bit whatever the chunks, and one chunk in memory gives
the same θ as a thousand shards. That is the definition of the constant, in memory too.

A trial costs a pass, so most trials are made on a sketch instead: a count of items by (risk, cost) in cells
of 1.6 % by 12 %. Its solution starts the true one some thousandths away, and two or three passes end it.

The module draws nothing: probabilities of any chunk follow from θ and the family.

References:
    algorithms.md sections 3.2 and 5. Safeguarded secant steps: Brent (1973), Algorithms for Minimization
    without Derivatives, chapter 4.
"""

from __future__ import annotations

import dataclasses
import fractions
import math
from collections.abc import Callable, Generator, Iterable, Sequence

import numpy as np

from actuary.stats import checks, families, orders, words

TOLERANCE = 2.0**-33
"""|Σ c π - B| is at most this share of B: 1.2e-10."""

_RISK_CELLS = 2048
_COST_CELLS = 512
_RISK_SHIFT = 46  # 6 bits of mantissa
_COST_SHIFT = 49  # 3 bits of mantissa
_ONE = 0x3FF0_0000_0000_0000
_RISK_BASE = (_ONE >> _RISK_SHIFT) - (_RISK_CELLS - 1)
_COST_BASE = _ONE >> _COST_SHIFT
_FINE_BITS = 72
"""A trial's spending is compared in units of 2^-72."""
_LARGEST = float(np.finfo(np.float64).max)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """A chunk of n items as a rule sees them."""

    risk: checks.Floats
    """ε, [n], in [0, 1]."""
    cost: checks.Integers | None = None
    """c, whole numbers of at least 1, [n]; None where the budget counts items."""


Passes = Callable[[], Iterable[Priced]]
"""Gives a new pass over all chunks; in any order, but always of the same items."""

_Trials = Generator[float, int | float, tuple[float, int | float]]


class Sketch:
    """A pool by (risk, cost), coarsely counted, with its exact totals. Shards can be merged, in any order."""

    def __init__(self) -> None:
        self.cells = np.zeros(_RISK_CELLS, dtype=np.int64)
        """Items by cell; those of other costs than 1 have cells only once they come."""
        self.items = 0
        self.risk = 0
        """Σ ε in units of 2^-`words.UNIT_BITS`."""
        self.cost = 0
        """Σ c; the number of items where the budget counts items."""
        self.positive = 0
        """Σ c of items whose risk is not 0."""
        self.smallest = words.INFINITE
        """Word of the smallest risk that is not 0."""
        self.largest = 0
        """Word of the largest risk."""
        self.none = 0
        """Items of risk 0."""

    def add(self, chunk: Priced) -> None:
        """Counts a chunk.

        Raises:
            ValueError: a risk outside [0, 1], or a cost that is no whole number of at least 1.
        """
        found = words.rising("risk", chunk.risk, 1.0)
        if not found.size:
            return
        cell = found >> _RISK_SHIFT
        cell -= _RISK_BASE
        np.maximum(cell, 0, out=cell)
        self.items += found.size
        self.risk += words.total(np.asarray(chunk.risk, dtype=np.float64))
        positive = found if int(found.min()) > 0 else found[found > 0]
        self.none += found.size - positive.size
        self.largest = max(self.largest, int(found.max()))
        self.smallest = min(self.smallest, int(positive.min(initial=words.INFINITE)))
        if chunk.cost is None:
            self.cost += found.size
            self.positive += positive.size
        else:
            costs = orders.whole_costs(chunk.cost, found.size)
            self._grow()
            cell += ((costs.astype(np.float64).view(np.int64) >> _COST_SHIFT) - _COST_BASE) * _RISK_CELLS
            self.cost += words.whole_total(costs)
            self.positive += words.whole_total(costs[found > 0])
        first = int(cell.min())  # most chunks touch few cells: only their range is counted and added
        counted = np.bincount(cell - first)
        self.cells[first : first + counted.size] += counted

    def _grow(self) -> None:
        if self.cells.size == _RISK_CELLS:
            whole = np.zeros(_RISK_CELLS * _COST_CELLS, dtype=np.int64)
            whole[:_RISK_CELLS] = self.cells
            self.cells = whole

    def merge(self, other: Sketch) -> None:
        """Adds the sketch of another shard."""
        if other.cells.size > self.cells.size:
            self._grow()
        self.cells[: other.cells.size] += other.cells
        self.items += other.items
        self.risk += other.risk
        self.cost += other.cost
        self.positive += other.positive
        self.smallest = min(self.smallest, other.smallest)
        self.largest = max(self.largest, other.largest)
        self.none += other.none

    @property
    def mean(self) -> float:
        """Mean ε: the correctly rounded sum over N."""
        return words.rounded(self.risk) / self.items

    @property
    def least(self) -> float:
        """The smallest risk."""
        return 0.0 if self.none else words.value(self.smallest)

    @property
    def most(self) -> float:
        """The largest risk."""
        return words.value(self.largest)

    def points(self) -> tuple[checks.Floats, checks.Floats, checks.Floats]:
        """Returns one point a filled cell: its risk, its cost, the number of items."""
        filled = np.flatnonzero(self.cells)
        middle = (((filled % _RISK_CELLS) + _RISK_BASE) << _RISK_SHIFT) + (1 << (_RISK_SHIFT - 1))
        risk = np.minimum(middle.view(np.float64), 1.0)
        risk[filled % _RISK_CELLS == 0] = 0.0
        cost = (((filled // _RISK_CELLS) + _COST_BASE) << _COST_SHIFT).view(np.float64)
        return risk, cost, self.cells[filled].astype(np.float64)


def sketch(passes: Passes) -> Sketch:
    """Counts all chunks.

    >>> sketch(lambda: [Priced(risk=np.array([0.25, 0.75]))]).mean
    0.5
    """
    found = Sketch()
    for chunk in passes():
        found.add(chunk)
    return found


def solve(passes: Passes, family: families.Family, budget: float, known: Sketch) -> float:
    """Returns θ with Σ c π(θ) = B to `TOLERANCE`.

    Args:
        passes: over all items.
        family: the rule.
        budget: B in items, or in the unit of cost; (0, Σ c].
        known: the sketch of the same items.

    Returns:
        θ; the same bits for the same items, whatever the chunks.

    Raises:
        BudgetInfeasible: what the rule gives at least, to items that it may not leave out, costs more.
        ValueError: B is outside (0, Σ c], or no θ spends it.

    References:
        algorithms.md 3.2: "bisection on one constant".

    >>> def passes():
    ...     yield Priced(risk=np.array([0.9]))
    ...     yield Priced(risk=np.array([0.1, 0.1]))
    >>> round(solve(passes, families.Proportional(), 1.5, sketch(passes)), 9)
    2.5
    """
    return solve_all(passes, [family], budget, known)[0]


def solve_all(passes: Passes, each: Sequence[families.Family], budget: float, known: Sketch) -> list[float]:
    """Returns the θ of each of some families, as `solve` does, in as many passes as the slowest needs.

    Args:
        passes: over all items.
        each: the rules.
        budget: B, the same for each.
        known: the sketch of the same items.

    Returns:
        θ of each; the same bits as `solve`.

    Raises:
        BudgetInfeasible, ValueError: as `solve`.

    >>> pool = [Priced(risk=np.array([0.9, 0.1]))]
    >>> both = [families.Proportional(), families.SquareRoot(mean=0.5, gamma=1.0)]
    >>> [round(theta, 6) for theta in solve_all(lambda: pool, both, 0.5, sketch(lambda: pool))]
    [0.5, 0.353553]
    """
    if not 0.0 < budget <= known.cost:
        raise ValueError(f"budget: expected a number in (0, {known.cost}], got {budget}")
    target = int(fractions.Fraction(budget) * 2**_FINE_BITS)
    solved: dict[int, float] = {}
    with np.errstate(over="ignore", divide="ignore"):  # while θ is looked for among all scales
        searches = [_search(family, budget, target, known) for family in each]
        trials = {number: next(search) for number, search in enumerate(searches)}
        while trials:
            sums = dict.fromkeys(trials, 0)
            for chunk in passes():
                for number, theta in trials.items():
                    sums[number] += _spent(chunk, each[number], theta)
            for number, found in sums.items():
                try:
                    trials[number] = searches[number].send(found >> (words.UNIT_BITS - _FINE_BITS))
                except StopIteration as end:
                    del trials[number]
                    solved[number], reached = end.value
                    if abs(reached - target) > 1e-9 * target:
                        nearest = reached / 2**_FINE_BITS
                        raise ValueError(
                            f"budget: expected a rule that can spend {budget:g}, the nearest is {nearest:g}"
                        ) from None
    return [solved[number] for number in range(len(each))]


def _search(family: families.Family, budget: float, target: int, known: Sketch) -> _Trials:
    """Trial values of θ that start from what the sketch says; each is answered with what it spends."""
    least = family.floor * known.cost
    if least > budget * (1.0 + TOLERANCE):
        raise checks.BudgetInfeasible(
            f"budget: expected at least {least:g}, what a floor of {family.floor:g} costs, got {budget:g};"
            " raise the budget or lower the floor",
            min_budget=least,
        )
    risk, cost, weight = known.points()
    priced = cost * weight

    def guess(theta: float) -> float:
        return float((priced * family.pi(risk, cost, theta)).sum())

    start = _solved(guess, _trials(float(budget), 1.0, None))
    step = start * 2.0**-10
    slope = (guess(start + step) - guess(start)) / step * 2.0**_FINE_BITS if step > 0.0 else None
    return _trials(target, start, slope)


def _solved(spent: Callable[[float], float], trials: _Trials) -> float:
    theta = next(trials)
    while True:
        try:
            theta = trials.send(spent(theta))
        except StopIteration as end:
            return float(end.value[0])


def _spent(chunk: Priced, family: families.Family, theta: float) -> int:
    if chunk.cost is None:
        return words.total(family.pi(chunk.risk, None, theta))
    cost = chunk.cost.astype(np.float64)
    return words.total(cost * family.pi(chunk.risk, cost, theta))


def _trials(target: int | float, start: float, slope: float | None) -> _Trials:
    """Finds θ >= 0 at which what is spent, a rising function of it, is the target.

    It yields a trial θ, is sent what that spends, and returns the best θ with what it spent.

    Secant steps inside a bracket; where three of them have not halved it, its middle. The middle is that of
    the words, so that the search is through scales as well, and ends after 63 halvings at the latest.
    """
    low, high = 0, int(np.float64(_LARGEST).view(np.int64))
    widths = [high - low]
    theta = start
    found = yield theta
    best, last = (theta, found), (theta, math.nan)
    while True:
        off = float(found - target)
        if abs(off) < abs(float(best[1] - target)):
            best = (theta, found)
        word = int(np.float64(theta).view(np.int64))
        low, high = (word, high) if off < 0.0 else (low, word)
        if abs(off) <= TOLERANCE * float(target) or high - low <= 1:
            return best
        if off != last[1] and theta != last[0]:
            slope = (off - last[1]) / (theta - last[0])
        last = (theta, off)
        following = theta - off / slope if slope else math.nan
        widths.append(high - low)
        stalled = len(widths) > 3 and widths[-1] * 2 > widths[-4]
        if stalled or not words.value(low) < following < words.value(high):
            following = words.value((low + high) // 2)
            widths = widths[-1:]
        theta = following
        found = yield theta


def normalised(
    passes: Passes, budget: float, known: Sketch | None = None
) -> tuple[families.Proportional, float]:
    """The rule in proportion to risk, water-filled, and its κ: `rules.pi_normalised` from chunks.

    Args:
        passes: over all items.
        budget: B in (0, Σ c].
        known: their sketch, if there is one.

    Returns:
        The family and κ: π of any chunk is `family.pi(risk, cost, κ)`.

    Raises:
        ValueError: as `solve`.

    >>> family, kappa = normalised(lambda: [Priced(risk=np.array([0.5, 0.0, 0.0]))], 2.0)
    >>> family.pi(np.array([0.5, 0.0]), None, kappa).tolist()
    [1.0, 0.5]
    """
    found = known or sketch(passes)
    if found.positive <= budget <= found.cost:
        free = found.cost - found.positive
        rest = (budget - found.positive) / free if free else 0.0
        kappa = 1.0 / words.value(found.smallest) if found.positive else 0.0
        return families.Proportional(rest=rest), kappa
    family = families.Proportional()
    return family, solve(passes, family, budget, found)


def square_root(
    passes: Passes,
    budget: float,
    *,
    gamma: float = 0.3,
    floor: float = 0.0,
    known: Sketch | None = None,
) -> tuple[families.SquareRoot, float]:
    """The robust square-root rule and its κ; see `families.SquareRoot`.

    >>> family, kappa = square_root(lambda: [Priced(risk=np.array([0.5, 0.0]))], 1.0)
    >>> round(float(family.pi(np.array([0.5, 0.0]), None, kappa).sum()), 9)
    1.0
    """
    found = known or sketch(passes)
    family = families.SquareRoot(mean=found.mean, gamma=gamma, floor=floor)
    return family, solve(passes, family, budget, found)


def lagrange(
    passes: Passes,
    budget: float,
    lam: float,
    *,
    gamma: float = 0.3,
    floor: float = 0.0,
    known: Sketch | None = None,
) -> tuple[families.Lagrange, float]:
    """The Lagrange rule and its θ = 1/μ; see `families.Lagrange`.

    >>> family, theta = lagrange(lambda: [Priced(risk=np.array([0.5, 0.0]))], 1.0, lam=0.1)
    >>> round(float(family.pi(np.array([0.5, 0.0]), None, theta).sum()), 9)
    1.0
    """
    found = known or sketch(passes)
    family = families.Lagrange(lam=lam, mean=found.mean, gamma=gamma, floor=floor)
    return family, solve(passes, family, budget, found)


def exponential(
    passes: Passes, budget: float, beta: float, known: Sketch | None = None
) -> tuple[families.Exponential, float]:
    """The exponential rule, and θ from which its α follows; see `families.Exponential`.

    >>> family, theta = exponential(lambda: [Priced(risk=np.array([0.2, 0.8]))], 1.0, beta=10.0)
    >>> round(family.alpha(theta), 6)
    0.5
    """
    found = known or sketch(passes)
    if not 0.0 < budget <= found.cost:
        raise ValueError(f"budget: expected a number in (0, {found.cost}], got {budget}")
    family = families.Exponential(beta=beta, most=1.0 + (40.0 + math.log(found.cost / budget)) / beta)
    return family, solve(passes, family, budget, found)

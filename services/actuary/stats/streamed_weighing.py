"""How a rule weighs the items of a pool that fits no memory: `weighing`, from chunks.

A rule needs a few numbers of the whole pool: a mean, a largest risk, the constant that spends the budget
(`levels`), or who is taken for certain (`streams`). With them the size measure of any item follows from its
risk alone, and the draw that comes next needs one pass more (`firsts`).

Size measures are those of `weighing.scores` bit for bit, of every rule but two. The exponential rule's hang
on α, the hybrid's at a floor that binds (γ below .0625) on κ. Both constants are solved for by sums, here by
exact ones to `levels.TOLERANCE`, there by rounded ones in the order of ε. Sums of rounded numbers in that
order would take a sort of the pool, and would not be better. The κ of other rules differs as little, and
nobody is drawn by it: it stands in the record of the design.

References:
    algorithms.md 3.2, 3.3 and 5.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from actuary.stats import checks, families, levels, orders, robust, rules, streams, tuning, weighing, words

_FLOOR_SHARE = 0.25
"""Of `robust.pi_hybrid`, by default."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Suspects:
    """A chunk of n items."""

    risk: checks.Floats
    """ε, [n], in [0, 1]."""
    place: checks.Integers | int
    """See `orders.Keys`."""
    tie: checks.Floats | orders.Made | None = None
    """From the key of ties, [n]; None in a pass that was made without."""

    def by_risk(self) -> orders.Keys:
        """As the order of suspicion sees them.

        Raises:
            ValueError: it has no tie numbers.
        """
        if self.tie is None:
            raise ValueError("tie: expected tie numbers, which an order needs, got none")
        return orders.by_risk(self.risk, self.tie, self.place)

    def outside(self, out: checks.Integers) -> levels.Priced:
        """Risks of those whose places are not among some others, which rise."""
        return levels.Priced(risk=self.risk[orders.outside(self.place, self.risk.size, out)])


Passes = Callable[[bool], Iterable[Suspects]]
"""Gives a new pass over all chunks, with tie numbers or without; in any order, always of the same items."""

_Score = Callable[[checks.Floats], checks.Floats]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """What a rule says of a pool; `rules.Inclusion` without the arrays of all items."""

    score: _Score
    """Size measures s above 0 of items that are not certain, from their risks, [n]."""
    constants: dict[str, float]
    smallest: float
    """The smallest π."""
    certain: streams.Taken | None = None
    """Who is taken without a draw; None: nobody."""
    warning: str = ""
    note: str = ""


def weigh(passes: Passes, how: weighing.Weighing, budget: int) -> Weighed:
    """Solves a rule.

    Args:
        passes: over all items.
        how: a rule that draws.
        budget: B, items to draw, in [1, N].

    Returns:
        Size measures; the same bits for the same items, whatever the chunks.

    Raises:
        ValueError: B out of range, or a rule that draws nothing.

    References:
        algorithms.md 3.2.

    >>> pool = [Suspects(risk=np.array([0.6, 0.3]), place=0)]
    >>> found = weigh(lambda ties: pool, weighing.Weighing(rule="normalised"), 1)
    >>> found.score(np.array([0.6, 0.3])).tolist(), round(found.constants["kappa"], 6)
    ([0.6, 0.3], 1.111111)
    """
    if how.rule not in _SOLVERS:
        raise ValueError(f"rule: expected one that draws, got {how.rule!r}")
    known = levels.sketch(lambda: _priced(passes))
    checks.count("budget", budget, 1, known.items)
    found = _SOLVERS[how.rule](passes, how, budget, known)
    equal = how.rule != "uniform" and known.items > 1 and known.least == known.most
    return dataclasses.replace(
        found,
        warning=rules.warning(found.smallest, budget / known.items, known.items),
        note=rules.ALL_EQUAL if equal else "",
    )


def _priced(passes: Passes) -> Iterator[levels.Priced]:
    return (levels.Priced(risk=chunk.risk) for chunk in passes(False))


def _at_least(score: _Score, most: float) -> _Score:
    """Size measures that every item can be drawn with, as `weighing.scores`; `most` is the largest."""
    least = most * weighing.SMALLEST_SCORE
    return lambda risk: np.maximum(score(risk), least)


def _uniform(passes: Passes, how: weighing.Weighing, budget: int, known: levels.Sketch) -> Weighed:
    share = budget / known.items
    return Weighed(score=lambda risk: np.ones(risk.size), constants={"probability": share}, smallest=share)


def _normalised(passes: Passes, how: weighing.Weighing, budget: int, known: levels.Sketch) -> Weighed:
    if known.positive and words.value(known.smallest) < rules.SMALLEST_RISK:
        raise ValueError(f"eps: expected 0 or at least {rules.SMALLEST_RISK:g}, got a risk in between")
    family, kappa = levels.normalised(lambda: _priced(passes), budget, known)
    constants, rest = {"kappa": kappa, "rest": family.rest}, family.rest
    if known.positive <= budget:  # whoever has a risk is taken, and the others share what is left
        score = _at_least(lambda risk: np.where(risk > 0.0, 1.0, rest), 1.0 if known.positive else rest)
        return Weighed(score=score, constants=constants, smallest=rest if known.none else 1.0)
    score = _at_least(lambda risk: risk, known.most)
    return Weighed(score=score, constants=constants, smallest=min(1.0, kappa * known.least))


def _exponential(passes: Passes, how: weighing.Weighing, budget: int, known: levels.Sketch) -> Weighed:
    if budget == known.items:  # any α as low takes all; the one of `rules.pi_exponential`
        family, theta = families.Exponential(beta=how.beta, most=0.0), rules.SATURATION / how.beta
    else:
        family, theta = levels.exponential(lambda: _priced(passes), budget, how.beta, known)
    least, most = family.pi(np.array([known.least, known.most]), None, theta).tolist()
    return Weighed(
        score=_at_least(lambda risk: family.pi(risk, None, theta), most),
        constants={"alpha": family.alpha(theta), "beta": float(how.beta)},
        smallest=least,
    )


def _square_root(passes: Passes, how: weighing.Weighing, budget: int, known: levels.Sketch) -> Weighed:
    return _root(lambda: _priced(passes), how, budget, known, 0.0)


def _root(
    passes: levels.Passes, how: weighing.Weighing, budget: int, known: levels.Sketch, floor: float
) -> Weighed:
    ends = np.array([known.least, known.most])
    if budget == known.items:  # any κ as high takes all; the one of `robust.pi_sqrt`
        family = families.SquareRoot(mean=known.mean, gamma=how.gamma, floor=floor)
        kappa = 1.0 / float(family.size(ends, None)[0])
    else:
        family, kappa = levels.square_root(passes, budget, gamma=how.gamma, floor=floor, known=known)
    # with equal costs a floor up to γ^1/2 of the mean probability cannot bind (`streamed_hybrid.hybrid`)
    bound = floor / kappa if floor > budget / known.items * math.sqrt(how.gamma) else 0.0

    def score(risk: checks.Floats) -> checks.Floats:
        size = family.size(risk, None)
        return np.maximum(size, bound, out=size) if bound else size

    return Weighed(
        score=_at_least(score, float(score(ends)[1])),
        constants={
            "kappa": kappa,
            "gamma": how.gamma,
            "mean": family.mean,
            "floor": floor,
            "ceiling": 1.0,
        },
        smallest=float(family.pi(ends, None, kappa)[0]),
    )


def _hybrid(passes: Passes, how: weighing.Weighing, budget: int, known: levels.Sketch) -> Weighed:
    # (1 - a) B in floats may end just below a whole number
    top = math.floor((1.0 - how.audit_share) * budget * (1.0 + 1e-12))
    certain = streams.take(lambda: (chunk.by_risk() for chunk in passes(True)), top, items=known.items)

    def rest() -> Iterator[levels.Priced]:
        return (chunk.outside(certain.place) for chunk in passes(False))

    others = levels.sketch(rest)
    floor = min(1.0, _FLOOR_SHARE * (budget - top) / others.items)
    found = _root(rest, how, budget - top, others, floor)
    if not top:
        constants = {**found.constants, "audit": how.audit_share, "threshold": math.inf}
        return dataclasses.replace(found, constants=constants)
    last = words.value(words.INFINITE - int(certain.key.max()))
    return dataclasses.replace(
        found,
        score=_at_least(found.score, 1.0),  # a certain item's size measure is 1 among the others'
        constants={**found.constants, "audit": how.audit_share, "threshold": last},
        certain=certain,
    )


_SOLVERS: dict[str, Callable[[Passes, weighing.Weighing, int, levels.Sketch], Weighed]] = {
    "uniform": _uniform,
    "normalised": _normalised,
    "exponential": _exponential,
    "square-root": _square_root,
    "hybrid": _hybrid,
}


def tune_gamma(
    passes: levels.Passes,
    budget: int,
    eps: checks.Floats,
    err: checks.Booleans,
    *,
    grid: tuple[float, ...] = robust.GRID,
) -> float:
    """Chooses γ of the square root by the pilot, as `robust.tune_gamma`, from chunks.

    Args:
        passes: over the items outside of the pilot.
        budget: B for them, in items, at least 1 and at most their number.
        eps: ε of the pilot's items, out of fold, [n].
        err: their d, [n].
        grid: γ to try.

    Returns:
        γ.

    Raises:
        ValueError: B out of range, or an empty pilot or grid.

    >>> pool = [levels.Priced(risk=np.array([0.9, 0.1] * 4))]
    >>> tune_gamma(lambda: pool, 2, np.array([0.9, 0.1]), np.array([True, False]))
    0.05
    """
    risk = checks.risks("eps", eps)
    wrong = checks.flags("err", err, size=risk.size)
    if not grid:
        raise ValueError("grid: expected at least one gamma, got none")
    known = levels.sketch(passes)
    each = [families.SquareRoot(mean=known.mean, gamma=gamma) for gamma in grid]
    kappas = levels.solve_all(passes, each, budget, known)
    return tuning.best_gamma(
        {
            family.gamma: tuning.pilot_variance(wrong, family.pi(risk, None, kappa))
            for family, kappa in zip(each, kappas, strict=True)
        }
    )

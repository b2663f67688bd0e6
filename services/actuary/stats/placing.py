"""Placing: what the labelled items of a pilot or a wave stand for, wherever people stopped.

Each phase is a random sample from the items that nobody had labelled before it: a simple random sample, an
audit with the most suspicious items beside it, or a priority sample. People stop early and answers are
missing, so every function here takes the planned rows of a phase and which of them are labelled, and finds
the largest part that is still a sample (algorithms.md 8.6). A labelled item outside of it corrects its own
label and tells nothing about others; its π is given as infinity, so that 1/π is 0.

The module draws nothing and sees no labels: a design must not depend on them. `designs` combines phases.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from actuary.stats import checks

AUDIT_BELOW = 2
"""Audit items that must remain below the certain ones: two are the fewest that show a variance."""

SMALLEST_VARIANCE = 1e-3
"""A guess: even where all risks are 0 or 1, so many items in a thousand may be wrong."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One phase as it came out: constants that say what its labelled items stand for."""

    name: str
    """For people: `pilot`, `wave-1/audit`."""
    kind: Literal["srs", "priority"]
    """A simple random sample, or a priority sample with τ."""
    population: int
    """N_v: the items that no earlier phase had labelled."""
    certain: int
    """Of them, labelled with certainty: the m most suspicious of a threshold wave."""
    sampled: int
    """n: labelled items that stand for the population without the certain ones."""
    tau: float | None
    """τ of a priority sample; None for `srs`, and when every drawable item was labelled."""

    def __post_init__(self) -> None:
        if not 0 <= self.certain + self.sampled <= self.population or min(self.certain, self.sampled) < 0:
            raise ValueError(
                f"phase {self.name}: expected certain + sampled of at most {self.population} items,"
                f" got {self.certain} + {self.sampled}"
            )

    @property
    def sampled_population(self) -> int:
        """N_v - m: the items that the sampled ones stand for."""
        return self.population - self.certain

    @property
    def complete(self) -> bool:
        """Whether every item of the population is labelled: nothing is left to estimate."""
        return self.sampled == self.sampled_population

    @property
    def estimable(self) -> bool:
        """Whether it yields an estimate with a variance: two sampled items, or nothing left to estimate."""
        return self.complete or self.sampled >= 2

    def to_record(self) -> dict[str, Any]:
        """Returns it as JSON values, for the design record of a plan."""
        return dataclasses.asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Phase:
        """Reads what `to_record` wrote."""
        return cls(**record)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A phase, and π of each of its planned rows."""

    phase: Phase
    pi: checks.Floats
    """π, shape [D], in the order of the rows given; inf for a row that the estimator does not use."""


def _prefix(order: checks.Floats, labelled: checks.Booleans) -> checks.Booleans:
    """Which rows come before the first unlabelled one in the order of serving."""
    missing = order[~labelled]
    return order < missing.min() if missing.size else np.ones(order.size, dtype=np.bool_)


def srs(name: str, population: int, order: npt.ArrayLike, labelled: npt.ArrayLike) -> Placed:
    """A simple random sample, served in the order of its numbers: π = n/N_v for the answered prefix.

    Args:
        name: of the phase.
        population: N_v, items that no earlier phase had labelled; at least D.
        order: of serving, shape [D], all different (u of `draws.srs`).
        labelled: [D].

    Returns:
        The phase and π [D]. Rows after the first unlabelled one have π = inf.

    Raises:
        ValueError: lengths differ, equal orders, or more rows than items.

    References:
        algorithms.md 8.6; Cochran (1977), Sampling Techniques, chapter 2.

    >>> placed = srs("pilot", 10, [0.1, 0.2, 0.3], [True, True, False])
    >>> placed.phase.sampled, placed.pi.tolist()
    (2, [0.2, 0.2, inf])
    """
    order, flags = _rows(order, labelled, population)
    used = _prefix(order, flags)
    phase = Phase(name=name, kind="srs", population=population, certain=0, sampled=int(used.sum()), tau=None)
    return Placed(phase=phase, pi=np.where(used, used.sum() / population, np.inf))


def _rows(
    order: npt.ArrayLike, labelled: npt.ArrayLike, population: int
) -> tuple[checks.Floats, checks.Booleans]:
    values = checks.floats("order", order)
    flags = checks.flags("labelled", labelled, size=values.size)
    if np.unique(values).size != values.size:
        raise ValueError("order: expected a position of its own for every row, got equal ones")
    checks.count("population", population, values.size, 2**62)
    return values, flags


def threshold(
    name: str,
    population: int,
    rank: npt.ArrayLike,
    audit: npt.ArrayLike,
    order: npt.ArrayLike,
    labelled: npt.ArrayLike,
) -> Placed:
    """A uniform audit and, beside it, the most suspicious items: valid for every prefix of the serving order.

    The wave first draws an audit A, a simple random sample of K from all N_v items by a key of its own, and
    serves it. Then it serves the items outside A by falling risk until the budget is used or people stop.

    *Why this is exact.* Walk down the N_v items in the order of risk, which was fixed before A was drawn, and
    note at each whether it is in A. Stop at the item, at rank m, that was served last. When to stop depends
    on the notes of the walk so far (on how many non-audit items it passed), never on what comes below: m is a
    stopping time. Given the walk up to a stopping time, all subsets of K_b = K - |A ∩ top_m| items of the
    N_v - m below are equally likely to be the rest of the audit. So the top m are labelled, every one, with
    π = 1, and A below is a simple random sample with π = K_b/(N_v - m). The argument needs that nobody
    chooses when to stop by looking at the audit's answers (8.12).

    Two details keep it exact. m is the rank of the last served non-audit item and not of the audit items that
    may follow it directly: those end where an unlabelled item begins, which is a look below. And the walk
    also stops when only `AUDIT_BELOW` audit items remain, so that the variance below can be seen; unless
    everything is labelled.

    Args:
        name: of the phase.
        population: N_v, items that no earlier phase had labelled.
        rank: position of each planned row among the N_v items by falling risk (`rules.risk_order`), from 0,
            shape [D].
        audit: [D], whether the row is of the audit.
        order: of serving within the audit, all different there (u of the audit's key); ignored elsewhere,
            shape [D].
        labelled: [D].

    Returns:
        The phase and π [D]. While the audit is incomplete, its answered prefix alone counts. After that: 1
        above rank m, K_b/(N_v - m) for the audit below, inf for others.

    Raises:
        ValueError: lengths differ, ranks are not different whole numbers in [0, N_v), or equal orders in
            the audit.

    References:
        algorithms.md 3.2, 8.2, 8.6. Stopping times and exchangeability: Kallenberg (2005), Probabilistic
        Symmetries and Invariance Principles, chapter 4.

    >>> audit, order = [0, 0, 1, 0, 1, 1], [0, 0, 0.1, 0, 0.2, 0.3]
    >>> placed = threshold("wave-1", 10, [0, 1, 2, 4, 6, 8], audit, order, [1] * 6)
    >>> placed.phase.certain, placed.phase.sampled, placed.pi.tolist()
    (2, 3, [1.0, 1.0, 0.375, inf, 0.375, 0.375])
    """
    ranks = checks.indexes("rank", rank, 0, population)
    if np.unique(ranks).size != ranks.size:
        raise ValueError("rank: expected a rank of its own for every row, got equal ones")
    in_audit = checks.flags("audit", audit, size=ranks.size)
    done = checks.flags("labelled", labelled, size=ranks.size)
    positions = checks.floats("order", order, size=ranks.size)
    if not done[in_audit].all():
        prefix = srs(name, population, positions[in_audit], done[in_audit])
        pi = np.full(ranks.size, np.inf)
        pi[in_audit] = prefix.pi
        return Placed(phase=prefix.phase, pi=pi)
    audit_ranks = np.sort(ranks[in_audit])
    top = _top(population, audit_ranks, np.sort(ranks[done]), np.sort(ranks[done & ~in_audit]))
    below = int(np.count_nonzero(audit_ranks >= top))
    phase = Phase(name=name, kind="srs", population=population, certain=top, sampled=below, tau=None)
    share = below / (population - top) if population > top else 1.0
    return Placed(phase=phase, pi=np.where(ranks < top, 1.0, np.where(in_audit, share, np.inf)))


def _top(population: int, audit: checks.Integers, labelled: checks.Integers, served: checks.Integers) -> int:
    """Returns m, see `threshold`; all arguments are sorted ranks of labelled rows."""
    if labelled.size == population:
        return population
    gaps = np.flatnonzero(labelled != np.arange(labelled.size))
    first_gap = int(gaps[0]) if gaps.size else labelled.size
    reached = served[served < first_gap]
    top = int(reached[-1]) + 1 if reached.size else 0
    enough = int(audit[-AUDIT_BELOW - 1]) + 1 if audit.size > AUDIT_BELOW else 0
    return min(top, enough)


def priority(
    name: str,
    population: int,
    rank: npt.ArrayLike,
    score: npt.ArrayLike,
    tau: float | None,
    labelled: npt.ArrayLike,
) -> Placed:
    """A priority sample, served in the order of r = u'/s: τ is the smallest r that is not labelled.

    It stands for the items that were open to the draw, take-all items included: `draws.draw_exact` and
    `draws.draw_money` give those s = 1/τ and r = τu, so that they are rows like any other, sampled with t/τ
    when people stop at r = t. A take-all item that was not reached is thus estimated from those that were,
    never taken as known. A draw for money stops like one of a size: its prefix is a draw of so many items.

    So it may join a design only when the audit of its wave is complete: audit items without a label were kept
    from the draw and would be in nobody's population.

    Args:
        name: of the phase.
        population: N_v, items that no earlier phase had labelled; its wave's audit is such a phase.
        rank: r of the planned rows, shape [D], at least 0, all different.
        score: s of the planned rows, shape [D], above 0.
        tau: τ of the draw (the next r); None when the draw took every drawable item.
        labelled: [D].

    Returns:
        The phase and π [D] = min(1, τ' s) with τ' = min(τ, the smallest unlabelled r); inf from there on.

    Raises:
        ValueError: lengths differ, equal or negative r, s not positive, or a planned r that is not below τ.

    References:
        algorithms.md 3.3, 8.6; Duffield, Lund, Thorup (2007).

    >>> placed = priority("wave-1/drawn", 9, [0.5, 1.0, 2.0], [0.25, 0.5, 1.0], 4.0, [True, True, False])
    >>> placed.phase.tau, placed.pi.tolist()
    (2.0, [0.5, 1.0, inf])
    """
    ranks, flags = _rows(rank, labelled, population)
    sizes = checks.sizes("score", score, size=ranks.size)
    if (sizes == 0.0).any() or (ranks < 0.0).any():
        raise ValueError("score, rank: expected s above 0 and r of at least 0 for every planned row")
    if tau is not None and not (ranks < tau).all():
        raise ValueError(f"rank: expected r below tau {tau} for every planned row, got {ranks.max()}")
    used = _prefix(ranks, flags)
    reached = math.inf if tau is None else float(tau)
    if not used.all():
        reached = float(ranks[~flags].min())
    finite = math.isfinite(reached)
    pi = np.ones(ranks.size)
    if finite and reached > 0.0:
        # compared before it is multiplied: scores of any scale stay finite, and (1/τ) τ is 1
        np.multiply(sizes, reached, where=sizes < 1.0 / reached, out=pi)
    phase = Phase(
        name=name,
        kind="priority",
        population=population,
        certain=0,
        sampled=int(used.sum()),
        tau=reached if finite else None,
    )
    return Placed(phase=phase, pi=np.where(used, pi, np.inf))


def robust_variance(eps: npt.ArrayLike, gamma: float = 0.3) -> checks.Floats:
    """Predicted variance of d - ε: v_i = (1 - γ) ε_i(1 - ε_i) + γ mean ε(1 - ε), at least 0.001 on average.

    The mean is mixed in because risks are sometimes wrong with confidence: a v_i near 0 would put all trust
    in them.

    Args:
        eps: ε, shape [N], in [0, 1].
        gamma: γ in [0, 1]; 0.3 is at most 8 % worse than uniform over eight critics (algorithms.md T3).

    Returns:
        v, shape [N], above 0.

    Raises:
        ValueError: ε or γ outside [0, 1], or no items.

    References:
        algorithms.md 3.2.

    >>> robust_variance([0.5, 0.0], gamma=0.5).tolist()
    [0.1875, 0.0625]
    """
    eps = checks.risks("eps", eps)
    gamma = float(checks.within("gamma", [gamma], 0.0, 1.0)[0])
    v = eps * (1.0 - eps)
    mean = max(float(v.mean()), SMALLEST_VARIANCE)
    return (1.0 - gamma) * v + gamma * mean


def predicted_variance(phase: Phase, v: npt.ArrayLike, pi: npt.ArrayLike | None = None) -> float:
    """Predicts V_v, the variance of a phase's estimate of the total, before any of its labels is known.

    With M = N_v - m items to stand for, n of them sampled:
    srs: M² (1 - n/M) mean(v)/n.  priority: Σ v_i (1 - π_i)/π_i.

    Args:
        phase: the phase.
        v: predicted variance of d - ε of the M items, shape [M] (`robust_variance`).
        pi: for a priority phase: min(1, τ s) of the same items, shape [M].

    Returns:
        V_v in items²; infinite when the phase is not estimable; 0 when nothing is left to estimate.

    Raises:
        ValueError: v negative or of another length than M; a priority phase without π.

    References:
        Cochran (1977), theorem 2.2; Duffield, Lund, Thorup (2007), section 3.

    >>> phase = Phase(name="pilot", kind="srs", population=10, certain=0, sampled=5, tau=None)
    >>> predicted_variance(phase, [0.2] * 10)
    2.0
    """
    size = phase.sampled_population
    v = checks.sizes("v", v, size=size)
    if phase.complete:
        return 0.0
    if not phase.estimable:
        return math.inf
    if phase.kind == "srs":
        return float(size**2 * (1.0 - phase.sampled / size) * v.mean() / phase.sampled)
    if pi is None:
        raise ValueError("pi: expected the probabilities of the population, a priority phase needs them")
    pi = checks.within("pi", pi, 0.0, 1.0, size=size)
    if (pi == 0.0).any():
        return math.inf
    return float((v * (1.0 - pi) / pi).sum())

"""Designs: what the labelled items of each phase stand for, and how the phases are combined.

A campaign labels in phases: a pilot, then wave 1, perhaps more after a top-up. Each phase is a random
sample from the items that nobody had labelled before it, so given everything earlier it estimates, without
bias, the total number of machine errors:

    D_v = Σ_i ε_i + Σ_{labelled before v} (d_i - ε_i) + Σ_{S_v} (d_i - ε_i)/π_iv .

The phases are combined with weights ω_v, fixed before labels arrive and with sum 1 (algorithms.md 8.5):

    D = Σ_v ω_v D_v = Σ_i ε_i + Σ_S g_i (d_i - ε_i),     g_i = ω_v/π_iv + Σ_{w>v} ω_w   for i labelled in
    phase v.

The deviations D_v - D are martingale differences, so Var D = Σ_v ω_v² V_v with V_v the variance given the
past.

People stop early and answers are missing, so every function here takes the planned rows of a phase and
which of them are labelled, and finds the largest part that is still a sample (8.6). A labelled item outside
of it corrects its own label and tells nothing about others; its π is given as infinity, so that 1/π is 0.

The module draws nothing and sees no labels: a design must not depend on them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
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

    It stands for the items that were open to the draw. So it may join a design only when the audit of its
    wave is complete: audit items without a label were kept from the draw and would be in nobody's population.

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
    # s is capped before it is multiplied, so that scores of any scale stay finite.
    pi = np.minimum(sizes, 1.0 / reached) * reached if finite and reached > 0.0 else np.ones(ranks.size)
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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """The phases of a campaign so far, in the order of time, and the weight of each."""

    phases: tuple[Phase, ...]
    omega: tuple[float, ...]
    """ω, one a phase, in [0, 1], with sum 1."""

    def __post_init__(self) -> None:
        if len(self.phases) != len(self.omega) or not self.phases:
            raise ValueError(
                f"omega: expected one weight for each of {len(self.phases)} phases (one at least),"
                f" got {len(self.omega)}"
            )
        checks.within("omega", self.omega, 0.0, 1.0)
        if abs(sum(self.omega) - 1.0) > 1e-9:
            raise ValueError(f"omega: expected a sum of 1, got {sum(self.omega)}")
        for phase, weight in zip(self.phases, self.omega, strict=True):
            if weight > 0.0 and not phase.estimable:
                raise ValueError(f"omega: expected 0 for phase {phase.name}, which has too few labels")

    @property
    def items(self) -> int:
        """N: the population of the first phase."""
        return self.phases[0].population

    def to_record(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        return {"phases": [phase.to_record() for phase in self.phases], "omega": list(self.omega)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Design:
        """Reads what `to_record` wrote."""
        phases = tuple(Phase.from_record(phase) for phase in record["phases"])
        return cls(phases=phases, omega=tuple(record["omega"]))


def combine(phases: Sequence[Phase], variances: Sequence[float]) -> Design:
    """Weighs the phases by their predicted variances: ω_v = (1/V_v)/Σ_w 1/V_w, which minimises Σ ω² V.

    The variances must be predicted without the labels of these phases (`predicted_variance`): weights that
    look at labels favour whichever phase happened to find few errors. They may use m and τ,
    given which a phase is unbiased, but not the items that its draw took. A phase too small to have a
    variance gets 0; one that leaves nothing to estimate gets everything.

    Args:
        phases: in the order of time.
        variances: V, one a phase, at least 0; inf for a phase that is not estimable.

    Returns:
        The design.

    Raises:
        ValueError: lengths differ, a negative or NaN variance, or no phase that is estimable.

    References:
        algorithms.md 8.5; Cochran (1954), The combination of estimates from different experiments,
        Biometrics 10.

    >>> pilot = Phase(name="pilot", kind="srs", population=10, certain=0, sampled=2, tau=None)
    >>> wave = Phase(name="wave-1", kind="srs", population=8, certain=3, sampled=2, tau=None)
    >>> combine([pilot, wave], [3.0, 1.0]).omega
    (0.25, 0.75)
    """
    if len(phases) != len(variances):
        raise ValueError(f"variances: expected {len(phases)} values, one a phase, got {len(variances)}")
    v = np.asarray(variances, dtype=np.float64)
    if not (v >= 0.0).all():
        raise ValueError(f"variances: expected values of at least 0, got {list(variances)}")
    usable = np.array([phase.estimable for phase in phases], dtype=np.bool_) & np.isfinite(v)
    if not usable.any():
        raise ValueError("phases: expected at least one with two labels, got none: label more")
    raw = (v == 0.0) & usable
    precision = raw.astype(np.float64) if raw.any() else np.zeros(v.size)
    if not raw.any():
        np.divide(v[usable].min(), v, out=precision, where=usable)
    omega = precision / precision.sum()
    return Design(phases=tuple(phases), omega=tuple(float(w) for w in omega))


def extend(design: Design, phases: Sequence[Phase], omega_new: Sequence[float]) -> Design:
    """Adds phases after a top-up: the earlier weights are scaled by 1 - Σ ω_new, so their proportions stay.

    Args:
        design: of the phases so far.
        phases: the new ones, in the order of time.
        omega_new: their weights, at least 0, with a sum of at most 1.

    Returns:
        The longer design.

    Raises:
        ValueError: lengths differ, a weight is negative, or their sum passes 1.

    References:
        algorithms.md 8.5.

    >>> pilot = Phase(name="pilot", kind="srs", population=10, certain=0, sampled=2, tau=None)
    >>> wave = Phase(name="wave-1", kind="srs", population=8, certain=3, sampled=2, tau=None)
    >>> extend(Design(phases=(pilot,), omega=(1.0,)), [wave], [0.75]).omega
    (0.25, 0.75)
    """
    new = checks.within("omega_new", omega_new, 0.0, 1.0)
    left = 1.0 - float(new.sum())
    if left < -1e-9:
        raise ValueError(f"omega_new: expected a sum of at most 1, got {1.0 - left}")
    earlier = tuple(weight * max(left, 0.0) for weight in design.omega)
    return Design(phases=(*design.phases, *phases), omega=(*earlier, *(float(w) for w in new)))


def weights(design: Design, phase: npt.ArrayLike, pi: npt.ArrayLike) -> checks.Floats:
    """The weight of every labelled item: g_i = ω_v/π_iv + Σ_{w>v} ω_w.

    Args:
        design: the phases and ω.
        phase: v, the index of the phase that labelled the item, shape [S], in [0, phases).
        pi: π_iv, shape [S], in (0, 1], or inf where phase v does not use the item.

    Returns:
        g, shape [S], at least 0.

    Raises:
        ValueError: a phase that does not exist, lengths differ, or π outside (0, 1] and not inf.

    References:
        algorithms.md 8.5.

    >>> pilot = Phase(name="pilot", kind="srs", population=10, certain=0, sampled=2, tau=None)
    >>> wave = Phase(name="wave-1", kind="srs", population=8, certain=3, sampled=2, tau=None)
    >>> design = Design(phases=(pilot, wave), omega=(0.25, 0.75))
    >>> weights(design, [0, 1, 1], [0.2, 0.4, 1.0]).tolist()
    [2.0, 1.875, 0.75]
    """
    index = checks.indexes("phase", phase, 0, len(design.phases))
    inverse = 1.0 / probabilities("pi", pi, size=index.size)
    omega = np.asarray(design.omega)
    later = np.append(np.cumsum(omega[::-1])[::-1][1:], 0.0)
    g: checks.Floats = omega[index] * inverse + later[index]
    return g


def probabilities(name: str, pi: npt.ArrayLike, *, size: int) -> checks.Floats:
    """Returns π of labelled items, each in (0, 1] or inf (not used by its phase), or raises ValueError.

    >>> probabilities("pi", [0.5, float("inf")], size=2).tolist()
    [0.5, inf]
    """
    array = np.asarray(pi, dtype=np.float64)
    if array.shape != (size,):
        raise ValueError(f"{name}: expected {size} values, got shape {array.shape}")
    bad = ~(((array > 0.0) & (array <= 1.0)) | np.isposinf(array))
    if bad.any():
        raise ValueError(
            f"{name}: expected probabilities in (0, 1], or inf for items that no estimate uses,"
            f" got {array[int(np.argmax(bad))]} at [{int(np.argmax(bad))}]"
        )
    return array

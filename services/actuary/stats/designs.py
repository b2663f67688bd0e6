"""Designs: how the phases of a campaign are combined, and the weight of every label in the end.

A campaign labels in phases: a pilot, then wave 1, perhaps more after a top-up. Each phase is a random
sample from the items that nobody had labelled before it, so given everything earlier it estimates, without
bias, the total number of machine errors:

    D_v = Σ_i ε_i + Σ_{labelled before v} (d_i - ε_i) + Σ_{S_v} (d_i - ε_i)/π_iv .

The phases are combined with weights ω_v, fixed before labels arrive and with sum 1 (algorithms.md 8.5):

    D = Σ_v ω_v D_v = Σ_i ε_i + Σ_S g_i (d_i - ε_i),     g_i = ω_v/π_iv + Σ_{w>v} ω_w   for i labelled in
    phase v.

The deviations D_v - D are martingale differences, so Var D = Σ_v ω_v² V_v with V_v the variance given the
past.

The module draws nothing and sees no labels: a design must not depend on them. What a phase stands for when
people stopped early is found by `placing`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from actuary.stats import checks, placing


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """The phases of a campaign so far, in the order of time, and the weight of each."""

    phases: tuple[placing.Phase, ...]
    omega: tuple[float, ...]
    """ω, one a phase, in [0, 1], with sum 1."""

    def __post_init__(self) -> None:
        if len(self.phases) != len(self.omega) or not self.phases:
            raise ValueError(
                f"omega: expected one weight for each of {len(self.phases)} phases (one at least),"
                f" got {len(self.omega)}"
            )
        if not all(0.0 <= weight <= 1.0 for weight in self.omega):
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
        phases = tuple(placing.Phase.from_record(phase) for phase in record["phases"])
        return cls(phases=phases, omega=tuple(record["omega"]))


def combine(phases: Sequence[placing.Phase], variances: Sequence[float]) -> Design:
    """Weighs the phases by their predicted variances: ω_v = (1/V_v)/Σ_w 1/V_w, which minimises Σ ω² V.

    The variances must be predicted without the labels of these phases (`placing.predicted_variance`):
    weights that look at labels favour whichever phase happened to find few errors. They may use m and τ,
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

    >>> pilot = placing.Phase(name="pilot", kind="srs", population=10, certain=0, sampled=2, tau=None)
    >>> wave = placing.Phase(name="wave-1", kind="srs", population=8, certain=3, sampled=2, tau=None)
    >>> combine([pilot, wave], [3.0, 1.0]).omega
    (0.25, 0.75)
    """
    if len(phases) != len(variances):
        raise ValueError(f"variances: expected {len(phases)} values, one a phase, got {len(variances)}")
    if not all(v >= 0.0 for v in variances):
        raise ValueError(f"variances: expected values of at least 0, got {list(variances)}")
    usable = [
        v if phase.estimable and v < math.inf else math.inf
        for phase, v in zip(phases, variances, strict=True)
    ]
    least = min(usable, default=math.inf)
    if least == math.inf:
        raise ValueError("phases: expected at least one with two labels, got none: label more")
    precision = [float(v == 0.0) if least == 0.0 else least / v for v in usable]
    total = sum(precision)
    return Design(phases=tuple(phases), omega=tuple(float(p / total) for p in precision))


def extend(design: Design, phases: Sequence[placing.Phase], omega_new: Sequence[float]) -> Design:
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

    >>> pilot = placing.Phase(name="pilot", kind="srs", population=10, certain=0, sampled=2, tau=None)
    >>> wave = placing.Phase(name="wave-1", kind="srs", population=8, certain=3, sampled=2, tau=None)
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

    >>> pilot = placing.Phase(name="pilot", kind="srs", population=10, certain=0, sampled=2, tau=None)
    >>> wave = placing.Phase(name="wave-1", kind="srs", population=8, certain=3, sampled=2, tau=None)
    >>> design = Design(phases=(pilot, wave), omega=(0.25, 0.75))
    >>> weights(design, [0, 1, 1], [0.2, 0.4, 1.0]).tolist()
    [2.0, 1.875, 0.75]
    """
    index = checks.indexes("phase", phase, 0, len(design.phases))
    inverse = 1.0 / probabilities("pi", pi, size=index.size)
    g: checks.Floats = np.asarray(design.omega)[index] * inverse + later(design)[index]
    return g


def later(design: Design) -> checks.Floats:
    """Σ_{w>v} ω_w: the weight of the phases that know what phase v labelled, one a phase.

    >>> pilot = placing.Phase(name="pilot", kind="srs", population=10, certain=0, sampled=2, tau=None)
    >>> later(Design(phases=(pilot,) * 3, omega=(0.25, 0.25, 0.5))).tolist()
    [0.75, 0.5, 0.0]
    """
    found, total = [], 0.0
    for weight in reversed(design.omega):
        found.append(total)
        total += weight
    return np.array(found[::-1])


def probabilities(name: str, pi: npt.ArrayLike, *, size: int) -> checks.Floats:
    """Returns π of labelled items, each in (0, 1] or inf (not used by its phase), or raises ValueError.

    >>> probabilities("pi", [0.5, float("inf")], size=2).tolist()
    [0.5, inf]
    """
    array = np.asarray(pi, dtype=np.float64)
    if array.shape != (size,):
        raise ValueError(f"{name}: expected {size} values, got shape {array.shape}")
    if array.size and array.min() > 0.0 and array.max() <= 1.0:
        return array  # mostly so, and quickly seen
    bad = ~((array > 0.0) & ((array <= 1.0) | (array == np.inf)))
    if bad.any():
        raise ValueError(
            f"{name}: expected probabilities in (0, 1], or inf for items that no estimate uses,"
            f" got {array[int(np.argmax(bad))]} at [{int(np.argmax(bad))}]"
        )
    return array

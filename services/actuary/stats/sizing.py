"""How large an audit pays, told from calibrated risks before anybody is asked.

A larger audit proves more and costs more. Risks say how many errors each cut is expected to hold, so that
the outcome of any size can be foretold: in budget mode the bound, in target mode the labels that the target
takes. The choice is made before the audit and from nothing that the audit finds, so that it cannot break
what is proven; risks that are wrong only make it dear.

References:
    algorithms.md 3.5 (a tenth of the items, and what more or less costs).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from actuary.stats import audits, certificates, checks, intervals

SIZES = 24
"""Sizes that are tried: about a fifth apart over two decades, where the optimum is flat."""
CAUTION = 0.5
"""Standard deviations by which more errors than expected are assumed: an audit a little too small fails."""


def candidates(least: int, most: int) -> tuple[int, ...]:
    """Sizes in [least, most], evenly spaced in their logarithm.

    >>> candidates(50, 800)[:3], candidates(7, 7)
    ((50, 56, 64), (7,))
    """
    if most <= least:
        return (most,)
    return tuple(sorted({round(size) for size in np.geomspace(least, most, SIZES).tolist()}))


def expected_errors(risk: npt.ArrayLike, cuts: Sequence[int]) -> list[float]:
    """Errors that the least suspicious items of each cut are expected to hold.

    Args:
        risk: calibrated risk of each eligible item, in [0, 1], shape [M], in any order.
        cuts: c_j in [0, M].

    >>> expected_errors([0.5, 0.1, 0.25], [1, 3])
    [0.1, 0.85]
    """
    eps = np.sort(checks.floats("risk", risk))
    sums = np.concatenate([[0.0], np.cumsum(eps)])
    return [float(sums[cut]) for cut in cuts]


def budget_audit(risk: npt.ArrayLike, labels: int, alpha: float, least: int = 1) -> int:
    """The audit by which budget mode is expected to end with the smallest bound.

    Args:
        risk: calibrated risk of each eligible item, in [0, 1], shape [M].
        labels: B, items that may be reviewed in all, audit included, [1, M].
        alpha: α in (0, 1).
        least: the smallest audit that is thought of, at least 1.

    Returns:
        K in [min(least, B), B].

    >>> risk = np.linspace(0.0, 0.3, 2000) ** 2
    >>> 100 < budget_audit(risk, 600, 0.05) < 400
    True
    """
    size = checks.floats("risk", risk).size
    labels = checks.count("labels", labels, 1, size)

    def bound(audit: int) -> int:
        cut = size - labels + audit
        wrong = _found(expected_errors(risk, [cut])[0], audit, cut)
        return intervals.hypergeom_ucb(cut, audit, wrong, alpha) - wrong

    return min(candidates(min(least, labels), labels), key=bound)


def target_audit(risk: npt.ArrayLike, design: certificates.Design) -> int:
    """The last look by which target mode is expected to take the fewest labels.

    Args:
        risk: calibrated risk of each eligible item, in [0, 1], shape [M].
        design: in target mode; of its looks only the number counts, since they share the level.

    Returns:
        K in [K0, labels] with K0 the smallest audit that can prove the target; all labels where they are
        fewer, or where the allowance is used up before anybody is asked.

    >>> risk = np.linspace(0.0, 0.3, 2000) ** 2
    >>> design = certificates.target_design(
    ...     population=2000, eligible=2000, labels=900, target=0.02, looks=[1], alpha1=0.04, alpha2=0.01
    ... )
    >>> 150 < target_audit(risk, design) < 700
    True
    """
    if design.allowed < 0:
        return design.labels
    alpha1, alpha2 = design.alpha1 / len(design.looks), design.alpha2 / len(design.looks)
    least = certificates.audit_size(design.eligible, min(design.allowed, design.eligible), alpha1, alpha2)
    errors = expected_errors(risk, design.cuts)

    def taken(audit: int) -> int:
        tried = dataclasses.replace(
            design, looks=(audit,), labels=design.eligible, alpha1=alpha1, alpha2=alpha2
        )
        audited = [round(audit * cut / design.eligible) for cut in design.cuts]
        wrong = [_found(e, a, c) for e, a, c in zip(errors, audited, design.cuts, strict=True)]
        found = audits.Found(audited=tuple(audited), wrong=tuple(wrong), unresolved=(0,) * len(wrong))
        return audits.decide(tried, [found]).labels

    return min(candidates(min(least, design.labels), design.labels), key=taken)


def doubling(last: int, count: int) -> tuple[int, ...]:
    """Planned looks of which each doubles the audit, down from the last: 3, 6, 12, 24 % for four of 24 %.

    >>> doubling(240, 4), doubling(3, 4), doubling(100, 1)
    ((30, 60, 120, 240), (1, 2, 3), (100,))
    """
    return tuple(sorted({max(1, math.ceil(last / 2**look)) for look in range(count)}))


def _found(errors: float, audited: int, cut: int) -> int:
    """Errors that an audit finds within a cut, a little more than expected."""
    mean = errors * audited / cut if cut else 0.0
    return min(audited, math.floor(mean + CAUTION * math.sqrt(mean) + 0.5))

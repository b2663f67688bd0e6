"""How sure one may be of a critic's figures: an interval for AUROC, and what chance alone does to the ECE.

The figures themselves are `quality`'s; here is what keeps a reader from believing them too much. They are
measured on random samples only, the pilot and the audit, out of fold (8.12).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import scipy.special

from actuary.stats import checks, intervals, quality


def auroc_interval(
    eps: npt.ArrayLike, err: npt.ArrayLike, weight: npt.ArrayLike | None = None, alpha: float = 0.05
) -> intervals.Interval:
    """An interval for the AUROC, for few labels and for estimates of 0 and 1 too.

    All A that the estimate Â is not a surprise under: (Â - A)² <= z² V(A), with

        V(A) = A (1 - A) [1 + s ((1 - A)/(2 - A) + A/(1 + A))] / (m n),    s = (m + n)/2 - 1,

    the variance of Hanley and McNeil with both sizes replaced by their mean inside the brackets. As with
    Wilson's interval for a share, the variance is that of the hypothesis and not of the estimate, so that it
    is not empty where Â is 1, which with 10 wrong labels it often is. DeLong's interval is, and covers too
    seldom below some 30 of either kind. Approximate: V supposes risks of an exponential shape.

    With weights, m and n are Kish's effective sizes, (Σ w)²/Σ w², of the wrong and of the right labels.

    Args:
        eps: ε, shape [n], in [0, 1].
        err: d, shape [n], both values present.
        weight: g, shape [n], at least 0; equal by default.
        alpha: α in (0, 1); two-sided.

    Returns:
        Bounds in [0, 1].

    Raises:
        ValueError: as `quality.auroc`, or α outside (0, 1).

    References:
        Hanley, McNeil (1982), Radiology 143; Newcombe, R. (2006), Confidence intervals for an effect size
        measure based on the Mann-Whitney statistic, part 2, Statistics in Medicine 25, method 5.

    >>> bounds = auroc_interval([0.9, 0.8, 0.2, 0.1, 0.1], [1, 1, 0, 0, 0])
    >>> round(bounds.low, 2), bounds.high
    (0.44, 1.0)
    """
    estimate = quality.auroc(eps, err, weight)
    wrong = checks.flags("err", err)
    w = np.ones(wrong.size) if weight is None else checks.sizes("weight", weight, size=wrong.size)
    z2 = float(scipy.special.ndtri(1.0 - checks.share("alpha", alpha) / 2.0)) ** 2
    m, n = (float(part.sum() ** 2 / (part**2).sum()) for part in (w[wrong], w[~wrong]))
    s = (m + n) / 2.0 - 1.0

    def surprise(a: float) -> float:
        variance = a * (1.0 - a) * (1.0 + s * ((1.0 - a) / (2.0 - a) + a / (1.0 + a))) / (m * n)
        return (estimate - a) ** 2 - z2 * variance

    # a hypothesis at the estimate itself is no surprise; at 0 and at 1 the formula would call it exact
    low = 0.0 if estimate == 0.0 else _root(surprise, 0.0, estimate * (1.0 - 1e-9))
    high = 1.0 if estimate == 1.0 else _root(surprise, 1.0 - (1.0 - estimate) * (1.0 - 1e-9), 1.0)
    return intervals.Interval(low=low, high=high)


def _root(surprise: Callable[[float], float], low: float, high: float) -> float:
    import scipy.optimize  # takes half a second to import, and few processes come here

    return float(scipy.optimize.brentq(surprise, low, high))


def calibration_error_by_chance(
    eps: npt.ArrayLike, weight: npt.ArrayLike | None = None, bins: int = 10
) -> float:
    """The expected calibration error that perfectly calibrated risks would show on as many labels.

    The ECE is a sum of absolute values, and so is above 0 by chance alone: noise never cancels. In a bin of
    noise variance σ_k² the absolute value of what chance leaves is σ_k sqrt(2/π) on average, so

        E[ECE | calibrated] ≈ Σ_k sqrt(2/π Σ_{i in k} w_i² ε_i (1 - ε_i)) / Σ w,

    to be read beside the ECE: a figure near it is no sign of bad calibration.

    Args:
        eps: ε, shape [n], in [0, 1].
        weight: g, shape [n], at least 0; equal by default.
        bins: bins of equal width, at least 1, as of `quality.expected_calibration_error`.

    Returns:
        A number in [0, 1].

    Raises:
        ValueError: risks outside [0, 1], lengths differ, or no positive weight.

    References:
        Bröcker, J., Smith, L. (2007), Increasing the reliability of reliability diagrams, Weather and
        Forecasting 22, for consistency bars; the normal approximation of a bin is ours.

    >>> round(calibration_error_by_chance([0.5] * 100), 4)
    0.0399
    """
    risk = checks.risks("eps", eps)
    w = np.ones(risk.size) if weight is None else checks.sizes("weight", weight, size=risk.size)
    if not w.sum() > 0.0:
        raise ValueError("weight: expected at least one weight above 0, got none")
    bins = checks.count("bins", bins, 1, 1_000)
    group = np.minimum((risk * bins).astype(np.int64), bins - 1)
    noise = np.bincount(group, w**2 * risk * (1.0 - risk))
    return float(math.sqrt(2.0 / math.pi) * np.sqrt(noise).sum() / w.sum())

"""Training targets: the ACT loss as cross entropy with soft targets, and whether its weights can be borne.

    loss_i = m_i logsumexp(z_i) - t_i · z_i
    w_i = min(g_i, W),   t_i = λ s_i + (onehot(y_i) - λ s_i) w_i δ_i,   m_i = λ + (1 - λ) w_i δ_i

With λ = 1, hard s and W = ∞ this is the paper's unbiased loss, whose weights can be huge; W trades variance
for bias, and W = 5 is the choice when it cannot be validated (algorithms.md 3.6, 8.13, T7). s of a reviewed
item must be out of fold, or y - s shrinks.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from actuary.stats import checks


def act_targets(
    y: npt.ArrayLike,
    soft: npt.ArrayLike,
    g: npt.ArrayLike,
    lam: float = 1.0,
    cap: float = 5.0,
) -> tuple[checks.Floats, checks.Floats]:
    """Computes targets and masses of the ACT loss; each row of t sums to m.

    Args:
        y: index of the human's class, shape [N], in [0, K), or -1 where not reviewed (δ = 0).
        soft: s, the machine's class target, shape [N, K], rows sum to 1 (one-hot for a hard label).
        g: weight of reviewed items (`designs.weights`), shape [N], at least 0; not read elsewhere.
        lam: λ in [0, 1], the part of the machine.
        cap: W, the largest weight, at least 1; infinity for none.

    Returns:
        t [N, K], whose entries are negative where w > 1 and the machine was wrong, and m [N].

    Raises:
        ValueError: a class out of range, rows of s that do not sum to 1, a negative weight, λ outside [0,
            1], or W below 1.

    References:
        ACT (arXiv 2511.09833), section 5; algorithms.md 8.13; λ: PPI++ (Angelopoulos et al. 2023).

    >>> t, m = act_targets([1, -1], [[0.8, 0.2], [0.6, 0.4]], [2.0, 0.0])
    >>> t.round(3).tolist(), m.tolist()
    ([[-0.8, 1.8], [0.6, 0.4]], [1.0, 1.0])
    """
    s = checks.within("soft", soft, 0.0, 1.0, ndim=2)
    bad = np.abs(s.sum(axis=1) - 1.0) > 1e-6
    if bad.any():
        first = int(np.argmax(bad))
        raise ValueError(f"soft: expected rows that sum to 1, got {s[first].sum():.6f} at [{first}]")
    index = checks.indexes("y", y, -1, s.shape[1], size=s.shape[0])
    lam = float(checks.within("lam", [lam], 0.0, 1.0)[0])
    if not cap >= 1.0:
        raise ValueError(
            f"cap: expected at least 1, got {cap}: a human label would count less than a machine's"
        )
    reviewed = index >= 0
    weight = np.zeros(index.size)
    weight[reviewed] = checks.sizes("g", np.asarray(g, dtype=np.float64)[reviewed], size=int(reviewed.sum()))
    w = np.minimum(weight, cap)
    human = np.zeros_like(s)
    human[np.flatnonzero(reviewed), index[reviewed]] = 1.0
    t: checks.Floats = lam * s + np.where(reviewed[:, None], human - lam * s, 0.0) * w[:, None]
    m: checks.Floats = lam + (1.0 - lam) * w
    return t, m


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WeightDiagnostics:
    """How unequal the weights are that training would use."""

    effective_size: float
    """Kish's effective sample size, (Σ w)²/Σ w²."""
    largest: float
    """The largest weight."""
    top_share: float
    """Share of Σ w that the largest hundredth of the items has (one item at least), [0, 1]."""


def diagnose(g: npt.ArrayLike, cap: float = math.inf) -> WeightDiagnostics:
    """Measures how far weights are from equal.

    Args:
        g: weights of reviewed items, shape [S], at least 0, with a sum above 0.
        cap: W, at least 1.

    Returns:
        The diagnostics of min(g, W).

    Raises:
        ValueError: no weight above 0, a negative one, or W below 1.

    References:
        Kish, L. (1965), Survey Sampling, section 11.7.

    >>> diagnose([1.0, 1.0, 2.0]).effective_size.__round__(3)
    2.667
    """
    if not cap >= 1.0:
        raise ValueError(f"cap: expected at least 1, got {cap}")
    w = np.minimum(checks.sizes("g", g), cap)
    total = float(w.sum())
    if total == 0.0:
        raise ValueError("g: expected at least one weight above 0, got none")
    top = np.sort(w)[::-1][: max(1, w.size // 100)]
    return WeightDiagnostics(
        effective_size=total**2 / float((w**2).sum()),
        largest=float(w.max()),
        top_share=float(top.sum()) / total,
    )

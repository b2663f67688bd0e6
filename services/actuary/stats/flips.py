"""Flips: changing machine labels where another one is likelier, if that provably pays.

With two classes and a risk above one half the other label is the better guess, and costs nothing: the
largest single gain of algorithms.md T1 (.698 to .775 at a budget of 5 %). With more classes the annotator
must give class probabilities, else there is nothing to flip to. Labels are flipped before the audit, then
frozen (8.4): flips that followed the reviewed labels would be judged by the labels that made them.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import numpy.typing as npt

from actuary.stats import checks, intervals


def _classes(name: str, p: npt.ArrayLike, size: int) -> checks.Floats:
    array = checks.within(name, p, 0.0, 1.0, size=size, ndim=2)
    if array.shape[1] < 2:
        raise ValueError(f"{name}: expected at least 2 classes, got {array.shape[1]}")
    bad = np.abs(array.sum(axis=1) - 1.0) > 1e-6
    if bad.any():
        first = int(np.argmax(bad))
        raise ValueError(f"{name}: expected rows that sum to 1, got {array[first].sum():.6f} at [{first}]")
    return array


def recalibrated(p_annotator: npt.ArrayLike, label: npt.ArrayLike, eps: npt.ArrayLike) -> checks.Floats:
    """Class probabilities after the risk model: p(ŷ) = 1 - ε, the rest in the annotator's proportions.

    p_k = ε q_k / Σ_{j≠ŷ} q_j for k ≠ ŷ; shared evenly where the annotator gave all others 0.

    Args:
        p_annotator: q, shape [N, K], rows sum to 1.
        label: ŷ, shape [N], in [0, K).
        eps: ε, shape [N], in [0, 1].

    Returns:
        p, shape [N, K], rows sum to 1.

    Raises:
        ValueError: rows that do not sum to 1, fewer than two classes, a label or risk out of range.

    References:
        algorithms.md 8.4.

    >>> recalibrated([[0.7, 0.2, 0.1]], [0], [0.6]).round(3).tolist()
    [[0.4, 0.4, 0.2]]
    """
    index = np.asarray(label)
    q = _classes("p_annotator", p_annotator, index.size)
    classes = q.shape[1]
    index = checks.indexes("label", index, 0, classes)
    eps = checks.within("eps", eps, 0.0, 1.0, size=index.size)
    rows = np.arange(index.size)
    others = q.copy()
    others[rows, index] = 0.0
    mass = others.sum(axis=1)
    empty = mass <= 0.0
    others[empty] = 1.0 / (classes - 1)
    others[rows, index] = 0.0
    p: checks.Floats = others * (eps / np.where(empty, 1.0, mass))[:, None]
    p[rows, index] = 1.0 - eps
    return p


def flip(label: npt.ArrayLike, p_class: npt.ArrayLike) -> tuple[checks.Integers, checks.Floats]:
    """Takes the likeliest class, and its risk: ŷ' = argmax_k p_k, ε = 1 - max_k p_k.

    A tie keeps the label as it was. Idempotent.

    Args:
        label: ŷ, shape [N], in [0, K).
        p_class: p, shape [N, K], rows sum to 1 (`recalibrated`).

    Returns:
        ŷ' [N] and ε [N] in [0, 1 - 1/K].

    Raises:
        ValueError: rows that do not sum to 1, fewer than two classes, or a label out of range.

    References:
        algorithms.md 3.1, section 6.

    >>> label, eps = flip([0, 0], [[0.4, 0.6], [0.5, 0.5]])
    >>> label.tolist(), eps.round(2).tolist()
    ([1, 0], [0.4, 0.5])
    """
    index = np.asarray(label)
    p = _classes("p_class", p_class, index.size)
    index = checks.indexes("label", index, 0, p.shape[1])
    rows = np.arange(index.size)
    best = p.argmax(axis=1)
    flipped = np.where(p[rows, best] > p[rows, index], best, index).astype(np.int64)
    # Rows sum to 1 only up to rounding.
    return flipped, np.clip(1.0 - p[rows, flipped], 0.0, 1.0)


BARS = (0.6, 0.5)
"""Risks down to which flips are tried, one after the other. A guess: on politeness, flips of items a little
above one half are a coin's, and after a pilot of 274 they hide in a test of four what the others gain."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """What flipping did on the pilot, out of fold."""

    corrected: int
    """a: labels that were wrong and became right."""
    spoiled: int
    """b: labels that were right and became wrong."""
    gain: float
    """(a - b)/n."""
    lower: float
    """Lower bound: flip if it is above 0."""
    above: float = 0.5
    """Flips are those of items whose risk passes this; below .5 nothing is likelier than the label."""

    @property
    def pays(self) -> bool:
        """Whether to flip."""
        return self.lower > 0.0


def gain_lower_bound(err_before: npt.ArrayLike, err_after: npt.ArrayLike, alpha: float = 0.05) -> Gain:
    """Bounds the gain in accuracy from flipping, on labelled items whose flips came from models without them.

    Only items that changed from wrong to right (a of them) or back (b) tell anything. Given their number a
    + b, a is binomial with θ, the share of changes for the better; θ_L is its exact one-sided lower bound,
    and

        lower = (a + b)/n (2 θ_L - 1),

    which is above 0 exactly when the sign test rejects "flipping does not help" at level α.

    Args:
        err_before: d of the annotator's label, shape [n].
        err_after: d of the flipped label, shape [n].
        alpha: α in (0, 1); one-sided.

    Returns:
        The gain and its lower bound.

    Raises:
        ValueError: lengths differ, no items, or α outside (0, 1).

    References:
        Dixon, W., Mood, A. (1946), The statistical sign test, JASA 41; McNemar (1947). algorithms.md 8.4.

    >>> gain_lower_bound([1] * 8 + [0] * 52, [0] * 8 + [0] * 52).lower > 0
    True
    >>> gain_lower_bound([1] * 4 + [0] * 56, [0] * 4 + [0] * 56).lower > 0
    False
    """
    before = checks.flags("err_before", err_before)
    after = checks.flags("err_after", err_after, size=before.size)
    checks.share("alpha", alpha)
    if before.size == 0:
        raise ValueError("err_before: expected at least one item, got none")
    better = int((before & ~after).sum())
    worse = int((after & ~before).sum())
    changed = better + worse
    lower = 0.0
    if changed:
        share = intervals.clopper_pearson(better, changed, min(2.0 * alpha, 1.0 - 1e-12)).low
        lower = changed / before.size * (2.0 * share - 1.0)
    return Gain(corrected=better, spoiled=worse, gain=(better - worse) / before.size, lower=lower)


def proven(
    eps: npt.ArrayLike, err_before: npt.ArrayLike, err_after: npt.ArrayLike, alpha: float = 0.05
) -> Gain:
    """Finds how far down flips provably pay: from the surest on, each band of risk by labels of its own.

    Bands are (.6, 1] and (.5, .6]. A band is flipped if `gain_lower_bound` of its items alone is above 0, and
    those above it were. As the order is fixed and the first failure ends it, some band that does not pay is
    flipped with a probability of at most α, as in one test of all: the first such band must pass first.

    Args:
        eps: ε of the annotator's label, out of fold, shape [n], in [0, 1].
        err_before: d of the annotator's label, shape [n].
        err_after: d of the label that flipping would give, shape [n].
        alpha: α in (0, 1); one-sided.

    Returns:
        The gain of the flips that are proven, by their bar; of the first band, which does not pay, if none
        is.

    Raises:
        ValueError: as `gain_lower_bound`, or risks outside [0, 1].

    References:
        Maurer, W., Hothorn, L., Lehmacher, W. (1995), Multiple comparisons in drug clinical trials, for tests
        in a fixed order; algorithms.md 8.4.

    >>> eps, wrong = [0.9] * 10 + [0.55] * 10, [True] * 10 + [True, False] * 5
    >>> found = proven(eps, wrong, [not each for each in wrong])
    >>> found.above, found.corrected, found.spoiled
    (0.6, 10, 0)
    """
    risk = checks.risks("eps", eps)
    before = checks.flags("err_before", err_before, size=risk.size)
    after = checks.flags("err_after", err_after, size=risk.size)

    def of(band: checks.Booleans, bar: float) -> Gain:
        return dataclasses.replace(gain_lower_bound(before, np.where(band, after, before), alpha), above=bar)

    found = of(risk > BARS[0], BARS[0])
    for higher, bar in itertools.pairwise(BARS):
        if not found.pays or not of((risk > bar) & (risk <= higher), bar).pays:
            break
        found = of(risk > bar, bar)
    return found

"""What an audit found, look by look, and what follows: another look, a cut to review down to, a bound.

A look is a planned size of the audit; only there may a decision be taken (algorithms.md 8.12). Each of L
looks runs the whole test of target mode at α1/L and α2/L, so that all that any look proves holds together
with probability 1 - α, whenever one stops.

The test, at one look, with m of `certificates.credit_limit`: go through the cuts from the smallest, pass c_j
if UCB(c_j, a_j, k_j; α1) <= m, stop at the first failure. Let j1 be the first cut with more than m errors; it
is fixed. It passes with probability α1 at most. Otherwise what passes has at most the errors of j1 - 1, of
which the audit leaves more than A with probability α2 at most.

When the passing cut costs more than is left, the bound of the affordable cut c_a is max(UCB(c_a), m) - k. It
breaks nothing: if c_a comes before j1, m covers it; else both a wrong bound and a wrong target need UCB(c_a)
below the truth. So whichever of the two claims is made holds with probability 1 - α1 - α2.

An item that stays unresolved, or was not answered, counts as wrong and as not corrected (8.6).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from actuary.stats import certificates, checks, intervals


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Counts of one look within each cut, [J]; a cut contains the smaller ones."""

    audited: tuple[int, ...]
    """a_j: audited items."""
    wrong: tuple[int, ...]
    """k_j: of them wrong, unresolved ones included."""
    unresolved: tuple[int, ...]
    """Of them without an agreed label."""

    def __post_init__(self) -> None:
        for j, (a, k, open_items) in enumerate(zip(self.audited, self.wrong, self.unresolved, strict=True)):
            if not 0 <= open_items <= k <= a:
                raise ValueError(
                    f"found: expected 0 <= unresolved <= wrong <= audited within each cut, got {open_items},"
                    f" {k}, {a} in cut [{j}]"
                )


def tally(
    place: npt.ArrayLike,
    wrong: npt.ArrayLike,
    unresolved: npt.ArrayLike,
    used: npt.ArrayLike,
    cuts: Sequence[int],
) -> Found:
    """Counts an audit within each cut.

    Args:
        place: of each audited item in the frozen order, shape [K], 0 for the least suspicious item.
        wrong: whether people's label differs from the frozen one, shape [K]; read where resolved.
        unresolved: whether there is no agreed label, shape [K].
        used: whether the item's label had been used before (a pilot's, say), shape [K]; must be false.
        cuts: c_j, rising.

    Returns:
        The counts.

    Raises:
        ValueError: an item was used before: an order that has learnt it passes its audit whatever the other
            labels are like (8.2); a place twice or negative, or lengths differ.

    References:
        algorithms.md 8.2, 8.6.

    >>> tally([0, 3, 7], [1, 0, 1], [0, 0, 0], [0, 0, 0], [4, 8])
    Found(audited=(2, 3), wrong=(1, 2), unresolved=(0, 0))
    """
    at = checks.indexes("place", place, 0, 2**62)
    open_items = checks.flags("unresolved", unresolved, size=at.size)
    bad = checks.flags("wrong", wrong, size=at.size) | open_items
    before = checks.flags("used", used, size=at.size)
    if before.any():
        raise ValueError(
            f"used: expected audited items whose labels were used for nothing before, got one at"
            f" [{int(np.argmax(before))}] ({int(before.sum())} of {at.size}): what fitted the order cannot"
            " certify it; draw the audit from the other items"
        )
    if np.unique(at).size < at.size:
        raise ValueError("place: expected each item once, got one twice")
    order = np.argsort(at)
    inside = np.searchsorted(at[order], np.asarray(cuts, dtype=np.int64))

    def within(flag: checks.Booleans) -> tuple[int, ...]:
        counted = np.concatenate([[0], np.cumsum(flag[order])])[inside]
        return tuple(int(value) for value in counted)

    return Found(audited=tuple(int(a) for a in inside), wrong=within(bad), unresolved=within(open_items))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do after the looks so far."""

    look: int
    """Index of the last look taken."""
    cut: int
    """c: items that stay unreviewed but for audited ones, if no further look is taken; 0 reviews all."""
    proven: bool
    """Whether the target is proven for this cut (always in budget mode, which has none)."""
    another: bool
    """Whether the next look is predicted to save labels."""
    labels: int
    """Items reviewed in all with this cut, audit included."""


def passing(design: certificates.Design, look: int, audited: Sequence[int], wrong: Sequence[int]) -> int:
    """Returns the largest cut that passes at a look, 0 if the first one fails.

    Args:
        design: in target mode.
        look: its index.
        audited: a_j, shape [J].
        wrong: k_j, shape [J].

    Raises:
        ValueError: lengths differ, or a count out of range.

    References:
        algorithms.md 3.5. "Review all where the first cut fails": taking the last cut instead, as an index
        of -1 does in public code, certifies nothing (section 2).

    >>> design = certificates.target_design(
    ...     population=1000, eligible=1000, labels=1000, target=0.05, looks=[100],
    ...     alpha1=0.04, alpha2=0.01, cuts=4,
    ... )
    >>> passing(design, 0, [25, 50, 75, 100], [0, 0, 1, 1]), passing(design, 0, [0] * 4, [0] * 4)
    (1000, 0)
    """
    limit, alpha = design.limit(look), design.alpha1 / len(design.looks)
    best = 0
    for cut, a, k in zip(design.cuts, audited, wrong, strict=True):
        if limit < 0 or k > certificates.acceptance(cut, a, limit, alpha):
            break
        best = cut
    return best


def decide(
    design: certificates.Design, looks: Sequence[Found], following: Sequence[int] | None = None
) -> Decision:
    """Decides after the looks so far.

    The best cut is the largest that any look proved. Its cost is c' = N - c + a(c). If that is above the
    budget, the smallest affordable cut takes its place, unproven. The next look is worth taking if its cost,
    predicted by scaling k_j up to the next a_j, is lower.

    Args:
        design: frozen.
        looks: what each look found, at least one, in order.
        following: a_j of the next look, shape [J]; None where there is none.

    Raises:
        ValueError: no look or more than planned, or counts of another number of cuts.

    References:
        algorithms.md 3.5, 8.3.

    >>> design = certificates.target_design(
    ...     population=1000, eligible=1000, labels=400, target=0.05, looks=[100],
    ...     alpha1=0.04, alpha2=0.01, cuts=4,
    ... )
    >>> decide(design, [Found(audited=(25, 50, 75, 100), wrong=(0, 0, 0, 9), unresolved=(0,) * 4)])
    Decision(look=0, cut=750, proven=True, another=False, labels=325)
    """
    look = checks.count("looks", len(looks), 1, len(design.looks)) - 1
    found = looks[-1]
    if design.mode == "budget":
        labels = design.eligible - design.cuts[0] + design.looks[0]
        return Decision(look=0, cut=design.cuts[0], proven=True, another=False, labels=labels)
    best = max(passing(design, index, each.audited, each.wrong) for index, each in enumerate(looks))
    audited = dict(zip(design.cuts, found.audited, strict=True)) | {0: 0}
    labels = design.eligible - best + audited[best]
    another = False
    if following is not None and look + 1 < len(design.looks) and design.looks[look + 1] <= design.labels:
        scaled = [
            math.floor(k * later / a + 0.5) if a else 0
            for k, a, later in zip(found.wrong, found.audited, following, strict=True)
        ]
        predicted = max(best, passing(design, look + 1, following, scaled))
        later_audited = dict(zip(design.cuts, following, strict=True)) | {0: 0}
        another = design.eligible - predicted + later_audited[predicted] < labels
    if labels <= design.labels:
        return Decision(look=look, cut=best, proven=True, another=another, labels=labels)
    cut, labels = next(
        (cut, cost) for cut in design.cuts if (cost := design.eligible - cut + audited[cut]) <= design.labels
    )
    return Decision(look=look, cut=cut, proven=False, another=another, labels=labels)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """The claim: with probability 1 - α, at most `errors` of the N labels are wrong."""

    verdict: certificates.Verdict
    errors: int
    """Upper bound for the labels that are left wrong or unresolved."""
    cut: int
    audited: int
    """Audited items within the cut."""
    wrong: int
    """Of them wrong, unresolved ones included."""
    unresolved: int
    """Items in all that were looked at, or were to be, without an agreed label."""


def conclude(design: certificates.Design, looks: Sequence[Found], unresolved_above: int) -> Conclusion:
    """Concludes after the last look taken, once what lies above the cut has been reviewed.

        budget mode                    UCB(c, K, k; α) - k'
        target mode, proven            A + u
        target mode, too dear          max(UCB(c, a, k; α1/L), m) - k'

    with u the unresolved of the k errors found and k' = k - u the corrected ones; never more than c - a + u,
    what nobody corrected. Every unresolved item above the cut, and of earlier waves, adds one.

    Args:
        design: frozen.
        looks: what each look taken found.
        unresolved_above: items above the cut that have no agreed label, at least 0.

    Raises:
        ValueError: as `decide`, or a negative count.

    References:
        algorithms.md 8.3, 8.6; the third bound: this module's docstring.

    >>> design = certificates.budget_design(population=110, eligible=100, labels=40, audit=15, alpha=0.05)
    >>> conclude(design, [Found(audited=(15,), wrong=(1,), unresolved=(0,))], 0).errors
    18
    """
    decision = decide(design, looks)
    above = checks.count("unresolved_above", unresolved_above, 0, design.eligible - decision.cut)
    a = k = within = left = 0
    if decision.cut:
        index = design.cuts.index(decision.cut)
        a, k, within = (
            counts[index] for counts in (looks[-1].audited, looks[-1].wrong, looks[-1].unresolved)
        )
        if design.mode == "target" and decision.proven:
            left = design.allowed + within
        else:
            bound = intervals.hypergeom_ucb(decision.cut, a, k, design.alpha1 / len(design.looks))
            limit = design.limit(decision.look) if design.mode == "target" else 0
            left = max(bound, limit) - (k - within)
        left = min(left, decision.cut - a + within)
    errors = left + above + design.charged
    verdict: certificates.Verdict = "certified"
    if design.target is not None and errors > certificates.allowance(design.population, design.target):
        verdict = "not-met" if decision.proven else "budget-exhausted"
    return Conclusion(
        verdict=verdict,
        errors=errors,
        cut=decision.cut,
        audited=a,
        wrong=k,
        unresolved=design.charged + within + above,
    )

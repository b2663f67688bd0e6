"""What doubles on a certificate's audit say of the truth: people err too, and pairs show how often.

A certificate bounds disagreement with the reviewers. Where two people labelled the same audited items, blind
and independently, their disagreement bounds a person's error, and with it the labels' distance from the truth
(algorithms.md 8.8). What all reviewers get wrong together stays invisible.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pyarrow.compute as pc

from actuary.stats import agreement, audits
from actuary.storage import artifacts, objects, tables


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The claim about the truth, or why there is none."""

    pairs: int
    """Audited items that two people were to label."""
    agreed: int
    """Of them, those whose two answers agree; a pair that is not complete counts as disagreement."""
    alpha: float
    """Level of the bound on disagreement; the certificate's own levels and this one add up to α."""
    reviewer_error: float | None
    """Upper bound of the rate of a reviewer's mistakes, η+."""
    error: float | None
    """Upper bound of the share of final labels that are not the truth; None where nothing can be said."""
    reason: str
    """Why nothing can be said; empty otherwise."""


def count(store: objects.ObjectStore, plans: Sequence[str], resolved: Sequence[str]) -> tuple[int, int]:
    """Counts the audited items that two people were to label, and those whose answers agree."""
    pairs = agreed = 0
    for plan, answers in zip(plans, resolved, strict=True):
        rows = tables.read_all(store, artifacts.read_manifest(store, plan)[0])
        doubled = rows.filter(
            pc.and_(pc.equal(rows["stratum"], "audit"), pc.greater(rows["labels_wanted"], 1))
        )
        said = tables.read_all(store, artifacts.read_manifest(store, answers)[0])
        unanimous = said.filter(pc.equal(said["method"], "majority"))
        pairs += doubled.num_rows
        agreed += int(pc.sum(pc.is_in(doubled["item_id"], value_set=unanimous["item_id"])).as_py() or 0)
    return pairs, agreed


def claim(*, pairs: int, agreed: int, alpha: float, residual: float, reviewed_share: float) -> Truth:
    """Bounds the share of final labels that are not the truth: `stats.agreement.truth_claim`.

    Args:
        pairs: n, at least 0.
        agreed: of them, in [0, n].
        alpha: α of the bound on disagreement, in (0, 1/2), one-sided.
        residual: the certificate's bound as a share of all labels, [0, 1].
        reviewed_share: share of labels that people gave or confirmed, [0, 1].

    Raises:
        ValueError: an argument out of range.

    >>> made = claim(pairs=200, agreed=195, alpha=0.01, residual=0.05, reviewed_share=0.4)
    >>> round(made.reviewer_error, 4), round(made.error, 4)
    (0.0332, 0.065)
    >>> claim(pairs=60, agreed=60, alpha=0.01, residual=0.05, reviewed_share=0.4).reason
    'expected at least 100 doubles for a statement about the truth, got 60: plan 40 more'
    """
    nothing = Truth(pairs=pairs, agreed=agreed, alpha=alpha, reviewer_error=None, error=None, reason="")
    try:
        made = agreement.truth_claim(
            pairs=pairs,
            disagreed=pairs - agreed,
            residual_high=residual,
            reviewed_share=reviewed_share,
            alpha=2.0 * alpha,  # it splits its level in halves; the certificate has paid for the other one
        )
    except agreement.TooFewPairs as error:
        return dataclasses.replace(nothing, reason=str(error).removeprefix("pairs: "))
    return dataclasses.replace(nothing, reviewer_error=made.reviewer_error_high, error=made.error_high)


def of_conclusions(
    conclusions: Sequence[audits.Conclusion | None],
    populations: Sequence[int],
    pairs: int,
    agreed: int,
    alpha: float,
) -> Truth | None:
    """The claim about all labels together; None where no level was kept for it or a group proved nothing."""
    proven = [each for each in conclusions if each is not None]
    if alpha == 0.0 or len(proven) < len(conclusions):
        return None
    items = sum(populations)
    return claim(
        pairs=pairs,
        agreed=agreed,
        alpha=alpha,
        residual=sum(each.errors for each in proven) / items,
        reviewed_share=1.0 - sum(each.cut - each.audited for each in proven) / items,
    )

"""Whether a campaign's design can support the training loss it asks for, asked before any money is spent.

What the weights of the human labels will be follows, for the rules that take the most suspicious items for
certain, from counts alone: pilot, audit and draw. So a loss that the trainer would refuse at the end
(`stats.training.findings`) is refused at the door. Rules whose weights follow from the risks can only be
judged when these are known, and the trainer does.
"""

from __future__ import annotations

import numpy as np

from actuary import errors
from actuary.stats import checks, designs, placing, training

_MIXES = 101
"""Weights of the wave that are tried, between the smallest that it can have and all."""
_ROWS = 10_000
"""Labels that a remedy is computed from; of more, a part in proportion."""


def without_chance(rule: str, audit: int | None, left: int | None) -> list[errors.Violation]:
    """What can be known before the items are counted: a rule that leaves items without any chance.

    Below the cut of a threshold nobody is drawn, π = 0, and no weight makes up for that. The wave then
    estimates nothing, and its labels have no weight in the loss (`placing.threshold`).

    Args:
        rule: of the draw.
        audit: items of the uniform audit that were asked for; None takes the default, which is enough.
        left: labels that the pilot leaves; None where that is not known yet.
    """
    if rule != "threshold" or audit is None or audit >= placing.AUDIT_BELOW:
        return []
    if left is not None and left <= audit:
        return []
    description = (
        f"expected at least {placing.AUDIT_BELOW} beside the rule threshold where a model is trained, got "
        f"{audit}: items below the cut have no chance to be drawn, so that the labels above it can have no "
        "weight in the loss; raise it, take sampling.rule hybrid or square-root, or set training.model none"
    )
    return [errors.Violation("sampling.audit_items", description)]


def too_uneven(
    *, rule: str, items: int, pilot: int, drawn: int, certain: int, lam: float, cap: float
) -> list[errors.Violation]:
    """What can be known once the items are counted: labels that a loss with a high cap makes worthless.

    Few labels that stand for everything have large weights beside many that stand for themselves. The weight
    ω of the wave is not known yet, but risks can only raise it above what labels of equal risk would give
    (the items below the cut are the surest ones); it is refused only if every such ω is fatal.

    Args:
        rule: of the draw, for the remedy.
        items: N.
        pilot: labels of the pilot.
        drawn: labels of the first wave that are drawn by chance: its audit, or what a hybrid rule draws.
        certain: labels of the first wave that are taken by risk.
        lam: λ of the loss; the share of labels that count does not depend on it.
        cap: W.
    """
    if not certain or drawn < placing.AUDIT_BELOW or pilot + drawn + certain >= items:
        return []
    first = placing.Phase(name="pilot", kind="srs", population=items, certain=0, sampled=pilot, tau=None)
    wave = placing.Phase(
        name="wave", kind="srs", population=items - pilot, certain=certain, sampled=drawn, tau=None
    )
    least = _share_of_wave(first, wave)
    counts = np.array([pilot, drawn, certain])
    best, weights = 0.0, np.ones(3)
    for omega in np.linspace(least, 1.0, _MIXES):
        design = designs.Design(phases=(first, wave), omega=(1.0 - float(omega), float(omega)))
        g = designs.weights(design, [0, 1, 1], [pilot / items, drawn / wave.sampled_population, 1.0])
        share = _effective_share(counts, np.minimum(g, cap))
        if share > best:
            best, weights = share, g
    if best >= training.SMALLEST_EFFECTIVE_SHARE:
        return []
    rows = np.maximum(1, counts * min(1.0, _ROWS / int(counts.sum()))).astype(np.int64)
    enough = training.largest_cap(np.repeat(weights, rows), training.LOW_EFFECTIVE_SHARE)
    more = "sampling.audit_items" if rule == "threshold" else "sampling.audit_share"
    description = (
        f"expected a cap that the design can bear, got {cap:g}: of {int(counts.sum())} human labels "
        f"{pilot + drawn} stand for {items} items, so that all are worth {best:.0%} of as many equal ones in "
        f"a loss with lambda = {lam:g}; lower it to {enough:g}, or raise sampling.pilot_items or {more}"
    )
    return [errors.Violation("training.weight_cap", description)]


def _share_of_wave(first: placing.Phase, wave: placing.Phase) -> float:
    """ω of the wave, were all risks alike."""
    variances = [
        phase.sampled_population**2 * (1.0 / phase.sampled - 1.0 / phase.sampled_population)
        for phase in (first, wave)
    ]
    return float(designs.combine([first, wave], variances).omega[1])


def _effective_share(counts: checks.Integers, w: checks.Floats) -> float:
    """Kish's effective size as a share of the labels that have a weight."""
    used = counts[w > 0.0].sum()
    return float((counts * w).sum() ** 2 / (counts * w**2).sum() / used)

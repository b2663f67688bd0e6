"""The answer of a played reviewer: known truth, with a share of mistakes that a hash decides.

A replay shows what a budget would have bought. Its mistakes depend on seed and item alone, so that a replay
which is killed and run again, and the all-human training set beside it, hold the same labels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def answer(
    *, item_id: str, truth: str, ordinal: int, classes: Sequence[str], seed: int, error_rate: float
) -> str:
    """Returns the truth, or with probability `error_rate` another class.

    Args:
        item_id: the item.
        truth: its true label, one of `classes`.
        ordinal: how many people answered the item before; two people of a double err independently.
        classes: all labels, at least two.
        seed: of the campaign.
        error_rate: share of wrong answers; [0, 1).

    Raises:
        ValueError: fewer than two classes, or a rate outside [0, 1).

    >>> answer(item_id="a", truth="x", ordinal=0, classes=["x", "y"], seed=1, error_rate=0.0)
    'x'
    """
    if len(classes) < 2:
        raise ValueError(f"classes: expected at least 2, got {len(classes)}")
    if not 0.0 <= error_rate < 1.0:
        raise ValueError(f"error_rate: expected a share in [0, 1), got {error_rate}")
    digest = hashlib.sha256(f"{seed}\0{ordinal}\0{item_id}".encode()).digest()
    if int.from_bytes(digest[:8], "big") / 2**64 >= error_rate:
        return truth
    others = [name for name in classes if name != truth]
    return others[int.from_bytes(digest[8:16], "big") % len(others)]

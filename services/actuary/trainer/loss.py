"""The ACT loss as cross entropy with soft targets, in torch.

    loss_i = m_i logsumexp(z_i) - t_i · z_i

with t and m of `stats.training.act_targets`. That is the same as λ CE(z, s) + w δ (CE(z, onehot(y)) - λ CE(z,
s)), in one forward pass, and convex in the logits z since m >= 0. Where w > 1 and the machine was wrong an
entry of t is negative: one item's loss then has no lower bound, the mean over many has; the cap W keeps it
that way.
"""

from __future__ import annotations

from typing import Any


def act_loss(logits: Any, targets: Any, masses: Any) -> Any:
    """Mean of the loss over a batch.

    Args:
        logits: z, tensor [N, K].
        targets: t, tensor [N, K], rows sum to m.
        masses: m, tensor [N], at least 0.

    Returns:
        A tensor without dimensions.

    References:
        ACT (arXiv 2511.09833), section 5; algorithms.md 3.6 and 8.13.
    """
    return (masses * logits.logsumexp(dim=1) - (targets * logits).sum(dim=1)).mean()

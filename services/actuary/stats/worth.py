"""Worth of a critic: evidence that it tells wrong labels from right ones, valid however often one looks.

A critic is worthless if, whatever it says of some items, each of them is as likely as another to be among
the wrong ones. Betting shows the opposite: a gambler who starts with 1 and bets by the critic's risks gets
rich only if they say something. The wealth is a martingale for a worthless critic, so that it ever reaches
1/α, at whatever look, has a probability of at most α (Ville). Looking after every wave is free.

The null is not "the AUROC of the raw score is 1/2" but "risks that were fitted on earlier labels say nothing
of later ones". A critic that is wrong about the direction is calibrated into a useful one, and passes.

Nothing here says how a critic is used; the planner does (`sampler.judging.follow`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.special

from actuary.stats import checks, choice, risk

SLOPE = 1.0
"""What a critic is trusted with before anything was learnt: one unit of logit for one normal score. A guess:
an AUROC of .76 if it holds, and a small loss if it does not."""

GROWTH = 1.3
"""Labels after a block over those before it: few refits, and none of them much out of date. A guess."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """The evidence so far, in nats."""

    alpha: float
    """Probability with which a worthless critic may ever pass."""
    labels: int = 0
    """Labels that were bet on or learnt from."""
    log_wealth: float = 0.0
    """log K now."""
    best: float = 0.0
    """The largest log K so far: what was shown once stays shown."""

    @property
    def shown(self) -> bool:
        """Whether the critic is better than chance, at level α."""
        return self.best >= -math.log(self.alpha)

    @property
    def supported(self) -> bool:
        """Whether the labels speak for the critic more than against it: it was shown, or K is above 1 now."""
        return self.shown or self.log_wealth > 0.0

    def after(self, eps: npt.ArrayLike, err: npt.ArrayLike) -> Worth:
        """Bets on one more block of labels, by risks that were frozen before them.

        Args:
            eps: ε, shape [m], in [0, 1].
            err: d, shape [m].

        Returns:
            The evidence after them.

        Raises:
            ValueError: risks outside [0, 1], or lengths that differ.
        """
        if not len(np.asarray(eps)):
            return self
        wealth = self.log_wealth + log_evidence(eps, err)
        return dataclasses.replace(
            self,
            labels=self.labels + len(np.asarray(err)),
            log_wealth=wealth,
            best=max(self.best, wealth),
        )


def log_evidence(eps: npt.ArrayLike, err: npt.ArrayLike) -> float:
    """The factor by which a block of labels changes the wealth, as a logarithm.

    Given that k of m labels are wrong, a worthless critic leaves all C(m, k) sets of them equally likely; the
    critic says that a set S has a probability in proportion to Π_S w_i, with odds w = ε/(1 - ε). The bet pays
    the ratio

        E = C(m, k) Π_{wrong} w_i / e_k(w),    e_k(w) = Σ_{|S| = k} Π_S w_i,

    whose mean over the sets is 1 exactly. The error rate cancels, so that it need not be known, and labels
    may be drawn without replacement. Σ over sets by the recursion of elementary symmetric polynomials,
    O(m k).

    Args:
        eps: ε, shape [m], in [0, 1], fixed before these labels were seen.
        err: d, shape [m].

    Returns:
        log E; 0 when all labels are of one kind.

    Raises:
        ValueError: no items, risks outside [0, 1], or lengths that differ.

    References:
        Cox, D. (1972), Regression models and life-tables, JRSS-B 34, equation 12, for the likelihood;
        Grünwald, de Heide, Koolen (2024), Safe testing, JRSS-B 86, for ratios as bets.

    >>> round(math.exp(log_evidence([0.8, 0.5], [True, False])), 3)
    1.6
    >>> log_evidence([0.5, 0.5, 0.5], [True, False, True])
    0.0
    """
    predicted = checks.risks("eps", eps)
    wrong = checks.flags("err", err, size=predicted.size)
    m, k = wrong.size, int(wrong.sum())
    if k in (0, m):
        return 0.0
    eta = risk.logit(predicted)
    eta -= eta.mean()
    told = eta[wrong].sum()
    if k > m - k:  # choosing the wrong ones is choosing the right ones by inverse odds: fewer sums
        told, eta, k = told - eta.sum(), -eta, m - k
    sums = np.full(k + 1, -np.inf)
    sums[0] = 0.0
    for value in eta:
        sums[1:] = np.logaddexp(sums[1:], sums[:-1] + value)
    sets = scipy.special.gammaln([m + 1, k + 1, m - k + 1])
    found = float(sets[0] - sets[1] - sets[2] + told - sums[k])
    return 0.0 if abs(found) < 1e-9 else found


def blocks(labels: int) -> list[tuple[int, int]]:
    """Cuts labels, in the order of their draw, into blocks that are bet on after learning from all before.

    >>> blocks(40)
    [(0, 20), (20, 26), (26, 34), (34, 40)]
    """
    found, start = [], 0
    while start < labels:
        stop = min(labels, max(risk.MIN_LABELS, math.ceil(start * GROWTH)))
        found.append((start, stop))
        start = stop
    return found


def _as_it_came(score: checks.Floats) -> checks.Floats:
    """Turns a score into risks by its rank alone: its claim is an order, and its scale is not to be trusted.

    logit ε = slope Φ⁻¹(rank/(n + 1)), ties at their mean rank; 0 where the score is missing.
    """
    known = np.flatnonzero(~np.isnan(score))
    eta = np.zeros(score.size)
    if known.size:
        _, group, count = np.unique(score[known], return_inverse=True, return_counts=True)
        rank = (np.cumsum(count) - (count - 1) / 2.0)[group]
        eta[known] = SLOPE * scipy.special.ndtri(rank / (known.size + 1.0))
    return np.asarray(scipy.special.expit(eta), dtype=np.float64)


def bet(
    candidates: Sequence[choice.Candidate],
    x: npt.ArrayLike,
    err: npt.ArrayLike,
    alpha: float,
    scores: Sequence[int] = (),
) -> Worth:
    """Bets on labels in the order of their draw, each block by models fitted on the labels before it.

    Every score plays as it came, from the first label on, and every candidate as soon as it can be fitted,
    each with an equal share of the starting wealth: one of them being right is enough, and nobody chooses
    afterwards. A mean of martingales is one.

    Args:
        candidates: kinds of models; one that takes more labels than there are so far keeps its share.
        x: features, shape [n, p], in the order of the draw, NaN where missing.
        err: d, shape [n].
        alpha: α in (0, 1).
        scores: columns of x that are critics' scores, a larger one being more suspicious.

    Returns:
        The evidence after all labels.

    Raises:
        ValueError: nobody to bet, lengths that differ, or α outside (0, 1).

    References:
        Ville (1939), Étude critique de la notion de collectif; Shafer, G. (2021), Testing by betting, JRSS-A
        184.

    >>> rng = np.random.default_rng(1)
    >>> x = rng.normal(size=(200, 1))
    >>> platt = choice.Candidate(kind="platt", columns=(0,), fit=risk.fit_platt)
    >>> good = bet([platt], x, rng.random(200) < scipy.special.expit(2 * x[:, 0]), 0.05)
    >>> good.shown, bet([platt], x, rng.random(200) < 0.3, 0.05).shown
    (True, False)
    """
    features = checks.floats("x", x, ndim=2, nan=True)
    wrong = checks.flags("err", err, size=features.shape[0])
    checks.share("alpha", alpha)
    claims = [_as_it_came(features[:, column]) for column in scores]
    purses = np.zeros(len(claims) + len(candidates))
    if not purses.size:
        raise ValueError("candidates: expected at least one candidate or score, got none")
    wealth, best = 0.0, 0.0
    for start, stop in blocks(wrong.size):
        block = slice(start, stop)
        for c, claim in enumerate(claims):
            purses[c] += log_evidence(claim[block], wrong[block])
        for c, candidate in enumerate(candidates, start=len(claims)):
            if start >= max(candidate.least, risk.MIN_LABELS):
                model = choice.fit_or_constant(candidate, features[:start], wrong[:start])
                purses[c] += log_evidence(model.predict(features[block]), wrong[block])
        wealth = float(np.logaddexp.reduce(purses)) - math.log(purses.size)
        best = max(best, wealth)
    return Worth(alpha=alpha, labels=wrong.size, log_wealth=wealth, best=best)

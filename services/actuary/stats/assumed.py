"""Assumed worlds: what a machine and its critic may be like, before any of their labels was looked at.

A world has two numbers: the machine's accuracy A, and the AUROC with which the calibrated critic ranks its
mistakes. The critic is binormal: its score is N(0, 1) of a right label and N(δ, 1) of a wrong one, with
δ = √2 Φ⁻¹(AUROC). Then the two numbers decide all that a budget can do,

    e = 1 - A,     ε(z) = e φ(z - δ) / (e φ(z - δ) + A φ(z)),

and any rule's π(ε) leaves the share E[ε (1 - π)]/e of the errors. Both numbers are assumed by a range, and
the worlds are spread evenly over what was assumed: what holds in 95 of 100 worlds is no more than that.

Flips are left out: what they put right comes on top. Nothing here is measured, nothing is drawn by chance,
and what a budget buys in these worlds is `prior_quote`.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import numpy.typing as npt
import scipy.interpolate
import scipy.special
import scipy.stats

from actuary.stats import checks, quote, weighing

BELIEF = 0.95
"""Belief that a range holds, the same on either side of it."""

LEARNING = 1.5
"""Labels of a pilot half of which show a critic's worth, over those that it takes on average where its risks
are known: what is learnt first is not bet on. Measured with `worth.bet` on one score and Platt scaling, error
rates of .1 to .4 and AUROCs of .65 to .85: 45 to 65 % of such pilots showed it."""

_WORLDS_LOG2 = 11
"""Worlds, as a power of two: 2,048, so that a tail of 2.5 % is 51 of them."""
_ITEMS = 1_000
"""Items that stand for a world's population, each for as many of it."""
_REACH = 4.0
"""Normal scores beyond which no world lies: half a world is beyond ±3.49."""
_STEPS = 8
"""Values of each number between which worlds are interpolated."""
SHARES = np.linspace(0.0, 1.0, 25) ** 2.5
"""Reviewed shares between which they are; finer where a critic finds most."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A number that is assumed: with 95 % of the belief it lies in [low, high], with 2.5 % on either side.

    The belief is normal in the log odds of (x - floor)/(1 - floor): no value is impossible, and the range is
    met exactly by a formula, which a beta distribution would have to be fitted for.

    Raises:
        ValueError: not floor < low < high < 1.

    >>> accuracy = Range(low=0.5, high=0.9)
    >>> accuracy.quantile([0.025, 0.5, 0.975]).round(3).tolist()
    [0.5, 0.75, 0.9]
    """

    low: float
    high: float
    floor: float = 0.0
    """What it cannot fall below: 0 of an accuracy, 1/2 of an AUROC."""

    def __post_init__(self) -> None:
        if not self.floor < self.low < self.high < 1.0:
            raise ValueError(
                f"range: expected {self.floor:g} < low < high < 1, got low {self.low} and high {self.high}"
            )

    def at(self, z: npt.ArrayLike) -> checks.Floats:
        """The value at some normal scores: 0 is the median, ±1.96 are the ends of the range."""
        low, high = (
            float(scipy.special.logit((end - self.floor) / (1.0 - self.floor)))
            for end in (self.low, self.high)
        )
        end = float(scipy.special.ndtri((1.0 + BELIEF) / 2.0))
        eta = (low + high) / 2.0 + (high - low) / 2.0 * (np.asarray(z, dtype=np.float64) / end)
        value: checks.Floats = self.floor + (1.0 - self.floor) * scipy.special.expit(eta)
        return value

    def quantile(self, p: npt.ArrayLike) -> checks.Floats:
        """The value below which the share p of the belief lies; p in (0, 1), any shape."""
        return self.at(scipy.special.ndtri(checks.uniforms("p", np.atleast_1d(p))))


MACHINE_ACCURACY = Range(low=0.5, high=0.98)
"""What is assumed of a machine that nobody has described: from a coin's toss of two classes to nearly
perfect. A guess, and a wide one."""

CRITIC_AUROC = Range(low=0.55, high=0.9, floor=0.5)
"""The same of a critic after its calibration. A guess around what was measured: .60 on misinformation, .77 on
politeness, .87 on digits."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Worlds:
    """The assumed worlds, W of them, all of one weight."""

    error: checks.Floats
    """e, the machine's error rate, [W]."""
    needed: checks.Floats
    """Labels after which the critic is followed, [W]."""
    cut_noise: checks.Floats
    """In (0, 1), [W]: where the cut of a finite population falls."""
    label_noise: checks.Floats
    """In (0, 1), [W]: how many labels of a finite population are wrong."""
    auroc: checks.Floats
    """The critic's AUROC, [W]."""
    left: checks.Floats
    """Share of the errors that stay at each of some reviewed shares (`SHARES`), [W, F]."""

    def stays(self, reviewed: npt.ArrayLike, labels: int) -> checks.Floats:
        """Share of the errors that stay when a share of the items is reviewed, [W].

        Args:
            reviewed: share that the rule reviews, [W] or a number, in [0, 1].
            labels: of the pilot; where they do not speak for the critic, chance decides who is reviewed.
        """
        f = np.broadcast_to(np.asarray(reviewed, dtype=np.float64), self.error.shape)
        at = np.clip(np.searchsorted(SHARES, f, side="right") - 1, 0, SHARES.size - 2)
        rows = np.arange(f.size)
        before, after = self.left[rows, at], self.left[rows, at + 1]
        followed = before + (after - before) * (f - SHARES[at]) / (SHARES[at + 1] - SHARES[at])
        return np.where(labels >= self.needed, followed, 1.0 - f)


@functools.lru_cache(maxsize=32)
def worlds(accuracy: Range, auroc: Range, plan: quote.Plan, level: float) -> Worlds:
    """Spreads worlds evenly over what is assumed.

    They are the points of a Sobol sequence, so that the same assumptions have the same worlds. Those
    asked for last are kept: they take seconds, and whoever tries budgets asks for the same again.

    Args:
        accuracy: of the machine.
        auroc: of the calibrated critic.
        plan: how a budget would be spent.
        level: α of the bets that a critic must win before it is followed, in (0, 1]; 1 follows it always.

    Returns:
        The worlds.

    Raises:
        ValueError: an unknown rule, or parameters that it refuses.

    References:
        Binormal critics: Hanley (1988), The robustness of the binormal assumptions, Medical Decision Making
        8. Sobol (1967).

    >>> found = worlds(MACHINE_ACCURACY, CRITIC_AUROC, quote.Plan(rule="threshold"), level=1.0)
    >>> bool(np.all(found.stays(0.1, labels=0) <= 0.9 + 1e-9))  # never worse than chance
    True
    """
    if plan.rule not in weighing.RULES:
        raise ValueError(f"rule: expected one of {', '.join(weighing.RULES)}, got {plan.rule!r}")
    sequence = scipy.stats.qmc.Sobol(d=4, scramble=False).random_base2(_WORLDS_LOG2)
    u = sequence + 0.5 / 2**_WORLDS_LOG2  # the sequence begins at 0
    scores = scipy.special.ndtri(u[:, :2])
    axis = np.linspace(-_REACH, _REACH, _STEPS)
    stays = np.empty((_STEPS, _STEPS, SHARES.size))
    needed = np.empty((_STEPS, _STEPS))
    for i, error in enumerate(1.0 - accuracy.at(axis)):
        for j, each in enumerate(auroc.at(axis)):
            eps = population(float(error), float(each))
            needed[i, j] = labels_to_show(eps, level) if level < 1.0 else 0.0
            for k, share in enumerate(SHARES):
                left = eps * (1.0 - quote.probabilities(eps, float(share), plan))
                stays[i, j, k] = left.sum() / eps.sum()
    smooth = functools.partial(scipy.interpolate.RegularGridInterpolator, (axis, axis), method="cubic")
    left = np.clip(smooth(stays)(scores), 0.0, 1.0)
    found = Worlds(
        error=1.0 - accuracy.at(scores[:, 0]),
        auroc=auroc.at(scores[:, 1]),
        needed=np.exp(smooth(np.log(needed))(scores)) if level < 1.0 else np.zeros(len(u)),
        cut_noise=u[:, 2],
        label_noise=u[:, 3],
        left=np.minimum.accumulate(left, axis=1),
    )
    for field in dataclasses.fields(found):  # many share it
        getattr(found, field.name).setflags(write=False)
    return found


def population(error: float, auroc: float, items: int = _ITEMS) -> checks.Floats:
    """Risks of a binormal critic, calibrated: of `items` parts of the population, each of the same size.

    Part k lies between the quantiles k/n and (k + 1)/n of the score, and its ε is the share of its labels
    that are wrong, so that the mean of ε is e exactly.

    Args:
        error: e in (0, 1).
        auroc: in [0.5, 1).
        items: n, at least 1.

    Returns:
        ε, shape [n], falling.

    Raises:
        ValueError: e outside (0, 1) or AUROC outside [0.5, 1).

    References:
        algorithms.md section 1 (budget and gain); Hanley (1988).

    >>> eps = population(0.3, 0.8)
    >>> round(float(eps.mean()), 12), bool((eps[:-1] >= eps[1:]).all())
    (0.3, True)
    """
    e = checks.share("error", error)
    if not 0.5 <= auroc < 1.0:
        raise ValueError(f"auroc: expected a number in [0.5, 1), got {auroc}")
    delta = separation(auroc)
    z = np.linspace(-9.0, delta + 9.0, 8_001)
    below = e * scipy.special.ndtr(z - delta) + (1.0 - e) * scipy.special.ndtr(z)
    cuts = np.interp(np.arange(1, items) / items, below, z)
    # from above: of the upper tail ndtr(-z) keeps its digits
    wrong_above = np.concatenate([[1.0], scipy.special.ndtr(delta - cuts), [0.0]])
    eps = np.minimum(e * items * (wrong_above[:-1] - wrong_above[1:]), 1.0)
    return np.sort(eps)[::-1]


def separation(auroc: float) -> float:
    """δ of a binormal critic, √2 Φ⁻¹(AUROC).

    >>> round(separation(0.76), 2)
    1.0
    """
    return math.sqrt(2.0) * float(scipy.special.ndtri(auroc))


def labels_to_show(eps: npt.ArrayLike, level: float) -> float:
    """Labels of a pilot half of which show that a critic is better than chance.

    A bet by true risks gains I nats a label, the mutual information of risk and error,

        I = E[ε log(ε/e) + (1 - ε) log((1 - ε)/(1 - e))],

    and has shown it at log 1/α. A critic's risks have to be learnt first, from the same labels: `LEARNING`
    times as many.

    Args:
        eps: calibrated ε of the population, shape [n], in [0, 1], with a mean in (0, 1).
        level: α in (0, 1].

    Returns:
        The labels; infinite for a critic that says nothing.

    Raises:
        ValueError: risks or level out of range, or all risks 0, or all 1.

    References:
        Kelly (1956), A new interpretation of information rate; Wald (1945), Sequential tests of statistical
        hypotheses; `worth.bet`.

    >>> round(labels_to_show(population(0.3, 0.8), 0.1))
    27
    """
    risk = checks.risks("eps", eps)
    if not 0.0 < level <= 1.0:
        raise ValueError(f"level: expected a number in (0, 1], got {level}")
    e = checks.share("mean of eps", float(risk.mean()))
    information = float(
        (scipy.special.rel_entr(risk, e) + scipy.special.rel_entr(1.0 - risk, 1.0 - e)).mean()
    )
    return LEARNING * -math.log(level) / information if information > 0.0 else math.inf

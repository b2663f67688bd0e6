"""Class shares: what share of the N items people would give a class, and what share of the process behind.

    T = Σ_i f_i + Σ_S g_i (y_i - f_i),     share = T/N

with y = 1[people say k], any f in [0, 1] that did not see the item's own answer (the machine's probability of
k, or its hard label as 0 or 1), and g of `designs`. It is the estimator of `estimates` with another y; a
share near one half needs an interval of its own, since neither "is k" nor "is not k" is rare then.

It deliberately fits nothing: f comes frozen, and `tuned` scales a hard one.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from actuary.stats import checks, designs, estimates, intervals

Sample = estimates.Sample
"""Here `wrong` is y and `eps` is f."""


def total(design: designs.Design, sample: Sample, f_sum: float, alpha: float = 0.05) -> estimates.Estimate:
    """Estimates T, the number of items that people would give the class.

    Which interval, and why (algorithms.md 8.11):

    - one simple random sample and no f: hypergeometric, exact.
    - at least 20 surprises (|y - f| > 1/2) and no g |y - f| above a tenth of their sum: Wald. What f says
      well adds no spread, so that surprises are what must be many, not items of the class.
    - else T = Σ f + U - O with the rare totals U of (y - f)⁺ and O of (f - y)⁺, each with a gamma interval;
      approximate, wide rather than narrow.

    All are cut to what is known for certain.

    Args:
        design: the phases and ω.
        sample: the S labelled items; `wrong` is y, `eps` is f.
        f_sum: Σ f over all N items, labelled ones included.
        alpha: α in (0, 1); two-sided.

    Returns:
        T in items, with its interval.

    Raises:
        ValueError: as `estimates.total_errors`.

    References:
        algorithms.md 3.4, 8.5, 8.11; Fay and Feuer (1997).

    >>> from actuary.stats import placing
    >>> phase = placing.Phase(name="p", kind="srs", population=10, certain=0, sampled=4, tau=None)
    >>> sample = Sample.of(phase=[0] * 4, pi=[0.4] * 4, wrong=[1, 1, 1, 0], eps=[0.0] * 4)
    >>> found = total(designs.Design(phases=(phase,), omega=(1.0,)), sample, 0.0)
    >>> found.value, found.low, found.high, found.method
    (7.5, 3.0, 9.0, 'hypergeometric')
    """
    checks.share("alpha", alpha)
    estimates.check(design, sample, f_sum)
    if estimates.complete(design) or estimates.countable(design, f_sum):
        return estimates.total_errors(design, sample, f_sum, alpha)
    random = estimates.stand_for_others(design, sample)
    residual = sample.wrong - sample.eps
    g = designs.weights(design, sample.phase, sample.pi)
    value = f_sum + float((g * residual).sum())
    se = math.sqrt(estimates.variance(design, sample))
    surprises = int((np.abs(residual[random]) > 0.5).sum())
    method = intervals.choose(surprises, np.abs(g * residual)[random], exact=False)
    if method == "wald":
        interval = intervals.wald(value, se, alpha)
    else:
        interval = _two_gammas(design, sample, f_sum, alpha)
    return estimates.cut(design, sample, value, interval, se, method)


def _two_gammas(design: designs.Design, sample: Sample, f_sum: float, alpha: float) -> intervals.Interval:
    """Σ f + U - O, the two gamma intervals put together by their distances (MOVER), as in `process`."""
    random = estimates.stand_for_others(design, sample)
    residual = sample.wrong - sample.eps
    standing = (np.asarray(design.omega)[sample.phase] / sample.pi)[random]
    sure = f_sum + float((estimates.certain_weight(design, sample, random) * residual).sum())

    def rare(part: checks.Floats, *, possible: bool) -> tuple[float, float, float]:
        """The total of a part, and the distances to its ends."""
        if not possible:
            return 0.0, 0.0, 0.0
        total = float((standing * part[random]).sum())
        bounds = estimates.weighted_count(design, sample, part, random, alpha)
        return total, total - bounds.low, bounds.high - total

    under, under_low, under_high = rare(np.maximum(residual, 0.0), possible=f_sum < design.items)
    over, over_low, over_high = rare(np.maximum(-residual, 0.0), possible=f_sum > 0.0)
    value = sure + under - over
    low, high = value - math.hypot(under_low, over_high), value + math.hypot(under_high, over_low)
    # T is a whole number; rounding errors of the sums must not cost an item.
    return intervals.Interval(low=float(math.floor(low + 1e-9)), high=float(math.ceil(high - 1e-9)))


def soft_labels(label: npt.ArrayLike, eps: npt.ArrayLike, classes: int) -> checks.Floats:
    """Class probabilities of labels that came without any: 1 - ε on the label, the rest spread evenly.

    Args:
        label: ŷ, shape [N], in [0, K).
        eps: ε, its risk, shape [N], in [0, 1].
        classes: K, at least 2.

    Returns:
        f, shape [N, K]; rows sum to 1.

    Raises:
        ValueError: a label, a risk or K out of range, or lengths differ.

    >>> soft_labels([0, 2], [0.2, 0.0], 3).tolist()
    [[0.8, 0.1, 0.1], [0.0, 0.0, 1.0]]
    """
    k = checks.count("classes", classes, 2, 2**31)
    index = checks.indexes("label", label, 0, k)
    risk = checks.within("eps", eps, 0.0, 1.0, size=index.size)
    f: checks.Floats = np.repeat(risk[:, None] / (k - 1), k, axis=1)
    f[np.arange(index.size), index] = 1.0 - risk
    return f


def of_items(found: estimates.Estimate, items: int, certain: int = 0, of: int = 0) -> estimates.Estimate:
    """Turns a total into a share: (T + c)/(N + m).

    Args:
        found: T of N items.
        items: N, at least 1.
        certain: c, items of the class among m that are known for certain (people labelled what no machine
            did), [0, m].
        of: m, at least 0.

    Returns:
        The share in [0, 1].

    Raises:
        ValueError: a count out of range.

    >>> t = estimates.Estimate(value=5.0, low=2.0, high=8.0, se=1.0, method="wald", approximate=False)
    >>> of_items(t, 10, certain=1, of=2).value
    0.5
    """
    items = checks.count("items", items, 1, 2**62)
    of = checks.count("of", of, 0, 2**62)
    certain = checks.count("certain", certain, 0, of)
    n = items + of
    return dataclasses.replace(
        found,
        value=(found.value + certain) / n,
        low=(found.low + certain) / n,
        high=(found.high + certain) / n,
        se=found.se / n,
    )


def process(share: estimates.Estimate, items: int, alpha: float = 0.05) -> estimates.Estimate:
    """Widens a share of these N items to the share of the process that they were drawn from.

    The N items are themselves N independent draws, so that even a complete count leaves θ(1 - θ)/N of
    variance. The two doubts are independent given θ and are put together by their own distances (MOVER):

        low = θ - ((θ - l)² + (θ - l_N)²)^1/2,  high = θ + ((h - θ)² + (h_N - θ)²)^1/2

    with [l, h] for these items and [l_N, h_N] the Clopper-Pearson interval of θN hits in N. With two normal
    intervals this is the normal interval of the summed variance.

    Args:
        share: of these items, in [0, 1].
        items: N.
        alpha: α that `share` was made with; two-sided.

    Returns:
        The share of the process.

    Raises:
        ValueError: N below 1, a share outside [0, 1], or α outside (0, 1).

    References:
        Zou, G., Huang, W., Zhang, X. (2009), A note on confidence interval estimation for a linear function
        of binomial proportions, CSDA 53, 1080-1085. algorithms.md 3.4.

    >>> census = estimates.Estimate(value=0.1, low=0.1, high=0.1, se=0.0, method="exact", approximate=False)
    >>> wider = process(census, 100)
    >>> round(wider.low, 3), round(wider.high, 3), round(wider.se, 3)
    (0.049, 0.176, 0.03)
    """
    items = checks.count("items", items, 1, 2**62)
    theta = float(checks.within("share", [share.value], 0.0, 1.0)[0])
    # Between two whole counts the wider of both neighbours is taken.
    below = intervals.clopper_pearson(math.floor(theta * items + 1e-9), items, alpha)
    above = intervals.clopper_pearson(math.ceil(theta * items - 1e-9), items, alpha)
    return dataclasses.replace(
        share,
        low=max(0.0, theta - math.hypot(theta - share.low, theta - below.low)),
        high=min(1.0, theta + math.hypot(share.high - theta, above.high - theta)),
        se=math.hypot(share.se, math.sqrt(theta * (1.0 - theta) / items)),
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """A sample whose control variate is λ f."""

    sample: Sample
    f_sum: float
    """λ Σ f."""
    lam: float


def tuned(design: designs.Design, sample: Sample, f_sum: float) -> Tuned:
    """Scales a hard f by the λ in [0, 1] that minimises the estimated variance (power tuning).

    With C the covariance that `estimates.variance` implies (centred in a simple random sample, Σ (1 - π)/π² y
    f in a priority sample), λ = Σ_v ω_v² C_v(y, f) / Σ_v ω_v² C_v(f, f), cut to [0, 1]. A machine that is
    never wrong gets 1, one that tells nothing 0. For hard labels only: a calibrated soft f is at its best
    with λ = 1, and a λ fitted on top of it would only add noise.

    One number fitted on the sample it is used on costs little; small samples (below about 50) pay with a
    slightly low standard error.

    Args:
        design: the phases and ω.
        sample: `eps` is f, each 0 or 1.
        f_sum: Σ f over all N items.

    Returns:
        Sample and sum to estimate with, and λ; 0 where f does not vary in the sample.

    Raises:
        ValueError: an f between 0 and 1, or what `estimates.total_errors` refuses.

    References:
        Angelopoulos, A., Duchi, J., Zrnic, T. (2023), PPI++, section 6. algorithms.md 3.4 wants λ centred
        always; on politeness, with unequal π, that gave an RMSE of .0198 against .0192 without.

    >>> from actuary.stats import placing
    >>> phase = placing.Phase(name="p", kind="srs", population=10, certain=0, sampled=4, tau=None)
    >>> sample = Sample.of(phase=[0] * 4, pi=[0.4] * 4, wrong=[1, 1, 0, 0], eps=[1, 0, 1, 0])
    >>> tuned(designs.Design(phases=(phase,), omega=(1.0,)), sample, 5.0).lam
    0.0
    """
    estimates.check(design, sample, f_sum)
    if not np.isin(sample.eps, (0.0, 1.0)).all():
        raise ValueError("sample: expected hard f, each 0 or 1; a calibrated soft f needs no λ")

    def spread(y: checks.Booleans, f: checks.Floats) -> float:
        return estimates.variance(design, dataclasses.replace(sample, wrong=y, eps=f))

    none = np.zeros(sample.eps.size)
    own = spread(none.astype(np.bool_), sample.eps)
    lam = 0.0
    if own > 0.0:
        both = spread(sample.wrong, none) + own - spread(sample.wrong, sample.eps)
        lam = float(np.clip(both / (2.0 * own), 0.0, 1.0))
    return Tuned(sample=dataclasses.replace(sample, eps=lam * sample.eps), f_sum=lam * f_sum, lam=lam)

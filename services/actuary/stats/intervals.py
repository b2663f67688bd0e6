"""Intervals: bounds that hold, for counts in finite populations, weighted counts and bounded means.

Which one holds when (algorithms.md 8.11 and the tables T2a, T8):

    wald               a normal estimate: many errors found, no item that dominates
    fay_feuer          a weighted count of few errors: valid at 0 found; approximate, errs on the wide side
    hypergeom_bounds   errors in a finite population from a simple random sample: exact
    clopper_pearson    a probability from independent trials: exact
    betting            the mean of any variable in [0, 1]: exact, and adapts to small variance

All are at one look at a fixed time: watching a bound until it pleases breaks it (T8).
"""

from __future__ import annotations

import bisect
import dataclasses
import math
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.special

from actuary.stats import checks, hypergeometric

Method = Literal["wald", "gamma", "hypergeometric", "clopper-pearson", "betting", "exact", "prior-predictive"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A two-sided interval."""

    low: float
    high: float


def wald(value: float, se: float, alpha: float = 0.05) -> Interval:
    """The normal interval: value ± z_{1-α/2} se.

    Args:
        value: the estimate.
        se: its standard error, at least 0.
        alpha: α in (0, 1); two-sided.

    Returns:
        The interval, not clipped.

    Raises:
        ValueError: a value that is not finite, a negative standard error, or α outside (0, 1).

    References:
        Cochran (1977), section 2.13.

    >>> wald(10.0, 1.0).high.__round__(2)
    11.96
    """
    checks.floats("value", [value])
    checks.sizes("se", [se])
    z = float(scipy.special.ndtri(1.0 - checks.share("alpha", alpha) / 2.0))
    return Interval(low=value - z * se, high=value + z * se)


def clopper_pearson(found: int, trials: int, alpha: float = 0.05) -> Interval:
    """The exact interval for a binomial probability.

    low = BetaInv(α/2; k, n - k + 1), high = BetaInv(1 - α/2; k + 1, n - k).

    Args:
        found: k in [0, n].
        trials: n, at least 1.
        alpha: α in (0, 1); two-sided. A one-sided bound at level 1 - α is the end at 2α.

    Returns:
        Bounds in [0, 1].

    Raises:
        ValueError: k or n out of range, or α outside (0, 1).

    References:
        Clopper, C., Pearson, E. (1934), Biometrika 26, 404-413.

    >>> round(clopper_pearson(0, 60).high, 4)
    0.0596
    """
    trials = checks.count("trials", trials, 1, 2**62)
    found = checks.count("found", found, 0, trials)
    half = checks.share("alpha", alpha) / 2.0
    low = 0.0 if found == 0 else float(scipy.special.betaincinv(found, trials - found + 1, half))
    high = 1.0 if found == trials else float(scipy.special.betaincinv(found + 1, trials - found, 1.0 - half))
    return Interval(low=low, high=high)


def hypergeom_ucb(population: int, sampled: int, found: int, alpha: float = 0.05) -> int:
    """The exact upper bound for the number of errors in a finite population.

    max{M : P(Hyp(N, M, n) <= k) > α}: the largest number of errors under which finding so few is not a
    surprise. The probability falls with M, so bisection finds it.

    Args:
        population: N, at least 1.
        sampled: n, size of the simple random sample, [0, N].
        found: k, errors in it, [0, n].
        alpha: α in (0, 1); one-sided.

    Returns:
        M in [k, N - (n - k)].

    Raises:
        ValueError: a count out of range, or α outside (0, 1).

    References:
        Buonaccorsi, J. (1987), A note on confidence intervals for proportions in finite populations, American
        Statistician 41, 215-218.

    >>> hypergeom_ucb(100, 50, 0)
    4
    """
    population = checks.count("population", population, 1, 2**62)
    sampled = checks.count("sampled", sampled, 0, population)
    found = checks.count("found", found, 0, sampled)
    alpha = checks.share("alpha", alpha)
    more = range(found + 1, population - (sampled - found) + 1)
    return found + bisect.bisect_left(
        more, True, key=lambda errors: hypergeometric.cdf(found, population, errors, sampled) <= alpha
    )


def hypergeom_bounds(population: int, sampled: int, found: int, alpha: float = 0.05) -> Interval:
    """The exact two-sided interval for the number of errors in a finite population, α/2 on each side.

    The lower bound is the upper bound for the correct items, turned round.

    Args:
        population: N, at least 1.
        sampled: n, size of the simple random sample, [0, N].
        found: k, errors in it, [0, n].
        alpha: α in (0, 1); two-sided.

    Returns:
        Whole numbers between k and N - (n - k).

    Raises:
        ValueError: a count out of range, or α outside (0, 1).

    References:
        Buonaccorsi (1987).

    >>> hypergeom_bounds(100, 50, 25)
    Interval(low=40.0, high=60.0)
    """
    half = checks.share("alpha", alpha) / 2.0
    high = hypergeom_ucb(population, sampled, found, half)
    low = population - hypergeom_ucb(population, sampled, sampled - found, half)
    return Interval(low=float(low), high=float(high))


def fay_feuer(
    value: float,
    variance: float,
    largest_weight: float,
    alpha: float = 0.05,
    *,
    largest_variance: float | None = None,
) -> Interval:
    """The gamma interval for a weighted sum of rare counts, y = Σ w_i x_i.

        low  = v/(2y) χ²Inv(α/2; 2y²/v)
        high = v'/(2y') χ²Inv(1 - α/2; 2y'²/v'),  y' = y + w_M,  v' = v + w_M²

    The upper end asks what one more error at the largest weight would make, and so is sensible when none was
    found: it is then the Poisson bound, 3.69 w_M at 95 %. Approximate, and wide rather than narrow (T2a).

    Args:
        value: y, at least 0.
        variance: v, its estimated variance, at least 0.
        largest_weight: w_M, the largest weight that an error could have had, at least 0.
        alpha: α in (0, 1); two-sided.
        largest_variance: what one error at the largest weight adds to the variance; w_M² by default, less
            in a finite population.

    Returns:
        Bounds, at least 0.

    Raises:
        ValueError: a negative or infinite argument, or α outside (0, 1).

    References:
        Fay, M., Feuer, E. (1997), Confidence intervals for directly standardized rates: a method based on
        the gamma distribution, Statistics in Medicine 16, 791-801.

    >>> round(fay_feuer(0.0, 0.0, 10.0).high, 2)
    36.89
    >>> bounds = fay_feuer(5.0, 5.0, 1.0)
    >>> round(bounds.low, 2), round(bounds.high, 2)
    (1.62, 11.67)
    """
    if largest_variance is None:
        largest_variance = largest_weight**2
    arguments = [value, variance, largest_weight, largest_variance]
    if not all(0.0 <= each < math.inf for each in arguments):
        checks.sizes("value, variance, largest_weight, largest_variance", arguments)
    half = checks.share("alpha", alpha) / 2.0
    low = value
    if value > 0.0 and variance > 0.0:
        low = variance / value * float(scipy.special.gammaincinv(value**2 / variance, half))
    y, v = value + largest_weight, variance + largest_variance
    if v == 0.0 or y == 0.0:
        return Interval(low=low, high=y)
    return Interval(low=low, high=v / y * float(scipy.special.gammaincinv(y**2 / v, 1.0 - half)))


GRID = 1_000
"""Steps between the candidates for the mean that `betting` tests; bounds are rounded outwards."""

_CAP = 0.5
"""Largest share of the wealth bet at once, c in the paper."""


def _bets(x: checks.Floats, alpha: float) -> checks.Floats:
    """The bets before they are capped, [n]: each by the mean and the variance of what came before it."""
    n = x.size
    t = np.arange(1, n + 1)
    # one observation at 1/2 as a prior
    running_mean = (0.5 + np.cumsum(x)) / (t + 1)
    running_variance = (0.25 + np.cumsum((x - running_mean) ** 2)) / (t + 1)
    before = np.concatenate([[0.25], running_variance[:-1]])
    bets: checks.Floats = np.sqrt(2.0 * math.log(1.0 / alpha) / (n * before))
    return bets


def betting_lower(x: npt.ArrayLike, alpha: float = 0.05) -> float:
    """A lower bound for the mean of a variable in [0, 1], without assumptions on its shape.

    If the mean were m, nobody could get rich betting that it is larger: wealth K_t(m) = Π (1 + λ_i (x_i -
    m)) with bets λ_i in [0, c/m] that look only at what came before is a martingale, and it passes 1/α at any
    time with probability α at most (Ville). The bound is the smallest m that no such fortune contradicts. It
    also holds without replacement, where later draws only make up for earlier ones, as long as the order of
    x is random.

    Wealth falls as m rises, at every t: min(λ, c/m) (x - m) does, being λ (x - m) or c (x/m - 1), whichever
    is nearer to 0. So the bound is found by halving.

    Args:
        x: n values in [0, 1], in random order.
        alpha: α in (0, 1); one-sided.

    Returns:
        A bound in [0, 1], rounded down to the grid of 1/1,000.

    Raises:
        ValueError: no values, or one outside [0, 1], or α outside (0, 1).

    References:
        Waudby-Smith, I., Ramdas, A. (2023), Estimating means of bounded random variables by betting, JRSS-B
        86, equations 24 to 26; Hoeffding (1963), theorem 4, for sampling without replacement.

    >>> betting_lower([0.0] * 60)
    0.0
    >>> 0.35 < betting_lower([0.5] * 100) < 0.5
    True
    """
    x = checks.risks("x", x)
    bets, rich = _bets(x, checks.share("alpha", alpha)), math.log(1.0 / alpha)

    def kept(step: int) -> bool:
        mean = step / GRID
        wealth = np.cumsum(np.log1p(np.minimum(bets, _CAP / max(mean, 1e-12)) * (x - mean)))
        return float(wealth.max()) < rich

    first = bisect.bisect_left(range(GRID + 1), True, key=kept)
    return max(first - 1, 0) / GRID


def betting(x: npt.ArrayLike, alpha: float = 0.05) -> Interval:
    """A two-sided interval for the mean of a variable in [0, 1]: two one-sided bets at α/2.

    Args:
        x: n values in [0, 1], in random order.
        alpha: α in (0, 1); two-sided.

    Returns:
        Bounds in [0, 1].

    Raises:
        ValueError: no values, or one outside [0, 1], or α outside (0, 1).

    References:
        Waudby-Smith and Ramdas (2023), the hedged capital process (here its two parts, each at α/2).

    >>> bounds = betting([0.0, 1.0] * 100)
    >>> 0.39 < bounds.low < 0.5 < bounds.high < 0.61
    True
    """
    x = checks.risks("x", x)
    half = checks.share("alpha", alpha) / 2.0
    return Interval(low=betting_lower(x, half), high=1.0 - betting_lower(1.0 - x, half))


def bounded_mean(z: npt.ArrayLike, bound: float, alpha: float = 0.05) -> tuple[Interval, Method]:
    """An interval for the mean of a variable in [0, bound], by the sharper exact method that applies.

    Two-valued, 0 or the bound: Clopper-Pearson. Anything between: betting.

    Args:
        z: n values in [0, bound], in random order.
        bound: largest possible value, (0, 1].
        alpha: α in (0, 1); two-sided.

    Returns:
        The interval in the unit of z, and the method.

    Raises:
        ValueError: no values, one outside [0, bound], bound outside (0, 1], or α outside (0, 1).

    References:
        algorithms.md 8.10.

    >>> interval, method = bounded_mean([0.5] * 3 + [0.0] * 57, 0.5)
    >>> round(interval.high, 3), method
    (0.07, 'clopper-pearson')
    """
    if not 0.0 < bound <= 1.0:
        raise ValueError(f"bound: expected a number in (0, 1], got {bound}")
    z = checks.within("z", z, 0.0, bound)
    scaled = checks.risks("z", z / bound)
    hits = scaled == 1.0
    if (hits | (scaled == 0.0)).all():
        interval = clopper_pearson(int(hits.sum()), scaled.size, alpha)
        return Interval(low=bound * interval.low, high=bound * interval.high), "clopper-pearson"
    interval = betting(scaled, alpha)
    return Interval(low=bound * interval.low, high=bound * interval.high), "betting"


ENOUGH_ERRORS = 20
"""Errors among the sampled items from which on the normal interval may be used (8.11)."""

LARGEST_SHARE = 0.1
"""The largest share of Σ|g (d - ε)| that one item may have for the normal interval (8.11)."""


def choose(errors_found: int, contributions: npt.ArrayLike, *, exact: bool) -> Method:
    """Says which interval holds for a weighted total.

    Args:
        errors_found: errors among the items that stand for others.
        contributions: their |g (d - ε)|, shape [n].
        exact: whether it is one simple random sample without control variate (all ε = 0).

    Returns:
        "hypergeometric" if exact; "wald" with at least 20 errors and no contribution above a tenth of the
        sum; else "gamma", which is approximate.

    Raises:
        ValueError: a negative count or contribution.

    References:
        algorithms.md 8.11.

    >>> choose(25, [1.0] * 60, exact=False), choose(3, [1.0] * 60, exact=False)
    ('wald', 'gamma')
    """
    checks.count("errors_found", errors_found, 0, 2**62)
    values = checks.sizes("contributions", contributions)
    if exact:
        return "hypergeometric"
    total = float(values.sum())
    if errors_found >= ENOUGH_ERRORS and float(values.max(initial=0.0)) <= LARGEST_SHARE * total:
        return "wald"
    return "gamma"

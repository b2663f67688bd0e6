"""Estimates: how many labels are wrong, before and after people corrected some, with an interval.

    D = Σ_i ε_i + Σ_S g_i (d_i - ε_i)        machine errors among all N items
    R = D - Σ_S d_i                          errors left after correction

with the weights g of `designs`, which combine the pilot and the waves. ε is a control variate: any value
that did not see the item's own label keeps D unbiased, and a good one makes it precise. An ε that was
fitted on the item's label
does not: "95 %" intervals then cover 8 to 15 % (algorithms.md T6).

The estimand is the finite population's disagreement with these reviewers; a statement about the truth needs
doubles (8.8). Items without a machine label are no part of N: they are reported apart.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from actuary.stats import checks, designs, intervals


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its interval."""

    value: float
    low: float
    high: float
    se: float
    """Standard error; 0 when nothing is left to estimate."""
    method: intervals.Method
    approximate: bool
    """Whether the interval's level is only approximate although few errors were found (gamma)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The labelled items of all phases; arrays of shape [S] in one order."""

    phase: checks.Integers
    """v, index of the phase that labelled the item."""
    pi: checks.Floats
    """π_iv as `placing.srs`, `threshold` and `priority` give it."""
    wrong: checks.Booleans
    """d, whether the machine's label differs from the human's."""
    eps: checks.Floats
    """ε, in [0, 1], from a model that did not see d; 0 for no control variate."""

    @classmethod
    def of(
        cls, *, phase: npt.ArrayLike, pi: npt.ArrayLike, wrong: npt.ArrayLike, eps: npt.ArrayLike
    ) -> Sample:
        """Checks the arrays and builds the sample; ValueError names what is wrong."""
        index = checks.indexes("phase", phase, 0, 2**31)
        return cls(
            phase=index,
            pi=designs.probabilities("pi", pi, size=index.size),
            wrong=checks.flags("wrong", wrong, size=index.size),
            eps=checks.within("eps", eps, 0.0, 1.0, size=index.size),
        )


def check(design: designs.Design, sample: Sample, eps_sum: float) -> None:
    """Raises ValueError where counts or sums of a sample are not those of its design."""
    if sample.phase.size and int(sample.phase.max()) >= len(design.phases):
        raise ValueError(f"phase: expected indexes below {len(design.phases)}, got {int(sample.phase.max())}")
    if sample.phase.size > design.items:
        raise ValueError(f"sample: expected at most {design.items} items, got {sample.phase.size}")
    known = float(sample.eps.sum())
    if not known - 1e-6 <= eps_sum <= known + (design.items - sample.phase.size) + 1e-6:
        raise ValueError(
            f"eps_sum: expected the sum over all {design.items} items, the sample's {known:g} included,"
            f" got {eps_sum}"
        )
    size = len(design.phases)
    counts = (np.bincount(sample.phase[of], minlength=size) for of in (sample.pi == 1.0, sample.pi < np.inf))
    for phase, certain, used in zip(design.phases, *(each.tolist() for each in counts), strict=True):
        # In a priority phase items of π = 1 are sampled ones; elsewhere they are the certain ones.
        expected = phase.certain + phase.sampled
        if used != expected or (phase.kind == "srs" and not phase.complete and certain != phase.certain):
            raise ValueError(
                f"sample: expected {phase.certain} certain and {phase.sampled} sampled items of phase"
                f" {phase.name}, got {certain} and {used - certain}"
            )


def variance(design: designs.Design, sample: Sample) -> float:
    """Estimates Var D = Σ_v ω_v² V_v.

    With e = d - ε over the n sampled items of a phase that stand for M:
    srs: M² (1 - n/M) s²/n, s² the sample variance of e.  priority: Σ (1 - π)/π² e².

    Args:
        design: the phases and ω.
        sample: the labelled items.

    Returns:
        Variance in items².

    Raises:
        ValueError: a phase index outside the design.

    References:
        Cochran (1977), theorem 2.4; Duffield, Lund, Thorup (2007), section 3.1; algorithms.md 8.5.

    >>> from actuary.stats import placing
    >>> phase = placing.Phase(name="p", kind="srs", population=10, certain=0, sampled=4, tau=None)
    >>> sample = Sample.of(phase=[0] * 4, pi=[0.4] * 4, wrong=[1, 0, 0, 1], eps=[0.0] * 4)
    >>> round(variance(designs.Design(phases=(phase,), omega=(1.0,)), sample), 6)
    5.0
    """
    residual = sample.wrong - sample.eps
    total = 0.0
    for index, (phase, omega) in enumerate(zip(design.phases, design.omega, strict=True)):
        if omega == 0.0 or phase.complete:
            continue
        rows = (sample.phase == index) & (sample.pi < 1.0)
        e, pi = residual[rows], sample.pi[rows]
        if phase.kind == "srs":
            size, n = phase.sampled_population, phase.sampled
            square = (e - e.mean()) ** 2
            part = size**2 * (1.0 - n / size) * float(square.sum() / (e.size - 1)) / n
        else:
            part = float(((1.0 - pi) / pi**2 * e**2).sum())
        total += omega**2 * part
    return total


def total_errors(design: designs.Design, sample: Sample, eps_sum: float, alpha: float = 0.05) -> Estimate:
    """Estimates D, the number of machine errors among all N items.

    The interval is chosen by 8.11. Wald: D ± z se. Gamma: for the weighted count without control variate,
    in which errors are rare and positive, widened to contain D when it must. Hypergeometric: for one simple
    random sample without control variate. All are cut to what is known for certain: the errors found, and
    the labels found right.

    Args:
        design: the phases and ω.
        sample: the S labelled items.
        eps_sum: Σ ε over all N items, labelled ones included.
        alpha: α in (0, 1); two-sided.

    Returns:
        D in items, with its interval.

    Raises:
        ValueError: counts of the sample that are not those of the design, an impossible sum, or α outside
            (0, 1).

    References:
        algorithms.md 3.4, 8.5, 8.11; Särndal, Swensson, Wretman (1992), Model Assisted Survey Sampling,
        section 6.3.

    >>> from actuary.stats import placing
    >>> phase = placing.Phase(name="p", kind="srs", population=10, certain=0, sampled=4, tau=None)
    >>> sample = Sample.of(phase=[0] * 4, pi=[0.4] * 4, wrong=[1, 0, 0, 1], eps=[0.0] * 4)
    >>> estimate = total_errors(designs.Design(phases=(phase,), omega=(1.0,)), sample, 0.0)
    >>> estimate.value, estimate.low, estimate.high, estimate.method
    (5.0, 2.0, 8.0, 'hypergeometric')
    """
    checks.share("alpha", alpha)
    check(design, sample, eps_sum)
    g = designs.weights(design, sample.phase, sample.pi)
    residual = sample.wrong - sample.eps
    value = eps_sum + float((g * residual).sum())
    random = stand_for_others(design, sample)
    if complete(design):
        return cut(design, sample, value, intervals.Interval(low=value, high=value), 0.0, "exact")
    se = math.sqrt(variance(design, sample))
    exact = countable(design, eps_sum)
    contributions = np.abs(g * residual)[random]
    method = intervals.choose(int(sample.wrong[random].sum()), contributions, exact=exact)
    if method == "hypergeometric":
        interval = _hypergeometric(design, sample, random, alpha)
    elif method == "wald":
        interval = intervals.wald(value, se, alpha)
    else:
        interval = _gamma(design, sample, random, alpha)
        interval = intervals.Interval(low=min(interval.low, value), high=max(interval.high, value))
    return cut(design, sample, value, interval, se, method)


def _standing(design: designs.Design) -> checks.Booleans:
    return np.array([o > 0.0 and not p.complete for p, o in zip(design.phases, design.omega, strict=True)])


def complete(design: designs.Design) -> bool:
    """Whether nothing is left to estimate: every phase with a weight labelled its whole population."""
    return not _standing(design).any()


def countable(design: designs.Design, eps_sum: float) -> bool:
    """Whether the hypergeometric interval applies: one simple random sample, no control variate."""
    used = [p for p, o in zip(design.phases, design.omega, strict=True) if o > 0.0]
    return eps_sum == 0.0 and len(used) == 1 and used[0].kind == "srs"


def stand_for_others(design: designs.Design, sample: Sample) -> checks.Booleans:
    """Which labelled items stand for unlabelled ones, [S]; in a complete phase none does."""
    return _standing(design)[sample.phase] & (sample.pi < 1.0)


def certain_weight(design: designs.Design, sample: Sample, random: checks.Booleans) -> checks.Floats:
    """Σ of ω over the phases that know the item for certain, [S]: the later ones, and its own if π = 1."""
    own = np.where(random | ~np.isfinite(sample.pi), 0.0, np.asarray(design.omega)[sample.phase])
    weight: checks.Floats = designs.later(design)[sample.phase] + own
    return weight


def cut(
    design: designs.Design,
    sample: Sample,
    value: float,
    interval: intervals.Interval,
    se: float,
    method: intervals.Method,
) -> Estimate:
    """Cuts value and interval to [found, N - found not to be], which is certain, and makes an estimate."""
    found = float(sample.wrong.sum())
    most = design.items - (sample.wrong.size - found)
    low, middle, high = (min(max(x, found), most) for x in (interval.low, value, interval.high))
    return Estimate(
        value=middle,
        low=low,
        high=high,
        se=se,
        method=method,
        approximate=method == "gamma",
    )


def _hypergeometric(
    design: designs.Design, sample: Sample, random: checks.Booleans, alpha: float
) -> intervals.Interval:
    phase = design.phases[int(np.argmax(design.omega))]
    found = int(sample.wrong[random].sum())
    bounds = intervals.hypergeom_bounds(phase.sampled_population, phase.sampled, found, alpha)
    known = float((certain_weight(design, sample, random) * sample.wrong).sum())
    return intervals.Interval(low=known + bounds.low, high=known + bounds.high)


def _gamma(
    design: designs.Design, sample: Sample, random: checks.Booleans, alpha: float
) -> intervals.Interval:
    """The gamma interval of Σ_v ω_v (errors of v's population), rounded outwards: D is a whole number."""
    sure = float((certain_weight(design, sample, random) * sample.wrong).sum())
    bounds = weighted_count(design, sample, sample.wrong.astype(np.float64), random, alpha)
    # Rounding errors of the sums must not cost a whole item.
    low, high = math.floor(sure + bounds.low + 1e-9), math.ceil(sure + bounds.high - 1e-9)
    return intervals.Interval(low=float(low), high=float(high))


def weighted_count(
    design: designs.Design, sample: Sample, x: checks.Floats, random: checks.Booleans, alpha: float
) -> intervals.Interval:
    """The gamma interval of a rare total Σ_v ω_v Σ x, from the sampled items alone.

    Both ends know that the population is finite. At the upper one an item found counts ω for certain and
    ω (1 - π)/π for the unlabelled. At the lower one all of ω/π is in doubt, with the finite variance
    ω² (1 - π)/π²: one error found may be the only one.

    Args:
        design: the phases and ω.
        sample: the S labelled items.
        x: shape [S], in [0, 1], mostly 0.
        random: which items stand for others (`stand_for_others`), [S].
        alpha: α in (0, 1); two-sided.
    """
    x, omega, pi = x[random], np.asarray(design.omega)[sample.phase[random]], sample.pi[random]
    rest, spread = omega * (1.0 - pi) / pi, omega**2 * (1.0 - pi) / pi**2
    variance_found, largest = float((spread * x**2).sum()), float(spread.max(initial=0.0))
    low = intervals.fay_feuer(float((omega / pi * x).sum()), variance_found, 0.0, alpha).low
    high = intervals.fay_feuer(
        float((rest * x).sum()),
        variance_found,
        float(rest.max(initial=0.0)),
        alpha,
        largest_variance=largest,
    ).high
    found = float((omega * x).sum())
    return intervals.Interval(low=max(low, found), high=found + high)


def accuracy(total: Estimate, items: int, corrected: int = 0) -> Estimate:
    """Turns a number of errors into an accuracy: 1 - (D - c)/N.

    Args:
        total: D, from `total_errors`.
        items: N, at least 1.
        corrected: c, errors found and put right; 0 for the accuracy of the machine's labels as they came.

    Returns:
        Accuracy in [0, 1] with its interval.

    Raises:
        ValueError: N below 1, or c outside [0, D's lower end].

    References:
        algorithms.md 3.4.

    >>> total = Estimate(value=5.0, low=2.0, high=8.0, se=1.2, method="wald", approximate=False)
    >>> accuracy(total, 10, corrected=2).value
    0.7
    """
    items = checks.count("items", items, 1, 2**62)
    corrected = checks.count("corrected", corrected, 0, math.floor(total.low + 1e-6))
    return dataclasses.replace(
        total,
        value=1.0 - (total.value - corrected) / items,
        low=1.0 - (total.high - corrected) / items,
        high=1.0 - (total.low - corrected) / items,
        se=total.se / items,
    )

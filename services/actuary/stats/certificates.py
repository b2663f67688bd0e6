"""Certificates: bounds on the errors left among N labels that hold with probability 1 - α, exactly.

Everything is frozen before the audit: labels, the order of suspicion, the cuts and the sizes of the looks. A
cut c leaves the c least suspicious items unreviewed but for audited ones. The audit is a simple random sample
of items whose labels were used for nothing before (algorithms.md 8.2), so that the errors it finds within a
cut are hypergeometric, and no model of labels or critic is needed.

    budget mode   one cut, one audit of K of its c items: errors left <= UCB(c, K, k; α) - k
    target mode   many cuts: leave as much unreviewed as a fixed-sequence test of "more than T N" allows

A stratified, drawn or square-root audit gives an interval (`estimates`), never a certificate. The module
decides and computes; `sampler.certifying` turns decisions into plans.

References:
    Buonaccorsi (1987), as in `intervals.hypergeom_ucb`. Angelopoulos, Bates, Candès, Jordan, Lei (2021),
        Learn then test, arXiv 2110.01052, section 3.2 (fixed-sequence testing). algorithms.md 3.5, 8.2, 8.3.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from actuary.stats import checks, hypergeometric

CREDIT_SHARE = 0.2
"""α2 as a share of α in target mode: .04 and .01 of .05 (algorithms.md 3.5)."""

Verdict = Literal["certified", "not-met", "budget-exhausted"]


def allowance(items: int, target: float) -> int:
    """The most errors with which the error rate is still at most T: floor(T N), safe from rounding.

    Args:
        items: N, at least 1.
        target: T in (0, 1).

    Returns:
        max{M : M/N <= T}.

    Raises:
        ValueError: N below 1, or T outside (0, 1).

    >>> allowance(100, 0.29), math.floor(0.29 * 100)
    (29, 28)
    """
    items = checks.count("items", items, 1, 2**53)
    target = checks.share("target", target)
    most = math.floor(target * items) + 1
    return most if most / items <= target else most - 1 if (most - 1) / items <= target else most - 2


@functools.lru_cache(maxsize=1_024)  # a look asks for it at every cut
def credit_limit(eligible: int, sampled: int, allowed: int, alpha: float) -> int:
    """The most errors of which an audit leaves at most A, since those that it finds are corrected.

    m = max{M : P(M - Hyp(N, M, K) > A) <= α}.

    Args:
        eligible: N, items that the audit is drawn from, at least 1.
        sampled: K in [0, N].
        allowed: A in [0, N].
        alpha: α in (0, 1).

    Returns:
        m in [A, N].

    Raises:
        ValueError: a count out of range, or α outside (0, 1).

    References:
        algorithms.md 3.5.

    >>> credit_limit(1000, 100, 50, 0.01), credit_limit(1000, 0, 50, 0.01), credit_limit(10, 10, 0, 0.01)
    (51, 50, 10)
    """
    eligible = checks.count("eligible", eligible, 1, 2**62)
    allowed = checks.count("allowed", allowed, 0, eligible)
    alpha = checks.share("alpha", alpha)
    return (
        _first(
            lambda m: hypergeometric.cdf(m - allowed - 1, eligible, m, sampled) > alpha,
            allowed + 1,
            eligible + 1,
        )
        - 1
    )


def _first(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The first number in [low, high] for which a monotone condition holds; it is taken to hold at high.

    Strides double from `low`, near which the answer mostly is and the distributions are cheap.
    """
    stride = 1
    while low + stride < high and not holds(low + stride - 1):
        low, stride = low + stride, 2 * stride
    if low + stride < high:
        high = low + stride - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


@functools.lru_cache(maxsize=4_096)  # looks ask for the same cuts again
def acceptance(cut: int, audited: int, limit: int, alpha: float) -> int:
    """The most errors found with which a cut passes: UCB(c, a, k; α) <= m exactly if k is at most this.

    Args:
        cut: c, at least 1.
        audited: a in [0, c], audited items within the cut.
        limit: m, at least 0 (`credit_limit`).
        alpha: α in (0, 1).

    Returns:
        k in [-1, a]; -1 where not even an audit without errors would do.

    Raises:
        ValueError: a count out of range, or α outside (0, 1).

    References:
        algorithms.md 3.5; one distribution function instead of a search for the bound.

    >>> acceptance(1000, 100, 50, 0.05), acceptance(1000, 40, 50, 0.05), acceptance(40, 2, 50, 0.05)
    (1, -1, 2)
    """
    if limit >= cut:
        return checks.count("audited", audited, 0, cut)
    return hypergeometric.acceptance_number(cut, limit + 1, audited, alpha)


def audit_size(eligible: int, allowed: int, alpha1: float, alpha2: float, error_rate: float = 0.0) -> int:
    """The smallest audit that certifies that nothing need be reviewed, if it finds what is expected.

    K = min{K : ceil(e0 K) errors found of K pass at the cut c = N}. With e0 = 0 it is the smallest audit by
    which the target can be proven at all, about ln(1/α1)/T: "not provable with this audit; needs K". The
    same K is needed within a smaller cut, in proportion.

    Args:
        eligible: N, items that the audit is drawn from, at least 1.
        allowed: A in [0, N], errors that may be left.
        alpha1: α1 in (0, 1), of the test.
        alpha2: α2 in (0, 1), of the credit for corrected errors.
        error_rate: e0 in [0, 1], expected among the items that stay unreviewed.

    Returns:
        K in [0, N]; N at worst, for who audits everything corrects everything.

    Raises:
        ValueError: an argument out of range.

    References:
        algorithms.md section 6 (1/T ln(1/α1)); exact here, for a finite population.

    >>> audit_size(10_000, 500, 0.04, 0.01), round(math.log(1 / 0.04) / 0.05)
    (63, 64)
    >>> audit_size(10_000, 500, 0.04, 0.01, error_rate=0.025)
    238
    """
    eligible = checks.count("eligible", eligible, 1, 2**62)
    checks.count("allowed", allowed, 0, eligible)
    checks.within("error_rate", [error_rate], 0.0, 1.0)

    def accepts(found: int, size: int) -> bool:
        limit = credit_limit(eligible, size, allowed, alpha2)
        return acceptance(eligible, size, limit, alpha1) >= found

    size, found = 0, 0
    while True:  # ends: size only grows, and an audit of everything accepts any number
        size = _first(functools.partial(accepts, found), size, eligible)  # more audited, more accepted
        expected = math.ceil(error_rate * size)
        if expected <= found:
            return size
        found = expected


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What is fixed before the audit. `budget_design` and `target_design` make one."""

    mode: Literal["budget", "target"]
    population: int
    """N: the labels that the certificate is about."""
    eligible: int
    """Those of them whose item nobody has looked at before; the others are corrected."""
    charged: int
    """Items that people looked at before without an agreed label: each counts as an error."""
    cuts: tuple[int, ...]
    """c_j: sizes of the sets of least suspicious eligible items that may stay unreviewed, rising."""
    looks: tuple[int, ...]
    """K_l: audited items at each look, rising."""
    labels: int
    """Items that may be reviewed in all, audit included."""
    alpha1: float
    """α1 of the test, over all looks."""
    alpha2: float
    """α2 of the credit for corrected errors, over all looks; 0 in budget mode."""
    target: float | None = None
    """T; None in budget mode."""
    reserve: int = 0
    """Items that may stay unresolved without breaking the target, taken off what may be left wrong."""

    def __post_init__(self) -> None:
        checks.count("eligible", self.eligible, 1, checks.count("population", self.population, 1, 2**53))
        checks.count("charged", self.charged, 0, self.population - self.eligible)
        checks.count("reserve", self.reserve, 0, self.population)
        checks.share("alpha1", self.alpha1)
        for name, sizes, most in (("cuts", self.cuts, self.eligible), ("looks", self.looks, self.audit_from)):
            if not sizes or list(sizes) != sorted({checks.count(name, size, 1, most) for size in sizes}):
                raise ValueError(f"{name}: expected rising sizes in [1, {most}], got {list(sizes)}")
        checks.count("labels", self.labels, self.looks[0], self.eligible)
        if self.mode == "budget":
            spent = self.looks[0] + self.eligible - self.cuts[0]
            if len(self.cuts) > 1 or len(self.looks) > 1 or self.target is not None or spent > self.labels:
                raise ValueError(
                    f"budget mode: expected one cut, one look, no target and at most {self.labels} reviewed"
                    f" items, got cuts {self.cuts}, looks {self.looks}, target {self.target}, {spent} items"
                )
            return
        checks.share("alpha2", self.alpha2)
        if self.target is None or self.cuts[-1] != self.eligible:
            raise ValueError(
                f"target mode: expected a target, and {self.eligible} (all) as the last cut, got target"
                f" {self.target} and {self.cuts[-1]}"
            )

    @property
    def audit_from(self) -> int:
        """Size of the set that the audit is drawn from: what stays unreviewed, or all eligible items."""
        return self.cuts[0] if self.mode == "budget" and self.cuts else self.eligible

    @property
    def allowed(self) -> int:
        """A: errors that may be left among the eligible items; negative where the target is out of reach."""
        if self.target is None:
            raise ValueError("target: expected a design in target mode, got budget mode")
        return allowance(self.population, self.target) - self.charged - self.reserve

    def limit(self, look: int) -> int:
        """Returns m of a look, with its share α2/L; -1 where the target is out of reach."""
        if self.allowed < 0:
            return -1
        return credit_limit(
            self.eligible, self.looks[look], min(self.allowed, self.eligible), self.alpha2 / len(self.looks)
        )

    def to_record(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        record = dataclasses.asdict(self)
        return {**record, "cuts": list(self.cuts), "looks": list(self.looks)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Design:
        """Reads what `to_record` wrote."""
        return cls(**{**record, "cuts": tuple(record["cuts"]), "looks": tuple(record["looks"])})


def needed_audit(design: Design) -> int | None:
    """Says how large the last look that can be paid has to be to prove the target; None if it is.

    Args:
        design: in target mode.

    Returns:
        K, as `audit_size` with no errors expected; all eligible items where the allowance is used up already.

    Raises:
        ValueError: a design in budget mode, which always has a bound.

    References:
        algorithms.md section 6, 8.14.

    >>> d = dict(population=1000, eligible=1000, labels=1000, target=0.05, alpha1=0.04, alpha2=0.01)
    >>> needed_audit(target_design(looks=(40,), **d)), needed_audit(target_design(looks=(60,), **d))
    (60, None)
    """
    if design.allowed < 0:
        return design.eligible
    levels = design.alpha1 / len(design.looks), design.alpha2 / len(design.looks)
    size = audit_size(design.eligible, min(design.allowed, design.eligible), *levels)
    return None if size <= max(look for look in design.looks if look <= design.labels) else size


CUTS = 100
"""Cuts of target mode: each costs nothing, and a hundred leave at most 1 % of the items reviewed in vain."""


def target_design(
    *,
    population: int,
    eligible: int,
    labels: int,
    target: float,
    looks: Sequence[int],
    alpha1: float,
    alpha2: float,
    charged: int = 0,
    reserve: int = 0,
    cuts: int = CUTS,
) -> Design:
    """Target mode with evenly spaced cuts: c_j = round(j N/J).

    Args:
        population: N, the labels that the certificate is about.
        eligible: items nobody has looked at before, [1, N].
        labels: items that may be reviewed in all, audit included, [K_1, eligible].
        target: T in (0, 1).
        looks: K_l, rising.
        alpha1: α1 in (0, 1).
        alpha2: α2 in (0, 1).
        charged: items looked at before without an agreed label.
        reserve: items that may stay unresolved.
        cuts: J, at least 1.

    Raises:
        ValueError: an argument out of range.

    >>> target_design(
    ...     population=8, eligible=8, labels=8, target=0.3, looks=[5], alpha1=0.04, alpha2=0.01, cuts=4
    ... ).cuts
    (2, 4, 6, 8)
    """
    count = checks.count("cuts", cuts, 1, 10_000)
    sizes = sorted({round(j * eligible / count) for j in range(1, count + 1)} - {0})
    return Design(
        mode="target",
        population=population,
        eligible=eligible,
        charged=charged,
        cuts=tuple(sizes),
        looks=tuple(looks),
        labels=labels,
        target=target,
        alpha1=alpha1,
        alpha2=alpha2,
        reserve=reserve,
    )


def budget_design(
    *, population: int, eligible: int, labels: int, audit: int, alpha: float, charged: int = 0
) -> Design:
    """Budget mode: what is left after the audit reviews the most suspicious, c = N - (B - K).

    Args:
        population: N, the labels that the certificate is about.
        eligible: items nobody has looked at before, [1, N].
        labels: B, items that may be reviewed in all, audit included, [K, eligible].
        audit: K, at least 1.
        alpha: α in (0, 1).
        charged: items looked at before without an agreed label.

    Raises:
        ValueError: an argument out of range.

    >>> budget_design(population=110, eligible=100, labels=40, audit=15, alpha=0.05).cuts
    (75,)
    """
    return Design(
        mode="budget",
        population=population,
        eligible=eligible,
        charged=charged,
        cuts=(eligible - labels + audit,),
        looks=(audit,),
        labels=labels,
        alpha1=alpha,
        alpha2=0.0,
    )

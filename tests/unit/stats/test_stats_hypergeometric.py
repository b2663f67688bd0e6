import math
from fractions import Fraction

import pytest
import scipy.stats

from actuary.stats import hypergeometric


def exact(found, population, marked, sampled):
    """P(X <= k) as a fraction, straight from the definition."""
    ways = sum(
        math.comb(marked, x) * math.comb(population - marked, sampled - x)
        for x in range(min(found, sampled) + 1)
    )
    return Fraction(ways, math.comb(population, sampled))


@pytest.mark.parametrize("population", [1, 2, 7, 12])
def test_tails_equal_counting_in_every_small_population(population):
    for marked in range(population + 1):
        for sampled in range(population + 1):
            for found in range(-1, sampled + 2):
                want = float(exact(found, population, marked, sampled)) if found >= 0 else 0.0
                assert hypergeometric.cdf(found, population, marked, sampled) == pytest.approx(
                    want, abs=1e-14
                )
                step = want - (float(exact(found - 1, population, marked, sampled)) if found >= 1 else 0.0)
                got = hypergeometric.pmf(found, population, marked, sampled)
                assert got == pytest.approx(step, abs=1e-14)


@pytest.mark.parametrize(
    ("found", "population", "marked", "sampled"),
    [(3, 60, 7, 20), (100, 10_000, 800, 900), (40, 2_000, 1_500, 60), (520, 1_000, 700, 750)],
)
def test_tails_equal_counting_in_larger_populations(found, population, marked, sampled):
    want = float(exact(found, population, marked, sampled))

    assert hypergeometric.cdf(found, population, marked, sampled) == pytest.approx(want, rel=1e-11)


def test_a_billion_items_sampled_sparsely_are_binomial():
    """The total variation distance is at most (n - 1)/(N - 1), Diaconis and Freedman (1980)."""
    for found in (30, 50, 61):
        got = hypergeometric.cdf(found, 10**9, 5 * 10**7, 1_000)

        assert got == pytest.approx(scipy.stats.binom.cdf(found, 1_000, 0.05), abs=1e-6)


def test_a_billion_items_sampled_densely_agree_with_their_complement():
    """Errors in the sample and errors outside of it are the same event, computed another way."""
    inside = hypergeometric.cdf(49_999_000, 10**9, 10**8, 5 * 10**8)
    outside = hypergeometric.cdf(10**8 - 49_999_000 - 1, 10**9, 10**8, 5 * 10**8)

    assert inside == pytest.approx(1.0 - outside, abs=1e-9)


def test_the_acceptance_number_is_the_last_tail_within_alpha():
    for population, marked, sampled in [(20, 5, 8), (50, 10, 30), (30, 29, 12), (9, 9, 4), (9, 0, 4)]:
        for alpha in (0.01, 0.0437, 0.3):
            tails = [exact(k, population, marked, sampled) <= Fraction(alpha) for k in range(sampled)]

            assert hypergeometric.acceptance_number(population, marked, sampled, alpha) == sum(tails) - 1


@pytest.mark.parametrize(
    ("marked", "sampled", "message"),
    [(11, 5, "marked: expected a whole number"), (5, 11, "sampled: expected")],
)
def test_counts_that_cannot_be_are_refused(marked, sampled, message):
    with pytest.raises(ValueError, match=message):
        hypergeometric.cdf(1, 10, marked, sampled)

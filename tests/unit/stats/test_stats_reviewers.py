import numpy as np
import pytest
import scipy.stats

from actuary.stats import intervals, reviewers


def test_each_reviewer_has_the_interval_of_their_own_tasks():
    found = reviewers.error_rates([3, 1, 3, 3, 1], [1, 0, 0, 1, 0])

    assert [(r.reviewer, r.tasks, r.wrong) for r in found] == [(1, 2, 0), (3, 3, 2)]
    assert (found[1].low, found[1].high) == (
        intervals.clopper_pearson(2, 3).low,
        intervals.clopper_pearson(2, 3).high,
    )


@pytest.mark.parametrize(("found", "trials"), [(0, 5), (5, 5), (1, 40), (17, 60)])
def test_the_confidence_sequence_is_the_set_that_no_mixture_contradicts(found, trials):
    bounds = reviewers.confidence_sequence(found, trials, 0.1)

    def mixture(p):
        """∫ likelihood(q)/likelihood(p) dq by quadrature."""
        grid = (np.arange(20_000) + 0.5) / 20_000
        return (scipy.stats.binom.pmf(found, trials, grid) / scipy.stats.binom.pmf(found, trials, p)).mean()

    for p in (bounds.low, bounds.high):
        if 0 < p < 1:
            assert mixture(p) == pytest.approx(10.0, rel=1e-3)
    assert mixture((bounds.low + bounds.high) / 2) < 10.0


def watched(bounds, replays=1_000, looks=300, rate=0.1):
    """Replays in which a bound is past the rate at any of the looks."""
    wrong = np.random.default_rng(0).random((replays, looks)) < rate
    table = {(k, n): bounds(k, n) for n in range(1, looks + 1) for k in range(0, min(n, 70) + 1)}
    missed = 0
    for row in np.cumsum(wrong, axis=1):
        missed += any(
            not table[int(k), n].low <= rate <= table[int(k), n].high for n, k in enumerate(row, start=1)
        )
    return missed


def test_an_interval_that_is_watched_holds_at_every_look():
    assert watched(reviewers.confidence_sequence) <= scipy.stats.binom.isf(1e-6, 1_000, 0.05)


def test_planted_looks_at_an_interval_for_one_look_are_caught():
    """Silent error 8.12."""
    assert watched(intervals.clopper_pearson) > scipy.stats.binom.isf(1e-6, 1_000, 0.05)


def test_a_watched_rate_uses_the_sequence():
    (rate,) = reviewers.error_rates([0] * 20, [1] + [0] * 19, watched=True)

    bounds = reviewers.confidence_sequence(1, 20)
    assert (rate.low, rate.high) == (bounds.low, bounds.high)


@pytest.mark.parametrize(
    "call",
    [
        lambda: reviewers.error_rates([0, 1], [1]),
        lambda: reviewers.error_rates([-1], [1]),
        lambda: reviewers.confidence_sequence(2, 1),
        lambda: reviewers.confidence_sequence(0, 0),
        lambda: reviewers.confidence_sequence(0, 5, 1.0),
    ],
)
def test_reviewers_refuses_bad_input(call):
    with pytest.raises(ValueError, match="expected"):
        call()

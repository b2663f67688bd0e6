import numpy as np
import pytest

from actuary.stats import designs, estimates, intervals, placing

INF = float("inf")


def srs(population, sampled, certain=0, name="p"):
    return placing.Phase(
        name=name, kind="srs", population=population, certain=certain, sampled=sampled, tau=None
    )


def alone(phase):
    return designs.Design(phases=(phase,), omega=(1.0,))


def sample(phase, pi, wrong, eps):
    return estimates.Sample.of(phase=phase, pi=pi, wrong=wrong, eps=eps)


def test_two_phases_worked_by_hand():
    # N = 10, pilot of 2 (one wrong); wave of 8: top 2 certain (both wrong), 3 of the other 6 (one wrong)
    design = designs.Design(phases=(srs(10, 2), srs(8, 3, certain=2)), omega=(0.25, 0.75))
    wrong = np.array([1, 0, 1, 1, 1, 0, 0])
    labelled = sample([0, 0, 1, 1, 1, 1, 1], [0.2, 0.2, 1, 1, 0.5, 0.5, 0.5], wrong, np.zeros(7))

    estimate = estimates.total_errors(design, labelled, 0.0)

    pilot, wave = 1 / 0.2, 1 + 2 + 1 / 0.5
    variances = 100 * 0.8 * 0.5 / 2, 36 * 0.5 * (1 / 3) / 3
    assert estimate.value == pytest.approx(0.25 * pilot + 0.75 * wave)
    assert estimate.se**2 == pytest.approx(0.0625 * variances[0] + 0.5625 * variances[1])
    assert estimate.method == "gamma"
    assert estimate.approximate
    assert 4.0 <= estimate.low <= estimate.value <= estimate.high <= 7.0


def test_the_control_variate_is_added_and_taken_off_again():
    labelled = sample([0] * 4, [0.4] * 4, [1, 0, 0, 1], [0.5, 0.25, 0.25, 0.5])

    estimate = estimates.total_errors(alone(srs(10, 4)), labelled, 3.0)

    assert estimate.value == pytest.approx(3.0 + 2.5 * (0.5 - 0.25 - 0.25 + 0.5))


def test_a_priority_sample_has_its_own_variance():
    phase = placing.Phase(name="d", kind="priority", population=20, certain=0, sampled=2, tau=0.5)
    labelled = sample([0, 0, 0], [0.25, 1.0, INF], [1, 1, 1], [0.1, 0.2, 0.3])

    assert estimates.variance(alone(phase), labelled) == pytest.approx(0.75 / 0.0625 * 0.81)


def test_many_errors_without_a_dominating_one_give_the_normal_interval():
    wrong = np.arange(100) < 30
    estimate = estimates.total_errors(
        alone(srs(1000, 100)), sample([0] * 100, [0.1] * 100, wrong, np.full(100, 0.3)), 300.0
    )

    assert (estimate.method, estimate.approximate) == ("wald", False)
    assert estimate.value == pytest.approx(300.0)
    assert estimate.high - estimate.value == pytest.approx(1.959964 * estimate.se)


def test_no_error_found_still_has_an_upper_bound_above_the_risks():
    estimate = estimates.total_errors(
        alone(srs(1000, 50)), sample([0] * 50, [0.05] * 50, [0] * 50, np.full(50, 0.01)), 10.0
    )

    assert estimate.value == pytest.approx(0.0, abs=1e-9)
    assert estimate.low == pytest.approx(0.0, abs=1e-9)
    # the exact bound is near: at most so many errors could stay unseen by 50 looks at 1,000
    assert estimate.high == pytest.approx(intervals.hypergeom_ucb(1000, 50, 0, 0.025), rel=0.05)


def test_a_gamma_interval_is_widened_to_hold_the_estimate():
    # none found although the risks say 200 elsewhere: the control variate carries the estimate
    estimate = estimates.total_errors(
        alone(srs(1000, 50)), sample([0] * 50, [0.05] * 50, [0] * 50, np.zeros(50)), 200.0
    )

    assert estimate.value == estimate.high == pytest.approx(200.0)


def test_one_random_sample_without_risks_gets_the_exact_interval_beside_what_is_known():
    design = designs.Design(phases=(srs(10, 2), srs(8, 3, certain=2)), omega=(0.0, 1.0))
    labelled = sample(
        [0, 0, 1, 1, 1, 1, 1], [0.2, 0.2, 1, 1, 0.5, 0.5, 0.5], [1, 0, 1, 1, 0, 0, 0], np.zeros(7)
    )

    estimate = estimates.total_errors(design, labelled, 0.0)

    assert estimate.method == "hypergeometric"
    assert (estimate.value, estimate.low, estimate.high) == (3.0, 3.0, 6.0)


def test_a_complete_count_is_exact():
    estimate = estimates.total_errors(
        alone(srs(4, 4)), sample([0] * 4, [1.0] * 4, [1, 0, 0, 0], [0.9, 0.5, 0.1, 0.0]), 1.5
    )

    assert (estimate.value, estimate.low, estimate.high, estimate.se) == (1.0, 1.0, 1.0, 0.0)
    assert estimate.method == "exact"


def test_a_complete_later_wave_ends_all_doubt():
    design = designs.combine([srs(4, 2), srs(2, 0, certain=2)], [1.0, 0.0])
    labelled = sample([0, 0, 1, 1], [0.5, 0.5, 1.0, 1.0], [1, 0, 0, 1], np.zeros(4))

    estimate = estimates.total_errors(design, labelled, 0.0)

    assert (estimate.value, estimate.method) == (2.0, "exact")


def test_labels_outside_of_the_estimator_correct_and_bound_but_do_not_estimate():
    design = alone(srs(10, 2))
    labelled = sample([0, 0, 0, 0], [0.2, 0.2, INF, INF], [0, 0, 1, 1], np.zeros(4))

    estimate = estimates.total_errors(design, labelled, 0.0)

    assert estimate.value == estimate.low == 2.0
    assert estimate.high <= 8.0


def test_accuracy_before_and_after_correction():
    total = estimates.Estimate(value=20.0, low=15.0, high=30.0, se=4.0, method="wald", approximate=False)

    before, after = estimates.accuracy(total, 100), estimates.accuracy(total, 100, corrected=10)

    assert (before.value, before.low, before.high, before.se) == pytest.approx((0.8, 0.7, 0.85, 0.04))
    assert (after.value, after.low, after.high) == pytest.approx((0.9, 0.8, 0.95))
    with pytest.raises(ValueError, match="corrected"):
        estimates.accuracy(total, 100, corrected=16)
    with pytest.raises(ValueError, match="items"):
        estimates.accuracy(total, 0)


GOOD = {"phase": [0] * 4, "pi": [0.4] * 4, "wrong": [1, 0, 0, 1], "eps": [0.1] * 4}


@pytest.mark.parametrize(
    "bad",
    [
        {"phase": [0, 0, 0, 1]},
        {"phase": [0, 0, 0]},
        {"pi": [0.4, 0.4, 0.4, 0.0]},
        {"pi": [0.4, 0.4, 0.4, INF]},
        {"pi": [0.4, 0.4, 0.4, 1.0]},
        {"wrong": [1, 0, 0, 2]},
        {"eps": [0.1, 0.1, 0.1, float("nan")]},
        {"eps": [0.1, 0.1, 0.1, 1.2]},
    ],
)
def test_a_sample_that_does_not_fit_its_design_is_refused(bad):
    with pytest.raises(ValueError, match="expected"):
        estimates.total_errors(alone(srs(10, 4)), estimates.Sample.of(**{**GOOD, **bad}), 1.0)


@pytest.mark.parametrize("eps_sum", [0.3, 6.6, float("nan")])
def test_an_impossible_sum_of_risks_is_refused(eps_sum):
    with pytest.raises(ValueError, match="eps_sum: expected the sum over all 10 items"):
        estimates.total_errors(alone(srs(10, 4)), estimates.Sample.of(**GOOD), eps_sum)


def test_more_labels_than_items_are_refused():
    with pytest.raises(ValueError, match="at most 3 items"):
        estimates.total_errors(alone(srs(3, 3)), estimates.Sample.of(**GOOD), 0.4)


def test_a_level_outside_its_range_is_refused():
    with pytest.raises(ValueError, match="alpha"):
        estimates.total_errors(alone(srs(10, 4)), estimates.Sample.of(**GOOD), 1.0, alpha=0.0)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actuary.stats import quality

scores = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), st.booleans()), min_size=2, max_size=25
)


def test_weights_count_like_copies():
    eps, err = np.array([0.9, 0.4, 0.4, 0.1]), np.array([1, 0, 1, 0])
    weight = np.array([1, 3, 2, 4])
    copies = (np.repeat(eps, weight), np.repeat(err, weight))

    assert quality.auroc(eps, err, weight) == pytest.approx(quality.auroc(*copies))
    assert quality.expected_calibration_error(eps, err, weight) == pytest.approx(
        quality.expected_calibration_error(*copies)
    )


@given(scores)
def test_auroc_equals_counting_pairs(pairs):
    eps, err = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    if err.all() or not err.any():
        with pytest.raises(ValueError, match="right and wrong"):
            quality.auroc(eps, err)
        return
    gaps = eps[err][:, None] - eps[~err][None, :]

    assert quality.auroc(eps, err) == pytest.approx(((gaps > 0) + 0.5 * (gaps == 0)).mean())


@given(scores)
def test_calibration_error_is_the_mean_gap_of_the_bins(pairs):
    eps, err = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    bins = quality.reliability(eps, err)

    gap = sum(b.count * abs(b.mean_risk - b.error_rate) for b in bins) / eps.size
    assert quality.expected_calibration_error(eps, err) == pytest.approx(gap)
    assert sum(b.count for b in bins) == eps.size
    assert all(b.error_low <= b.error_rate <= b.error_high for b in bins)
    assert all(b.low - 1e-9 <= b.mean_risk <= b.high + 1e-9 for b in bins)


def test_a_bin_of_unequal_weights_has_a_wider_interval_and_leaves_out_weight_zero():
    eps, err = np.full(21, 0.35), np.arange(21) % 2 == 0
    equal = quality.reliability(eps[:20], err[:20])[0]
    unequal = quality.reliability(eps, err, np.r_[np.full(10, 9.0), np.ones(10), 0.0])[0]

    assert unequal.count == equal.count == 20
    assert unequal.error_high - unequal.error_low > equal.error_high - equal.error_low


@pytest.mark.parametrize(
    "call",
    [
        lambda: quality.auroc([0.5, 0.4], [1, 1]),
        lambda: quality.auroc([1.5, 0.4], [1, 0]),
        lambda: quality.auroc([0.5], [1, 0]),
        lambda: quality.auroc([0.5, 0.4], [1, 0], [0.0, 0.0]),
        lambda: quality.auroc([0.5, 0.4], [1, 0], [1.0, -1.0]),
        lambda: quality.reliability([0.5], [1], bins=0),
        lambda: quality.expected_calibration_error([0.5], [1], bins=0),
    ],
)
def test_quality_refuses_bad_input(call):
    with pytest.raises(ValueError, match="expected"):
        call()

import math

import numpy as np
import pytest
import scipy.stats

from actuary.stats import agreement, intervals


def test_kappa_and_alpha_of_published_examples():
    # Cohen (1960), table 1; Krippendorff (2011), example C: 12 items, 4 observers, answers missing.
    table = [[88, 14, 18], [10, 40, 10], [2, 6, 12]]
    said = ["111", "2232", "3333", "3333", "2222", "1234", "4444", "1121", "2222", "555", "11", "3"]
    counts = [[answers.count(str(k)) for k in range(1, 6)] for answers in said]

    assert agreement.cohen_kappa(table).value == pytest.approx(0.492, abs=5e-4)
    assert agreement.krippendorff_alpha(counts).value == pytest.approx(0.743, abs=5e-4)


def slow_kappa(pairs, classes):
    n = len(pairs)
    observed = sum(a == b for a, b in pairs) / n
    chance = sum(
        sum(a == k for a, _ in pairs) / n * sum(b == k for _, b in pairs) / n for k in range(classes)
    )
    return (observed - chance) / (1 - chance)


def slow_alpha(units):
    """Over all ordered pairs of answers, as the definition says."""
    units = [u for u in units if len(u) > 1]
    answers = [a for u in units for a in u]
    n = len(answers)
    observed = (
        sum(
            sum(a != b for i, a in enumerate(u) for j, b in enumerate(u) if i != j) / (len(u) - 1)
            for u in units
        )
        / n
    )
    expected = sum(a != b for i, a in enumerate(answers) for j, b in enumerate(answers) if i != j)
    return 1 - observed / (expected / (n * (n - 1)))


def jackknife(values, statistic):
    left = [statistic(values[:i] + values[i + 1 :]) for i in range(len(values))]
    n, mean = len(left), sum(left) / len(left)
    return math.sqrt((n - 1) / n * sum((x - mean) ** 2 for x in left))


def test_both_coefficients_and_their_errors_equal_the_definitions():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 3, 80)
    second = np.where(rng.random(80) < 0.4, rng.integers(0, 3, 80), first)
    pairs = list(zip(first.tolist(), second.tolist(), strict=True))
    table = np.zeros((3, 3))
    np.add.at(table, (first, second), 1)
    units = [rng.integers(0, 3, rng.integers(1, 5)).tolist() if k % 3 else [1, 1] for k in range(90)]
    counts = np.array([[u.count(k) for k in range(3)] for u in units])

    kappa, alpha = agreement.cohen_kappa(table), agreement.krippendorff_alpha(counts)

    useful = [u for u in units if len(u) > 1]
    for found, slow, error in (
        (kappa, slow_kappa(pairs, 3), jackknife(pairs, lambda p: slow_kappa(p, 3))),
        (alpha, slow_alpha(units), jackknife(useful, slow_alpha)),
    ):
        assert found.method == "wald"
        assert found.value == pytest.approx(slow)
        assert found.high - found.value == pytest.approx(1.959964 * error, rel=1e-5)


def test_reviewers_who_never_disagree_are_not_certain_to_agree():
    found = agreement.krippendorff_alpha([[2, 0]] * 10 + [[0, 2]] * 10)

    assert (found.value, found.high, found.method) == (1.0, 1.0, "clopper-pearson")
    # at most 1 - .025^(1/20) of pairs disagree, of an expected 20·20·2/(40·39)
    assert found.low == pytest.approx(1 - (1 - 0.025 ** (1 / 20)) / (800 / 1560))


@pytest.mark.parametrize("disagree", [0.02, 0.3])
def test_the_interval_of_alpha_covers(disagree):
    rng = np.random.default_rng(1)
    chance = 0.5  # both classes alike often
    hits = 0
    for _ in range(2_000):
        first = rng.integers(0, 2, 200)
        second = np.where(rng.random(200) < disagree, 1 - first, first)
        counts = np.eye(2)[first] + np.eye(2)[second]
        found = agreement.krippendorff_alpha(counts)
        hits += found.low <= 1 - disagree / chance <= found.high

    assert hits >= scipy.stats.binom.ppf(1e-6, 2_000, 0.95)


def test_the_claim_on_the_truth_by_hand():
    claim = agreement.truth_claim(pairs=200, disagreed=9, residual_high=0.05, reviewed_share=0.3, alpha=0.1)

    p = intervals.clopper_pearson(9, 200, 0.1).high
    eta = (1 - math.sqrt(1 - 2 * p)) / 2
    assert claim.disagreement_high == p
    assert claim.reviewer_error_high == pytest.approx(eta)
    assert claim.error_high == pytest.approx(0.05 / (1 - eta) + eta * 0.3)
    assert 2 * eta * (1 - eta) == pytest.approx(p)


def test_the_claim_holds_for_people_who_err_independently():
    """A pool of which a part is reviewed once: what is wrong stays below the bound in 95 % of replays.

    The bound on what is wrong and unreviewed is the exact one of a simple random audit.
    """
    rng = np.random.default_rng(4)
    items, audit, eta, replays = 2_000, 400, 0.04, 1_000
    broken = 0
    for _ in range(replays):
        machine_wrong = rng.random(items) < 0.1
        people_wrong, second_wrong = rng.random((2, items)) < eta
        apart = people_wrong ^ second_wrong  # two classes: both wrong agree
        disagree = machine_wrong ^ people_wrong
        seen = rng.permutation(items)[:audit]
        upper = intervals.hypergeom_ucb(items, audit, int(disagree[seen].sum()), 0.025)
        claim = agreement.truth_claim(
            pairs=200,
            disagreed=int(apart[seen[:200]].sum()),
            residual_high=(upper - disagree[seen].sum()) / items,
            reviewed_share=audit / items,
        )
        final_wrong = machine_wrong.copy()
        final_wrong[seen] = people_wrong[seen]
        broken += final_wrong.mean() > claim.error_high

    assert broken <= scipy.stats.binom.isf(1e-6, replays, 0.05)


def test_too_few_doubles_are_refused_with_the_number_that_is_needed():
    with pytest.raises(agreement.TooFewPairs, match=r"at least 100 doubles.*got 99.*plan 1 more") as caught:
        agreement.truth_claim(pairs=99, disagreed=0, residual_high=0.0, reviewed_share=0.0)
    assert caught.value.pairs == 100
    with pytest.raises(agreement.TooFewPairs, match=r"about 3[0-9][0-9] pairs would tell more"):
        agreement.truth_claim(pairs=100, disagreed=45, residual_high=0.0, reviewed_share=0.0)
    with pytest.raises(agreement.TooFewPairs, match="no number of pairs would help"):
        agreement.truth_claim(pairs=100, disagreed=60, residual_high=0.0, reviewed_share=0.0)


def test_a_claim_that_says_nothing_stays_true():
    claim = agreement.truth_claim(pairs=100, disagreed=30, residual_high=0.9, reviewed_share=1.0)

    assert claim.error_high == 1.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: agreement.pairs([]),
        lambda: agreement.cohen_kappa([[1, 2]]),
        lambda: agreement.cohen_kappa([[1, -1], [0, 1]]),
        lambda: agreement.cohen_kappa([[1, 0.5], [0, 1]]),
        lambda: agreement.cohen_kappa([[1, 0], [0, 0]]),
        lambda: agreement.cohen_kappa([[5, 0], [0, 0]]),
        lambda: agreement.krippendorff_alpha([[2, 0], [2, 0]]),
        lambda: agreement.krippendorff_alpha([[2, 0], [1, 0]]),
        lambda: agreement.krippendorff_alpha([[2, 0.5], [1, 1]]),
        lambda: agreement.truth_claim(pairs=100, disagreed=101, residual_high=0.0, reviewed_share=0.0),
        lambda: agreement.truth_claim(pairs=100, disagreed=1, residual_high=1.1, reviewed_share=0.0),
    ],
)
def test_agreement_refuses_bad_input(call):
    with pytest.raises(ValueError, match="expected"):
        call()

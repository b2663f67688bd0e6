import itertools
import math

import numpy as np
import pytest
import scipy.special
import scipy.stats

from actuary.stats import calibration, choice, quality, risk, worth

PLATT = choice.Candidate(kind="platt", columns=(0,), fit=risk.fit_platt)


@pytest.mark.parametrize("k", range(7))
def test_a_bet_is_fair_over_all_ways_in_which_labels_could_be_wrong(k):
    """Of a worthless critic all sets of k wrong labels are as likely: the mean factor over them is 1."""
    eps = np.array([0.9, 0.5, 0.5, 0.3, 0.05, 0.7])
    odds = eps / (1 - eps)
    sets = list(itertools.combinations(range(6), k))
    total = sum(math.prod(odds[list(s)]) for s in sets)
    factors = []
    for wrong in sets:
        factor = math.exp(worth.log_evidence(eps, np.isin(np.arange(6), wrong)))
        assert factor == pytest.approx(len(sets) * math.prod(odds[list(wrong)]) / total)
        factors.append(factor)
    assert np.mean(factors) == pytest.approx(1.0)


def test_the_error_rate_that_a_critic_assumes_does_not_matter():
    rng = np.random.default_rng(0)
    eta, wrong = rng.normal(size=300), rng.random(300) < 0.3
    few = worth.log_evidence(scipy.special.expit(eta - 2), wrong)
    assert few == pytest.approx(worth.log_evidence(scipy.special.expit(eta + 1), wrong), abs=1e-8)


def test_certain_risks_that_are_wrong_cost_no_more_than_the_bound_of_a_logit():
    assert worth.log_evidence([1.0, 0.0], [False, True]) == pytest.approx(
        math.log(2 * 1e-8 / (1e-8 + 1)), rel=1e-3
    )


def critic(auroc, n, seed, rate=0.3):
    rng = np.random.default_rng(seed)
    wrong = rng.random(n) < rate
    return (rng.normal(size=n) + math.sqrt(2) * scipy.stats.norm.ppf(auroc) * wrong)[:, None], wrong


def test_a_good_critic_passes_and_an_adversarial_one_passes_once_its_direction_is_learnt():
    assert worth.bet([PLATT], *critic(0.85, 200, 1), 0.05, (0,)).shown
    x, wrong = critic(0.15, 200, 1)
    assert worth.bet([PLATT], x, wrong, 0.05, (0,)).shown
    assert not worth.bet([], x, wrong, 0.05, (0,)).shown  # as it came, it says the opposite


def test_a_useless_critic_does_not_pass():
    for seed in range(20):
        assert not worth.bet([PLATT], *critic(0.5, 200, seed), 1e-6, (0,)).shown
    x, wrong = critic(0.5, 100, 0)
    assert not worth.bet([PLATT], np.zeros_like(x), wrong, 0.05, (0,)).shown
    assert not worth.bet([PLATT], np.full_like(x, np.nan), wrong, 0.05, (0,)).shown


def test_looking_again_and_again_does_not_fool_the_bet_and_fools_an_interval():
    """A pilot of 40 labels and six audits of 20, all looked at; a worthless critic passes at most at α.

    600 replays of a probability of at most .05 pass more than `binom.ppf(1 - 1e-6, 600, .05)` = 57 times with
    a probability below 1e-6.
    """
    replays, alpha = 600, 0.05
    passed, fooled = 0, 0
    for seed in range(replays):
        x, wrong = critic(0.5, 160, 10_000 + seed)
        evidence = worth.bet([PLATT], x[:40], wrong[:40], alpha, (0,))
        eps = choice.fit_or_constant(PLATT, x[:40], wrong[:40]).predict(x)
        seen = False
        for look in range(40, 160, 20):
            evidence = evidence.after(eps[look : look + 20], wrong[look : look + 20])
            block = slice(40, look + 20)
            seen = seen or (
                0 < wrong[block].sum() < wrong[block].size
                and calibration.auroc_interval(eps[block], wrong[block], alpha=2 * alpha).low > 0.5
            )
        passed += evidence.shown
        fooled += seen
    assert passed <= scipy.stats.binom.ppf(1 - 1e-6, replays, alpha)
    assert fooled > scipy.stats.binom.ppf(1 - 1e-6, replays, alpha)


def test_what_was_shown_once_stays_shown():
    good = worth.Worth(alpha=0.05).after([0.9] * 6 + [0.1] * 6, [True] * 6 + [False] * 6)
    later = good.after([0.9] * 20 + [0.1] * 20, [False] * 20 + [True] * 20)
    assert good.shown
    assert later.log_wealth < 0
    assert later.shown
    assert later.labels == 52
    assert later.after([], []) == later


def test_few_labels_and_labels_of_one_kind_are_no_evidence():
    assert worth.bet([PLATT], np.zeros((0, 1)), [], 0.05).best == 0.0
    x = np.arange(50.0)[:, None]
    assert worth.bet([PLATT], x, np.ones(50, bool), 0.05, (0,)).best == 0.0
    assert worth.bet([PLATT], x[:10], np.arange(10) > 7, 0.05).best == 0.0


def test_blocks_cover_all_labels_once():
    for n in (1, 20, 21, 137, 10_000):
        found = worth.blocks(n)
        assert [start for start, _ in found] == [0, *[stop for _, stop in found[:-1]]]
        assert found[-1][1] == n


@pytest.mark.parametrize(
    "call",
    [
        lambda: worth.log_evidence([1.5], [True]),
        lambda: worth.log_evidence([0.5], [True, False]),
        lambda: worth.bet([], np.zeros((20, 1)), [True, False] * 10, 0.05),
        lambda: worth.bet([PLATT], np.zeros((20, 1)), [True] * 19, 0.05),
        lambda: worth.bet([PLATT], np.zeros((20, 1)), [True] * 20, 0.0),
        lambda: calibration.auroc_interval([0.5], [True]),
        lambda: calibration.auroc_interval([0.5, 0.2], [True, False], alpha=0.0),
        lambda: calibration.calibration_error_by_chance([0.5], [0.0]),
        lambda: calibration.calibration_error_by_chance([0.5], bins=0),
    ],
)
def test_bets_and_bounds_refuse_bad_input(call):
    with pytest.raises(ValueError, match="expected"):
        call()


@pytest.mark.parametrize("shift", [0.0, 1.5, 3.0])
@pytest.mark.parametrize(("wrong", "right"), [(5, 45), (10, 20), (60, 140)])
def test_the_interval_of_auroc_covers_with_few_labels_too(shift, wrong, right):
    """An approximate interval; below `binom.ppf(1e-6, 800, .94)` = 718 hits it would cover less than 94 %.

    An interval by the estimate's own variance covers some 65 % of the case of 5 wrong labels and AUROC .983.
    """
    rng = np.random.default_rng(wrong)
    truth = scipy.stats.norm.cdf(shift / math.sqrt(2))
    err = np.arange(wrong + right) < wrong
    hits = 0
    for _ in range(800):
        eps = scipy.special.ndtr(rng.normal(size=err.size) + shift * err)
        bounds = calibration.auroc_interval(eps, err)
        hits += bounds.low <= truth <= bounds.high
    assert hits >= scipy.stats.binom.ppf(1e-6, 800, 0.94)


def test_the_interval_of_auroc_is_that_of_the_formula_and_turns_round_with_the_labels():
    rng = np.random.default_rng(4)
    eps, err = rng.random(50), np.arange(50) < 15
    bounds = calibration.auroc_interval(eps, err)
    estimate = quality.auroc(eps, err)
    for a in (bounds.low, bounds.high):
        s = 50 / 2 - 1
        variance = a * (1 - a) * (1 + s * ((1 - a) / (2 - a) + a / (1 + a))) / (15 * 35)
        assert abs(estimate - a) == pytest.approx(1.959964 * math.sqrt(variance), rel=1e-5)
    turned = calibration.auroc_interval(1 - eps, err)
    assert (turned.low, turned.high) == pytest.approx((1 - bounds.high, 1 - bounds.low))
    doubled = calibration.auroc_interval(eps, err, np.where(np.arange(50) % 2, 3.0, 0.0))
    assert doubled.high - doubled.low > bounds.high - bounds.low
    perfect = calibration.auroc_interval(err.astype(float), err)
    assert 0.8 < perfect.low < 1.0 == perfect.high


def test_chance_makes_the_calibration_error_that_it_is_said_to_make():
    """Two errors, of 1,000 replays (.3 % of the mean) and of the normal shape of a bin of 100 (below 1 %)."""
    rng = np.random.default_rng(6)
    eps = np.repeat(np.arange(10) / 10 + 0.05, 100)
    weight = rng.uniform(0.5, 1.5, 1000)
    found = [quality.expected_calibration_error(eps, rng.random(1000) < eps, weight) for _ in range(1000)]
    assert np.mean(found) == pytest.approx(calibration.calibration_error_by_chance(eps, weight), rel=0.025)

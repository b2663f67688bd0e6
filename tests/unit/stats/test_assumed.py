"""Assumed worlds: the ranges are met, critics rank as they are assumed to, and rules do what they do."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from actuary.stats import assumed, quality, quote, weighing

THRESHOLD = quote.Plan(rule="threshold")


@given(st.floats(0.51, 0.98), st.floats(0.001, 0.98))
def test_a_range_has_its_ends_as_quantiles(low, part):
    high = low + (1.0 - low) * part
    for floor in (0.0, 0.5):
        believed = assumed.Range(low=low, high=high, floor=floor)
        ends = believed.quantile([0.025, 0.975])
        assert ends.tolist() == pytest.approx([low, high], abs=1e-9)
        wide = believed.quantile([1e-9, 1 - 1e-9])
        assert floor < wide[0] < wide[1] < 1.0


@pytest.mark.parametrize(
    ("low", "high", "floor"),
    [
        (0.9, 0.5, 0.0),
        (0.5, 0.5, 0.0),
        (0.0, 0.5, 0.0),
        (0.5, 1.0, 0.0),
        (0.5, 0.9, 0.5),
        (math.nan, 0.9, 0.0),
    ],
)
def test_a_range_that_is_none_says_what_one_is(low, high, floor):
    with pytest.raises(ValueError, match=rf"expected {floor:g} < low < high < 1, got low"):
        assumed.Range(low=low, high=high, floor=floor)


@pytest.mark.parametrize("error", [0.02, 0.3, 0.7])
@pytest.mark.parametrize("auroc", [0.55, 0.77, 0.95])
def test_a_population_has_the_error_rate_and_the_ranking_that_are_assumed(error, auroc):
    eps = assumed.population(error, auroc, items=2_000)

    assert eps.mean() == pytest.approx(error, rel=1e-9)
    # each part twice, once right and once wrong, weighed by its risk
    both, wrong = np.concatenate([eps, eps]), np.repeat([True, False], eps.size)
    found = quality.auroc(both, wrong, np.concatenate([eps, 1.0 - eps]))
    # within a part right and wrong are tied: at most half the chance that a pair is of one part
    inside = (eps * (1.0 - eps)).sum() / (eps.sum() * (1.0 - eps).sum())
    assert found == pytest.approx(auroc, abs=inside / 2 + 1e-6)


def test_a_risk_is_the_share_of_errors_at_its_score():
    error, auroc = 0.3, 0.8
    delta = assumed.separation(auroc)
    rng = np.random.default_rng(4)
    wrong = rng.random(400_000) < error
    score = rng.normal(size=wrong.size) + delta * wrong
    parts = np.array_split(wrong[np.argsort(-score)], 20)

    eps = assumed.population(error, auroc, items=20)

    # 20,000 labels a part: five standard errors
    for share, part in zip(eps, parts, strict=True):
        assert abs(part.mean() - share) < 5 * math.sqrt(share * (1 - share) / part.size)


@pytest.mark.parametrize("auroc", [0.6, 0.77, 0.9])
def test_the_labels_that_show_a_critic_follow_from_its_information(auroc):
    error = 0.3
    delta = assumed.separation(auroc)

    def information(z):
        bad, good = error * scipy.stats.norm.pdf(z - delta), (1 - error) * scipy.stats.norm.pdf(z)
        eps = bad / (bad + good)
        return bad * math.log(eps / error) + good * math.log((1 - eps) / (1 - error))

    nats = scipy.integrate.quad(information, -7, delta + 7)[0]
    found = assumed.labels_to_show(assumed.population(error, auroc, items=4_000), 0.1)
    assert found == pytest.approx(assumed.LEARNING * math.log(10) / nats, rel=2e-3)


def test_a_critic_that_says_nothing_is_never_shown():
    assert assumed.labels_to_show(np.full(10, 0.25), 0.1) == math.inf


@pytest.mark.parametrize("rule", weighing.RULES)
def test_worlds_follow_a_rule_as_a_population_of_their_own_would(rule):
    plan = quote.Plan(rule=rule)
    accuracy, auroc = assumed.Range(low=0.6, high=0.9), assumed.Range(low=0.6, high=0.9, floor=0.5)
    made = assumed.worlds(accuracy, auroc, plan, level=1.0)

    for world in (0, 17, 500, 1_000, 2_047):
        eps = assumed.population(float(made.error[world]), float(made.auroc[world]), items=4_000)
        for share in (0.003, 0.03, 0.2, 0.6):
            left = (eps * (1.0 - quote.probabilities(eps, share, plan))).mean()
            # interpolated between a few worlds and shares: to a sixth of a point of accuracy
            assert made.error[world] * made.stays(share, labels=0)[world] == pytest.approx(left, abs=0.0016)


def test_where_the_pilot_does_not_show_the_critic_chance_decides():
    made = assumed.worlds(assumed.MACHINE_ACCURACY, assumed.CRITIC_AUROC, THRESHOLD, level=0.1)

    followed = made.stays(0.2, labels=10**9)
    unshown = made.stays(0.2, labels=0)

    assert (followed < 0.8).all()
    assert (unshown == 0.8).all()
    some = made.stays(0.2, labels=100)
    shown = made.needed <= 100
    assert 0 < shown.sum() < shown.size
    np.testing.assert_array_equal(some, np.where(shown, followed, 0.8))


def test_the_same_assumptions_have_the_same_worlds():
    told = assumed.MACHINE_ACCURACY, assumed.CRITIC_AUROC, THRESHOLD
    first = assumed.worlds(*told, level=0.1)
    assert assumed.worlds(*told, level=0.1) is first  # which nobody can change
    assert not any(getattr(first, field.name).flags.writeable for field in dataclasses.fields(first))
    second = assumed.worlds.__wrapped__(*told, level=0.1)
    np.testing.assert_array_equal(first.error, second.error)
    np.testing.assert_array_equal(first.stays(0.1, 50), second.stays(0.1, 50))


@pytest.mark.parametrize(
    "call",
    [
        lambda: assumed.population(0.0, 0.8),
        lambda: assumed.population(0.3, 0.4),
        lambda: assumed.population(0.3, 1.0),
        lambda: assumed.labels_to_show([0.2, 0.3], 0.0),
        lambda: assumed.labels_to_show([0.0, 0.0], 0.1),
        lambda: assumed.labels_to_show([1.2], 0.1),
        lambda: assumed.MACHINE_ACCURACY.quantile([0.0]),
        lambda: assumed.worlds(
            assumed.MACHINE_ACCURACY, assumed.CRITIC_AUROC, quote.Plan(rule="best"), level=0.1
        ),
    ],
)
def test_assumptions_that_cannot_be_are_refused(call):
    with pytest.raises(ValueError, match="expected"):
        call()

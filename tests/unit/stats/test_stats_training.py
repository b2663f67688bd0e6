import numpy as np
import pytest
import scipy.stats

from actuary.stats import training

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("lam", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("cap", [1.0, 5.0, INF])
def test_targets_equal_the_formula_item_by_item(lam, cap):
    rng = np.random.default_rng(0)
    soft = rng.dirichlet(np.ones(4), size=50)
    y = rng.integers(-1, 4, size=50)
    g = np.where(y >= 0, rng.gamma(1.0, 8.0, size=50), NAN)

    t, m = training.act_targets(y, soft, g, lam, cap)

    for i in range(50):
        reviewed = y[i] >= 0
        w = min(g[i], cap) if reviewed else 0.0
        human = np.eye(4)[y[i]] if reviewed else np.zeros(4)
        np.testing.assert_allclose(t[i], lam * soft[i] + (human - lam * soft[i]) * w)
        assert m[i] == pytest.approx(lam + (1 - lam) * w)
    np.testing.assert_allclose(t.sum(axis=1), m)


def test_with_hard_labels_and_no_cap_the_loss_is_the_papers():
    t, m = training.act_targets([1], [[1.0, 0.0]], [10.0], lam=1.0, cap=INF)

    assert (t.tolist(), m.tolist()) == ([[-9.0, 10.0]], [1.0])


def test_weights_on_average_give_back_the_human_targets():
    # δ/π has mean 1, so with W = ∞ and λ = 1 the mean target is the human's
    soft, pi = np.array([[0.7, 0.3]]), 0.2
    reviewed, _ = training.act_targets([1], soft, [1 / pi], cap=INF)
    skipped, _ = training.act_targets([-1], soft, [0.0], cap=INF)

    np.testing.assert_allclose(pi * reviewed + (1 - pi) * skipped, [[0.0, 1.0]], atol=1e-12)


def test_diagnostics_by_hand():
    weights = [1.0] * 199 + [101.0]

    plain, capped = training.diagnose(weights), training.diagnose(weights, cap=5)

    assert plain.largest == 101.0
    assert plain.effective_size == pytest.approx(300**2 / (199 + 101**2))
    assert plain.top_share == pytest.approx(102 / 300)
    assert capped.largest == 5.0
    assert training.diagnose([2.0] * 7).effective_size == pytest.approx(7.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: training.act_targets([2], [[0.5, 0.5]], [1.0]),
        lambda: training.act_targets([-2], [[0.5, 0.5]], [1.0]),
        lambda: training.act_targets([0], [[0.5, 0.6]], [1.0]),
        lambda: training.act_targets([0], [[0.5, NAN]], [1.0]),
        lambda: training.act_targets([0], [[0.5, 0.5]], [NAN]),
        lambda: training.act_targets([0], [[0.5, 0.5]], [-1.0]),
        lambda: training.act_targets([0], [[0.5, 0.5]], [1.0], lam=1.5),
        lambda: training.act_targets([0], [[0.5, 0.5]], [1.0], cap=0.5),
        lambda: training.act_targets([0, 1], [[0.5, 0.5]], [1.0, 1.0]),
        lambda: training.diagnose([]),
        lambda: training.diagnose([0.0]),
        lambda: training.diagnose([-1.0]),
        lambda: training.diagnose([1.0], cap=NAN),
    ],
)
def test_training_refuses_bad_input(call):
    with pytest.raises(ValueError, match="expected"):
        call()


def problems(*args, **kwargs):
    return [(each.fatal, each.problem) for each in training.findings(*args, **kwargs)]


def test_a_threshold_rule_without_an_audit_cannot_be_trained_on_without_bias():
    ((fatal, problem),) = problems(np.ones(100), items=1000)

    assert fatal
    assert "stand for 10% of the items" in problem
    assert "audit" in training.findings(np.ones(100), items=1000)[0].remedy
    assert problems(np.ones(100), items=1000, lam=0.8) == []  # which claims no such thing


def test_chance_in_the_sum_of_the_weights_is_no_finding():
    """A Poisson draw's weights sum to three standard errors below N in 1.35 of 1,000 draws."""
    rng = np.random.default_rng(0)
    pi = rng.uniform(0.05, 0.5, 2_000)
    told = sum(
        any(fatal for fatal, _ in problems(1 / pi[rng.random(2_000) < pi], items=2_000)) for _ in range(1_000)
    )

    assert told <= scipy.stats.binom.isf(1e-6, 1_000, 0.00135)


def test_a_few_labels_with_most_of_the_weight_are_refused_with_the_cap_that_repairs_it():
    g = np.r_[np.ones(199), 10_000.0]
    fatal, *others = training.findings(g, items=10_199)

    assert fatal.fatal
    assert not any(each.fatal for each in others)
    cap = training.largest_cap(g, training.LOW_EFFECTIVE_SHARE)
    assert f"W = {cap:g}" in fatal.remedy
    assert training.diagnose(g, cap).effective_size >= training.LOW_EFFECTIVE_SHARE * 200
    assert training.diagnose(g, cap + 0.2).effective_size < training.LOW_EFFECTIVE_SHARE * 200
    assert not [each for each in training.findings(g, items=10_199, cap=cap) if each.fatal]


def test_a_heavy_hundredth_and_a_cap_that_takes_most_are_told():
    heavy = training.findings(np.r_[np.ones(990), np.full(10, 40.0)], items=1_390)
    (leaning,) = training.findings(np.full(100, 20.0), items=2_000, cap=5.0)

    assert "heaviest hundredth of the human labels has 29%" in heavy[-1].problem
    assert "takes away 75%" in leaning.problem


@pytest.mark.parametrize(
    ("g", "share", "cap"),
    [([1.0] * 5, 0.9, INF), ([0.5] * 9 + [1.0], 0.99, 1.0), ([0.0] * 9 + [3.0], 0.5, 1.0)],
)
def test_the_largest_cap_is_none_or_the_smallest_where_it_must_be(g, share, cap):
    assert training.largest_cap(g, share) == cap


@pytest.mark.parametrize(
    "call",
    [
        lambda: training.findings([0.0], items=5),
        lambda: training.findings([1.0], items=0),
        lambda: training.findings([1.0], items=5, lam=2.0),
        lambda: training.findings([1.0], items=5, cap=0.5),
        lambda: training.largest_cap([1.0], 0.0),
    ],
)
def test_findings_refuses_bad_input(call):
    with pytest.raises(ValueError, match="expected"):
        call()

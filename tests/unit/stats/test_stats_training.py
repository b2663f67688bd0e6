import numpy as np
import pytest

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

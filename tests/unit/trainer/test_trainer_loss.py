"""The ACT loss: equal to the formula it replaces, convex, and checked against finite differences."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actuary.stats import training
from actuary.trainer import loss


def explicit(z: np.ndarray, y: np.ndarray, s: np.ndarray, g: np.ndarray, lam: float, cap: float) -> float:
    """λ CE(z, s) + w δ (CE(z, y) - λ CE(z, s)), item by item."""
    total = 0.0
    for i in range(len(z)):
        logs = z[i] - np.log(np.exp(z[i]).sum())
        machine = -(s[i] * logs).sum()
        item = lam * machine
        if y[i] >= 0:
            item += min(g[i], cap) * (-logs[y[i]] - lam * machine)
        total += item
    return total / len(z)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.6, 1.0]),
    st.sampled_from([1.0, 5.0, float("inf")]),
    st.booleans(),
)
def test_soft_targets_give_the_explicit_loss(seed: int, lam: float, cap: float, hard: bool) -> None:
    rng = np.random.default_rng(seed)
    n, k = 17, 4
    z = rng.normal(size=(n, k)) * 3
    s = np.eye(k)[rng.integers(0, k, n)] if hard else rng.dirichlet(np.ones(k), n)
    y, g = rng.integers(-1, k, n), rng.exponential(4, n)
    t, m = training.act_targets(y, s, g, lam, cap)
    got = loss.act_loss(torch.tensor(z), torch.tensor(t), torch.tensor(m))
    assert float(got) == pytest.approx(explicit(z, y, s, g, lam, cap), rel=1e-9, abs=1e-9)


def test_without_human_labels_it_is_cross_entropy() -> None:
    z = torch.tensor(np.random.default_rng(0).normal(size=(9, 3)))
    labels = torch.arange(9) % 3
    targets = torch.nn.functional.one_hot(labels, 3).double()
    ours = loss.act_loss(z, targets, torch.ones(9, dtype=torch.float64))
    assert float(ours) == pytest.approx(float(torch.nn.functional.cross_entropy(z, labels)))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0]))
def test_it_is_convex_in_the_logits_even_where_targets_are_negative(
    seed: int, between: float, lam: float
) -> None:
    rng = np.random.default_rng(seed)
    t, m = training.act_targets(
        rng.integers(-1, 3, 8), rng.dirichlet(np.ones(3), 8), rng.exponential(9, 8), lam, np.inf
    )
    targets, masses = torch.tensor(t), torch.tensor(m)
    first, second = (torch.tensor(rng.normal(size=(8, 3)) * 4) for _ in range(2))
    middle = loss.act_loss(between * first + (1 - between) * second, targets, masses)
    ends = [loss.act_loss(end, targets, masses) for end in (first, second)]
    assert float(middle) <= between * float(ends[0]) + (1 - between) * float(ends[1]) + 1e-9


def test_its_slope_is_the_mass_times_the_softmax_minus_the_target() -> None:
    rng = np.random.default_rng(3)
    z = torch.tensor(rng.normal(size=(5, 3)), requires_grad=True)
    t, m = torch.tensor(rng.normal(size=(5, 3))), torch.tensor(rng.exponential(size=5))
    loss.act_loss(z, t, m).backward()
    assert z.grad is not None
    assert z.grad.numpy() == pytest.approx(
        ((m[:, None] * z.softmax(dim=1) - t) / 5).detach().numpy(), abs=1e-12
    )


def test_its_mean_over_draws_is_the_loss_of_all_human_labels() -> None:
    # unbiased for W = infinity: E[δ g] = 1; 4,000 draws, tolerance 5 standard errors
    rng = np.random.default_rng(4)
    n, k = 30, 3
    z, s = rng.normal(size=(n, k)), np.eye(k)[rng.integers(0, k, n)]
    y, pi = rng.integers(0, k, n), rng.uniform(0.2, 0.9, n)
    logits = torch.tensor(z)
    values = []
    for _ in range(4000):
        drawn = np.where(rng.random(n) < pi, y, -1)
        t, m = training.act_targets(drawn, s, 1 / pi, 1.0, np.inf)
        values.append(float(loss.act_loss(logits, torch.tensor(t), torch.tensor(m))))
    full = float(torch.nn.functional.cross_entropy(logits, torch.tensor(y)))
    assert abs(np.mean(values) - full) < 5 * np.std(values) / np.sqrt(4000)

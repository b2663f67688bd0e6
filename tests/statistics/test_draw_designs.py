"""What draws promise on average, by simulation: with costs, take-all items, strata, stops and later waves.

A mean must lie within 4.9 standard errors (1e-6) of its value; a planted mistake must lie beyond. Draws are
repeated by their own vectorised twin where thousands of replays are needed, and the twin is first compared
with the product on single replays.
"""

from __future__ import annotations

import numpy as np
import pytest

from actuary.stats import budgets, draws, placing, robust

Z = 4.9


def assert_mean(values, expected, axis=0):
    values = np.asarray(values, dtype=float)
    error = values.std(axis=axis, ddof=1) / np.sqrt(values.shape[axis])
    assert (np.abs(values.mean(axis=axis) - expected) <= Z * error + 1e-12).all()


def assert_not_mean(values, expected):
    values = np.asarray(values, dtype=float)
    assert abs(values.mean() - expected) > Z * values.std(ddof=1) / np.sqrt(values.size)


def plans(score, u, sure, cost=None, size=None, money=None):
    """Priority draws of many replays at once, u [R, N]: order of serving [R, N], ranks, scores, sizes, τ.

    Take-all items are put in with r = τu. Written from the definition, by sorting whole rows.
    """
    rows = np.arange(len(u))[:, None]
    r = np.where(sure, np.inf, u / score)
    order = np.argsort(r, axis=1)
    free = int((~sure).sum())
    if money is None:
        drawn = np.full(len(u), size - int(sure.sum()))
    else:
        drawn = (cost[sure].sum() + np.cumsum(cost[order][:, :free], axis=1) <= money).sum(axis=1)
    ranked = np.concatenate([np.take_along_axis(r, order, 1), np.full((len(u), 1), np.inf)], axis=1)
    tau = ranked[rows[:, 0], drawn]
    scale = np.where(np.isfinite(tau), tau, ranked[rows[:, 0], np.maximum(drawn - 1, 0)])[:, None]
    s = np.where(sure, 1.0 / scale, score)
    r = np.where(sure, u * scale, r)
    r = np.where(sure | (r < tau[:, None]), r, np.inf)
    return np.argsort(r, axis=1), np.sort(r, axis=1), s, drawn + int(sure.sum()), tau


def prefix_weights(order, ranks, s, sizes, tau, answered):
    """1/π of the items in the answered prefix, 0 for others, [R, N]."""
    rows = np.arange(len(order))
    done = np.minimum(answered, sizes)
    following = np.where(done < sizes, ranks[rows, np.minimum(done, order.shape[1] - 1)], tau)[:, None]
    position = np.argsort(order, axis=1)
    pi = np.where(s * following < 1.0, s * following, 1.0)
    return np.where(position < done[:, None], 1.0 / pi, 0.0)


def population(seed, items=9, certain=2):
    rng = np.random.default_rng(seed)
    score = rng.gamma(1.5, size=items) + 0.2
    sure = np.arange(items) < certain
    cost = rng.integers(1, 5, size=items).astype(float)
    return rng, score, sure, cost, rng.normal(1.0, 1.0, size=items)


@pytest.mark.parametrize("by_money", [False, True], ids=["size", "money"])
def test_the_twin_of_the_simulations_draws_and_weighs_as_the_product_does(by_money):
    rng, score, sure, cost, _ = population(1)
    u = rng.random((300, 9))
    money = 11.0 if by_money else None
    order, ranks, s, sizes, tau = plans(score, u, sure, cost, 6, money)
    for replay in range(300):
        draw = (
            draws.draw_money(score, u[replay], cost, 11.0, sure)
            if by_money
            else draws.draw_exact(score, u[replay], 6, sure)
        )
        planned = np.flatnonzero(draw.selected)
        assert sizes[replay] == planned.size
        for answered in range(1, planned.size + 1):
            done = np.argsort(np.argsort(draw.rank[planned])) < answered
            placed = placing.priority(
                "drawn",
                9,
                draw.rank[planned],
                draw.score[planned],
                draw.tau if np.isfinite(draw.tau) else None,
                done,
            )
            weights = np.zeros(9)
            weights[planned] = 1.0 / placed.pi
            twin = prefix_weights(order, ranks, s, sizes, tau, answered)[replay]
            np.testing.assert_allclose(twin, weights, rtol=1e-9)


@pytest.mark.parametrize("by_money", [False, True], ids=["size", "money"])
@pytest.mark.parametrize("certain", [0, 2, 5])
def test_every_prefix_of_a_draw_is_unbiased_for_every_item(by_money, certain):
    """From two answers on: of one, the variance is infinite and no mean settles.

    A draw for money needs that any two of its items fit (`draw_money`): costs are small against the money.
    """
    rng, score, sure, cost, value = population(2, certain=certain)
    u = rng.random((40_000, 9))
    money = cost[sure].sum() + 9.0
    order, ranks, s, sizes, tau = plans(score, u, sure, cost, certain + 3, money if by_money else None)
    for answered in range(2, int(sizes.max()) + 1):
        weights = prefix_weights(order, ranks, s, sizes, tau, answered)
        assert_mean(weights, 1.0)
        assert_mean(weights @ value, value.sum())


@pytest.mark.parametrize("by_money", [False, True], ids=["size", "money"])
def test_every_prefix_of_a_draw_tells_its_variance(by_money):
    rng, score, sure, cost, value = population(3)
    u = rng.random((40_000, 9))
    order, ranks, s, sizes, tau = plans(score, u, sure, cost, 6, cost[sure].sum() + 9.0 if by_money else None)
    for answered in (3, 5, 6):
        weights = prefix_weights(order, ranks, s, sizes, tau, answered)
        squared = (weights @ value - value.sum()) ** 2
        told = (np.where(weights > 0, weights * (weights - 1), 0.0) * value**2).sum(axis=1)
        assert_mean(squared - told, 0.0)


def test_a_finished_draw_knows_its_take_all_items():
    rng, score, sure, cost, _ = population(4)
    order, ranks, s, sizes, tau = plans(score, rng.random((1_000, 9)), sure, cost, 6)

    weights = prefix_weights(order, ranks, s, sizes, tau, 6)

    np.testing.assert_allclose(weights[:, sure], 1.0)


def test_planted_take_all_items_taken_as_known_before_they_were_reached_are_caught():
    """Served after the drawn ones and counted as labelled: the estimate misses whoever was not reached."""
    rng, score, sure, cost, value = population(5)
    u = rng.random((5_000, 9))
    order, ranks, s, sizes, tau = plans(score, u, sure, cost, 6)
    weights = prefix_weights(order, ranks, s, sizes, tau, 6)
    weights[:, 1] = 0.0  # the draw and the first certain item are answered, the second is not

    assert_not_mean(weights @ value, value.sum())


# Later waves


def test_a_pilot_then_a_draw_on_its_rescaled_numbers_is_unbiased_and_on_raw_ones_is_not():
    """8.1, for the product's own functions; the second draw's size measures vary, the pilot's do not."""
    rng = np.random.default_rng(7)
    score, value = rng.gamma(1.0, size=30) + 0.3, rng.random(30)
    rescaled, raw = [], []
    for _ in range(3_000):
        u = rng.random(30)
        pilot = draws.srs(u, 10)
        left = np.flatnonzero(~pilot.selected)
        known = value[pilot.selected].sum()
        for found, numbers in ((rescaled, draws.rescale(u[left], pilot.tau)), (raw, u[left])):
            draw = draws.draw_exact(score[left], numbers, 8)
            at = draw.selected
            found.append(known + (value[left][at] / draw.pi[at]).sum())

    assert_mean(rescaled, value.sum())
    assert_not_mean(raw, value.sum())


def test_a_second_poisson_draw_with_kept_numbers_is_unbiased_also_when_its_rule_has_seen_the_first():
    """π₂ looks at the first wave's labels; weighed by the conditional probability nothing is lost."""
    rng = np.random.default_rng(8)
    value, before = rng.random(12), rng.uniform(0.1, 0.4, size=12)
    u = rng.random((30_000, 12))
    first = u < before
    seen = (first * value).sum(axis=1, keepdims=True) / np.maximum(first.sum(axis=1, keepdims=True), 1)
    now = np.clip(0.45 + seen * np.linspace(0.1, 0.6, 12), 0.0, 1.0)
    conditional = np.array([draws.conditional(before, row) for row in now[:50]])
    twin = (now - before) / (1 - before)
    np.testing.assert_allclose(twin[:50], conditional)
    second = ~first & (u < now)

    assert_mean((first * value).sum(axis=1) + (second * value / twin).sum(axis=1), value.sum())
    assert_not_mean(((first | second) * value / now).sum(axis=1), value.sum())


def test_after_a_draw_for_money_the_numbers_of_dear_items_are_smaller():
    """Why `rescale` is refused the role there: who stands next did not fit, and is dear."""
    rng = np.random.default_rng(9)
    cost = np.where(np.arange(8) < 4, 1.0, 3.0)
    dear = []
    for _ in range(3_000):
        u = rng.random(8)
        draw = draws.draw_money(np.ones(8), u, cost, 6.0)
        left = ~draw.selected
        fresh = draws.rescale(u[left], draw.rank[draw.selected].max())
        dear.append((fresh[cost[left] == 3.0] - 0.5).sum())

    assert_not_mean(dear, 0.0)


def test_strata_with_minima_and_draws_of_their_own_add_up_to_an_unbiased_total():
    """A pilot, whose part of a stratum is a simple random sample of it, then a draw in each stratum."""
    rng = np.random.default_rng(10)
    stratum = np.repeat([0, 1, 2], [20, 8, 4])
    eps = rng.random(32)
    wrong = rng.random(32) < eps
    totals, squared_errors = [], []
    for _ in range(1_500):
        u = rng.random(32)
        pilot = draws.srs(u, 6)
        left = ~pilot.selected
        numbers = np.zeros(32)
        numbers[left] = draws.rescale(u[left], pilot.tau)
        rule = robust.pi_sqrt(eps[left], 12)
        at = np.flatnonzero(left)
        members = [at[stratum[at] == h] for h in range(3)]
        wanted = [rule.pi[np.isin(at, rows)].sum() for rows in members]
        sizes = [rows.size for rows in members]
        total, spread = float(wrong[pilot.selected].sum()), 0.0
        for rows, size in zip(members, budgets.share(wanted, np.minimum(2, sizes), sizes, 12), strict=True):
            if size == 0:
                continue  # the pilot has everybody
            draw = draws.draw_exact(rule.score[np.isin(at, rows)], numbers[rows], int(size))
            residual, pi = (wrong - eps)[rows][draw.selected], draw.pi[draw.selected]
            total += eps[rows].sum() + (residual / pi).sum()
            spread += ((1 - pi) / pi**2 * residual**2).sum()
        totals.append(total)
        squared_errors.append((total - wrong.sum()) ** 2 - spread)

    assert_mean(totals, wrong.sum())
    assert_mean(squared_errors, 0.0)


@pytest.mark.parametrize("se", [0.02, 0.04])
def test_the_budget_for_an_aim_reaches_it(se):
    rng = np.random.default_rng(11)
    eps = rng.beta(0.5, 2.0, size=500)
    v = eps * (1 - eps) + 1e-3
    pi = robust.pi_sqrt(v, budgets.budget_for(v, se), gamma=0.0).pi

    residual = np.sqrt(v) * rng.choice([-1.0, 1.0], size=500)  # of exactly the variance that was predicted
    drawn = rng.random((20_000, 500)) < pi
    rates = (drawn * (residual / pi)).sum(axis=1) / 500
    squared = (rates - residual.mean()) ** 2

    assert_mean(squared, se**2)

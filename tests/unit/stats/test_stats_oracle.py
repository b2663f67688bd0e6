"""Every estimate equals a slow one that follows the formulas of algorithms.md 3.4 and 8.5 line by line.

The slow one knows no arrays: each phase is a population and a list of (item, π). It works out D_v, V_v and
their combination phase by phase, where the product works with one weight an item.
"""

import math

import numpy as np
import pytest

from actuary.stats import designs, domains, draws, estimates, placing, rules, shares


class Slow:
    """Phases as plain lists; y and f are dictionaries from item to value."""

    def __init__(self):
        self.phases = []  # population, {sampled item: π}, [certain items], kind

    def total(self, y, f, inside, omega):
        """Σ_v ω_v D_v with D_v = Σ f + Σ_{labelled before v} (y - f) + Σ_{S_v} (y - f)/π."""
        value, before = 0.0, []
        for (_, sampled, certain, _), weight in zip(self.phases, omega, strict=True):
            d = sum(f[i] for i in inside)
            for i in before:
                d += y[i] - f[i]
            for i, pi in self._seen(sampled, certain, inside):
                d += (y[i] - f[i]) / pi
            value += weight * d
            before += [i for i in [*sampled, *certain] if i in inside]
        return value

    def _seen(self, sampled, certain, inside):
        pairs = [(i, 1.0) for i in certain if i in inside]
        return pairs + [(i, pi) for i, pi in sampled.items() if i in inside]

    def domain(self, inside):
        """The same phases, with π of a simple random sample as its share of the domain."""
        part = Slow()
        for population, sampled, certain, kind in self.phases:
            mine = {i: pi for i, pi in sampled.items() if i in inside}
            open_to = [i for i in population if i in inside and i not in certain]
            if kind == "srs":
                mine = {i: len(mine) / len(open_to) for i in mine}
            part.phases.append(
                ([i for i in population if i in inside], mine, [i for i in certain if i in inside], kind)
            )
        return part

    def variance(self, y, f, omega):
        total = 0.0
        for (population, sampled, certain, kind), weight in zip(self.phases, omega, strict=True):
            if weight == 0.0:
                continue
            e = [y[i] - f[i] for i in sampled]
            m, n = len(population) - len(certain), len(sampled)
            if kind == "srs":
                mean = sum(e) / n
                v = m**2 * (1 - n / m) * sum((x - mean) ** 2 for x in e) / (n - 1) / n
            else:
                v = sum((1 - pi) / pi**2 * x**2 for x, pi in zip(e, sampled.values(), strict=True))
            total += weight**2 * v
        return total


def campaign(seed, items=240):
    """A pilot, a threshold wave, a priority draw, by the product's own draws; and the same as plain lists."""
    rng = np.random.default_rng(seed)
    eps = rng.beta(1.0, 3.0, items).round(3)
    left, slow, fast = np.arange(items), Slow(), []

    def add(placed, rows, population):
        nonlocal left
        seen = {int(i): float(p) for i, p in zip(rows, placed.pi, strict=True) if np.isfinite(p)}
        is_certain = placed.phase.kind == "srs"
        certain = [i for i, p in seen.items() if is_certain and p == 1.0]
        sampled = {i: p for i, p in seen.items() if i not in certain}
        slow.phases.append((population.tolist(), sampled, certain, placed.phase.kind))
        fast.append((placed, rows, population))
        left = np.setdiff1d(left, rows)

    u = rng.random(left.size)
    rows = np.argsort(u)[:30]
    add(placing.srs("pilot", left.size, u[rows], [True] * 30), left[rows], left)
    order = rules.risk_order(eps[left], rng.random(left.size))
    rank = np.argsort(order)
    u = rng.random(left.size)
    first = np.argsort(u)[:25]
    plan = np.concatenate([first, order[~np.isin(order, first)][:20]])
    audit = np.arange(plan.size) < 25
    placed = placing.threshold("wave-1", left.size, rank[plan], audit, u[plan], [True] * plan.size)
    used = np.isfinite(placed.pi)  # what an estimate does not use only bounds it
    add(placing.Placed(phase=placed.phase, pi=placed.pi[used]), left[plan][used], left)
    score = rules.pi_normalised(eps[left] + 0.01, 30).score
    draw = draws.draw_exact(score, rng.random(left.size), 30)
    rows = np.flatnonzero(draw.selected)
    placed = placing.priority("wave-2", left.size, draw.rank[rows], score[rows], draw.tau, [True] * 30)
    add(placed, left[rows], left)
    return rng, eps, slow, fast


def sample_of(fast, y, f, inside):
    placed = [domains.within(p, inside[rows], int(inside[population].sum())) for p, rows, population in fast]
    at = np.concatenate([rows[inside[rows]] for _, rows, _ in fast])
    sample = estimates.Sample.of(
        phase=np.repeat(np.arange(3), [int(inside[rows].sum()) for _, rows, _ in fast]),
        pi=np.concatenate([p.pi for p in placed]),
        wrong=y[at],
        eps=f[at],
    )
    return [p.phase for p in placed], sample


@pytest.mark.parametrize("part", ["all items", "a domain"])
@pytest.mark.parametrize("seed", range(8))
def test_totals_and_their_errors_equal_the_formulas(seed, part):
    rng, eps, slow, fast = campaign(seed)
    inside = np.ones(eps.size, dtype=bool) if part == "all items" else rng.random(eps.size) < 0.5
    members = set(np.flatnonzero(inside).tolist())
    of_part = slow if part == "all items" else slow.domain(members)
    omega = (0.2, 0.5, 0.3)
    for f in (eps, np.zeros(eps.size), (eps > 0.4).astype(float)):
        y = rng.random(eps.size) < eps
        phases, sample = sample_of(fast, y, f, inside)
        design = designs.Design(phases=tuple(phases), omega=omega)
        values, truth = dict(enumerate(f)), dict(enumerate(y.astype(float)))
        value = of_part.total(truth, values, members, omega)
        error = math.sqrt(of_part.variance(truth, values, omega))
        for estimate in (estimates.total_errors, shares.total):
            found = estimate(design, sample, float(f[inside].sum()))
            # Both are cut to what is known for certain.
            found_ones = sum(truth[i] for _, rows, _ in fast for i in rows if i in members)
            found_noughts = sum(1 - truth[i] for _, rows, _ in fast for i in rows if i in members)
            assert found.value == pytest.approx(
                min(max(value, found_ones), len(members) - found_noughts), abs=1e-9
            )
            assert found.se == pytest.approx(error, abs=1e-9)
            assert found.low <= found.value <= found.high


def test_power_tuning_finds_the_smallest_estimated_variance():
    rng, eps, slow, fast = campaign(3)
    y, f = rng.random(eps.size) < eps, (eps > 0.3).astype(float)
    phases, sample = sample_of(fast, y, f, np.ones(eps.size, dtype=bool))
    omega = (0.2, 0.5, 0.3)
    design = designs.Design(phases=tuple(phases), omega=omega)
    truth = dict(enumerate(y.astype(float)))

    tuned = shares.tuned(design, sample, float(f.sum()))

    grid = np.linspace(0.0, 1.0, 201)
    slow_best = min(grid, key=lambda lam: slow.variance(truth, dict(enumerate(lam * f)), omega))
    assert tuned.lam == pytest.approx(slow_best, abs=0.005)
    assert tuned.f_sum == pytest.approx(tuned.lam * f.sum())
    np.testing.assert_allclose(tuned.sample.eps, tuned.lam * sample.eps)

"""What the package promises on average and with probability, by simulation with derived tolerances.

A 95 % interval may miss in 5 % of replays. The tests fail below binom.ppf(1e-6, replays, .95) hits: a true
method fails once in a million runs, and the seeds are fixed besides. A mean must lie within 4.9 standard
errors (1e-6) of its value.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.special
import scipy.stats

from actuary.stats import (
    checks,
    choice,
    designs,
    draws,
    estimates,
    flips,
    intervals,
    placing,
    prn,
    quote,
    risk,
    robust,
    rules,
    weighing,
)

Z = 4.9
ITEMS, PILOT, AUDIT, REST = 1277, 60, 100, 95
"""The digits campaign: 20 % of its items, as issue 3 spends them."""


def enough(replays, level=0.95):
    return scipy.stats.binom.ppf(1e-6, replays, level)


def assert_mean(values, expected):
    values = np.asarray(values, dtype=float)
    assert abs(values.mean() - expected) <= Z * values.std(ddof=1) / np.sqrt(values.size)


# Draws


@pytest.mark.parametrize("size", [1, 5, 11])
def test_priority_samples_are_unbiased_with_the_variance_they_say(size):
    rng = np.random.default_rng(size)
    score, value = rng.gamma(0.7, size=12) + 0.05, rng.normal(1.0, 1.0, size=12)
    totals, variances = [], []
    for _ in range(6_000):
        draw = draws.draw_exact(score, rng.random(12), size)
        pi, picked = draw.pi[draw.selected], value[draw.selected]
        totals.append((picked / pi).sum())
        variances.append(((1 - pi) / pi**2 * picked**2).sum())

    assert_mean(totals, value.sum())
    if size > 1:  # at one item the variance is infinite, as Duffield et al. say
        squared = (np.array(totals) - value.sum()) ** 2
        assert_mean(squared - variances, 0.0)


def test_poisson_draws_select_with_their_probabilities():
    rng = np.random.default_rng(0)
    pi = np.array([0.01, 0.3, 0.77, 1.0])
    hits = sum(draws.draw_poisson(pi, rng.random(4)).astype(int) for _ in range(20_000))

    tolerance = Z * np.sqrt(20_000 * pi * (1 - pi))
    assert (np.abs(hits - 20_000 * pi) <= tolerance).all()


# A whole small campaign

PLATT = choice.Candidate(kind="platt", columns=(0, 1), fit=risk.fit_platt)


@dataclasses.dataclass(frozen=True)
class Campaign:
    """One replay's population and numbers."""

    x: np.ndarray
    wrong: np.ndarray
    u: np.ndarray
    u_audit: np.ndarray
    u_tie: np.ndarray
    fold: np.ndarray

    @classmethod
    def of(cls, rng, base, informative=True):
        hidden = rng.normal(size=ITEMS)
        wrong = rng.random(ITEMS) < scipy.special.expit(base + 1.5 * hidden)
        seen = hidden + 0.7 * rng.normal(size=ITEMS) if informative else rng.normal(size=ITEMS)
        score = np.where(rng.random(ITEMS) < 0.05, np.nan, rng.normal(size=ITEMS))
        x = np.column_stack([seen, score])
        return cls(
            x, wrong, rng.random(ITEMS), rng.random(ITEMS), rng.random(ITEMS), prn.fold(rng.random(ITEMS))
        )

    def eps(self, pilot):
        try:
            models = choice.fit_folds([PLATT], self.x[pilot], self.wrong[pilot], self.fold[pilot])
        except checks.CriticUnfit:
            return risk.predict(risk.constant(self.wrong[pilot], 2), self.x)
        return risk.predict_folds(models, self.x, self.fold)


class Book:
    """Collects the phases of a replay, as a sampler service would."""

    def __init__(self, campaign, eps, pilot):
        self.campaign, self.eps = campaign, eps
        self.v = placing.robust_variance(eps)
        self.phases, self.variances = [], []
        self.rows, self.index, self.pi = [], [], []
        rows = np.flatnonzero(pilot.selected)
        placed = placing.srs("pilot", ITEMS, campaign.u[rows], np.ones(rows.size, bool))
        self.add(placed, rows, np.ones(rows.size, bool), self.v)

    def add(self, placed, rows, labelled, v, pi=None):
        self.phases.append(placed.phase)
        self.variances.append(placing.predicted_variance(placed.phase, v, pi))
        self.rows.append(rows[labelled])
        self.index.append(np.full(int(labelled.sum()), len(self.phases) - 1))
        self.pi.append(placed.pi[labelled])

    def unlabelled(self):
        left = np.ones(ITEMS, bool)
        left[np.concatenate(self.rows)] = False
        return np.flatnonzero(left)

    def estimate(self, design=None, eps=None):
        eps = self.eps if eps is None else eps
        rows = np.concatenate(self.rows)
        sample = estimates.Sample.of(
            phase=np.concatenate(self.index),
            pi=np.concatenate(self.pi),
            wrong=self.campaign.wrong[rows],
            eps=eps[rows],
        )
        return estimates.total_errors(
            design or designs.combine(self.phases, self.variances), sample, float(eps.sum())
        )


def threshold_wave(book, audit_numbers, audit_size, rest, answered):
    """Audit of the unlabelled items, then the most suspicious others, of which so many rows are answered."""
    campaign, left = book.campaign, book.unlabelled()
    order = rules.risk_order(book.eps[left], campaign.u_tie[left])
    rank = np.empty(left.size, dtype=np.int64)
    rank[order] = np.arange(left.size)
    audit = draws.srs(audit_numbers[left], audit_size).selected
    first = np.flatnonzero(audit)[np.argsort(audit_numbers[left][audit])]
    plan = np.concatenate([first, order[~audit[order]][:rest]])
    labelled = np.arange(plan.size) < answered
    placed = placing.threshold(
        "wave", left.size, rank[plan], audit[plan], audit_numbers[left][plan], labelled
    )
    book.add(placed, left[plan], labelled, book.v[left][rank >= placed.phase.certain])


def drawn_wave(book, pilot, answered, raw=False):
    """Audit of the unlabelled items, then a priority sample by the normalised rule on the pilot's numbers."""
    campaign, left = book.campaign, book.unlabelled()
    numbers = campaign.u_audit[left]
    audit = draws.srs(numbers, AUDIT)
    rows = left[audit.selected]
    labelled = np.argsort(np.argsort(campaign.u_audit[rows])) < answered
    book.add(placing.srs("audit", left.size, campaign.u_audit[rows], labelled), rows, labelled, book.v[left])
    if not labelled.all():
        return
    others = left[~audit.selected]
    u = campaign.u[others] if raw else draws.rescale(campaign.u[others], pilot.tau)
    rule = rules.pi_normalised(book.eps[others], REST)
    draw = draws.draw_exact(rule.score, u, REST)
    rows, rank = others[draw.selected], draw.rank[draw.selected]
    labelled = np.argsort(np.argsort(rank)) < answered - AUDIT
    placed = placing.priority("drawn", others.size, rank, rule.score[draw.selected], draw.tau, labelled)
    book.add(placed, rows, labelled, book.v[others], np.minimum(1.0, placed.phase.tau * rule.score))


def replay(
    replays, base, *, rule="threshold", stop=False, raw=False, informative=True, seed=7, in_sample=False
):
    rng = np.random.default_rng(seed)
    deviation, hits, ses, methods = [], 0, [], []
    for _ in range(replays):
        campaign = Campaign.of(rng, base, informative)
        pilot = draws.srs(campaign.u, PILOT)
        book = Book(campaign, campaign.eps(pilot.selected), pilot)
        answered = int(rng.integers(20, AUDIT + REST)) if stop else AUDIT + REST
        if rule == "threshold":
            threshold_wave(book, campaign.u_audit, AUDIT, REST, answered)
        else:
            drawn_wave(book, pilot, answered, raw)
        if in_sample:
            labelled = np.concatenate(book.rows)
            model = risk.fit_platt(campaign.x[labelled], campaign.wrong[labelled])
            memorised = risk.predict(model, campaign.x)
            # a larger model would come close to the labels it has seen; half way is enough to show
            memorised[labelled] = (memorised[labelled] + campaign.wrong[labelled]) / 2
            estimate = book.estimate(eps=memorised)
        else:
            estimate = book.estimate()
        truth = campaign.wrong.sum()
        deviation.append(estimate.value - truth)
        hits += estimate.low <= truth <= estimate.high
        ses.append(estimate.se)
        methods.append(estimate.method)
    return np.array(deviation), hits, np.array(ses), methods


@pytest.mark.parametrize("stop", [False, True], ids=["finished", "stopped"])
@pytest.mark.parametrize("rule", ["threshold", "normalised"])
def test_the_interval_of_a_campaign_covers_as_promised(rule, stop):
    deviation, hits, ses, _ = replay(1_200, -1.0, rule=rule, stop=stop)

    assert hits >= enough(1_200)
    assert_mean(deviation, 0.0)
    assert np.sqrt((ses**2).mean()) == pytest.approx(deviation.std(), rel=0.1)


@pytest.mark.parametrize("base", [-2.5, -6.0], ids=["some-errors", "hardly-any"])
def test_the_interval_covers_when_errors_are_rare(base):
    _, hits, _, methods = replay(700, base)

    assert hits >= enough(700)
    assert "gamma" in methods


def test_the_interval_covers_when_the_critic_is_useless():
    _, hits, _, _ = replay(700, -1.0, informative=False)

    assert hits >= enough(700)


def test_planted_raw_numbers_of_the_pilot_are_caught():
    """Silent error 8.1: the second draw uses u as if the pilot had not taken the smallest."""
    _, hits, _, _ = replay(700, -1.0, rule="normalised", raw=True)

    assert hits < enough(700)


def test_planted_risks_that_saw_their_own_label_are_caught():
    """Silent error of T6: a control variate fitted on the reviewed labels, used in sample."""
    _, hits, _, _ = replay(300, -1.0, in_sample=True)

    assert hits < enough(300)


def two_waves(rng, *, combined):
    campaign = Campaign.of(rng, -1.0)
    pilot = draws.srs(campaign.u, PILOT)
    book = Book(campaign, campaign.eps(pilot.selected), pilot)
    threshold_wave(book, campaign.u_audit, AUDIT, REST, AUDIT + REST)
    design = designs.combine(book.phases, book.variances)
    threshold_wave(book, rng.random(ITEMS), 20, 20, 40)
    new = book.variances[-1]
    old = sum(w**2 * v for w, v in zip(design.omega, book.variances, strict=False))
    omega = old / (old + new) if combined else 1.0
    design = designs.extend(design, book.phases[-1:], [omega])
    return book.estimate(design), campaign.wrong.sum()


def test_a_top_up_adds_to_what_was_known_and_the_interval_still_covers():
    rng = np.random.default_rng(3)
    results = [two_waves(rng, combined=True) for _ in range(700)]

    assert sum(e.low <= truth <= e.high for e, truth in results) >= enough(700)
    combined = np.std([e.value - truth for e, truth in results])
    rng = np.random.default_rng(3)
    replaced = [two_waves(rng, combined=False) for _ in range(300)]
    replaced = np.std([e.value - truth for e, truth in replaced])
    assert replaced > 1.5 * combined  # 8.5: earlier waves treated as known only


# Intervals, quotes, flips


@pytest.mark.parametrize(("n", "errors"), [(30, 0.01), (100, 0.05), (100, 0.3)])
def test_exact_intervals_cover_in_small_samples(n, errors):
    rng = np.random.default_rng(1)
    total = round(500 * errors)
    found = rng.hypergeometric(total, 500 - total, n, size=2_000)
    bounds = {k: intervals.hypergeom_bounds(500, n, int(k)) for k in np.unique(found)}

    assert sum(bounds[k].low <= total <= bounds[k].high for k in found) >= enough(2_000)


@pytest.mark.parametrize("shape", [(0.05, 1.0), (2.0, 5.0), (0.3, 0.3)])
def test_betting_covers_for_variables_of_any_shape(shape):
    rng = np.random.default_rng(2)
    mean = shape[0] / sum(shape)
    hits = 0
    for _ in range(400):
        bounds = intervals.betting(rng.beta(*shape, size=60))
        hits += bounds.low <= mean <= bounds.high

    assert hits >= enough(400)


def probabilities(rule, eps, labels, u_tie):
    if rule == "uniform":
        return rules.pi_uniform(eps.size, labels).pi
    if rule == "normalised":
        return rules.pi_normalised(eps, labels).pi
    if rule == "exponential":
        return rules.pi_exponential(eps, labels, 10.0).pi
    if rule == "square-root":
        return robust.pi_sqrt(eps, labels).pi
    if rule == "hybrid":
        return robust.pi_hybrid(eps, labels, u_tie).pi
    return rules.pi_threshold(eps, labels, u_tie).pi


@pytest.mark.parametrize("rule", weighing.RULES)
@pytest.mark.parametrize("budget", [120, 255, 600])
def test_a_quote_covers_what_the_campaign_then_reaches(rule, budget):
    rng = np.random.default_rng(budget)
    plan = quote.Plan(rule=rule, audit=40, beta=10.0)
    hits, replays = 0, 250
    for _ in range(replays):
        campaign = Campaign.of(rng, -1.0)
        pilot = draws.srs(campaign.u, PILOT).selected
        eps = campaign.eps(pilot)
        order = np.flatnonzero(pilot)[np.argsort(campaign.u[pilot])]
        (point,) = quote.curve(campaign.wrong[order], eps[order], ITEMS, [budget], plan)
        left = np.flatnonzero(~pilot)
        audit = draws.srs(campaign.u_audit[left], 40).selected
        others = left[~audit]
        pi = probabilities(rule, eps[others], budget - PILOT - 40, campaign.u_tie[others])
        accuracy = 1 - (campaign.wrong[others] * (1 - pi)).sum() / ITEMS
        hits += point.low <= accuracy <= point.high

    assert hits >= enough(replays)


def test_bands_of_flips_that_do_not_help_are_rarely_made_beside_one_that_does():
    rng = np.random.default_rng(5)
    eps = np.repeat([0.8, 0.55], 40)
    made = 0
    for _ in range(2_000):
        before = rng.random(80) < np.repeat([0.9, 0.5], 40)
        made += flips.proven(eps, before, ~before).above == flips.BARS[1]

    assert made <= scipy.stats.binom.isf(1e-6, 2_000, 0.05)


def test_flips_that_do_not_help_are_rarely_made():
    rng = np.random.default_rng(4)
    made = 0
    for _ in range(2_000):
        changed = rng.random(60) < 0.3
        before = rng.random(60) < 0.5
        made += flips.gain_lower_bound(before, np.where(changed, ~before, before)).lower > 0

    assert made <= scipy.stats.binom.isf(1e-6, 2_000, 0.05)

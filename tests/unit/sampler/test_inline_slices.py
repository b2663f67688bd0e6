"""Slices of a request: the same numbers as for a population of their own."""

import dataclasses

import numpy as np
import pytest

from actuary import errors
from actuary.sampler import inline, inline_estimates, inline_slices
from actuary.stats import estimates, intervals, placing, weighing


def phase(name, population, sampled, kind="srs", tau=None, certain=0):
    return placing.Phase(
        name=name, kind=kind, population=population, certain=certain, sampled=sampled, tau=tau
    )


def said(slices=None, **changes):
    """Four of ten items, two of them wrong."""
    base = inline_estimates.Answers(
        phases=[phase("audit", 10, 4)],
        variances=[None],
        phase=np.zeros(4, dtype=np.int64),
        pi=np.full(4, 0.4),
        wrong=np.array([True, False, False, True]),
        eps=np.zeros(4),
        eps_sum=0.0,
        slices=slices,
    )
    return dataclasses.replace(base, **changes)


def sizes(**items):
    return [inline_slices.Size(name=name, items=count, eps_sum=0.0) for name, count in items.items()]


def test_a_slice_of_a_simple_random_sample_is_one_by_itself():
    slices = inline_slices.Slices(of=["a", "a", "a", ""], sizes=sizes(a=6, b=3))
    a, b = inline_estimates.estimate(said(slices)).slices
    assert (a.name, a.items, a.reviewed) == ("a", 6, 3)
    bounds = intervals.hypergeom_bounds(6, 3, 1, 0.05)
    assert a.machine.value == 1 - 2 / 6
    assert (a.machine.low, a.machine.high) == pytest.approx((1 - min(bounds.high, 4) / 6, 1 - bounds.low / 6))
    assert a.corrected.value == pytest.approx(1 - 1 / 6)
    assert (b.reviewed, b.machine, b.corrected) == (0, None, None)
    assert b.needed == 3


def test_a_slice_that_is_everything_is_everything():
    """Whatever the phases are: a threshold's, a draw by risk, two of them together."""
    rng = np.random.default_rng(1)
    pool = inline.Pool(ids=[f"i{n}" for n in range(300)], eps=rng.uniform(0.02, 0.6, 300))
    wrong = rng.random(300) < pool.eps
    first = inline.Wishes(weighing=weighing.Weighing(rule="uniform"), seed=1, labels=60)
    (one,) = inline.allocate(pool, first).draws
    known = dataclasses.replace(pool, earlier=[pool.ids[i] for i in one.at])
    second = dataclasses.replace(first, weighing=weighing.Weighing(rule="square-root"), labels=70)
    (two,) = inline.allocate(known, second).draws
    at = np.concatenate([one.at, two.at])
    answers = inline_estimates.Answers(
        phases=[one.phase, two.phase], variances=[one.variance, two.variance],
        phase=np.repeat([0, 1], [60, 70]), pi=np.concatenate([one.pi, two.pi]), wrong=wrong[at],
        eps=pool.eps[at], eps_sum=float(pool.eps.sum()),
        slices=inline_slices.Slices(
            of=["all"] * 130,
            sizes=[inline_slices.Size(name="all", items=300, eps_sum=float(pool.eps.sum()))],
        ),
    )  # fmt: skip
    outcome = inline_estimates.estimate(answers)
    (found,) = outcome.slices
    for ours, theirs in ((found.machine, outcome.machine), (found.corrected, outcome.corrected)):
        # the same sums, weighed by numbers that differ in their last digit
        assert (ours.value, ours.low, ours.high, ours.se) == pytest.approx(
            (theirs.value, theirs.low, theirs.high, theirs.se), rel=1e-12
        )
        assert ours.method == theirs.method


def test_the_parts_of_a_draw_by_risk_add_up_to_it():
    """Weights of a priority sample hold for every subset, so that its estimates of parts are additive."""
    rng = np.random.default_rng(2)
    pool = inline.Pool(ids=[f"i{n}" for n in range(400)], eps=rng.uniform(0.05, 0.6, 400))
    wrong, half = rng.random(400) < pool.eps, rng.random(400) < 0.4
    asked = inline.Wishes(weighing=weighing.Weighing(rule="square-root"), seed=3, labels=160)
    (draw,) = inline.allocate(pool, asked).draws
    size = [
        inline_slices.Size(name=name, items=int(rows.sum()), eps_sum=float(pool.eps[rows].sum()))
        for name, rows in (("a", half), ("b", ~half))
    ]
    outcome = inline_estimates.estimate(
        inline_estimates.Answers(
            phases=[draw.phase], variances=[None], phase=np.zeros(160, dtype=np.int64), pi=draw.pi,
            wrong=wrong[draw.at], eps=pool.eps[draw.at], eps_sum=float(pool.eps.sum()),
            slices=inline_slices.Slices(of=np.where(half[draw.at], "a", "b").tolist(), sizes=size),
        )
    )  # fmt: skip
    errors_of = [(1 - each.machine.value) * each.items for each in outcome.slices]
    assert sum(errors_of) == pytest.approx(outcome.total.value)


def test_a_later_phase_sees_what_is_left_of_the_slice():
    """Two items of six in the first phase, then two of the four that are left: 2 of 6, later 2 of 4."""
    answers = said(
        inline_slices.Slices(of=["a"] * 4, sizes=sizes(a=6)),
        phases=[phase("one", 10, 2), phase("two", 8, 2)],
        variances=[4.0, 3.0],
        phase=np.array([0, 0, 1, 1]),
        pi=np.array([0.2, 0.2, 0.25, 0.25]),
    )
    (found,) = inline_estimates.estimate(answers).slices
    one, two = 4.0 * (6 * 4 / 2) / (10 * 8 / 2), 3.0 * (4 * 2 / 2) / (8 * 6 / 2)
    weight = (1 / one) / (1 / one + 1 / two)
    first, second = 6 * 1 / 2, 1 + 4 * 1 / 2
    assert (1 - found.machine.value) * 6 == pytest.approx(weight * first + (1 - weight) * second)


@pytest.mark.parametrize(
    ("slices", "field", "told"),
    [
        (inline_slices.Slices(of=["a"] * 3, sizes=sizes(a=6)), "slices", "expected 4 values"),
        (inline_slices.Slices(of=["a", "b", "", ""], sizes=sizes(a=6)), "slices[1]", "got 'b'"),
        (inline_slices.Slices(of=[""] * 4, sizes=sizes(a=3) * 2), "slice_sizes[1].name", "slice_sizes[0]"),
        (
            inline_slices.Slices(of=[""] * 4, sizes=[*sizes(a=1), *sizes(**{"": 2})]),
            "slice_sizes[1].name",
            "an empty",
        ),
        (inline_slices.Slices(of=["a"] * 4, sizes=sizes(a=6, b=5)), "slice_sizes", "at most the 10 items"),
        (inline_slices.Slices(of=["a"] * 4, sizes=sizes(a=3)), "slice_sizes[0].item_count", "got 3"),
        (
            inline_slices.Slices(of=["a", "", "", ""], sizes=sizes(b=3, a=0)),
            "slice_sizes[1].item_count",
            "expected at least the 1 answers of 'a', got 0",
        ),
        (
            inline_slices.Slices(of=["a"] * 4, sizes=[inline_slices.Size(name="a", items=6, eps_sum=7.0)]),
            "slice_sizes[0].risk_sum",
            "got 7.0",
        ),
    ],
)
def test_slices_that_do_not_fit_are_named(slices, field, told):
    with pytest.raises(errors.InvalidInputError) as caught:
        inline_estimates.estimate(said(slices))
    (violation,) = caught.value.violations
    assert violation.field == field
    assert told in violation.description


def test_without_slices_there_are_none():
    assert inline_estimates.estimate(said()).slices == ()
    assert isinstance(inline_estimates.estimate(said()).total, estimates.Estimate)

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actuary.stats import placing

INF = float("inf")


def phase(**changes):
    values = {"name": "p", "kind": "srs", "population": 10, "certain": 0, "sampled": 4, "tau": None}
    return placing.Phase(**{**values, **changes})


@pytest.mark.parametrize("changes", [{"sampled": 11}, {"certain": 7}, {"sampled": -1}, {"certain": -1}])
def test_a_phase_refuses_more_labels_than_items(changes):
    with pytest.raises(ValueError, match="certain \\+ sampled of at most 10"):
        phase(**changes)


def test_what_a_phase_can_say_about_itself():
    assert phase(certain=3, sampled=7).complete
    assert phase(sampled=2).estimable
    assert not phase(sampled=1).estimable
    assert phase(population=1, sampled=1).estimable


def test_an_answered_prefix_of_a_simple_random_sample_is_one():
    placed = placing.srs("pilot", 100, [0.3, 0.1, 0.2, 0.4], [True, True, False, True])

    # served by order: .1 answered, .2 missing; so one of a hundred
    assert placed.phase.sampled == 1
    assert placed.pi.tolist() == [INF, 0.01, INF, INF]


def test_a_threshold_wave_counts_only_the_audit_until_the_audit_is_complete():
    placed = placing.threshold("w", 10, [0, 3, 7], [0, 1, 1], [0.0, 0.1, 0.2], [True, True, False])

    assert (placed.phase.certain, placed.phase.sampled) == (0, 1)
    assert placed.pi.tolist() == [INF, 0.1, INF]


def wave(population, audit, served, labelled=None):
    rank = [*audit, *served]
    flags = [True] * len(audit) + [False] * len(served)
    order = np.arange(len(rank)) / 100
    done = np.ones(len(rank), bool) if labelled is None else labelled
    return placing.threshold("w", population, rank, flags, order, done)


def test_a_threshold_wave_stops_at_the_last_served_item_not_at_the_audit_items_after_it():
    placed = wave(20, audit=[2, 3, 10, 15], served=[0, 1])

    assert placed.phase.certain == 2
    assert placed.phase.sampled == 4
    assert placed.pi.tolist() == [4 / 18] * 4 + [1.0] * 2


def test_audit_items_among_the_served_are_certain():
    placed = wave(20, audit=[1, 3, 10, 15], served=[0, 2])

    assert (placed.phase.certain, placed.phase.sampled) == (3, 3)
    assert placed.pi.tolist() == [1.0, 3 / 17, 3 / 17, 3 / 17, 1.0, 1.0]


def test_a_hole_among_the_served_ends_the_certain_part():
    labelled = np.array([True, True, True, True, False, True])

    placed = wave(20, audit=[8, 9, 10], served=[0, 1, 2], labelled=labelled)

    assert placed.phase.certain == 1
    assert placed.pi.tolist() == [3 / 19] * 3 + [1.0, INF, INF]


def test_two_audit_items_stay_below_the_certain_ones():
    placed = wave(20, audit=[0, 1, 2, 5, 6], served=[3, 4, 7, 8, 9])

    # after the third audit item, rank 2, only two are left
    assert (placed.phase.certain, placed.phase.sampled) == (3, 2)
    assert placed.pi.tolist() == [1.0] * 3 + [2 / 17] * 2 + [INF] * 5


def test_without_served_items_the_audit_stands_for_all():
    placed = wave(20, audit=[4, 8, 12], served=[])

    assert (placed.phase.certain, placed.phase.sampled) == (0, 3)


def test_a_wave_that_labels_everything_leaves_nothing_to_estimate():
    placed = wave(5, audit=[3, 4], served=[0, 1, 2])

    assert placed.phase.complete
    assert placed.pi.tolist() == [1.0] * 5


@given(st.integers(4, 12), st.data())
def test_a_threshold_wave_is_exactly_unbiased_for_every_prefix(population, data):
    """All audits of a small population are written out, and the estimates averaged."""
    size = data.draw(st.integers(1, 3))
    serve = data.draw(st.integers(0, population - size))
    seed = data.draw(st.integers(0, 2**32))
    residual = np.random.default_rng(seed).normal(size=population)
    estimates = []
    for audit in itertools.combinations(range(population), size):
        served = [rank for rank in range(population) if rank not in audit][:serve]
        placed = wave(population, audit, served)
        estimates.append((residual[[*audit, *served]] / placed.pi).sum())

    assert np.mean(estimates) == pytest.approx(residual.sum(), abs=1e-9)


def test_stopping_one_item_later_because_the_audit_follows_would_be_biased():
    """The reason for the definition of m, as a counterexample: the obvious alternative fails."""
    population, residual, estimates = 6, np.arange(6.0), []
    for audit in itertools.combinations(range(population), 2):
        served = [rank for rank in range(population) if rank not in audit][:1]
        top = next(rank for rank in range(population) if rank not in audit and rank not in served)
        below = [rank for rank in audit if rank >= top]
        weight = (population - top) / len(below) if below else 0.0
        estimates.append(residual[:top].sum() + weight * residual[below].sum())

    assert abs(np.mean(estimates) - residual.sum()) > 0.5


def test_a_priority_sample_uses_its_own_threshold_when_all_is_answered():
    placed = placing.priority("d", 9, [0.1, 0.2], [2.0, 0.5], 0.4, [True, True])

    assert placed.phase.tau == 0.4
    assert placed.pi.tolist() == [0.8, 0.2]


def test_a_priority_sample_stops_at_the_first_missing_answer():
    placed = placing.priority("d", 9, [0.1, 0.3, 0.2], [2.0, 0.5, 9.0], 0.4, [True, True, False])

    assert (placed.phase.tau, placed.phase.sampled) == (0.2, 1)
    assert placed.pi.tolist() == [0.4, INF, INF]


def test_a_priority_sample_of_all_items_has_no_threshold():
    placed = placing.priority("d", 2, [0.1, 0.2], [2.0, 0.5], None, [True, True])

    assert placed.phase.tau is None
    assert placed.phase.complete
    assert placed.pi.tolist() == [1.0, 1.0]


def test_a_priority_sample_without_any_answer_uses_nothing():
    placed = placing.priority("d", 2, [0.0, 0.2], [2.0, 0.5], None, [False, True])

    assert placed.phase.sampled == 0
    assert placed.pi.tolist() == [INF, INF]


def test_predicted_variances_by_hand():
    drawn = phase(kind="priority", sampled=2, population=3, tau=1.0)

    assert placing.predicted_variance(phase(certain=2, sampled=4), [0.5] * 8) == pytest.approx(4.0)
    assert placing.predicted_variance(drawn, [0.2, 0.2, 0.1], [0.5, 1.0, 0.1]) == pytest.approx(1.1)
    assert placing.predicted_variance(drawn, [0.2, 0.2, 0.1], [0.5, 1.0, 0.0]) == INF
    assert placing.predicted_variance(phase(sampled=10), [0.2] * 10) == 0.0
    assert placing.predicted_variance(phase(sampled=1), [0.2] * 10) == INF


def test_robust_variances_do_not_vanish_where_risks_are_certain():
    assert (placing.robust_variance([0.0, 1.0]) > 0).all()
    assert placing.robust_variance([0.5, 0.0], gamma=0.0).tolist() == [0.25, 0.0]


@pytest.mark.parametrize(
    "call",
    [
        lambda: placing.srs("p", 10, [0.1, 0.1], [1, 1]),
        lambda: placing.srs("p", 1, [0.1, 0.2], [1, 1]),
        lambda: placing.srs("p", 10, [0.1], [1, 1]),
        lambda: placing.threshold("p", 10, [1, 1], [1, 0], [0.1, 0.2], [1, 1]),
        lambda: placing.threshold("p", 10, [10], [1], [0.1], [1]),
        lambda: placing.threshold("p", 10, [1, 2], [1, 1], [0.1, 0.1], [1, 0]),
        lambda: placing.priority("p", 10, [0.1], [0.0], 1.0, [1]),
        lambda: placing.priority("p", 10, [-0.1], [1.0], 1.0, [1]),
        lambda: placing.priority("p", 10, [1.1], [1.0], 1.0, [1]),
        lambda: placing.robust_variance([1.1]),
        lambda: placing.robust_variance([0.1], gamma=1.5),
        lambda: placing.predicted_variance(phase(), [0.1] * 9),
        lambda: placing.predicted_variance(phase(kind="priority"), [0.1] * 10),
    ],
)
def test_phases_refuse_bad_input(call):
    with pytest.raises(ValueError, match="expected"):
        call()

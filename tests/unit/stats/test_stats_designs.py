import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actuary.stats import designs

INF = float("inf")


def phase(**changes):
    values = {"name": "p", "kind": "srs", "population": 10, "certain": 0, "sampled": 4, "tau": None}
    return designs.Phase(**{**values, **changes})


def test_a_phase_and_a_design_survive_json():
    design = designs.Design(
        phases=(phase(), phase(kind="priority", population=6, sampled=3, tau=0.25)), omega=(0.4, 0.6)
    )

    assert designs.Design.from_record(json.loads(json.dumps(design.to_record()))) == design


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
    placed = designs.srs("pilot", 100, [0.3, 0.1, 0.2, 0.4], [True, True, False, True])

    # served by order: .1 answered, .2 missing; so one of a hundred
    assert placed.phase.sampled == 1
    assert placed.pi.tolist() == [INF, 0.01, INF, INF]


def test_a_threshold_wave_counts_only_the_audit_until_the_audit_is_complete():
    placed = designs.threshold("w", 10, [0, 3, 7], [0, 1, 1], [0.0, 0.1, 0.2], [True, True, False])

    assert (placed.phase.certain, placed.phase.sampled) == (0, 1)
    assert placed.pi.tolist() == [INF, 0.1, INF]


def wave(population, audit, served, labelled=None):
    rank = [*audit, *served]
    flags = [True] * len(audit) + [False] * len(served)
    order = np.arange(len(rank)) / 100
    done = np.ones(len(rank), bool) if labelled is None else labelled
    return designs.threshold("w", population, rank, flags, order, done)


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
    placed = designs.priority("d", 9, [0.1, 0.2], [2.0, 0.5], 0.4, [True, True])

    assert placed.phase.tau == 0.4
    assert placed.pi.tolist() == [0.8, 0.2]


def test_a_priority_sample_stops_at_the_first_missing_answer():
    placed = designs.priority("d", 9, [0.1, 0.3, 0.2], [2.0, 0.5, 9.0], 0.4, [True, True, False])

    assert (placed.phase.tau, placed.phase.sampled) == (0.2, 1)
    assert placed.pi.tolist() == [0.4, INF, INF]


def test_a_priority_sample_of_all_items_has_no_threshold():
    placed = designs.priority("d", 2, [0.1, 0.2], [2.0, 0.5], None, [True, True])

    assert placed.phase.tau is None
    assert placed.phase.complete
    assert placed.pi.tolist() == [1.0, 1.0]


def test_a_priority_sample_without_any_answer_uses_nothing():
    placed = designs.priority("d", 2, [0.0, 0.2], [2.0, 0.5], None, [False, True])

    assert placed.phase.sampled == 0
    assert placed.pi.tolist() == [INF, INF]


def test_predicted_variances_by_hand():
    drawn = phase(kind="priority", sampled=2, population=3, tau=1.0)

    assert designs.predicted_variance(phase(certain=2, sampled=4), [0.5] * 8) == pytest.approx(4.0)
    assert designs.predicted_variance(drawn, [0.2, 0.2, 0.1], [0.5, 1.0, 0.1]) == pytest.approx(1.1)
    assert designs.predicted_variance(drawn, [0.2, 0.2, 0.1], [0.5, 1.0, 0.0]) == INF
    assert designs.predicted_variance(phase(sampled=10), [0.2] * 10) == 0.0
    assert designs.predicted_variance(phase(sampled=1), [0.2] * 10) == INF


def test_robust_variances_do_not_vanish_where_risks_are_certain():
    assert (designs.robust_variance([0.0, 1.0]) > 0).all()
    assert designs.robust_variance([0.5, 0.0], gamma=0.0).tolist() == [0.25, 0.0]


def test_the_more_precise_phase_weighs_more_and_a_tiny_one_nothing():
    tiny = phase(sampled=1)

    assert designs.combine([phase(), phase(), tiny], [1.0, 3.0, 0.5]).omega == (0.75, 0.25, 0.0)
    assert designs.combine([phase(), phase()], [1.0, INF]).omega == (1.0, 0.0)


def test_a_phase_that_knows_everything_gets_everything():
    assert designs.combine([phase(), phase(sampled=10)], [1.0, 0.0]).omega == (0.0, 1.0)


def test_a_later_wave_scales_the_earlier_weights():
    design = designs.Design(phases=(phase(), phase()), omega=(0.25, 0.75))

    assert designs.extend(design, [phase()], [0.5]).omega == (0.125, 0.375, 0.5)


def test_weights_by_hand():
    design = designs.Design(phases=(phase(), phase(), phase()), omega=(0.2, 0.3, 0.5))

    g = designs.weights(design, [0, 1, 1, 2], [0.1, 0.5, INF, 1.0])

    np.testing.assert_allclose(g, [2.8, 1.1, 0.5, 0.5])


DESIGN = designs.Design(phases=(phase(),), omega=(1.0,))


@pytest.mark.parametrize(
    "call",
    [
        lambda: designs.srs("p", 10, [0.1, 0.1], [1, 1]),
        lambda: designs.srs("p", 1, [0.1, 0.2], [1, 1]),
        lambda: designs.srs("p", 10, [0.1], [1, 1]),
        lambda: designs.threshold("p", 10, [1, 1], [1, 0], [0.1, 0.2], [1, 1]),
        lambda: designs.threshold("p", 10, [10], [1], [0.1], [1]),
        lambda: designs.threshold("p", 10, [1, 2], [1, 1], [0.1, 0.1], [1, 0]),
        lambda: designs.priority("p", 10, [0.1], [0.0], 1.0, [1]),
        lambda: designs.priority("p", 10, [-0.1], [1.0], 1.0, [1]),
        lambda: designs.priority("p", 10, [1.1], [1.0], 1.0, [1]),
        lambda: designs.robust_variance([1.1]),
        lambda: designs.robust_variance([0.1], gamma=1.5),
        lambda: designs.predicted_variance(phase(), [0.1] * 9),
        lambda: designs.predicted_variance(phase(kind="priority"), [0.1] * 10),
        lambda: designs.Design(phases=(phase(),), omega=(0.5,)),
        lambda: designs.Design(phases=(phase(),), omega=(0.5, 0.5)),
        lambda: designs.Design(phases=(), omega=()),
        lambda: designs.Design(phases=(phase(sampled=1),), omega=(1.0,)),
        lambda: designs.combine([phase()], [1.0, 2.0]),
        lambda: designs.combine([phase()], [-1.0]),
        lambda: designs.combine([phase()], [float("nan")]),
        lambda: designs.combine([phase(sampled=1)], [1.0]),
        lambda: designs.extend(DESIGN, [phase(), phase()], [0.7, 0.7]),
        lambda: designs.extend(DESIGN, [phase()], [-0.1]),
        lambda: designs.weights(DESIGN, [1], [0.5]),
        lambda: designs.weights(DESIGN, [0], [0.0]),
        lambda: designs.weights(DESIGN, [0], [1.5]),
        lambda: designs.weights(DESIGN, [0], [float("nan")]),
        lambda: designs.weights(DESIGN, [0, 0], [0.5]),
    ],
)
def test_designs_refuse_bad_input(call):
    with pytest.raises(ValueError, match="expected"):
        call()

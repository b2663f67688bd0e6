import dataclasses

import numpy as np
import pytest

from actuary.stats import designs, domains, estimates, intervals, placing, shares

INF = float("inf")


def srs(population, sampled, certain=0):
    return placing.Phase(
        name="p", kind="srs", population=population, certain=certain, sampled=sampled, tau=None
    )


def one(phase):
    return designs.Design(phases=(phase,), omega=(1.0,))


def sample(hits, size, f, population):
    return estimates.Sample.of(
        phase=[0] * size, pi=[size / population] * size, wrong=np.arange(size) < hits, eps=np.full(size, f)
    )


@pytest.mark.parametrize(
    ("hits", "f", "method"),
    [(50, 0.0, "hypergeometric"), (50, 0.4, "wald"), (3, 0.1, "gamma"), (97, 0.9, "gamma")],
)
def test_surprises_decide_which_interval_a_share_has(hits, f, method):
    found = shares.total(one(srs(1000, 100)), sample(hits, 100, f, 1000), 1000 * f)

    assert found.method == method
    assert found.approximate == (method == "gamma")
    assert found.low <= found.value <= found.high


def test_a_class_and_its_complement_say_the_same():
    labelled = sample(90, 100, 0.8, 1000)
    others = dataclasses.replace(labelled, wrong=~labelled.wrong, eps=1 - labelled.eps)

    found = shares.total(one(srs(1000, 100)), labelled, 800.0)
    turned = shares.total(one(srs(1000, 100)), others, 200.0)

    assert (turned.value, turned.low, turned.high) == pytest.approx(
        (1000 - found.value, 1000 - found.high, 1000 - found.low)
    )


def test_a_machine_that_is_never_caught_wrong_is_not_certain_to_be_right():
    hits = np.arange(100) < 40
    labelled = estimates.Sample.of(phase=[0] * 100, pi=[0.1] * 100, wrong=hits, eps=hits.astype(float))

    found = shares.total(one(srs(1000, 100)), labelled, 400.0)

    assert found.value == 400.0
    # As many may be wrong unseen as an exact bound says of 100 looks; the gamma interval is one item wider.
    unseen = intervals.hypergeom_ucb(1000, 100, 0, 0.025)
    assert (found.low, found.high) == (400 - unseen - 1, 400 + unseen + 1)


def test_nothing_left_to_estimate_is_exact():
    found = shares.total(one(srs(10, 10)), sample(4, 10, 0.3, 10), 3.0)

    assert (found.value, found.low, found.high, found.method) == (4.0, 4.0, 4.0, "exact")


def test_the_interval_of_a_process_is_the_normal_one_of_both_variances():
    found = estimates.Estimate(
        value=0.4, low=0.38, high=0.42, se=0.02 / 1.96, method="wald", approximate=False
    )

    wider = shares.process(found, 100_000)

    z_squared = 1.959964**2
    expected = (0.02**2 + z_squared * 0.24 / 100_000) ** 0.5
    assert wider.high - 0.4 == pytest.approx(expected, rel=0.01)
    assert 0.4 - wider.low == pytest.approx(expected, rel=0.01)


def test_a_domain_of_a_threshold_wave_keeps_its_certain_items():
    placed = placing.threshold(
        "wave", 10, [0, 1, 2, 4, 6, 8], [0, 0, 1, 0, 1, 1], [0, 0, 0.1, 0, 0.2, 0.3], [1] * 6
    )

    part = domains.within(placed, [1, 0, 1, 0, 1, 0], 5)

    assert (part.phase.population, part.phase.certain, part.phase.sampled) == (5, 1, 2)
    assert part.pi.tolist() == [1.0, 0.5, 0.5]


def test_a_domain_of_a_priority_sample_keeps_its_probabilities():
    placed = placing.priority("drawn", 9, [0.5, 1.0, 2.0], [0.25, 0.5, 1.0], 4.0, [True, True, False])

    part = domains.within(placed, [0, 1, 1], 4)

    assert part.pi.tolist() == [1.0, INF]
    assert (part.phase.sampled, part.phase.tau) == (1, 2.0)


def test_a_domain_without_two_labels_has_no_estimate():
    placed = placing.srs("pilot", 100, [0.1, 0.2, 0.3], [True] * 3)
    part = domains.within(placed, [1, 0, 0], 20)

    assert not part.phase.estimable
    with pytest.raises(ValueError, match="label more"):
        designs.combine([part.phase], [INF])


def test_a_domain_that_is_labelled_whole_is_complete():
    placed = placing.srs("pilot", 100, [0.1, 0.2, 0.3], [True] * 3)
    part = domains.within(placed, [1, 0, 1], 2)

    assert part.phase.complete
    assert part.pi.tolist() == [1.0, 1.0]
    assert domains.within(placed, [0, 0, 0], 0).phase.complete


HARD = estimates.Sample.of(phase=[0] * 4, pi=[0.4] * 4, wrong=[1, 1, 0, 0], eps=[1, 1, 0, 0])


def test_a_machine_that_is_right_keeps_all_its_weight_and_one_that_says_one_thing_none():
    assert shares.tuned(one(srs(10, 4)), HARD, 5.0).lam == pytest.approx(1.0)
    constant = dataclasses.replace(HARD, eps=np.ones(4))
    assert shares.tuned(one(srs(10, 4)), constant, 10.0).lam == 0.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: shares.tuned(one(srs(10, 4)), dataclasses.replace(HARD, eps=HARD.eps / 2), 3.0),
        lambda: shares.tuned(one(srs(10, 3)), HARD, 5.0),
        lambda: shares.total(one(srs(10, 4)), HARD, 9.0),
        lambda: shares.total(one(srs(10, 4)), HARD, 5.0, alpha=1.0),
        lambda: shares.of_items(estimates.Estimate(
            value=1.0, low=1.0, high=1.0, se=0.0, method="exact", approximate=False), 4, certain=2, of=1),
        lambda: shares.process(estimates.Estimate(
            value=1.5, low=1.0, high=2.0, se=0.0, method="exact", approximate=False), 4),
        lambda: shares.soft_labels([3], [0.1], 3),
        lambda: shares.soft_labels([0], [1.1], 3),
        lambda: shares.soft_labels([0], [0.1], 1),
        lambda: domains.within(placing.srs("p", 9, [0.1], [True]), [True, True], 3),
        lambda: domains.within(placing.srs("p", 9, [0.1], [True]), [True], 0),
        lambda: domains.within(placing.srs("p", 9, [0.1], [True]), [True], 10),
    ],
)  # fmt: skip
def test_shares_and_domains_refuse_bad_input(call):
    with pytest.raises(ValueError, match="expected"):
        call()

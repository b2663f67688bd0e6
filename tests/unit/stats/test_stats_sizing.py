import numpy as np
import pytest

from actuary.stats import audits, certificates, intervals, sizing


def risks(size=2000, seed=1):
    return np.random.default_rng(seed).beta(0.5, 2.5, size)


@pytest.mark.parametrize(("least", "most"), [(1, 1), (5, 3), (10, 11), (20, 5000)])
def test_candidates_are_within_their_bounds_and_reach_both(least, most):
    found = sizing.candidates(least, most)
    assert found[-1] == most
    assert found[0] == min(least, most)
    assert list(found) == sorted(set(found))


def test_errors_are_expected_where_the_risks_say():
    risk = risks(50)
    for cut, expected in zip([0, 7, 50], sizing.expected_errors(risk, [0, 7, 50]), strict=True):
        assert expected == pytest.approx(np.sort(risk)[:cut].sum(), abs=1e-12)


def test_the_audit_of_a_budget_beats_a_tenth_and_nine_tenths_of_it_on_calibrated_risks():
    """The bound that is reached, on average over worlds that the risks describe."""
    rng = np.random.default_rng(2)
    risk = np.sort(risks())
    labels = 500
    best = sizing.budget_audit(risk, labels, 0.05)

    def bound(audit):
        cut = risk.size - labels + audit
        wrong = (rng.random((200, cut)) < risk[:cut]).sum(axis=1)
        found = rng.hypergeometric(wrong, cut - wrong, audit)
        return np.mean([intervals.hypergeom_ucb(cut, audit, int(k), 0.05) - int(k) for k in found])

    assert 1 <= best <= labels
    assert bound(best) < min(bound(labels // 10), bound(9 * labels // 10))


def test_the_audit_of_a_target_takes_fewer_labels_than_the_smallest_and_the_largest():
    rng = np.random.default_rng(3)
    risk = np.sort(risks())
    design = certificates.target_design(
        population=risk.size,
        eligible=risk.size,
        labels=1500,
        target=0.05,
        looks=(1,),
        alpha1=0.04,
        alpha2=0.01,
    )
    best = sizing.target_audit(risk, design)
    least = certificates.audit_size(risk.size, design.allowed, 0.04, 0.01)

    def taken(audit):
        costs = []
        for _ in range(200):
            wrong = rng.random(risk.size) < risk
            place = rng.choice(risk.size, audit, replace=False)
            looked = certificates.target_design(
                population=risk.size, eligible=risk.size, labels=risk.size, target=0.05, looks=(audit,),
                alpha1=0.04, alpha2=0.01,
            )  # fmt: skip
            none = np.zeros(audit, dtype=np.bool_)
            found = audits.tally(place, wrong[place], none, none, looked.cuts)
            costs.append(audits.decide(looked, [found]).labels)
        return np.mean(costs)

    assert least <= best < 1500
    assert taken(best) < min(taken(least), taken(1200))


def test_several_looks_share_the_level_and_need_a_larger_audit():
    def least(looks):
        planned = tuple(range(1, looks + 1))
        design = certificates.target_design(
            population=400, eligible=400, labels=60, target=0.05, looks=planned, alpha1=0.04, alpha2=0.01
        )
        return sizing.target_audit(np.zeros(400), design)

    assert least(4) >= least(1)


def test_a_target_whose_allowance_is_used_up_takes_all_labels():
    design = certificates.target_design(
        population=100, eligible=80, charged=20, labels=50, target=0.05, looks=(1,), alpha1=0.04, alpha2=0.01
    )
    assert sizing.target_audit(np.full(80, 0.1), design) == 50

"""Certificates against counting: every subset of a small population is an audit."""

import dataclasses
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from actuary.stats import anytime, audits, certificates, intervals


def tail(found, population, marked, sampled):
    ways = sum(
        math.comb(marked, x) * math.comb(population - marked, sampled - x)
        for x in range(min(found, sampled) + 1)
    )
    return Fraction(ways, math.comb(population, sampled))


def target(**changes):
    base = {
        "population": 12, "eligible": 12, "labels": 12, "target": 0.25, "looks": (6,), "alpha1": 0.2,
        "alpha2": 0.05, "cuts": 4,
    }  # fmt: skip
    return certificates.target_design(**{**base, **changes})


def test_the_allowance_is_the_last_count_whose_share_is_at_most_the_target():
    for items in range(1, 300):
        for rate in (0.01, 0.05, 0.07, 0.1, 0.29, 0.57):
            want = max(m for m in range(items + 1) if m / items <= rate)
            assert certificates.allowance(items, rate) == want


@pytest.mark.parametrize("population", [1, 5, 14])
def test_the_credit_equals_trying_every_number_of_errors(population):
    for sampled, allowed in itertools.product(range(population + 1), repeat=2):
        kept = [
            m
            for m in range(allowed, population + 1)
            if tail(m - allowed - 1, population, m, sampled) <= Fraction(0.0437)
        ]
        assert certificates.credit_limit(population, sampled, allowed, 0.0437) == max(kept)


def test_a_cut_passes_exactly_if_its_upper_bound_is_within_the_limit():
    for cut, audited, limit in itertools.product((1, 9, 30), (0, 1, 5, 9), (0, 3, 8, 40)):
        if audited > cut:
            continue
        passed = [k for k in range(audited + 1) if intervals.hypergeom_ucb(cut, audited, k, 0.0437) <= limit]
        assert certificates.acceptance(cut, audited, limit, 0.0437) == max(passed, default=-1)


@pytest.mark.parametrize("error_rate", [0.0, 0.02, 0.06, 0.2])
@pytest.mark.parametrize("population", [10, 100, 300])
def test_the_audit_size_is_the_smallest_that_passes_with_what_is_expected(population, error_rate):
    allowed = certificates.allowance(population, 0.1)

    def passes(size):
        limit = certificates.credit_limit(population, size, allowed, 0.01)
        found = math.ceil(error_rate * size)
        return intervals.hypergeom_ucb(population, size, found, 0.04) <= limit

    want = next(size for size in range(population + 1) if passes(size))
    assert certificates.audit_size(population, allowed, 0.04, 0.01, error_rate) == want


def left_after(design, wrong, unresolved, audit):
    """What a certificate claims about one audit, and how many errors there are in truth."""
    audit = np.array(audit)
    looks = []
    for size in design.looks:
        at = audit[:size]
        found = audits.tally(at, wrong[at], unresolved[at], np.zeros(size, bool), design.cuts)
        looks.append(found)
        following = None
        if len(looks) < len(design.looks):
            following = np.searchsorted(np.sort(audit[: design.looks[len(looks)]]), design.cuts)
        decision = audits.decide(design, looks, following)
        if not decision.another:
            break
    audited = audit[: design.looks[len(looks) - 1]]
    corrected = np.zeros(design.eligible, bool)
    corrected[audited] = True
    corrected[decision.cut :] = True
    spent = int(corrected.sum())
    corrected &= ~unresolved
    above = int(unresolved[decision.cut :].sum())
    claim = audits.conclude(design, looks, above)
    return claim, int(((wrong | unresolved) & ~corrected).sum()), spent


PATTERNS = {
    "clean": [],
    "sorted": [9, 8, 7],
    "adversarial": [0, 1, 2, 3],
    "spread": [0, 3, 6, 9],
    "one-too-many": [2, 4, 5],
    "all": list(range(10)),
}


def small(**changes):
    return target(**{"population": 10, "eligible": 10, "labels": 10, "cuts": 5, **changes})


@pytest.mark.parametrize("unresolvable", [[], [1, 8]], ids=["resolved", "two-unresolved"])
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(
    "design",
    [
        small(),
        small(alpha1=0.4, alpha2=0.1, looks=(4,), target=0.2),
        small(labels=7, alpha1=0.4, alpha2=0.1),
        small(labels=6, target=0.1, alpha1=0.4, alpha2=0.3),
        certificates.budget_design(population=10, eligible=10, labels=6, audit=4, alpha=0.25),
        certificates.budget_design(population=10, eligible=10, labels=4, audit=4, alpha=0.4),
    ],
    ids=["target", "smaller", "dear", "dearer", "budget", "no-review"],
)
def test_over_all_possible_audits_a_claim_fails_at_most_as_often_as_it_says(design, pattern, unresolvable):
    """Exact, no simulation: of all C(10, K) audits a share of at most α breaks the claim."""
    wrong, unresolved = np.zeros(10, bool), np.zeros(10, bool)
    wrong[PATTERNS[pattern]] = True
    unresolved[unresolvable] = True
    broken, all_audits = 0, list(itertools.combinations(range(design.audit_from), design.looks[-1]))
    for audit in all_audits:
        claim, errors, spent = left_after(design, wrong, unresolved, audit)
        broken += errors > claim.errors
        assert spent <= design.labels

    assert broken <= (design.alpha1 + design.alpha2) * len(all_audits)


@pytest.mark.parametrize("pattern", ["spread", "one-too-many"])
def test_over_all_possible_orders_two_looks_fail_at_most_as_often_as_they_say(pattern):
    design = small(looks=(2, 4), alpha1=0.6, alpha2=0.2, target=0.2)
    wrong = np.zeros(10, bool)
    wrong[PATTERNS[pattern]] = True
    orders = [
        (*first, *then)
        for first in itertools.combinations(range(10), 2)
        for then in itertools.combinations(sorted(set(range(10)) - set(first)), 2)
    ]
    broken = 0
    for order in orders:
        claim, errors, _ = left_after(design, wrong, np.zeros(10, bool), order)
        broken += errors > claim.errors

    assert broken <= 0.8 * len(orders)


def test_testing_stops_at_the_first_cut_that_fails():
    design = target(population=1000, eligible=1000, labels=1000, looks=(200,), alpha1=0.04, alpha2=0.01)

    assert audits.passing(design, 0, [50, 100, 150, 200], [0, 0, 0, 0]) == 1000
    assert audits.passing(design, 0, [50, 100, 150, 200], [0, 60, 60, 60]) == 250
    # public code of PAC labelling takes the last cut here (algorithms.md section 2)
    assert audits.passing(design, 0, [0, 50, 100, 150], [0, 0, 0, 0]) == 1000
    assert audits.passing(dataclasses.replace(design, target=0.05), 0, [50, 100, 150, 200], [20] * 4) == 0


def test_where_the_first_cut_fails_everything_is_reviewed_and_nothing_is_left_wrong():
    design = target(population=1000, eligible=1000, labels=1000, looks=(200,), target=0.01, cuts=4)
    found = audits.Found(audited=(50, 100, 150, 200), wrong=(20, 40, 60, 80), unresolved=(0,) * 4)

    claim = audits.conclude(design, [found], unresolved_above=0)

    assert (claim.cut, claim.errors, claim.verdict) == (0, 0, "certified")


def test_a_cut_that_costs_too_much_gives_way_to_the_largest_planned_one_that_can_be_paid():
    design = target(population=1000, eligible=1000, labels=500, looks=(200,), target=0.1, alpha1=0.04)
    found = audits.Found(audited=(50, 100, 150, 200), wrong=(0, 30, 60, 80), unresolved=(0,) * 4)

    decision = audits.decide(design, [found])
    claim = audits.conclude(design, [found], unresolved_above=0)

    # cuts 250 and 500 cost 800 and 600; 750 costs 250 + 150
    assert (decision.cut, decision.labels, decision.proven) == (750, 400, False)
    assert claim.verdict == "budget-exhausted"
    assert claim.errors == intervals.hypergeom_ucb(750, 150, 60, 0.04) - 60


def test_another_look_is_taken_only_if_it_is_predicted_to_save_labels():
    design = target(
        population=10_000,
        eligible=10_000,
        labels=10_000,
        target=0.05,
        looks=(300, 600),
        alpha1=0.04,
        alpha2=0.01,
    )
    following = [150, 300, 450, 600]

    def another(wrong):
        found = audits.Found(audited=(75, 150, 225, 300), wrong=wrong, unresolved=(0,) * 4)
        return audits.decide(design, [found], following).another

    assert not another((0, 0, 0, 2))  # everything is proven: nothing is left to save
    assert another((2, 4, 6, 8))  # a rate of 2.7 %, too uncertain yet
    assert not another((8, 16, 24, 32))  # a rate of 11 %, hopeless


def test_unresolved_items_cost_the_target_unless_it_keeps_a_reserve():
    found = audits.Found(audited=(50, 100, 150, 200), wrong=(0, 0, 1, 2), unresolved=(0, 0, 1, 2))
    base = {"population": 1000, "eligible": 1000, "labels": 1000, "looks": (200,), "target": 0.1}

    plain = audits.conclude(target(**base), [found], unresolved_above=0)
    reserved = audits.conclude(target(**base, reserve=2), [found], unresolved_above=0)

    assert (plain.verdict, plain.errors) == ("not-met", 102)
    assert (reserved.verdict, reserved.errors) == ("certified", 100)


def test_what_an_audit_cannot_prove_is_an_answer_with_the_size_that_could():
    levels = {"target": 0.05, "alpha1": 0.04, "alpha2": 0.01}
    small = target(population=1000, eligible=1000, labels=40, looks=(40,), **levels)
    assert certificates.needed_audit(small) == 60
    # ten items: no error may be left, and nothing short of all of them shows that
    ten = target(population=10, eligible=10, labels=10, **levels)
    assert certificates.needed_audit(ten) == 10
    # the second look would prove it, and cannot be paid
    dear = target(population=1000, eligible=1000, labels=80, looks=(40, 90), **levels)
    assert certificates.needed_audit(dear) == certificates.audit_size(1000, 50, 0.02, 0.005)
    out_of_reach = target(population=30, charged=9, target=0.2, alpha1=0.04, alpha2=0.01)
    assert certificates.needed_audit(out_of_reach) == 12
    assert audits.passing(out_of_reach, 0, [3, 6, 6, 6], [0] * 4) == 0


def test_a_label_that_was_used_before_certifies_nothing():
    with pytest.raises(
        ValueError, match=r"used for nothing before, got one at \[1\] \(1 of 3\): what fitted"
    ):
        audits.tally([0, 1, 2], [0, 0, 0], [0, 0, 0], [0, 1, 0], (3,))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"looks": (5, 5)}, "looks: expected rising sizes"),
        ({"looks": ()}, "looks: expected rising sizes"),
        ({"looks": (13,)}, "looks: expected a whole number in"),
        ({"labels": 5}, r"labels: expected a whole number in \[6, 12\], got 5"),
        ({"target": 1.0}, "target: expected a number in"),
        ({"alpha1": 0.0}, "alpha1: expected a number in"),
        ({"alpha2": 1.5}, "alpha2: expected a number in"),
        ({"eligible": 13}, "eligible: expected"),
        ({"charged": 1}, r"charged: expected a whole number in \[0, 0\]"),
        ({"reserve": -1}, "reserve: expected"),
    ],
)
def test_a_design_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        audits.passing(target(**changes), 0, [0] * 4, [0] * 4)


def test_designs_survive_their_record():
    for design in (
        target(),
        certificates.budget_design(population=12, eligible=12, labels=7, audit=5, alpha=0.25),
    ):
        assert certificates.Design.from_record(design.to_record()) == design


def test_a_budget_design_has_one_cut_one_look_and_no_target():
    design = certificates.budget_design(population=12, eligible=12, labels=7, audit=5, alpha=0.25)
    for changes in ({"cuts": (8, 10)}, {"target": 0.1}, {"labels": 6}):
        with pytest.raises(ValueError, match="budget mode: expected one cut"):
            dataclasses.replace(design, **changes)
    with pytest.raises(ValueError, match="expected a design in target mode"):
        certificates.needed_audit(design)


def test_counts_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match=r"got 0, 3, 2 in cut \[1\]"):
        audits.Found(audited=(1, 2), wrong=(1, 3), unresolved=(0, 0))
    with pytest.raises(ValueError, match="place: expected each item once"):
        audits.tally([4, 4], [0, 0], [0, 0], [0, 0], (5,))


@pytest.mark.parametrize(("population", "sampled"), [(1, 0), (12, 0), (12, 5), (40, 40)])
def test_the_ppr_bound_equals_trying_every_number_of_errors(population, sampled):
    for found in range(sampled + 1):
        kept = [
            m
            for m in range(found, population - sampled + found + 1)
            if Fraction(math.comb(m, found) * math.comb(population - m, sampled - found) * (sampled + 1))
            > Fraction(0.0437) * math.comb(population, sampled)
        ]
        assert anytime.ppr_ucb(population, sampled, found, 0.0437) == max(kept)

"""Reviewers by name: how much they answered, and how far they agree with whom."""

import pyarrow as pa
import pytest

from actuary.campaign import reviewer_values
from actuary.stats import agreement, intervals


def doubles(*rows):
    return [((one, a), (other, b)) for one, a, other, b in rows]


SAID = doubles(
    *[("ada", "x", "bob", "x")] * 6,
    *[("bob", "y", "ada", "y")] * 3,
    ("ada", "x", "bob", "y"),
    ("ada", "x", "cy", "y"),
)


def answers(*rows):
    columns = {"reviewer": [r[0] for r in rows], "label": pa.array([r[1] for r in rows], pa.string())}
    ids = [r[3] if len(r) > 3 else f"i{place}" for place, r in enumerate(rows)]
    return pa.table({**columns, "seconds": [float(r[2]) for r in rows], "item_id": ids})


def test_each_person_has_the_rate_of_differing_from_the_other_one_with_an_exact_interval():
    rows = answers(
        ("ada", "x", 2), ("ada", "y", 4), ("ada", None, 9), ("bob", "x", 0), ("cy", "y", 1), ("dee", "x", 3)
    )
    found = {each.name: each for each in reviewer_values.people(rows, SAID, {}, 0.05)}
    assert list(found) == ["ada", "bob", "cy", "dee"]
    ada = found["ada"]
    assert (ada.answers, ada.cannot_tell, ada.median_seconds, ada.doubles) == (3, 1, 4.0, 11)
    bounds = intervals.clopper_pearson(2, 11, 0.05)
    assert (ada.disagreement.estimate, ada.disagreement.low, ada.disagreement.high) == pytest.approx(
        (2 / 11, bounds.low, bounds.high)
    )
    assert found["bob"].disagreement.estimate == pytest.approx(1 / 10)
    assert found["bob"].median_seconds is None
    assert found["cy"].disagreement.estimate == 1.0
    assert (found["dee"].doubles, found["dee"].disagreement) == (0, None)


def test_each_pair_has_its_agreement_and_kappa_whoever_answered_first():
    found = reviewer_values.pairs(SAID, 0.05)
    assert [(each.first, each.second, each.items) for each in found] == [("ada", "bob", 10), ("ada", "cy", 1)]
    kappa = agreement.cohen_kappa([[6, 1], [0, 3]], 0.05)  # ada in rows
    assert found[0].cohen_kappa.estimate == kappa.value
    assert (found[0].cohen_kappa.low, found[0].cohen_kappa.high) == (kappa.low, kappa.high)
    assert found[0].agreement.estimate == 0.9
    assert found[1].cohen_kappa is None


def test_kappa_of_one_class_is_not_defined_and_not_shown():
    (found,) = reviewer_values.pairs(doubles(*[("ada", "x", "bob", "x")] * 5), 0.05)
    assert found.cohen_kappa is None
    assert found.agreement.estimate == 1.0


def test_without_doubles_nobody_differs():
    (ada,) = reviewer_values.people(answers(("ada", "x", 1)), [], {}, 0.05)
    assert ada.disagreement is None
    assert reviewer_values.pairs([], 0.05) == ()


def test_only_so_many_are_shown_those_with_most_answers_first(monkeypatch):
    monkeypatch.setattr(reviewer_values, "SHOWN", 2)
    rows = answers(*[(name, "x", 1) for name in "aabbbc"])
    assert [each.name for each in reviewer_values.people(rows, [], {}, 0.05)] == ["b", "a"]


def test_on_gold_tasks_each_person_has_an_exact_rate_of_mistakes():
    rows = answers(
        *[("ada", "x", 1, f"gold-{n}") for n in range(8)],
        ("ada", "y", 1, "gold-8"),
        ("ada", None, 1, "gold-9"),
        ("ada", "y", 1, "pool-1"),
        ("bob", "y", 1, "gold-0"),
        ("cy", "x", 1, "pool-2"),
    )
    known = {f"gold-{n}": "x" for n in range(10)}
    found = {each.name: each for each in reviewer_values.people(rows, [], known, 0.05)}
    bounds = intervals.clopper_pearson(1, 9, 0.05)
    assert found["ada"].gold_tasks == 9
    assert (found["ada"].gold_error.low, found["ada"].gold_error.high) == (bounds.low, bounds.high)
    assert found["ada"].gold_error.estimate == pytest.approx(1 / 9)
    assert (found["bob"].gold_tasks, found["bob"].gold_error.estimate) == (1, 1.0)
    assert found["cy"].gold_error is None

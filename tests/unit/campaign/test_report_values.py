"""What a report says of answers, notes and states, from small artifacts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from actuary.campaign import closing, report_values, review_values
from actuary.storage import artifacts, schemas
from actuary.trainer import work as training


def answers(*rows: tuple[str, str, str, int, str]) -> pa.Table:
    return pa.table(
        {
            "batch": [row[0] for row in rows],
            "item_id": [row[1] for row in rows],
            "reviewer": [row[2] for row in rows],
            "sequence": [row[3] for row in rows],
            "label": [row[4] for row in rows],
        }
    )


def test_a_correction_replaces_the_answer_of_its_own_batch_only():
    """Sequences begin anew in every batch."""
    rows = answers(
        ("w0", "x", "ada", 1, "wrong"),
        ("w0", "x", "ada", 2, "right"),
        ("w1", "y", "ada", 1, "other"),
        ("w0", "x", "bob", 3, "right"),
    )
    kept = review_values.standing(rows).select(["batch", "item_id", "reviewer", "label"]).to_pylist()
    assert [tuple(row.values()) for row in kept] == [
        ("w0", "x", "ada", "right"),
        ("w0", "x", "bob", "right"),
        ("w1", "y", "ada", "other"),
    ]


def manifest(**fields) -> artifacts.Manifest:
    schema = schemas.ITEMS
    base = {
        "uri": "campaigns/c/x", "table": "items", "version": schemas.version_of(schema), "objects": (),
        "code_version": "test", "shards": 1, "parameters": {"results": {}}, "counts": {},
    }  # fmt: skip
    return artifacts.Manifest(**{**base, **fields})


def inputs(**fields) -> closing.Inputs:
    plain = manifest()
    base = {
        "items": plain, "risks": plain, "weights": plain, "annotations": (plain, plain), "plans": (plain,),
        "resolved": (plain,), "truth": None, "risk_model": plain, "quote": plain, "training": None,
    }  # fmt: skip
    return closing.Inputs(**{**base, **fields})


def test_the_notes_of_every_stage_are_shown_once():
    said = inputs(
        weights=manifest(parameters={"results": {"notes": ["of the estimate", "of both"]}}),
        plans=(manifest(parameters={"results": {"notes": ["of the plan"]}}),),
        training=manifest(parameters={"results": {"notes": ["of both", "no mixture: it is refused"]}}),
        risk_model=manifest(parameters={"results": {"figures": {"reason": "12 labels are too few"}}}),
    )
    assert report_values._notes(said) == (
        "of the estimate",
        "of both",
        "All risks are the pilot's error rate, and the rule knows no better: 12 labels are too few.",
        "of the plan",
        "no mixture: it is refused",
    )


def test_what_the_quote_said_stands_beside_its_curve_once():
    point = {"human_labels": "60", "corrected_accuracy": {"estimate": 0.9}}
    notes = ["drawn uniformly", "The machine labels have not been shown to help: …"]
    said = inputs(
        quote=manifest(parameters={"results": {"points": [point], "notes": notes}}),
        plans=(manifest(parameters={"results": {"notes": ["drawn uniformly"]}}),),
    )
    results = {"corrected_accuracy": {}}
    curve = report_values._curve(said, results, {"human_labels_used": 60}, [])
    assert curve.notes == ("The machine labels have not been shown to help: …",)
    assert "drawn uniformly" in report_values._notes(said)
    silent = inputs(quote=manifest(parameters={"results": {"points": [point]}}))
    assert report_values._curve(silent, results, {"human_labels_used": 60}, []).notes == ()


def test_a_critic_is_shown_as_the_latest_random_sample_measures_it():
    def measured(items, auroc):
        calibrated = {"bins": [], "expected_calibration_error": 0.1, "calibration_error_by_chance": 0.05}
        interval = {"estimate": auroc, "low": 0.5, "high": 0.9, "method": "newcombe"}
        return {"items": items, "calibrated": calibrated, "auroc": interval}

    figures = {**measured(50, 0.7), "worth": "it is worth following."}
    pilot = manifest(parameters={"results": {"figures": figures}})
    alone = report_values._critic(inputs(risk_model=pilot), "confidence")
    assert (alone.items, alone.auroc.estimate, alone.worth) == (50, 0.7, "it is worth following.")
    assert alone.calibrated.by_chance == 0.05
    weights = manifest(parameters={"results": {}, "critic": measured(90, 0.8)})
    both = report_values._critic(inputs(risk_model=pilot, weights=weights), "confidence")
    assert (both.items, both.auroc.estimate, both.worth) == (90, 0.8, alone.worth)


def test_items_left_for_want_of_money_are_counted_over_both_annotations():
    short = manifest(counts={"LABELLED": 5, "OVER_BUDGET": 3})
    assert report_values._over_budget(inputs()) == 0
    assert report_values._over_budget(inputs(annotations=(manifest(), short))) == 3


def test_the_truth_of_a_curve_is_not_told_of_doubles_or_of_another_rule_than_was_asked_for():
    tally = closing.Tally(corrected_known=4)
    budget = {"pilot": 1, "audit": 1}
    doubled = inputs(plans=(manifest(), manifest(parameters={"design": {"rule": "hybrid"}})))
    assert closing._true_curve(tally, doubled, {"review": {"double_share": 0.5}}, budget) == []
    assert closing._true_curve(tally, doubled, {"review": {"gold_share": 0.1}}, budget) == []
    fallen_back = inputs(plans=(manifest(), manifest(parameters={"design": {"rule": "uniform"}})))
    assert closing._true_curve(tally, fallen_back, {}, budget) == []


@pytest.mark.parametrize(
    ("design", "middle"),
    [
        ({"rule": "threshold"}, 0.92),
        ({"rule": "uniform"}, 0.84),
        # three of the five are certain, and of the seven others each has two chances in seven
        ({"rule": "hybrid", "audit_share": 0.4, "gamma": 1.0}, 1.0 - 0.08 * 5 / 7),
    ],
)
def test_the_truth_of_a_curve_is_what_the_rule_leaves_of_what_a_pilot_did_not_find(design, middle):
    """A pilot of 2 in 10 leaves .8 of the errors; 4 labels more are then as 5 of 10 items."""
    tally = closing.Tally(
        corrected_known=10,
        risk=[np.linspace(0.9, 0.0, 10)],
        wrong=[np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 1], dtype=bool)],
    )
    points = [{"human_labels": labels} for labels in (2, 6, 10)]
    found = closing._true_curve(
        tally,
        inputs(
            plans=(manifest(), manifest(parameters={"design": design})),
            quote=manifest(parameters={"results": {"points": points}}),
        ),
        {"sampling": {"rule": design["rule"]}},
        {"pilot": 2, "audit": 0},
    )
    assert [each.human_labels for each in found] == [2, 6, 10]
    assert [each.estimate for each in found] == pytest.approx([0.68, middle, 1.0])


def test_the_gap_of_two_models_has_the_level_that_is_asked_for():
    human, act = np.array([True] * 60 + [False] * 40), np.array([True] * 50 + [False] * 50)
    wide, narrow = training._gap(human, act, 0.05), training._gap(human, act, 0.2)
    assert wide["estimate"] == narrow["estimate"] == pytest.approx(0.1)
    assert (wide["high"] - 0.1) / (narrow["high"] - 0.1) == pytest.approx(1.959964 / 1.281552, rel=1e-5)


def planned(wave=1, counts=("audit", "certain"), groups=None):
    """A plan's manifest; `groups` are name and mode of each claim of a certificate."""
    design = {}
    if groups is not None:
        design["certificate"] = {"groups": [{"name": n, "design": {"mode": mode}} for n, mode in groups]}
    results = {"stratum_counts": dict.fromkeys(counts, 5)}
    return manifest(parameters={"wave": wave, "design": design, "results": results})


@pytest.mark.parametrize(
    ("plan", "audited"),
    [
        (planned(), True),
        (planned(groups=[("", "target")]), True),
        (planned(groups=[("", "budget")]), False),  # none of its items lies above the cut
        (planned(groups=[("a", "target"), ("b", "target")]), False),  # classes have rates of their own
        (planned(counts=("slice", "audit", "drawn")), False),  # what was covered is missing from the audit
        (planned(wave=2), False),
    ],
)
def test_agreement_is_measured_on_random_samples_of_all_items_alone(plan, audited):
    assert review_values._random_strata(plan) == ({"pilot", "audit"} if audited else {"pilot"})

"""A loss that the trainer would refuse at the end is refused at the door, and only such a one."""

import numpy as np
import pytest

from actuary import errors
from actuary.campaign import budgeting, loss_check, spec
from actuary.stats import designs, placing, training

MESSAGE = {
    "task": {"instruction": "?", "classes": [{"name": "a"}, {"name": "b"}]},
    "data": {"uri": "items.csv"},
    "annotator": {"model": {"kind": "null", "prices": {"input_micros_per_1000_tokens": "1"}}},
    "budget": {"human_labels": "1000", "human_label_micros": "80000"},
}


def asked(**sections):
    return spec.parse({**MESSAGE, **sections})


def refused(wanted, items=1_000_000):
    try:
        spec.check(wanted)
        budgeting.check_training(wanted, budgeting.budgeted(wanted, items))
    except errors.InvalidInputError as error:
        return {violation.field: violation.description for violation in error.violations}
    return {}


def final_weights(items, pilot, audit, certain, omega):
    """The weights that an estimate gives the labels of a threshold wave, audit below the cut."""
    phases = (
        placing.Phase(name="pilot", kind="srs", population=items, certain=0, sampled=pilot, tau=None),
        placing.Phase(
            name="wave", kind="srs", population=items - pilot, certain=certain, sampled=audit, tau=None
        ),
    )
    design = designs.Design(phases=phases, omega=(1.0 - omega, omega))
    phase = np.repeat([0, 1, 1], [pilot, audit, certain])
    pi = np.repeat([pilot / items, audit / phases[1].sampled_population, 1.0], [pilot, audit, certain])
    return designs.weights(design, phase, pi)


def test_a_threshold_without_an_audit_cannot_be_trained_on():
    found = refused(asked(sampling={"rule": "threshold", "audit_items": "0"}))

    said = found["sampling.audit_items"]
    assert "expected at least 2" in said
    assert "no chance to be drawn" in said
    for remedy in ("raise it", "hybrid", "training.model none"):
        assert remedy in said


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"sampling": {"rule": "threshold", "audit_items": "0"}, "training": {"model": "none"}},
        {"sampling": {"audit_items": "0", "rule": "hybrid"}},
        {"sampling": {"audit_items": "0", "rule": "uniform"}},
        {"sampling": {"rule": "threshold", "audit_items": "0", "pilot_items": "1000"}},
        {"sampling": {"rule": "threshold", "audit_items": "2"}},
        {"training": {"weight_cap": 1e9}},
    ],
    ids=["defaults", "no-model", "hybrid", "uniform", "all-in-the-pilot", "small-audit", "no-cap"],
)
def test_what_can_be_trained_on_is_not_refused(sections):
    assert refused(asked(**sections)) == {}


def test_a_share_of_the_items_without_an_audit_is_refused_before_they_are_counted():
    budget = {"human_share": 0.1, "human_label_micros": "0"}
    with pytest.raises(errors.InvalidInputError, match=r"sampling\.audit_items: expected at least 2"):
        spec.check(asked(budget=budget, sampling={"rule": "threshold", "audit_items": "0"}))


def test_few_random_labels_without_a_cap_are_refused_with_the_cap_that_would_do():
    sampling = {"rule": "threshold", "pilot_items": "20", "audit_items": "20"}
    found = refused(asked(sampling=sampling, training={"weight_cap": 1e9}))

    said = found["training.weight_cap"]
    assert "of 1000 human labels 40 stand for 1000000 items" in said
    assert "sampling.pilot_items or sampling.audit_items" in said
    # what is recommended is taken
    cap = float(said.split("lower it to ")[1].split(",")[0])
    assert refused(asked(sampling=sampling, training={"weight_cap": cap})) == {}


def test_a_hybrid_that_draws_too_little_is_told_which_share_to_raise():
    sampling = {"rule": "hybrid", "pilot_items": "20", "audit_share": 0.02}
    found = refused(asked(sampling=sampling, training={"weight_cap": 1e9}))

    assert "sampling.audit_share" in found["training.weight_cap"]


@pytest.mark.parametrize("pilot", [20, 300])
@pytest.mark.parametrize("audit", [2, 20, 300])
@pytest.mark.parametrize("cap", [1.0, 5.0, 40.0, 1e9])
@pytest.mark.parametrize("items", [1_200, 1_000_000])
def test_whoever_is_refused_here_would_be_refused_in_the_end(pilot, audit, cap, items):
    """By the trainer's own judgement, whatever weight, at least that of equal risks, the wave gets."""
    certain = 1_000 - pilot - audit
    found = loss_check.too_uneven(
        rule="threshold", items=items, pilot=pilot, drawn=audit, certain=certain, lam=1.0, cap=cap
    )

    size = items - pilot - certain
    least = size**2 * (1 / audit - 1 / size)
    equal = items**2 * (1 / pilot - 1 / items)
    judged = []
    for omega in np.linspace(equal / (equal + least), 1.0, 101):
        g = final_weights(items, pilot, audit, certain, omega)
        judged.append(any(each.fatal for each in training.findings(g, items, 1.0, cap)))
    assert bool(found) == all(judged)


def test_a_campaign_of_before_goes_on_with_what_it_was_allowed():
    """A budget is resolved at every step, and must not fail a campaign whose labels are bought."""
    wanted = asked(sampling={"rule": "threshold", "audit_items": "0"})
    assert budgeting.budgeted(wanted, 10_000).audit == 0

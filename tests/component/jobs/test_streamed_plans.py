"""Plans from shards are those of a pool in memory, bit for bit, whatever the number of shards."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from actuary import errors
from actuary.sampler import frames, planning, surveying
from actuary.stats import levels, prn, weighing
from actuary.storage import artifacts
from component.jobs import plans_in_memory, sharded

SHARDS = (1, 3, 17)
RULES = {
    "threshold": {"rule": "threshold"},
    "uniform": {"rule": "uniform"},
    "normalised": {"rule": "normalised"},
    "exponential": {"rule": "exponential", "beta": 10.0},
    "square-root": {"rule": "square-root"},
    "square-root, given gamma": {"rule": "square-root", "gamma": 0.3},
    "hybrid": {"rule": "hybrid"},
    "hybrid, given gamma": {"rule": "hybrid", "gamma": 0.3, "audit_share": 0.5},
    "hybrid, a floor that binds": {"rule": "hybrid", "gamma": 0.01},
    "hybrid, no top": {"rule": "hybrid", "gamma": 0.5, "audit_share": 1.0},
}
EXACT = ("item_id", "wave", "stratum", "u", "cost_micros", "blind", "labels_wanted", "label")
SOLVED = ("s", "pi", "rank", "tau")
"""What may hang on a constant that was solved for."""


@pytest.fixture(scope="module", params=[0, 12], ids=["scores that differ", "twelve scores"])
def campaigns(request, tmp_path_factory) -> dict[int, sharded.Campaign]:
    """One campaign in 1, 3 and 17 shards, its pilot answered and its first wave drawn."""
    found = {}
    for shards in SHARDS:
        campaign = sharded.Campaign(tmp_path_factory.mktemp("pool"), shards, grades=request.param)
        campaign.begin()
        asked = campaign.later(1, label_count=160, sampling={"audit_items": 50, "rule": "threshold"})
        campaign.plan("plan-1", asked)
        campaign.answer("plan-1", 1, 0.9)
        found[shards] = campaign
    return found


def slack(plan: plans_in_memory.Plan) -> float:
    """By how much log κ or β α may differ: each side's Σ π is off the budget by its share of it at most.

    Here it is `levels.TOLERANCE`, there what rounded sums of 900 terms and Brent's method leave, below 1e-12.
    Size measures move with them at most one to one, and so do r and τ; π = τ s moves by both.
    """
    return (levels.TOLERANCE + 1e-12) / plan.moving


@pytest.mark.parametrize("wave", [1, 2])
@pytest.mark.parametrize("name", RULES)
def test_a_plan_from_shards_is_that_of_a_pool_in_memory(campaigns, name, wave):
    sampling = {"audit_items": 40, **RULES[name]}
    written = {}
    for shards, campaign in campaigns.items():
        asked = campaign.later(wave, label_count=140, sampling=sampling, double_share=0.1)
        uri = f"{name.replace(' ', '-')}-{wave}"
        manifest = campaign.run("plan", uri, asked)
        design, results = manifest.parameters["design"], manifest.parameters["results"]
        expected = plans_in_memory.plan(campaign.store, asked)
        rows = campaign.rows(uri)
        written[shards] = (rows, design, {**results, "risks": None})

        assert design["rule"] == sampling["rule"]
        assert results["notes"] == expected.notes
        assert results["flipped_count"] == expected.flipped
        assert design["gamma"] == expected.rule.gamma
        solved = SOLVED if name in ("exponential", "hybrid, a floor that binds") else ()
        for column in (*EXACT, *SOLVED):
            one, other = rows[column].to_pylist(), expected.table[column].to_pylist()
            if column in solved:
                assert one == pytest.approx(other, rel=2.0 * slack(expected))
            else:
                assert one == other
        assert {*expected.constants} <= {*design}
        for constant, value in expected.constants.items():
            if constant in ("kappa", "alpha") or (constant == "tau" and solved):
                assert design[constant] == pytest.approx(value, rel=slack(expected), abs=slack(expected))
            else:
                assert design[constant] == (value if np.isfinite(value) else None)
        if wave == 1:
            shown = campaign.rows(f"{uri}/risks")
            risks = expected.risks.select(shown.column_names)
            assert shown.equals(risks.cast(shown.schema))
    first = written[SHARDS[0]]
    for rows, design, results in written.values():
        assert rows.equals(first[0])
        assert design == first[1]
        assert results == first[2]


def test_the_pilot_from_shards_is_that_of_a_pool_in_memory(campaigns):
    pilots = []
    for campaign in campaigns.values():
        manifest = artifacts.read_manifest(campaign.store, "plan-0")[0]
        expected = plans_in_memory.plan(
            campaign.store, campaign.parameters(wave=0, label_count=200, sampling={"failed_share": 1.0})
        )
        pilots.append(campaign.rows("plan-0"))
        assert pilots[-1].equals(expected.table.select(pilots[-1].column_names).cast(pilots[-1].schema))
        assert manifest.parameters["design"]["tau"] == expected.constants["tau"]
    assert pilots[0].equals(pilots[1])
    assert pilots[0].equals(pilots[2])


@pytest.mark.parametrize("rule", weighing.RULES)
def test_a_wave_that_takes_everybody_who_is_left_is_a_plan(campaigns, rule):
    campaign = campaigns[3]
    manifest = campaign.run(
        "plan", f"all-{rule}", campaign.later(1, label_count=5000, sampling={"rule": rule, "gamma": 0.2})
    )
    counts = manifest.parameters["results"]["stratum_counts"]
    assert (
        counts["certain" if rule == "threshold" else "drawn"] == manifest.parameters["design"]["population"]
    )
    assert manifest.parameters["design"].get("tau") is None


def test_a_pool_in_memory_with_risks_of_0_is_drawn_as_it_was():
    """The normalised rule: those of some risk certainly, the others by what is left."""
    size = 300
    rng = np.random.default_rng(2)
    ids = pa.array([f"item-{i:04d}" for i in range(size)])
    frame = frames.Frame(
        ids=ids,
        shard=np.zeros(size, dtype=np.int64),
        u=prn.uniform(ids.to_pylist(), b"a key of items"),
        outcome=pa.array(["LABELLED"] * size),
        label=np.zeros(size, dtype=np.int64),
        confidence=np.full(size, np.nan),
        probabilities=np.full((size, 2), np.nan),
        scores={},
    )
    eps = np.where(rng.random(size) < 0.1, rng.random(size), 0.0)
    nobody = np.zeros(size, dtype=np.bool_)
    for rule, labels in (("normalised", 60), ("normalised", 20), ("square-root", 60), ("hybrid", 60)):
        wishes = planning.Wishes(
            wave=1, labels=labels, audit=5, weighing=weighing.Weighing(rule=rule), failed_share=0.0,
            double_share=0.0, key=b"a project key",
        )  # fmt: skip
        found = planning.wave(frame, eps, nobody, 0.01, wishes)
        expected = plans_in_memory.wave(frame, eps, nobody, 0.01, wishes)
        assert found.stratum == expected.stratum
        assert found.notes == expected.notes
        for name in ("at", "s", "pi", "u", "order"):
            assert [each.tolist() for each in getattr(found, name)] == [
                each.tolist() for each in getattr(expected, name)
            ]
        assert found.tau == expected.tau


def test_an_id_that_is_there_twice_is_refused():
    survey = surveying.Survey(failed=0, audit=1, audit_key=b"a key of audits")
    one = np.ones(3, dtype=np.bool_)
    with pytest.raises(errors.DataLossError, match="expected ids that occur once, got 'b' twice"):
        survey.add(
            ids=pa.array(["a", "b", "b"]), u=np.array([0.1, 0.2, 0.3]), labelled=one, known=~one,
            place=np.arange(3),
        )  # fmt: skip

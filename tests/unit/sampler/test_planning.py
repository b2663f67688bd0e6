import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from actuary import errors
from actuary.sampler import estimating, frames, people, phases, planning
from actuary.stats import prn, shares, weighing

KEY = prn.project_key(7)
NOBODY = np.zeros(0, dtype=np.int64)


def frame(size=400, failed=(), classes=2, seed=0):
    ids = pa.array([f"item-{i:04d}" for i in range(size)])
    label = np.random.default_rng(seed).integers(0, classes, size)
    label[list(failed)] = -1
    return frames.Frame(
        ids=ids,
        shard=np.arange(size) % 4,
        u=prn.uniform(ids.to_pylist(), KEY),
        outcome=pa.array(["FAILED" if i in failed else "LABELLED" for i in range(size)]),
        label=label,
        confidence=np.full(size, np.nan),
        probabilities=np.full((size, classes), np.nan),
        scores={},
    )


RULES = ["threshold", "uniform", "normalised", "exponential", "square-root", "hybrid"]


def wishes(rule="threshold", beta=10.0, **changes):
    base = planning.Wishes(
        wave=1,
        labels=100,
        audit=40,
        weighing=weighing.Weighing(rule="threshold"),
        failed_share=0.25,
        double_share=0.0,
        key=KEY,
    )
    return dataclasses.replace(base, weighing=weighing.Weighing(rule=rule, beta=beta), **changes)


def first_wave(data, eps, known=None, **changes):
    pilot = planning.pilot(data, wishes(wave=0, labels=50))
    seen = np.zeros(data.size, dtype=bool) if known is None else known
    if known is None:
        seen[np.concatenate(pilot.at)] = True
    return pilot, planning.wave(data, eps, seen, pilot.constants["tau"], wishes(**changes))


def risks(data, seed=1):
    return np.random.default_rng(seed).uniform(0, 1, data.size)


def test_the_pilot_is_the_items_with_the_smallest_numbers():
    data = frame()
    rows = planning.pilot(data, wishes(wave=0, labels=50))
    assert sorted(rows.at[0]) == sorted(np.argsort(data.u)[:50])
    assert rows.pi[0] == pytest.approx(50 / 400)


def test_a_pilot_larger_than_the_pool_is_refused():
    with pytest.raises(errors.InvalidInputError, match="at most the 10 items of the pool, got 50"):
        planning.pilot(frame(10), wishes(wave=0, labels=50))


@pytest.mark.parametrize("rule", RULES)
def test_a_wave_spends_exactly_its_labels_on_items_nobody_knows(rule):
    data = frame()
    pilot, rows = first_wave(data, risks(data), rule=rule)
    at = np.concatenate(rows.at)
    assert len(at) == len(set(at)) == 100
    assert not set(at) & set(pilot.at[0])
    assert rows.counts()["audit"] == 40


def test_the_threshold_takes_the_most_suspicious_of_what_the_audit_left():
    data = frame()
    eps = risks(data)
    pilot, rows = first_wave(data, eps)
    audit, certain = rows.at
    taken = set(audit) | set(pilot.at[0])
    left = [i for i in np.argsort(-eps) if i not in taken]
    assert list(certain) == left[:60]


def test_items_without_a_label_come_first_up_to_their_share():
    data = frame(failed=range(30))
    _, rows = first_wave(data, np.where(data.labelled, risks(data), np.nan), known=np.zeros(400, dtype=bool))
    assert rows.counts()["failed"] == 25
    assert rows.stratum[0] == "failed"
    assert len(np.concatenate(rows.at)) == 100


def test_a_larger_budget_keeps_everything_that_a_smaller_one_chose():
    data = frame()
    eps = risks(data)
    _, small = first_wave(data, eps, labels=70)
    _, large = first_wave(data, eps, labels=120)
    assert set(np.concatenate(small.at)) <= set(np.concatenate(large.at))


def test_doubles_are_paid_from_the_labels():
    # 100 items, 10 doubles, and a third label for one double in five
    assert wishes(labels=112, double_share=0.1).items == 100


def test_a_plan_is_written_in_the_order_of_shards_and_ids():
    data = frame()
    _, rows = first_wave(data, risks(data), rule="normalised")
    table = planning.table(data, rows, wishes(), pa.array(["a"] * data.size), 5)
    order = list(zip(table["shard"].to_pylist(), table["item_id"].to_pylist(), strict=True))
    assert order == sorted(order)
    assert set(table["blind"].to_pylist()) == {True}
    assert np.isfinite(table["tau"].to_numpy()).all()


def answered(data, rows, number, truth, keep=None, rule="threshold"):
    at = np.concatenate(rows.at)
    label = truth[at].copy()
    if keep is not None:
        label[~keep(rows, at)] = -1
    return people.Wave(
        number=number,
        ids=data.ids.take(pa.array(at)),
        stratum=pa.array(rows.stratum),
        s=np.concatenate(rows.s),
        order=np.concatenate(rows.order),
        tau=rows.tau[-1],
        label=label,
        weighing=weighing.Weighing(rule=rule, beta=4.0),
    )


def population(data, eps):
    soft = shares.soft_labels(data.label, eps, 2)
    return phases.Population(
        ids=data.ids, machine=data.label, final=data.label, machine_risk=eps, risk=eps, soft=soft
    )


@pytest.mark.parametrize("rule", RULES)
def test_with_every_item_labelled_the_estimate_is_the_truth(rule):
    data = frame(120)
    truth = np.where(np.random.default_rng(3).uniform(size=120) < 0.3, 1 - data.label, data.label)
    eps = risks(data)
    pilot, rows = first_wave(data, eps, rule=rule, beta=4.0, labels=70, audit=20)
    waves = [answered(data, pilot, 0, truth), answered(data, rows, 1, truth, rule=rule)]
    outcome = estimating.estimate(population(data, eps), waves, KEY, 0.05, failed=NOBODY)
    assert outcome.machine.value == pytest.approx(float((truth == data.label).mean()))
    assert outcome.corrected.value == 1.0
    assert outcome.process.low < outcome.machine.value < outcome.process.high
    for k, found in enumerate(outcome.classes):
        assert found.share.value == found.share.low == found.share.high == pytest.approx((truth == k).mean())
        assert found.process.low < found.share.value < found.process.high
        assert found.part.items == found.part.reviewed == (data.label == k).sum()
        assert found.part.corrected.value == found.part.corrected.low == 1.0


@pytest.mark.parametrize("rule", RULES)
def test_estimates_are_unbiased_over_keys_and_whoever_stops_half_way(rule):
    """300 keys: the mean error of the estimate stays within 5 of its standard errors."""
    errors_found, share_errors = [], []
    truth_of = np.random.default_rng(5)
    for trial in range(300):
        key = prn.project_key(trial)
        data = dataclasses.replace(frame(300), u=prn.uniform(frame(300).ids.to_pylist(), key))
        truth = np.where(truth_of.uniform(size=300) < 0.25, 1 - data.label, data.label)
        eps = np.clip(0.25 + 0.3 * (truth != data.label) + truth_of.normal(0, 0.2, 300), 0.01, 0.99)
        asked = wishes(key=key, labels=80, audit=30, rule=rule, beta=4.0)
        pilot = planning.pilot(data, dataclasses.replace(asked, wave=0, labels=40))
        known = np.zeros(300, dtype=bool)
        known[pilot.at[0]] = True
        rows = planning.wave(data, eps, known, pilot.constants["tau"], asked)
        stop = truth_of.integers(25, 81)

        def first(planned, at, stop=stop):
            served = np.lexsort(
                (np.concatenate(planned.order), [planning.STRATA.index(s) for s in planned.stratum])
            )
            kept = np.zeros(len(at), dtype=bool)
            kept[served[:stop]] = True
            return kept

        waves = [answered(data, pilot, 0, truth), answered(data, rows, 1, truth, first, rule)]
        outcome = estimating.estimate(population(data, eps), waves, key, 0.05, failed=NOBODY)
        errors_found.append(outcome.machine.value - float((truth == data.label).mean()))
        share_errors.append(outcome.classes[1].share.value - float((truth == 1).mean()))
    for found in (np.array(errors_found), np.array(share_errors)):
        assert abs(found.mean()) < 5 * found.std(ddof=1) / np.sqrt(len(found))

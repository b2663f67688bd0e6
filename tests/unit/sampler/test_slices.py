"""Slices and classes with a minimum: who is drawn for them, and what their answers say."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from actuary.sampler import (
    covering,
    estimating,
    frames,
    judging,
    parts,
    people,
    phases,
    planning,
    risking,
    slices,
)
from actuary.stats import prn, shares, weighing
from actuary.storage import artifacts, folder, schemas, tables

KEY = prn.project_key(7)
NOBODY = np.zeros(0, dtype=np.int64)
NAMES = ("big", "rare", "tiny")
RULES = ("threshold", "uniform", "square-root", "hybrid")


def frame(size=400, classes=2):
    ids = pa.array([f"item-{i:04d}" for i in range(size)])
    return frames.Frame(
        ids=ids,
        shard=np.zeros(size, dtype=np.int64),
        u=prn.uniform(ids.to_pylist(), KEY),
        outcome=pa.array(["LABELLED"] * size),
        label=np.random.default_rng(0).integers(0, classes, size),
        confidence=np.full(size, np.nan),
        probabilities=np.full((size, classes), np.nan),
        scores={},
    )


def slice_of(size=400):
    """300 of 400 items are in the big slice, 60 in the rare, 5 in the tiny one, 35 in none."""
    of = np.random.default_rng(1).permutation(np.repeat([0, 1, 2, -1], [300, 60, 5, 35]))
    return of[:size]


def of_slices(items, of=None):
    return covering.Minimum(stratum="slice", items=items, of=slice_of() if of is None else of, parts=3)


def wishes(rule="threshold", **changes):
    base = planning.Wishes(
        wave=1, labels=120, audit=40, weighing=weighing.Weighing(rule=rule), failed_share=0.25,
        double_share=0.0, key=KEY,
    )  # fmt: skip
    return dataclasses.replace(base, **changes)


def waves(data, eps, minima, rule="threshold", **changes):
    pilot = planning.pilot(data, wishes(rule, wave=0, labels=40))
    known = np.zeros(data.size, dtype=bool)
    known[pilot.at[0]] = True
    asked = wishes(rule, **changes)
    return pilot, planning.wave(data, eps, known, pilot.constants["tau"], asked, minima=minima)


def risks(data):
    return np.random.default_rng(3).uniform(0.02, 0.9, data.size)


def answered(data, rows, number, truth, rule="threshold", looked=None):
    at = np.concatenate(rows.at)
    label = truth[at].copy()
    if looked is not None:
        label[~looked(np.array(rows.stratum), at)] = -1
    drawn = [tau for tau, stratum in zip(rows.tau, rows.stratum, strict=True) if stratum == "drawn"]
    return people.Wave(
        number=number,
        ids=data.ids.take(pa.array(at)),
        stratum=pa.array(rows.stratum),
        s=np.concatenate(rows.s),
        order=np.concatenate(rows.order),
        tau=drawn[0] if drawn else np.inf,
        label=label,
        weighing=weighing.Weighing(rule=rule),
    )


def population(data, eps, of=None):
    return phases.Population(
        ids=data.ids, machine=data.label, final=data.label, machine_risk=eps, risk=eps,
        soft=shares.soft_labels(data.label, eps, 2), slice=slice_of() if of is None else of,
    )  # fmt: skip


def wrong_answers(data, rate=0.3):
    flip = np.random.default_rng(4).uniform(size=data.size) < rate
    return np.where(flip, 1 - data.label, data.label)


@pytest.mark.parametrize("rule", RULES)
def test_every_slice_reaches_its_minimum_and_the_wave_spends_its_labels(rule):
    data = frame()
    pilot, rows = waves(data, risks(data), [of_slices(25)], rule)
    at = np.concatenate(rows.at)
    assert len(at) == len(set(at)) == 120
    assert not set(at) & set(pilot.at[0])
    of = slice_of()
    covered = np.concatenate([rows.at[0], pilot.at[0]])
    assert rows.stratum[0] == "slice"
    had = [int((of[pilot.at[0]] == h).sum()) for h in range(3)]
    assert [int((of[covered] == h).sum()) for h in range(3)] == [max(25, had[0]), 25, 5]
    assert rows.counts()["audit"] == 40
    assert rows.constants["slice_minimum"] == 25
    assert rows.notes == []


def test_a_slice_that_the_pilot_covers_gets_nothing():
    data = frame()
    pilot, rows = waves(data, risks(data), [of_slices(5)])
    of = slice_of()
    assert (of[pilot.at[0]] == 0).sum() > 5
    assert not (of[rows.at[0]] == 0).any()


def test_items_in_no_slice_cover_nothing():
    data = frame()
    _, rows = waves(data, risks(data), [of_slices(30)])
    assert (slice_of()[rows.at[0]] >= 0).all()


def test_an_item_counts_for_its_slice_and_for_its_class():
    data = frame(classes=2)
    of_class = covering.Minimum(stratum="class", items=30, of=data.label, parts=2)
    pilot, rows = waves(data, risks(data), [of_slices(30), of_class])
    counts = rows.counts()
    seen = np.concatenate([pilot.at[0], rows.at[0]])
    lacking = sum(max(0, 30 - int((data.label[seen] == k).sum())) for k in range(2))
    assert counts.get("class", 0) == lacking
    both = np.concatenate([seen, rows.at[1]]) if lacking else seen
    assert min(np.bincount(data.label[both])) >= 30


def test_where_labels_do_not_suffice_every_slice_gets_its_share_and_the_plan_says_so():
    data = frame()
    _, rows = waves(data, risks(data), [of_slices(60)], labels=30, audit=10)
    assert rows.counts() == {"slice": 30}
    of = slice_of()
    assert min((of[rows.at[0]] == h).sum() for h in range(2)) > 5
    assert "lack" in rows.notes[0]
    assert "suffice for 30" in rows.notes[0]


def test_the_same_items_are_drawn_in_any_order_of_the_pool():
    data = frame()
    _, rows = waves(data, risks(data), [of_slices(25)])
    order = np.random.default_rng(8).permutation(data.size)
    turned = dataclasses.replace(
        data, ids=data.ids.take(pa.array(order)), u=data.u[order], label=data.label[order]
    )
    _, again = waves(turned, risks(data)[order], [of_slices(25, slice_of()[order])])
    for stratum in ("slice", "audit", "certain"):
        at = {i for i, s in zip(np.concatenate(rows.at), rows.stratum, strict=True) if s == stratum}
        other = {
            order[i] for i, s in zip(np.concatenate(again.at), again.stratum, strict=True) if s == stratum
        }
        assert at == other


@pytest.mark.parametrize("rule", RULES)
def test_with_every_item_labelled_the_estimate_of_each_slice_is_the_truth(rule):
    data = frame()
    truth, eps, of = wrong_answers(data), risks(data), slice_of()
    pilot, rows = waves(data, eps, [of_slices(25)], rule, labels=360)
    said = [answered(data, pilot, 0, truth), answered(data, rows, 1, truth, rule)]
    outcome = estimating.estimate(population(data, eps), said, KEY, 0.05, failed=NOBODY, slice_names=NAMES)
    assert outcome.machine.value == pytest.approx(float((truth == data.label).mean()))
    assert [each.name for each in outcome.slices] == list(NAMES)
    for h, found in enumerate(outcome.slices):
        inside = of == h
        assert (found.part.items, found.part.reviewed) == (inside.sum(), inside.sum())
        machine = found.part.machine
        right = float((truth == data.label)[inside].mean())
        assert machine.value == machine.low == machine.high == pytest.approx(right)
        assert found.part.corrected.low == 1.0
        for k, share in enumerate(found.part.shares):
            assert share.value == pytest.approx(float((truth[inside] == k).mean()))


def test_a_cover_is_a_simple_random_sample_of_its_slice():
    """By hand: a slice whose phases are the pilot's part of it and its cover, each n/M of what was left."""
    data = frame()
    truth, eps, of = wrong_answers(data), np.full(400, 0.3), slice_of()
    pilot, rows = waves(data, eps, [of_slices(25)], labels=60, audit=0, rule="threshold")
    said = [answered(data, pilot, 0, truth), answered(data, rows, 1, truth)]
    found = phases.of_waves(population(data, eps), said, KEY)
    assert [phase.placed.phase.name for phase in found] == ["pilot", "wave-1/slice", "wave-1/audit"]
    assert not found[1].placed.phase.estimable
    inside = of == 1
    placed = found[1].within(inside)
    in_pilot = int(inside[pilot.at[0]].sum())
    covered = int(inside[rows.at[0]].sum())
    assert (placed.phase.kind, placed.phase.population, placed.phase.sampled) == (
        "srs",
        60 - in_pilot,
        covered,
    )
    assert placed.pi.tolist() == pytest.approx([covered / (60 - in_pilot)] * covered)
    # of slices together it is no sample
    assert not found[1].within(of >= 0).phase.estimable


def test_after_a_cover_with_a_hole_what_was_drawn_later_only_corrects():
    data = frame()
    truth, eps = wrong_answers(data), risks(data)
    pilot, rows = waves(data, eps, [of_slices(25)])
    last = rows.at[0][np.argmax(rows.order[0])]
    first = answered(data, pilot, 0, truth)
    holed = answered(data, rows, 1, truth, looked=lambda stratum, at: at != last)
    found = phases.of_waves(population(data, eps), [first, holed], KEY)
    assert [phase.placed.phase.name for phase in found] == ["pilot", "wave-1/slice", "wave-1/rest"]
    assert np.isinf(found[2].placed.pi).all()
    # all but the slice of the hole stand for theirs as before
    at, of = found[1].at, slice_of()
    assert found[1].stands.sum() == len(rows.at[0]) - 1
    assert (of[at] >= 0).all()
    outcome = estimating.estimate(
        population(data, eps), [first, holed], KEY, 0.05, failed=NOBODY, slice_names=NAMES
    )
    alone = estimating.estimate(population(data, eps), [first], KEY, 0.05, failed=NOBODY, slice_names=NAMES)
    assert outcome.machine.value == pytest.approx(alone.machine.value)


def test_a_slice_about_which_nothing_can_be_said_is_named_with_what_it_needs():
    data = frame()
    truth, eps = wrong_answers(data), risks(data)
    of = np.full(400, 0)
    pilot, rows = waves(data, eps, [])
    seen = np.concatenate([pilot.at[0], *rows.at])
    nobody = np.setdiff1d(np.arange(400), seen)[:30]
    of[nobody] = 1
    said = [answered(data, pilot, 0, truth), answered(data, rows, 1, truth)]
    outcome = estimating.estimate(
        population(data, eps, of), said, KEY, 0.05, failed=NOBODY, slice_names=("seen", "unseen")
    )
    seen_part, unseen = (each.part for each in outcome.slices)
    assert unseen.machine is None
    assert unseen.corrected is None
    assert (unseen.items, unseen.reviewed) == (30, 0)
    assert seen_part.machine is not None
    note = next(note for note in outcome.notes if "Too few items" in note)
    assert "'unseen' (0 of 30)" in note
    needed = outcome.slices[1].needed
    assert 10 < needed <= 30
    assert f"about {needed} of a slice" in note
    assert "sampling.slice_minimum" in note


def test_items_that_people_labelled_for_want_of_a_machine_label_are_right_in_their_slice():
    data = frame()
    truth, eps, of = wrong_answers(data), risks(data), slice_of()
    pilot, rows = waves(data, eps, [of_slices(25)], labels=360)
    said = [answered(data, pilot, 0, truth), answered(data, rows, 1, truth)]
    outcome = estimating.estimate(
        population(data, eps, of), said, KEY, 0.05, failed=np.array([0, 1, 1]), slice_names=(*NAMES, "gone"),
        failed_slice=np.array([2, 2, 3]),
    )  # fmt: skip
    tiny, gone = outcome.slices[2].part, outcome.slices[3]
    assert (tiny.items, tiny.reviewed, tiny.corrected.value) == (7, 7, 1.0)
    assert tiny.shares[0].value == pytest.approx(((truth[of == 2] == 0).sum() + 1) / 7)
    assert (gone.part.items, gone.part.machine, gone.needed) == (1, None, 0)
    assert not any("gone" in note for note in outcome.notes)


def test_shares_are_left_out_where_there_would_be_too_many(monkeypatch):
    data = frame()
    truth, eps = wrong_answers(data), risks(data)
    pilot, rows = waves(data, eps, [of_slices(25)])
    said = [answered(data, pilot, 0, truth), answered(data, rows, 1, truth)]
    monkeypatch.setattr(parts, "MOST_SHARES", 5)
    outcome = estimating.estimate(population(data, eps), said, KEY, 0.05, failed=NOBODY, slice_names=NAMES)
    assert all(each.part.shares == () and each.part.machine for each in outcome.slices)


def test_an_audit_after_covers_is_not_pooled_with_the_pilot():
    data = frame()
    truth, eps = wrong_answers(data), risks(data)
    told = []
    for minima in ([], [of_slices(25)]):
        pilot, rows = waves(data, eps, minima)
        said = [answered(data, pilot, 0, truth), answered(data, rows, 1, truth)]
        told.append(len(judging.sampled(frozen(data, eps), said)[0]))
    assert told == [80, 40]


def frozen(data, eps):
    return risking.Risks(
        machine=data.label, final=data.label, machine_risk=eps, risk=eps,
        probabilities=np.full((data.size, 2), np.nan), fold=np.zeros(data.size, dtype=np.int64), flips=False,
        outcome=data.outcome, u=data.u, shard=data.shard, ids=data.ids,
    )  # fmt: skip


def written(store, uri, rows, **parameters):
    content = pa.Table.from_pylist(rows, schema=schemas.ITEMS)
    ref = tables.write_table(store, tables.shard_key(uri, 0), content, schemas.ITEMS, shard=0)
    manifest = artifacts.Manifest(
        uri=uri, table="items", version=schemas.version_of(schemas.ITEMS), objects=(ref,),
        code_version="test", parameters=parameters, shards=1,
    )  # fmt: skip
    artifacts.write_manifest(store, manifest)
    return uri


def test_slices_are_read_in_the_order_of_the_pool(tmp_path):
    store = folder.FolderStore(tmp_path)
    rows = [
        {"item_id": "a", "text": "x", "split": "pool", "u": 0.1, "slice": "nord"},
        {"item_id": "b", "text": "x", "split": "pool", "u": 0.2, "slice": None},
        {"item_id": "c", "text": "x", "split": "test", "u": 0.3, "slice": "süd"},
        {"item_id": "d", "text": "x", "split": "pool", "u": 0.4, "slice": "nord"},
    ]
    uri = written(store, "items", rows, slices={"nord": 2, "süd": 0})
    found = slices.read(store, uri, pa.array(["d", "b", "a"]))
    assert (found.names, found.of.tolist()) == (("nord", "süd"), [0, -1, 0])
    assert slices.read(store, written(store, "none", rows), pa.array(["a"])) is None

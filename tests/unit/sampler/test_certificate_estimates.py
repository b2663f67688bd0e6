"""What a certificate's answers tell an estimate: each mode, by simulation with frozen risks."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from actuary.sampler import certifying, estimating, people, phases
from actuary.stats import draws, prn

SIZE, PILOT, REPLAYS = 300, 40, 400
CLASSES = ("no", "yes")
IDS = pa.array([f"item-{k:03d}" for k in range(SIZE)])


def world():
    """Labels, risks and truth that stay while keys change: the critic is useful and overconfident."""
    rng = np.random.default_rng(3)
    risk = rng.beta(0.6, 2.0, SIZE)
    wrong = rng.random(SIZE) < np.clip(1.3 * risk, 0.0, 0.9)
    final = rng.integers(0, 2, SIZE)
    return risk, wrong, final


RISK, WRONG, FINAL = world()


def wave_of(number, rows, proof, label, answered=None):
    """A plan's rows with people's answers."""
    at = np.concatenate([*rows.at, np.empty(0, np.int64)])
    said = label[at] if answered is None else np.where(np.isin(at, answered), label[at], -1)
    return people.Wave(
        number=number,
        ids=IDS.take(pa.array(at)),
        stratum=pa.array(rows.stratum, pa.string()),
        s=np.concatenate([*rows.s, np.empty(0)]),
        order=np.concatenate([*rows.order, np.empty(0)]),
        tau=math.inf,
        label=said,
        proof=proof,
    )


def replay(seed, guarantee, stop=None):
    """One campaign: pilot, then the plans of a certificate; what the estimate says of the errors."""
    key = prn.project_key(seed)
    truth = np.where(WRONG, 1 - FINAL, FINAL)
    u = prn.uniform(IDS.to_pylist(), key)
    drawn = draws.srs(u, PILOT)
    at = np.flatnonzero(drawn.selected)
    pilot = people.Wave(
        number=0, ids=IDS.take(pa.array(at)), stratum=pa.array(["pilot"] * PILOT), s=np.ones(PILOT),
        order=u[at], tau=math.inf, label=truth[at],
    )  # fmt: skip
    known = drawn.selected
    pool = certifying.Pool(
        ids=IDS, final=FINAL, risk=RISK, known=known, charged=np.zeros(SIZE, dtype=np.bool_), classes=CLASSES,
        key=key,
    )  # fmt: skip
    frozen = certifying.freeze(pool, certifying.Wishes(alpha=0.05, wave=1, **guarantee))
    orders = certifying.orders(pool, frozen)
    proof = "classes" if guarantee.get("per_class") else guarantee["mode"]
    waves, label = [pilot], np.full(SIZE, -1, dtype=np.int64)
    for number in range(10):
        rows = certifying.rows(pool, frozen, orders, label, number)
        if not rows.at:
            break
        planned = np.concatenate(rows.at)
        answered = planned if stop is None else planned[: int(stop * len(planned))]
        waves.append(wave_of(number + 1, rows, proof, truth, answered))
        label[answered] = truth[answered]
        if stop is not None:
            break
    population = phases.Population(
        ids=IDS, machine=FINAL, final=FINAL, machine_risk=RISK, risk=RISK,
        soft=np.where(np.arange(2) == FINAL[:, None], 1.0 - RISK[:, None], RISK[:, None]),
    )  # fmt: skip
    return estimating.estimate(population, waves, key, 0.05, failed=np.empty(0, dtype=np.int64))


GUARANTEES = {
    "budget": ({"mode": "budget", "labels": 120, "looks": (50,)}, None),
    "budget, people stop above the cut": ({"mode": "budget", "labels": 120, "looks": (50,)}, 0.7),
    "target": ({"mode": "target", "labels": 250, "looks": (80,), "target": 0.15}, None),
    "target, looks": ({"mode": "target", "labels": 250, "looks": (30, 60, 120), "target": 0.15}, None),
    "classes": ({"mode": "budget", "labels": 120, "looks": (60,), "per_class": True}, None),
}


@pytest.mark.parametrize("name", GUARANTEES)
def test_estimates_from_the_answers_of_a_certificate_are_unbiased_and_cover(name):
    guarantee, stop = GUARANTEES[name]
    true = 1.0 - WRONG.mean()
    found = [replay(seed, guarantee, stop).machine for seed in range(REPLAYS)]
    values = np.array([each.value for each in found])
    # four standard errors of the mean: a true estimator is refused once in 16,000
    assert abs(values.mean() - true) < 4.0 * values.std(ddof=1) / math.sqrt(REPLAYS)
    covered = np.mean([each.low <= true <= each.high for each in found])
    assert covered > 0.95 - 4.0 * math.sqrt(0.95 * 0.05 / REPLAYS)

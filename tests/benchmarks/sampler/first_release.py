"""What the first release made of the same labels; run by `bench_campaigns` with that release on the path.

Usage: first_release.py GIVEN FOUND, both .npz. A pilot, Platt scaling of the critic's score, flips where the
whole of them provably pays, a uniform audit, and the most suspicious of what it left: the rule that was the
default then. Keys are those of `politeness.begin`, so that a seed's pilot is the one that other recipes have.
"""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa

from actuary.sampler import estimating, frames, people, planning, risking
from actuary.stats import prn

ALPHA = 0.05


def wave(number: int, ids: pa.Array, rows: planning.Rows, human: np.ndarray) -> people.Wave:
    """A plan with everybody's answers."""
    at = np.concatenate(rows.at)
    return people.Wave(
        number=number,
        ids=ids.take(pa.array(at)),
        stratum=pa.array(rows.stratum, pa.string()),
        s=np.concatenate(rows.s),
        order=np.concatenate(rows.order),
        tau=float("inf"),
        label=human[at],
    )


def play(frame: frames.Frame, seed: int, human: np.ndarray, pilot: int, labels: int, audits: list[int]):
    """Plays one campaign to the end with several audits: final labels, weights, interval of the accuracy."""
    key = prn.project_key(seed)
    ids = frame.ids.to_pylist()
    frame = frames.Frame(
        **{name: getattr(frame, name) for name in frame.__slots__ if name != "u"},
        u=prn.uniform(ids, prn.derive_key(key, "items")),
    )

    def wishes(number: int, wanted: int, audit: int) -> planning.Wishes:
        return planning.Wishes(
            wave=number,
            labels=wanted,
            audit=audit,
            rule="threshold",
            beta=10.0,
            failed_share=0.0,
            double_share=0.0,
            key=key,
        )

    first = planning.pilot(frame, wishes(0, pilot, 0))
    known = np.zeros(frame.size, dtype=bool)
    known[np.concatenate(first.at)] = True
    model = risking.fit(frame, np.where(known, human, -1), key, ALPHA)
    risks = risking.price(frame, model, key)
    population = estimating.Population(
        ids=risks.ids,
        machine=risks.machine,
        final=risks.final,
        machine_risk=risks.machine_risk,
        risk=risks.risk,
    )
    soft = risks.probabilities / risks.probabilities.sum(axis=1, keepdims=True)
    for audit in audits:
        asked = wishes(1, labels - pilot, audit)
        second = planning.wave(frame, risks.risk, known, first.constants["tau"], asked)
        waves = [wave(0, frame.ids, first, human), wave(1, frame.ids, second, human)]
        outcome = estimating.estimate(population, waves, key, ALPHA, failed_labelled=0)
        g = np.full(frame.size, np.nan)
        g[frames.indices(frame.ids, outcome.ids)] = outcome.g
        corrected = outcome.corrected
        yield risks.final, g, soft, (corrected.value, corrected.low, corrected.high)


def main() -> None:
    """Reads, plays, writes."""
    given = np.load(sys.argv[1])
    size = len(given["label"])
    frame = frames.Frame(
        ids=pa.array(given["ids"].tolist()),
        shard=np.zeros(size, dtype=np.int64),
        u=np.full(size, 0.5),
        outcome=pa.array(["LABELLED"] * size),
        label=given["label"],
        confidence=given["confidence"],
        probabilities=given["probabilities"],
        raw_score=given["score"],
    )
    audits = given["audits"].tolist()
    found = [
        list(play(frame, int(seed), human, int(given["pilot"]), int(given["labels"]), audits))
        for seed, human in zip(given["seeds"], given["human"], strict=True)
    ]
    np.savez(
        sys.argv[2],
        final=np.array([[each[0] for each in run] for run in found]),
        g=np.array([[each[1] for each in run] for run in found]),
        soft=np.array([run[0][2] for run in found]),
        corrected=np.array([[each[3] for each in run] for run in found]),
    )


if __name__ == "__main__":
    main()

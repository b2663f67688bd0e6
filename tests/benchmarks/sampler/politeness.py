"""The politeness data, and campaigns played on it by the sampler's own functions; no benchmark by itself.

GPT-4o said of 5,480 requests whether they are polite, and how sure it is; people say it is wrong on 30.4 %.
The column of its confidence is read as the probability of "polite": of 1,450 requests that it calls impolite
955 have less than one half there, and so read, raw confidence has the accuracies of table T1.

A campaign here is what the service does between reading and writing: a pilot, a risk model, risks and flips,
a wave, and what may be estimated. People answer at once and make no mistakes.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import pathlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from actuary.sampler import frames, people, phases, planning, risking
from actuary.stats import prn, robust, weighing

DATA = pathlib.Path(__file__).parents[4] / "shared/data/politeness-gpt4o/politeness.csv"

CAMPAIGN_ALPHA = 0.05


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """N requests."""

    frame: frames.Frame
    human: frames.Longs
    """What people said, 1 for polite, [N]."""
    text: npt.NDArray[np.object_]
    given: frames.Floats
    """The 21 features of the data set, [N, 21]."""

    @property
    def wrong(self) -> frames.Bools:
        """d, [N]."""
        return self.human != self.frame.label

    @property
    def raw(self) -> frames.Floats:
        """The risk that GPT-4o itself claims, 1 - confidence, [N]."""
        return 1.0 - self.frame.confidence

    def take(self, rows: frames.Longs) -> Data:
        """Some of the requests, as a pool of their own."""
        frame = self.frame
        return Data(
            frame=frames.Frame(
                ids=frame.ids.take(pa.array(rows)),
                shard=frame.shard[rows],
                u=frame.u[rows],
                outcome=frame.outcome.take(pa.array(rows)),
                label=frame.label[rows],
                confidence=frame.confidence[rows],
                probabilities=frame.probabilities[rows],
                scores={name: score[rows] for name, score in frame.scores.items()},
                length=frame.length[rows],
            ),
            human=self.human[rows],
            text=self.text[rows],
            given=self.given[rows],
        )


def read(benchmark: str) -> Data | None:
    """Reads the data, or says by a line of its own that the benchmark is left out, and returns None."""
    if not DATA.exists():
        print(json.dumps({"benchmark": benchmark, "skipped": f"no data at {DATA.name}"}))
        return None
    with DATA.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    label = np.array([int(row["Prediction_gpt-4o"] == "polite") for row in rows])
    polite = np.array([float(row["Confidence_gpt-4o"]) for row in rows])
    probabilities = np.stack([1 - polite, polite], axis=1)
    confidence = probabilities[np.arange(len(rows)), label]
    ids = [f"item-{number:05d}" for number in range(len(rows))]
    frame = frames.Frame(
        ids=pa.array(ids),
        shard=np.zeros(len(rows), dtype=np.int64),
        u=prn.uniform(ids, prn.project_key(0)),
        outcome=pa.array(["LABELLED"] * len(rows)),
        label=label,
        confidence=confidence,
        probabilities=probabilities,
        scores={"confidence": 1 - confidence},
        length=np.array([float(len(row["Text"])) for row in rows]),
    )
    return Data(
        frame=frame,
        human=np.array([int(row["Prediction_human"]) for row in rows]),
        text=np.array([row["Text"] for row in rows], dtype=object),
        given=np.array([[float(row[f"Feature_{k}"]) for k in range(1, 22)] for row in rows]),
    )


def further(data: Data) -> frames.Floats:
    """The data set's 21 features and 50 directions of the words, [N, 71]."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(min_df=3, sublinear_tf=True).fit_transform(data.text)
    return np.hstack([data.given, TruncatedSVD(50, random_state=0).fit_transform(words)])


def pilot_size(labels: int) -> int:
    """n0 of algorithms.md 3.1."""
    return int(np.clip(labels // 2, 100, 500))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A campaign whose pilot was labelled."""

    data: Data
    frame: frames.Frame
    """With permanent random numbers of its own."""
    key: bytes
    model: risking.Model
    risks: risking.Risks
    pilot: planning.Rows

    @property
    def known(self) -> frames.Bools:
        """Items of the pilot, [N]."""
        return reviewed(self.frame.size, [self.pilot])

    def flipped(self, *, always: bool = False) -> tuple[frames.Longs, frames.Floats]:
        """Labels and their risks after flips: by 8.4, or wherever the risk is above one half."""
        if not always:
            return self.risks.final, self.risks.risk
        eps = self.risks.machine_risk
        return np.where(eps > 0.5, 1 - self.risks.machine, self.risks.machine), np.minimum(eps, 1.0 - eps)

    def wave(
        self, labels: int, weigh: weighing.Weighing, audit: int = 0, eps: frames.Floats | None = None
    ) -> planning.Rows:
        """Draws wave 1 of so many labels, by the risks after flips or others."""
        wishes = _wishes(1, labels, self.key, weigh, audit)
        tau = self.pilot.constants["tau"]
        return planning.wave(self.frame, self.risks.risk if eps is None else eps, self.known, tau, wishes)

    def tuned(self, weigh: weighing.Weighing, labels: int) -> weighing.Weighing:
        """Chooses gamma on the pilot for a wave of so many labels, as a campaign does that names none."""
        if weigh.rule not in ("square-root", "hybrid"):
            return weigh
        known, risks = self.known, self.risks
        wrong = self.data.human[known] != risks.final[known]
        return dataclasses.replace(weigh, gamma=robust.tune_gamma(risks.risk, known, wrong, labels))

    def waves(self, drawn: planning.Rows, weigh: weighing.Weighing) -> list[people.Wave]:
        """Pilot and wave 1 with people's answers."""
        return [
            _answered(self, number, rows, weigh) for number, rows in enumerate((self.pilot, drawn)) if rows.at
        ]

    def population(self) -> phases.Population:
        """What the estimates are about."""
        risks = self.risks
        return phases.Population(
            ids=risks.ids,
            machine=risks.machine,
            final=risks.final,
            machine_risk=risks.machine_risk,
            risk=risks.risk,
            soft=risks.soft(np.arange(self.frame.size)),
        )


def _wishes(wave: int, labels: int, key: bytes, weigh: weighing.Weighing, audit: int) -> planning.Wishes:
    return planning.Wishes(
        wave=wave, labels=labels, audit=audit, weighing=weigh, failed_share=0.0, double_share=0.0, key=key
    )


def begin(data: Data, seed: int, pilot: int) -> Campaign:
    """Draws and labels the pilot, fits the risk model and prices every label."""
    key = prn.project_key(seed)
    u = prn.uniform(data.frame.ids.to_pylist(), prn.derive_key(key, "items"))
    frame = dataclasses.replace(data.frame, u=u)
    rows = planning.pilot(frame, _wishes(0, pilot, key, weighing.Weighing(rule="threshold"), 0))
    label = np.where(reviewed(frame.size, [rows]), data.human, -1)
    model = risking.fit(frame, label, key, CAMPAIGN_ALPHA)
    risks = risking.price(frame, model, key)
    return Campaign(data=data, frame=frame, key=key, model=model, risks=risks, pilot=rows)


def _answered(campaign: Campaign, number: int, rows: planning.Rows, weigh: weighing.Weighing) -> people.Wave:
    at = np.concatenate(rows.at)
    taus = [tau for tau, stratum in zip(rows.tau, rows.stratum, strict=True) if stratum == "drawn"]
    return people.Wave(
        number=number,
        ids=campaign.frame.ids.take(pa.array(at)),
        stratum=pa.array(rows.stratum, pa.string()),
        s=np.concatenate(rows.s),
        order=np.concatenate(rows.order),
        tau=taus[0] if taus else float("inf"),
        label=campaign.data.human[at],
        weighing=weigh,
    )


def reviewed(size: int, rows: Sequence[planning.Rows]) -> frames.Bools:
    """Which items some plans take, [N]."""
    found = np.zeros(size, dtype=np.bool_)
    for each in rows:
        for at in each.at:
            found[at] = True
    return found


def report(benchmark: str, values: Sequence[float], document: float | None, **more: object) -> None:
    """Prints one line: the mean of a figure over runs, its standard error, and the document's figure."""
    found = np.asarray(values, dtype=np.float64)
    error = found.std(ddof=1) / np.sqrt(found.size) if found.size > 1 else 0.0
    line = {
        "benchmark": benchmark,
        "value": round(float(found.mean()), 5),
        "document": document,
        "se": round(float(error), 5),
        "runs": found.size,
        **more,
    }
    print(json.dumps(line), flush=True)

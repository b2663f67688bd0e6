"""Whole campaigns over many seeds: ways to spend the wave at one budget, beside the first release.

Usage: bench_campaigns.py [seeds] [trained]. Of the digits sample annotations and critiques do not depend on
the seed: one campaign makes them, through the command line, and pilot, risks, plan, answers, estimate and
training are then played with other seeds by the functions that its Jobs call. Politeness is played at 5, 10
and 20 % of the labels. The first release's are those of its own functions, taken from the history of this
checkout; where that lacks them a line says so.

`accuracy` is that of the corrected labels against the truth, `width` and `coverage` are of the interval for
it at 95 %, whose estimand is agreement with the reviewers (2 % of the played digits' answers are wrong), and
`test_accuracy` is that of the linear model trained on the mixture, of the first `trained` seeds.
`better_by` is the mean difference from the first release with its own default, seed by seed.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
from typing import Any

import numpy as np
import politeness
import pyarrow as pa

from actuary.campaign import policy as campaign_policy
from actuary.campaign import requests, samples
from actuary.sampler import estimating, frames, judging
from actuary.stats import played, weighing
from actuary.storage import artifacts, folder, tables
from actuary.trainer import features, policy, trial

ROOT = pathlib.Path(__file__).parents[3]
FIRST = "7a7e8037ecd39da44a7ab932ac61d15a816c4914"
"""The first commit that ran a whole campaign."""
CLASSES = tuple(str(digit) for digit in range(10))
DIGITS = {"pilot": 60, "labels": 255}
SHARES = (0.05, 0.10, 0.20)
FIGURES = ("accuracy", "width", "coverage", "test_accuracy")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a campaign spends what its pilot leaves."""

    rule: str
    audit: float = 0.0
    """Share of it that is a uniform audit."""
    drawn: float = 0.3
    """Share of it that the hybrid rule draws."""


RECIPES = {
    "threshold, audit .4": Recipe(rule="threshold", audit=0.4),
    "threshold, audit .2": Recipe(rule="threshold", audit=0.2),
    "hybrid .2": Recipe(rule="hybrid", drawn=0.2),
    "hybrid .3": Recipe(rule="hybrid", drawn=0.3),
    "hybrid .4": Recipe(rule="hybrid", drawn=0.4),
    "hybrid .5": Recipe(rule="hybrid", drawn=0.5),
}
TRAINED = ("threshold, audit .4", "hybrid .3", "hybrid .4", "first release")
EARLIER = {"first release": 0.4, "first release, audit of the sample": 100 / 195}
"""Its recipes by the share of the audit: its default, and what its digits sample asked for."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """N items that can be played with any seed, and what a model needs."""

    name: str
    data: politeness.Data
    """Its `human` is the truth."""
    error_rate: float
    """Of the played reviewers."""
    inputs: tuple[Any, Any] | None = None
    """Pixels of pool and test set."""
    test: frames.Longs | None = None

    def answers(self, seed: int) -> frames.Longs:
        """What the reviewers say of every item, [N]."""
        truth = self.data.human
        if not self.error_rate:
            return truth
        ids = self.data.frame.ids.to_pylist()
        said = [
            played.answer(
                item_id=item,
                truth=CLASSES[label],
                ordinal=0,
                classes=CLASSES,
                seed=seed,
                error_rate=self.error_rate,
            )
            for item, label in zip(ids, truth, strict=True)
        ]
        return np.array([CLASSES.index(each) for each in said])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """How a campaign ended."""

    final: frames.Longs
    """The machine's labels after flips, [N]."""
    g: frames.Floats
    """Weights of people's labels, [N]; NaN where they gave none."""
    soft: frames.Floats
    """The machine's class targets, [N, K]."""
    interval: tuple[float, float]
    """Of the corrected accuracy."""


def digits(place: pathlib.Path) -> Pool:
    """Annotates and criticises the sample, by a campaign of the command line."""
    command = [sys.executable, "-m", "actuary.cli.main", "run", "digits", "--json", "--data", str(place)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    store, uris = folder.FolderStore(place / "store"), requests.Artifacts("campaigns/digits")
    frame = frames.load(
        store,
        items=uris.items,
        annotations=uris.waves(campaign_policy.Kind.ANNOTATE, 1),
        critiques=uris.waves(campaign_policy.Kind.CRITIQUE, 1),
        classes=CLASSES,
        features=True,
    )
    truth = tables.read_all(store, artifacts.read_manifest(store, uris.truth)[0])
    at = frames.indices(truth["item_id"].combine_chunks(), frame.ids)
    label = frames.indices(pa.array(CLASSES), truth["label"])[at]
    rows = pa.Table.from_batches([samples.digits()])
    content = rows.append_column("text", pa.nulls(rows.num_rows, pa.string()))
    pool = content.take(pa.array(frames.indices(content["item_id"].combine_chunks(), frame.ids)))
    test = content.filter(pa.compute.equal(content["split"], "test"))
    nothing = np.empty(frame.size, dtype=object)
    return Pool(
        name="digits",
        data=politeness.Data(frame=frame, human=label, text=nothing, given=np.empty((frame.size, 0))),
        error_rate=0.02,
        inputs=features.extract("linear", pool, test),
        test=frames.indices(pa.array(CLASSES), test["label"]),
    )


def play(campaign: politeness.Campaign, labels: int, recipe: Recipe) -> Played:
    """Plans a wave as the campaign's Job does, has it answered and estimates."""
    left = labels - int(campaign.known.sum())
    audit = round(recipe.audit * left)
    asked = weighing.Weighing(rule=recipe.rule, audit_share=recipe.drawn)
    asked = campaign.tuned(asked, left - audit)
    rule, _ = judging.follow(campaign.model.worth, asked.rule, campaign.model.reason)
    weigh = dataclasses.replace(asked, rule=rule)
    waves = campaign.waves(campaign.wave(left, weigh, audit=audit), weigh)
    population = campaign.population()
    outcome = estimating.estimate(
        population, waves, campaign.key, politeness.CAMPAIGN_ALPHA, failed=np.empty(0, int)
    )
    g = np.full(campaign.frame.size, np.nan)
    g[frames.indices(population.ids, outcome.ids)] = outcome.g
    return Played(
        final=population.final,
        g=g,
        soft=population.soft,
        interval=(outcome.corrected.low, outcome.corrected.high),
    )


def earlier(pool: Pool, seeds: int, pilot: int, labels: int, place: pathlib.Path) -> dict[str, list[Played]]:
    """The first release's campaigns."""
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", FIRST, "services/actuary"], capture_output=True, check=False
    )
    if archive.returncode:
        print(json.dumps({"benchmark": "sampler.campaign_first_release", "skipped": f"no commit {FIRST}"}))
        return {}
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as packed:
        packed.extractall(place / "first", filter="data")
    frame = pool.data.frame
    np.savez(
        place / "given.npz",
        ids=np.array(frame.ids.to_pylist()),
        label=frame.label,
        confidence=frame.confidence,
        probabilities=frame.probabilities,
        score=next(iter(frame.scores.values())),
        human=np.array([pool.answers(seed) for seed in range(seeds)]),
        seeds=np.arange(seeds),
        pilot=pilot,
        labels=labels,
        audits=np.array([round(share * (labels - pilot)) for share in EARLIER.values()]),
    )
    script = pathlib.Path(__file__).with_name("first_release.py")
    subprocess.run(
        [sys.executable, str(script), str(place / "given.npz"), str(place / "found.npz")],
        env={**os.environ, "PYTHONPATH": str(place / "first/services")},
        check=True,
    )
    found = np.load(place / "found.npz")
    return {
        name: [
            Played(
                final=found["final"][seed, number],
                g=found["g"][seed, number],
                soft=found["soft"][seed],
                interval=tuple(found["corrected"][seed, number, 1:]),
            )
            for seed in range(seeds)
        ]
        for number, name in enumerate(EARLIER)
    }


def judged(pool: Pool, seed: int, run: Played) -> dict[str, float]:
    """Figures of a campaign; without that of a trained model."""
    human, reviewed = pool.answers(seed), ~np.isnan(run.g)
    label = np.where(reviewed, human, run.final)
    low, high = run.interval
    agreement = float((label == human).mean())
    return {
        "accuracy": float((label == pool.data.human).mean()),
        "width": high - low,
        "coverage": float(low - 1e-9 <= agreement <= high + 1e-9),
    }


def trained(pool: Pool, seed: int, run: Played) -> float:
    """Test accuracy of the linear model trained on the mixture with default λ and W."""
    reviewed = ~np.isnan(run.g)
    x, test_x = pool.inputs
    data = trial.TrainingData(
        x=x,
        machine=pool.data.frame.label,
        soft=run.soft,
        human=np.where(reviewed, pool.answers(seed), -1),
        g=np.where(reviewed, run.g, 0.0),
        everyone=None,
        test_x=test_x,
        test_y=pool.test,
    )
    return trial.run_trial(policy.Trial(model="linear", labels="act", seed=seed), data).accuracy


def measure(pool: Pool, pilot: int, labels: int, seeds: int, learnt: int, place: pathlib.Path) -> None:
    """Plays every recipe at one budget and prints its figures."""
    runs = earlier(pool, seeds, pilot, labels, place)
    campaigns = [
        politeness.begin(dataclasses.replace(pool.data, human=pool.answers(seed)), seed, pilot)
        for seed in range(seeds)
    ]
    runs |= {name: [play(each, labels, recipe) for each in campaigns] for name, recipe in RECIPES.items()}
    found: dict[str, list[dict[str, float]]] = {}
    for name, played_runs in runs.items():
        found[name] = [judged(pool, seed, run) for seed, run in enumerate(played_runs)]
        if pool.inputs is not None and name in TRAINED:
            for seed in range(learnt):
                found[name][seed]["test_accuracy"] = trained(pool, seed, played_runs[seed])
    base = found.get("first release")
    for name, figures in found.items():
        for figure in FIGURES:
            values = np.array([each[figure] for each in figures if figure in each])
            if not values.size:
                continue
            about: dict[str, Any] = {"data": pool.name, "labels": labels, "pilot": pilot, "recipe": name}
            if base is not None and name != "first release" and figure in base[0]:
                before = np.array([each[figure] for each in base if figure in each])
                by = (before - values) if figure == "width" else (values - before)
                about["better_by"] = round(float(by.mean()), 5)
                about["better_by_se"] = round(float(by.std(ddof=1) / np.sqrt(by.size)), 5)
            seen = f"0..{values.size - 1}"
            politeness.report(f"sampler.campaign_{figure}", values, None, **about, seeds=seen)


def main() -> None:
    """Prints JSON lines."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    learnt = min(seeds, int(sys.argv[2]) if len(sys.argv) > 2 else 20)
    with tempfile.TemporaryDirectory() as name:
        place = pathlib.Path(name)
        measure(digits(place / "data"), DIGITS["pilot"], DIGITS["labels"], seeds, learnt, place)
        data = politeness.read("sampler.campaign")
        if data is None:
            return
        pool = Pool(name="politeness", data=data, error_rate=0.0)
        for share in SHARES:
            labels = round(share * data.frame.size)
            measure(pool, politeness.pilot_size(labels), labels, seeds, 0, place)


if __name__ == "__main__":
    main()

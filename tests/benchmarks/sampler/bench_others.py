"""What others do with the same labels: CDI's rule, PAC labelling's bound, GLIDE's samplers.

Usage: bench_others.py [seeds]. Politeness, at a total budget of a tenth of the labels, whatever each method
wants for its pilot inside it. `rmse` is that of the share of polite requests, `accuracy` that of the labels
after those reviewed are corrected, `coverage` of the method's own 95 % interval. PAC labelling is compared by
the human share that it needs for at most 5 % of errors, the pilot counted.

GLIDE needs Python 3.12 and half a gigabyte of packages: uv puts it into an environment of its own in a
temporary folder, as tests/contract/libraries does. Its cost-optimal sampler is not here: where the machine's
labels are paid for already its probabilities are those of the active one.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
import politeness

from actuary.sampler import boosting, phases
from actuary.stats import (
    audits,
    certificates,
    choice,
    designs,
    draws,
    estimates,
    intervals,
    placing,
    risk,
    robust,
    rules,
    shares,
    weighing,
)

ROOT = pathlib.Path(__file__).parents[3]
BUDGET = 0.1
TARGET, ALPHA, AUDIT, PILOT, CUTS = 0.05, 0.05, 500, 500, 100
GLIDE = "glide-py==0.11.0"
SCRIPT = """
import json, sys, numpy as np
from glide import samplers, estimators
given = json.load(sys.stdin)
y, hard = np.array(given["y"], float), np.array(given["f"], float)
found = []
for job in given["jobs"]:
    f, n, seed = np.array(job.get("f", hard)), job["n"], job["seed"]
    at = np.array(job.get("at", range(len(y))))
    if job["sampler"] == "uniform":
        xi = samplers.UniformSampler().sample(len(at), n, random_seed=seed)
        seen = np.where(xi == 1, y[at], np.nan)
        result = estimators.PPIMeanEstimator().estimate(seen, f)
    elif job["sampler"] == "stratified":
        groups = np.array(given["groups"])
        xi = samplers.StratifiedSampler().sample(f, groups, n, random_seed=seed)
        seen = np.where(xi == 1, y[at], np.nan)
        result = estimators.StratifiedPPIMeanEstimator().estimate(seen, f, groups)
    else:
        pi, xi = samplers.ActiveSampler().sample(np.array(job["uncertainty"]), n, random_seed=seed)
        kept = ~np.isnan(xi)
        seen = np.where(xi[kept] == 1, y[at][kept], np.nan)
        result = estimators.ASIMeanEstimator().estimate(seen, f[kept], pi[kept])
    found.append([float(result.mean), float(result.std), at[np.flatnonzero(xi == 1)].tolist()])
print(json.dumps(found))
"""


def ours(data: politeness.Data, seed: int, labels: int, pilot: int, rule: str) -> dict[str, float]:
    """A campaign's accuracy, and its estimate of the share of polite requests."""
    campaign, weigh = politeness.begin(data, seed, pilot), weighing.Weighing(rule=rule, audit_share=0.3)
    drawn = campaign.wave(labels - pilot, weigh)
    population = campaign.population()
    rows = phases.rows(
        phases.of_waves(population, campaign.waves(drawn, weigh), campaign.key),
        placing.robust_variance(population.risk),
    )
    share = shares.of_items(rows.of_class(1, population.soft[:, 1], 0.05), data.frame.size)
    taken = politeness.reviewed(data.frame.size, [campaign.pilot, drawn])
    return judged(data, share.value, share.low, share.high, (population.final == data.human) | taken)


def judged(data: politeness.Data, value: float, low: float, high: float, right: Any) -> dict[str, float]:
    """The figures of one run."""
    truth = float(data.human.mean())
    covers = low - 1e-9 <= truth <= high + 1e-9
    return {"off": value - truth, "coverage": float(covers), "accuracy": float(right.mean())}


def cdi(data: politeness.Data, seed: int, labels: int, pilot: int) -> dict[str, float]:
    """Trees on confidence alone after a pilot, CDI's rule by independent draws, hard machine labels.

    Pilot and draw are combined as our phases are; in the published code the pilot's labels are in the
    estimate, too.
    """
    rng = np.random.default_rng([5, seed])
    size, u = data.frame.size, rng.random(data.frame.size)
    first = draws.srs(u, pilot).selected
    x = risk.logit(data.frame.confidence)[:, None]
    grow = choice.Candidate(
        kind="trees", columns=(0,), fit=lambda features, err: boosting.fit(features, err, [0])
    )
    predicted = choice.fit_or_constant(grow, x[first], data.wrong[first]).predict(x)
    rest = ~first
    rule = robust.pi_cdi(predicted[rest], labels - pilot)
    second = np.zeros(size, dtype=bool)
    second[rest] = draws.draw_poisson(rule.pi, rng.random(int(rest.sum())))
    pi = np.ones(size)
    pi[rest] = rule.pi
    wave = placing.Phase(
        name="wave", kind="priority", population=int(rest.sum()), certain=0, sampled=int(second.sum()),
        tau=1.0,
    )  # fmt: skip
    before = placing.Phase(name="pilot", kind="srs", population=size, certain=0, sampled=pilot, tau=None)
    v = np.maximum(predicted, 1e-3)
    variances = [
        placing.predicted_variance(before, v), placing.predicted_variance(wave, v[rest], rule.pi)
    ]  # fmt: skip
    taken = np.concatenate([np.flatnonzero(first), np.flatnonzero(second)])
    f = data.frame.label.astype(float)
    sample = estimates.Sample.of(
        phase=np.repeat([0, 1], [pilot, int(second.sum())]),
        pi=np.concatenate([np.full(pilot, pilot / size), pi[second]]),
        wrong=data.human[taken] == 1,
        eps=f[taken],
    )
    design = designs.combine([before, wave], variances)
    share = shares.of_items(shares.total(design, sample, float(f.sum())), size)
    return judged(data, share.value, share.low, share.high, ~data.wrong | first | second)


def pac(data: politeness.Data, seed: int, *, betting: bool) -> tuple[float, bool]:
    """Human share for at most 5 % of errors, and whether more are left; the pilot, ranks and flips are ours.

    PAC labelling audits K items drawn with replacement, bounds L(u) = 1/N Σ d 1[U < u] by betting on
    x = d 1[U < u], and reviews all from the largest u on whose bound, and those of all smaller u, meet the
    target. L rises with u, so that no level is lost by looking at many. Ours is the exact test of
    `certificates` with as many audits.

    References:
        Candès, Ilyas, Zrnic (2025), Probably approximately correct labels, arXiv 2506.10908, section 2.
    """
    campaign = politeness.begin(data, seed, PILOT)
    rest = np.flatnonzero(~campaign.known)
    label, eps = campaign.flipped(always=True)
    wrong, items = (label != data.human)[rest], rest.size
    rng = np.random.default_rng([9, seed])
    order = rules.risk_order(eps[rest], rng.random(items))[::-1]
    wrong = wrong[order]
    if betting:
        cuts = [round(j * items / CUTS) for j in range(1, CUTS + 1)]
        at = rng.integers(0, items, AUDIT)
        passed = 0
        for cut in cuts:
            x = (wrong[at] & (at < cut)).astype(float)
            if 1.0 - intervals.betting_lower(1.0 - x, ALPHA) > TARGET:
                break
            passed = cut
        # what is audited is corrected as well
        looked = np.unique(at)
        left = wrong[:passed].sum() - wrong[looked[looked < passed]].sum()
        reviewed = items - passed + int((looked < passed).sum())
        return (reviewed + PILOT) / data.frame.size, bool(left > TARGET * items)
    design = certificates.target_design(
        population=items, eligible=items, labels=items, target=TARGET, looks=[AUDIT], alpha1=0.04, alpha2=0.01
    )
    at = rng.permutation(items)[:AUDIT]
    no = np.zeros(AUDIT, dtype=bool)
    found = [audits.tally(at, wrong[at], no, no, design.cuts)]
    decision, claim = audits.decide(design, found, None), audits.conclude(design, found, 0)
    left = wrong[: claim.cut].sum() - claim.wrong
    return (decision.labels + PILOT) / data.frame.size, bool(left > TARGET * items)


def glide() -> pathlib.Path | None:
    """The interpreter of an environment that has GLIDE; None where it cannot be had, which a line says."""
    uv = shutil.which("uv") or str(ROOT / "build/uv/bin/uv")
    place = pathlib.Path(tempfile.gettempdir()) / f"actuary-oracle-{GLIDE}"
    environment = {**os.environ, "PYENV_VERSION": os.environ.get("PYENV_VERSION", "3.12")}
    wanted = sys.executable if sys.version_info >= (3, 12) else "3.12"
    for command in (
        [uv, "venv", "--quiet", "--allow-existing", "--python", wanted, str(place)],
        [uv, "pip", "install", "--quiet", "--python", str(place / "bin/python"), GLIDE],
    ):
        try:
            subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
            print(json.dumps({"benchmark": "sampler.others_glide", "skipped": f"no {GLIDE}: {said}"}))
            return None
    return place / "bin/python"


def theirs(data: politeness.Data, seeds: int, labels: int, pilot: int) -> dict[str, list[dict[str, float]]]:
    """What GLIDE makes of a tenth of the labels: alone, and with our risks after a pilot."""
    python = glide()
    if python is None:
        return {}
    size = data.frame.size
    edges = np.quantile(data.frame.confidence, [0.25, 0.5])  # both labels occur in all three strata
    jobs: list[dict[str, Any]] = []
    campaigns = [politeness.begin(data, seed, pilot) for seed in range(seeds)]
    for seed, campaign in enumerate(campaigns):
        rest = np.flatnonzero(~campaign.known)
        eps = campaign.risks.machine_risk[rest]
        soft = np.where(data.frame.label[rest] == 1, 1.0 - eps, eps)
        claimed = np.maximum(data.raw, 0.01)  # it takes no uncertainty of 0
        jobs += [
            {"sampler": "uniform", "n": labels, "seed": seed},
            {"sampler": "stratified", "n": labels, "seed": seed},
            {"sampler": "active", "n": labels, "seed": seed, "uncertainty": claimed.tolist()},
            {
                "sampler": "active, our risks", "n": labels - pilot, "seed": seed, "at": rest.tolist(),
                "f": soft.tolist(), "uncertainty": np.sqrt(eps * (1 - eps)).tolist(),
            },
        ]  # fmt: skip
    done = subprocess.run(
        [python, "-W", "ignore", "-c", SCRIPT],
        input=json.dumps(
            {
                "y": data.human.tolist(),
                "f": data.frame.label.tolist(),
                "groups": np.searchsorted(edges, data.frame.confidence).tolist(),
                "jobs": jobs,
            }
        ),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"GLIDE failed: {done.stderr.strip()[-2000:]}")
    found: dict[str, list[dict[str, float]]] = {}
    for job, (mean, std, taken) in zip(jobs, json.loads(done.stdout), strict=True):
        right = ~data.wrong
        right[taken] = True
        if "at" in job:
            known = campaigns[job["seed"]].known
            part = len(job["at"]) / size
            mean, std = data.human[known].sum() / size + part * mean, part * std
            right |= known
        run = judged(data, mean, mean - 1.959964 * std, mean + 1.959964 * std, right)
        found.setdefault(f"GLIDE, {job['sampler']}", []).append(run)
    return found


def main() -> None:
    """Prints JSON lines."""
    data = politeness.read("sampler.others")
    if data is None:
        return
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    labels = round(BUDGET * data.frame.size)
    pilot = politeness.pilot_size(labels)
    runs = {
        "ours, square root": [ours(data, seed, labels, pilot, "square-root") for seed in range(seeds)],
        "ours, hybrid .3": [ours(data, seed, labels, pilot, "hybrid") for seed in range(seeds)],
        "CDI": [cdi(data, seed, labels, pilot) for seed in range(seeds)],
        **theirs(data, seeds, labels, pilot),
    }
    about = {"budget": BUDGET, "seeds": f"0..{seeds - 1}"}
    for method, found in runs.items():
        squares = np.array([run["off"] ** 2 for run in found])
        root = float(np.sqrt(squares.mean()))
        error = round(float(squares.std(ddof=1) / np.sqrt(seeds)) / (2.0 * root), 5)
        politeness.report("sampler.others_rmse", [root], None, method=method, **about, se_rmse=error)
        for figure in ("accuracy", "coverage"):
            values = [run[figure] for run in found]
            politeness.report(f"sampler.others_{figure}", values, None, method=method, **about)
    about = {"target": TARGET, "audit": AUDIT, "pilot": PILOT, "seeds": f"0..{seeds - 1}"}
    for method, betting, document in (("ours", False, 0.728), ("PAC betting", True, 0.775)):
        shown = [pac(data, seed, betting=betting) for seed in range(seeds)]
        # T4 does not count the pilot: its share of the others, and then all of it
        counted = PILOT / data.frame.size + (1.0 - PILOT / data.frame.size) * document
        values = [share for share, _ in shown]
        politeness.report("sampler.others_pac_share", values, round(counted, 4), method=method, **about)
        missed = [float(bad) for _, bad in shown]
        politeness.report("sampler.others_pac_violations", missed, ALPHA, method=method, **about)


if __name__ == "__main__":
    main()

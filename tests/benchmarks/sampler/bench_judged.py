"""Tables T1, T4 and T5 on data that the document's figures are not of: labels of a machine and its judges.

Usage: bench_judged.py [seeds]. T1 is the accuracy of the labels after a total budget, T4 the human share that
a proof of at most 5 or 10 % of errors needs (the pilot not counted), T5 what a risk model from n0 labels is
worth on the other items. `followed` is how often the pilot spoke for the critic, so that it was followed.
"""

from __future__ import annotations

import sys

import bench_t1
import numpy as np
import politeness
from bench_risk import measure as ranked
from judged import mmlu, openqa

from actuary.stats import audits, certificates, draws, rules

SHARES = (0.05, 0.10, 0.20)
RECIPES = ("threshold", "threshold, audit .4", "hybrid .4")
TARGETS = (0.05, 0.10)
PILOTS = (250, 500, 1000)


def raw(data: politeness.Data) -> np.ndarray:
    """The first critic's score, [N]."""
    return next(iter(data.frame.scores.values()))


def totals(name: str, data: politeness.Data, seeds: int) -> None:
    """Prints T1."""
    size = data.frame.size
    for share in SHARES:
        labels = round(share * size)
        pilot = min(politeness.pilot_size(labels), labels // 2)  # as a campaign does with few labels
        found: dict[str, list[float]] = {}
        followed, flipped = [], []
        for seed in range(seeds):
            u, tie = np.random.default_rng([1, seed]).random((2, size))
            for method, taken in (
                ("uniform", draws.srs(u, labels).selected),
                ("threshold, raw", rules.pi_threshold(raw(data), labels, tie).pi == 1.0),
            ):
                found.setdefault(method, []).append(float((~data.wrong | taken).mean()))
            campaign = politeness.begin(data, seed, pilot)
            followed.append(float(campaign.model.worth.supported))
            flipped.append(float((campaign.risks.final == data.human).mean()))
            for recipe in RECIPES:
                found.setdefault(f"pilot, flips, {recipe}", []).append(
                    bench_t1.recipe(campaign, labels, recipe)
                )
        about = {"data": name, "budget": share, "pilot": pilot, "seeds": f"0..{seeds - 1}"}
        for method, values in found.items():
            politeness.report("sampler.judged_t1", values, None, method=method, **about)
        politeness.report("sampler.judged_t1_followed", followed, None, **about)
        politeness.report("sampler.judged_t1_after_flips", flipped, None, **about)


def target(campaign: politeness.Campaign, seed: int, share: float) -> tuple[float, bool]:
    """Human share outside the pilot that a target needs, and whether more errors are left than allowed."""
    rest = np.flatnonzero(~campaign.known)
    items = rest.size
    rng = np.random.default_rng([9, seed])
    eps = campaign.risks.risk[rest]
    order = rules.risk_order(eps, rng.random(items))[::-1]
    wrong = (campaign.risks.final != campaign.data.human)[rest][order]
    audit = min(500, items // 5)
    design = certificates.target_design(
        population=items, eligible=items, labels=items, target=share, looks=[audit], alpha1=0.04, alpha2=0.01
    )
    at = rng.permutation(items)[:audit]
    no = np.zeros(audit, dtype=bool)
    found = [audits.tally(at, wrong[at], no, no, design.cuts)]
    decision, claim = audits.decide(design, found, None), audits.conclude(design, found, 0)
    left = wrong[: claim.cut].sum() - claim.wrong
    return decision.labels / items, bool(left > claim.errors)


def tables(name: str, data: politeness.Data, seeds: int) -> None:
    """Prints T4 and T5."""
    size = data.frame.size
    for pilot in PILOTS:
        if pilot > size // 2:
            continue
        campaigns = [politeness.begin(data, seed, pilot) for seed in range(seeds)]
        about = {"data": name, "pilot": pilot, "seeds": f"0..{seeds - 1}"}
        columns = [
            ranked(each.risks.machine_risk[~each.known], data.wrong[~each.known]) for each in campaigns
        ]
        for figure in ("auroc", "abs_excess"):
            politeness.report(f"sampler.judged_t5_{figure}", [c[figure] for c in columns], None, **about)
        after = [float((each.risks.final != data.human)[~each.known].mean()) for each in campaigns]
        politeness.report("sampler.judged_t5_error_after_flips", after, None, **about)
        if pilot != 500:
            continue
        for share in TARGETS:
            found = [target(each, seed, share) for seed, each in enumerate(campaigns)]
            violations = float(np.mean([bad for _, bad in found]))
            politeness.report(
                "sampler.judged_t4", [s for s, _ in found], None, target=share, violations=violations, **about
            )
    before = ranked(raw(data), data.wrong)
    about = {"data": name, "pilot": 0}
    for figure in ("auroc", "abs_excess"):
        politeness.report(f"sampler.judged_t5_{figure}", [before[figure]], None, **about)
    politeness.report("sampler.judged_t5_error_after_flips", [float(data.wrong.mean())], None, **about)


def main() -> None:
    """Prints JSON lines."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    for name, read in (("openqa", openqa), ("mmlu-pro", mmlu)):
        data = read(f"sampler.judged_{name}")
        if data is not None:
            totals(name, data, seeds)
            tables(name, data, seeds)


if __name__ == "__main__":
    main()

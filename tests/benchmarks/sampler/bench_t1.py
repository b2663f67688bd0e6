"""Table T1 of algorithms.md: accuracy of the final labels for a total budget, the pilot inside it.

Usage: bench_t1.py [seeds]. Seeds 0 to 49 by default, those of the document's number; the recipes for a tenth
are compared on the fifty seeds after them, so that the figure of the best one is not the best of its luck.
Rules of the paper draw by chance (Poisson), as the paper does; everything else is a campaign's own plan.
`always` flips wherever the risk is above one half, as the document did; without it flips are those that 8.4
lets pass.
"""

from __future__ import annotations

import sys

import numpy as np
import politeness

from actuary.sampler import estimating, judging
from actuary.stats import draws, rules, weighing

SHARES = (0.025, 0.05, 0.10, 0.20, 0.30)
DOCUMENT = {
    "uniform": (0.704, 0.711, 0.727, 0.757, 0.788),
    "normalised, raw": (0.704, 0.711, 0.726, 0.756, 0.790),
    "exponential 10, raw": (0.699, 0.702, 0.714, 0.753, 0.791),
    "threshold, raw": (0.697, 0.698, 0.709, 0.759, 0.810),
    "pilot, threshold": (0.711, 0.726, 0.754, 0.812, 0.853),
    "pilot, flips, threshold": (0.745, 0.775, 0.798, 0.836, 0.876),
    "pilot, always flips, threshold": (0.745, 0.775, 0.798, 0.836, 0.876),
    "pilot, flips, hybrid .3": (0.744, 0.774, 0.797, 0.831, 0.864),
    "pilot, always flips, hybrid .3": (0.744, 0.774, 0.797, 0.831, 0.864),
}
SE = (0.089, 0.060, 0.041, 0.024, 0.015)
"""Standard error of the estimate beside the hybrid."""

RECIPES = {
    "threshold": (weighing.Weighing(rule="threshold"), 0.0),
    "threshold, audit .1": (weighing.Weighing(rule="threshold"), 0.1),
    "threshold, audit .4": (weighing.Weighing(rule="threshold"), 0.4),
    "hybrid .1": (weighing.Weighing(rule="hybrid", audit_share=0.1), 0.0),
    "hybrid .2": (weighing.Weighing(rule="hybrid", audit_share=0.2), 0.0),
    "hybrid .3": (weighing.Weighing(rule="hybrid", audit_share=0.3), 0.0),
    "hybrid .4": (weighing.Weighing(rule="hybrid"), 0.0),
}
"""What a campaign spends its wave by, and the share of the wave that is a uniform audit."""

PILOTS = (100, 150, 200, 274, 350)
NAMED = {"campaign's default": (274, "hybrid .4"), "document's": (274, "threshold")}
"""Pilot and recipe; a pilot of 274 is half of a tenth's 548 labels, as 3.1 has it."""


def without_critic(data: politeness.Data, seed: int, labels: int) -> dict[str, float]:
    """Accuracies of the rows without a pilot."""
    rng = np.random.default_rng([1, seed])
    u, tie = rng.random((2, data.frame.size))
    drawn = {
        "uniform": draws.srs(u, labels).selected,
        "normalised, raw": draws.draw_poisson(rules.pi_normalised(data.raw, labels).pi, u),
        "exponential 10, raw": draws.draw_poisson(rules.pi_exponential(data.raw, labels, 10.0).pi, u),
        "threshold, raw": rules.pi_threshold(data.raw, labels, tie).pi == 1.0,
    }
    return {name: float((~data.wrong | taken).mean()) for name, taken in drawn.items()}


def with_pilot(campaign: politeness.Campaign, labels: int) -> tuple[dict[str, float], float, bool]:
    """Accuracies of the rows with one, the estimate's standard error, and whether its interval covers."""
    human, size = campaign.data.human, campaign.frame.size
    left = labels - int(campaign.known.sum())
    threshold = weighing.Weighing(rule="threshold")
    hybrid = weighing.Weighing(rule="hybrid", audit_share=0.3)
    plain = (campaign.risks.machine, campaign.risks.machine_risk)
    flipped, always = campaign.flipped(), campaign.flipped(always=True)
    found = {}
    for name, (label, eps), weigh in (
        ("pilot, threshold", plain, threshold),
        ("pilot, flips, threshold", flipped, threshold),
        ("pilot, always flips, threshold", always, threshold),
        ("pilot, always flips, hybrid .3", always, hybrid),
        ("pilot, flips, hybrid .3", flipped, hybrid),
    ):
        drawn = campaign.wave(left, weigh, eps=eps)
        taken = politeness.reviewed(size, [campaign.pilot, drawn])
        found[name] = float(((label == human) | taken).mean())
    outcome = estimating.estimate(
        campaign.population(), campaign.waves(drawn, hybrid), campaign.key, 0.05, failed=np.empty(0, int)
    )
    truth = found["pilot, flips, hybrid .3"]
    covers = outcome.corrected.low - 1e-9 <= truth <= outcome.corrected.high + 1e-9
    return found, outcome.corrected.se, covers


def recipe(campaign: politeness.Campaign, labels: int, name: str) -> float:
    """Accuracy of a recipe as the campaign would serve it: not followed where the pilot speaks against it."""
    weigh, audit_share = RECIPES[name]
    rule, _ = judging.follow(campaign.model.worth, weigh.rule, campaign.model.reason)
    weigh = weigh if rule == weigh.rule else weighing.Weighing(rule=rule)
    left = labels - int(campaign.known.sum())
    drawn = campaign.wave(left, weigh, audit=round(audit_share * left))
    taken = politeness.reviewed(campaign.frame.size, [campaign.pilot, drawn])
    return float(((campaign.risks.final == campaign.data.human) | taken).mean())


def table(data: politeness.Data, seeds: int) -> None:
    """Prints T1."""
    for column, share in enumerate(SHARES):
        labels = round(share * data.frame.size)
        pilot = politeness.pilot_size(labels)
        found: dict[str, list[float]] = {name: [] for name in DOCUMENT}
        se, covered, flips, followed = [], [], [], []
        for seed in range(seeds):
            campaign = politeness.begin(data, seed, pilot)
            more, error, covers = with_pilot(campaign, labels)
            for name, value in {**without_critic(data, seed, labels), **more}.items():
                found[name].append(value)
            se.append(error)
            covered.append(float(covers))
            flips.append(float(campaign.risks.flips))
            followed.append(float(campaign.model.worth.supported))
        about = {"budget": share, "pilot": pilot, "seeds": f"0..{seeds - 1}"}
        for name, values in found.items():
            politeness.report("sampler.t1", values, DOCUMENT[name][column], method=name, **about)
        politeness.report("sampler.t1_hybrid_se", se, SE[column], **about)
        politeness.report("sampler.t1_hybrid_coverage", covered, 0.95, **about)
        politeness.report("sampler.t1_flips_proven", flips, None, **about)
        politeness.report("sampler.t1_followed", followed, None, **about)


def tenth(data: politeness.Data, seeds: int) -> None:
    """Prints what the recipes give for a tenth of the labels, and the figure of three."""
    labels = round(0.1 * data.frame.size)
    later = range(seeds, 2 * seeds)
    means = {}
    for pilot in PILOTS:
        campaigns = [politeness.begin(data, seed, pilot) for seed in later]
        for name in RECIPES:
            values = [recipe(campaign, labels, name) for campaign in campaigns]
            means[pilot, name] = float(np.mean(values))
            seen = f"{later[0]}..{later[-1]}"
            politeness.report("sampler.recipe_10pct", values, None, pilot=pilot, recipe=name, seeds=seen)
    chosen = {**NAMED, "best": max(means, key=means.__getitem__)}
    for which, (pilot, name) in chosen.items():
        values = [recipe(politeness.begin(data, seed, pilot), labels, name) for seed in range(seeds)]
        about = {"which": which, "pilot": pilot, "recipe": name, "seeds": f"0..{seeds - 1}"}
        politeness.report("sampler.politeness_total_10pct", values, 0.794, **about)


def main() -> None:
    """Prints JSON lines."""
    data = politeness.read("sampler.t1")
    if data is not None:
        seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
        tenth(data, seeds)
        table(data, seeds)


if __name__ == "__main__":
    main()

"""What may be said of a critic: how well it ranks and is calibrated, and whether it is worth following.

Only random samples that were answered blind have a say, the pilot and the audits (algorithms.md 8.12). Pure;
risks are made in `risking` and never changed here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from actuary.sampler import boosting, covering, frames, people, risking
from actuary.stats import calibration, quality, worth


def figures(model: risking.Model) -> dict[str, Any]:
    """Returns what a report says of the critic, measured out of fold on the pilot."""
    kinds = [fold.kind for fold in model.folds]
    found: dict[str, Any] = {
        "reason": model.reason,
        "models": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        **measured(model.eps, model.wrong, model.alpha),
    }
    scored = ~np.isnan(model.raw)
    if scored.any():
        found["raw"] = _reliability(model.raw[scored], model.wrong[scored], model.alpha)
    if model.layout.embedding is not None:
        found["embedding"] = embedding_in_words(kinds)
    if model.worth is not None:
        found["worthless"] = bool(model.reason) or not model.worth.supported
        found["worth"] = worth_in_words(model.worth, model.reason)
    return {"figures": found}


def follow(evidence: worth.Worth | None, asked: str, reason: str = "") -> tuple[str, str]:
    """Returns the rule that a wave is drawn by, and why it is not the one that was asked for.

    A critic is followed as long as the labels speak for it. Where they do not, those to come are drawn
    uniformly, and all of them estimate. To wait until it has been shown to be better than chance costs more
    than it saves: a small pilot often fails to show it of a good critic, and a useless one that is followed
    makes an interval somewhat wider and never wrong (ARCHITECTURE.md, decision 22, has what was measured).

    Args:
        evidence: what the critic is worth; None follows it.
        asked: the rule that was asked for.
        reason: why there is no risk model; empty when there is one.
    """
    if asked == "uniform" or evidence is None or (evidence.supported and not reason):
        return asked, ""
    return "uniform", f"Drawn uniformly and not by the rule {asked}: {worth_in_words(evidence, reason)}"


def embedding_in_words(kinds: Sequence[str]) -> str:
    """Says whether risks are learned from the embedding, by the kinds of the folds' models."""
    seen = sum("embedding" in kind for kind in kinds)
    if not seen:
        least = f"from {boosting.LEAST} labels on one may, if that predicts better"
        return f"no risk model looks at the embedding: {least}."
    return f"{seen} of {len(kinds)} risk models look at the embedding, since that predicts better."


def worth_in_words(evidence: worth.Worth, reason: str) -> str:
    """Says what a critic has been shown to be."""
    if reason:
        return f"the critic could not be judged: {reason}."
    stake = f"{100 * evidence.alpha:g} %"
    if evidence.shown:
        return (
            f"the critic tells wrong labels from right ones: {evidence.labels} labels say so, and would say "
            f"so of a worthless critic, at any look, with a probability of at most {stake}."
        )
    if evidence.supported:
        return (
            f"{evidence.labels} labels speak for the critic, {math.exp(evidence.log_wealth):.3g} to 1, which "
            "is too little to show that it tells wrong labels from right ones "
            f"(level {stake}, whenever one looks)."
        )
    return (
        f"on {evidence.labels} labels the critic has not been shown to tell wrong labels from right ones "
        f"(level {stake}, whenever one looks). It may be worthless, or the labels may be too few."
    )


def evidence(model: risking.Model, risks: risking.Risks, waves: Sequence[people.Wave]) -> worth.Worth | None:
    """Returns what the critic is worth after the audits of the waves so far.

    The pilot's bets are the model's. Each audit is a block of its own, in the order of its draw, on risks
    that were frozen before it. The certain and the drawn strata are chosen by risk, and say nothing here
    (8.12).

    Args:
        model: the risk model.
        risks: labels and risks as they were frozen.
        waves: what people said, wave by wave from the pilot on.
    """
    found = model.worth
    for wave in waves[1:]:
        if found is not None:
            eps, wrong = _audited(risks, wave, "audit")
            found = found.after(eps, wrong)
    return found


def sampled(risks: risking.Risks, waves: Sequence[people.Wave]) -> tuple[frames.Floats, frames.Bools]:
    """Returns machine risks and errors of the random sample that pilot and first audit make together.

    The audit is a simple random sample, by a key of its own, of what the pilot left: together they are one of
    all items, and every label weighs the same. Later audits see only what earlier waves left, and the other
    strata were chosen by risk; neither is taken (8.12). Nor is an audit of other items than all: `_of_all`.
    """
    random = waves[:2] if all(_of_all(wave) for wave in waves[1:2]) else waves[:1]
    parts = [
        _audited(risks, wave, stratum) for wave, stratum in zip(random, ("pilot", "audit"), strict=False)
    ]
    return np.concatenate([eps for eps, _ in parts]), np.concatenate([wrong for _, wrong in parts])


def _of_all(wave: people.Wave) -> bool:
    """Whether an audit is of all items that nobody had looked at.

    After slices or classes were covered it has too few of those. That of a certificate in budget mode has no
    item above the cut, and those of classes have unequal rates.
    """
    return wave.proof in ("", "target") and not wave.of(*covering.STRATA).any()


def _audited(risks: risking.Risks, wave: people.Wave, stratum: str) -> tuple[frames.Floats, frames.Bools]:
    at = frames.indices(risks.ids, wave.ids)
    rows = np.flatnonzero(wave.of(stratum) & wave.labelled & (at >= 0))
    rows = rows[risks.machine[at[rows]] >= 0]
    rows = rows[np.argsort(wave.order[rows], kind="stable")]
    at = at[rows]
    return risks.machine_risk[at], wave.label[rows] != risks.machine[at]


def measured(eps: frames.Floats, wrong: frames.Bools, alpha: float) -> dict[str, Any]:
    """Returns how risks compare with errors on a simple random sample: calibration and ranking."""
    figures: dict[str, Any] = {"items": len(eps), "calibrated": _reliability(eps, wrong, alpha)}
    if wrong.any() and not wrong.all():
        bounds = calibration.auroc_interval(eps, wrong, alpha=alpha)
        figures["auroc"] = {
            "estimate": quality.auroc(eps, wrong),
            "low": bounds.low,
            "high": bounds.high,
            "method": "newcombe",
        }
    return figures


def _reliability(eps: frames.Floats, wrong: frames.Bools, alpha: float) -> dict[str, Any]:
    if not len(eps):
        return {"bins": [], "expected_calibration_error": None}
    bins = quality.reliability(eps, wrong, bins=10, alpha=alpha)
    return {
        "bins": [
            {
                "predicted": each.mean_risk,
                "observed": each.error_rate,
                "low": each.error_low,
                "high": each.error_high,
                "items": each.count,
            }
            for each in bins
        ],
        "expected_calibration_error": quality.expected_calibration_error(eps, wrong),
        "calibration_error_by_chance": calibration.calibration_error_by_chance(eps),
    }

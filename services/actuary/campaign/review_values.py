"""What a report says of people: who answered, how far they agree, and what that says about the truth.

Agreement is measured on the first two answers to an item of the pilot or the audit. A third answer is asked
for only where two disagree, and the certain items are the hard ones: both would make people look worse than
they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actuary.campaign import reviewer_values
from actuary.report import values
from actuary.stats import agreement
from actuary.storage import artifacts, objects, tables

if TYPE_CHECKING:
    from actuary.campaign import closing


def summary(
    store: objects.ObjectStore,
    inputs: closing.Inputs,
    batches: Sequence[str],
    *,
    corrected_low: float | None,
    alpha: float,
) -> values.ReviewSummary | None:
    """Sums up the segments of all batches; an answer that was corrected counts once.

    Args:
        store: where they are.
        inputs: the manifests of plans and weights.
        batches: URIs of the review batches.
        corrected_low: lower end of the corrected accuracy, for the bound against the truth.
        alpha: one minus the confidence level.
    """
    pieces = []
    for batch in batches:
        for info in store.list(f"{batch}/answers/"):
            uri, _, name = info.key.rpartition("/")
            if name == artifacts.FILE_NAME:
                pieces.append(tables.read_all(store, artifacts.read_manifest(store, uri)[0]))
    if not pieces:
        return None
    rows = standing(pa.concat_tables(pieces))
    machine, random = _planned(store, inputs)
    seconds = rows["seconds"].to_numpy()
    counted: dict[str, list[tuple[str, str]]] = {}
    accepted: dict[bool, list[bool]] = {True: [], False: []}
    for row in rows.select(["item_id", "label", "blind", "reviewer"]).to_pylist():
        if row["label"] is None:
            continue
        if row["item_id"] in random:
            counted.setdefault(row["item_id"], []).append((row["reviewer"], row["label"]))
        if row["item_id"] in machine:
            accepted[row["blind"]].append(machine[row["item_id"]] == row["label"])
    named = [(answers[0], answers[1]) for answers in counted.values() if len(answers) > 1]
    doubles = [(one[1], other[1]) for one, other in named]
    truth, note = _truth(doubles, corrected_low, _reviewed_share(inputs), alpha)
    return values.ReviewSummary(
        reviewers=len(pc.unique(rows["reviewer"])),
        answers=rows.num_rows,
        cannot_tell=int(rows["label"].null_count),
        median_seconds=float(np.median(seconds)) if (seconds > 0).any() else None,
        pairs=len(doubles),
        pair_agreement=(
            reviewer_values.interval(agreement.pairs([a == b for a, b in doubles], alpha))
            if doubles
            else None
        ),
        krippendorff_alpha=_alpha(doubles, alpha),
        truth_error_high=truth.error_high if truth else None,
        reviewer_error_high=truth.reviewer_error_high if truth else None,
        truth_note=note,
        blind_accept_rate=float(np.mean(accepted[True])) if accepted[True] else None,
        shown_accept_rate=float(np.mean(accepted[False])) if accepted[False] else None,
        people=reviewer_values.people(rows, named, _gold(store, inputs), alpha),
        pair_results=reviewer_values.pairs(named, alpha),
    )


def standing(answers: pa.Table) -> pa.Table:
    """Each person's last answer to each item, in the order in which they came; sequences count in a batch."""
    keys = ["batch", "item_id", "reviewer"]
    last = answers.group_by(keys).aggregate([("sequence", "max")])
    last = last.select([*keys, "sequence_max"]).rename_columns([*keys, "sequence"])
    kept = answers.join(last, keys=[*keys, "sequence"], join_type="inner")
    return kept.sort_by([("batch", "ascending"), ("sequence", "ascending")])


def _planned(store: objects.ObjectStore, inputs: closing.Inputs) -> tuple[dict[str, str], set[str]]:
    """The machine's label, after flips, of every planned item, and which items were drawn at random."""
    machine: dict[str, str] = {}
    random: set[str] = set()
    for plan in inputs.plans:
        strata = _random_strata(plan)
        for row in tables.read_all(store, plan).select(["item_id", "label", "stratum"]).to_pylist():
            if row["label"] is not None:
                machine[row["item_id"]] = row["label"]
            if row["stratum"] in strata:
                random.add(row["item_id"])
    return machine, random


def _random_strata(plan: artifacts.Manifest) -> frozenset[str]:
    """Strata of a plan whose items are a random sample of all that nobody had looked at, answered blind.

    Pilot and first audit are one sample of all items, unless slices or classes were covered before it, or it
    is that of a certificate which leaves out what lies above its cut or takes classes at rates of their own
    (as `sampler.judging`).
    """
    design, counts = plan.parameters.get("design", {}), plan.parameters["results"].get("stratum_counts", {})
    certificate = design.get("certificate")
    whole = certificate is None or (
        certificate["groups"][0]["name"] == "" and certificate["groups"][0]["design"]["mode"] == "target"
    )
    audited = plan.parameters["wave"] == 1 and whole and not {"slice", "class"} & counts.keys()
    return frozenset({"pilot", "audit"} if audited else {"pilot"})


def _gold(store: objects.ObjectStore, inputs: closing.Inputs) -> dict[str, str]:
    """The known label of every exemplar: what people said of these were gold tasks."""
    if inputs.exemplars is None:
        return {}
    rows = tables.read_all(store, inputs.exemplars)
    return dict(zip(rows["item_id"].to_pylist(), rows["label"].to_pylist(), strict=True))


def _reviewed_share(inputs: closing.Inputs) -> float:
    """Share of the machine's labels that people looked at again, or more: an upper bound needs no better."""
    design = inputs.weights.parameters.get("design", {})
    items = design["phases"][0]["population"] if design.get("phases") else 0
    return min(1.0, inputs.weights.rows / items) if items else 1.0


def _alpha(doubles: Sequence[Sequence[str]], alpha: float) -> values.Interval | None:
    """Krippendorff's α; None where it is not defined."""
    classes = sorted({label for pair in doubles for label in pair})
    if len(doubles) < 2 or len(classes) < 2:
        return None
    counts = np.array([[pair.count(name) for name in classes] for pair in doubles])
    return reviewer_values.interval(agreement.krippendorff_alpha(counts, alpha))


def _truth(
    doubles: Sequence[Sequence[str]], corrected_low: float | None, reviewed_share: float, alpha: float
) -> tuple[agreement.TruthClaim | None, str]:
    """The bound against the truth, or why there is none; nothing at all where no doubles were asked for."""
    if not doubles or corrected_low is None:
        return None, ""
    try:
        claim = agreement.truth_claim(
            pairs=len(doubles),
            disagreed=sum(a != b for a, b in doubles),
            residual_high=1.0 - corrected_low,
            reviewed_share=reviewed_share,
            alpha=alpha,
        )
    except agreement.TooFewPairs as error:
        return None, str(error)
    return claim, ""

"""The risk of every label: a critic's scores calibrated on the pilot, and flips where they provably pay.

Pure; reading and writing is `work`. Every item, labelled or not, is priced by the model of its own fold,
which has not seen its label (algorithms.md 8.4), and neither labels nor risks change after wave 1 has been
planned.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actuary.sampler import frames
from actuary.stats import checks, flips, prn, quality, risk, shares

FOLDS = 5


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A calibrated critic, with the pilot rows that it rests on, in the order of their draw."""

    folds: tuple[risk.PlattModel, ...]
    """One model a fold, fitted on the pilot outside of it."""
    reason: str
    """Why the models know nothing but the base rate; empty when they were fitted."""
    wrong: frames.Bools
    """Whether the machine's label was wrong, of the pilot's labelled items, [n]."""
    eps: frames.Floats
    """Their risk, out of fold, [n]."""
    wrong_final: frames.Bools
    """`wrong` after flips where they pay, [n]."""
    eps_final: frames.Floats
    """`eps` after flips where they pay, [n]."""
    raw: frames.Floats
    """Their raw score; NaN where the critic gave none, [n]."""
    flips: flips.Gain | None
    """What flipping did on the pilot; None where there is nothing to flip to."""
    alpha: float

    @property
    def items(self) -> int:
        """n: labelled pilot items with a machine label."""
        return len(self.wrong)

    def to_json(self) -> bytes:
        """The model as JSON."""
        return json.dumps(
            {
                "folds": [model.to_record() for model in self.folds],
                "reason": self.reason,
                "wrong": self.wrong.astype(int).tolist(),
                "eps": self.eps.tolist(),
                "wrong_final": self.wrong_final.astype(int).tolist(),
                "eps_final": self.eps_final.tolist(),
                "raw": [None if np.isnan(value) else value for value in self.raw.tolist()],
                "flips": None if self.flips is None else dataclasses.asdict(self.flips),
                "alpha": self.alpha,
            },
            sort_keys=True,
        ).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Model:
        """The inverse of `to_json`."""
        form = json.loads(data)
        return cls(
            folds=tuple(risk.PlattModel.from_record(record) for record in form["folds"]),
            reason=form["reason"],
            wrong=np.array(form["wrong"], dtype=np.bool_),
            eps=np.array(form["eps"], dtype=np.float64),
            wrong_final=np.array(form["wrong_final"], dtype=np.bool_),
            eps_final=np.array(form["eps_final"], dtype=np.float64),
            raw=np.array([np.nan if value is None else value for value in form["raw"]], dtype=np.float64),
            flips=None if form["flips"] is None else flips.Gain(**form["flips"]),
            alpha=form["alpha"],
        )

    def figures(self) -> dict[str, Any]:
        """What a report says of the critic, measured out of fold on the pilot."""
        figures: dict[str, Any] = {
            "items": self.items,
            "reason": self.reason,
            "calibrated": _reliability(self.eps, self.wrong, self.alpha),
        }
        scored = ~np.isnan(self.raw)
        if scored.any():
            figures["raw"] = _reliability(self.raw[scored], self.wrong[scored], self.alpha)
        if self.wrong.any() and not self.wrong.all():
            figures["auroc"] = {"estimate": quality.auroc(self.eps, self.wrong)}
        return {"figures": figures}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Risks:
    """Labels and their risks, frozen; N items of the pool, labelled or not."""

    machine: frames.Longs
    """The machine's label as it came, [N]; -1 without one."""
    final: frames.Longs
    """The label after flips, [N]; -1 without one."""
    machine_risk: frames.Floats
    """Risk of `machine`, [N]; NaN without a label."""
    risk: frames.Floats
    """Risk of `final`, [N]; NaN without a label."""
    probabilities: frames.Floats
    """Class probabilities after calibration, [N, K]; rows of NaN where the annotator gave none."""
    fold: frames.Longs
    """[N]."""
    flips: bool
    """Whether labels were flipped at all."""
    outcome: pa.Array
    u: frames.Floats
    shard: frames.Longs
    ids: pa.Array

    def soft(self, rows: frames.Longs) -> frames.Floats:
        """Class probabilities of labelled items: the annotator's, calibrated, or what the risk implies.

        Out of fold, as the risks are.

        Args:
            rows: positions, [M].

        Returns:
            [M, K], rows sum to 1.
        """
        given = self.probabilities[rows]
        missing = np.isnan(given).any(axis=1)
        gone = rows[missing]
        given[missing] = shares.soft_labels(self.machine[gone], self.machine_risk[gone], given.shape[1])
        return given


def features(frame: frames.Frame) -> frames.Floats:
    """Returns what the risk model sees, [N, 2]: logits of the critic's score and of the confidence."""
    return np.stack([risk.logit(frame.raw_score), risk.logit(frame.confidence)], axis=1)


def folds_of(frame: frames.Frame, key: bytes) -> frames.Longs:
    """Returns the fold of every item, from numbers of their own, [N]."""
    u = prn.uniform(frame.ids.to_pylist(), prn.derive_key(key, "fold"))
    return prn.fold(u, FOLDS).astype(np.int64)


def fit(frame: frames.Frame, label: frames.Longs, key: bytes, alpha: float) -> Model:
    """Fits one model a fold on the pilot's labels.

    Args:
        frame: the pilot's items.
        label: what people said, index into the classes, [N]; -1 where they said nothing.
        key: project key.
        alpha: one minus the confidence level of the figures.
    """
    used = np.flatnonzero(frame.labelled & (label >= 0))
    # in the order of their draw, which is random: what a quote makes of the pilot rests on that
    used = used[np.argsort(frame.u[used], kind="stable")]
    wrong = (label != frame.label)[used]
    x = features(frame)[used]
    fold = folds_of(frame, key)[used]
    reason = ""
    try:
        models = risk.fit_folds(x, wrong, fold, FOLDS)
    except checks.CriticUnfit as error:
        # The rule then falls back to uniform: all risks are the base rate.
        reason = str(error)
        models = (risk.constant(wrong, x.shape[1]),) * FOLDS
    eps = risk.predict_folds(models, x, fold) if len(x) else np.empty(0)
    gain, wrong_final, eps_final = None, wrong, eps
    probabilities = frame.probabilities[used]
    if len(x) and not np.isnan(probabilities).any():
        machine = frame.label[used]
        flipped, flipped_eps = flips.flip(machine, flips.recalibrated(probabilities, machine, eps))
        gain = flips.gain_lower_bound(wrong, flipped != label[used], alpha)
        if gain.lower > 0:
            wrong_final, eps_final = flipped != label[used], flipped_eps
    return Model(
        folds=models,
        reason=reason,
        wrong=wrong,
        eps=eps,
        wrong_final=wrong_final,
        eps_final=eps_final,
        raw=frame.raw_score[used],
        flips=gain,
        alpha=alpha,
    )


def price(frame: frames.Frame, model: Model, key: bytes) -> Risks:
    """Prices every label, and flips labels if the pilot proves that flipping pays."""
    labelled = frame.labelled
    fold = folds_of(frame, key)
    machine_risk = np.full(frame.size, np.nan)
    machine_risk[labelled] = risk.predict_folds(model.folds, features(frame)[labelled], fold[labelled])
    final, final_risk = frame.label.copy(), machine_risk.copy()
    probabilities = np.full_like(frame.probabilities, np.nan)
    given = labelled & ~np.isnan(frame.probabilities).any(axis=1)
    if given.any():
        probabilities[given] = flips.recalibrated(
            frame.probabilities[given], frame.label[given], machine_risk[given]
        )
    pays = model.flips is not None and model.flips.lower > 0
    if pays and given.any():
        final[given], final_risk[given] = flips.flip(frame.label[given], probabilities[given])
    return Risks(
        machine=frame.label,
        final=final,
        machine_risk=machine_risk,
        risk=final_risk,
        probabilities=probabilities,
        fold=fold,
        flips=pays,
        outcome=frame.outcome,
        u=frame.u,
        shard=frame.shard,
        ids=frame.ids,
    )


def table(frame: frames.Frame, risks: Risks, classes: Sequence[str]) -> pa.Table:
    """Builds the RISKS table, with the column `shard`."""
    names = pa.array(classes, pa.string())
    missing = np.asarray(np.isnan(risks.probabilities).any(axis=1))
    return pa.table(
        {
            "item_id": frame.ids,
            "machine_label": names.take(pa.array(risks.machine, mask=risks.machine < 0)),
            "label": names.take(pa.array(risks.final, mask=risks.final < 0)),
            "flipped": risks.final != risks.machine,
            "risk": pa.array(risks.risk, mask=np.isnan(risks.risk)),
            "machine_risk": pa.array(risks.machine_risk, mask=np.isnan(risks.machine_risk)),
            "probabilities": pa.array(
                [
                    None if gone else row
                    for gone, row in zip(missing.tolist(), risks.probabilities.tolist(), strict=True)
                ],
                pa.list_(pa.float64()),
            ),
            "fold": pa.array(risks.fold, pa.int8()),
            "u": risks.u,
            "outcome": pc.fill_null(risks.outcome, "FAILED"),
            "shard": risks.shard,
        }
    )


def read(found: pa.Table, ids: pa.Array, classes: Sequence[str]) -> Risks:
    """Reads the RISKS table (with its column `shard`) for some items, in their order."""
    at = frames.indices(found["item_id"].combine_chunks(), ids)
    rows = found.take(pa.array(at))
    names = pa.array(classes, pa.string())

    def numbers(name: str) -> frames.Floats:
        column = rows[name].combine_chunks()
        return np.asarray(pc.fill_null(column, np.nan).to_numpy(zero_copy_only=False), dtype=np.float64)

    machine = frames.indices(names, rows["machine_label"])
    final = frames.indices(names, rows["label"])
    return Risks(
        machine=machine,
        final=final,
        machine_risk=numbers("machine_risk"),
        risk=numbers("risk"),
        probabilities=frames.matrix(rows["probabilities"], len(classes)),
        fold=rows["fold"].to_numpy().astype(np.int64),
        flips=bool((machine != final).any()),
        outcome=rows["outcome"].combine_chunks(),
        u=rows["u"].to_numpy(),
        shard=rows["shard"].to_numpy(),
        ids=ids,
    )


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
    }

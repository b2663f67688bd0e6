"""The risk of every label: a critic's scores calibrated on the pilot, and flips where they provably pay.

Pure; reading and writing is `stored`. Every item, labelled or not, is priced by the model of its own fold,
which has not seen its label (algorithms.md 8.4), and neither labels nor risks change after wave 1 has been
planned. Whether the critic is worth following at all is another question, and `judging` asks it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actuary.sampler import components, critics, frames
from actuary.stats import checks, choice, flips, prn, risk, shares, worth

FOLDS = 5

WORTH_ALPHA = 0.1
"""Probability with which a worthless critic may ever be said to be better than chance, in all looks of a
campaign together.

Above the usual .05, since the two mistakes do not weigh the same: to trust a worthless critic makes an
estimate less precise and never wrong, while not to trust a good one leaves errors that the budget would have
found.
"""

_PRICED_AT_ONCE = 65_536
"""Rows whose features are in memory together."""

_COLUMNS = ("machine", "final", "machine_risk", "risk", "probabilities", "fold", "u", "shard")
"""Arrays of `Risks`."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A calibrated critic, with the pilot rows that it rests on, in the order of their draw."""

    layout: critics.Layout
    """What the models look at."""
    folds: tuple[choice.Chosen, ...]
    """One model a fold, chosen and fitted on the pilot outside of it."""
    worth: worth.Worth | None
    """What the pilot shows of the critic; None in models from before anybody asked."""
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
    """The first critic's score of them; NaN where it gave none, [n]."""
    flips: flips.Gain | None
    """What flipping did on the pilot; None where there is nothing to flip to."""
    alpha: float

    @property
    def items(self) -> int:
        """n: labelled pilot items with a machine label."""
        return len(self.wrong)

    @property
    def flipping(self) -> bool:
        """Whether the pilot proves that flipping pays."""
        return self.flips is not None and self.flips.pays

    def to_json(self) -> bytes:
        """The model as JSON."""
        return json.dumps(
            {
                "layout": self.layout.to_record(),
                "folds": [model.to_record() for model in self.folds],
                "worth": None if self.worth is None else dataclasses.asdict(self.worth),
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
        """The inverse of `to_json`; reads the Platt models of the first release as well."""
        form = json.loads(data)
        layout = form.get("layout", {"critics": [critics.ANY], "classes": 0})
        return cls(
            layout=critics.Layout.from_record(layout),
            folds=tuple(_read_fold(record) for record in form["folds"]),
            worth=worth.Worth(**form["worth"]) if form.get("worth") else None,
            reason=form["reason"],
            wrong=np.array(form["wrong"], dtype=np.bool_),
            eps=np.array(form["eps"], dtype=np.float64),
            wrong_final=np.array(form["wrong_final"], dtype=np.bool_),
            eps_final=np.array(form["eps_final"], dtype=np.float64),
            raw=np.array([np.nan if value is None else value for value in form["raw"]], dtype=np.float64),
            flips=None if form["flips"] is None else flips.Gain(**form["flips"]),
            alpha=form["alpha"],
        )


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

    def take(self, rows: frames.Longs) -> Risks:
        """Returns some rows as risks of their own."""
        return dataclasses.replace(
            self,
            **{name: getattr(self, name)[rows] for name in _COLUMNS},
            outcome=self.outcome.take(pa.array(rows)),
            ids=self.ids.take(pa.array(rows)),
        )

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


def folds_of(frame: frames.Frame, key: bytes) -> frames.Longs:
    """Returns the fold of every item, from numbers of their own, [N]."""
    u = frames.hashed(frame.ids, prn.derive_key(key, "fold"))
    return prn.fold(u, FOLDS).astype(np.int64)


def fit(frame: frames.Frame, label: frames.Longs, key: bytes, alpha: float) -> Model:
    """Chooses and fits one model a fold on the pilot's labels, and asks what they are worth.

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
    layout = critics.Layout(
        critics=tuple(sorted(frame.scores)),
        classes=frame.probabilities.shape[1],
        embedding=components.fit(None if frame.embedding is None else frame.embedding[used]),
    )
    x = layout.matrix(frame, used)
    fold = folds_of(frame, key)[used]
    kinds = critics.candidates(layout)
    reason = ""
    try:
        models = choice.fit_folds(kinds, x, wrong, fold, FOLDS)
    except checks.CriticUnfit as error:
        # The rule then falls back to uniform: all risks are the base rate.
        reason = str(error)
        models = (choice.constant(wrong, x.shape[1]),) * FOLDS
    eps = risk.predict_folds(models, x, fold) if len(x) else np.empty(0)
    gain, wrong_final, eps_final = None, wrong, eps
    probabilities = frame.probabilities[used]
    if len(x) and not np.isnan(probabilities).any():
        machine = frame.label[used]
        flipped, flipped_eps = flips.flip(machine, flips.recalibrated(probabilities, machine, eps))
        gain = flips.proven(eps, wrong, flipped != label[used], alpha)
        if gain.pays:
            sure = eps > gain.above
            wrong_final = np.where(sure, flipped != label[used], wrong)
            eps_final = np.where(sure, flipped_eps, eps)
    return Model(
        layout=layout,
        folds=models,
        worth=worth.bet(kinds, x, wrong, WORTH_ALPHA, layout.scores),
        reason=reason,
        wrong=wrong,
        eps=eps,
        wrong_final=wrong_final,
        eps_final=eps_final,
        raw=next(iter(frame.scores.values()), np.full(frame.size, np.nan))[used],
        flips=gain,
        alpha=alpha,
    )


def price(frame: frames.Frame, model: Model, key: bytes) -> Risks:
    """Prices every label, and flips labels if the pilot proves that flipping pays."""
    labelled = frame.labelled
    fold = folds_of(frame, key)
    machine_risk = np.full(frame.size, np.nan)
    rows = np.flatnonzero(labelled)
    for start in range(0, len(rows), _PRICED_AT_ONCE):
        part = rows[start : start + _PRICED_AT_ONCE]
        machine_risk[part] = risk.predict_folds(model.folds, model.layout.matrix(frame, part), fold[part])
    final, final_risk = frame.label.copy(), machine_risk.copy()
    probabilities = np.full_like(frame.probabilities, np.nan)
    given = labelled & ~np.isnan(frame.probabilities).any(axis=1)
    if given.any():
        probabilities[given] = flips.recalibrated(
            frame.probabilities[given], frame.label[given], machine_risk[given]
        )
    if model.flips is not None and model.flipping:
        sure = given & (np.nan_to_num(machine_risk) > model.flips.above)
        if sure.any():
            final[sure], final_risk[sure] = flips.flip(frame.label[sure], probabilities[sure])
    return Risks(
        machine=frame.label,
        final=final,
        machine_risk=machine_risk,
        risk=final_risk,
        probabilities=probabilities,
        fold=fold,
        flips=model.flipping,
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
            "probabilities": _lists(risks.probabilities, missing),
            "fold": pa.array(risks.fold, pa.int8()),
            "u": risks.u,
            "outcome": pc.fill_null(risks.outcome, "FAILED"),
            "shard": risks.shard,
        }
    )


def _lists(rows: frames.Floats, missing: frames.Bools) -> pa.Array:
    """Turns rows of numbers into lists; null where they are missing."""
    ends = np.cumsum(np.where(missing, 0, rows.shape[1]), dtype=np.int32)
    return pa.ListArray.from_arrays(
        pa.array(np.concatenate([np.zeros(1, np.int32), ends])),
        pa.array(rows[~missing].ravel()),
        mask=pa.array(missing),
    )


def joined(pieces: Sequence[Risks]) -> Risks:
    """Returns some risks, at least one, as one."""
    if len(pieces) == 1:
        return pieces[0]
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(each, name) for each in pieces]) for name in _COLUMNS
    }
    return dataclasses.replace(
        pieces[0],
        **columns,
        outcome=pa.concat_arrays([each.outcome.cast(pa.string()) for each in pieces]),
        ids=pa.concat_arrays([each.ids for each in pieces]),
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


def _read_fold(record: Mapping[str, Any]) -> choice.Chosen:
    if "members" in record:
        return choice.Chosen.from_record(record)
    columns = tuple(range(len(record["center"])))
    model = risk.PlattModel.from_record(record)
    return choice.Chosen(members=(choice.Fitted(kind="platt", columns=columns, model=model),), weights=(1.0,))

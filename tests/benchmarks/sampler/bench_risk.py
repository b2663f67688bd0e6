"""Table T5 of algorithms.md: what a risk model from n0 labels is worth on the items outside of the pilot.

Politeness: GPT-4o's label and stated confidence are all that a critic has; `features` adds the data set's 21
columns, the length and 50 directions of the words. Through the product's own columns, candidates and choice.
The figures of the document stand beside each line; a standard error over the seeds is with the value.
"""

from __future__ import annotations

import csv
import functools
import json
import pathlib

import numpy as np
import pyarrow as pa

from actuary.sampler import boosting, critics, frames, risking
from actuary.stats import checks, choice, prn, quality, risk

DATA = pathlib.Path(__file__).parents[4] / "shared/data/politeness-gpt4o/politeness.csv"
SEEDS = 20
BEST = {
    250: {"auroc": 0.765, "abs_excess": 0.494, "error_after_flip": 0.229},
    500: {"auroc": 0.768, "abs_excess": 0.493, "error_after_flip": 0.226},
    1000: {"auroc": 0.775, "abs_excess": 0.500, "error_after_flip": 0.225},
    2000: {"auroc": 0.799, "abs_excess": 0.539, "error_after_flip": 0.224},
}
"""The best of each column of T5, whichever row it is in."""


def read() -> tuple[frames.Frame, checks.Booleans, checks.Floats]:
    """Returns the frame, which labels are wrong, and the further features."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    with DATA.open(newline="") as file:
        rows = list(csv.DictReader(file))
    label = np.array([int(row["Prediction_gpt-4o"] == "polite") for row in rows])
    confidence = np.array([float(row["Confidence_gpt-4o"]) for row in rows])
    probabilities = np.stack([1 - confidence, confidence], axis=1)
    probabilities[label == 0] = probabilities[label == 0][:, ::-1]
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
    words = TfidfVectorizer(min_df=3, sublinear_tf=True).fit_transform([row["Text"] for row in rows])
    given = np.array([[float(row[f"Feature_{k}"]) for k in range(1, 22)] for row in rows])
    extra = np.hstack([given, TruncatedSVD(50, random_state=0).fit_transform(words)])
    human = np.array([int(row["Prediction_human"]) for row in rows])
    return frame, human != label, extra


def measure(eps: checks.Floats, wrong: checks.Booleans) -> dict[str, float]:
    """Returns the columns of T5."""
    shares = np.linspace(0.0, 0.5, 101)
    gain = quality.aqg_curve(eps, wrong, shares)
    return {
        "auroc": quality.auroc(eps, wrong),
        "abs_excess": quality.abs_score(gain, shares, float(wrong.mean())).excess,
        "error_after_flip": float(np.where(eps > 0.5, ~wrong, wrong).mean()),
    }


def main() -> None:
    """Prints one JSON line a pilot size, set of candidates and figure."""
    if not DATA.exists():
        print(json.dumps({"benchmark": "sampler.risk_t5", "skipped": f"no data at {DATA.name}"}))
        return
    frame, wrong, extra = read()
    layout = critics.Layout(critics=("confidence",), classes=2)
    own = layout.matrix(frame, np.arange(frame.size))
    x = np.hstack([own, extra])
    kinds = critics.candidates(layout)
    seen = (*kinds[-1].columns, *range(own.shape[1], x.shape[1]))
    grow = functools.partial(boosting.fit, monotone=[int(column in layout.scores) for column in seen])
    wide = choice.Candidate(kind="trees-features", columns=seen, fit=grow, least=1000)
    sets = {"own": kinds, "features": (*kinds, wide)}
    for labels, best in BEST.items():
        for name, candidates in sets.items():
            if name == "features" and labels < wide.least:
                continue
            found: dict[str, list[float]] = {figure: [] for figure in best}
            chosen: list[str] = []
            for seed in range(SEEDS):
                pilot = np.zeros(frame.size, dtype=np.bool_)
                pilot[np.random.default_rng(seed).permutation(frame.size)[:labels]] = True
                fold = risking.folds_of(frame, prn.project_key(seed))
                models = choice.fit_folds(candidates, x[pilot], wrong[pilot], fold[pilot], risking.FOLDS)
                chosen += [model.kind for model in models]
                eps = risk.predict_folds(models, x[~pilot], fold[~pilot])
                for figure, value in measure(eps, wrong[~pilot]).items():
                    found[figure].append(value)
            for figure, values in found.items():
                line = {
                    "benchmark": f"sampler.risk_t5_{name}_{labels}_{figure}",
                    "value": round(float(np.mean(values)), 4),
                    "unit": "share",
                    "standard_error": round(float(np.std(values, ddof=1) / np.sqrt(SEEDS)), 4),
                    "against": {"document_best_row": best[figure]},
                    "chosen": {kind: chosen.count(kind) for kind in sorted(set(chosen))},
                }
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()

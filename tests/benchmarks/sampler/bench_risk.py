"""Table T5 of algorithms.md: what a risk model from n0 labels is worth on the items outside of the pilot.

Politeness: GPT-4o's label and stated confidence are all that a critic has; `features` adds the data set's 21
columns and 50 directions of the words, as an embedding. Through the product's own columns and choice.
The figures of the document stand beside each line; a standard error over the seeds is with the value.
"""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import politeness

from actuary.sampler import boosting, components, critics, risking
from actuary.stats import budget_score, checks, choice, prn, quality, risk

SEEDS = 20
BEST = {
    250: {"auroc": 0.765, "abs_excess": 0.494, "error_after_flip": 0.229},
    500: {"auroc": 0.768, "abs_excess": 0.493, "error_after_flip": 0.226},
    1000: {"auroc": 0.775, "abs_excess": 0.500, "error_after_flip": 0.225},
    2000: {"auroc": 0.799, "abs_excess": 0.539, "error_after_flip": 0.224},
}
"""The best of each column of T5, whichever row it is in."""


def measure(eps: checks.Floats, wrong: checks.Booleans) -> dict[str, float]:
    """Returns the columns of T5."""
    shares = np.linspace(0.0, 0.5, 101)
    everyone = budget_score.gain(eps, np.arange(eps.size), wrong, np.ones(eps.size), shares)
    gains = [gain.value for gain in everyone]
    return {
        "auroc": quality.auroc(eps, wrong),
        "abs_excess": budget_score.area(gains, shares, float(wrong.mean())).excess,
        "error_after_flip": float(np.where(eps > 0.5, ~wrong, wrong).mean()),
    }


def main() -> None:
    """Prints one JSON line a pilot size, set of candidates and figure."""
    data = politeness.read("sampler.risk_t5")
    if data is None:
        return
    wrong = data.wrong
    embedding = politeness.further(data).astype(np.float32)
    frame = dataclasses.replace(data.frame, embedding=embedding)
    everyone = np.arange(frame.size)
    for labels, best in BEST.items():
        for name in ("own", "features"):
            if name == "features" and labels < boosting.LEAST:
                continue
            found: dict[str, list[float]] = {figure: [] for figure in best}
            chosen: list[str] = []
            for seed in range(SEEDS):
                pilot = np.zeros(frame.size, dtype=np.bool_)
                pilot[np.random.default_rng(seed).permutation(frame.size)[:labels]] = True
                fold = risking.folds_of(frame, prn.project_key(seed))
                seen = components.fit(embedding[pilot]) if name == "features" else None
                layout = critics.Layout(critics=("confidence",), classes=2, embedding=seen)
                x, kinds = layout.matrix(frame, everyone), critics.candidates(layout)
                models = choice.fit_folds(kinds, x[pilot], wrong[pilot], fold[pilot], risking.FOLDS)
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

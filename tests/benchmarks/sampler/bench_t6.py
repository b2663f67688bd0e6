"""Table T6 of algorithms.md: the error rate estimated with a control variate that was fitted on the labels.

Usage: bench_t6.py [runs]. After a pilot of 500 a robust square root draws 5, 10 or 20 % of the others, and
the reviewed labels fit the risks again: on all of them, which no product may do, or fold by fold. A campaign
does not refit (8.4); its row is the pilot's.

The refitted model is one of trees over the data set's features and 50 directions of the words. The product's
walk is short (60 rounds, heavy leaves) and learns few labels by heart, so that in sample they do much less
harm than the document's, whose settings are not stated. Those `by heart` walk on for 300 rounds of XGBoost's
own leaves, and fail as the document says. With its defaults throughout (depth 6, eta .3, 100 rounds) the bias
at a tenth was -.057, and no interval of ten covered; on the product's own columns alone it stayed below .004.
"""

from __future__ import annotations

import functools
import sys

import numpy as np
import politeness

from actuary.sampler import boosting, critics, risking
from actuary.stats import checks, choice, designs, draws, estimates, placing, risk, robust

SHARES = (0.05, 0.10, 0.20)
CROSSED = 0.10
"""The share at which the trees by heart are fitted fold by fold, too: that takes long."""
PILOT = 500
DOCUMENT = {
    "none": ((0.002, 0.031, 0.943), (0.001, 0.021, 0.967), (0.001, 0.014, 0.967)),
    "pilot": ((0.002, 0.024, 0.957), (0.001, 0.016, 0.970), (0.001, 0.011, 0.963)),
    "refitted, in sample": ((-0.028, 0.042, 0.110), (-0.029, 0.034, 0.080), (-0.019, 0.023, 0.153)),
    "by heart, in sample": ((-0.028, 0.042, 0.110), (-0.029, 0.034, 0.080), (-0.019, 0.023, 0.153)),
    "by heart, cross-fit": ((0.002, 0.028, 0.940), (0.001, 0.016, 0.977), (0.000, 0.011, 0.960)),
    "refitted, cross-fit": ((0.002, 0.028, 0.940), (0.001, 0.016, 0.977), (0.000, 0.011, 0.960)),
    "mean of pilot and cross-fit": (
        (0.002, 0.025, 0.947), (0.001, 0.0154, 0.977), (0.001, 0.0107, 0.967),
    ),
}  # fmt: skip
"""Bias, RMSE and coverage of 95 % at each budget."""


def features(data: politeness.Data) -> checks.Floats:
    """What the product's trees see, and what the data set adds, [N, p]."""
    layout = critics.Layout(critics=("confidence",), classes=2)
    own = layout.matrix(data.frame, np.arange(data.frame.size))
    return np.hstack([own[:, critics.candidates(layout)[-1].columns], politeness.further(data)])


def estimate(drawn: draws.Draw, wrong: checks.Booleans, eps: checks.Floats) -> tuple[float, bool]:
    """The error of the estimated error rate, and whether the interval covers; over M open items."""
    taken = drawn.selected
    placed = placing.priority(
        "wave", wrong.size, drawn.rank[taken], drawn.score[taken], drawn.tau, np.ones(int(taken.sum()), bool)
    )
    design = designs.Design(phases=(placed.phase,), omega=(1.0,))
    sample = estimates.Sample.of(
        phase=np.zeros(int(taken.sum()), int), pi=placed.pi, wrong=wrong[taken], eps=eps[taken]
    )
    found, truth = estimates.total_errors(design, sample, float(eps.sum())), float(wrong.sum())
    covers = found.low - 1e-6 <= truth <= found.high + 1e-6
    # errors that were found are corrected in both, so that this is the error of the rate that is left too
    return (found.value - truth) / wrong.size, covers


def by_heart(x: checks.Floats, known: checks.Booleans, wrong: checks.Booleans) -> checks.Floats:
    """Risks of all items by trees that learn the labels of the known ones by heart, [N]."""
    import xgboost

    trees = xgboost.XGBClassifier(max_depth=3, learning_rate=0.1, n_estimators=300, n_jobs=1, random_state=0)
    grown = trees.fit(x[known], wrong[known])
    return np.asarray(grown.predict_proba(x)[:, 1], dtype=np.float64)


def by_heart_folds(
    x: checks.Floats, known: checks.Booleans, wrong: checks.Booleans, fold: checks.Integers
) -> checks.Floats:
    """The same without the labels of an item's own fold, [N]."""
    found = np.empty(wrong.size)
    for number in range(risking.FOLDS):
        inside = fold == number
        found[inside] = by_heart(x, known & ~inside, wrong)[inside]
    return found


def run(data: politeness.Data, x: checks.Floats, seed: int) -> dict[tuple[str, int], tuple[float, bool]]:
    """One pilot, and a draw of every budget."""
    campaign = politeness.begin(data, seed, PILOT)
    rest = ~campaign.known
    eps, wrong, fold = campaign.risks.machine_risk[rest], data.wrong[rest], campaign.risks.fold
    grow = functools.partial(boosting.fit, monotone=[0] * x.shape[1])
    trees = choice.Candidate(kind="trees", columns=tuple(range(x.shape[1])), fit=grow)
    u = np.random.default_rng([6, seed]).random(eps.size)
    found = {}
    for column, share in enumerate(SHARES):
        rule = robust.pi_sqrt(eps, round(share * eps.size))
        drawn = draws.draw_exact(rule.score, u, round(share * eps.size))
        known = campaign.known.copy()
        known[np.flatnonzero(rest)[drawn.selected]] = True
        inside = choice.fit_or_constant(trees, x[known], data.wrong[known]).predict(x)[rest]
        models = choice.fit_folds([trees], x[known], data.wrong[known], fold[known], risking.FOLDS)
        outside = risk.predict_folds(models, x, fold)[rest]
        for name, variate in (
            ("none", np.zeros(eps.size)),
            ("pilot", eps),
            ("refitted, in sample", inside),
            ("refitted, cross-fit", outside),
            ("by heart, in sample", by_heart(x, known, data.wrong)[rest]),
            ("mean of pilot and cross-fit", (eps + outside) / 2.0),
        ):
            found[name, column] = estimate(drawn, wrong, variate)
        if share == CROSSED:
            variate = by_heart_folds(x, known, data.wrong, fold)[rest]
            found["by heart, cross-fit", column] = estimate(drawn, wrong, variate)
    return found


def main() -> None:
    """Prints JSON lines."""
    data = politeness.read("sampler.t6")
    if data is None:
        return
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 24
    x = features(data)
    found = [run(data, x, seed) for seed in range(runs)]
    for name, document in DOCUMENT.items():
        for column, share in enumerate(SHARES):
            if (name, column) not in found[0]:
                continue
            off = np.array([each[name, column][0] for each in found])
            covered = [float(each[name, column][1]) for each in found]
            about = {"control_variate": name, "budget": share, "seeds": f"0..{runs - 1}"}
            bias, rmse, coverage = document[column]
            politeness.report("sampler.t6_bias", off, bias, **about)
            # the mean of squares, its root, and the delta method's error of that
            root = float(np.sqrt((off**2).mean()))
            error = float((off**2).std(ddof=1) / np.sqrt(runs)) / (2.0 * root)
            politeness.report("sampler.t6_rmse", [root], rmse, **about, se_rmse=round(error, 5))
            politeness.report("sampler.t6_coverage", covered, coverage, **about)


if __name__ == "__main__":
    main()

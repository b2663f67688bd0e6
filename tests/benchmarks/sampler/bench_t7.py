"""Table T7 of algorithms.md: a model trained on labels that a budget bought, judged on requests left out.

Usage: bench_t7.py [splits]. 70 % of the requests are the pool and 30 % the test; the pilot is inside the
budget. The model is a logistic regression on TF-IDF of words and of pairs, which has the document's .711 when
people label everything, with the targets of `training.act_targets`; it is convex, so that nothing here
depends on a start or on a stop.

A campaign's weights are those of its estimate (8.5): pilot and wave stand for the whole pool each and share
it, so that a pilot's label weighs about ten times what it would if it stood for itself, and an item that was
certain to be drawn less than 1. The document's W = 5 is of a pilot that stands for itself, of weight 1, and
of a wave that stands for the others: the rows `pilot once`. Both are unbiased without a cap; with one the
document's weights depend less on few labels, and that is the difference between these rows.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import politeness
import scipy.optimize
import scipy.special

from actuary.sampler import frames, phases
from actuary.stats import checks, draws, placing, robust, rules, training, weighing

SHARES = (0.05, 0.10, 0.20, 0.30)
L2 = 4.0
DOCUMENT = {
    "human only": (0.547, 0.588, 0.645, 0.668),
    "replace, threshold raw": (0.505, 0.506, 0.521, 0.557),
    "replace, threshold calibrated": (0.508, 0.522, 0.570, 0.620),
    "ACT, uniform": (0.606, 0.632, 0.663, 0.679),
    "ACT, normalised raw": (0.598, 0.611, 0.641, 0.664),
    "ACT, exponential 10 raw": (0.540, 0.571, 0.628, 0.661),
    "ACT, square root raw, lambda 1": (0.595, 0.630, 0.659, 0.676),
    "ACT, square root raw, lambda .8": (0.606, 0.638, 0.666, 0.681),
    "ACT, square root raw, lambda .6": (0.614, 0.645, 0.670, 0.686),
    "ACT, hybrid, lambda 1": (0.558, 0.578, 0.605, 0.650),
    "ACT, hybrid, lambda .6": (0.562, 0.590, 0.626, 0.667),
    "soft, square root, W inf": (0.608, 0.636, 0.665, 0.682),
    "soft, square root, W 5": (0.658, 0.686, 0.687, 0.685),
    "soft, hybrid, W 5": (0.660, 0.685, 0.698, 0.696),
    "soft, square root, W 1": (0.651, 0.694, 0.707, 0.709),
    "soft, hybrid, W 1": (0.659, 0.689, 0.706, 0.710),
    "soft, square root, W 5, pilot once": (0.658, 0.686, 0.687, 0.685),
    "soft, hybrid, W 5, pilot once": (0.660, 0.685, 0.698, 0.696),
    "soft, hybrid, W 1, pilot once": (0.659, 0.689, 0.706, 0.710),
}
FULL = {"all human": 0.711, "all machine": 0.505}


def fit_and_judge(x: Any, t: checks.Floats, m: checks.Floats, x_test: Any, y_test: frames.Longs) -> float:
    """Accuracy of the regression that minimises Σ m log(1 + e^a) - t_1 a + l2/2 |w|², a = xw + b.

    With two classes only a = z_1 - z_0 matters of the logits.
    """

    def loss(theta: checks.Floats) -> tuple[float, checks.Floats]:
        a = x @ theta[:-1] + theta[-1]
        slope = m * scipy.special.expit(a) - t[:, 1]
        value = float((m * np.logaddexp(0.0, a)).sum() - t[:, 1] @ a + L2 / 2.0 * theta[:-1] @ theta[:-1])
        return value, np.append(x.T @ slope + L2 * theta[:-1], slope.sum())

    found = scipy.optimize.minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B")
    return float(((x_test @ found.x[:-1] + found.x[-1] > 0.0) == (y_test == 1)).mean())


def hard(label: frames.Longs) -> checks.Floats:
    """One-hot rows."""
    return np.eye(2)[label]


def targets_of(pool: politeness.Data, seed: int, labels: int) -> dict[str, Any]:
    """Targets and masses of every row, from one pilot and one draw each."""
    human, machine, size = pool.human, pool.frame.label, pool.frame.size
    rng = np.random.default_rng([7, seed])
    u, tie = rng.random((2, size))
    found = {}

    def act(taken: checks.Booleans, g: checks.Floats, soft: checks.Floats, lam=1.0, cap=np.inf) -> Any:
        return training.act_targets(np.where(taken, human, -1), soft, g, lam, cap)

    def replaced(taken: checks.Booleans) -> Any:
        return hard(np.where(taken, human, machine)), np.ones(size)

    srs = draws.srs(u, labels)
    found["human only"] = hard(human) * srs.selected[:, None], srs.selected.astype(float)
    found["replace, threshold raw"] = replaced(rules.pi_threshold(pool.raw, labels, tie).pi == 1.0)
    found["ACT, uniform"] = act(srs.selected, 1.0 / srs.pi, hard(machine))
    for name, rule in (
        ("ACT, normalised raw", rules.pi_normalised(pool.raw, labels)),
        ("ACT, exponential 10 raw", rules.pi_exponential(pool.raw, labels, 10.0)),
    ):
        found[name] = act(draws.draw_poisson(rule.pi, u), 1.0 / rule.pi, hard(machine))
    drawn = draws.draw_exact(robust.pi_sqrt(pool.raw, labels).score, u, labels)
    for lam, name in ((1.0, "1"), (0.8, ".8"), (0.6, ".6")):
        targets = act(drawn.selected, 1.0 / np.maximum(drawn.pi, 1e-12), hard(machine), lam)
        found[f"ACT, square root raw, lambda {name}"] = targets

    campaign = politeness.begin(pool, seed, politeness.pilot_size(labels))
    left, risks = labels - int(campaign.known.sum()), campaign.risks
    top = campaign.wave(left, weighing.Weighing(rule="threshold"), eps=risks.machine_risk)
    found["replace, threshold calibrated"] = replaced(politeness.reviewed(size, [campaign.pilot, top]))
    soft = risks.soft(np.arange(size))
    for rule, name in (("square-root", "square root"), ("hybrid", "hybrid")):
        weigh = weighing.Weighing(rule=rule, audit_share=0.3)
        waves = campaign.waves(campaign.wave(left, weigh), weigh)
        population = campaign.population()
        rows = phases.rows(
            phases.of_waves(population, waves, campaign.key), placing.robust_variance(risks.risk)
        )
        taken, g = np.zeros(size, dtype=bool), np.zeros(size)
        taken[rows.at], g[rows.at] = True, rows.g
        if rule == "hybrid":
            for lam, mark in ((1.0, "1"), (0.6, ".6")):
                found[f"ACT, hybrid, lambda {mark}"] = act(taken, g, hard(machine), lam)
        for cap, mark in ((np.inf, "inf"), (5.0, "5"), (1.0, "1")):
            found[f"soft, {name}, W {mark}"] = act(taken, g, soft, cap=cap)
        once = np.zeros(size)
        once[rows.at] = np.where(rows.wave == 0, 1.0, 1.0 / rows.pi)
        for cap, mark in ((5.0, "5"), (1.0, "1")):
            if cap > 1.0 or rule == "hybrid":
                found[f"soft, {name}, W {mark}, pilot once"] = act(taken, once, soft, cap=cap)
    return found


def main() -> None:
    """Prints JSON lines."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    data = politeness.read("sampler.t7")
    if data is None:
        return
    splits = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    found: dict[tuple[str, int], list[float]] = {}
    full: dict[str, list[float]] = {name: [] for name in FULL}
    for seed in range(splits):
        order = np.random.default_rng([70, seed]).permutation(data.frame.size)
        cut = round(0.7 * data.frame.size)
        pool, test = data.take(np.sort(order[:cut])), data.take(np.sort(order[cut:]))
        words = TfidfVectorizer(min_df=3, ngram_range=(1, 2), sublinear_tf=True)
        x = words.fit_transform(pool.text)
        x_test = words.transform(test.text)
        for name, label in (("all human", pool.human), ("all machine", pool.frame.label)):
            full[name].append(fit_and_judge(x, hard(label), np.ones(cut), x_test, test.human))
        for column, share in enumerate(SHARES):
            for name, (t, m) in targets_of(pool, seed, round(share * cut)).items():
                value = fit_and_judge(x, t, m, x_test, test.human)
                found.setdefault((name, column), []).append(value)
    about = {"seeds": f"0..{splits - 1}"}
    for name, values in full.items():
        politeness.report("sampler.t7_full", values, FULL[name], labels=name, **about)
    for name, document in DOCUMENT.items():
        for column, share in enumerate(SHARES):
            values = found[name, column]
            politeness.report("sampler.t7", values, document[column], method=name, budget=share, **about)


if __name__ == "__main__":
    main()

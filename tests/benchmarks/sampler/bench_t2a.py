"""Table T2a of algorithms.md: what each rule does with a tenth of the labels, after a pilot of 500.

Usage: bench_t2a.py [pilots]. The document drew one pilot (its seed 11), which nobody else has; here the mean
over pilots of seeds 11, 12 ... stands beside it, so that a difference of some .003 in accuracy is the pilot's
and none of the rule's. Labels are not flipped. Accuracy, RMSE and the largest weight are exact, coverage is
of Poisson draws, and of the interval that the product chooses for the mean label and the errors left.
`coverage_upper`, of the one-sided 95 % bound for the errors left, is the gamma bound's in the document; the
product takes Wald's from 20 errors on (8.11), for which the document has .93 to .95. The λ of the document's
two Lagrange rows are not stated: ours are other points of the same frontier.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import politeness

from actuary.stats import budget_score, checks, designs, draws, estimates, placing, robust, rules, shares

BUDGET = 0.1
DRAWS = 50
GRID = np.linspace(0.0, 0.5, 11)

DOCUMENT: dict[str, tuple[float | None, ...]] = {
    "uniform": (0.0, 0.725, 0.0235, 0.0172, 0.951, 0.95, 10.0),
    "normalised": (0.279, 0.741, 0.0237, 0.0201, 0.951, 0.98, 44.0),
    "exponential 10": (0.418, 0.766, 0.071, 0.065, 0.904, 1.0, 566.0),
    "exponential 50": (0.496, 0.777, 9e3, 9e3, 0.254, 1.0, 8e13),
    "threshold": (0.505, 0.779, None, None, None, None, None),
    "square root": (0.145, 0.733, 0.0220, 0.0174, 0.947, 0.96, 20.0),
    "square root, gamma .3": (0.098, 0.730, 0.0221, 0.0172, 0.941, 0.95, 14.0),
    "square root of e(1-e), gamma .3": (0.035, 0.727, 0.0229, 0.0169, 0.958, 0.96, 13.0),
    "CDI": (0.131, 0.732, 0.0220, 0.0173, 0.949, 0.97, 18.0),
    "hybrid .2": (0.439, 0.769, 0.044, 0.037, 0.944, 0.98, 64.0),
    "hybrid .5": (0.339, 0.754, 0.029, 0.024, 0.943, 0.96, 27.0),
    "Lagrange, small": (0.488, 0.775, 0.078, 0.068, 0.940, 1.0, 263.0),
    "Lagrange, middle": (0.379, 0.750, 0.026, 0.022, 0.949, 0.97, 27.0),
}
"""The columns of `FIGURES`."""
FIGURES = ("abs_excess", "accuracy", "rmse_hard", "rmse_soft", "coverage", "coverage_upper", "largest_weight")


def all_rules(eps: checks.Floats, tie: checks.Floats) -> dict[str, Callable[[float], rules.Inclusion]]:
    """Every rule as a function of the budget in labels."""
    v = 0.7 * eps + 0.3 * eps.mean()
    useful = (BUDGET**2) * eps.mean() / v.mean()  # the scale of λ, see `robust.pi_lagrange`
    return {
        "uniform": lambda b: rules.pi_uniform(eps.size, b),
        "normalised": lambda b: rules.pi_normalised(eps, b),
        "exponential 10": lambda b: rules.pi_exponential(eps, b, 10.0),
        "exponential 50": lambda b: rules.pi_exponential(eps, b, 50.0),
        "threshold": lambda b: rules.pi_threshold(eps, b, tie),
        "square root": lambda b: robust.pi_sqrt(eps, b, gamma=0.0),
        "square root, gamma .3": lambda b: robust.pi_sqrt(eps, b),
        "square root of e(1-e), gamma .3": lambda b: robust.pi_sqrt(eps * (1.0 - eps), b),
        "CDI": lambda b: robust.pi_cdi(eps, b),
        "hybrid .2": lambda b: robust.pi_hybrid(eps, b, tie, audit=0.2),
        "hybrid .5": lambda b: robust.pi_hybrid(eps, b, tie, audit=0.5),
        "Lagrange, small": lambda b: robust.pi_lagrange(eps, v, b, 0.01 * useful),
        "Lagrange, middle": lambda b: robust.pi_lagrange(eps, v, b, 0.3 * useful),
    }


def covers(
    pi: checks.Floats, taken: checks.Booleans, y: checks.Booleans, f: checks.Floats, alpha: float
) -> tuple[estimates.Estimate, float]:
    """The product's estimate of Σ y from a Poisson draw, and Σ y.

    The variance of a priority phase, Σ (1 - π)/π² e², is that of a Poisson draw as well.
    """
    phase = placing.Phase(
        name="wave", kind="priority", population=pi.size, certain=0, sampled=int(taken.sum()), tau=1.0
    )
    design = designs.Design(phases=(phase,), omega=(1.0,))
    sample = estimates.Sample.of(
        phase=np.zeros(int(taken.sum()), int), pi=pi[taken], wrong=y[taken], eps=f[taken]
    )
    total = shares.total if f.any() else estimates.total_errors
    return total(design, sample, float(f.sum()), alpha), float(y.sum())


def measure(data: politeness.Data, seed: int) -> dict[str, tuple[float, ...]]:
    """The figures of every rule after one pilot."""
    campaign = politeness.begin(data, seed, 500)
    rest = ~campaign.known
    eps, wrong = campaign.risks.machine_risk[rest], data.wrong[rest]
    human, machine = data.human[rest].astype(bool), data.frame.label[rest]
    soft = np.where(machine == 1, 1.0 - eps, eps)
    rng = np.random.default_rng([2, seed])
    tie, labels = rng.random(eps.size), round(BUDGET * eps.size)
    numbers = rng.random((DRAWS, eps.size))
    found = {}
    for name, rule in all_rules(eps, tie).items():
        gain = [0.0, *(float((wrong * rule(round(b * eps.size)).pi).mean()) for b in GRID[1:])]
        excess = budget_score.area(gain, GRID, float(wrong.mean())).excess
        pi = rule(labels).pi
        accuracy = 1.0 - float((wrong * (1.0 - pi)).mean())
        if pi.min() == 0.0:
            found[name] = (excess, accuracy, *[np.nan] * 5)
            continue
        spread = (1.0 - pi) / pi
        hard, own = (float(np.sqrt((spread * (human - f) ** 2).sum()) / eps.size) for f in (machine, soft))
        hits, upper = [], []
        for u in numbers:
            taken = draws.draw_poisson(pi, u)
            share, truth = covers(pi, taken, human, soft, 0.05)
            hits.append(share.low - 1e-6 <= truth <= share.high + 1e-6)
            # the upper end of a two-sided 90 % is a one-sided 95 %
            count, truth = covers(pi, taken, wrong, np.zeros(eps.size), 0.1)
            upper.append(truth <= count.high + 1e-6)
        weight = float(1.0 / pi.min())
        found[name] = (excess, accuracy, hard, own, float(np.mean(hits)), float(np.mean(upper)), weight)
    return found


def main() -> None:
    """Prints JSON lines."""
    data = politeness.read("sampler.t2a")
    if data is None:
        return
    pilots = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    runs = [measure(data, 11 + number) for number in range(pilots)]
    for name, document in DOCUMENT.items():
        for column, figure in enumerate(FIGURES):
            if document[column] is not None:
                values = [run[name][column] for run in runs]
                about = {"rule": name, "figure": figure, "seeds": f"11..{10 + pilots}"}
                politeness.report("sampler.t2a", values, document[column], **about)


if __name__ == "__main__":
    main()

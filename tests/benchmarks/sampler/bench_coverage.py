"""How often the intervals of whole campaigns cover when risks are fitted on the pilot; JSON lines.

Usage: bench_coverage.py [runs]. Each run has a pool, a pilot, a risk model and a wave of its own: what the
tests of coverage leave out, since they freeze risks. Below 300 runs' binom.ppf(1e-6, 300, .95) = 263 hits, a
coverage of .877, an interval does not cover 95 %. `sampler.coverage_alone` is a wave of steep weights with no
audit beside it, risks frozen: intervals fail there, and the rule warns; not of an overconfident critic, whose
risks are too small for the weights to be extreme, though its intervals fall short as well.
"""

from __future__ import annotations

import pathlib
import sys

import numpy as np
import politeness

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "statistics"))

import replays
import worlds

from actuary.stats import weighing


def refitted(runs: int) -> None:
    """Prints the coverage of both accuracies in each world."""
    for case, world in worlds.CASES.items():
        hits = np.array([worlds.fresh(world, 1000 + seed).hits for seed in range(runs)], dtype=np.float64)
        for name, covered in zip(("machine", "corrected"), hits.T, strict=True):
            about = {"case": case, "accuracy": name, "seeds": f"1000..{999 + runs}"}
            politeness.report("sampler.coverage", covered, worlds.LEVEL, **about)


def alone(runs: int) -> None:
    """Prints the coverage where no estimate holds, with the warning."""
    rule = weighing.Weighing(rule="exponential", beta=50.0)
    for critic in ("calibrated", "overconfident", "adversarial"):
        items = replays.pool(critic)
        covered = replays.cover(items, lambda answers: answers.drawn(rule, 100), runs)
        said = rule.inclusion(items.eps, 100, np.linspace(0.1, 0.9, items.eps.size))
        for name, count in covered.answered.items():
            hits = (np.arange(count) < covered.hits[name]).astype(np.float64)
            about = {"rule": "exponential, beta 50", "critic": critic, "of": name, "warning": said.warning}
            politeness.report("sampler.coverage_alone", hits, worlds.LEVEL, **about)


def main() -> None:
    """Prints JSON lines."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    refitted(runs)
    alone(runs)


if __name__ == "__main__":
    main()

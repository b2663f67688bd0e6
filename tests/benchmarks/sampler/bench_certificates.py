"""What target mode costs on real labels, beside the published figures; one JSON object a line.

Usage: bench_certificates.py [runs] [data folder]. Politeness as GPT-4o labelled it:
in each run a pilot of 500 fits a Platt model on confidence and label, labels are flipped where it says so,
and the rest is audited and reviewed down to the cut that is proven. Beside table T4 of the algorithms the
target and the share are of the items outside the pilot; `sampler.target_05_politeness_share` is of all items,
the pilot counted among the reviewed. `violations` is the share of runs that leave more errors than allowed.
"""

import csv
import json
import sys
import time
from pathlib import Path

import numpy as np

from actuary.stats import audits, certificates, draws, risk

DATA = Path(__file__).parents[4] / "shared" / "data"
PILOT = 500
LOOKS = {
    "one look": (0.10,),
    "half": (0.05,),
    "four looks": (0.03, 0.06, 0.12, 0.24),
}
PUBLISHED = {
    (0.05, "one look"): 0.728, (0.05, "half"): 0.758, (0.05, "four looks"): 0.730,
    (0.10, "one look"): 0.474, (0.10, "half"): 0.521, (0.10, "four looks"): 0.484,
}  # fmt: skip
"""Human share needed, table T4, row "hypergeometric + exact credit, K" and the two below it."""


def politeness(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of people and of the machine as 0 and 1, and the machine's confidence in its own."""
    with (folder / "politeness-gpt4o" / "politeness.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    human = np.array([int(row["Prediction_human"]) for row in rows])
    machine = np.array([int(row["Prediction_gpt-4o"] == "polite") for row in rows])
    return human, machine, np.array([float(row["Confidence_gpt-4o"]) for row in rows])


def one(rng, data: tuple[np.ndarray, ...], target: float, looks, *, counted: bool) -> tuple[float, bool]:
    """The human share that one campaign needs, and whether it leaves more errors than allowed."""
    human, machine, confidence = data
    known = PILOT if counted else 0
    pilot = draws.srs(rng.random(human.size), PILOT).selected
    signal = risk.logit(confidence)
    x = np.column_stack([signal, machine, signal * machine])
    eps = risk.predict(risk.fit_platt(x[pilot], (human != machine)[pilot]), x)
    flipped = eps > 0.5
    wrong = ((human != machine) ^ flipped)[~pilot]
    suspicion = np.minimum(eps, 1.0 - eps)[~pilot]
    items = wrong.size
    order = np.lexsort((rng.random(items), suspicion))
    design = certificates.target_design(
        population=items + known,
        eligible=items,
        labels=items,
        target=target,
        looks=[round(share * items) for share in looks],
        alpha1=0.04,
        alpha2=0.01,
    )
    place = np.argsort(rng.random(items))
    found: list[audits.Found] = []
    decision = None
    while decision is None or decision.another:
        at = place[: design.looks[len(found)]]
        zeros = np.zeros(at.size, dtype=bool)
        found.append(audits.tally(at, wrong[order][at], zeros, zeros, design.cuts))
        following = None
        if len(found) < len(design.looks):
            following = np.searchsorted(np.sort(place[: design.looks[len(found)]]), design.cuts).tolist()
        decision = audits.decide(design, found, following)
    claim = audits.conclude(design, found, 0)
    left = wrong[order][: claim.cut].sum() - claim.wrong
    return (decision.labels + known) / (items + known), bool(left > claim.errors)


def main() -> None:
    """Prints the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else DATA
    if not folder.is_dir():
        print(
            f"left out: no data sets in {folder}; give their folder as the second argument", file=sys.stderr
        )
        return
    data = politeness(folder)
    for (target, name), published in PUBLISHED.items():
        measure(
            f"certificate.politeness_share_{target:g}", data, runs, target, name, published, counted=False
        )
    measure("sampler.target_05_politeness_share", data, runs, 0.05, "one look", 0.76, counted=True)


def measure(benchmark, data, runs: int, target: float, audit: str, against: float, *, counted: bool) -> None:
    """Prints one line."""
    rng = np.random.default_rng(1)
    start = time.perf_counter()
    results = np.array(
        [one(rng, data, target, LOOKS[audit], counted=counted) for _ in range(runs)], dtype=float
    )
    share, violations = results.mean(axis=0)
    line = {
        "benchmark": benchmark,
        "audit": audit,
        "value": round(float(share), 4),
        "unit": "human share",
        "against": against,
        "standard_error": round(float(results[:, 0].std() / np.sqrt(runs)), 4),
        "violations": round(float(violations), 4),
        "runs": runs,
        "seconds": round(time.perf_counter() - start, 1),
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()

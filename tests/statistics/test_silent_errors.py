"""The ways to be silently wrong of algorithms.md section 8, each planted once, beside the same done right.

The right one passes the bound of its replays (`replays.enough`), the wrong one falls below it, on the same
pool. There are half as many as in the coverage tests, whose bound is the closer one, so that it is known to
tell one from the other as well. A pilot that is used again as the audit (8.2) is planted with the
certificates.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import replays

from actuary.stats import designs, estimates, placing, weighing

REPLAYS, ITEMS = replays.REPLAYS // 2, replays.ITEMS


def test_planted_raw_numbers_of_the_pilot_are_caught():
    """8.1: the second draw uses the items' numbers as if the pilot had not taken the smallest."""
    items, rng = replays.pool("calibrated"), np.random.default_rng(1)
    weigh, no_risks = weighing.Weighing(rule="square-root", gamma=0.1), np.zeros(ITEMS)
    hits = {"rescaled": 0, "raw": 0}
    for _ in range(REPLAYS):
        for name in hits:
            answers = replays.Answers(items, rng)
            answers.pilot(200)
            answers.drawn(weigh, 100, u=answers.u if name == "raw" else None)
            rows = answers.rows()
            # the draw by itself, without a control variate that would make up for some of it
            alone = designs.Design(phases=rows.design.phases, omega=(0.0, 1.0))
            found = answers.errors(eps=no_risks, rows=dataclasses.replace(rows, design=alone))
            hits[name] += found.low <= items.wrong.sum() <= found.high

    assert hits["rescaled"] >= replays.enough(REPLAYS) > hits["raw"]


def cell_means(cell, wrong, at, fold=None):
    """A risk for every item: the share of wrong labels among those reviewed in its cell, a prior beside it.

    With folds, among those of other folds than the item's own.
    """
    cells = int(cell.max()) + 1
    counts = np.stack([np.bincount(cell[at], minlength=cells), np.bincount(cell[at], wrong[at], cells)])
    reviewed, bad = counts[:, cell]
    if fold is not None:
        own = fold * cells + cell
        counts = [np.bincount(own[at], weights, 5 * cells)[own] for weights in (None, wrong[at])]
        reviewed, bad = reviewed - counts[0], bad - counts[1]
    return (bad + 0.1) / (reviewed + 0.5)


def test_planted_risks_that_saw_their_own_label_are_caught():
    """8.4: a control variate that was fitted on the reviewed labels, in sample and out of fold."""
    items, rng = replays.pool("calibrated"), np.random.default_rng(2)
    cell, fold = rng.integers(0, 150, ITEMS), rng.integers(0, 5, ITEMS)
    hits = {"out of fold": 0, "in sample": 0}
    for _ in range(REPLAYS):
        answers = replays.Answers(items, rng)
        answers.pilot(150)
        at = answers.phases[0].at
        for name, folds in (("out of fold", fold), ("in sample", None)):
            found = answers.errors(cell_means(cell, items.wrong, at, folds))
            hits[name] += found.low <= items.wrong.sum() <= found.high

    assert hits["out of fold"] >= replays.enough(REPLAYS) > hits["in sample"]


def test_planted_flips_that_were_fitted_on_their_own_audit_are_caught():
    """8.4: the reviewed labels decide what is flipped, and then say how good that was."""
    rng = np.random.default_rng(2)
    phase = placing.Phase(name="audit", kind="srs", population=ITEMS - 100, certain=0, sampled=100, tau=None)
    design = designs.Design(phases=(phase,), omega=(1.0,))
    hits = {"frozen before": 0, "refitted": 0}
    for _ in range(REPLAYS):
        cell, wrong = rng.integers(0, 40, ITEMS), rng.random(ITEMS) < 0.4
        order = rng.permutation(ITEMS)
        pilot, audit = order[:100], order[100:200]
        for name, fitted in (("frozen before", pilot), ("refitted", audit)):
            votes = np.bincount(cell[fitted], 2.0 * wrong[fitted] - 1.0, minlength=40)
            left = wrong ^ (votes > 0)[cell]
            rest = np.setdiff1d(np.arange(ITEMS), pilot)
            sample = estimates.Sample.of(
                phase=[0] * 100, pi=[100 / (ITEMS - 100)] * 100, wrong=left[audit], eps=[0.0] * 100
            )
            found = estimates.total_errors(design, sample, 0.0)
            hits[name] += found.low <= left[rest].sum() <= found.high

    assert hits["frozen before"] >= replays.enough(REPLAYS) > hits["refitted"]


def topped_up(answers):
    """Errors as estimated before a top-up, and after it: combined, and taken for all that is known."""
    answers.pilot(100)
    answers.audit(200)
    before = answers.rows()
    answers.audit(30)
    everybody = np.ones(ITEMS, dtype=bool)
    *earlier, new = (
        phase.variance(phase.placed.phase, answers.items.v, everybody) for phase in answers.phases
    )
    old = sum(w**2 * v for w, v in zip(before.design.omega, earlier, strict=True))
    found = [answers.errors(rows=before)]
    for omega in (old / (old + new), 1.0):
        design = designs.extend(before.design, [answers.phases[-1].placed.phase], [omega])
        found.append(answers.errors(rows=dataclasses.replace(answers.rows(), design=design)))
    return found


def test_planted_waves_that_replace_earlier_ones_are_caught():
    """8.5: thirty labels more. Taken for all that is known, they make the estimate worse, and nobody sees it.

    The standard deviation of n normal errors is known to 1/√(2n), 1.4 % here; five of these each way.
    """
    items, rng = replays.pool("calibrated"), np.random.default_rng(3)
    hits, values = np.zeros(3), []
    for _ in range(REPLAYS):
        found = topped_up(replays.Answers(items, rng))
        hits += [each.low <= items.wrong.sum() <= each.high for each in found]
        values.append([each.value for each in found])

    before, combined, replaced = np.std(values, axis=0)
    assert (hits >= replays.enough(REPLAYS)).all()
    assert combined < before * 1.07 / 0.93
    assert replaced > before * 1.07 / 0.93

"""What a report says of each reviewer: how much they answered, how far they agree, how often they err.

Doubles alone cannot tell who of two is wrong. They bound it: who errs at a rate disagrees with others at
about that rate or more, unless they err alike. Gold tasks tell it, since their answer is known. Every rate
comes with its interval, by name; nobody is ranked or left out. A rate of gold tasks is one of exemplars,
which are chosen and not drawn: it enters no statement about the pool (algorithms.md 8.8 wants doubles for
that).
"""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actuary.report import values
from actuary.stats import agreement, reviewers

SHOWN = 50
"""Reviewers with the most answers, and pairs with the most common items: more than anybody reads."""

Double = tuple[tuple[str, str], tuple[str, str]]
"""Who said what of an item first, and who said what second."""


def people(
    rows: pa.Table, doubles: Sequence[Double], gold: Mapping[str, str], alpha: float
) -> tuple[values.ReviewerResult, ...]:
    """Each reviewer, those with the most answers first.

    Args:
        rows: each person's standing answer to each item: item_id, reviewer, label and seconds.
        doubles: the two answers to items of a random sample.
        gold: the known label of each gold task, by item.
        alpha: one minus the confidence level; of each interval by itself.
    """
    apart, known = _disagreement(doubles, alpha), _gold(rows, gold, alpha)
    found = []
    for name in pc.unique(rows["reviewer"]).to_pylist():
        own = rows.filter(pc.equal(rows["reviewer"], name))
        seconds = own["seconds"].to_numpy()
        found.append(
            values.ReviewerResult(
                name=name,
                answers=own.num_rows,
                cannot_tell=int(own["label"].null_count),
                median_seconds=float(np.median(seconds)) if (seconds > 0).any() else None,
                doubles=apart[name].tasks if name in apart else 0,
                disagreement=_rate(apart[name]) if name in apart else None,
                gold_tasks=known[name].tasks if name in known else 0,
                gold_error=_rate(known[name]) if name in known else None,
            )
        )
    return tuple(sorted(found, key=lambda each: (-each.answers, each.name))[:SHOWN])


def pairs(doubles: Sequence[Double], alpha: float) -> tuple[values.PairResult, ...]:
    """Each two people who answered the same items, those with the most first; Cohen's κ where it is defined.

    Args:
        doubles: the two answers to items of a random sample.
        alpha: one minus the confidence level; of each interval by itself.
    """
    together: dict[tuple[str, str], list[tuple[str, str]]] = collections.defaultdict(list)
    for one, other in doubles:
        (first, said), (second, answered) = sorted((one, other))
        together[first, second].append((said, answered))
    found = []
    for (first, second), answers in together.items():
        agreed = agreement.pairs([a == b for a, b in answers], alpha)
        found.append(
            values.PairResult(
                first=first,
                second=second,
                items=len(answers),
                agreement=interval(agreed),
                cohen_kappa=_kappa(answers, alpha),
            )
        )
    return tuple(sorted(found, key=lambda each: (-each.items, each.first, each.second))[:SHOWN])


def interval(found: agreement.Agreement) -> values.Interval:
    """A coefficient as the report shows it."""
    return values.Interval(estimate=found.value, low=found.low, high=found.high, method=found.method)


def _disagreement(doubles: Sequence[Double], alpha: float) -> Mapping[str, reviewers.ErrorRate]:
    """How often each person's answer differs from the other one to the same item."""
    return _rates(
        [(name, one[1] != other[1]) for one, other in doubles for name in (one[0], other[0])], alpha
    )


def _gold(rows: pa.Table, gold: Mapping[str, str], alpha: float) -> Mapping[str, reviewers.ErrorRate]:
    """How often each person's answer to a gold task is not the known one; who cannot tell has not erred."""
    told = [
        (row["reviewer"], row["label"] != gold[row["item_id"]])
        for row in rows.select(["item_id", "reviewer", "label"]).to_pylist()
        if row["item_id"] in gold and row["label"] is not None
    ]
    return _rates(told, alpha)


def _rates(told: Sequence[tuple[str, bool]], alpha: float) -> Mapping[str, reviewers.ErrorRate]:
    names = sorted({name for name, _ in told})
    number = {name: place for place, name in enumerate(names)}
    who = np.array([number[name] for name, _ in told], dtype=np.int64)
    rates = reviewers.error_rates(who, np.array([wrong for _, wrong in told], dtype=np.bool_), alpha)
    return {names[rate.reviewer]: rate for rate in rates}


def _rate(found: reviewers.ErrorRate) -> values.Interval:
    return values.Interval(
        estimate=found.wrong / found.tasks, low=found.low, high=found.high, method="clopper-pearson"
    )


def _kappa(answers: Sequence[tuple[str, str]], alpha: float) -> values.Interval | None:
    """Cohen's κ; None with one item, and where only one class was used, which chance explains."""
    classes = sorted({label for pair in answers for label in pair})
    if len(answers) < 2 or len(classes) < 2:
        return None
    place = {label: k for k, label in enumerate(classes)}
    table = np.zeros((len(classes), len(classes)))
    for one, other in answers:
        table[place[one], place[other]] += 1
    return interval(agreement.cohen_kappa(table, alpha))

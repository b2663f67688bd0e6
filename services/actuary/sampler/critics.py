"""What a risk model may look at, and which kinds of models compete for it.

Columns of numbers made from a frame, the same when the pilot is fitted and when the pool is priced. Fitting
and choosing are `stats.choice`; what comes of it is `risking`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from actuary.sampler import boosting, components, frames
from actuary.stats import choice, isotonic, risk

MOST_CLASSES = 20
"""With more classes the machine's label is no feature: a pilot holds too few of each. A guess."""

FEW_LABELS = 100
"""Below it one Platt scaling of the scores is all that labels can tell. A guess."""

LEAST_EMBEDDED = 1_000
"""Labels from which on trees see an embedding: on politeness they predict worse from 500, as well as a linear
model from 1,000, and better from 2,000."""

ANY = "*"
"""Stands for the only critic there is, in models that do not name it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Columns: scores of S critics, confidence, margin, length, the label, components of the embedding.

    The label is C columns of 0 and 1, and its interactions: for each of the S + 1 scores and confidence, C
    columns that hold it where the label is that class and 0 elsewhere. C is the number of classes, or 0 when
    they are too many.
    """

    critics: tuple[str, ...]
    """Ids of the critics, S of them."""
    classes: int
    """K."""
    embedding: components.Components | None = None
    """What is seen of the items' embeddings; None without any."""

    @property
    def scores(self) -> tuple[int, ...]:
        """Columns of the critics' scores."""
        return tuple(range(len(self.critics)))

    @property
    def believed(self) -> tuple[int, ...]:
        """Columns of scores and confidence."""
        return (*self.scores, len(self.critics))

    @property
    def about(self) -> tuple[int, ...]:
        """Columns of margin and length."""
        return (len(self.critics) + 1, len(self.critics) + 2)

    @property
    def label(self) -> tuple[int, ...]:
        """Columns of the machine's label."""
        start = len(self.critics) + 3
        return tuple(range(start, start + self._shown))

    @property
    def interactions(self) -> tuple[int, ...]:
        """Columns of scores and confidence by label."""
        start = len(self.critics) + 3 + self._shown
        return tuple(range(start, start + self._shown * (len(self.critics) + 1)))

    @property
    def embedded(self) -> tuple[int, ...]:
        """Columns of the embedding's components."""
        start = len(self.critics) + 3 + self._shown * (len(self.critics) + 2)
        return tuple(range(start, start + (self.embedding.count if self.embedding else 0)))

    @property
    def _shown(self) -> int:
        return self.classes if self.classes <= MOST_CLASSES else 0

    def matrix(self, frame: frames.Frame, rows: frames.Longs) -> frames.Floats:
        """Returns the features of some rows, [M, p]; NaN where something is missing."""
        nothing = np.full(len(rows), np.nan)
        believed = [risk.logit(_score(frame, critic, nothing, rows)) for critic in self.critics]
        believed.append(risk.logit(frame.confidence[rows]))
        length = nothing if frame.length is None else np.log1p(frame.length[rows])
        columns = [*believed, _margin(frame.probabilities[rows]), length]
        label = frame.label[rows, None] == np.arange(self._shown)
        by_label = [np.where(label, np.nan_to_num(each)[:, None], 0.0) for each in believed]
        parts = [np.stack(columns, axis=1), label.astype(np.float64), *by_label]
        if self.embedding is not None:
            given = frame.embedding
            seen = np.full((len(rows), self.embedding.count), np.nan)
            parts.append(seen if given is None else self.embedding.of(given, rows))
        return np.concatenate(parts, axis=1)

    def to_record(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        record: dict[str, Any] = {"critics": list(self.critics), "classes": self.classes}
        return record | ({"embedding": self.embedding.to_record()} if self.embedding else {})

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Layout:
        """Reads what `to_record` wrote."""
        seen = record.get("embedding")
        return cls(
            critics=tuple(record["critics"]),
            classes=record["classes"],
            embedding=components.Components.from_record(seen) if seen else None,
        )


def _score(frame: frames.Frame, critic: str, nothing: frames.Floats, rows: frames.Longs) -> frames.Floats:
    if critic == ANY and len(frame.scores) == 1:
        (found,) = frame.scores.values()
        return found[rows]
    return frame.scores[critic][rows] if critic in frame.scores else nothing


def _margin(probabilities: frames.Floats) -> frames.Floats:
    """The largest probability less the second, [M]; NaN without probabilities."""
    if probabilities.shape[1] < 2:
        return np.full(len(probabilities), np.nan)
    best = np.partition(probabilities, -2, axis=1)[:, -2:]
    margin: frames.Floats = best[:, 1] - best[:, 0]
    return margin


def candidates(layout: Layout) -> tuple[choice.Candidate, ...]:
    """Returns the kinds of models, from the simplest on.

    A risk may only rise with a critic's score in the trees: a dip in between would be noise. Confidence is
    free, since its meaning may turn with the class.
    """
    with_label = (*layout.believed, *layout.label, *layout.interactions)
    seen = (*layout.believed, *layout.about, *layout.label)
    monotone = tuple(int(column in layout.scores) for column in seen)
    found = [choice.Candidate(kind="platt", columns=layout.believed, fit=risk.fit_platt)]
    if layout.critics:
        found.append(
            choice.Candidate(
                kind="isotonic", columns=layout.scores[:1], fit=isotonic.fit_isotonic, least=FEW_LABELS
            )
        )
    if layout.label:
        found.append(
            choice.Candidate(kind="platt-label", columns=with_label, fit=risk.fit_platt, least=FEW_LABELS)
        )
    trees = functools.partial(boosting.fit, monotone=monotone)
    if layout.embedded:
        found.append(
            choice.Candidate(
                kind="platt-embedding",
                columns=(*with_label, *layout.embedded),
                fit=risk.fit_platt,
                least=boosting.LEAST,
            )
        )
    found.append(choice.Candidate(kind="trees", columns=seen, fit=trees, least=boosting.LEAST))
    if layout.embedded:
        more = functools.partial(boosting.fit, monotone=(*monotone, *(0,) * len(layout.embedded)))
        found.append(
            choice.Candidate(
                kind="trees-embedding", columns=(*seen, *layout.embedded), fit=more, least=LEAST_EMBEDDED
            )
        )
    return tuple(found)

"""What the in-process classifiers share: reading exemplars and turning prompts into features.

A classifier works on images when its exemplars have images, on text otherwise. It reads no table but the
exemplars that it is given: never the pool, never the truth. An item that has no features, an unreadable image
for example, is a failure of that item.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from actuary import errors
from actuary.models import protocol

Modality = Literal["image", "text"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Labelled examples."""

    modality: Modality
    contents: tuple[bytes | str, ...]
    ids: tuple[str, ...]
    labels: protocol.Longs
    """[M] position among the classes; every class occurs."""


def read(context: protocol.ModelContext) -> Examples:
    """Reads the exemplars.

    Raises:
        errors.InvalidInputError: a label is no class, a class has no exemplar, or an exemplar has no content;
            all of them are named.
    """
    table = context.exemplars
    if table is None or table.num_rows == 0:
        raise errors.PreconditionError("expected exemplars, got none")
    rows = table.to_pylist()
    modality: Modality = "image" if any(row.get("image") is not None for row in rows) else "text"
    position = {name: i for i, name in enumerate(context.classes)}
    violations = []
    for row in rows:
        where = f"exemplar {row['item_id']!r}"
        if row["label"] not in position:
            classes = ", ".join(context.classes)
            violations.append(errors.Violation(where, f"label {row['label']!r} is no class: {classes}"))
        if row.get(modality) is None:
            violations.append(errors.Violation(where, f"expected {modality} like the others, got none"))
    for name in context.classes:
        if all(row["label"] != name for row in rows):
            violations.append(errors.Violation("exemplars", f"expected at least one of class {name!r}"))
    if violations:
        raise errors.InvalidInputError.of(violations, reason="EXEMPLARS")
    rows.sort(key=lambda row: row["item_id"])  # so that the order of the table changes nothing
    return Examples(
        modality=modality,
        contents=tuple(row[modality] for row in rows),
        ids=tuple(row["item_id"] for row in rows),
        labels=np.array([position[row["label"]] for row in rows], np.int64),
    )


def content_of(prompt: protocol.Prompt, modality: Modality) -> bytes | str | None:
    """What a classifier looks at; None where the item has none of it."""
    return protocol.image_of(prompt) if modality == "image" else protocol.text_of(prompt) or None


def score(
    prompts: Sequence[protocol.Prompt],
    options: int,
    modality: Modality,
    classify: Callable[[list[bytes | str]], tuple[protocol.Floats, dict[int, str]]],
) -> protocol.ScoreBatch:
    """Answers a batch with a classifier.

    Args:
        prompts: of the batch.
        options: how many classes there are, K.
        modality: what the classifier looks at.
        classify: contents to probabilities [N, K] and reasons by position of those that it could not read.
    """
    start = time.perf_counter()
    contents = [content_of(p, modality) for p in prompts]
    failures = {
        p.item_id: f"this model learned from exemplars with {modality}; the item has none"
        for p, c in zip(prompts, contents, strict=True)
        if c is None
    }
    asked = [p for p, c in zip(prompts, contents, strict=True) if c is not None]
    bad: dict[int, str] = {}
    probabilities = np.zeros((0, options))
    if asked:
        probabilities, bad = classify([c for c in contents if c is not None])
    failures |= {asked[i].item_id: reason for i, reason in bad.items()}
    good = [i for i in range(len(asked)) if i not in bad]
    return protocol.from_probabilities(
        [asked[i] for i in good],
        probabilities[good],
        compute_seconds=time.perf_counter() - start,
        failures=failures,
    )

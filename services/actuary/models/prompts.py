"""Prompts of a campaign: what never changes comes first, then the item, then the label under test.

The order lets a server keep the system text, the instruction and the class list in a prefix cache. A
template's digest names its content: annotations record it, so that a changed prompt never passes for the
same one. Rendering is columnar and makes tuples: 50,000 prompts a second a process.

It deliberately does no chat formatting: a language model's adapter does, from the roles of the parts.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pyarrow as pa

from actuary import errors
from actuary.models import protocol

_VERSION = 1
"""Of the way that text is laid out below; part of the digest."""
ANNOTATOR_SYSTEM = "You label items of a data set. Answer with one of the given classes and nothing else."
CRITIC_SYSTEM = (
    "You check labels of a data set. Somebody gave the item below a label that may be wrong. "
    "Say whether it is right and nothing else."
)
CRITIC_OPTIONS = ("right", "wrong")
"""What a critic that is shown a label chooses from."""

Fetch = Callable[[str], bytes]
"""Reads an image that is stored beside the table, by its `image_uri`."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClassDefinition:
    """One possible answer and what it means."""

    name: str
    description: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What is the same in all prompts of a step."""

    instruction: str
    classes: tuple[ClassDefinition, ...]
    system: str = ANNOTATOR_SYSTEM
    digest: str = dataclasses.field(init=False, default="")
    """First 16 hexadecimal digits of the SHA-256 of its canonical JSON."""
    head: tuple[protocol.Text, ...] = dataclasses.field(init=False, default=(), repr=False, compare=False)
    """The parts that come first."""

    def __post_init__(self) -> None:
        if len({c.name for c in self.classes}) != len(self.classes) or len(self.classes) < 2:
            raise errors.InvalidInputError(
                f"task.classes: expected at least 2 unique names, got {[c.name for c in self.classes]}"
            )
        lines = [f"- {c.name}: {c.description}" if c.description else f"- {c.name}" for c in self.classes]
        task = "\n".join([self.instruction, "Classes:", *lines])
        head = (protocol.Text(self.system, "system"), protocol.Text(task, "task"))
        object.__setattr__(self, "head", head if self.system else head[1:])
        object.__setattr__(self, "digest", _digest(self))

    @property
    def options(self) -> tuple[str, ...]:
        """What the model chooses from."""
        return tuple(c.name for c in self.classes)

    def render(self, rows: pa.RecordBatch | pa.Table, fetch: Fetch | None = None) -> list[protocol.Prompt]:
        """One prompt a row.

        Args:
            rows: `item_id` and any of `text`, `image`, `image_uri`, `question`, as in the table of items.
            fetch: reads images that are kept apart; needed where a row has an `image_uri`.

        Raises:
            errors.InvalidInputError: a row has neither text nor image, or an image apart without `fetch`.
        """
        return _render(self.head, rows, fetch, itertools.repeat(()))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CriticTemplate:
    """Prompts that show an item with a label and ask whether that is right."""

    task: Template
    """The annotator's, from which instruction and classes are taken."""
    system: str = CRITIC_SYSTEM
    digest: str = dataclasses.field(init=False, default="")
    head: tuple[protocol.Text, ...] = dataclasses.field(init=False, default=(), repr=False, compare=False)

    def __post_init__(self) -> None:
        inner = Template(instruction=self.task.instruction, classes=self.task.classes, system=self.system)
        object.__setattr__(self, "head", inner.head)
        object.__setattr__(self, "digest", _digest(inner, verb="critique"))

    @property
    def options(self) -> tuple[str, ...]:
        """What the model chooses from."""
        return CRITIC_OPTIONS

    def render(
        self, rows: pa.RecordBatch | pa.Table, labels: Sequence[str], fetch: Fetch | None = None
    ) -> list[protocol.Prompt]:
        """One prompt a row, with the label under test last; raises as `Template.render`."""
        if len(labels) != rows.num_rows:
            raise ValueError(f"expected {rows.num_rows} labels, one a row; got {len(labels)}")
        tails = {label: (protocol.Text(f"Label: {label}", "answer"),) for label in set(labels)}
        return _render(self.head, rows, fetch, (tails[label] for label in labels))


def _digest(template: Template, verb: str = "annotate") -> str:
    value = {
        "version": _VERSION,
        "verb": verb,
        "system": template.system,
        "instruction": template.instruction,
        "classes": [[c.name, c.description] for c in template.classes],
    }
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _render(
    head: tuple[protocol.Text, ...],
    rows: pa.RecordBatch | pa.Table,
    fetch: Fetch | None,
    tails: Iterable[tuple[protocol.Text, ...]],
) -> list[protocol.Prompt]:
    texts = _column(rows, "text")
    if texts is not None and not rows.column("text").null_count and _only_text(rows):
        return [
            protocol.Prompt(item_id, (*head, protocol.Text(text), *tail))
            for item_id, text, tail in zip(_ids(rows), texts, tails, strict=False)
        ]
    contents = zip(
        _or_nones(texts),
        _or_nones(_column(rows, "image")),
        _or_nones(_column(rows, "image_uri")),
        _or_nones(_column(rows, "question")),
        strict=False,  # the columns that are missing never end
    )
    return [
        protocol.Prompt(item_id, (*head, *_body(item_id, content, fetch), *tail))
        for item_id, content, tail in zip(_ids(rows), contents, tails, strict=False)
    ]


def _body(
    item_id: str,
    content: tuple[str | None, bytes | None, str | None, str | None],
    fetch: Fetch | None,
) -> list[protocol.Part]:
    text, image, image_uri, question = content
    if image is None and image_uri is not None:
        if fetch is None:
            raise errors.InvalidInputError(f"item {item_id!r}: its image is kept apart, at {image_uri}")
        image = fetch(image_uri)
    parts: list[protocol.Part] = []
    if image is not None:
        parts.append(protocol.Image(image))
    if text is not None:
        parts.append(protocol.Text(text))
    if not parts:
        raise errors.InvalidInputError(f"item {item_id!r}: expected text or an image, got neither")
    if question is not None:
        parts.append(protocol.Text(question, "question"))
    return parts


def _only_text(rows: pa.RecordBatch | pa.Table) -> bool:
    others = ("question", "image", "image_uri")
    return all(
        name not in rows.schema.names or rows.column(name).null_count == rows.num_rows for name in others
    )


def _column(rows: pa.RecordBatch | pa.Table, name: str) -> list[Any] | None:
    if name not in rows.schema.names:
        return None
    column = rows.column(name)
    return None if column.null_count == rows.num_rows else list(column.to_pylist())


def _or_nones(values: list[Any] | None) -> Iterable[Any]:
    return itertools.repeat(None) if values is None else values


def _ids(rows: pa.RecordBatch | pa.Table) -> list[str]:
    return list(rows.column("item_id").to_pylist())

"""Columns of a data set: what the file calls them, and their values in the types that an import works with.

Ids, labels and splits become text, images become bytes: read from the file system when the column holds
paths, and then only from beside the file that names them.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from actuary.campaign import embeddings, findings

TYPES = {
    "item_id": pa.string(),
    "text": pa.string(),
    "image": pa.binary(),
    "question": pa.string(),
    "split": pa.string(),
    "label": pa.string(),
    "slice": pa.string(),
    "embedding": embeddings.TYPE,
}
"""The columns that a batch may have; it has `item_id` and those that the source has."""


class Named(Protocol):
    """The part of a source that messages need."""

    @property
    def name(self) -> str:
        """A path."""
        ...

    def where(self, row: int, item_id: str) -> str:
        """File and row."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What the source calls its columns. An empty name is the default, taken where it exists."""

    id: str = ""
    """Default `item_id`; required."""
    text: str = ""
    """Default `text`."""
    image: str = ""
    """Bytes, or a path relative to the file. Default `image`."""
    question: str = ""
    """Default `question`."""
    split: str = ""
    """`pool`, `test` or `exemplar`. No default: without it every item is in the pool."""
    truth: str = ""
    """The known label. No default: without it nothing is sealed."""
    slice: str = ""
    """The part of the data that an item belongs to. No default: without it there are no slices."""
    embedding: str = ""
    """What is known of an item as numbers. No default: without it there are none."""


def resolve(
    columns: Columns, available: Sequence[str], where: str, found: findings.Findings
) -> dict[str, str]:
    """Which column of the file is which of ours; empty, with findings, when one is missing."""
    if not available:
        return {}
    names: dict[str, str] = {}
    wanted = {
        "item_id": (columns.id, "item_id", True),
        "text": (columns.text, "text", False),
        "image": (columns.image, "image", False),
        "question": (columns.question, "question", False),
        "split": (columns.split, "", False),
        "label": (columns.truth, "", False),
        "slice": (columns.slice, "", False),
        "embedding": (columns.embedding, "", False),
    }
    fields = {"item_id": "id", "label": "truth"}
    missing = False
    for column, (asked, default, required) in wanted.items():
        name = asked or default
        if name and name in available:
            names[column] = name
        elif asked or required:
            missing = True
            near = difflib.get_close_matches(name, available, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            found.add(
                "columns",
                where,
                f"no column {name!r} (data.{fields.get(column, column)}_column); it has "
                f"{', '.join(map(repr, available))}.{hint}",
            )
    if not missing and "text" not in names and "image" not in names:
        missing = True
        found.add(
            "columns",
            where,
            "expected a text or an image column: name one in data.text_column or data.image_column; it has "
            + ", ".join(map(repr, available)),
        )
    return {} if missing else names


def cast(
    source: Named, column: str, values: pa.Array, name: str, first: int, found: findings.Findings
) -> pa.Array:
    """A column in the type of `TYPES`; what does not fit is reported and becomes null."""
    kind = TYPES[column]
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if column == "embedding":
        return read_embeddings(source, values, name, first, found)
    if column == "image":
        if pa.types.is_struct(values.type) and values.type.get_field_index("bytes") >= 0:
            values = values.field("bytes")
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            return read_images(source, values, first, found)
    if values.type.equals(kind):
        return values
    is_text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
    is_bytes = pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type)
    fits = is_text or is_bytes or pa.types.is_null(values.type) or str(values.type).endswith("_view")
    if not (fits or (kind == pa.string() and pa.types.is_integer(values.type))):
        found.add("columns", source.name, f"column {name!r}: expected {kind}; got {values.type}")
        return pa.nulls(len(values), kind)
    try:
        return values.cast(kind)
    except pa.ArrowInvalid as error:
        found.add("columns", source.where(first, ""), f"column {name!r}: expected {kind} in UTF-8; {error}")
        return pa.nulls(len(values), kind)


def read_embeddings(
    source: Named, values: pa.Array, name: str, first: int, found: findings.Findings
) -> pa.Array:
    """Lists of numbers in single precision, from lists or from text that holds them as JSON."""
    if embeddings.is_numbers(values.type):
        return values.cast(embeddings.TYPE, safe=False)
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), embeddings.TYPE)
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        wanted = "expected lists of numbers, or text such as [0.12, -0.5]"
        found.add("columns", source.name, f"column {name!r}: {wanted}; got {values.type}")
        return pa.nulls(len(values), embeddings.TYPE)
    return parse_embeddings(source, values.to_pylist(), name, first, found)


def parse_embeddings(
    source: Named, values: Sequence[object], name: str, first: int, found: findings.Findings
) -> pa.Array:
    """Lists of numbers from JSON values, or from text that holds them."""
    lists: list[list[float] | None] = []
    for row, value in enumerate(values, first):
        try:
            lists.append(embeddings.parsed(value))
        except ValueError as error:
            lists.append(None)
            found.add("embeddings", source.where(row, ""), f"column {name!r}: {error}")
    # by way of 64 bits: PyArrow takes no whole numbers for single precision
    return pa.array(lists, pa.list_(pa.float64())).cast(embeddings.TYPE, safe=False)


def read_images(source: Named, paths: pa.Array, first: int, found: findings.Findings) -> pa.Array:
    """The bytes of images by their paths, which must lie beside the source's file."""
    if "://" in source.name:
        wanted = "expected bytes: of a data set in a bucket, put the images into a Parquet column"
        found.add("unreadable images", source.where(first, ""), f"{wanted}; got paths")
        return pa.nulls(len(paths), pa.binary())
    base = Path(source.name).resolve().parent
    images: list[bytes | None] = []
    for i, value in enumerate(paths.to_pylist()):
        where = source.where(first + i, "")
        if not value:
            images.append(None)
            continue
        path = (base / value).resolve()
        if not path.is_relative_to(base):
            found.add("unreadable images", where, f"{value!r}: expected a path inside {base}")
            images.append(None)
            continue
        images.append(read_file(path, where, found))
    return pa.array(images, pa.binary())


def read_file(path: Path, where: str, found: findings.Findings) -> bytes | None:
    """A file's bytes; None, and a finding, when it cannot be read."""
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        found.add("unreadable images", where, f"cannot read {path}: {reason}")
        return None

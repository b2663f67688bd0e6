"""Data sets that need no download: handwritten digits, and as much synthetic text as one asks for.

`digits` are the 1,797 images of 8 x 8 pixels that ship with scikit-learn: 20 exemplars, two a class, 1,277
items to label, 500 to test. The test set is a random draw. Exemplars are found as a person without labels
would: the most central images are asked for one after another until every digit has two; no label of any
image that was not asked for has a say. (That rule was preferred to a random draw after both had been tried on
these digits: .868 against .77 to .87 by seed.) `synthetic` has text that means nothing and truth that
is unrelated to it: for campaigns with the null model, which measure and break the machinery.

A sample gives rows and a campaign; it deliberately runs nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from actuary import errors
from actuary.campaign import findings, sources

NAMES: Final = ("digits", "synthetic")
SYNTHETIC_ITEMS: Final = 1000
SYNTHETIC_CLASSES: Final = ("red", "green", "blue")
_SEED = 20
_EXEMPLARS_A_CLASS = 2
_DIGITS_TO_TEST = 500
_BATCH_ROWS = 65_536
_COLUMNS = sources.Columns(split="split", truth="label")
INK = "ink"
"""Column of `digits`: how much ink the writer left, a third of the images each."""
PIXELS = "pixels"
"""Column of `digits`: the ink of each of the 64 pixels, as an embedding."""
_STROKES = ("light", "medium", "heavy")


def source(name: str, items: int | None = None, *, slices: str = "", embedding: str = "") -> sources.Source:
    """The rows of a sample.

    Args:
        name: one of `NAMES`.
        items: rows of `synthetic`, default 1,000; `digits` has as many as it has.
        slices: its column of slices; empty for no slices. `digits` has `ink`.
        embedding: its column of embeddings; empty for none. `digits` has `pixels`.

    Raises:
        errors.InvalidInputError: no such sample, or no such column.
    """
    _check(name)
    for field, column, there in (("slice", slices, INK), ("embedding", embedding, PIXELS)):
        if column and (name, column) != ("digits", there):
            has = f"sample:digits has {there!r}, sample:synthetic has none"
            raise errors.InvalidInputError.of(
                [errors.Violation(f"data.{field}_column", f"no column {column!r} in sample:{name}: {has}")]
            )
    if name == "digits":
        if items is not None:
            raise errors.InvalidInputError("sample:digits has 1,797 items; ?items= is for sample:synthetic")
        columns = dataclasses.replace(_COLUMNS, slice=slices, embedding=embedding)
        return sources.Rows((digits(),), columns, name="sample:digits")
    count = SYNTHETIC_ITEMS if items is None else items
    if count < 1:
        raise errors.InvalidInputError(f"sample:synthetic: expected at least 1 item, got {count}")
    return Synthetic(items=count)


def campaign(name: str) -> dict[str, Any]:
    """The campaign that a sample suggests, in the form of campaign.yaml.

    Raises:
        errors.InvalidInputError: no such sample.
    """
    _check(name)
    if name == "digits":
        return {
            "display_name": "Handwritten digits",
            "task": {
                "instruction": "Which digit is written here?",
                "classes": [{"name": str(i)} for i in range(10)],
            },
            "data": {
                "uri": "sample:digits",
                "split_column": "split",
                "truth_column": "label",
                "slice_column": INK,
            },
            "annotator": {"model": {"kind": "exemplar", "prices": dict(_PRICES)}},
            "critic": {
                "strategy": "class-probability",
                "model": {"kind": "linear", "prices": dict(_PRICES)},
            },
            "budget": {"human_share": 0.2, "human_label_micros": 50_000},
            "sampling": {"pilot_items": 60},
            "review": {"mode": "replay", "replay_error_rate": 0.02},
            "training": {"model": "linear"},
        }
    return {
        "display_name": "Synthetic items",
        "task": {
            "instruction": "Which colour?",
            "classes": [{"name": each} for each in SYNTHETIC_CLASSES],
        },
        "data": {
            "uri": f"sample:synthetic?items={SYNTHETIC_ITEMS}",
            "split_column": "split",
            "truth_column": "label",
        },
        "annotator": {"model": {"kind": "null", "prices": dict(_PRICES)}},
        "critic": {"strategy": "confidence"},
        "budget": {"human_share": 0.2, "human_label_micros": 50_000},
        "sampling": {"pilot_items": 50},
        "review": {"mode": "replay"},
        "training": {"model": "none"},
    }


_PRICES = {"input_micros_per_1000_tokens": 150, "output_micros_per_1000_tokens": 600}
"""What a small hosted multimodal model costs, so that the sample's money has a sensible size."""


def digits() -> pa.RecordBatch:
    """All rows of `digits`: item_id, image (PNG), split, label, ink, pixels; in the order of scikit-learn.

    Raises:
        errors.UnsupportedError: scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
    except ModuleNotFoundError as error:
        raise errors.UnsupportedError(
            "the sample `digits` ships with scikit-learn: install actuary[compute]"
        ) from error
    loaded: Any = datasets.load_digits()
    truth = loaded.target
    # 0 is paper and 16 ink; stored as gray levels, the ink white, as the data set has it
    levels = np.round(loaded.images * (255 / 16)).astype(np.uint8)
    order = np.random.default_rng(_SEED).permutation(len(truth))
    split = np.full(len(truth), "pool", object)
    split[order[:_DIGITS_TO_TEST]] = "test"
    rest = np.sort(order[_DIGITS_TO_TEST:])
    had = dict.fromkeys(range(10), 0)
    for i in central(loaded.images[rest].reshape(len(rest), -1).astype(np.int64)):
        digit = int(truth[rest[i]])
        if had[digit] < _EXEMPLARS_A_CLASS:
            had[digit] += 1
            split[rest[i]] = "exemplar"
        if min(had.values()) == _EXEMPLARS_A_CLASS:
            break
    return pa.RecordBatch.from_pydict(
        {
            "item_id": pa.array([f"digit-{i:04d}" for i in range(len(truth))]),
            "image": pa.array([png(each) for each in levels], pa.binary()),
            "split": pa.array(split.tolist()),
            "label": pa.array([str(t) for t in truth]),
            INK: pa.array(_ink(loaded.images)),
            PIXELS: pa.array(list(loaded.images.reshape(len(truth), -1))),
        }
    )


def _ink(images: npt.NDArray[np.float64]) -> list[str]:
    """Light, medium or heavy by the ink of each image, [N, 8, 8]; who has as much as another is like it."""
    amount = images.sum(axis=(1, 2))
    bounds = np.quantile(amount, [1 / 3, 2 / 3], method="inverted_cdf")
    return [_STROKES[k] for k in np.searchsorted(bounds, amount, side="left")]


def central(points: npt.NDArray[np.int64]) -> Iterator[int]:
    """Positions in the order in which each shortens most the way from all points to their nearest one so far.

    Args:
        points: [N, D] whole numbers, so that the order is the same on every machine; ties go to the first.

    References:
        Kaufman and Rousseeuw (1990), Finding Groups in Data, chapter 2: phase BUILD of PAM, on squared
        Euclidean distances.
    """
    squares = (points**2).sum(axis=1)
    away = squares[:, None] + squares - 2 * points @ points.T
    nearest = np.full(len(points), int(away.max()), np.int64)
    for _ in range(len(points)):
        best = int(np.minimum(away, nearest).sum(axis=1).argmin())
        yield best
        nearest = np.minimum(nearest, away[best])
        away[best] = int(away.max())  # not again


def png(levels: npt.NDArray[np.uint8]) -> bytes:
    """A gray image as a PNG file, with the same bytes whatever libraries are installed.

    Args:
        levels: [H, W] in [0, 255].

    References:
        PNG specification (W3C 2003): signature, IHDR (8 bits, gray), IDAT, IEND; stored without compression
        of its own filter, since these images are tiny.
    """
    height, width = levels.shape
    rows = b"".join(b"\0" + levels[i].tobytes() for i in range(height))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", _stored(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _stored(data: bytes) -> bytes:
    """A zlib stream of stored blocks (RFC 1950, 1951): builds of zlib compress differently, this is fixed."""
    blocks = [data[i : i + 65535] for i in range(0, len(data), 65535)] or [b""]
    out = [b"\x78\x01"]
    for i, block in enumerate(blocks):
        out.append(struct.pack("<BHH", i == len(blocks) - 1, len(block), len(block) ^ 0xFFFF) + block)
    return b"".join(out) + struct.pack(">I", zlib.adler32(data))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Synthetic:
    """Items of meaningless text, made as they are read, so that a million of them cost no memory."""

    items: int
    columns: sources.Columns = _COLUMNS
    kind = "sample"

    @property
    def name(self) -> str:
        """The sample's URI."""
        return f"sample:synthetic?items={self.items}"

    def size(self) -> sources.Size:
        """Rows are exact, bytes about."""
        return sources.Size(rows=self.items, bytes=self.items * 90)

    def where(self, row: int, item_id: str) -> str:
        """Name and row."""
        return f"{self.name}, row {row}"

    def batches(self, found: findings.Findings) -> Iterator[sources.Batch]:
        """Rows in order; one in eleven is in the test set."""
        for first in range(0, self.items, _BATCH_ROWS):
            yield sources.Batch(
                first_row=first + 1, rows=_synthetic(range(first, min(first + _BATCH_ROWS, self.items)))
            )


def _synthetic(numbers: Sequence[int]) -> pa.RecordBatch:
    marks = [hashlib.blake2b(b"%d" % i, digest_size=8).hexdigest() for i in numbers]
    colours = len(SYNTHETIC_CLASSES)
    return pa.RecordBatch.from_pydict(
        {
            "item_id": pa.array([f"item-{i:08d}" for i in numbers]),
            "text": pa.array(
                [f"Item {i} has the mark {m} and no colour." for i, m in zip(numbers, marks, strict=True)]
            ),
            "split": pa.array(["test" if i % 11 == 10 else "pool" for i in numbers]),
            "label": pa.array([SYNTHETIC_CLASSES[int(m[:8], 16) % colours] for m in marks]),
        }
    )


def _check(name: str) -> None:
    if name not in NAMES:
        raise errors.InvalidInputError.of(
            [errors.Violation("data.uri", f"expected one of the samples {', '.join(NAMES)}; got {name!r}")]
        )

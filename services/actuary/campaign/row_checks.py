"""What may be wrong with the rows of a data set, checked a batch at a time.

Each check is vectorised over its column; only what is wrong is looked at row by row, to say where it is.
Duplicates are not looked for here: ingest.py finds them once rows are sorted.
"""

from __future__ import annotations

import concurrent.futures
import difflib
import io
import os
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actuary import errors
from actuary.campaign import findings, sources

ID_BYTES = 256
POOL, TEST, EXEMPLAR = SPLITS = ("pool", "test", "exemplar")


class Reporter:
    """Turns a mask over a batch into findings that name file and row."""

    def __init__(
        self, source: sources.Source, found: findings.Findings, first_row: int, ids: pa.Array
    ) -> None:
        self._source = source
        self._found = found
        self._first_row = first_row
        self._ids = ids

    def __call__(self, mask: pa.Array, kind: str, describe: Callable[[int], str]) -> None:
        """Reports the rows where `mask` is true; `describe` gets their index in the batch."""
        wrong = np.flatnonzero(pc.fill_null(mask, fill_value=False).to_numpy(zero_copy_only=False)).tolist()
        room = max(self._found.room(kind), 0)
        for i in wrong[:room]:
            where = self._source.where(self._first_row + i, self._ids[i].as_py() or "")
            self._found.add(kind, where, describe(i))
        self._found.more(kind, len(wrong) - room)


def check_ids(ids: pa.Array, report: Reporter) -> None:
    """Reports empty ids and long ones."""
    size = pc.binary_length(ids)
    report(pc.equal(size, 0), "ids", lambda i: "no id: every row needs one of its own")
    report(
        pc.greater(size, ID_BYTES),
        "ids",
        lambda i: f"expected an id of at most {ID_BYTES} bytes; got {size[i]}",
    )


def checked_split(split: pa.Array, report: Reporter) -> pa.Array:
    """Splits with `pool` for none; unknown ones are reported."""
    split = pc.if_else(pc.fill_null(pc.equal(split, ""), fill_value=True), POOL, split)
    known = pc.is_in(split, value_set=pa.array(SPLITS))
    report(pc.invert(known), "splits", lambda i: f"expected {', '.join(SPLITS)}; got {split[i].as_py()!r}")
    return split


def check_content(text: pa.Array | None, image: pa.Array | None, report: Reporter) -> None:
    """An item needs a text or an image, and an image that can be read."""
    if image is not None:
        empty = pc.equal(pc.fill_null(pc.binary_length(image), 0), 0)
        _check_images(image, report)
    if text is not None:
        blank = pc.fill_null(
            pc.or_(pc.equal(pc.binary_length(text), 0), pc.utf8_is_space(text)), fill_value=True
        )
    if text is None:
        wrong, problem = empty, "no image"
    elif image is None:
        wrong, problem = blank, "the text is empty"
    else:
        wrong, problem = pc.and_(blank, empty), "neither text nor image"
    report(wrong, "content", lambda i: f"{problem}: an item needs something to be labelled")


def _check_images(image: pa.Array, report: Reporter) -> None:
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        problems = list(pool.map(lambda i: _image_problem(image[i].as_py()), range(len(image))))
    report(
        pa.array([bool(p) for p in problems]),
        "unreadable images",
        lambda i: f"expected an image; {problems[i]}",
    )


def checked_label(label: pa.Array, classes: Sequence[str] | None, report: Reporter) -> pa.Array:
    """Labels with null for none; those that are no class are reported unless `classes` is None."""
    label = pc.if_else(pc.equal(label, ""), None, label)
    if classes is None:
        return label
    known = pc.is_in(label, value_set=pa.array(classes, pa.string()))
    wrong = pc.and_(pc.is_valid(label), pc.invert(known))
    report(wrong, "labels", lambda i: _unknown_class(label[i].as_py(), classes))
    return label


def _image_problem(data: bytes | None) -> str:
    """Why these bytes are no image; empty when they are one, or when there are none."""
    if not data:
        return ""
    try:
        from PIL import Image  # late: a server without the compute extra never imports a data set
    except ImportError as error:
        raise errors.UnsupportedError(
            "data with images needs Pillow: install actuary[compute] where imports run"
        ) from error
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.verify()
        with Image.open(io.BytesIO(data)) as image:
            image.load()  # not every format's `verify` looks at the picture: a JPEG that is cut off passes it
    except (
        Exception
    ) as error:  # Pillow raises what its format plug-ins raise: OSError, SyntaxError, ValueError
        return str(error).replace(repr(error), "").split(" <_io")[0] or type(error).__name__
    return ""


def _unknown_class(label: str, classes: Sequence[str]) -> str:
    near = difflib.get_close_matches(label, classes, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"the label {label!r} is no class of the task: expected one of {', '.join(classes)}.{hint}"

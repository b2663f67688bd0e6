"""From items to what a network takes: pixels of one size, or hashed word counts of length 1.

What is learned from the items (the size of the images, the frequency of words) is learned from the pool,
never from the test set.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from actuary import errors
from actuary.trainer import networks

TEXT_FEATURES = 2**15
"""Columns of hashed n-grams; a guess that suits a hundred thousand short texts."""


def extract(model: str, pool: pa.Table, test: pa.Table) -> tuple[Any, Any]:
    """Returns the inputs of pool and test set.

    Args:
        model: a name of `networks.DEFAULTS`.
        pool: content columns (text, question, image) of N items.
        test: the same of M items.

    Returns:
        Arrays [N, ...] and [M, ...] of one kind: uint8 [*, C, H, W] for images, sparse floats [*, D] for
        text.

    Raises:
        errors.UnsupportedError: the model cannot take what the items are.
    """
    if pool["image"].null_count < pool.num_rows:
        options = networks.DEFAULTS[model]
        images = pool["image"].to_pylist()
        side, mode = _shape(images, options.smallest_side, options.largest_side)
        return _pixels(images, side, mode), _pixels(test["image"].to_pylist(), side, mode)
    if not networks.DEFAULTS[model].text:
        message = f"training.model: {model} learns from images and these items have none; take linear or none"
        raise errors.UnsupportedError(message)
    return _words(pool, test)


def _shape(images: Sequence[bytes | None], smallest: int, largest: int) -> tuple[int, str]:
    """The side of the square that all images are brought to, and `L` where all of a sample are gray."""
    from PIL import Image

    side, gray = smallest, True
    for data in [image for image in images if image is not None][:256]:
        with Image.open(io.BytesIO(data)) as image:
            side = max(side, *image.size)
            gray = gray and image.mode in ("1", "L", "I", "I;16", "F", "LA")
    return min(side, largest), "L" if gray else "RGB"


def _pixels(images: Sequence[bytes | None], side: int, mode: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """[N, C, side, side]; an item without an image is black."""
    from PIL import Image

    channels = 1 if mode == "L" else 3
    out = np.zeros((len(images), channels, side, side), dtype=np.uint8)
    for at, data in enumerate(images):
        if data is None:
            continue
        with Image.open(io.BytesIO(data)) as image:
            fitted = image.convert(mode).resize((side, side), Image.Resampling.BILINEAR)
        pixels = np.asarray(fitted, dtype=np.uint8)
        out[at] = pixels[None] if mode == "L" else pixels.transpose(2, 0, 1)
    return out


def _words(pool: pa.Table, test: pa.Table) -> tuple[Any, Any]:
    try:
        from sklearn.feature_extraction import text
    except ModuleNotFoundError as error:
        raise errors.UnsupportedError(
            "training on text needs scikit-learn: install actuary[compute]"
        ) from error
    counter = text.HashingVectorizer(
        n_features=TEXT_FEATURES, ngram_range=(1, 2), alternate_sign=False, norm=None
    )
    weigher = text.TfidfTransformer(sublinear_tf=True)
    inputs = weigher.fit_transform(counter.transform(_texts(pool)))
    if not test.num_rows:  # the vectoriser takes no empty list
        return inputs, inputs[:0]
    return inputs, weigher.transform(counter.transform(_texts(test)))


def _texts(rows: pa.Table) -> list[str]:
    pairs = zip(rows["question"].to_pylist(), rows["text"].to_pylist(), strict=True)
    return [" ".join(part for part in pair if part) for pair in pairs]

"""Images as numbers: a common grid whatever the size and mode of the file, shifts, histograms of gradients.

Pillow is imported when the first image is read. Colour is deliberately dropped: gray levels are what
exemplars as few as two a class can carry.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

import numpy as np

from actuary.models import protocol

SHIFTS: Final = 25
_CELLS = 4
_ORIENTATIONS = 8
MAX_PIXELS: Final = 50_000_000
"""Larger images are refused before they are decoded: a file of a few bytes may unfold to gigabytes."""


def gray(images: Sequence[bytes], grid: int) -> tuple[protocol.Floats, dict[int, str]]:
    """Gray levels on a square grid.

    Args:
        images: bytes of image files, N of them.
        grid: side of the grid, G.

    Returns:
        [N, G, G] in [0, 1], transparent parts white, and the reason by position of files that cannot be read.
    """
    from PIL import Image

    out = np.zeros((len(images), grid, grid))
    bad: dict[int, str] = {}
    for i, data in enumerate(images):
        try:
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > MAX_PIXELS:
                    bad[i] = f"the image has {image.width} x {image.height} pixels: more than {MAX_PIXELS}"
                    continue
                if "A" in image.getbands() or "transparency" in image.info:
                    opaque = Image.new("RGBA", image.size, "white")
                    opaque.alpha_composite(image.convert("RGBA"))
                    level = opaque.convert("L")
                elif image.mode.startswith("I;16") or image.mode in ("I", "F"):
                    level = Image.fromarray(_to_bytes(np.asarray(image, dtype=np.float64)))
                else:
                    level = image.convert("L")
                if level.size != (grid, grid):
                    level = level.resize((grid, grid), Image.Resampling.BILINEAR)
                out[i] = np.asarray(level, dtype=np.float64) / 255
        except Exception as error:  # Pillow raises what its decoders raise: any of it means "unreadable"
            bad[i] = f"cannot read the image: {error or type(error).__name__}"
    return out, bad


def _to_bytes(levels: protocol.Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    top = 65535 if levels.max(initial=0) > 255 else 255
    return np.clip(levels * 255 / top, 0, 255).astype(np.uint8)


def shifted(images: protocol.Floats, step: int) -> protocol.Floats:
    """All shifts by -2, -1, 0, 1 and 2 steps along both sides; the border is continued.

    Args:
        images: [N, G, G].
        step: pixels.

    Returns:
        [N, 25, G, G]
    """
    side = images.shape[1]
    padded = np.pad(images, ((0, 0), (2 * step, 2 * step), (2 * step, 2 * step)), mode="edge")
    offsets = [(i * step, j * step) for i in range(5) for j in range(5)]
    return np.stack([padded[:, i : i + side, j : j + side] for i, j in offsets], axis=1)


def centred(images: protocol.Floats) -> protocol.Floats:
    """Flat vectors with mean 0 and length 1: their dot product is a correlation; [..., G, G] -> [..., G²]."""
    flat = images.reshape(*images.shape[:-2], -1)
    flat = flat - flat.mean(axis=-1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=-1, keepdims=True), 1e-9))


def gradients(images: protocol.Floats) -> protocol.Floats:
    """Histograms of oriented gradients: 4 x 4 cells, 8 signed orientations, square root of the share.

    Args:
        images: [N, G, G], G a multiple of 4.

    Returns:
        [N, 128]

    References:
        Dalal and Triggs (2005), Histograms of oriented gradients, without overlapping blocks; the
        square root is the Hellinger kernel of Arandjelović and Zisserman (2012).
    """
    n, side, _ = images.shape
    down, right = np.gradient(images, axis=(1, 2))
    length = np.hypot(down, right)
    angle = np.arctan2(down, right) * (_ORIENTATIONS / (2 * np.pi))
    cells = np.empty((n, _CELLS, _CELLS, _ORIENTATIONS))
    width = side // _CELLS
    for k in range(_ORIENTATIONS):
        apart = np.abs((angle - k + _ORIENTATIONS / 2) % _ORIENTATIONS - _ORIENTATIONS / 2)
        share = length * np.maximum(1 - apart, 0)
        cells[..., k] = share.reshape(n, _CELLS, width, _CELLS, width).sum(axis=(2, 4))
    flat = cells.reshape(n, -1)
    return np.asarray(np.sqrt(flat / np.maximum(flat.sum(axis=1, keepdims=True), 1e-9)))

"""Pictures in a terminal: two pixels a character, in colour or in shades; a file where neither works."""

from __future__ import annotations

import hashlib
import io
import tempfile
from pathlib import Path

import rich.color
import rich.console
import rich.style
import rich.text

_SHADES = " ░▒▓█"
_UPPER = "▀"


def picture(data: bytes, console: rich.console.Console, *, width: int = 48) -> rich.text.Text:
    """Draws an encoded image at most `width` characters wide.

    Without Pillow, or for an image that it cannot read, it writes the image to a file and says where.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        return _file(data)
    try:
        with Image.open(io.BytesIO(data)) as opened:
            image = opened.convert("RGB")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        return _file(data)
    room = max(8, min(width, console.size.width - 2))
    lines = max(8, 2 * (console.size.height - 12))
    scale = min(room / image.width, lines / image.height)
    if scale > 1:
        scale = max(1, int(scale)) if scale < 8 else 8
    columns, rows = max(1, round(image.width * scale)), max(2, round(image.height * scale) // 2 * 2)
    method = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    pixels = image.resize((columns, rows), method)
    return _coloured(pixels) if console.color_system else _shaded(pixels.convert("L"))


def _coloured(pixels: object) -> rich.text.Text:
    width, height, at = pixels.width, pixels.height, pixels.getpixel  # type: ignore[attr-defined]
    text = rich.text.Text(no_wrap=True)
    for y in range(0, height, 2):
        for x in range(width):
            upper, lower = (rich.color.Color.from_rgb(*at((x, row))) for row in (y, y + 1))
            text.append(_UPPER, rich.style.Style(color=upper, bgcolor=lower))
        text.append("\n")
    return text


def _shaded(pixels: object) -> rich.text.Text:
    width, height, at = pixels.width, pixels.height, pixels.getpixel  # type: ignore[attr-defined]
    rows = []
    for y in range(0, height, 2):
        darkness = (510 - at((x, y)) - at((x, y + 1)) for x in range(width))
        rows.append("".join(_SHADES[min(4, value * 5 // 511)] for value in darkness))
    return rich.text.Text("\n".join(rows) + "\n", no_wrap=True)


def _file(data: bytes) -> rich.text.Text:
    folder = Path(tempfile.gettempdir()) / "actuary-pictures"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{hashlib.sha256(data).hexdigest()[:16]}.img"
    path.write_bytes(data)
    return rich.text.Text(f"picture: {path}\n", no_wrap=True)

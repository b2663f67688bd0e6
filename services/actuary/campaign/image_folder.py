"""A folder of images as a data set: each is an item, its path its id, and its first folder its label.

It deliberately opens no image: whether one can be read is for `row_checks`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from actuary.campaign import findings, source_columns, source_types

_IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff")
_UNREAD = (".avif", ".dng", ".heic", ".heif", ".jfif", ".jp2", ".nef", ".pdf", ".psd", ".svg")
"""Endings of pictures that are not read: one that is passed over silently would be missed."""


@dataclasses.dataclass(frozen=True, slots=True)
class ImageFolder:
    """A folder of images: the id is the relative path, the truth (if asked for) the first sub folder."""

    path: Path
    columns: source_columns.Columns
    kind = "images"

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    def size(self) -> source_types.Size:
        """Counted."""
        files = self._files()
        return source_types.Size(
            rows=len(files), bytes=sum(path.stat().st_size for path in files if path.exists())
        )

    def where(self, row: int, item_id: str) -> str:
        """The image's path, or its number in sorted order."""
        return str(self.path / item_id) if item_id else f"{self.path}, image {row}"

    def batches(self, found: findings.Findings) -> Iterator[source_types.Batch]:
        """Images sorted by path."""
        for field in ("slice", "embedding"):
            if column := getattr(self.columns, field):
                found.add(
                    "columns",
                    self.name,
                    f"no column {column!r} (data.{field}_column): a folder of images has no columns; "
                    f"list its images in a CSV, JSONL or Parquet file, with the {field} of each",
                )
        ids: list[str] = []
        images: list[bytes | None] = []
        held, first = 0, 1
        for path in self._files(_UNREAD):
            where = self.where(0, path.relative_to(self.path).as_posix())
            found.add(
                "images of another format",
                where,
                f"expected {', '.join(_IMAGES)}; cannot read {path.suffix}: convert it, or move it away",
            )
        for path in self._files():
            item_id = path.relative_to(self.path).as_posix()
            try:
                item_id.encode()
            except UnicodeEncodeError:
                found.add("file names", repr(str(path)), "expected a name in UTF-8: rename the file")
                continue
            data = source_columns.read_file(path, self.where(0, item_id), found)
            ids.append(item_id)
            images.append(data)
            held += len(data or b"")
            if held >= source_types.IMAGE_BATCH_BYTES or len(ids) == source_types.BATCH_ROWS:
                yield self._batch(ids, images, first, found)
                first, held, ids, images = first + len(ids), 0, [], []
        if ids:
            yield self._batch(ids, images, first, found)

    def _batch(
        self, ids: list[str], images: list[bytes | None], first: int, found: findings.Findings
    ) -> source_types.Batch:
        columns = {"item_id": pa.array(ids, pa.string()), "image": pa.array(images, pa.binary())}
        if self.columns.truth:
            labels = [item_id.split("/")[0] if "/" in item_id else None for item_id in ids]
            for item_id, label in zip(ids, labels, strict=True):
                if label is None:
                    found.add(
                        "images outside a class folder",
                        self.where(0, item_id),
                        "expected <class>/<image>, since truth is asked for; move it into its class's folder",
                    )
            columns["label"] = pa.array(labels, pa.string())
        return source_types.Batch(first_row=first, rows=pa.RecordBatch.from_pydict(columns))

    def _files(self, endings: tuple[str, ...] = _IMAGES) -> list[Path]:
        """Files with one of these endings that are not hidden."""
        found = [
            Path(folder) / name
            for folder, folders, names in os.walk(self.path)
            if _visible(folders)
            for name in names
            if not name.startswith(".") and name.lower().endswith(endings)
        ]
        return sorted(found, key=lambda path: os.fsencode(path.relative_to(self.path).as_posix()))


def _visible(folders: list[str]) -> bool:
    """Keeps os.walk out of hidden folders, in sorted order."""
    folders[:] = sorted(name for name in folders if not name.startswith("."))
    return True

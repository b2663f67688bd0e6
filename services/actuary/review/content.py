"""What a reviewer sees of an item, read from items or exemplars and kept while it may be asked for.

Items lie in shards by hash while they are served by rank, so a window of tasks touches many shards: each is
read once for all the items of the window that it holds.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import threading
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from actuary import errors
from actuary.storage import artifacts, objects, schemas, tables

COLUMNS = ("item_id", "text", "image", "image_uri", "question")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The columns of one item."""

    text: str | None
    image: bytes | None
    question: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where an item is."""

    items: str
    shard: int
    item_id: str


class Contents:
    """A bounded cache of contents; threads may share it."""

    def __init__(self, store: objects.ObjectStore, size: int) -> None:
        self._store = store
        self._size = size
        self._lock = threading.Lock()
        self._kept: collections.OrderedDict[Place, Content] = collections.OrderedDict()

    def read(self, places: Iterable[Place], ahead: Iterable[Place] = ()) -> dict[Place, Content]:
        """The contents of items; those of `ahead` that lie in shards which have to be read come along.

        Raises:
            NotFoundError: An item is not in its shard.
            DataLossError: A digest is wrong.
        """
        wanted = list(dict.fromkeys(places))
        with self._lock:
            found = {place: self._kept[place] for place in wanted if place in self._kept}
        by_shard: dict[tuple[str, int], list[Place]] = {}
        for place in wanted:
            if place not in found:
                by_shard.setdefault((place.items, place.shard), []).append(place)
        more: dict[tuple[str, int], list[Place]] = {}
        for place in ahead if by_shard else ():
            more.setdefault((place.items, place.shard), []).append(place)
        loaded: dict[Place, Content] = {}
        for key, missing in by_shard.items():
            loaded.update(self._load(*key, [*missing, *more.get(key, [])]))
        found.update((place, loaded[place]) for place in wanted if place in loaded)
        with self._lock:
            self._kept.update(loaded)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
        return found

    def _load(self, items: str, shard: int, places: list[Place]) -> dict[Place, Content]:
        manifest, _ = artifacts.read_manifest(self._store, items)
        ids = pa.array([place.item_id for place in places], pa.string())
        by_id: dict[str, dict[str, Any]] = {}
        # an exemplar keeps its image whatever its size
        columns = [name for name in COLUMNS if name in schemas.of(manifest.table or "").names]
        for ref in manifest.objects:
            if ref.shard == shard:
                with tables.open_shard(self._store, ref, columns, table=manifest.table) as reader:
                    for batch in reader.batches():
                        rows = batch.filter(pc.is_in(batch["item_id"], ids))
                        by_id.update((row["item_id"], row) for row in rows.to_pylist())
        loaded = {}
        for place in places:
            row = by_id.get(place.item_id)
            if row is None:
                raise errors.NotFoundError(f"{items}: shard {shard} has no item {place.item_id!r}")
            image = row["image"]
            if image is None and row.get("image_uri"):
                image = self._image(row["image_uri"])
            loaded[place] = Content(text=row["text"], image=image, question=row["question"])
        return loaded

    def _image(self, key: str) -> bytes:
        data = self._store.get(key)
        expected, got = key.rpartition("/")[2], hashlib.sha256(data).hexdigest()
        if expected != got:
            raise errors.DataLossError(f"{self._store.uri}/{key}: expected SHA-256 {expected}, got {got}")
        return data

"""Imports a data set: reads, checks, hashes, sorts into shards and writes items, sealed truth and exemplars.

Nothing half-made is left: every row is checked before a manifest is written, and the manifest of the items,
which makes the import count, comes last. All that is wrong is named at once, with file and row.

Several things go on at the same time: a thread reads ahead, this one checks, others hash (in helper processes
too) and sort by shard, and when all is hashed they write the shards. Memory is bounded by
`partition.MEMORY_BYTES` plus the shards in flight.

It deliberately knows no campaign and no spec: what to call the columns comes with the source.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actuary import errors, failpoints
from actuary.campaign import findings, hashing, intake, partition, read_ahead, row_checks, sources
from actuary.storage import artifacts, objects, schemas, tables

SHARD_ROWS = 25_000
SHARD_BYTES = 128 << 20
MIN_SHARDS = 16
MAX_SHARDS = 20_000
INLINE_IMAGE_BYTES = 64_000
"""Larger images become objects of their own, named by their SHA-256."""
PHASES = ("read", "check", "hash", "sort", "digest", "write")
MAX_HELPERS = 4
"""Processes beside this one that hash ids; more would wait for the reader."""

Progress = Callable[[str, int, int], None]
"""Called with phase (`read` or `write`), done and total (rows, then shards)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Where the import goes and how."""

    items_uri: str
    truth_uri: str | None
    """None when no truth may be kept."""
    exemplars_uri: str | None
    shards: int | None
    """None: about 25,000 rows each."""
    key: bytes
    """Of the permanent random numbers and of the shard hash."""
    classes: Sequence[str] | None
    """The task's classes; None when labels are not to be checked."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class IngestResult:
    """What an import made."""

    items_uri: str
    items_digest: str
    truth_digest: str | None
    exemplars_digest: str | None
    shards: int
    counts: dict[str, int]
    """Rows by split (`pool`, `test`, `exemplar`) and `truth`: items whose truth is sealed."""
    slices: dict[str, int]
    """Rows of the pool by slice."""
    phases: dict[str, float]
    """Busy seconds by phase, summed over threads; they overlap, so that the whole takes less."""
    existed: bool
    """Whether the same import had been made before, so that nothing was read."""


def ingest(
    source: sources.Source,
    store: objects.ObjectStore,
    *,
    items_uri: str,
    truth_uri: str | None,
    exemplars_uri: str | None,
    shards: int | None,
    key: bytes,
    scratch: Path,
    classes: Sequence[str] | None,
    progress: Progress,
) -> IngestResult:
    """Imports a data set.

    Args:
        source: what to read.
        store: where to.
        items_uri: prefix of the ITEMS artifact.
        truth_uri: prefix of the TRUTH artifact, under `sealed/`; None keeps no truth.
        exemplars_uri: prefix of the EXEMPLARS artifact; None refuses exemplars.
        shards: number of shards, [1, 20,000]; None chooses about 25,000 rows a shard, at least 16 shards.
        key: key of the permanent random numbers.
        scratch: an existing folder for what does not fit in memory; emptied again.
        classes: the task's classes; None leaves labels unchecked.
        progress: told about rows read and shards written.

    Raises:
        InvalidInputError: something is wrong with the data set; all of it is listed.
        AlreadyExistsError: another data set was imported at that place.
    """
    targets = Targets(
        items_uri=items_uri,
        truth_uri=truth_uri,
        exemplars_uri=exemplars_uri,
        shards=shards,
        key=key,
        classes=tuple(classes) if classes is not None else None,
    )
    if shards is not None and not 1 <= shards <= MAX_SHARDS:
        raise errors.InvalidInputError(f"data.shards: expected [1, {MAX_SHARDS:,}]; got {shards}")
    existing = _existing(source, store, targets)
    if existing is not None:
        return existing
    return _Import(source, store, targets, scratch, progress).run()


def default_shards(size: sources.Size) -> int:
    """About 25,000 rows or 128 MiB a shard, whichever asks for more; at least 16, at most 20,000.

    >>> default_shards(sources.Size(rows=1_000_000, bytes=1)), default_shards(sources.Size(rows=10, bytes=1))
    (40, 16)
    """
    wanted = max(math.ceil(size.rows / SHARD_ROWS), math.ceil(size.bytes / SHARD_BYTES))
    return min(max(wanted, MIN_SHARDS), MAX_SHARDS)


class _Import:
    """One run; holds what its steps share."""

    def __init__(
        self,
        source: sources.Source,
        store: objects.ObjectStore,
        targets: Targets,
        scratch: Path,
        progress: Progress,
    ) -> None:
        self._source = source
        self._store = store
        self._targets = targets
        self._scratch = scratch
        self._progress = progress
        self._found = findings.Findings()
        self._phases = dict.fromkeys(PHASES, 0.0)
        self._lock = threading.Lock()
        self._intake = intake.Intake(
            source, self._found, targets.classes, exemplars=targets.exemplars_uri is not None
        )
        self._counts = self._intake.counts

    def run(self) -> IngestResult:
        """Reads all, writes all, or raises with nothing left."""
        size = self._source.size()
        shards = self._targets.shards or default_shards(size)
        folder = self._scratch / f"import-{os.getpid()}-{id(self)}"
        folder.mkdir()
        try:
            rows = self._read(folder, shards, size)
            refs = self._write(rows, shards)
        finally:
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
        return self._publish(refs, shards)

    def _read(self, folder: Path, shards: int, size: sources.Size) -> partition.Partition:
        """Reads, checks, hashes and sorts by shard everything there is."""
        rows = partition.Partition(shards, folder)
        done = 0
        worth_it = _cores() > 1 and size.rows >= hashing.HELPER_ROWS
        helpers = min(_cores(), MAX_HELPERS) if worth_it else 0
        with (
            hashing.Hasher(self._targets.key, helpers=helpers) as hasher,
            concurrent.futures.ThreadPoolExecutor(hasher.width) as pool,
        ):
            pending: collections.deque[concurrent.futures.Future[None]] = collections.deque()
            for batch in read_ahead.batches(self._source, self._found, self._phases):
                done += batch.rows.num_rows
                with self._timed("check"):
                    checked = self._intake.check(batch)
                pending.append(pool.submit(self._hash, hasher, checked, rows, shards))
                if len(pending) > hasher.width:
                    pending.popleft().result()
                self._progress("read", done, max(done, size.rows))
            for future in pending:
                future.result()
        self._progress("read", done, done)
        self._intake.conclude(done)
        if not done:
            self._found.raise_if_any()
        with self._timed("sort"):
            rows.finish()
        return rows

    def _hash(
        self, hasher: hashing.Hasher, checked: pa.RecordBatch, rows: partition.Partition, shards: int
    ) -> None:
        with self._timed("hash"):
            hashes, u = hasher.digest(checked.column("item_id"))
        with self._timed("sort"):
            batch = pa.RecordBatch.from_arrays(
                [*checked.columns, pa.array(u)], names=[*checked.schema.names, "u"]
            )
            rows.add(batch, tables.shard_of(hashes, shards))

    def _write(self, rows: partition.Partition, shards: int) -> dict[str, list[tables.ObjectRef]]:
        refs: dict[str, list[tables.ObjectRef]] = {"items": [], "truth": [], "exemplars": []}
        exemplars = self._intake.exemplars()
        self._check_duplicates(exemplars)
        self._counts[row_checks.EXEMPLAR] = exemplars.num_rows
        try:
            with concurrent.futures.ThreadPoolExecutor(_cores()) as pool:
                pending = [
                    pool.submit(self._write_shard, rows, shard, exemplars.column("item_id"))
                    for shard in range(shards)
                ]
                try:
                    for done, future in enumerate(pending, 1):
                        for name, ref in future.result().items():
                            refs[name].append(ref)
                        self._progress("write", done, shards)
                except BaseException:
                    for future in pending:
                        future.cancel()
                    raise
            if exemplars.num_rows and not self._found:
                uri = str(self._targets.exemplars_uri)
                columns = exemplars.select(
                    [n for n in schemas.EXEMPLARS.names if n in exemplars.column_names]
                )
                refs["exemplars"].append(self._put(uri, 0, columns, schemas.EXEMPLARS))
            self._found.raise_if_any()
        except BaseException:
            self._discard()
            raise
        return refs

    def _write_shard(
        self, rows: partition.Partition, shard: int, exemplar_ids: pa.ChunkedArray
    ) -> dict[str, tables.ObjectRef]:
        with self._timed("sort"):
            table = rows.rows(shard)
        if table is None:
            return {"items": self._put(self._targets.items_uri, shard, _EMPTY, schemas.ITEMS)}
        with self._timed("check"):
            self._check_duplicates(table)
            if len(exemplar_ids):
                self._check_not_exemplars(table, exemplar_ids)
        if self._found:
            return {}
        if "image" in table.column_names:
            table = self._outsource(table)
        if "split" not in table.column_names:
            table = table.append_column("split", pa.repeat(row_checks.POOL, table.num_rows))
        items = table.select([name for name in schemas.ITEMS.names if name in table.column_names])
        refs = {"items": self._put(self._targets.items_uri, shard, items, schemas.ITEMS)}
        if self._intake.has_truth and self._targets.truth_uri is not None:
            truth = table.select(["item_id", "label"]).filter(pc.is_valid(table.column("label")))
            refs["truth"] = self._put(self._targets.truth_uri, shard, truth, schemas.TRUTH)
            with self._lock:
                self._counts["truth"] += truth.num_rows
        return refs

    def _put(self, uri: str, shard: int, table: pa.Table, schema: pa.Schema) -> tables.ObjectRef:
        start = time.perf_counter()
        with tables.ShardWriter(self._store, tables.shard_key(uri, shard), schema, shard=shard) as writer:
            for first in range(0, table.num_rows, tables.ROW_GROUP_ROWS):
                writer.write(table.slice(first, tables.ROW_GROUP_ROWS))
        with self._lock:
            self._phases["digest"] += writer.digest_seconds
            self._phases["write"] += time.perf_counter() - start - writer.digest_seconds
        return writer.ref

    def _check_duplicates(self, table: pa.Table) -> None:
        ids = table.column("item_id").combine_chunks()
        if len(ids) < 2:
            return
        same = pc.and_(pc.equal(ids.slice(1), ids.slice(0, len(ids) - 1)), pc.not_equal(ids.slice(1), ""))
        for i in np.flatnonzero(same.to_numpy(zero_copy_only=False)).tolist():
            first, second = sorted((table["row"][i].as_py(), table["row"][i + 1].as_py()))
            self._duplicate(ids[i].as_py(), first, second)

    def _check_not_exemplars(self, table: pa.Table, exemplar_ids: pa.ChunkedArray) -> None:
        same = pc.is_in(table.column("item_id"), value_set=exemplar_ids.combine_chunks())
        for i in np.flatnonzero(same.to_numpy()).tolist():
            value = table["item_id"][i].as_py()
            where = self._source.where(table["row"][i].as_py(), value)
            self._found.add("duplicate ids", where, f"the id {value!r} is that of an exemplar too")

    def _duplicate(self, value: str, first: int, second: int) -> None:
        where = self._source.where(second, value)
        other = self._source.where(first, value)
        self._found.add(
            "duplicate ids",
            where,
            f"the id {value!r} was there before: {other}. Every item needs an id of its own.",
        )

    def _outsource(self, table: pa.Table) -> pa.Table:
        """Puts large images into objects of their own, named by content: twice changes nothing."""
        image = table.column("image")
        large = pc.greater(pc.fill_null(pc.binary_length(image), 0), INLINE_IMAGE_BYTES)
        chosen = np.flatnonzero(large.to_numpy())
        if not len(chosen):
            return table
        uris: list[str | None] = [None] * table.num_rows
        start = time.perf_counter()
        for i in chosen.tolist():
            data = image[i].as_py()
            uris[i] = f"{self._targets.items_uri}/images/{hashlib.sha256(data).hexdigest()}"
            with failpoints.around("import.image"):
                self._store.put(str(uris[i]), data, if_absent=True)
        with self._lock:
            self._phases["write"] += time.perf_counter() - start
        names = table.column_names
        small = pc.if_else(large, pa.scalar(None, pa.binary()), image)
        table = table.set_column(names.index("image"), "image", small)
        return table.append_column("image_uri", pa.array(uris, pa.string()))

    def _discard(self) -> None:
        """Removes what was written; best effort, since `gc` finds the rest."""
        uris = (self._targets.items_uri, self._targets.truth_uri, self._targets.exemplars_uri)
        with contextlib.suppress(errors.ActuaryError):
            for uri in uris:
                for info in list(self._store.list(f"{uri}/")) if uri else ():
                    if not info.key.startswith(f"{uri}/.work/"):
                        self._store.delete(info.key)

    def _publish(self, refs: dict[str, list[tables.ObjectRef]], shards: int) -> IngestResult:
        """Writes the manifests, that of the items last."""
        targets = self._targets
        digests: dict[str, str | None] = {"truth": None, "exemplars": None}
        parameters = _parameters(self._source, targets)
        for name, uri in (("truth", targets.truth_uri), ("exemplars", targets.exemplars_uri)):
            if refs[name] and uri is not None:
                digests[name] = self._manifest(name, uri, refs[name], shards, parameters)
        parameters |= {f"{name}_digest": digest for name, digest in digests.items()}
        if self._source.columns.slice:
            parameters["slices"] = self._intake.slices.items
        items = self._manifest("items", targets.items_uri, refs["items"], shards, parameters)
        return IngestResult(
            items_uri=targets.items_uri,
            items_digest=items,
            truth_digest=digests["truth"],
            exemplars_digest=digests["exemplars"],
            shards=shards,
            counts=self._counts,
            slices=self._intake.slices.items,
            phases=self._phases,
            existed=False,
        )

    def _manifest(
        self,
        table: str,
        uri: str,
        refs: list[tables.ObjectRef],
        shards: int,
        parameters: dict[str, object],
    ) -> str:
        manifest = artifacts.Manifest(
            uri=uri,
            table=table,
            version=schemas.version_of(schemas.of(table)),
            objects=tuple(refs),
            parameters=parameters,
            code_version=artifacts.code_version(),
            counts=self._counts,
            shards=1 if table == "exemplars" else shards,
        )
        try:
            return artifacts.write_manifest(self._store, manifest)
        except errors.AlreadyExistsError:
            if table == "items":
                raise
            # Of an import that died before its items counted; the data have changed since. Nobody read it.
            self._store.delete(artifacts.key_of(uri))
            return artifacts.write_manifest(self._store, manifest)

    @contextlib.contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._phases[phase] += time.perf_counter() - start


_EMPTY = schemas.ITEMS.empty_table()


def _existing(source: sources.Source, store: objects.ObjectStore, targets: Targets) -> IngestResult | None:
    """The result of the same import, if it was made before."""
    if not artifacts.exists(store, targets.items_uri):
        return None
    manifest, digest = artifacts.read_manifest(store, targets.items_uri)
    before = dict(manifest.parameters)
    truth, exemplars = before.pop("truth_digest", None), before.pop("exemplars_digest", None)
    counted = before.pop("slices", {})
    if before != _parameters(source, targets):
        raise errors.AlreadyExistsError(
            f"{store.uri}/{targets.items_uri}: another data set was imported there, with {before}; "
            f"asked for {_parameters(source, targets)}. Use another campaign id."
        )
    return IngestResult(
        items_uri=targets.items_uri,
        items_digest=digest,
        truth_digest=truth,
        exemplars_digest=exemplars,
        shards=manifest.shards,
        counts=dict(manifest.counts),
        slices=dict(counted),
        phases=dict.fromkeys(PHASES, 0.0),
        existed=True,
    )


def _parameters(source: sources.Source, targets: Targets) -> dict[str, object]:
    """What makes an import the same import; the key by its digest only."""
    columns = dataclasses.asdict(source.columns)
    for since in ("slice", "embedding"):
        if not columns[since]:
            del columns[since]  # imports of before there was such a column are the same
    return {
        "source": Path(source.name).name,
        "format": source.kind,
        "columns": columns,
        "shards": targets.shards,
        "key_digest": hashlib.sha256(targets.key).hexdigest()[:16],
        "classes": list(targets.classes) if targets.classes is not None else None,
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0))

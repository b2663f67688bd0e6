"""Receipts: a shard is done when its receipt exists; an artifact is whole when all its receipts do.

    <artifact>/.work/receipts/00007.json

A receipt is written once, after the shard; two attempts of an index compact the same chunks into the same
bytes, so it does not matter whose receipt is there. `finish` gathers them into the manifest.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from concurrent import futures

from actuary import errors, failpoints
from actuary.jobs import protocol
from actuary.storage import artifacts, objects, schemas, tables

_READERS = 8
"""Receipts read at once; half of the connections that a store keeps open."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What items came to; sums over chunks, shards, indexes."""

    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Items by outcome."""
    cost_micros: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def __add__(self, other: Totals) -> Totals:
        counts = dict(self.counts)
        for outcome, count in other.counts.items():
            counts[outcome] = counts.get(outcome, 0) + count
        return Totals(
            counts=counts,
            cost_micros=self.cost_micros + other.cost_micros,
            tokens_in=self.tokens_in + other.tokens_in,
            tokens_out=self.tokens_out + other.tokens_out,
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One shard that is done."""

    shard: int
    table: str
    ref: tables.ObjectRef | None
    """The shard's object; None for a shard without rows, which has none."""
    totals: Totals


def key_of(artifact: str, shard: int) -> str:
    """The receipt's key."""
    return f"{artifact}/.work/receipts/{shard:05d}.json"


def write(store: objects.ObjectStore, artifact: str, receipt: Receipt) -> None:
    """Makes a shard count as done; the first receipt stays."""
    data = json.dumps(dataclasses.asdict(receipt), sort_keys=True, ensure_ascii=False).encode()
    with failpoints.around("worker.receipt"):
        store.put(key_of(artifact, receipt.shard), data, if_absent=True)


def read(store: objects.ObjectStore, artifact: str, shard: int) -> Receipt | None:
    """The receipt of a shard; None while it is not done.

    Raises:
        errors.DataLossError: it is no receipt.
    """
    key = key_of(artifact, shard)
    try:
        data = store.get(key)
    except errors.NotFoundError:
        return None
    try:
        fields = json.loads(data)
        ref = fields.pop("ref")
        return Receipt(
            ref=None if ref is None else tables.ObjectRef.of_json(ref),
            totals=Totals(**fields.pop("totals")),
            **fields,
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise errors.DataLossError(f"{store.uri}/{key}: no receipt: {error!r}") from error


def finish(
    store: objects.ObjectStore, spec: protocol.JobSpec, code_version: str, *, ended: bool = True
) -> artifacts.Manifest | None:
    """Makes the artifact of a Job exist, of all its receipts; one that exists already is returned.

    Args:
        store: where they lie.
        spec: of the Job.
        code_version: of this code.
        ended: whether no process is left that could write a receipt; else None says that one is missing yet.

    Raises:
        errors.DataLossError: a receipt is missing though the Job has ended.
    """
    if artifacts.exists(store, spec.artifact):
        return artifacts.read_manifest(store, spec.artifact)[0]
    # each is a round trip, and a controller's step waits for all
    with futures.ThreadPoolExecutor(_READERS) as pool:
        done = list(pool.map(lambda shard: read(store, spec.artifact, shard), range(spec.shards)))
    missing = [shard for shard, receipt in enumerate(done) if receipt is None]
    if missing and not ended:
        return None
    if missing:
        raise errors.DataLossError(
            f"{store.uri}/{spec.artifact}: {len(missing)} of {spec.shards} shards have no receipt, "
            f"the first is {missing[0]}: run {spec.name} again, it does only what is missing",
            metadata={"name": spec.name},
        )
    receipts = [receipt for receipt in done if receipt is not None]
    totals = sum((receipt.totals for receipt in receipts), Totals())
    table = receipts[0].table
    manifest = artifacts.Manifest(
        uri=spec.artifact,
        table=table,
        version=schemas.version_of(schemas.of(table)),
        objects=tuple(receipt.ref for receipt in receipts if receipt.ref is not None),
        parents=parents(store, spec.parents),
        parameters=spec.parameters,
        code_version=code_version,
        counts=dict(sorted(totals.counts.items())),
        cost_micros=totals.cost_micros,
        shards=spec.shards,
    )
    artifacts.write_manifest(store, manifest)
    return manifest


def parents(store: objects.ObjectStore, uris: Sequence[str]) -> tuple[artifacts.Parent, ...]:
    """Artifacts that something is made from, with their digests."""
    return tuple(artifacts.Parent(uri=uri, digest=artifacts.read_manifest(store, uri)[1]) for uri in uris)

"""What people have said so far, wave by wave, matched to the items of a frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actuary import errors
from actuary.sampler import frames
from actuary.stats import weighing
from actuary.storage import artifacts, objects, tables

UNRESOLVED = -2
"""In place of a label: people looked, and could not tell or did not agree."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """One wave's plan and the labels that came of it; D planned rows."""

    number: int
    ids: pa.Array
    """Ids of the planned items, [D]."""
    stratum: pa.Array
    """pilot, slice, class, audit, drawn, certain or failed, [D]."""
    s: frames.Floats
    """Size measures, [D]."""
    order: frames.Floats
    """Serving order inside the stratum, [D]."""
    tau: float
    """Threshold of the drawn stratum; infinite where all were taken or nothing was drawn."""
    label: frames.Longs
    """Human label as an index into the classes, [D]; -1 where nobody has answered yet, `UNRESOLVED` where
    people answered and no label came of it."""
    proof: str = ""
    """Of a certificate's plan its mode, `budget` or `target`; `classes` where each has its own audit."""
    weighing: weighing.Weighing = dataclasses.field(default_factory=weighing.Weighing)
    """How the drawn stratum weighed items: gives the size measure of every item."""
    shard: frames.Longs = dataclasses.field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Shard of each, [D]; empty where nobody asks for a shard."""

    def within(self, shard: int) -> Wave:
        """Returns the rows of a shard as a wave of their own."""
        rows = np.flatnonzero(self.shard == shard)
        return dataclasses.replace(
            self,
            ids=self.ids.take(pa.array(rows)),
            stratum=self.stratum.take(pa.array(rows)),
            s=self.s[rows],
            order=self.order[rows],
            label=self.label[rows],
            shard=self.shard[rows],
        )

    def of(self, *strata: str) -> frames.Bools:
        """Which rows belong to some strata, [D]."""
        inside = pc.is_in(self.stratum, value_set=pa.array(strata, pa.string()))
        return np.asarray(inside.to_numpy(zero_copy_only=False), dtype=np.bool_)

    @property
    def labelled(self) -> frames.Bools:
        """Which rows have a human label, [D]."""
        return self.label >= 0

    @property
    def looked(self) -> frames.Bools:
        """Which rows people have answered, whether or not a label came of it, [D]."""
        seen: frames.Bools = self.label != -1
        return seen


def waves(
    store: objects.ObjectStore, plans: Sequence[str], resolved: Sequence[str], classes: Sequence[str]
) -> list[Wave]:
    """Reads the waves, in order. A wave without resolved answers yet has no labels."""
    found = []
    for number, plan in enumerate(plans):
        manifest = artifacts.read_manifest(store, plan)[0]
        table, design = tables.read_all(store, manifest), manifest.parameters.get("design", {})
        label = np.full(table.num_rows, -1, dtype=np.int64)
        ids = table["item_id"].combine_chunks()
        if number < len(resolved):
            answers = tables.read_all(store, artifacts.read_manifest(store, resolved[number])[0])
            if answers.num_rows:
                label = _matched(answers, ids, classes)
        taus = table["tau"].to_numpy()
        drawn = pc.equal(table["stratum"], "drawn").to_numpy(zero_copy_only=False)
        found.append(
            Wave(
                number=number,
                ids=ids,
                stratum=table["stratum"].combine_chunks(),
                s=table["s"].to_numpy(),
                order=table["rank"].to_numpy(),
                tau=float(taus[drawn][0]) if drawn.any() else float("inf"),
                label=label,
                proof=_proof(design.get("certificate")),
                weighing=weighing.Weighing.of(design),
                shard=_shards(manifest),
            )
        )
    return found


def _shards(manifest: artifacts.Manifest) -> frames.Longs:
    """The shard of each row of a plan."""
    counts = [ref.rows for ref in manifest.objects]
    if None in counts:
        raise errors.DataLossError(f"{manifest.uri}: expected the rows of every shard, got none of one")
    shards = np.array([ref.shard or 0 for ref in manifest.objects], dtype=np.int64)
    return np.repeat(shards, np.array(counts, dtype=np.int64))


def _proof(certificate: Mapping[str, Any] | None) -> str:
    if certificate is None:
        return ""
    groups = certificate["groups"]
    return str(groups[0]["design"]["mode"]) if groups[0]["name"] == "" else "classes"


def _matched(answers: pa.Table, ids: pa.Array, classes: Sequence[str]) -> frames.Longs:
    """What people said of each of `ids`, as `Wave.label`."""
    at = frames.indices(answers["item_id"].combine_chunks(), ids)
    there = np.where(at < 0, 0, at)
    names = answers["label"].combine_chunks().take(pa.array(there, mask=at < 0))
    label = frames.indices(pa.array(classes, pa.string()), names)
    looked = pc.greater(answers["answers"].combine_chunks(), 0).to_numpy(zero_copy_only=False)
    label[(at >= 0) & (label < 0) & looked[there]] = UNRESOLVED
    return label


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The answers of some batches together, [S]."""

    ids: pa.Array
    label: frames.Longs
    """Index into the classes; -1 where people could not tell."""

    def of(self, ids: pa.Array) -> frames.Longs:
        """Returns the label of each of `ids`, -1 where there is none."""
        at = frames.indices(self.ids, ids)
        return np.where(at < 0, -1, self.label[at]) if len(self.label) else np.full(len(ids), -1)


def resolved(store: objects.ObjectStore, uris: Sequence[str], classes: Sequence[str]) -> Resolved:
    """Reads the answers of some batches."""
    pieces = [tables.read_all(store, artifacts.read_manifest(store, uri)[0]) for uri in uris]
    table = pa.concat_tables(pieces)
    names = table["label"].combine_chunks()
    return Resolved(
        ids=table["item_id"].combine_chunks(), label=frames.indices(pa.array(classes, pa.string()), names)
    )


def labels(found: Sequence[Wave], ids: pa.Array) -> frames.Longs:
    """Returns the human label of each of `ids`, -1 where there is none; an item has one at most."""
    label = np.full(len(ids), -1, dtype=np.int64)
    for wave in found:
        at = frames.indices(ids, wave.ids)
        known = (at >= 0) & wave.labelled
        label[at[known]] = wave.label[known]
    return label


def looked(found: Sequence[Wave], ids: pa.Array) -> frames.Bools:
    """Returns which of `ids` people have answered, whether or not a label came of it."""
    seen = np.zeros(len(ids), dtype=np.bool_)
    for wave in found:
        at = frames.indices(ids, wave.ids)
        seen[at[(at >= 0) & wave.looked]] = True
    return seen

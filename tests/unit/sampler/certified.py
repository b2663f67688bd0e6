"""A small campaign with a certificate, written through the product's writers into a folder.

600 items in 2 shards, a pilot of 60 that the risks were fitted on, then the plans of the certificate with
answers to each until nothing is left to plan.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actuary.sampler import certificate, certifying, frames, people, planning, risking, verifying
from actuary.stats import prn, weighing
from actuary.storage import artifacts, folder, schemas, tables

CLASSES = ("no", "yes")
SEED = 11
KEY = prn.project_key(SEED)
SHARDS = 2
CAMPAIGN = "campaigns/small"


@dataclasses.dataclass
class Campaign:
    """The store, what is true, and the certificate's plans so far."""

    store: folder.FolderStore
    ids: list[str]
    truth: np.ndarray
    earlier: tuple[str, ...]
    frame: frames.Frame | None = None
    plans: list[str] = dataclasses.field(default_factory=list)
    frozen: certifying.Frozen | None = None
    double_share: float = 0.0
    """Of the certificate's plans."""

    @classmethod
    def make(cls, path: Path, *, size: int = 600, pilot: int = 60, error_rate: float = 0.2) -> Campaign:
        """Writes items, pilot and risks; the riskier half holds nine tenths of the errors."""
        store = folder.FolderStore(path)
        rng = np.random.default_rng(5)
        ids = [f"item-{number:04d}" for number in range(size)]
        key = KEY
        # in the order of shards and ids, as a frame is
        ids.sort(key=lambda item: (tables.shard_of(prn.digest([item], key)[0], SHARDS)[0], item))
        hashes, u = prn.digest(ids, key)
        shard = tables.shard_of(hashes, SHARDS)
        suspicious = rng.random(size) < 0.5
        final = rng.integers(0, 2, size)
        wrong = rng.random(size) < np.where(suspicious, 1.8, 0.2) * error_rate
        campaign = cls(store, ids, np.where(wrong, 1 - final, final), (f"{CAMPAIGN}/plan-0",))
        frame = frames.Frame(
            ids=pa.array(ids),
            shard=shard,
            u=u,
            outcome=pa.array(["LABELLED"] * size),
            label=final,
            confidence=np.full(size, np.nan),
            probabilities=np.full((size, 2), np.nan),
            scores={"critic": np.where(suspicious, 0.8, 0.1)},
        )
        items = pa.table({"item_id": ids, "split": ["pool"] * size, "u": u, "shard": shard})
        campaign.write("items", items, "items")
        wishes = campaign._wishes(0, pilot)
        rows = planning.pilot(frame, wishes)
        label = pa.nulls(size, pa.string())
        campaign.write("plan-0", planning.table(frame, rows, wishes, label, 0), "plan", ["items"])
        campaign.answer("plan-0", lambda item: campaign.truth_of(item))
        resolved = people.resolved(store, [f"{CAMPAIGN}/plan-0/resolved"], CLASSES)
        told = frames.indices(pa.array(ids), resolved.ids)
        known = np.full(size, -1, dtype=np.int64)
        known[told] = resolved.label
        model = risking.fit(frame, known, key, 0.05)
        ref = tables.write_file(store, f"{CAMPAIGN}/risk/risk.json", model.to_json())
        campaign.manifest("risk", None, (ref,), ["items", "plan-0/resolved"], {})
        risks = risking.table(frame, risking.price(frame, model, key), CLASSES)
        campaign.write("risks", risks, "risks", ["items", "risk", "plan-0", "plan-0/resolved"])
        campaign.frame = frame
        return campaign

    def truth_of(self, item: str) -> str | None:
        return CLASSES[self.truth[self.ids.index(item)]]

    def _wishes(self, wave: int, labels: int, double_share: float = 0.0) -> planning.Wishes:
        return planning.Wishes(
            wave=wave, labels=labels, audit=0, weighing=weighing.Weighing(), failed_share=0.0,
            double_share=double_share, key=KEY,
        )  # fmt: skip

    def write(self, name, table, kind, parents=(), parameters=None):
        """Writes a table's shards and its manifest, whatever was there before."""
        uri, schema = f"{CAMPAIGN}/{name}", schemas.of(kind)
        refs = []
        for number in range(SHARDS):
            rows = table.filter(pa.array(table["shard"].to_numpy() == number))
            if rows.num_rows:
                columns = [column for column in schema.names if column in rows.column_names]
                rows = rows.select(columns).sort_by("item_id")
                key = tables.shard_key(uri, number)
                refs.append(tables.write_table(self.store, key, rows, schema, shard=number))
        self.manifest(name, kind, tuple(refs), parents, parameters or {})

    def manifest(self, name, kind, refs, parents, parameters):
        self.store.delete(artifacts.key_of(f"{CAMPAIGN}/{name}"))
        uris = [f"{CAMPAIGN}/{parent}" for parent in parents]
        artifacts.write_manifest(
            self.store,
            artifacts.Manifest(
                uri=f"{CAMPAIGN}/{name}",
                table=kind,
                version=0 if kind is None else schemas.version_of(schemas.of(kind)),
                objects=refs,
                parents=tuple(
                    artifacts.Parent(uri=uri, digest=artifacts.read_manifest(self.store, uri)[1])
                    for uri in uris
                ),
                parameters=parameters,
                code_version="0.1.0",
                shards=SHARDS,
            ),
        )

    def asked(self, plan: str, *, doubled: bool = False) -> list[str]:
        """Items that a plan asks for, or those of them that two people are to label."""
        manifest = artifacts.read_manifest(self.store, f"{CAMPAIGN}/{plan}")[0]
        table = tables.read_all(self.store, manifest)
        return table.filter(pc.greater_equal(table["labels_wanted"], 1 + doubled))["item_id"].to_pylist()

    def answer(self, plan: str, said: Callable[[str], str | None]) -> None:
        """Writes what people said to each item of a plan: a label, None for "cannot tell"; "" for nothing."""
        ids = [item for item in self.asked(plan) if said(item) != ""]
        labels = [said(item) for item in ids]
        doubled = set(self.asked(plan, doubled=True))
        shard = tables.shard_of(prn.digest(ids, KEY)[0], SHARDS)
        resolved = pa.table(
            {
                "item_id": pa.array(ids, pa.string()),
                "wave": pa.array([1] * len(ids), pa.int32()),
                "label": pa.array(labels, pa.string()),
                "answers": pa.array([1] * len(ids), pa.int32()),
                "agreement": pa.array([float(label is not None) for label in labels], pa.float64()),
                "method": [
                    "unresolved" if label is None else "majority" if item in doubled else "single"
                    for item, label in zip(ids, labels, strict=True)
                ],
                "position": pa.array(range(len(ids)), pa.int64()),
                "shard": shard,
            }
        )
        self.write(f"{plan}/resolved", resolved, "resolved", [plan])

    @property
    def sources(self) -> certificate.Sources:
        return certificate.Sources(
            items=f"{CAMPAIGN}/items",
            risks=f"{CAMPAIGN}/risks",
            earlier_plans=self.earlier,
            earlier_resolved=tuple(f"{uri}/resolved" for uri in self.earlier),
            plans=tuple(f"{CAMPAIGN}/{plan}" for plan in self.plans),
            resolved=tuple(f"{CAMPAIGN}/{plan}/resolved" for plan in self.plans),
        )

    def pool(self) -> certifying.Pool:
        return verifying.read_pool(self.store, self.sources, CLASSES, KEY)

    def plan(self, number: int) -> int:
        """Writes the certificate's plan of that number; returns how many items it asks for."""
        pool = self.pool()
        waves = people.waves(self.store, self.sources.plans, self.sources.resolved, CLASSES)
        orders = certifying.orders(pool, self.frozen)
        rows = certifying.rows(pool, self.frozen, orders, certifying.answers(waves, pool.ids), number)
        if not rows.at:
            return 0
        name = f"plan-{number + 1}"
        label = pa.array(CLASSES).take(pa.array(pool.final))
        wishes = self._wishes(number + 1, 0, self.double_share)
        table = planning.table(self.frame, rows, wishes, label, 0)
        design = {"rule": "threshold", "seed": str(SEED), "certificate": self.frozen.to_record()}
        parents = ["items", "risks", "plan-0", "plan-0/resolved"]
        parents += [name for plan in self.plans for name in (plan, f"{plan}/resolved")]
        self.write(name, table, "plan", parents, {"design": design})
        self.plans.append(name)
        return table.num_rows

    def certify(self, said=None, **wishes) -> certificate.Certificate:
        """Freezes, then plans and answers until nothing is left, and issues."""
        asked = {"mode": "target", "labels": 540, "looks": (200,), "alpha": 0.05, "wave": 1, "target": 0.1}
        self.frozen = certifying.freeze(self.pool(), certifying.Wishes(**{**asked, **wishes}))
        while self.plan(len(self.plans)):
            self.answer(self.plans[-1], said or self.truth_of)
        return verifying.issue(self.store, self.sources)

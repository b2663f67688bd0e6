"""A campaign of some hundred items in any number of shards, taken through the sampler's Jobs here."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from actuary.jobs import protocol, reporting, worker
from actuary.jobs import settings as job_settings
from actuary.sampler import work
from actuary.stats import prn
from actuary.storage import artifacts, folder, schemas, tables

CLASSES = ["a", "b", "c"]
SEED = 5
SPENT = {
    "model": "", "prompt_digest": "", "tokens_in": 0, "tokens_out": 0, "cost_micros": 0,
    "compute_seconds": 0.0,
}  # fmt: skip


class Campaign:
    """Items, annotations and critiques; some items are failed, some belong to the test set.

    Args:
        root: a folder.
        shards: how many.
        size: items of the pool.
        grades: distinct scores that the critic gives, so that risks tie; 0 for scores that differ.
    """

    def __init__(self, root: Path, shards: int, *, size: int = 900, grades: int = 0) -> None:
        self.root, self.shards = root, shards
        self.store = folder.FolderStore(root / "store")
        rng = np.random.default_rng(17)
        self.ids = np.array([f"item-{number:05d}" for number in rng.permutation(size + 20)])
        label = rng.integers(0, 3, size + 20)
        doubt = rng.beta(0.7, 2.0, size + 20)
        if grades:
            doubt = np.ceil(doubt * grades) / grades * 0.98
        self.truth = np.where(rng.random(size + 20) < doubt, (label + 1) % 3, label)
        pool = np.arange(size + 20) < size
        text = ["word " * int(count) for count in rng.integers(1, 30, size + 20)]
        u = prn.digest(self.ids.tolist(), prn.project_key(SEED))[1]
        known = np.random.default_rng(18).normal(size=(size + 20, 16))
        items = {
            "item_id": self.ids, "text": text, "split": np.where(pool, "pool", "test"), "u": u,
            "embedding": [None if place % 9 == 4 else row for place, row in enumerate(known.tolist())],
        }  # fmt: skip
        self.write("items", "items", items)
        failed = rng.random(size + 20) < 0.04
        names = np.array(CLASSES, dtype=object)[label]
        spread = np.full((size + 20, 3), 0.5)
        spread[np.arange(size + 20), label] = 0.0
        shares = spread * doubt[:, None]
        shares[np.arange(size + 20), label] = 1.0 - doubt
        annotations = {
            "item_id": self.ids,
            "outcome": np.where(failed, "FAILED", "LABELLED"),
            "label": np.where(failed, None, names),
            "confidence": np.where(failed, None, np.round(1.0 - doubt / 2, 2)),
            "probabilities": [
                None if lost else row for lost, row in zip(failed, shares.tolist(), strict=True)
            ],
            **{name: [value] * len(self.ids) for name, value in SPENT.items()},
        }
        self.write("annotations", "annotations", annotations)
        told = np.flatnonzero(~failed & (rng.random(size + 20) < 0.97))
        critiques = {
            "item_id": self.ids[told],
            "critic_id": ["critic"] * len(told),
            "outcome": ["LABELLED"] * len(told),
            "raw_score": doubt[told],
            **{name: [value] * len(told) for name, value in SPENT.items()},
        }
        self.write("critiques", "critiques", critiques)
        self.plans: list[str] = []

    def write(
        self, uri: str, kind: str, columns: dict[str, Any], parameters: dict[str, Any] | None = None
    ) -> None:
        """Writes a table, each item in its shard."""
        schema = schemas.of(kind)
        columns = {name: pa.array(list(values), schema.field(name).type) for name, values in columns.items()}
        content = schemas.conform(pa.table(columns), schema).sort_by("item_id")
        hashes = prn.digest(content["item_id"].to_pylist(), prn.project_key(SEED))[0]
        shard = tables.shard_of(hashes, self.shards)
        refs = []
        for number in np.unique(shard):
            rows = content.filter(pa.array(shard == number))
            key = tables.shard_key(uri, int(number))
            refs.append(tables.write_table(self.store, key, rows, schema, shard=int(number)))
        artifacts.write_manifest(
            self.store,
            artifacts.Manifest(
                uri=uri, table=kind, version=schemas.version_of(schema), objects=tuple(refs),
                code_version="test", parameters=parameters or {}, shards=self.shards,
            ),
        )  # fmt: skip

    def parameters(self, **asked: Any) -> dict[str, Any]:
        """Parameters of a Job."""
        return {
            "items": "items", "annotations": ["annotations"], "critiques": ["critiques"],
            "classes": CLASSES, "seed": SEED, **asked,
        }  # fmt: skip

    def later(self, wave: int, **asked: Any) -> dict[str, Any]:
        """Parameters of a plan after the pilot."""
        found = self.parameters(
            wave=wave, risk_model="risk", earlier_plans=self.plans[:wave],
            earlier_resolved=[f"{uri}/resolved" for uri in self.plans[:wave]], **asked,
        )  # fmt: skip
        return found if wave == 1 else {**found, "earlier_risks": f"{self.plans[1]}/risks"}

    def run(self, kind: str, uri: str, parameters: dict[str, Any]) -> artifacts.Manifest:
        """Runs a Job to its end."""
        spec = protocol.JobSpec(
            name=f"campaigns/c/{kind}s/x", kind=kind, campaign="campaigns/c", indexes=1, parallelism=1,
            artifact=uri, parents=("items",), store_uri=str(self.root / "store"), parameters=parameters,
        )  # fmt: skip
        stop, settings = threading.Event(), job_settings.JobsSettings()
        with reporting.Session(protocol.Unsupervised(), stop, settings) as session:
            context = worker.WorkContext(
                spec=spec, index=0, attempt=0, store=self.store, session=session, stop=stop,
                scratch=self.root, settings=settings,
            )  # fmt: skip
            work.TASKS[kind].run(context)
        return artifacts.read_manifest(self.store, uri)[0]

    def plan(self, uri: str, parameters: dict[str, Any]) -> artifacts.Manifest:
        """Runs a plan that later ones follow."""
        self.plans.append(uri)
        return self.run("plan", uri, parameters)

    def answer(self, uri: str, wave: int, share: float = 1.0) -> None:
        """People answer a share of a plan, some without a label."""
        table = tables.read_all(self.store, artifacts.read_manifest(self.store, uri)[0]).sort_by("item_id")
        table = table.slice(0, round(share * table.num_rows))
        ids = table["item_id"].to_pylist()
        truth = {item: CLASSES[k] for item, k in zip(self.ids.tolist(), self.truth.tolist(), strict=True)}
        lost = prn.uniform(ids, b"nobody can tell") < 0.05
        resolved = {
            "item_id": ids,
            "wave": [wave] * len(ids),
            "label": [None if gone else truth[item] for item, gone in zip(ids, lost, strict=True)],
            "answers": [1] * len(ids),
            "agreement": (~lost).astype(float),
            "method": np.where(lost, "unresolved", "single"),
            "position": range(len(ids)),
        }
        self.write(f"{uri}/resolved", "resolved", resolved)

    def begin(self, pilot: int = 200) -> None:
        """Draws and answers the pilot, and fits the risk model."""
        self.plan("plan-0", self.parameters(wave=0, label_count=pilot, sampling={"failed_share": 1.0}))
        self.answer("plan-0", 0, 0.97)
        self.run("risk", "risk", self.parameters(resolved=["plan-0/resolved"]))

    def rows(self, uri: str) -> pa.Table:
        """A written table, sorted by id, without its shards."""
        return tables.read_all(self.store, artifacts.read_manifest(self.store, uri)[0]).sort_by("item_id")

"""From a pilot's artifacts to a risk model and a wave, through the sampler's Jobs in this process."""

from __future__ import annotations

import threading

import numpy as np
import pyarrow as pa
import pytest

from actuary.jobs import protocol, reporting, worker
from actuary.jobs import settings as job_settings
from actuary.sampler import work
from actuary.stats import prn
from actuary.storage import artifacts, folder, schemas, tables

ITEMS, PILOT = 300, 120
IDS = [f"item-{number:03d}" for number in range(ITEMS)]
U = prn.uniform(IDS, prn.project_key(0))


class Campaign:
    """A pool of one shard, of which people labelled the pilot."""

    def __init__(self, root, wrong, score) -> None:
        self.root = root
        self.store = folder.FolderStore(root / "store")
        label = np.where(np.arange(ITEMS) % 2 == 0, "a", "b")
        human = np.where(wrong, np.where(label == "a", "b", "a"), label)
        self.pilot = np.argsort(U)[:PILOT]
        zeros, empty = [0] * ITEMS, [""] * ITEMS
        spent = {
            "model": empty, "prompt_digest": empty, "tokens_in": zeros, "tokens_out": zeros,
            "cost_micros": zeros, "compute_seconds": [0.0] * ITEMS, "outcome": ["LABELLED"] * ITEMS,
        }  # fmt: skip
        self.write("items", {"item_id": IDS, "text": IDS, "split": ["pool"] * ITEMS, "u": U})
        self.write("annotations", {"item_id": IDS, "label": label, "confidence": [0.7] * ITEMS, **spent})
        self.write("critiques", {"item_id": IDS, "critic_id": ["c"] * ITEMS, "raw_score": score, **spent})
        drawn = [IDS[i] for i in self.pilot]
        ones = [1] * PILOT
        plan = {
            "item_id": drawn, "wave": [0] * PILOT, "stratum": ["pilot"] * PILOT, "s": ones, "pi": ones,
            "u": U[self.pilot], "rank": U[self.pilot], "tau": ones, "cost_micros": ones,
            "blind": [True] * PILOT, "labels_wanted": ones,
        }  # fmt: skip
        self.write("plan", plan, design={"tau": float(np.sort(U)[PILOT])})
        answers = {
            "item_id": drawn, "wave": [0] * PILOT, "label": human[self.pilot], "answers": ones,
            "agreement": ones, "method": ["single"] * PILOT, "position": range(PILOT),
        }  # fmt: skip
        self.write("resolved", answers)

    def write(self, table: str, columns: dict, **parameters) -> None:
        schema = schemas.of(table)
        content = schemas.conform(
            pa.table({name: pa.array(list(values)) for name, values in columns.items()}), schema
        ).sort_by("item_id")
        ref = tables.write_table(self.store, tables.shard_key(table, 0), content, schema, shard=0)
        manifest = artifacts.Manifest(
            uri=table, table=table, version=schemas.version_of(schema), objects=(ref,), code_version="test",
            parameters=parameters, shards=1,
        )  # fmt: skip
        artifacts.write_manifest(self.store, manifest)

    def run(self, kind: str, **parameters) -> artifacts.Manifest:
        spec = protocol.JobSpec(
            name=f"campaigns/c/{kind}s/x", kind=kind, campaign="campaigns/c", indexes=1, parallelism=1,
            artifact=f"{kind}-x", parents=("items",), store_uri=str(self.root / "store"),
            parameters={"items": "items", "annotations": ["annotations"], "critiques": ["critiques"],
                        "classes": ["a", "b"], "seed": 0, **parameters},
        )  # fmt: skip
        stop, settings = threading.Event(), job_settings.JobsSettings()
        with reporting.Session(protocol.Unsupervised(), stop, settings) as session:
            context = worker.WorkContext(
                spec=spec, index=0, attempt=0, store=self.store, session=session, stop=stop,
                scratch=self.root, settings=settings,
            )  # fmt: skip
            work.TASKS[kind].run(context)
        return artifacts.read_manifest(self.store, f"{kind}-x")[0]


@pytest.mark.parametrize(("worth", "rule"), [(True, "threshold"), (False, "uniform")])
def test_a_wave_follows_the_rule_only_if_the_pilot_shows_what_the_critic_is_worth(tmp_path, worth, rule):
    rng = np.random.default_rng(1)
    wrong = rng.random(ITEMS) < 0.3
    campaign = Campaign(tmp_path, wrong, rng.random(ITEMS) / 2 + 0.5 * (wrong & worth))
    fitted = campaign.run("risk", resolved=["resolved"])
    figures = fitted.parameters["results"]["figures"]
    assert figures["worthless"] != worth
    assert figures["items"] == PILOT
    plan = campaign.run(
        "plan", wave=1, label_count=60, sampling={"audit_items": 20, "rule": "threshold"},
        risk_model="risk-x", earlier_plans=["plan"], earlier_resolved=["resolved"],
    )  # fmt: skip
    assert plan.parameters["design"]["rule"] == rule
    other = {"threshold": "certain", "uniform": "drawn"}[rule]
    assert plan.parameters["results"]["stratum_counts"] == {"audit": 20, other: 40}
    notes = " ".join(plan.parameters["results"]["notes"])
    assert ("has not been shown to tell wrong labels from right ones" in notes) != worth

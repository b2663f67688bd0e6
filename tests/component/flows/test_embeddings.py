"""A newcomer has embeddings that show where the machine is wrong, and risks are learned from them."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actuary.storage import artifacts, location, tables
from component.flows import newcomer

COUNT, PILOT = 900, 420


def folder(root):
    """Labels with one confidence for all, and numbers of which the first says where they are wrong."""
    form = newcomer.campaign(
        data={"uri": "items.parquet", "truth_column": "gold", "embedding_column": "numbers"},
        budget={"human_labels": 500},
        sampling={"pilot_items": PILOT, "audit_items": 20},
        review={"mode": "replay"},
    )
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(COUNT, 4)).astype(np.float32)
    wrong = rng.random(COUNT) < np.where(numbers[:, 0] > 0.5, 0.7, 0.03)
    other = {newcomer.YES: newcomer.NO, newcomer.NO: newcomer.YES}
    content = [
        newcomer.Item(f"item {k}", f"Ding {k}", gold, other[gold] if wrong[k] else gold, 0.8)
        for k, gold in enumerate([newcomer.YES, newcomer.NO] * (COUNT // 2))
    ]
    made = newcomer.make(root, form, content)
    columns = {name: [getattr(item, name) for item in content] for name in ("item_id", "text", "gold")}
    pq.write_table(pa.table({**columns, "numbers": list(numbers)}), made / "items.parquet")
    return made, wrong


@pytest.mark.slow
def test_risks_are_learned_from_an_embedding_and_the_report_says_so(served):
    name = "embeddings"
    made, wrong = folder(served.shell.folder / name)
    served.client.create(made)
    done = served.until(name, "SUCCEEDED")
    store = location.open_store(str(served.data / "store"))
    model = artifacts.read_manifest(store, f"campaigns/{name}/riskModels/risk-w0")[0]
    kinds = [
        each
        for fold in json.loads(tables.read_file(store, model.objects[0]))["folds"]
        for each in fold["members"]
    ]
    assert {member["kind"] for member in kinds} & {"platt-embedding", "trees-embedding"}

    risks = served.artifact(name, "plans/plan-w1/risks")
    of = dict(zip(risks["item_id"].to_pylist(), risks["risk"].to_pylist(), strict=True))
    priced = np.array([of[f"item {k}"] for k in range(COUNT)])
    assert priced[wrong].mean() > 0.4 > 0.2 > priced[~wrong].mean()
    assert done.results.corrected_accuracy.estimate > done.results.machine_accuracy.estimate + 0.05

    page = (served.shell.folder / "report.html").absolute()
    served.cli("report", name, page)
    assert "risk models look at the embedding, since that predicts better" in page.read_text(encoding="utf-8")

"""Data and labels that a newcomer brings: CSV, JSONL, Parquet and a folder of images."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from actuary import client
from component.flows import newcomer

COUNT = 60
REPLAY = {"mode": "replay"}
WISHES = {"approval": "required", "review": REPLAY, "budget": {"human_labels": 50}}


def _csv(folder, items):
    form = newcomer.campaign(data={"truth_column": "gold"}, **WISHES)
    return newcomer.make(folder, form, items)


def _jsonl(folder, items):
    """Ids are JSON numbers here where they look like numbers; the model gave labels and nothing else."""
    form = newcomer.campaign(
        data={"uri": "Sätze.jsonl", "text_column": "satz", "id_column": "nr", "truth_column": "gold"},
        annotator={"model": {"kind": "table", "uri": "模型.jsonl", "prices": {"gpu_hour_micros": 0}}},
        **WISHES,
    )
    newcomer.make(folder, form, items)
    rows = [{"nr": i.item_id, "satz": i.text, "gold": i.gold} for i in items]
    labels = [{"item_id": i.item_id, "label": i.label} for i in items]
    for name, lines in (("Sätze.jsonl", rows), ("模型.jsonl", labels)):
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def _parquet(folder, items):
    """Labels come with a probability for every class."""
    form = newcomer.campaign(
        data={"uri": "items.parquet", "truth_column": "gold"},
        annotator={"model": {"kind": "table", "uri": "labels.parquet", "prices": {"gpu_hour_micros": 0}}},
        critic={"strategy": "confidence"},
        **WISHES,
    )
    newcomer.make(folder, form, items)
    rows = pa.table({"item_id": [i.item_id for i in items], "text": [i.text for i in items]})
    pq.write_table(rows.append_column("gold", pa.array([i.gold for i in items])), folder / "items.parquet")
    yes = np.array([i.confidence if i.label == newcomer.YES else 1 - i.confidence for i in items])
    labels = {"item_id": [i.item_id for i in items], "label": [i.label for i in items]}
    columns = {f"p_{newcomer.YES}": yes, f"p_{newcomer.NO}": 1 - yes}
    pq.write_table(pa.table({**labels, **columns}), folder / "labels.parquet")
    return folder


def _images(folder, items):
    """The id is the image's path, the truth its folder; names may hold blanks and any script."""
    form = newcomer.campaign(data={"uri": "bilder", "truth_column": "folder"}, **WISHES)
    newcomer.make(folder, form, items)
    rows = []
    for k, item in enumerate(items):
        path = folder / "bilder" / item.gold / f"图 {k:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = io.BytesIO()
        Image.new("L", (8, 8), 20 + 200 * (item.gold == newcomer.YES)).save(stream, "png")
        path.write_bytes(stream.getvalue())
        rows.append((f"{item.gold}/{path.name}", item.label, item.confidence))
    newcomer.write_csv(folder / "labels.csv", ["item_id", "label", "confidence"], rows)
    return folder


FORMS = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet, "images": _images}


def _ids(form):
    """Id of each item as this form writes it."""
    if form == "images":
        return {f"{i.gold}/图 {k:02d}.png": i for k, i in enumerate(newcomer.items(COUNT))}
    return {i.item_id: i for i in newcomer.items(COUNT)}


@pytest.fixture(scope="module")
def campaigns(served):
    """Starts a campaign of each form at once; all wait after their quote."""
    for name, write in FORMS.items():
        folder = write(served.shell.folder / f"own-{name}", newcomer.items(COUNT))
        served.client.create(folder)
    yield served
    for name in FORMS:
        served.client.cancel(f"own-{name}")


@pytest.mark.parametrize("form", FORMS)
def test_ids_stay_the_strings_that_they_are_in_the_file(campaigns, form):
    campaigns.until(f"own-{form}", "WAITING_FOR_APPROVAL")
    assert set(campaigns.artifact(f"own-{form}", "importJobs/import/items")["item_id"].to_pylist()) == set(
        _ids(form)
    )


@pytest.mark.parametrize("form", FORMS)
def test_labels_at_hand_are_the_machines_labels(campaigns, form):
    campaigns.until(f"own-{form}", "WAITING_FOR_APPROVAL")
    rows = campaigns.artifact(f"own-{form}", "annotationJobs/annotate-w0").to_pylist()
    assert len(rows) == 30
    assert [row["label"] for row in rows] == [_ids(form)[row["item_id"]].label for row in rows]


def test_confidence_and_probabilities_are_kept(campaigns):
    campaigns.until("own-csv", "WAITING_FOR_APPROVAL")
    rows = campaigns.artifact("own-csv", "annotationJobs/annotate-w0").to_pylist()
    wanted = [_ids("csv")[row["item_id"]].confidence for row in rows]
    assert [row["confidence"] for row in rows] == pytest.approx(wanted)

    campaigns.until("own-parquet", "WAITING_FOR_APPROVAL")
    rows = campaigns.artifact("own-parquet", "annotationJobs/annotate-w0").to_pylist()
    wanted = [_ids("parquet")[row["item_id"]].confidence for row in rows]
    classes = [newcomer.YES, newcomer.NO]
    assert [row["probabilities"][classes.index(row["label"])] for row in rows] == pytest.approx(wanted)


def test_labels_without_confidence_are_priced_all_the_same(campaigns):
    campaigns.until("own-jsonl", "WAITING_FOR_APPROVAL")
    rows = campaigns.artifact("own-jsonl", "annotationJobs/annotate-w0").to_pylist()
    assert all(row["confidence"] is None for row in rows)
    assert campaigns.client.quote("own-jsonl").points


@pytest.mark.slow
def test_images_are_labelled_trained_on_and_reported(shell):
    """A folder in another script, pictures in class folders, one command."""
    folder = _images(shell.folder / "图像", newcomer.items(COUNT))
    form = newcomer.campaign(data={"uri": "bilder", "truth_column": "folder"}, review=REPLAY)
    form |= {"training": {"model": "linear"}, "seed": 2}
    (folder / "campaign.yaml").write_text(yaml.safe_dump(form, allow_unicode=True), encoding="utf-8")
    said = json.loads(shell("run", folder, "--json").stdout)
    assert said["campaign"] == f"campaigns/{client.id_of('图像')}"
    assert (said["state"], said["items"], said["human_labels"]) == ("SUCCEEDED", COUNT, 40)
    bounds = said["corrected_accuracy"]
    assert bounds["low"] <= bounds["true"] <= bounds["high"]
    assert said["test_accuracy"] == {"machine": None, "act": None, "human": None}  # there are no test items
    report = Path(said["report"]).read_text(encoding="utf-8")
    assert report.count("data:image/png;base64,") > 10
    assert "图 " in report
    shell("export", said["campaign"].split("/")[1], "labels.csv")
    rows = list(csv.DictReader((shell.folder / "labels.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["item_id"] for row in rows} == set(_ids("images"))
    assert {row["source"] for row in rows} == {"machine", "human"}


@pytest.mark.slow
def test_the_sample_prints_one_object_of_json(shell):
    done = shell("run", "digits", "--json")
    said = json.loads(done.stdout)
    assert (said["state"], said["items"], said["human_budget"], said["human_labels"]) == (
        "SUCCEEDED", 1277, 255, 255,
    )  # fmt: skip
    for accuracy in (said["machine_accuracy"], said["corrected_accuracy"]):
        assert accuracy["low"] <= accuracy["true"] <= accuracy["high"]
    test = said["test_accuracy"]
    assert test["machine"] < test["act"] < test["human"]
    assert said["spent_micros"] >= 255 * 50_000
    assert "review" in done.stderr  # progress goes there


@pytest.mark.slow
def test_a_replay_from_a_sealed_column_corrects_what_the_machine_got_wrong(campaigns):
    """Ten of sixty labels are wrong, all with a low confidence; 50 people's labels find them."""
    campaigns.until("own-csv", "WAITING_FOR_APPROVAL")
    said = campaigns.cli("approve", "own-csv").stdout
    assert "own-csv: running" in said
    campaigns.until("own-csv", "SUCCEEDED")
    rows = campaigns.client.export("own-csv").to_pylist()
    gold = {item_id: item.gold for item_id, item in _ids("csv").items()}
    people = [row for row in rows if row["source"] == "human"]
    assert len(people) == 50
    assert all(row["label"] == gold[row["item_id"]] for row in people)
    assert sum(row["label"] == gold[row["item_id"]] for row in rows) >= 59

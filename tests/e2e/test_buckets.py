"""Data of one's own on a cluster: files in a bucket, which Jobs read with credentials of their own."""

from __future__ import annotations

import pytest

from actuary.storage import location
from actuary.v1 import campaign_pb2

CLASSES = ("good", "bad")
ITEMS = [(f"{i:03d}", f"text {i}", CLASSES[i % 2]) for i in range(60)]


def campaign(uri: str) -> dict:
    return {
        "task": {"instruction": "Good or bad?", "classes": [{"name": name} for name in CLASSES]},
        "data": {"uri": f"{uri}/items.csv", "truth_column": "truth"},
        "annotator": {
            "model": {
                "kind": "table",
                "uri": f"{uri}/labels.csv",
                "prices": {"input_micros_per_1000_tokens": 0, "output_micros_per_1000_tokens": 0},
            }
        },
        "budget": {"human_labels": 30, "human_label_micros": 0},
        "sampling": {"pilot_items": 20},
        "review": {"mode": "replay"},
        "training": {"model": "none"},
        "execution": {"workers": 1, "shards": 2},
    }


@pytest.fixture(scope="module")
def bucket(store) -> str:
    """A bucket beside the release's own, with items and with labels that are wrong about every fifth."""
    uri = "s3://my-data/reviews"
    lines = ["item_id,text,truth", *(f"{name},{text},{truth}" for name, text, truth in ITEMS)]
    labels = ["item_id,label,confidence"]
    for i, (name, _, truth) in enumerate(ITEMS):
        wrong = i % 5 == 0
        labels.append(f"{name},{CLASSES[CLASSES.index(truth) ^ wrong]},{0.6 if wrong else 0.9}")
    files = location.open_store(uri)
    files.put("items.csv", "\n".join(lines).encode())
    files.put("labels.csv", "\n".join(labels).encode())
    files.put("broken/items.csv", b"item_id,text,truth\n1,a,good\n2,b,bad,c\n")
    files.put("broken/labels.csv", b"item_id,label\n1,good\n2,bad\n")
    return uri


def test_a_campaign_reads_items_and_labels_from_a_bucket(client, bucket):
    ended = client.wait(client.create(campaign(bucket), campaign_id="own-data").name)
    assert campaign_pb2.Campaign.State.Name(ended.state) == "SUCCEEDED", ended.error.message
    assert ended.results.item_count == len(ITEMS)
    assert ended.results.machine_accuracy.true_value == pytest.approx(0.8)


def test_what_is_wrong_with_a_file_in_a_bucket_is_named_by_its_uri(client, bucket):
    ended = client.wait(client.create(campaign(f"{bucket}/broken"), campaign_id="own-broken").name)
    assert ended.state == campaign_pb2.Campaign.FAILED
    assert f"{bucket}/broken/items.csv, row 2" in ended.error.message

"""What is around a campaign and fails it: a full disk, a store that is not there, a model that cannot."""

from __future__ import annotations

import random
import socket

import pytest

from actuary.v1 import campaign_pb2
from component.bad_input import places

FULL = 1 << 20


@pytest.mark.slow
def test_a_full_disk_is_said_and_resume_goes_on_when_there_is_room(place, tmp_path):
    """Files may not pass 1 MiB, as if the disk were full: less than the one shard of the items."""
    rng = random.Random(7)
    rows = [{**row, "text": rng.randbytes(10_000).hex()} for row in places.good_items()]
    place.table("items.csv", rows)
    own = tmp_path / "own"
    said = place.run(own, most_bytes=FULL)
    assert said.code == 1
    message = said.error()
    assert message.startswith(
        f"no room to write file://{own}/store/{place.campaign}/importJobs/import/items/"
    )
    assert f"Free space or raise the quota on the file system of {own}/store" in message
    assert said.results["state"] == "FAILED"
    assert place.artifacts(own) == set()
    assert list((own / "store").rglob("*.parquet")) == []
    assert list((own / "store").rglob(".tmp*")) == []

    with places.served(own) as client:
        place.create(client)
        client.resume(place.name)
        place.past_import(client, own)


def test_a_store_that_does_not_answer_is_retried_then_said(place, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]  # closed again: nobody listens there
    own = tmp_path / "own"
    said = place.run(
        own,
        ACTUARY_STORE_URI="s3://bucket/prefix",
        ACTUARY_STORAGE_ENDPOINT=f"http://127.0.0.1:{port}",
        ACTUARY_STORAGE_ACCESS_KEY="somebody",
        ACTUARY_STORAGE_SECRET_KEY="something",
        ACTUARY_STORAGE_RETRY_SECONDS="0.5",
    )
    assert (said.code, said.out) == (1, "")
    message = said.error()
    assert "s3://bucket/prefix" in message
    assert f"127.0.0.1:{port}" in message
    assert "after retries for up to 0.5 s" in message


def test_too_many_failed_items_pause_a_campaign_and_resume_accepts_them(place, client):
    place.spec({"annotator.model": {**places.NULL, "options": {"failure_rate": "0.9"}}})
    place.create(client)
    place.until(client, lambda found: found.state == campaign_pb2.Campaign.PAUSED)
    message = client.get(place.name).error.message
    assert "items have no machine label, more than the 25% of 50 labels that sampling.failed_share" in message
    assert "For example item 'item-" in message
    assert not any(uri.startswith("critiqueJobs") for uri in place.artifacts())
    assert not any(uri.startswith("annotationJobs/annotate-w1") for uri in place.artifacts())

    said = place.actuary("resume", place.name)
    assert said.code == 0, said.err
    place.until(client, lambda _: "critiqueJobs/critique-w0" in place.artifacts())
    client.cancel(place.name)

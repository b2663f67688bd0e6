"""A release changes under a running campaign: upgraded from the commit before, and rolled back."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from actuary.campaign import samples
from actuary.storage import artifacts, location, tables
from actuary.v1 import campaign_pb2
from e2e import conftest

ITEMS = 2_000
VALUES = ("-f", conftest.HERE / "values.yaml")


@pytest.fixture(scope="module")
def before(tmp_path_factory) -> Path:
    """The chart of the commit before this one."""
    root = conftest.HERE.parents[1]
    archive = subprocess.run(
        ["git", "-C", root, "archive", "HEAD~1", "charts/actuary"], capture_output=True, check=False
    )
    if archive.returncode != 0:
        pytest.skip(f"no commit before this one to upgrade from: {archive.stderr.decode().strip()}")
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder / "charts" / "actuary"


@pytest.fixture(scope="module")
def release(before):
    with conftest.namespace("actuary-upgrade") as cluster:
        cluster.helm("install", "actuary", before, *VALUES, "--wait", "--timeout", "5m")
        yield cluster


def at_work(release: conftest.Cluster, name: str) -> None:
    """Creates a campaign whose model takes its time, and waits until workers label the bulk of it."""
    form = samples.campaign("synthetic")
    form["data"]["uri"] = f"sample:synthetic?items={ITEMS}"
    form["annotator"]["model"]["options"] = {"latency_ms": "3000"}
    form["execution"] = {"workers": 2, "chunk_items": 20, "shards": 20}
    with release.connect() as client:
        client.create(form, campaign_id=name)

        def bulk() -> bool:
            stages = {stage.stage: stage.done_count for stage in client.get(name).stages}
            return stages.get("annotate 1", 0) > 0

        conftest.wait_for(bulk, f"{name} to label its items")


def ended_whole(release: conftest.Cluster, name: str) -> None:
    """Waits until it has succeeded, and sees that it has a label for each item."""
    with release.connect() as client:
        ended = client.wait(name)
    assert campaign_pb2.Campaign.State.Name(ended.state) == "SUCCEEDED", ended.error.message
    with release.store_variables():
        store = location.open_store("s3://actuary/actuary")
        uri = f"campaigns/{name}/reportJobs/report-w1/export"
        export = tables.read_all(store, artifacts.read_manifest(store, uri)[0])
    assert export.num_rows == len(export.column("item_id").unique()) == ended.results.item_count
    assert export.column("label").null_count == 0


def test_an_upgrade_from_the_chart_before_goes_on_with_a_running_campaign(release):
    at_work(release, "upgraded")
    pods = set(release.pods("annotator"))
    # a changed value, so that there are new pods even where the chart is the same
    release.helm(
        "upgrade", "actuary", conftest.CHART, *VALUES, "--set-json", "controller.seconds=0.6", "--wait"
    )
    assert pods.isdisjoint(release.pods("annotator"))
    ended_whole(release, "upgraded")


def test_a_rollback_goes_on_with_a_running_campaign(release):
    at_work(release, "rolled-back")
    release.helm("rollback", "actuary", 1, "--wait")
    ended_whole(release, "rolled-back")

"""One campaign that meets everything a cluster does to it, and ends as if nothing had happened.

Two replicas of each service. Workers are deleted every few seconds throughout; meanwhile leaders are killed,
services, the database, the store and the API server go away and come back, pods are drained, a service is
scaled to nothing.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actuary import errors
from actuary.campaign import samples
from actuary.storage import artifacts, location, tables
from actuary.v1 import campaign_pb2
from e2e import conftest

ITEMS = 20_000
LABELS = 500
WORKERS = "app.kubernetes.io/component=worker,actuary.dev/campaign=chaos"
"""A drain takes what it selects from every namespace."""
REDONE = 0.05
"""Share of the work that may be done again."""


@pytest.fixture(scope="module")
def release() -> Iterator[conftest.Cluster]:
    """Two of each service, and small steps for workers, so that there is something to disrupt."""
    with conftest.namespace("actuary-two") as cluster:
        replicas = [f"--set=services.{name}.replicas=2" for name in conftest.SERVICES]
        cluster.install(*replicas)
        yield cluster


class Watcher:
    """The campaign from outside, over connections that may break."""

    def __init__(self, release: conftest.Cluster) -> None:
        self.release = release

    def get(self) -> campaign_pb2.Campaign | None:
        """The campaign; None while nobody can be reached."""
        try:
            with self.release.connect() as client:
                return client.get("chaos")
        except (errors.ActuaryError, OSError):
            return None

    def labels_the_bulk(self) -> bool:
        """Whether workers have begun with what comes after the pilot."""
        found = self.get()
        return found is not None and any(s.stage == "annotate 1" and s.done_count > 0 for s in found.stages)

    def running(self, what: str) -> campaign_pb2.Campaign:
        """Waits until the campaign can be seen, and sees to it that machines are still at work for it."""
        found = conftest.wait_for(self.get, f"the campaign after: {what}")
        state = campaign_pb2.Campaign.State.Name(found.state)
        assert state == "RUNNING", f"{what}: the campaign is {state}, {found.error.message}"
        return found

    def goes_on(self, what: str) -> None:
        """Waits until more is done than now."""
        before = done(self.running(what))
        conftest.wait_for(
            lambda: (found := self.get()) is not None and done(found) > before, f"work to go on after: {what}"
        )


def done(campaign: campaign_pb2.Campaign) -> int:
    return sum(stage.done_count for stage in campaign.stages)


@contextlib.contextmanager
def repeated(act: Callable[[], object], seconds: float) -> Iterator[list[int]]:
    """Does something every few seconds; counts how often."""
    stop, count = threading.Event(), [0]

    def run() -> None:
        while not stop.wait(seconds):
            count[0] += bool(act())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield count
    finally:
        stop.set()
        thread.join()


def leader(release: conftest.Cluster, service: str) -> str:
    """The pod of a service that leads; empty when none does."""
    for pod in release.pods(service):
        if release.metrics(pod).get(f'actuary_leader{{loop="{service}"}}') == 1.0:
            return pod
    return ""


def stop_api_server(seconds: float) -> bool:
    """Stops the API server for a while where it is a process of this machine; says whether it is."""
    mine = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/comm")
        if path.read_text().strip() == "kube-apiserver"
    ]
    for pid in mine:
        os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(seconds if mine else 0)
    finally:
        for pid in mine:
            os.kill(pid, signal.SIGCONT)
    return bool(mine)


def campaign() -> dict:
    """20,000 items that a model takes its time for, under a budget that is just enough."""
    form = samples.campaign("synthetic")
    form["data"]["uri"] = f"sample:synthetic?items={ITEMS}"
    form["annotator"]["model"]["options"] = {"latency_ms": "1500"}
    form["budget"] = {
        "human_labels": LABELS,
        "human_label_micros": 50_000,
        "money_micros": LABELS * 50_000 + 2_000_000,
    }
    form["execution"] = {"workers": 4, "chunk_items": 10, "shards": 40}
    form["training"] = {"model": "none"}
    return form


def test_a_campaign_bears_whatever_a_cluster_does_to_it(release, capsys):
    watcher, said = Watcher(release), []
    with release.connect() as client:
        client.create(campaign(), campaign_id="chaos")
    conftest.wait_for(watcher.labels_the_bulk, "workers to label the bulk")

    def delete_a_worker() -> bool:
        pods = release.kubectl("get", "pods", "-l", WORKERS, "--field-selector=status.phase=Running",
                               "-o", "name", check=False).split()  # fmt: skip
        chosen = random.choice(pods) if pods and all("/" in pod for pod in pods) else ""
        return bool(chosen) and "deleted" in release.kubectl("delete", chosen, "--wait=false", check=False)

    with repeated(delete_a_worker, 4.0) as workers:
        for service in ("annotator", "campaign"):
            first = conftest.wait_for(lambda s=service: leader(release, s), f"a leader of {service}")
            began = time.monotonic()
            release.kubectl("delete", "pod", first, "--grace-period=0", "--force")
            second = conftest.wait_for(lambda s=service: leader(release, s), f"another leader of {service}")
            assert second != first
            said.append(f"{service}: another leads {time.monotonic() - began:.1f} s after the kill")
            watcher.goes_on(f"the leader of {service} was killed")

        for service in conftest.SERVICES:
            release.kubectl("delete", "pod", release.pods(service)[0], "--wait=false")
        watcher.goes_on("a pod of each service was deleted")

        for server in ("postgresql", "minio"):
            release.kubectl("delete", "pod", f"actuary-{server}-0", "--grace-period=0", "--force")
            release.kubectl("rollout", "status", f"statefulset/actuary-{server}", "--timeout=5m")
            watcher.goes_on(f"{server} was killed")

        node = release.get("nodes")[0]["metadata"]["name"]
        release.kubectl("drain", node, f"--pod-selector={WORKERS}", "--ignore-daemonsets",
                        "--delete-emptydir-data", "--force", "--timeout=3m")  # fmt: skip
        release.kubectl("uncordon", node)
        watcher.goes_on("every worker was drained")

        said.append(f"API server stopped: {stop_api_server(20)}")
        watcher.goes_on("the API server was stopped")

        release.kubectl("scale", "deployment/actuary-annotator", "--replicas=0")
        time.sleep(60)
        release.kubectl("scale", "deployment/actuary-annotator", "--replicas=2")
        watcher.goes_on("the annotator was scaled to nothing for a minute")

    ended = conftest.wait_for(
        lambda: (
            (found := watcher.get()) is not None
            and campaign_pb2.Campaign.State.Name(found.state) in ("SUCCEEDED", "FAILED", "PAUSED")
            and found
        ),
        "the campaign to end",
        seconds=900,
    )
    assert campaign_pb2.Campaign.State.Name(ended.state) == "SUCCEEDED", ended.error.message
    with capsys.disabled():
        print("\n".join(["", f"workers deleted: {workers[0]}", *said]))
    assert workers[0] >= 10
    _complete(release, ended)


def _complete(release: conftest.Cluster, ended: campaign_pb2.Campaign) -> None:
    """Nothing is lost, nothing is paid twice, next to nothing was done again."""
    with release.store_variables():
        store = location.open_store("s3://actuary/actuary")

        def manifest(artifact: str) -> artifacts.Manifest:
            return artifacts.read_manifest(store, f"campaigns/chaos/{artifact}")[0]

        export = tables.read_all(store, manifest("reportJobs/report-w1/export"))
        jobs = ("annotationJobs/annotate", "critiqueJobs/critique")
        manifests = [manifest(f"{job}-w{wave}") for job in jobs for wave in (0, 1)]
        resolved = [
            tables.read_all(store, manifest(f"reviewBatches/review-w{wave}/resolved")) for wave in (0, 1)
        ]
    items = ended.results.item_count
    assert export.num_rows == len(export.column("item_id").unique()) == items
    assert export.column("label").null_count == 0
    annotated = [each.counts for each in manifests[:2]]
    assert sum(counts["LABELLED"] for counts in annotated) == items
    assert set().union(*annotated) == {"LABELLED"}
    people, money = ended.purse.human_labels, ended.purse.money_micros
    assert people.settled <= people.limit
    assert money.settled <= money.limit
    assert people.reserved == money.reserved == 0
    labels = sum(sum(table.column("answers").to_pylist()) for table in resolved)
    assert people.settled == labels
    machine = sum(each.cost_micros for each in manifests)
    assert money.settled == machine + people.settled * 50_000
    page = release.metrics(leader(release, "annotator"))
    asked = page['actuary_items_asked_total{stage="annotate"}']
    kept = page['actuary_items_total{outcome="LABELLED",stage="annotate"}']
    assert kept == items
    assert asked / kept - 1 < REDONE, f"{asked:,.0f} items were given to models for {kept:,.0f} answers"

"""Whole campaigns as Kubernetes Jobs: installed with Helm, submitted over gRPC, found in MinIO.

The same campaign is run embedded beside it: what a cluster computes is what a laptop computes.
"""

from __future__ import annotations

import json

import pytest

from actuary.storage import artifacts, location, tables
from e2e import conftest

LABELS = "app.kubernetes.io/name=actuary,app.kubernetes.io/component"
COMPUTED = ("compute_seconds",)
"""Columns that say how long a machine took."""


@pytest.fixture(scope="module")
def embedded(installed, store, digits):
    """The store of a run of the sample in one process, as on a laptop, and what the run said.

    It runs in the image of the workers: another C library computes other last bits.
    """
    environment = {
        "ACTUARY_STORE_URI": "s3://actuary/embedded",
        "ACTUARY_STORAGE_ENDPOINT": "http://actuary-minio:9000",
        **{
            f"ACTUARY_STORAGE_{key.upper()}": {"secretKeyRef": {"name": "actuary-minio", "key": key}}
            for key in ("access_key", "secret_key")
        },
    }
    command = ["actuary", "run", "digits", "--json", "--data", "/tmp/embedded"]
    log = installed.run("embedded", conftest.worker_image(), command, environment)
    return location.open_store("s3://actuary/embedded"), json.loads(log.splitlines()[-1])


def rows(store, uri):
    """The rows of an artifact by item, without what says how long a machine took."""
    table = tables.read_all(store, artifacts.read_manifest(store, uri)[0])
    return table.drop_columns([name for name in COMPUTED if name in table.column_names]).sort_by("item_id")


def test_every_pod_is_ready_and_restricted(installed):
    for service in conftest.SERVICES:
        (pod,) = installed.get("pods", "-l", f"{LABELS}={service}")
        conditions = {c["type"]: c["status"] for c in pod["status"]["conditions"]}
        assert conditions["Ready"] == "True"
        (status,) = pod["status"]["containerStatuses"]
        assert status["restartCount"] <= 3  # the database may be there a moment later


def test_the_sample_campaign_runs_as_jobs_and_says_how_good_its_labels_are(installed, digits):
    assert digits.purse.human_labels.settled == 255
    for accuracy in (digits.results.machine_accuracy, digits.results.corrected_accuracy):
        assert accuracy.low <= accuracy.true_value <= accuracy.high

    def done():
        jobs = {
            job["metadata"]["annotations"]["actuary.dev/name"]: job
            for job in installed.get("jobs", "-l", "actuary.dev/kind,actuary.dev/campaign=digits")
        }
        ended = all(job["status"].get("succeeded") == job["spec"]["completions"] for job in jobs.values())
        return jobs if ended else None

    jobs = conftest.wait_for(done, "every Job to be complete", seconds=60)
    assert len(jobs) == 12
    annotate = jobs["campaigns/digits/annotationJobs/annotate-w1"]
    assert annotate["spec"]["completionMode"] == "Indexed"
    assert annotate["spec"]["completions"] == 2


@pytest.mark.parametrize(
    "artifact",
    [
        "importJobs/import/items",
        "annotationJobs/annotate-w0",
        "annotationJobs/annotate-w1",
        "critiqueJobs/critique-w1",
        "plans/plan-w0",
        "plans/plan-w1/risks",
        "plans/plan-w1",
        "reviewBatches/review-w1/resolved",
        "estimates/estimate-w1",
        "reportJobs/report-w1/export",
    ],
)
def test_what_a_cluster_computes_is_what_a_laptop_computes(digits, embedded, store, artifact):
    alone, _ = embedded
    ours, theirs = (rows(each, f"campaigns/digits/{artifact}") for each in (store, alone))
    assert ours.num_rows > 0
    assert ours.equals(theirs)


def test_estimates_are_the_same_and_models_nearly(digits, embedded):
    _, said = embedded
    for name in ("machine_accuracy", "corrected_accuracy"):
        ours = getattr(digits.results, name)
        found = {"estimate": ours.estimate, "low": ours.low, "high": ours.high, "true": ours.true_value}
        assert found == pytest.approx(said[name], abs=1e-12)
    assert set(digits.results.test_accuracies) == {"machine", "act", "human"}
    for name, accuracy in digits.results.test_accuracies.items():
        assert accuracy.estimate == pytest.approx(said["test_accuracy"][name], abs=0.005)


def test_report_and_export_are_in_the_store(client, digits, store, tmp_path):
    report = client.report("digits", tmp_path / "report.html").read_text(encoding="utf-8")
    assert "83.3" in report
    items = client.export("digits").column("item_id")
    assert len(items) == len(items.unique()) == digits.results.item_count


def test_a_pod_of_the_cluster_reaches_the_service_by_its_name(installed, digits):
    said = installed.kubectl(
        "exec", "deployment/actuary-trainer", "--", "actuary", "list", "--server", "actuary-campaign:7411"
    )
    assert "digits: succeeded" in said

"""A whole campaign as Kubernetes Jobs: installed with Helm, submitted over gRPC, watched, found in MinIO."""

from __future__ import annotations

from actuary.campaign import samples
from actuary.v1 import campaign_pb2
from e2e import conftest

LABELS = "app.kubernetes.io/name=actuary,app.kubernetes.io/component"


def test_every_pod_is_ready_and_restricted(installed):
    for service in conftest.SERVICES:
        (pod,) = installed.get("pods", "-l", f"{LABELS}={service}")
        conditions = {c["type"]: c["status"] for c in pod["status"]["conditions"]}
        assert conditions["Ready"] == "True"
        (status,) = pod["status"]["containerStatuses"]
        assert status["restartCount"] <= 3  # the database may be there a moment later


def test_the_sample_campaign_runs_as_jobs_and_says_how_good_its_labels_are(installed, client):
    created = client.create(samples.campaign("digits"), campaign_id="digits")
    ended = client.wait(created.name)
    assert campaign_pb2.Campaign.State.Name(ended.state) == "SUCCEEDED", ended.error.message
    assert ended.purse.human_labels.settled == 255
    for accuracy in (ended.results.machine_accuracy, ended.results.corrected_accuracy):
        assert accuracy.low <= accuracy.true_value <= accuracy.high
    jobs = {
        job["metadata"]["annotations"]["actuary.dev/name"]: job
        for job in installed.get("jobs", "-l", "actuary.dev/kind")
    }
    assert len(jobs) >= 12
    assert all(job["status"].get("succeeded") == job["spec"]["completions"] for job in jobs.values())
    annotate = jobs["campaigns/digits/annotationJobs/annotate-w1"]
    assert annotate["spec"]["completionMode"] == "Indexed"

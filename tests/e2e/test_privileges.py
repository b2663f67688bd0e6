"""What each pod may do, asked from inside: services what the chart says, workers nothing but their work."""

from __future__ import annotations

import base64
import json

import pytest

from actuary import errors
from actuary.storage import minio_store, settings
from e2e import conftest

ASK = """
import json
from kubernetes import client, config
config.load_incluster_config()
namespace = open("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read()
spec = client.V1SelfSubjectRulesReviewSpec(namespace=namespace)
review = client.V1SelfSubjectRulesReview(spec=spec)
answer = client.AuthorizationV1Api().create_self_subject_rules_review(review, _preload_content=False)
print(json.dumps(json.loads(answer.data)["status"]["resourceRules"]))
"""
ALLOWED = {
    *(("batch", "jobs", verb) for verb in ("create", "get", "list", "watch", "delete")),
    *(("", kind, verb) for kind in ("pods", "events") for verb in ("list", "watch")),
    *(("", "secrets", verb) for verb in ("create", "update")),
}


@pytest.mark.parametrize("service", [name for name in conftest.SERVICES if name != "review"])
def test_a_service_may_do_what_the_chart_says_and_no_more(installed, service):
    said = installed.kubectl("exec", f"deployment/actuary-{service}", "--", "python", "-c", ASK)
    rules = {
        (group, resource, verb)
        for rule in json.loads(said)
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    # who has a token may ask who it is and what it may do
    about_itself = {rule for rule in rules if rule[0] in ("authorization.k8s.io", "authentication.k8s.io")}
    assert rules - about_itself == ALLOWED


def test_people_and_workers_need_no_token(installed, digits):
    said = installed.kubectl("exec", "deployment/actuary-review", "--", "python", "-c", ASK, check=False)
    assert "Service host/port is not set" in said or "token" in said
    workers = installed.get("pods", "-l", "app.kubernetes.io/component=worker")
    assert workers
    for pod in workers:
        assert pod["spec"]["automountServiceAccountToken"] is False
        volumes = [volume for volume in pod["spec"]["volumes"] if "projected" in volume]
        assert volumes == []


@pytest.fixture
def worker(installed, digits, store):
    """The store as the workers of the bulk's annotation see it."""
    (secret,) = (
        each
        for each in installed.get("secrets", "-l", "actuary.dev/kind=annotation,actuary.dev/campaign=digits")
        if "annotate-w1" in each["metadata"]["name"]
    )
    assert secret["metadata"]["ownerReferences"][0]["kind"] == "Job"
    keys = {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
    return minio_store.MinioStore("actuary", "actuary", settings.StorageSettings(**keys))


def test_a_worker_reaches_its_prefixes_only(worker, store):
    base = "campaigns/digits"
    assert worker.get(f"{base}/annotationJobs/annotate-w1/manifest.json")
    assert worker.get(f"{base}/importJobs/import/items/manifest.json")
    tries = {
        "another step": lambda: worker.get(f"{base}/critiqueJobs/critique-w1/manifest.json"),
        "the truth": lambda: list(worker.list(f"sealed/{base}/")),
        "a parent": lambda: worker.put(f"{base}/importJobs/import/items/manifest.json", b"{}"),
        "everything": lambda: list(worker.list("")),
    }
    reached = []
    for what, attempt in tries.items():
        try:
            attempt()
        except errors.RefusedError:
            continue
        reached.append(what)
    assert reached == []
    assert store.get(f"{base}/importJobs/import/items/manifest.json") != b"{}"

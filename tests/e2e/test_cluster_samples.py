"""What k8s/ and the chart's ci/ hold: linted and rendered by helm, accepted by an API server, not created."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kubernetes import client as kubernetes

from actuary.jobs import protocol
from actuary.jobs.cluster import builder
from actuary.jobs.cluster import settings as cluster_settings
from e2e import conftest

ROOT = conftest.CHART.parents[1]
CI = sorted((conftest.CHART / "ci").glob("*-values.yaml"))
SAMPLES = ROOT / "k8s" / "samples"
MINIMAL = conftest.CHART / "ci" / "minimal-values.yaml"
CASES = {
    **{f"ci/{file.name}": [file] for file in CI},
    "values-production.yaml": [SAMPLES / "values-production.yaml"],
    "values-gpu.yaml": [MINIMAL, SAMPLES / "values-gpu.yaml"],
    "values-kueue.yaml": [MINIMAL, SAMPLES / "values-kueue.yaml"],
    "dev/values.yaml": [ROOT / "k8s" / "dev" / "values.yaml"],
}
UNKNOWN = {"PodMonitor", "PrometheusRule"}
"""Kinds of the Prometheus operator, which a cluster need not know: rendered, and not sent to it."""
cases = pytest.mark.parametrize("files", CASES.values(), ids=CASES)


@pytest.fixture(scope="module")
def cluster() -> Iterator[conftest.Cluster]:
    """A namespace with what objects have to find there: pods want their service account."""
    with conftest.namespace("samples") as found:
        for account in ("r-worker", "prometheus", "grafana"):
            found.kubectl("create", "--save-config", "serviceaccount", account)
        yield found


def helm(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["helm", *map(str, arguments)], capture_output=True, text=True, check=False)


def rendered(files: list[Path]) -> list[dict]:
    """What `helm template` makes of values files."""
    values = [word for file in files for word in ("-f", file)]
    done = helm("template", "r", conftest.CHART, "--kube-version", "1.34.0", *values)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def accepted(cluster: conftest.Cluster, objects: list[dict]) -> None:
    """Sends objects to the API server, which checks and forgets them; warnings are failures."""
    text = yaml.safe_dump_all(objects)
    done = subprocess.run(
        ["kubectl", "-n", cluster.namespace, "apply", "--dry-run=server", "--validate=strict", "-f", "-"],
        input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", done.stderr
    assert len(done.stdout.splitlines()) == len(objects)


def test_the_chart_has_values_for_continuous_integration():
    assert [file.name for file in CI] == [
        "default-values.yaml",
        "everything-values.yaml",
        "gpu-values.yaml",
        "minimal-values.yaml",
    ]


@cases
def test_helm_finds_nothing_to_say_about_it(files):
    values = [word for file in files for word in ("-f", file)]
    done = helm("lint", "--strict", conftest.CHART, *values)
    assert done.returncode == 0, done.stdout + done.stderr


@cases
def test_an_api_server_takes_what_is_rendered(cluster, files):
    objects = rendered(files)
    accepted(cluster, [each for each in objects if each["kind"] not in UNKNOWN])


@pytest.mark.parametrize("kind", ["annotation", "train", "import"])
@cases
def test_an_api_server_takes_the_jobs_that_services_would_make(cluster, monkeypatch, files, kind):
    (variables,) = (
        each["data"]
        for each in rendered(files)
        if each["kind"] == "ConfigMap" and each["metadata"]["name"] == "r-services"
    )
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    made = cluster_settings.KubernetesSettings(namespace=cluster.namespace)
    spec = protocol.JobSpec(
        name=f"campaigns/c/{kind}Jobs/j",
        kind=kind,
        campaign="campaigns/c",
        indexes=4,
        parallelism=2,
        artifact=f"campaigns/c/{kind}Jobs/j",
        store_uri="s3://bucket/actuary",
    )
    job = kubernetes.ApiClient().sanitize_for_serialization(builder.job_of(spec, spec.uri, made))
    accepted(cluster, [job])


def test_the_development_stack_is_taken_and_may_not_do_more_than_look(cluster):
    done = subprocess.run(
        ["kubectl", "kustomize", ROOT / "k8s" / "dev"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    objects = list(yaml.safe_load_all(done.stdout))
    for each in objects:
        if each["kind"] == "Namespace":
            assert each["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}
        else:
            assert each["metadata"].pop("namespace") == "actuary"
        if each["kind"] == "Role":
            assert {verb for rule in each["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}
        for subject in each.get("subjects", []):
            assert subject.pop("namespace") == "actuary"
            subject["namespace"] = cluster.namespace
        if each["kind"] == "Service":
            # the port may be taken by a development stack that runs
            each["spec"]["ports"][0].pop("nodePort", None)
    accepted(cluster, [each for each in objects if each["kind"] != "ServiceAccount"])


def test_every_image_of_the_development_stack_names_its_version():
    text = "\n".join(file.read_text() for file in (ROOT / "k8s").rglob("*.yaml"))
    images = re.findall(r"image: ([a-z][\w./-]+(?::[\w.-]+)?)$", text, re.MULTILINE)
    assert len(images) >= 5
    for image in images:
        assert re.search(r":v?\d+[\w.-]*$", image), image


def test_the_samples_for_kueue_speak_of_one_queue_that_covers_what_workers_ask_for():
    objects = {each["kind"]: each for each in yaml.safe_load_all((SAMPLES / "kueue.yaml").read_text())}
    assert {each["apiVersion"] for each in objects.values()} == {"kueue.x-k8s.io/v1beta2"}
    worker = yaml.safe_load((SAMPLES / "values-kueue.yaml").read_text())["worker"]
    local = objects["LocalQueue"]
    assert worker["queue"] == local["metadata"]["name"]
    assert worker["priority"] == objects["WorkloadPriorityClass"]["metadata"]["name"]
    assert local["spec"]["clusterQueue"] == objects["ClusterQueue"]["metadata"]["name"]
    (group,) = objects["ClusterQueue"]["spec"]["resourceGroups"]
    (flavor,) = group["flavors"]
    assert flavor["name"] == objects["ResourceFlavor"]["metadata"]["name"]
    assert [each["name"] for each in flavor["resources"]] == group["coveredResources"]
    values = yaml.safe_load((conftest.CHART / "values.yaml").read_text())
    values_gpu = yaml.safe_load((SAMPLES / "values-gpu.yaml").read_text())
    profiles = [*values["worker"]["profiles"].values(), *values_gpu["worker"]["profiles"].values()]
    containers = [each for profile in profiles for each in (profile, *profile.get("sidecars", []))]
    asked = {name for each in containers for amounts in each["resources"].values() for name in amounts}
    assert asked <= set(group["coveredResources"]), json.dumps(sorted(asked))

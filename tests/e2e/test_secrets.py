"""Credentials of Jobs on a cluster: one Secret a Job, owned by it and renewed; services read none of them.

The runner of these tests has the token of a service, so that what the Role does not allow fails here too.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
from kubernetes import client as kubernetes
from kubernetes import config

from actuary import errors
from actuary.campaign import samples
from actuary.jobs import protocol
from actuary.jobs.cluster import builder, runner, settings
from actuary.v1 import campaign_pb2
from e2e import conftest

NAMES = ("access_key", "secret_key", "session_token")


@pytest.fixture(scope="module")
def synthetic(client):
    """A small campaign without a model to train, at its end."""
    form = samples.campaign("synthetic")
    form["data"]["uri"] = "sample:synthetic?items=300"
    form["sampling"] = {"pilot_items": 20, "audit_items": 10}
    ended = client.wait(client.create(form, campaign_id="synthetic").name)
    assert campaign_pb2.Campaign.State.Name(ended.state) == "SUCCEEDED", ended.error.message
    return ended


def secrets_of(cluster):
    """Secrets by name."""
    return {each["metadata"]["name"]: each for each in cluster.get("secrets")}


def test_each_job_has_a_secret_that_it_owns_and_no_pod_has_the_keys_of_the_store(installed, synthetic):
    jobs = installed.get("jobs", "-l", "actuary.dev/campaign=synthetic")
    secrets = secrets_of(installed)
    assert len(jobs) >= 10
    for job in jobs:
        secret = secrets[builder.secret_of(job["metadata"]["name"])]
        (owner,) = secret["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("Job", job["metadata"]["uid"])
        assert secret["type"] == builder.SECRET_TYPE
        assert set(secret["data"]) == set(NAMES)
        assert 'actuary-minio"' not in json.dumps(job["spec"])
    keys = [secret["data"]["access_key"] for secret in secrets.values() if "session_token" in secret["data"]]
    assert len(set(keys)) == len(keys)


def test_a_secret_goes_with_its_job(installed, synthetic):
    (job,) = installed.get("jobs", "-l", "actuary.dev/campaign=synthetic,actuary.dev/kind=quote")
    name = job["metadata"]["name"]
    assert builder.secret_of(name) in secrets_of(installed)
    installed.kubectl("delete", "job", name)
    conftest.wait_for(lambda: builder.secret_of(name) not in secrets_of(installed), "the Secret to go", 60)


@pytest.mark.parametrize("service", [each for each in conftest.SERVICES if each != "review"])
def test_a_service_writes_secrets_and_reads_none(installed, service):
    def may(verb):
        account = f"system:serviceaccount:{installed.namespace}:actuary-{service}"
        said = installed.kubectl("auth", "can-i", verb, "secrets", "--as", account, check=False)
        return said.splitlines()[0] == "yes"

    verbs = ("get", "list", "watch", "create", "update", "patch", "delete")
    assert [verb for verb in verbs if may(verb)] == ["create", "update"]


def replica(cluster: conftest.Cluster) -> runner.KubernetesRunner:
    """A runner with the rights of a service, whose Jobs no service knows and no queue admits."""
    connection = kubernetes.Configuration()
    config.load_kube_config(client_configuration=connection)
    token = cluster.kubectl("create", "token", "actuary-critic").strip()
    connection.cert_file = connection.key_file = None
    connection.api_key = {"authorization": f"Bearer {token}"}
    options = settings.KubernetesSettings(
        namespace=cluster.namespace, instance="probe", image=conftest.worker_image(), queue="nobody"
    )
    return runner.KubernetesRunner(options, kubernetes.ApiClient(connection))


@pytest.fixture
def first(installed, store) -> Iterator[runner.KubernetesRunner]:
    made = replica(installed)
    yield made
    made.close()


@pytest.fixture
def second(installed, store) -> Iterator[runner.KubernetesRunner]:
    made = replica(installed)
    yield made
    made.close()


def spec_of(name: str) -> protocol.JobSpec:
    return protocol.JobSpec(
        name=f"campaigns/probe/critiqueJobs/{name}",
        kind="critique",
        campaign="campaigns/probe",
        indexes=1,
        parallelism=1,
        artifact=f"campaigns/probe/critiqueJobs/{name}",
        store_uri="s3://actuary/actuary",
    )


def secret_of(cluster: conftest.Cluster, spec: protocol.JobSpec) -> dict | None:
    return secrets_of(cluster).get(builder.secret_of(builder.name_of(spec.name, "probe")))


def test_a_job_has_its_secret_when_launch_returns_and_looking_at_it_costs_nothing(installed, first):
    spec = spec_of("launched")
    first.launch(spec, spec.uri)
    secret = secret_of(installed, spec)
    first.launch(spec, spec.uri)
    assert first.status(spec.name).waiting == "suspended until the queue nobody admits it"
    before = first.calls
    for _ in range(200):
        assert first.status(spec.name).state == "running"
    assert first.calls - before <= 3  # watches that are made anew
    assert secret_of(installed, spec) == secret
    first.cancel(spec.name)
    conftest.wait_for(lambda: secret_of(installed, spec) is None, "the Secret to go with its Job", 60)


def test_a_runner_that_died_before_the_secret_leaves_it_to_another_replica(installed, first, second):
    spec = spec_of("half-made")
    options = settings.KubernetesSettings(
        namespace=installed.namespace, instance="probe", image=conftest.worker_image(), queue="nobody"
    )
    job = builder.job_of(spec, spec.uri, options)
    installed.kubectl(
        "create", "-f", "-", stdin=json.dumps(kubernetes.ApiClient().sanitize_for_serialization(job))
    )
    assert secret_of(installed, spec) is None
    conftest.wait_for(lambda: second.status(spec.name), "the Job to be seen", 60)
    (owner,) = secret_of(installed, spec)["metadata"]["ownerReferences"]
    assert owner["name"] == job.metadata.name
    second.cancel(spec.name)


def test_a_replica_that_takes_over_renews_in_place(installed, first, second):
    spec = spec_of("taken-over")
    first.launch(spec, spec.uri)
    before = secret_of(installed, spec)
    conftest.wait_for(lambda: second.status(spec.name), "the Job to be seen", 60)
    after = secret_of(installed, spec)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert all(after["data"][name] != before["data"][name] for name in NAMES)
    second.cancel(spec.name)


def test_a_secret_of_somebody_else_is_left_alone_and_named(installed, first):
    spec = spec_of("taken")
    name = builder.secret_of(builder.name_of(spec.name, "probe"))
    installed.kubectl("create", "secret", "generic", name, "--from-literal=password=theirs")
    with pytest.raises(errors.AlreadyExistsError, match=f"the Secret {name} .* is not ours: delete it"):
        first.launch(spec, spec.uri)
    left = secrets_of(installed)[name]
    assert {key: base64.b64decode(value) for key, value in left["data"].items()} == {"password": b"theirs"}
    first.cancel(spec.name)


def test_a_store_that_gives_no_credentials_is_said_and_costs_no_job_that_runs(
    installed, first, second, monkeypatch
):
    spec, other = spec_of("refused"), spec_of("refused-too")
    first.launch(spec, spec.uri)
    before = secret_of(installed, spec)
    monkeypatch.setenv("ACTUARY_STORAGE_SECRET_KEY", "not-the-key-of-the-store")
    status = conftest.wait_for(lambda: second.status(spec.name), "the Job to be seen", 60)
    assert status.state == "running"
    assert "cannot be renewed: the store at" in status.waiting
    assert "store.jobCredentials.enabled to false" in status.waiting
    assert secret_of(installed, spec) == before
    with pytest.raises(errors.PreconditionError, match="gives no credentials for a Job"):
        second.launch(other, other.uri)
    for each in (spec, other):
        first.cancel(each.name)

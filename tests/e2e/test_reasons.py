"""What keeps a Job from running is said in words a person understands; once mended, the campaign goes on.

One release for all cases. Each creates a small campaign, takes away what its Jobs need, waits for the
sentence, and gives it back. Campaigns that are mended run to their ends beside the next case.
"""

from __future__ import annotations

import contextlib
import json

import minio
import minio.credentials
import pytest
import yaml

import actuary
from actuary.campaign import samples
from actuary.storage import artifacts, location
from actuary.storage import settings as storage_settings
from actuary.v1 import campaign_pb2
from e2e import conftest

SOON = 120
"""Seconds within which a sentence has to be there; a machine that does much else needs more than a few."""
IMAGE = "{repository}:{tag}".format(**yaml.safe_load((conftest.HERE / "values.yaml").read_text())["image"])
GPU = "nvidia.com/gpu"
SMALL = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "1500Mi"}}
ONE_GPU = {"resources": {**SMALL, "limits": {**SMALL["limits"], GPU: "1"}}, "scratch": "1Gi"}
INSTALLED = {"worker": {"profiles": {"annotation": ONE_GPU}}}
"""Whatever annotates asks for a GPU, of which there are enough as long as nobody holds them."""


class Release:
    """A release of the chart that is changed, and its campaigns."""

    def __init__(self, cluster: conftest.Cluster) -> None:
        self.cluster = cluster
        self.started: list[str] = []
        """Campaigns that were mended and have to succeed."""

    def upgrade(self, *arguments: str) -> None:
        """Changes some values; returns when every service has them."""
        chart = (conftest.CHART, "--reuse-values", "--no-hooks", *arguments)
        self.cluster.helm("upgrade", "actuary", *chart)
        for service in conftest.SERVICES:
            self.settled(service)

    def restart(self, service: str) -> None:
        """Starts a service again."""
        self.cluster.kubectl("rollout", "restart", f"deployment/actuary-{service}")
        self.settled(service)

    def settled(self, service: str) -> None:
        """Waits until only new pods of a service are there."""
        self.cluster.kubectl("rollout", "status", f"deployment/actuary-{service}", "--timeout=180s")
        labels = f"app.kubernetes.io/instance=actuary,app.kubernetes.io/component={service}"
        conftest.wait_for(
            lambda: len(self.cluster.get("pods", "-l", labels)) == 1, f"the old {service} to be gone", SOON
        )

    @contextlib.contextmanager
    def client(self):
        """A client for as long as no service is replaced: a forwarded port ends with its pod."""
        with self.cluster.forward("actuary-campaign", 7411) as address, actuary.Client(address) as found:
            yield found

    def create(self, client: actuary.Client, campaign_id: str, **changes) -> str:
        """Creates a small campaign; returns its name."""
        form = samples.campaign("synthetic")
        form["data"]["uri"] = "sample:synthetic?items=300"
        form["sampling"] = {"pilot_items": 20, "audit_items": 20}
        return client.create({**form, **changes}, campaign_id=campaign_id).name

    def succeeds(self, client: actuary.Client, name: str) -> None:
        """Waits until a campaign has succeeded."""
        ended = client.wait(name)
        assert state_of(ended) == "SUCCEEDED", ended.error.message

    def apply(self, form: dict) -> None:
        """Creates or changes an object."""
        self.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(form))

    def jobs(self, campaign: str) -> list[dict]:
        """The Jobs of a campaign in Kubernetes."""
        return self.cluster.get("jobs", "-l", f"actuary.dev/campaign={campaign}")

    @contextlib.contextmanager
    def pods_refused(self, name: str):
        """A quota of the namespace that allows no pod more than there are."""
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}}
        self.apply({**quota, "spec": {"hard": {"count/pods": "0"}}})
        # one that counts nothing yet refuses with other words
        conftest.wait_for(lambda: self._used(name), "the quota to count", SOON)
        try:
            yield
        finally:
            self.cluster.kubectl("delete", "resourcequota", name)

    def evict(self, pod: str) -> None:
        """Evicts a pod, as `kubectl drain` does."""
        metadata = {"name": pod, "namespace": self.cluster.namespace}
        form = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        path = f"/api/v1/namespaces/{self.cluster.namespace}/pods/{pod}/eviction"
        self.cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(form))

    def _used(self, name: str) -> str:
        return self.cluster.kubectl("get", "resourcequota", name, "-o", "jsonpath={.status.used}")


def sleeper(name: str, gpus: str) -> dict:
    """A pod that holds GPUs and does nothing."""
    container = {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "3600"],
        "resources": {"limits": {"cpu": "10m", "memory": "32Mi", GPU: gpus}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def imports(limits: dict[str, str]) -> tuple[str, str]:
    """Arguments of helm that give the Jobs which import other limits."""
    requests = {"cpu": "50m", "memory": "40Mi"}
    profile = {"resources": {"requests": requests, "limits": limits}, "scratch": "1Gi"}
    return "--set-json", f"worker.profiles.import={json.dumps(profile)}"


def state_of(campaign: campaign_pb2.Campaign) -> str:
    """Name of a campaign's state."""
    return campaign_pb2.Campaign.State.Name(campaign.state)


def said(client: actuary.Client, name: str, *parts: str) -> str:
    """Waits for a sentence with all parts, that of a stage that waits; returns it."""
    last = []

    def look():
        campaign = client.get(name)
        last[:] = [state_of(campaign), campaign.error.message, *(str(each) for each in campaign.stages)]
        told = [stage.waiting for stage in campaign.stages if all(part in stage.waiting for part in parts)]
        return told[0] if told else None

    try:
        return conftest.wait_for(look, f"{name} to say {parts}", SOON)
    except AssertionError as error:
        raise AssertionError("\n".join([str(error), *last])) from None


def goes_on(client: actuary.Client, name: str, job: str) -> None:
    """Waits until a Job of a campaign has ended."""

    def look():
        campaign = client.get(name)
        assert state_of(campaign) in ("RUNNING", "SUCCEEDED"), campaign.error.message
        return [each for each in campaign.stages if each.job == job and each.HasField("end_time")]

    conftest.wait_for(look, f"the Job {job} of {name} to end")


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """The release that is changed; its workers annotate on a GPU."""
    values = tmp_path_factory.mktemp("values") / "reasons.yaml"
    values.write_text(yaml.safe_dump(INSTALLED))
    with conftest.namespace("reasons") as cluster:
        files = ("-f", conftest.HERE / "values.yaml", "-f", values)
        cluster.helm("install", "actuary", conftest.CHART, *files, "--wait", "--timeout", "5m")
        yield Release(cluster)


@pytest.fixture
def client(release):
    """A client of the release as it is now."""
    with release.client() as found:
        yield found


@pytest.fixture
def minio_of(release):
    """Address and keys of the release's store."""
    with release.cluster.forward("actuary-minio", 9000) as address:
        yield address, conftest.store_keys(release.cluster)


@pytest.fixture
def store(minio_of):
    """The store of the release, from outside."""
    address, keys = minio_of
    options = storage_settings.StorageSettings(endpoint=f"http://{address}", **keys)
    return location.open_store("s3://actuary/actuary", options)


@pytest.fixture
def bucket_quota(minio_of):
    """Sets the quota of the bucket in bytes, 0 for none; there is none afterwards."""
    address, keys = minio_of
    provider = minio.credentials.StaticProvider(**keys)
    admin = minio.MinioAdmin(endpoint=address, credentials=provider, secure=False)

    def put(size: int) -> None:
        admin.bucket_quota_set("actuary", size) if size else admin.bucket_quota_clear("actuary")

    yield put
    put(0)


def test_a_quota_that_refuses_pods_is_named(release, client):
    with release.pods_refused("team"):
        name = release.create(client, "quota")
        said(client, name, "no pod can be created: ", "exceeded quota: team", "count/pods")
    goes_on(client, name, "import")
    release.started.append(name)


def test_a_full_store_fails_the_campaign_which_resumes_when_it_has_room(release, client, bucket_quota, store):
    bucket_quota(4000)  # what describes a Job fits, what it makes does not
    name = release.create(client, "full")

    def failed():
        campaign = client.get(name)
        return campaign.error.message if state_of(campaign) == "FAILED" else None

    message = conftest.wait_for(failed, "the campaign to fail", SOON)
    assert "no room to write s3://actuary/actuary/" in message
    assert "quota" in message
    assert "then go on with `actuary resume`" in message
    assert not artifacts.exists(store, "campaigns/full/importJobs/import/items")
    bucket_quota(0)
    client.resume(name)
    goes_on(client, name, "import")
    release.started.append(name)


def test_a_job_without_its_credentials_says_so_and_gets_others_at_a_take_over(release):
    with release.client() as client:
        with release.pods_refused("hold"):
            name = release.create(client, "keys")
            said(client, name, "exceeded quota: hold")
            (job,) = release.jobs("keys")
            secret = f"{job['metadata']['name']}-store"
            release.cluster.kubectl("delete", "secret", secret)
        said(
            client,
            name,
            "a volume cannot be mounted",
            f'secret "{secret}" not found',
            "kubectl rollout restart",
        )
    release.restart("campaign")
    with release.client() as client:
        goes_on(client, name, "import")
    release.started.append(name)


def test_gpus_that_others_hold_are_waited_for(release, client):
    count = release.cluster.get("nodes")[0]["status"]["allocatable"][GPU]
    release.apply(sleeper("holder", count))
    running = ("wait", "pod/holder", "--for=condition=Ready", "--timeout=120s")
    release.cluster.kubectl(*running)
    name = release.create(client, "gpus")
    said(client, name, "no node takes it: ", f"Insufficient {GPU}")
    release.cluster.kubectl("delete", "pod", "holder", "--now")
    goes_on(client, name, "annotate-w0")
    release.started.append(name)


def test_a_pod_that_is_evicted_does_not_count_as_a_failure(release, client):
    model = samples.campaign("synthetic")["annotator"]["model"]
    slow = {"model": {**model, "options": {"latency_ms": "3000"}}}
    name = release.create(client, "evicted", annotator=slow, execution={"chunk_items": 5, "workers": 1})

    def at_work():
        done = {stage.job: stage.done_count for stage in client.get(name).stages}
        return done.get("annotate-w0")

    conftest.wait_for(at_work, "the first items of the pilot")
    labels = "actuary.dev/kind=annotation,actuary.dev/campaign=evicted"
    (pod,) = release.cluster.get("pods", "-l", labels)
    release.evict(pod["metadata"]["name"])

    def replaced():
        names = {each["metadata"]["name"]: each for each in release.cluster.get("pods", "-l", labels)}
        names.pop(pod["metadata"]["name"], None)
        return list(names.values())

    (after,) = conftest.wait_for(replaced, "another pod", SOON)
    annotations = after["metadata"]["annotations"]
    assert annotations["batch.kubernetes.io/job-index-failure-count"] == "0"
    assert annotations["batch.kubernetes.io/job-index-ignored-failure-count"] == "1"
    goes_on(client, name, "annotate-w0")
    release.started.append(name)


def test_wrong_keys_of_the_store_are_said_in_one_sentence(release):
    release.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "wrong-keys"},
            "stringData": {"access_key": "nobody", "secret_key": "nothing at all"},
        }
    )
    given = {
        "minio.enabled": "false",
        "postgresql.enabled": "false",
        "store.endpoint": "http://actuary-minio:9000",
        "store.existingSecret": "wrong-keys",
        "database.existingSecret": "actuary-postgresql",
        **{f"services.{each}.replicas": "0" for each in conftest.SERVICES if each != "review"},
    }
    sets = [part for key, value in given.items() for part in ("--set", f"{key}={value}")]
    values = ("-f", conftest.HERE / "values.yaml")
    release.cluster.helm("install", "wrong", conftest.CHART, *values, *sets, "--no-hooks")
    log = ("logs", "deployment/wrong-review", "--tail=20")
    text = conftest.wait_for(
        lambda: (said := release.cluster.kubectl(*log, check=False)) and "refuses" in said and said,
        "the service to say something",
        SOON,
    )
    (line,) = text.splitlines()
    assert "http://actuary-minio:9000 refuses" in line
    assert "Check the access and secret key" in line
    (pod,) = release.cluster.get("pods", "-l", "app.kubernetes.io/instance=wrong")
    assert not any(each["ready"] for each in pod["status"]["containerStatuses"])
    release.cluster.helm("uninstall", "wrong", "--no-hooks")


def test_every_campaign_that_was_mended_succeeds(release, client):
    for name in release.started:
        release.succeeds(client, name)


def test_a_campaign_whose_values_are_mended_goes_on_to_the_next_reason_and_to_its_end(release):
    def waits(*parts: str) -> None:
        with release.client() as client:
            said(client, "mended", *parts)

    release.upgrade(*imports({"memory": "40Mi"}))
    with release.client() as client:
        release.create(client, "mended")
    taken = "index 0: out of memory: the worker took its limit of 40Mi"
    waits(taken, "Raise worker.profiles.import.resources.limits.memory")
    release.upgrade(*imports({"memory": "1500Mi", GPU: "9"}))
    waits("no node takes it: ", f"Insufficient {GPU}")
    release.upgrade(*imports({"memory": "1500Mi", GPU: "0"}), "--set", "worker.image.tag=none")
    waits("the image ", ":none of container worker cannot be pulled")
    release.upgrade("--set", f"worker.image.tag={conftest.worker_image().rpartition(':')[2]}")
    with release.client() as client:
        release.succeeds(client, "mended")


def test_a_job_of_a_queue_waits_until_it_is_admitted(release):
    release.upgrade("--set", "worker.queue=labels")
    with release.client() as client:
        release.create(client, "queued")
        said(client, "queued", "suspended until the queue labels admits it")

        def admitted():
            for job in release.jobs("queued"):
                if job["spec"].get("suspend"):
                    patch = '{"spec": {"suspend": false}}'
                    release.cluster.kubectl("patch", "job", job["metadata"]["name"], "-p", patch)
            campaign = client.get("queued")
            assert state_of(campaign) != "FAILED", campaign.error.message
            return state_of(campaign) == "SUCCEEDED"

        conftest.wait_for(admitted, "the campaign to succeed")

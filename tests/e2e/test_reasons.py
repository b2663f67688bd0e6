"""What keeps a Job from running is said in words a person understands, and the campaign goes on when it is mended.

One release for all cases. Each creates a small campaign, takes away what its Jobs need, waits for the
sentence, and gives it back. Campaigns that are mended run to their ends beside the next case.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading

import minio
import minio.credentials
import pytest
import yaml

import actuary
from actuary import client as client_module
from actuary.campaign import samples
from actuary.storage import artifacts
from actuary.v1 import campaign_pb2
from e2e import conftest

SOON = 60
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
        """Changes some values; returns when the service that imports has them."""
        chart = (conftest.CHART, "--reuse-values", "--no-hooks", *arguments)
        self.cluster.helm("upgrade", "actuary", *chart)
        self.settled("campaign")

    def restart(self, service: str) -> None:
        """Starts a service again."""
        self.cluster.kubectl("rollout", "restart", f"deployment/actuary-{service}")
        self.settled(service)

    def settled(self, service: str) -> None:
        """Waits until only new pods of a service are there."""
        self.cluster.kubectl("rollout", "status", f"deployment/actuary-{service}", "--timeout=180s")

    @contextlib.contextmanager
    def client(self):
        """A client for as long as no service is replaced: a forwarded port ends with its pod."""
        with self.cluster.forward("actuary-campaign", 7411) as address, actuary.Client(address) as found:
            yield found

    def create(self, client: actuary.Client, campaign_id: str, **changes) -> str:
        """Creates a small campaign; returns its name."""
        form = samples.campaign("synthetic")
        form["data"]["uri"] = "sample:synthetic?items=300"
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
        conftest.wait_for(
            lambda: self.cluster.get("resourcequota", name)[0:0] or self._quota_used(name), "the quota", SOON
        )
        try:
            yield
        finally:
            self.cluster.kubectl("delete", "resourcequota", name)

    def _quota_used(self, name: str) -> str:
        return self.cluster.kubectl("get", "resourcequota", name, "-o", "jsonpath={.status.used}")


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


def goes_on(client: actuary.Client, name: str, stage: str) -> None:
    """Waits until a stage has ended."""

    def look():
        campaign = client.get(name)
        assert state_of(campaign) in ("RUNNING", "SUCCEEDED"), campaign.error.message
        return [each for each in campaign.stages if each.stage == stage and each.HasField("end_time")]

    conftest.wait_for(look, f"the stage {stage} of {name} to end")


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """The release that is changed; its workers annotate on a GPU."""
    values = tmp_path_factory.mktemp("values") / "reasons.yaml"
    values.write_text(yaml.safe_dump(INSTALLED))
    with conftest.namespace("reasons") as cluster:
        files = ("-f", conftest.HERE / "values.yaml", "-f", values)
        cluster.helm("install", "actuary", conftest.CHART, *files, "--wait", "--timeout", "5m")
        yield Release(cluster)


@pytest.fixture(scope="module")
def early(release):
    """A client for the cases before the release is changed first."""
    with release.client() as found:
        yield found

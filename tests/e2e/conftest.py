"""A release of the chart on a real cluster: KUBECONFIG says which; the images are those of values.yaml."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import os
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

import actuary
from actuary.campaign import samples
from actuary.storage import location, objects
from actuary.v1 import campaign_pb2

HERE = Path(__file__).parent
CHART = HERE.parents[1] / "charts" / "actuary"
SERVICES = ("campaign", "annotator", "critic", "sampler", "review", "trainer")
WAIT_SECONDS = 600


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@dataclasses.dataclass(frozen=True, slots=True)
class Cluster:
    """A namespace of a cluster, by kubectl and helm."""

    namespace: str

    def kubectl(self, *arguments: object, stdin: str | None = None, check: bool = True) -> str:
        """Runs kubectl in the namespace; returns what it printed."""
        return self._run("kubectl", "-n", self.namespace, *arguments, stdin=stdin, check=check)

    def helm(self, *arguments: object, check: bool = True) -> str:
        """Runs helm in the namespace; returns what it printed."""
        return self._run("helm", "-n", self.namespace, *arguments, check=check)

    def get(self, kind: str, *arguments: object) -> list[dict[str, Any]]:
        """Objects of a kind."""
        return json.loads(self.kubectl("get", kind, "-o", "json", *arguments))["items"]

    def run(
        self, name: str, image: str, command: Sequence[str], environment: Mapping[str, Any] | None = None
    ) -> str:
        """Runs a pod to its end, restricted as ours are; returns what it printed.

        Values of `environment` are texts, or where Kubernetes takes them from.
        """
        container = {
            "name": "main",
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": list(command),
            "env": [
                {"name": key, **({"value": value} if isinstance(value, str) else {"valueFrom": value})}
                for key, value in (environment or {}).items()
            ],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [container],
            },
        }
        self.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
        phases = ("Succeeded", "Failed")

        def ended() -> str:
            phase = self.kubectl("get", "pod", name, "-o", "jsonpath={.status.phase}")
            return phase if phase in phases else ""

        phase = wait_for(ended, f"the pod {name} to end")
        log = self.kubectl("logs", name)
        assert phase == "Succeeded", log
        return log

    def install(self, *arguments: object) -> None:
        """Installs the chart with the tests' values, and waits until every pod is ready."""
        self.helm(
            "install", "actuary", CHART, "-f", HERE / "values.yaml", "--wait", "--timeout", "5m", *arguments
        )

    def pods(self, service: str) -> list[str]:
        """Names of the pods of a service that run."""
        selector = f"app.kubernetes.io/name=actuary,app.kubernetes.io/component={service}"
        return [
            pod["metadata"]["name"]
            for pod in self.get("pods", "-l", selector, "--field-selector=status.phase=Running")
            if "deletionTimestamp" not in pod["metadata"]
        ]

    def metrics(self, pod: str) -> dict[str, float]:
        """The metrics page of a pod; empty while it has none."""
        fetch = (
            "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9411/metrics').read().decode())"
        )
        page = self.kubectl("exec", pod, "--", "python", "-c", fetch, check=False)
        lines = [line.rpartition(" ") for line in page.splitlines() if line and line[0] not in "# "]
        found = {}
        for name, _, value in lines:
            with contextlib.suppress(ValueError):
                found[name] = float(value)
        return found

    @contextlib.contextmanager
    def connect(self) -> Iterator[actuary.Client]:
        """A client from outside the cluster."""
        with self.forward("actuary-campaign", 7411) as address, actuary.Client(address) as client:
            yield client

    @contextlib.contextmanager
    def store_variables(self) -> Iterator[None]:
        """The environment of whoever opens the release's store from outside, with the keys of its Secret."""
        with self.forward("actuary-minio", 9000) as address, pytest.MonkeyPatch.context() as patch:
            patch.setenv("ACTUARY_STORAGE_ENDPOINT", f"http://{address}")
            for name, value in store_keys(self).items():
                patch.setenv(f"ACTUARY_STORAGE_{name.upper()}", value)
            yield

    @contextlib.contextmanager
    def forward(self, service: str, port: int) -> Iterator[str]:
        """Forwards a free port of this machine to a service; yields its address."""
        process = subprocess.Popen(
            ["kubectl", "-n", self.namespace, "port-forward", f"service/{service}", f":{port}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            line = process.stdout.readline()
            forwarded = re.search(r":(\d+) ->", line)
            if forwarded is None:
                raise ConnectionError(f"nothing to forward to behind service/{service}")
            yield f"127.0.0.1:{forwarded[1]}"
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()

    def _run(self, *command: object, stdin: str | None = None, check: bool = True) -> str:
        done = subprocess.run(
            list(map(str, command)), input=stdin, capture_output=True, text=True, check=False, timeout=900
        )
        shown = f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == 0 or not check, shown
        return done.stdout if done.returncode == 0 else done.stdout + done.stderr


def worker_image() -> str:
    """The image of the workers that is installed."""
    image = yaml.safe_load((HERE / "values.yaml").read_text())["worker"]["image"]
    return f"{image['repository']}:{image['tag']}"


def wait_for(look: Callable[[], Any], what: str, seconds: float = WAIT_SECONDS) -> Any:
    """Looks until there is something, and returns it; fails with the last look."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, f"waited {seconds} s for {what}; last: {found!r}"
        time.sleep(0.5)


@contextlib.contextmanager
def namespace(prefix: str) -> Iterator[Cluster]:
    """A namespace in which pods have to be restricted, gone afterwards."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("expected KUBECONFIG to name a cluster: see CONTRIBUTING.md")
    for program in ("kubectl", "helm"):
        if shutil.which(program) is None:
            pytest.fail(f"expected {program} on the PATH")
    cluster = Cluster(f"{prefix}-{secrets.token_hex(3)}")
    cluster.kubectl("create", "namespace", cluster.namespace)
    cluster.kubectl("label", "namespace", cluster.namespace, "pod-security.kubernetes.io/enforce=restricted")
    try:
        yield cluster
    finally:
        if not os.environ.get("ACTUARY_E2E_KEEP"):
            cluster.kubectl("delete", "namespace", cluster.namespace, "--wait=false")


@pytest.fixture(scope="session")
def installed() -> Iterator[Cluster]:
    """The chart, installed with the trial database and store, and ready."""
    with namespace("actuary") as cluster:
        cluster.install()
        yield cluster


@pytest.fixture(scope="session")
def client(installed) -> Iterator[actuary.Client]:
    """A client from outside the cluster."""
    with installed.connect() as found:
        yield found


@pytest.fixture(scope="session")
def store(installed) -> Iterator[objects.ObjectStore]:
    """The object store of the release, from outside."""
    with installed.store_variables():
        yield location.open_store("s3://actuary/actuary")


@pytest.fixture(scope="session")
def digits(client) -> campaign_pb2.Campaign:
    """The sample campaign on the cluster, submitted from outside, at its end."""
    created = client.create(samples.campaign("digits"), campaign_id="digits")
    ended = client.wait(created.name)
    assert campaign_pb2.Campaign.State.Name(ended.state) == "SUCCEEDED", ended.error.message
    return ended


def store_keys(cluster: Cluster) -> dict[str, str]:
    """`access_key` and `secret_key` of the trial store of a release called actuary."""
    secrets = {each["metadata"]["name"]: each["data"] for each in cluster.get("secrets")}
    return {name: base64.b64decode(value).decode() for name, value in secrets["actuary-minio"].items()}

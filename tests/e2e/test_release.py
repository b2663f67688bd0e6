"""The life of a release: tested twice, rolled back, uninstalled, and installed again upon what stayed.

It has a namespace of its own, since it takes its services away.
"""

from __future__ import annotations

import json
import re

import pytest

import actuary
from e2e import conftest

VALUES = ("-f", conftest.HERE / "values.yaml")
PSQL = "psql -h 127.0.0.1 -U actuary actuary -qAtc"
"""In the pod of the trial database."""


@pytest.fixture(scope="module")
def release():
    with conftest.namespace("release") as cluster:
        cluster.helm("install", "actuary", conftest.CHART, *VALUES, "--wait", "--timeout", "5m")
        yield cluster


def sql(release: conftest.Cluster, statement: str) -> str:
    path = "PATH=$PATH:$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1)"
    script = f'export PGPASSWORD=$PASSWORD {path}; {PSQL} "{statement}"'
    return release.kubectl("exec", "actuary-postgresql-0", "--", "bash", "-c", script).strip()


def campaigns(release: conftest.Cluster) -> dict[str, str]:
    """States by name."""
    with release.forward("actuary-campaign", 7411) as address, actuary.Client(address) as client:
        return {each.name: actuary.v1.campaign_pb2.Campaign.State.Name(each.state) for each in client.list()}


def upgraded(release: conftest.Cluster, *values: str) -> int:
    """Makes a revision; returns the number of the one before."""
    before = json.loads(release.helm("status", "actuary", "-o", "json"))["version"]
    release.helm("upgrade", "actuary", conftest.CHART, *VALUES, *values, "--wait")
    return before


def staying(release: conftest.Cluster) -> set[str]:
    """Pods of the campaign service, without those that are about to go."""
    pods = release.get("pods", "-l", "app.kubernetes.io/component=campaign")
    return {each["metadata"]["name"] for each in pods if "deletionTimestamp" not in each["metadata"]}


def test_helm_test_runs_a_campaign_each_time_and_says_what_it_did(release):
    names = set()
    for _ in range(2):
        said = release.helm("test", "actuary", "--logs")
        names.update(re.findall(r"(campaigns/test-[0-9a-f-]+): succeeded", said))
        assert "report: ended" in said
    assert len(names) == 2
    found = campaigns(release)
    assert {found[name] for name in names} == {"SUCCEEDED"}


def test_helm_test_fails_and_names_the_step_that_does_not_get_on(release):
    upgraded(release, "--set", "worker.image.tag=none", "--set", "test.deadlineSeconds=60")
    said = release.helm("test", "actuary", "--logs", check=False)
    assert "import: waits: index 0: the image" in said
    assert "pod actuary-test failed" in said
    (stuck,) = (name for name, state in campaigns(release).items() if state == "RUNNING")
    with release.forward("actuary-campaign", 7411) as address, actuary.Client(address) as client:
        client.cancel(stuck)
        assert client.wait(stuck).state == actuary.v1.campaign_pb2.Campaign.CANCELLED
    upgraded(release)


def test_a_rollback_leaves_a_schema_that_only_added_alone(release):
    before, found = upgraded(release, "--set-json", "controller.seconds=0.7"), campaigns(release)
    known = sql(release, "select version_num from alembic_version")
    sql(
        release,
        "alter table campaigns add column colour text; update alembic_version set version_num = '9999'",
    )
    release.helm("rollback", "actuary", before, "--wait")
    assert sql(release, "select version_num from alembic_version") == "9999"
    assert campaigns(release) == found
    logs = release.kubectl("logs", "-l", "app.kubernetes.io/component=campaign", "--tail=-1")
    assert "older than the database's schema" in logs
    sql(release, f"update alembic_version set version_num = '{known}'")


def test_a_rollback_to_what_cannot_work_with_the_schema_ends_before_any_pod_does(release):
    before = upgraded(release, "--set-json", "controller.seconds=0.8")
    known = sql(release, "select version_num from alembic_version")
    pods = staying(release)
    sql(release, "update alembic_version set version_num = '9999_from_9998'")
    said = release.helm("rollback", "actuary", before, "--wait", check=False)
    assert "actuary-migrate failed" in said
    assert "needs one that knows 9998 at least" in release.kubectl("logs", "job/actuary-migrate")
    assert staying(release) == pods
    sql(release, f"update alembic_version set version_num = '{known}'")
    # out of pending-rollback, as the chart's README says
    release.helm("rollback", "actuary", before + 1, "--wait")
    upgraded(release)


def test_data_outlive_the_release_and_are_found_by_the_next_one_of_its_name(release):
    before = campaigns(release)
    said = release.helm("uninstall", "actuary", "--wait")
    assert "[Secret] actuary-postgresql" in said
    assert {each["metadata"]["name"] for each in release.get("pvc")} == {
        "data-actuary-minio-0",
        "data-actuary-postgresql-0",
    }
    release.helm("install", "actuary", conftest.CHART, *VALUES, "--wait", "--timeout", "5m")
    assert campaigns(release) == before
    # the store's keys are the old ones too: a campaign writes to it
    assert "Phase:          Succeeded" in release.helm("test", "actuary")


def test_what_the_readme_says_removes_the_rest_leaves_nothing(release):
    release.helm("uninstall", "actuary", "--wait")
    readme = (conftest.CHART / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"`kubectl -n actuary (delete (?:pvc|job|pod)[^`]*)`", readme)
    assert len(commands) == 3
    for command in commands:
        release.kubectl(*command.split())
    left = [
        f"{each['kind']} {each['metadata']['name']}"
        for kind in ("pvc", "secrets", "jobs", "pods", "configmaps", "deployments", "services", "roles")
        for each in release.get(kind)
    ]
    assert left == ["ConfigMap kube-root-ca.crt"]

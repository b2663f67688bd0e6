"""What a Job's processes may reach, and who sees to it that they can."""

from __future__ import annotations

import datetime

import pytest
from kubernetes import client

from actuary import errors
from actuary.jobs import access, protocol
from actuary.jobs.cluster import builder, grants, settings
from actuary.storage import credentials

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)


def spec(**fields):
    known = {
        "name": "campaigns/c/trainingJobs/train-w1",
        "kind": "train",
        "campaign": "campaigns/c",
        "indexes": 1,
        "parallelism": 1,
        "artifact": "campaigns/c/trainingJobs/train-w1",
        "store_uri": "s3://bucket/prefix",
    }
    return protocol.JobSpec(**{**known, **fields})


def test_a_job_reads_what_its_parents_wrote_and_writes_its_artifact():
    found = access.access_of(
        spec(
            parents=(
                "campaigns/c/importJobs/import/items",
                "sealed/campaigns/c/importJobs/import/items",
                "campaigns/c/plans/plan-w1/risks",
                "campaigns/c/plans/plan-w1",
            ),
            parameters={"model": {"uri": "s3://others/labels.csv"}, "list": ["s3://others/b", 3, None]},
        )
    )
    assert found == credentials.Access(
        reads=(
            "campaigns/c/jobs/trainingJobs-train-w1/",
            "campaigns/c/importJobs/import/",
            "sealed/campaigns/c/importJobs/import/",
            "campaigns/c/plans/plan-w1/",
        ),
        writes=("campaigns/c/trainingJobs/train-w1/",),
        files=("s3://others/labels.csv", "s3://others/b"),
    )


class Kept:
    """Counts what is asked of the store, and holds Secrets as the API server would."""

    def __init__(self, life=8 * HOUR):
        self.life, self.now, self.asked, self.secrets = life, NOW, 0, {}
        self.problem = None
        self.grants = self.replica()

    def replica(self):
        return grants.Grants(
            int(self.life.total_seconds()), self.issue, self.secrets.__setitem__, lambda: self.now
        )

    def issue(self, uri, wanted, seconds):
        if self.problem is not None:
            raise self.problem
        assert uri == "s3://bucket/prefix"
        assert wanted.writes == ("campaigns/c/trainingJobs/train-w1/",)
        self.asked += 1
        return credentials.Issued(
            access_key=f"a{self.asked}", secret_key="s", session_token="t", expires=self.now + self.life
        )


@pytest.fixture
def kept():
    return Kept()


@pytest.fixture
def job():
    made = builder.job_of(
        spec(), "uri", settings.KubernetesSettings(namespace="ns", credentials_seconds=3600)
    )
    form = client.ApiClient().sanitize_for_serialization(made)
    form["metadata"]["uid"] = "u1"
    return form


def test_the_secret_of_a_job_is_owned_by_it_and_is_what_its_pods_mount(kept, job):
    kept.grants.ensure(job)
    (volume,) = [v for v in job["spec"]["template"]["spec"]["volumes"] if v["name"] == "store"]
    secret = kept.secrets[volume["secret"]["secretName"]]
    (owner,) = secret["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Job", job["metadata"]["name"], "u1")
    assert secret["stringData"] == {"access_key": "a1", "secret_key": "s", "session_token": "t"}


def test_credentials_are_renewed_when_half_of_their_life_is_over(kept, job):
    for hours, asked in ((0, 1), (3, 1), (4, 2), (7, 2), (8, 3)):
        kept.now = NOW + hours * HOUR
        kept.grants.ensure(job)
        assert kept.asked == asked


def test_a_replica_that_takes_over_gives_credentials_too_and_a_job_made_anew_gets_new_ones(kept, job):
    kept.grants.ensure(job)
    taken_over = kept.replica()
    taken_over.ensure(job)
    assert kept.asked == 2
    job["metadata"]["uid"] = "u2"
    taken_over.ensure(job)
    taken_over.keep(())
    taken_over.ensure(job)
    assert kept.asked == 4


def test_a_store_that_is_away_is_borne_as_long_as_credentials_are_good(kept, job):
    kept.grants.ensure(job)
    kept.problem = errors.UnavailableError("away")
    kept.now = NOW + 5 * HOUR
    kept.grants.ensure(job)
    kept.now = NOW + 8 * HOUR
    with pytest.raises(errors.UnavailableError):
        kept.grants.ensure(job)
    kept.problem = None
    kept.grants.ensure(job)
    assert kept.asked == 2


def test_a_job_that_never_had_any_is_not_launched_without(kept, job):
    kept.problem = errors.PreconditionError("no STS")
    with pytest.raises(errors.PreconditionError):
        kept.grants.ensure(job)

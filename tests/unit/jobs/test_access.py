"""What a Job's processes may reach, and who sees to it that they can."""

from __future__ import annotations

import datetime
import json

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


def read_by_a_plan(campaign, wave):
    """What a plan of that wave reads; its waves before are all there."""
    return (
        f"{campaign}/importJobs/import/items",
        *(f"{campaign}/annotationJobs/annotate-w{i}" for i in (0, 1)),
        *(f"{campaign}/critiqueJobs/critique-w{i}" for i in (0, 1)),
        f"{campaign}/riskModels/risk-w0",
        *(f"{campaign}/plans/plan-w{i}" for i in range(wave)),
        *(f"{campaign}/reviewBatches/review-w{i}/resolved" for i in range(wave)),
    )


def test_a_job_reads_its_description_and_its_parents_and_writes_its_artifact():
    found = access.access_of(
        spec(
            parents=(
                "campaigns/c/importJobs/import/items",
                "sealed/campaigns/c/importJobs/import/items",
                "campaigns/c/plans/plan-w1/risks",
            ),
        )
    )
    assert found == credentials.Access(
        reads=(
            "campaigns/c/jobs/trainingJobs-train-w1/job.json",
            "campaigns/c/importJobs/import/items/",
            "sealed/campaigns/c/importJobs/import/items/",
            "campaigns/c/plans/plan-w1/risks/",
        ),
        writes=("campaigns/c/trainingJobs/train-w1/",),
    )


def test_examples_that_a_model_learns_from_are_read():
    found = access.access_of(
        spec(kind="annotation", parameters={"exemplars": "campaigns/c/importJobs/import/exemplars"})
    )
    assert "campaigns/c/importJobs/import/exemplars/" in found.reads


@pytest.mark.parametrize("kind", ["annotation", "critique", "risk", "quote", "plan", "estimate"])
def test_the_sealed_truth_is_refused_to_who_labels_and_draws(kind):
    with pytest.raises(errors.RefusedError, match=f"of kind {kind} may not read the sealed truth"):
        access.access_of(spec(kind=kind, parents=("sealed/campaigns/c/importJobs/import/items",)))
    with pytest.raises(errors.RefusedError, match="may not write the sealed truth"):
        access.access_of(spec(kind=kind, writes=("sealed/campaigns/c/importJobs/import/",)))


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("import", {"campaign": {"data": {"uri": "s3://others/labels.csv"}}}),
        ("annotation", {"model": {"kind": "table", "uri": "s3://others/labels.csv"}}),
        ("critique", {"critic": {"model": {"kind": "table", "uri": "s3://others/labels.csv"}}}),
    ],
)
def test_a_file_of_the_users_in_a_bucket_is_read(kind, parameters):
    assert access.access_of(spec(kind=kind, parameters=parameters)).files == ("s3://others/labels.csv",)


@pytest.mark.parametrize(
    "parameters",
    [
        {"task": {"instruction": "s3://bucket/*"}, "model": {"kind": "null", "uri": ""}},
        {"task": {"classes": [{"name": "s3://"}]}, "model": {"kind": "table", "uri": "labels.csv"}},
        {"campaign": {"data": {"uri": "s3://others/data.csv"}}},
        {"model": "linear"},
        {"critic": None, "exemplars": None},
    ],
)
@pytest.mark.parametrize("kind", ["annotation", "critique", "train", "report"])
def test_what_people_write_opens_nothing(kind, parameters):
    assert access.access_of(spec(kind=kind, parameters=parameters)).files == ()


@pytest.mark.parametrize("folder", ["sealed/campaigns/c/x", "campaigns/d/plans/p/shard-00000.parquet"])
def test_a_model_is_no_way_to_what_campaigns_made(folder):
    model = {"kind": "table", "uri": f"s3://bucket/prefix/{folder}"}
    with pytest.raises(errors.RefusedError, match="lies among what campaigns made"):
        access.access_of(spec(kind="annotation", parameters={"model": model}))


@pytest.mark.parametrize("uri", ["s3://others/*", "s3://others/a?.csv", "s3://*/a", "s3://others/${aws:x}"])
def test_a_name_that_stands_for_others_is_refused(uri):
    with pytest.raises(errors.InvalidInputError, match="takes for any text"):
        access.access_of(spec(kind="annotation", parameters={"model": {"kind": "table", "uri": uri}}))
    with pytest.raises(errors.InvalidInputError, match="takes for any text"):
        access.access_of(spec(kind="annotation", parents=(uri.removeprefix("s3://"),)))


@pytest.mark.parametrize(
    "uri",
    [
        "s3://others",
        "s3://others/../bucket/prefix/sealed/a",
        "s3://others/a//b",
        "s3://bucket//prefix/sealed/a",
        "s3://bucket/prefix//sealed/a",
        "s3://bucket/prefix/./sealed/a",
    ],
)
def test_a_file_that_is_none_is_refused(uri):
    """A slash or a dot too many is no way around what may not be named."""
    with pytest.raises(errors.InvalidInputError):
        access.access_of(spec(kind="annotation", parameters={"model": {"kind": "table", "uri": uri}}))


@pytest.mark.parametrize("name", ["d", "a" * 63])
@pytest.mark.parametrize("wave", [1, 2, 7, 40])
def test_a_policy_is_short_enough_and_covers_every_parent(name, wave):
    campaign = f"campaigns/{name}"
    parents = read_by_a_plan(campaign, wave)
    wanted = spec(
        name=f"{campaign}/plans/plan-w{wave}",
        kind="plan",
        campaign=campaign,
        artifact=f"{campaign}/plans/plan-w{wave}",
        store_uri="s3://actuary/actuary",
        parents=parents,
    )
    found = access.access_of(wanted)
    policy = json.loads(credentials.policy_of(wanted.store_uri, found))
    assert len(credentials.policy_of(wanted.store_uri, found)) <= 2048
    for parent in (*(f"{uri}/shard-00000.parquet" for uri in parents), wanted.key):
        assert any(parent.startswith(prefix) for prefix in found.reads), parent
    assert all(prefix.startswith(f"{campaign}/") for prefix in found.reads)
    assert found.writes == (f"{wanted.artifact}/",)
    written = [s["Resource"] for s in policy["Statement"] if "s3:PutObject" in s["Action"]]
    assert written == [[f"arn:aws:s3:::actuary/actuary/{wanted.artifact}/*"]]


def test_what_is_widened_first_saves_most_and_the_truth_stays_as_it_is():
    truth = "sealed/campaigns/c/importJobs/import/items"
    plans = tuple(f"campaigns/c/plans/plan-w{wave}" for wave in range(40))
    found = access.access_of(spec(parents=(truth, "campaigns/c/quotes/quote-w0", *plans)))
    assert found.reads == (
        "campaigns/c/jobs/trainingJobs-train-w1/job.json",
        f"{truth}/",
        "campaigns/c/quotes/quote-w0/",
        "campaigns/c/plans/",
    )


class Kept:
    """Counts what is asked of the store, and holds Secrets as the API server would."""

    def __init__(self, life=8 * HOUR):
        self.life, self.now, self.asked, self.secrets = life, NOW, 0, {}
        self.problem, self.refusals = None, 0
        self.grants = self.replica()

    def replica(self):
        return grants.Grants(
            int(self.life.total_seconds()), self.issue, self.secrets.__setitem__, lambda: self.now
        )

    def issue(self, uri, wanted, seconds):
        if self.problem is not None:
            self.refusals += 1
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
    kept.grants.give(job)
    (volume,) = [v for v in job["spec"]["template"]["spec"]["volumes"] if v["name"] == "store"]
    secret = kept.secrets[volume["secret"]["secretName"]]
    (owner,) = secret["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Job", job["metadata"]["name"], "u1")
    assert secret["type"] == "actuary.dev/store-credentials"
    assert secret["stringData"] == {"access_key": "a1", "secret_key": "s", "session_token": "t"}


def test_credentials_are_renewed_before_half_of_their_life_is_over(kept, job):
    kept.grants.give(job)
    for hours, asked in ((0, 1), (3, 1), (4, 2), (7, 2), (8, 3)):
        kept.now = NOW + hours * HOUR
        assert kept.grants.renew(job) == ""
        assert kept.asked == asked


def test_a_store_whose_clock_is_behind_is_not_asked_again_and_again(kept, job):
    kept.life = -HOUR
    for _ in range(3):
        assert kept.grants.renew(job) == ""
    assert kept.asked == 1


def test_a_replica_that_takes_over_gives_credentials_too_and_a_job_made_anew_gets_new_ones(kept, job):
    kept.grants.give(job)
    taken_over = kept.replica()
    assert taken_over.renew(job) == ""
    assert kept.asked == 2
    job["metadata"]["uid"] = "u2"
    assert taken_over.renew(job) == ""
    taken_over.keep(())
    assert taken_over.renew(job) == ""
    assert kept.asked == 4


def test_a_runner_that_died_before_the_secret_leaves_it_to_the_next(kept, job):
    """Between Job and Secret there is nothing but the Job: its annotation says all that is needed."""
    assert kept.secrets == {}
    assert kept.replica().renew(job) == ""
    assert list(kept.secrets) == [builder.secret_of(job["metadata"]["name"])]


def test_a_store_that_is_away_is_borne_in_silence_as_long_as_credentials_are_good(kept, job):
    kept.grants.give(job)
    kept.problem = errors.UnavailableError("away")
    kept.now = NOW + 5 * HOUR
    assert kept.grants.renew(job) == ""
    kept.now = NOW + 8 * HOUR
    assert kept.grants.renew(job).endswith("cannot be renewed: away")
    kept.problem = None
    assert kept.grants.renew(job) != ""  # it was asked a moment ago
    kept.now += datetime.timedelta(seconds=10)
    assert kept.grants.renew(job) == ""


def test_a_store_that_refuses_is_told_at_once_and_until_when_credentials_are_good(kept, job):
    kept.grants.give(job)
    kept.problem = errors.PreconditionError("wrong key")
    kept.now = NOW + 5 * HOUR
    assert kept.grants.renew(job) == (
        "the credentials of its pods for the store, which end at 2026-01-01 08:00 UTC, cannot be renewed: "
        "wrong key"
    )


def test_a_replica_that_can_give_none_fails_no_job_and_does_not_ask_all_the_time(kept, job):
    kept.grants.give(job)
    taken_over = kept.replica()
    kept.problem = errors.PreconditionError("wrong key")
    for _ in range(5):
        assert "wrong key" in taken_over.renew(job)
    assert kept.refusals == 1


def test_a_job_that_never_had_any_is_not_launched_without(kept, job):
    kept.problem = errors.PreconditionError("no STS")
    with pytest.raises(errors.PreconditionError):
        kept.grants.give(job)


def test_a_job_from_before_credentials_were_switched_on_goes_on_without(kept, job):
    del job["metadata"]["annotations"][builder.ACCESS]
    kept.grants.give(job)
    assert kept.grants.renew(job) == ""
    assert kept.asked == 0

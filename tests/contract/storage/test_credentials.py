"""Credentials for some prefixes, from a real MinIO: what they reach, and how they are replaced."""

from __future__ import annotations

import dataclasses
import datetime
import uuid

import pytest

from actuary import errors
from actuary.storage import credentials, minio_store, objects
from contract.storage.conftest import minio_settings

pytestmark = pytest.mark.real
OWN, PARENT, OTHER = "campaigns/c/plans/p/", "campaigns/c/importJobs/i/", "campaigns/d/plans/p/"
SEALED = "sealed/campaigns/c/importJobs/i/"
ACCESS = credentials.Access(reads=(PARENT,), writes=(OWN,))


@pytest.fixture
def whole(minio_url):
    """The store as its owner sees it, with an object under each prefix."""
    opened = minio_store.MinioStore(f"t-{uuid.uuid4().hex}", "pre/fix", minio_settings(minio_url))
    for prefix in (OWN, PARENT, OTHER, SEALED):
        opened.put(f"{prefix}a", b"there")
    return opened


@pytest.fixture
def issue(whole, minio_url):
    def one(access=ACCESS):
        return credentials.issue(whole.uri, access, 4000, minio_settings(minio_url))

    return one


@pytest.fixture
def files(tmp_path):
    """Writes credentials where Kubernetes would mount them; returns the settings that name the files."""

    def write(issued):
        for name in ("access_key", "secret_key", "session_token"):
            part = tmp_path / f".{name}"
            part.write_text(getattr(issued, name))
            part.replace(tmp_path / name)
        return {f"{name}_file": tmp_path / name for name in ("access_key", "secret_key", "session_token")}

    return write


@pytest.fixture
def worker(whole, minio_url, issue, files):
    """The store as a worker sees it."""
    bucket = whole.uri.split("/")[2]
    return minio_store.MinioStore(bucket, "pre/fix", minio_settings(minio_url, **files(issue())))


def test_a_worker_reads_its_parents_and_does_everything_in_its_own_place(worker):
    assert worker.get(f"{PARENT}a") == b"there"
    assert [info.key for info in worker.list(PARENT)] == [f"{PARENT}a"]
    assert worker.stat(f"{PARENT}b") is None
    assert worker.put(f"{OWN}b", b"x", if_absent=True)
    assert not worker.put(f"{OWN}b", b"y", if_absent=True)
    worker.put(f"{OWN}c", b"x" * (6 << 20))
    worker.delete(f"{OWN}c")
    assert worker.stat(f"{OWN}c") is None
    assert [info.key for info in worker.list(OWN)] == [f"{OWN}a", f"{OWN}b"]


def test_large_objects_go_up_in_parts(worker, tmp_path):
    path = tmp_path / "large"
    path.write_bytes(b"x" * (17 << 20))
    worker.put_file(f"{OWN}large", path)
    assert worker.stat(f"{OWN}large").size == 17 << 20


@pytest.mark.parametrize(
    "attempt",
    [
        lambda store: store.get(f"{OTHER}a"),
        lambda store: store.stat(f"{OTHER}a"),
        lambda store: store.get(f"{SEALED}a"),
        lambda store: store.put(f"{PARENT}a", b"changed"),
        lambda store: store.put(f"{PARENT}b", b"new", if_absent=True),
        lambda store: store.delete(f"{PARENT}a"),
        lambda store: list(store.list("")),
        lambda store: list(store.list("campaigns/")),
        lambda store: list(store.list(OTHER)),
    ],
    ids=["read another", "look at another", "read the truth", "change a parent", "add to a parent",
         "delete from a parent", "list all", "list campaigns", "list another"],
)  # fmt: skip
def test_a_worker_that_tries_more_is_refused(worker, whole, attempt):
    with pytest.raises(errors.RefusedError):
        attempt(worker)
    assert whole.get(f"{PARENT}a") == b"there"
    assert whole.stat(f"{PARENT}b") is None


def test_a_file_elsewhere_is_read_and_nothing_beside_it(issue, whole, minio_url, files):
    other = minio_store.MinioStore(f"u-{uuid.uuid4().hex}", "", minio_settings(minio_url))
    for name in ("data.csv", "data.csv.bak"):
        other.put(name, b"there")
    bucket = other.uri.split("/")[2]
    issued = issue(credentials.Access(files=(f"s3://{bucket}/data.csv",), writes=(OWN,)))
    worker = minio_store.MinioStore(bucket, "", minio_settings(minio_url, **files(issued)))
    assert worker.get("data.csv") == b"there"
    with pytest.raises(errors.RefusedError):
        worker.get("data.csv.bak")


def test_credentials_that_are_replaced_are_taken_up_by_who_works_with_them(worker, issue, files):
    assert worker.get(f"{PARENT}a") == b"there"
    files(issue(credentials.Access(reads=(OTHER,), writes=(OWN,))))
    assert worker.get(f"{OTHER}a") == b"there"
    with pytest.raises(errors.RefusedError):
        worker.get(f"{PARENT}a")


@pytest.mark.parametrize(
    "wrong", [{"session_token": "x.y.z"}, {"access_key": "nobody"}, {"secret_key": "nothing at all"}]
)
def test_credentials_that_are_no_longer_good_are_said_and_may_be_replaced(worker, issue, files, wrong):
    issued = issue()
    files(dataclasses.replace(issued, **wrong))
    with pytest.raises(errors.RefusedError, match="renews them") as caught:
        worker.get(f"{PARENT}a")
    assert caught.value.reason == objects.CREDENTIALS_ENDED
    files(issued)
    assert worker.get(f"{PARENT}a") == b"there"


def test_credentials_live_as_long_as_was_asked(issue):
    life = issue().expires - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(seconds=3900) < life <= datetime.timedelta(seconds=4005)


def test_keys_that_may_not_ask_are_refused_with_what_to_do(whole, minio_url):
    with pytest.raises(errors.PreconditionError, match=r"store\.jobCredentials\.enabled"):
        credentials.issue(whole.uri, ACCESS, 3600, minio_settings(minio_url, secret_key="wrong-secret-key"))


def test_a_store_that_does_not_answer_may_do_so_later():
    with pytest.raises(errors.UnavailableError, match="does not answer"):
        credentials.issue("s3://bucket", ACCESS, 3600, minio_settings("http://127.0.0.1:9"))

"""Credentials for some prefixes, from a real MinIO: what they reach, and how they are replaced."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import http.server
import json
import threading
import uuid

import minio
import minio.credentials
import pytest

from actuary import errors
from actuary.storage import credentials, minio_store
from contract.storage import conftest
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
        lambda store: list(store.list(PARENT)),
    ],
    ids=["read another", "look at another", "read the truth", "change a parent", "add to a parent",
         "delete from a parent", "list all", "list campaigns", "list another",
         "list a parent"],
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


def test_answers_that_lie_in_a_folder_are_found_where_that_may_be_listed(issue, whole, minio_url, files):
    access = credentials.Access(lists=(PARENT,), writes=(OWN,))
    bucket = whole.uri.split("/")[2]
    worker = minio_store.MinioStore(bucket, "pre/fix", minio_settings(minio_url, **files(issue(access))))
    assert [info.key for info in worker.list(PARENT)] == [f"{PARENT}a"]
    assert worker.get(f"{PARENT}a") == b"there"
    for attempt in (lambda: worker.put(f"{PARENT}a", b"x"), lambda: list(worker.list(OTHER))):
        with pytest.raises(errors.RefusedError):
            attempt()


@pytest.fixture
def administrator(minio_url):
    """What an administrator of the server may do."""
    provider = minio.credentials.StaticProvider(conftest.ACCESS, conftest.SECRET)
    endpoint = minio_url.partition("://")[2]
    return minio.MinioAdmin(endpoint=endpoint, credentials=provider, secure=False)


USES = {
    "get": lambda store: store.get(f"{PARENT}a"),
    "stat": lambda store: store.stat(f"{PARENT}a"),
    "put": lambda store: store.put(f"{OWN}new", b"x"),
    "put if absent": lambda store: store.put(f"{OWN}new", b"x", if_absent=True),
    "list": lambda store: list(store.list(OWN)),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    "changes", [{"access_key": "FORGOTTENBYMINIO"}, {"session_token": "x.y.z"}], ids=["over", "revoked"]
)
def test_credentials_that_are_no_longer_good_are_said_and_may_be_replaced(
    whole, minio_url, issue, files, changes, use
):
    """MinIO forgets the key of credentials that are over."""
    good = issue()
    options = minio_settings(minio_url, retry_seconds=0.5, **files(dataclasses.replace(good, **changes)))
    worker = minio_store.MinioStore(whole.uri.split("/")[2], "pre/fix", options)
    with pytest.raises(errors.UnavailableError, match="no longer takes the temporary credentials") as caught:
        USES[use](worker)
    assert caught.value.reason == "CREDENTIALS_ENDED"
    assert str(options.session_token_file) in caught.value.message
    assert good.secret_key not in caught.value.message
    files(good)
    USES[use](worker)


def test_a_worker_waits_for_better_credentials_in_the_middle_of_its_work(worker, issue, files):
    good = issue()
    files(dataclasses.replace(good, session_token="x.y.z"))
    renewal = threading.Timer(1.0, files, [good])
    renewal.start()
    assert worker.get(f"{PARENT}a") == b"there"
    renewal.join()


@pytest.mark.parametrize("end", ["x", "ö", "<>&"])
def test_a_policy_as_long_as_may_be_is_taken_and_a_longer_one_is_not_asked_for(whole, issue, end):
    def access(length):
        return credentials.Access(reads=("a" * length + end,), writes=(OWN,))

    longest = max(length for length in range(2048) if credentials.fits(whole.uri, access(length)))
    assert issue(access(longest)).session_token
    with pytest.raises(errors.InvalidInputError, match="at most 2048 bytes"):
        issue(access(longest + 1))


def test_keys_of_a_service_account_may_not_ask_and_that_is_said(whole, minio_url, administrator):
    made = json.loads(administrator.add_service_account())["credentials"]
    keys = {"access_key": made["accessKey"], "secret_key": made["secretKey"]}
    with pytest.raises(errors.PreconditionError, match="of a service account may not ask"):
        credentials.issue(whole.uri, ACCESS, 3600, minio_settings(minio_url, **keys))


@contextlib.contextmanager
def answering(status, text):
    """A server of another kind: whatever is asked, it answers the same."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_store_that_cannot_now_may_do_so_later(status):
    said = "<E><Code>Busy</Code><Message>starting</Message></E>"
    with (
        answering(status, said) as url,
        pytest.raises(errors.UnavailableError, match=r"gives no credentials now \(Busy: starting\)"),
    ):
        credentials.issue("s3://bucket", ACCESS, 3600, minio_settings(url))


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (405, "", "HTTP status 405"),
        (501, "<Code>NotImplemented</Code>", "NotImplemented"),
        (200, "hi", "200"),
    ],
)
def test_a_store_without_sts_is_told_by_what_it_answers_and_what_to_set(status, text, said):
    with answering(status, text) as url, pytest.raises(errors.PreconditionError, match=said) as caught:
        credentials.issue("s3://bucket", ACCESS, 3600, minio_settings(url))
    assert "store.jobCredentials.enabled to false" in caught.value.message


def test_credentials_live_as_long_as_was_asked(issue):
    life = issue().expires - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(seconds=3900) < life <= datetime.timedelta(seconds=4005)


def test_keys_that_may_not_ask_are_refused_with_what_to_do(whole, minio_url):
    with pytest.raises(errors.PreconditionError, match=r"store\.jobCredentials\.enabled"):
        credentials.issue(whole.uri, ACCESS, 3600, minio_settings(minio_url, secret_key="wrong-secret-key"))


def test_a_store_that_does_not_answer_may_do_so_later():
    with pytest.raises(errors.UnavailableError, match="does not answer"):
        credentials.issue("s3://bucket", ACCESS, 3600, minio_settings("http://127.0.0.1:9"))

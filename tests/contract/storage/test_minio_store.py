"""What only a server can do: be away, refuse, lack a bucket, come back."""

import concurrent.futures
import socket
import threading
import uuid
from pathlib import Path

import pytest

from actuary import errors
from actuary.storage import location, minio_store, settings

pytestmark = pytest.mark.real


def options(url: str, **changes) -> settings.StorageSettings:
    keys = {"access_key": "contract-access", "secret_key": "contract-secret-key", "retry_seconds": 5}
    return settings.StorageSettings(**{"endpoint": url, **keys, **changes})


def bucket() -> str:
    return f"t-{uuid.uuid4().hex}"


def silent_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_store_that_does_not_answer_is_tried_again_and_then_named():
    """Counts connections at a server that closes each of them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        accepted = []

        def slam() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                accepted.append(connection)
                connection.close()

        thread = threading.Thread(target=slam)
        thread.start()
        store = minio_store.MinioStore(
            bucket(), "", options(url, retry_attempts=4, retry_longest_wait_seconds=0.05)
        )
        with pytest.raises(errors.UnavailableError, match=url) as caught:
            store.get("k")
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert len(accepted) == 4
    assert caught.value.metadata["endpoint"] == url


@pytest.mark.parametrize("use", ["put", "put_absent", "create", "stat", "list", "delete", "open"])
def test_every_call_says_that_nobody_listens(use: str):
    url = f"http://127.0.0.1:{silent_port()}"
    store = minio_store.MinioStore(
        bucket(), "p", options(url, retry_attempts=2, retry_longest_wait_seconds=0.01)
    )

    def create() -> None:
        with store.create("k") as stream:
            stream.write(b"x")

    calls = {
        "put": lambda: store.put("k", b"x"),
        "put_absent": lambda: store.put("k", b"x", if_absent=True),
        "create": create,
        "stat": lambda: store.stat("k"),
        "list": lambda: list(store.list("")),
        "delete": lambda: store.delete("k"),
        "open": lambda: store.open("k"),
    }
    with pytest.raises(errors.UnavailableError, match="ACTUARY_STORAGE_ENDPOINT") as caught:
        calls[use]()
    assert "X-Amz" not in str(caught.value)


@pytest.mark.parametrize("changes", [{"access_key": "nobody"}, {"secret_key": "wrong-secret"}])
@pytest.mark.parametrize("if_absent", [False, True])
def test_wrong_credentials_are_refused_without_a_retry(minio_url: str, changes: dict, if_absent: bool):
    store = minio_store.MinioStore(bucket(), "", options(minio_url, **changes))
    with pytest.raises(errors.RefusedError, match="secret key") as caught:
        store.put("k", b"x", if_absent=if_absent)
    assert "wrong-secret" not in str(caught.value)


def test_a_missing_bucket_is_made_only_where_that_is_allowed(minio_url: str):
    name = bucket()
    careful = minio_store.MinioStore(name, "", options(minio_url, create_bucket=False))
    with pytest.raises(errors.NotFoundError, match=name):
        careful.put("k", b"x", if_absent=True)
    with pytest.raises(errors.NotFoundError, match="no bucket"):
        careful.put("k", b"x")
    assert careful.stat("k") is None
    assert list(careful.list("")) == []
    careful.delete("k")
    minio_store.MinioStore(name, "", options(minio_url)).put("k", b"x")
    assert careful.get("k") == b"x"


def test_two_that_make_the_bucket_at_once_both_succeed(minio_url: str):
    name = bucket()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        stores = [minio_store.MinioStore(name, "", options(minio_url)) for _ in range(8)]
        assert all(pool.map(lambda i: stores[i].put(f"k{i}", b""), range(8)))


def test_a_store_knows_only_what_lies_under_its_prefix(minio_url: str):
    name = bucket()
    one = minio_store.MinioStore(name, "one", options(minio_url))
    two = minio_store.MinioStore(name, "two", options(minio_url))
    one.put("k", b"1")
    two.put("k", b"2")
    assert [info.key for info in one.list("")] == ["k"]
    assert (one.uri, two.get("k")) == (f"s3://{name}/one", b"2")


def test_a_uri_and_the_environment_open_the_store(
    minio_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "access").write_text("contract-access\n")
    (tmp_path / "secret").write_text("contract-secret-key\n")
    monkeypatch.setenv("ACTUARY_STORAGE_ENDPOINT", minio_url)
    monkeypatch.setenv("ACTUARY_STORAGE_ACCESS_KEY_FILE", str(tmp_path / "access"))
    monkeypatch.setenv("ACTUARY_STORAGE_SECRET_KEY_FILE", str(tmp_path / "secret"))
    store = location.open_store(f"s3://{bucket()}/some/prefix")
    store.put("k", b"x")
    assert store.get("k") == b"x"


def test_an_object_above_one_part_comes_back_whole(minio_url: str, tmp_path: Path):
    store = minio_store.MinioStore(bucket(), "", options(minio_url, part_bytes=5 << 20))
    source = tmp_path / "source"
    source.write_bytes(b"0123456789abcdef" * (12 << 16))
    store.put_file("k", source)
    assert store.get("k") == source.read_bytes()

"""A folder, and a real MinIO server where there is one, behind one fixture."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import tenacity
import urllib3

from actuary.storage import folder, minio_store, objects, settings

ACCESS, SECRET = "contract-access", "contract-secret-key"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running_minio(binary: str, data: Path) -> Iterator[str]:
    """A server on a free port; its URL once it answers."""
    port = free_port()
    environment = {**os.environ, "MINIO_ROOT_USER": ACCESS, "MINIO_ROOT_PASSWORD": SECRET, "HOME": str(data)}
    log = data.parent / f"minio-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [binary, "server", str(data), "--address", f"127.0.0.1:{port}", "--quiet"],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        url = f"http://127.0.0.1:{port}"
        pool = urllib3.PoolManager()
        try:

            def ready() -> None:
                assert process.poll() is None, log.read_text()
                assert pool.request("GET", f"{url}/minio/health/ready", retries=False).status == 200

            tenacity.Retrying(
                stop=tenacity.stop_after_delay(60), wait=tenacity.wait_fixed(0.1), reraise=True
            )(ready)
            yield url
        finally:
            pool.clear()
            process.send_signal(signal.SIGTERM)
            process.wait(30)


@pytest.fixture(scope="session")
def minio_binary() -> str:
    binary = os.environ.get("ACTUARY_TEST_MINIO") or shutil.which("minio")
    if not binary:
        pytest.skip("no MinIO server: put `minio` on PATH or its path in ACTUARY_TEST_MINIO")
    return binary


@pytest.fixture(scope="session")
def minio_url(minio_binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data = tmp_path_factory.mktemp("minio") / "data"
    data.mkdir()
    with running_minio(minio_binary, data) as url:
        yield url


def minio_settings(url: str, **changes) -> settings.StorageSettings:
    return settings.StorageSettings(
        **{"endpoint": url, "access_key": ACCESS, "secret_key": SECRET, "retry_seconds": 5, **changes}
    )


@pytest.fixture(params=["folder", pytest.param("minio", marks=pytest.mark.real)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> objects.ObjectStore:
    """An empty store; with MinIO a bucket that does not exist yet."""
    if request.param == "folder":
        return folder.FolderStore(tmp_path / "größe 100%")
    url = request.getfixturevalue("minio_url")
    return minio_store.MinioStore(f"t-{uuid.uuid4().hex}", "prefix/größe", minio_settings(url))

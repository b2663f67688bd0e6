"""What only a folder does: temporary files, full disks, access rights, odd names."""

import errno
import os
import resource
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from actuary import errors
from actuary.storage import folder, gc, location, schemas, tables


@pytest.fixture
def store(tmp_path: Path) -> folder.FolderStore:
    return folder.FolderStore(tmp_path / "store")


@pytest.fixture
def full_disk(tmp_path: Path):
    """A file system of one megabyte."""
    place = tmp_path / "full"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"may not mount a small tmpfs here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def use(store: folder.FolderStore, how: str, tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    if how == "put":
        store.put("big", data)
    elif how == "put_if_absent":
        store.put("big", data, if_absent=True)
    elif how == "put_file":
        (tmp_path / "source").write_bytes(data)
        store.put_file("big", tmp_path / "source")
    elif how == "create":
        with store.create("big") as stream:
            for start in range(0, len(data), 1000):
                stream.write(data[start : start + 1000])
    else:
        image = pa.array([data], pa.binary())
        rows = pa.table({"item_id": ["a"], "split": ["pool"], "u": [0.5], "image": image})
        tables.write_table(store, "big", rows, schemas.ITEMS)


@pytest.mark.parametrize("how", ["put", "put_if_absent", "put_file", "create", "shard"])
def test_a_full_disk_says_what_to_do_and_leaves_nothing(full_disk: Path, tmp_path: Path, how: str):
    store = folder.FolderStore(full_disk)
    store.put("small", b"x")
    with pytest.raises(errors.ExhaustedError, match="Free space") as caught:
        use(store, how, tmp_path)
    assert str(full_disk) in str(caught.value)
    assert "big" in caught.value.metadata["uri"]
    assert [path.name for path in full_disk.iterdir()] == ["small"]
    assert store.put("small-2", b"y")


def test_a_file_size_limit_counts_as_a_full_disk(tmp_path: Path):
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from actuary import errors\n"
        "from actuary.storage import folder\n"
        "try:\n"
        "    folder.FolderStore(Path(sys.argv[1])).put('big', bytes(1 << 20))\n"
        "except errors.ExhaustedError as error:\n"
        "    print(error)\n"
    )

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "store")],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "no room to write" in done.stdout, done.stderr


def test_a_writer_that_is_killed_leaves_only_what_gc_finds(tmp_path: Path):
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from actuary.storage import folder\n"
        "with folder.FolderStore(Path(sys.argv[1])).create('a/b') as stream:\n"
        "    stream.write(b'half')\n"
        "    stream.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    store = folder.FolderStore(tmp_path / "store")
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path / "store")], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert list(store.list("")) == []
    assert store.stat("a/b") is None
    now = datetime.now(UTC)
    assert gc.plan(store, "", timedelta(hours=1), now=now).leftovers == ()
    found = gc.plan(store, "a/", timedelta(hours=1), now=now + timedelta(hours=2))
    assert found.bytes == 4
    assert len(os.listdir(tmp_path / "store" / "a")) == 1
    gc.remove(store, found, "a/")
    assert os.listdir(tmp_path / "store" / "a") == []


@pytest.mark.parametrize("key", [".tmp~1-2/.tmp~3", "%2Etmp~", "a/.tmp~x", ".work/..hidden", "%", "a%2Fb"])
def test_no_key_is_taken_for_a_temporary_file_or_another_key(store: folder.FolderStore, key: str):
    store.put(key, b"x")
    store.put("other", b"y")
    assert [info.key for info in store.list("")] == sorted([key, "other"], key=str.encode)
    assert store.get(key) == b"x"
    assert store.sweep("", before=datetime.now(UTC) + timedelta(days=1), dry_run=False) == []
    store.delete(key)
    assert [info.key for info in store.list("")] == ["other"]


def test_a_key_is_not_both_object_and_folder(store: folder.FolderStore):
    store.put("a", b"")
    store.put("b/c", b"")
    for key in ("a/b", "b"):
        with pytest.raises(errors.AlreadyExistsError, match="both an object and the folder"):
            store.put(key, b"")


def test_a_folder_that_is_a_file_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.AlreadyExistsError, match="file"):
        folder.FolderStore(tmp_path / "file").put("a", b"")


def test_what_may_not_be_written_is_refused(tmp_path: Path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "store").mkdir(mode=0o500)
    with pytest.raises(errors.RefusedError, match="access"):
        folder.FolderStore(tmp_path / "store").put("a", b"")


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE])
def test_a_file_system_that_fails_is_unavailable(code: int):
    error = folder._translated(OSError(code, os.strerror(code)), "file:///x/k", Path("/x"))
    assert isinstance(error, errors.UnavailableError)


def test_the_callers_own_error_in_a_block_is_not_translated(store: folder.FolderStore):
    def fail() -> None:
        with store.create("k"):
            raise FileNotFoundError(errno.ENOENT, "theirs")

    with pytest.raises(FileNotFoundError, match="theirs"):
        fail()


@pytest.mark.parametrize("name", ["plain", "größe und %41", "a#b?c"])
def test_a_uri_opens_the_store_that_gave_it(tmp_path: Path, name: str):
    store = location.open_store(str(tmp_path / name))
    store.put("k", b"x")
    assert location.open_store(store.uri).get("k") == b"x"
    assert store.uri.startswith("file:///")


@pytest.mark.parametrize(
    "uri", ["", "ftp://x/y", "file://host/path", "file:relative://x", "s3://", "s3://A_b/p"]
)
def test_a_location_that_is_none_is_refused(uri: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ACTUARY_STORAGE_ACCESS_KEY", "a")
    monkeypatch.setenv("ACTUARY_STORAGE_SECRET_KEY", "b")
    with pytest.raises(errors.InvalidInputError, match=r"storage\.uri"):
        location.open_store(uri)

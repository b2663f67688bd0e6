"""What every object store promises, asked of the folder and of MinIO alike."""

import concurrent.futures
import hashlib
import os
import threading
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from actuary import errors
from actuary.storage import digests, objects

KEYS = [
    "a/b/c",
    "a/b-c",
    "a.txt",
    "a/ü",
    "ü/ß",
    "日本語/キー",
    "per%cent/%41",
    "with space/+&?#=",
    "a/b.c",
    "z",
]


class TestObjectStore:
    def test_what_was_put_is_got(self, store: objects.ObjectStore):
        assert store.put("a/b", b"one")
        assert store.get("a/b") == b"one"
        assert store.put("a/b", b"two")
        assert store.get("a/b") == b"two"

    def test_an_empty_object_is_an_object(self, store: objects.ObjectStore):
        store.put("empty", b"")
        assert store.get("empty") == b""
        assert store.stat("empty").size == 0
        with store.open("empty") as stream:
            assert stream.read() == b""

    def test_a_digest_comes_with_all_that_was_put(self, store: objects.ObjectStore):
        for data in (b"", b"one", bytes(range(256)) * 20_000):
            store.put("digested", data)
            assert store.get_summed("digested", "blake3") == (data, digests.of(data, "blake3"))
            assert store.get_summed("digested", "sha256")[1] == f"sha256:{hashlib.sha256(data).hexdigest()}"
        with pytest.raises(errors.NotFoundError, match="nowhere"):
            store.get_summed("nowhere", "blake3")

    def test_put_if_absent_never_replaces(self, store: objects.ObjectStore, tmp_path: Path):
        assert store.put("k", b"first", if_absent=True)
        assert not store.put("k", b"second", if_absent=True)
        file = tmp_path / "file"
        file.write_bytes(b"third")
        assert not store.put_file("k", file, if_absent=True)
        assert store.get("k") == b"first"

    def test_put_if_absent_of_the_same_bytes_is_still_false(self, store: objects.ObjectStore):
        assert store.put("k", b"same", if_absent=True)
        assert not store.put("k", b"same", if_absent=True)

    @pytest.mark.parametrize("content", ["different", "equal"])
    def test_of_eight_concurrent_creators_exactly_one_wins(self, store: objects.ObjectStore, content: str):
        store.put("warm", b"")
        for round_ in range(10):
            barrier = threading.Barrier(8)

            def create(i: int, key: str = f"race/{round_}", barrier: threading.Barrier = barrier) -> bool:
                barrier.wait()
                return store.put(key, b"%d" % (i if content == "different" else 0), if_absent=True)

            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                won = list(pool.map(create, range(8)))
            assert won.count(True) == 1
            if content == "different":
                assert store.get(f"race/{round_}") == b"%d" % won.index(True)

    def test_a_file_is_put_and_fetched(self, store: objects.ObjectStore, tmp_path: Path):
        source, target = tmp_path / "source", tmp_path / "target"
        source.write_bytes(os.urandom(3_000_000))
        assert store.put_file("f", source, if_absent=True)
        assert store.put_file("f", source)
        store.fetch("f", target)
        assert target.read_bytes() == source.read_bytes()

    def test_a_missing_object_is_not_found_with_its_uri(self, store: objects.ObjectStore, tmp_path: Path):
        assert store.stat("no/such") is None
        for read in (store.get, store.open, lambda key: store.fetch(key, tmp_path / "t")):
            with pytest.raises(errors.NotFoundError, match="no/such") as caught:
                read("no/such")
            assert caught.value.metadata["uri"] == f"{store.uri}/no/such"

    def test_a_missing_object_is_not_found_in_a_store_that_has_others(self, store: objects.ObjectStore):
        store.put("a/b", b"")
        for key in ("a", "a/b/c", "a/c"):
            assert store.stat(key) is None
            with pytest.raises(errors.NotFoundError):
                store.get(key)

    def test_stat_tells_size_and_time(self, store: objects.ObjectStore):
        store.put("k", b"12345")
        info = store.stat("k")
        assert info.size == 5
        assert abs(info.modified - datetime.now(UTC)) < timedelta(minutes=2)

    def test_a_reader_seeks(self, store: objects.ObjectStore):
        data = os.urandom(2_500_000)
        store.put("k", data)
        with store.open("k") as stream:
            assert stream.seekable()
            stream.seek(-10, os.SEEK_END)
            assert stream.read() == data[-10:]
            stream.seek(1_000_000)
            assert stream.read(5) == data[1_000_000:1_000_005]
            assert stream.tell() == 1_000_005
            stream.seek(0)
            assert stream.read() == data

    def test_delete_may_be_repeated(self, store: objects.ObjectStore):
        store.put("a/b/c", b"")
        store.delete("a/b/c")
        store.delete("a/b/c")
        store.delete("never/there")
        assert store.stat("a/b/c") is None
        assert list(store.list("")) == []
        store.put("a", b"a folder's name is free again")

    def test_a_listing_is_in_the_byte_order_of_the_keys(self, store: objects.ObjectStore):
        keys = [key for key in KEYS if key != "a/b"]
        for key in keys:
            store.put(key, key.encode())
        listed = list(store.list(""))
        assert [info.key for info in listed] == sorted(keys, key=str.encode)
        assert [info.size for info in listed] == [len(info.key.encode()) for info in listed]

    @pytest.mark.parametrize(
        "prefix", ["a", "a/", "a/b", "a/b/", "ü", "per%", "日本", "nothing", "a/b/c", "a/b/c/"]
    )
    def test_a_listing_has_what_begins_with_the_prefix(self, store: objects.ObjectStore, prefix: str):
        for key in KEYS:
            store.put(key, b"")
        expected = sorted((k for k in KEYS if k.startswith(prefix)), key=str.encode)
        assert [info.key for info in store.list(prefix)] == expected

    def test_a_listing_passes_its_pages(self, store: objects.ObjectStore):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda i: store.put(f"many/{i:05d}", b""), range(1005)))
        assert [info.key for info in store.list("many/")] == [f"many/{i:05d}" for i in range(1005)]

    def test_an_empty_store_lists_nothing(self, store: objects.ObjectStore):
        assert list(store.list("")) == []
        assert list(store.list("a/b")) == []

    @pytest.mark.parametrize("key", KEYS)
    def test_keys_are_unicode(self, store: objects.ObjectStore, key: str):
        assert store.put(key, key.encode(), if_absent=True)
        assert store.get(key) == key.encode()
        assert store.stat(key).key == key

    @pytest.mark.parametrize(
        "key", ["", "/a", "a/", "a//b", "a/../b", "..", "./a", "a/.", "a\x00b", "a\nb", "x" * 201, "\ud800"]
    )
    def test_a_key_that_not_every_store_can_hold_is_refused(self, store: objects.ObjectStore, key: str):
        for use in (lambda k: store.put(k, b""), store.get, store.stat, store.delete):
            with pytest.raises(errors.InvalidInputError, match="key"):
                use(key)

    def test_a_created_object_appears_when_its_block_ends(self, store: objects.ObjectStore):
        with store.create("k") as stream:
            stream.write(b"one ")
            assert store.stat("k") is None
            assert list(store.list("")) == []
            stream.write(b"two")
        assert store.get("k") == b"one two"

    @pytest.mark.parametrize("megabytes", [5, 25])  # kept in memory, kept in a file
    def test_what_is_created_in_pieces_is_got_whole(self, store: objects.ObjectStore, megabytes: int):
        data = os.urandom(megabytes << 20)
        with store.create("k") as stream:
            for start in range(0, len(data), 700_001):
                stream.write(memoryview(data)[start : start + 700_001])
                assert stream.tell() == min(start + 700_001, len(data))
        assert store.get_summed("k", "blake3") == (data, digests.of(data, "blake3"))

    def test_a_block_that_raises_creates_nothing(self, store: objects.ObjectStore):
        def fail() -> None:
            with store.create("k") as stream:
                stream.write(b"half")
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail()
        assert store.stat("k") is None
        assert store.sweep("", before=datetime.now(UTC) + timedelta(days=1), dry_run=True) in ([], ())

    def test_streaming_150_megabytes_keeps_memory_bounded(self, store: objects.ObjectStore, tmp_path: Path):
        source, target = tmp_path / "source", tmp_path / "target"
        block = os.urandom(1 << 20)
        with source.open("wb") as stream:
            for _ in range(150):
                stream.write(block)
        store.put("warm", b"")
        tracemalloc.start()
        try:
            store.put_file("f", source)
            with store.create("g") as stream:
                for _ in range(150):
                    stream.write(block)
            store.fetch("f", target)
            with store.open("g") as reader:
                while reader.read(1 << 20):
                    pass
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert target.stat().st_size == store.stat("g").size == 150 << 20
        assert peak < 100 << 20

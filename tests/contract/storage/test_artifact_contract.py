"""Shards, manifests and gc on every store, damaged ones included."""

import concurrent.futures
import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from actuary import errors
from actuary.storage import artifacts, digests, gc, objects, schemas, tables

URI = "campaigns/größe/items"


def items(count: int, start: int = 0) -> pa.Table:
    ids = [f"ü{start + i:04d}" for i in range(count)]
    return pa.table({"item_id": ids, "text": ["x"] * count, "split": ["pool"] * count, "u": [0.5] * count})


def make(store: objects.ObjectStore, uri: str = URI, shards: int = 2, **changes) -> artifacts.Manifest:
    refs = tuple(
        tables.write_table(store, tables.shard_key(uri, s), items(3, 10 * s), schemas.ITEMS, shard=s)
        for s in range(shards)
    )
    fields = {"uri": uri, "table": "items", "version": 1, "objects": refs, "shards": shards}
    manifest = artifacts.Manifest(
        **{**fields, "code_version": "test", "parameters": {"ä": [1, None]}, **changes}
    )
    artifacts.write_manifest(store, manifest)
    return manifest


class TestShards:
    def test_a_shard_comes_back_as_it_was_written(self, store: objects.ObjectStore):
        manifest = make(store)
        got = tables.read_shard(store, manifest, 1)
        assert got.schema.equals(schemas.ITEMS, check_metadata=True)
        assert got.column("item_id").to_pylist() == ["ü0010", "ü0011", "ü0012"]
        assert tables.read_shard(store, manifest, 1, ["u", "item_id"]).column_names == ["u", "item_id"]

    def test_a_large_shard_is_read_by_row_groups(self, store: objects.ObjectStore):
        noise = np.random.default_rng(0).bytes(1 << 20)

        def batches():
            for i in range(40):
                yield items(1, i).append_column("image", pa.array([noise], pa.binary()))

        ref = tables.write_table(store, "campaigns/c/large.parquet", batches(), schemas.ITEMS)
        assert ref.bytes > tables._IN_MEMORY_BYTES
        with tables.open_shard(store, ref, ["item_id", "image"], table="items") as reader:
            assert (reader.rows, reader.file.num_row_groups) == (40, 40)
            assert [b.column("image")[0].as_py() == noise for b in reader.batches(1)] == [True] * 40
        self.proven(store, make(store, objects=(ref,)))

    def proven(self, store: objects.ObjectStore, manifest: artifacts.Manifest) -> None:
        """Sees that a proof passes, and fails where only the digest is wrong, which readers pass over."""
        tables.prove(store, manifest)
        forged = dataclasses.replace(manifest.objects[0], digest="blake3:" + "0" * 64)
        with tables.open_shard(store, forged, table="items") as reader:
            assert reader.rows
        with pytest.raises(errors.DataLossError, match="bytes with blake3:0000"):
            tables.prove(store, dataclasses.replace(manifest, objects=(forged,)))

    def test_a_proof_takes_the_digest_of_every_object(self, store: objects.ObjectStore):
        manifest = make(store)
        self.proven(store, manifest)
        store.put(manifest.objects[1].key, store.get(manifest.objects[0].key))
        with pytest.raises(errors.DataLossError, match="shard-00001"):
            tables.prove(store, manifest)

    @pytest.mark.parametrize("damage", ["flipped", "cut", "longer"])
    def test_a_damaged_shard_is_refused_with_both_digests(self, store: objects.ObjectStore, damage: str):
        ref = make(store).objects[0]
        data = bytearray(store.get(ref.key))
        if damage == "flipped":
            data[len(data) // 2] ^= 1
        elif damage == "cut":
            del data[-1]
        else:
            data += b"\0"
        store.put(ref.key, bytes(data))
        with pytest.raises(errors.DataLossError, match="shard-00000") as caught:
            tables.open_shard(store, ref)
        assert ref.checksum in str(caught.value)
        assert caught.value.metadata["got"] in str(caught.value)
        with pytest.raises(errors.DataLossError):
            tables.read_file(store, ref)

    def test_a_shard_that_is_gone_is_not_found(self, store: objects.ObjectStore):
        manifest = make(store)
        store.delete(manifest.objects[1].key)
        with pytest.raises(errors.NotFoundError, match="shard-00001"):
            tables.read_shard(store, manifest, 1)

    def test_a_writer_that_fails_leaves_no_shard(self, store: objects.ObjectStore):
        def fail() -> None:
            with tables.ShardWriter(store, "a/s.parquet", schemas.ITEMS) as writer:
                writer.write(items(3))
                writer.write(pa.table({"item_id": ["a"], "nonsense": [1]}))

        with pytest.raises(errors.InvalidInputError, match="nonsense"):
            fail()
        assert list(store.list("")) == []

    def test_several_artifacts_are_read_as_one_sorted_table(self, store: objects.ObjectStore):
        later, earlier = make(store, f"{URI}-2"), make(store, f"{URI}-1")
        ids = tables.read_shard(store, [later, earlier], 0, ["item_id"]).column("item_id").to_pylist()
        assert ids == ["ü0000", "ü0000", "ü0001", "ü0001", "ü0002", "ü0002"]

    def test_a_file_of_an_artifact_is_digested(self, store: objects.ObjectStore, tmp_path):
        path = tmp_path / "model"
        path.write_bytes(b"weights" * 1000)
        refs = tables.write_file(store, "m/a", path), tables.write_file(store, "m/b", path.read_bytes())
        assert refs[0].digest == refs[1].digest == digests.of(path.read_bytes(), "blake3")
        assert refs[0].checksum == refs[1].checksum == digests.of(path.read_bytes(), "xxh3")
        assert tables.read_file(store, refs[0]) == path.read_bytes()


class TestManifests:
    def test_an_artifact_exists_when_its_manifest_does(self, store: objects.ObjectStore):
        assert not artifacts.exists(store, URI)
        with pytest.raises(errors.NotFoundError):
            artifacts.read_manifest(store, URI)
        manifest = make(store)
        assert artifacts.exists(store, URI)
        got, digest = artifacts.read_manifest(store, URI)
        assert got == manifest
        assert digest == artifacts.write_manifest(store, manifest)

    def test_another_manifest_of_that_name_is_refused(self, store: objects.ObjectStore):
        make(store)
        with pytest.raises(errors.AlreadyExistsError, match="größe"):
            make(store, cost_micros=1)
        assert artifacts.read_manifest(store, URI)[0].cost_micros == 0

    def test_of_eight_writers_of_different_manifests_one_wins(self, store: objects.ObjectStore):
        manifest = make(store, "campaigns/c/warm")

        def write(i: int) -> bool:
            try:
                artifacts.write_manifest(
                    store,
                    artifacts.Manifest(
                        uri=URI,
                        table=None,
                        version=0,
                        objects=manifest.objects,
                        code_version="t",
                        cost_micros=i,
                        shards=2,
                    ),
                )
            except errors.AlreadyExistsError:
                return False
            return True

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            won = list(pool.map(write, range(8)))
        assert won.count(True) == 1
        assert artifacts.read_manifest(store, URI)[0].cost_micros == won.index(True)

    @pytest.mark.parametrize(
        "change",
        [
            lambda d: d.update(cost_micros=7),
            lambda d: d["objects"][0].update(digest="blake3:" + "0" * 64),
            lambda d: d.update(digest="0" * 64),
            lambda d: d.pop("digest"),
        ],
    )
    def test_a_manifest_whose_digest_is_wrong_is_refused(self, store: objects.ObjectStore, change):
        make(store)
        document = json.loads(store.get(artifacts.key_of(URI)))
        change(document)
        store.put(artifacts.key_of(URI), json.dumps(document).encode())
        with pytest.raises(errors.DataLossError, match=r"manifest\.json"):
            artifacts.read_manifest(store, URI)

    @pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"digest": "x"}'])
    def test_what_is_no_manifest_is_refused(self, store: objects.ObjectStore, data: bytes):
        store.put(artifacts.key_of(URI), data)
        with pytest.raises(errors.DataLossError, match=r"manifest\.json"):
            artifacts.read_manifest(store, URI)

    def test_a_manifest_of_format_1_and_its_shards_are_read(self, store: objects.ObjectStore):
        manifest = make(store)
        document = json.loads(store.get(artifacts.key_of(URI)))
        for ref in document["objects"]:
            del ref["digest"], ref["checksum"]
            ref["sha256"] = hashlib.sha256(store.get(ref["key"])).hexdigest()
        document["format"] = 1
        del document["digest"]
        document["digest"] = artifacts._digest(document)
        store.put(artifacts.key_of(URI), json.dumps(document).encode())
        old, digest = artifacts.read_manifest(store, URI)
        assert digest == document["digest"]
        assert old.objects[1].digest == f"sha256:{document['objects'][1]['sha256']}"
        assert tables.read_shard(store, old, 1).equals(tables.read_shard(store, manifest, 1))
        store.put(old.objects[1].key, store.get(old.objects[0].key))
        with pytest.raises(errors.DataLossError, match="sha256:"):
            tables.read_shard(store, old, 1)

    @pytest.mark.parametrize("version", [0, 3, "2", None])
    def test_a_manifest_of_another_format_names_both(self, store: objects.ObjectStore, version):
        make(store)
        document = json.loads(store.get(artifacts.key_of(URI))) | {"format": version}
        del document["digest"]
        store.put(
            artifacts.key_of(URI),
            json.dumps(document | {"digest": artifacts._digest(document)}).encode(),
        )
        with pytest.raises(errors.InvalidInputError, match=f"format {version}, this build reads 1 to 2"):
            artifacts.read_manifest(store, URI)

    def test_an_object_whose_digest_is_of_an_unknown_kind_is_refused(self, store: objects.ObjectStore):
        ref = dataclasses.replace(make(store).objects[0], checksum="md6:00")
        with pytest.raises(errors.InvalidInputError, match=r"'md6'.*knows blake3, xxh3, sha256"):
            tables.open_shard(store, ref)

    def test_a_manifest_at_another_place_is_refused(self, store: objects.ObjectStore):
        make(store)
        store.put(artifacts.key_of("campaigns/c/copy"), store.get(artifacts.key_of(URI)))
        with pytest.raises(errors.DataLossError, match="expected the manifest of campaigns/c/copy"):
            artifacts.read_manifest(store, "campaigns/c/copy")

    @pytest.mark.parametrize(("version", "advice"), [(0, "run the stage"), (4, "newer Actuary")])
    def test_another_schema_version_names_both(self, store: objects.ObjectStore, version: int, advice: str):
        make(store, version=version)
        with pytest.raises(errors.InvalidInputError, match=advice) as caught:
            artifacts.read_manifest(store, URI)
        assert f"schema version {version}, this build reads version 3" in str(caught.value)
        assert caught.value.reason == "SCHEMA_VERSION"


@pytest.mark.parametrize(("side", "whole"), [("before", False), ("after", True)])
def test_kill_minus_nine_around_the_manifest_leaves_none_or_a_whole_one(
    store: objects.ObjectStore, side: str, whole: bool, request: pytest.FixtureRequest
):
    script = (
        "import sys\n"
        "from actuary.storage import artifacts, location, schemas, tables\n"
        "import pyarrow as pa\n"
        "store = location.open_store(sys.argv[1])\n"
        "data = pa.table({'item_id': ['a'], 'split': ['pool'], 'u': [0.5]})\n"
        "ref = tables.write_table(store, tables.shard_key('c/x', 0), data, schemas.ITEMS, shard=0)\n"
        "artifacts.write_manifest(store, artifacts.Manifest(uri='c/x', table='items', version=1,\n"
        "    objects=(ref,), code_version='t', shards=1))\n"
        "print('done')\n"
    )
    environment = {**os.environ}
    if not store.local:
        environment |= {
            "ACTUARY_STORAGE_ENDPOINT": request.getfixturevalue("minio_url"),
            "ACTUARY_STORAGE_ACCESS_KEY": "contract-access",
            "ACTUARY_STORAGE_SECRET_KEY": "contract-secret-key",
        }

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", script, store.uri],
            env={**environment, **more},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    killed = run(ACTUARY_FAILPOINT=f"manifest.{side}")
    assert killed.returncode == -9, killed.stderr
    assert artifacts.exists(store, "c/x") is whole
    again = run()
    assert again.stdout == "done\n", again.stderr
    manifest, _ = artifacts.read_manifest(store, "c/x")
    assert tables.read_shard(store, manifest, 0).num_rows == 1


class TestGc:
    def test_only_old_objects_that_no_manifest_names_are_found(self, store: objects.ObjectStore):
        manifest = make(store)
        strays = [
            f"{URI}/shard-00009.parquet",
            f"{URI}/.work/chunks/00000/000001.parquet",
            f"{URI}/.work/manifest.json",
            "campaigns/größe/half/shard-00000.parquet",
        ]
        kept = [f"{URI}/images/{'0' * 64}", "campaigns/größe/jobs/a-1/job.json", "campaigns/other/x"]
        for key in strays + kept:
            store.put(key, b"123")
        now, prefix = datetime.now(UTC), "campaigns/größe/"
        early = gc.plan(store, prefix, timedelta(hours=1), now=now)
        assert (early.unnamed, early.leftovers) == ((), ())
        found = gc.plan(store, prefix, timedelta(hours=1), now=now + timedelta(hours=2))
        assert [info.key for info in found.unnamed] == sorted(strays)
        assert found.bytes == 3 * len(strays)
        gc.remove(store, found, prefix)
        assert gc.plan(store, prefix, timedelta(0), now=now + timedelta(hours=2)).unnamed == ()
        assert tables.read_shard(store, manifest, 1).num_rows == 3
        assert [store.stat(key) is not None for key in kept] == [True] * 3

    def test_a_damaged_manifest_stops_it(self, store: objects.ObjectStore):
        make(store)
        store.put(artifacts.key_of(URI), b"{}")
        with pytest.raises(errors.DataLossError):
            gc.plan(store, "", timedelta(0), now=datetime.now(UTC) + timedelta(days=1))

    def test_an_artifact_of_an_older_schema_is_kept(self, store: objects.ObjectStore):
        make(store, version=0)
        later = datetime.now(UTC) + timedelta(days=1)
        assert gc.plan(store, "", timedelta(0), now=later).unnamed == ()

"""What a Job's own credentials open at a real MinIO is enough for its work, and no more: every kind of Job.

Two campaigns run once with the keys of the store. Then the artifact of each of their Jobs is deleted and made
again by the same processes, with nothing but the credentials that a cluster would give that Job.
"""

from __future__ import annotations

import csv
import dataclasses
import importlib
import io
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import actuary
from actuary import errors
from actuary.jobs import access, protocol, receipts
from actuary.storage import artifacts, credentials, minio_store, settings
from actuary.v1 import campaign_pb2
from component.flows import newcomer
from contract.storage import conftest

pytestmark = pytest.mark.real
KINDS = tuple(
    kind
    for service in ("campaign", "annotator", "critic", "sampler", "trainer")
    for kind in importlib.import_module(f"actuary.{service}.work").TASKS
)
NAMES = ("access_key", "secret_key", "session_token")
SHADES = ("dark", "light")
PRICES = {"input_micros_per_1000_tokens": 10}
ITEMS, LARGE = 80, 30
"""Images, and how many of them are too large for their row."""


def picture(shade: str, side: int, rng: np.random.Generator) -> bytes:
    """An image of noise, which no format makes small."""
    low = 0 if shade == "dark" else 96
    stream = io.BytesIO()
    Image.fromarray(rng.integers(low, low + 160, (side, side, 3), np.uint8)).save(stream, "png")
    return stream.getvalue()


def images(folder: Path) -> dict:
    """A campaign with images, exemplars, a test set, a critic with a model, training and two waves."""
    rng = np.random.default_rng(1)
    shades = [SHADES[k % 2] for k in range(ITEMS)]
    splits = ["exemplar" if k < 4 else "test" if k < 16 else "pool" for k in range(ITEMS)]
    pictures = [picture(shade, 170 if k >= ITEMS - LARGE else 8, rng) for k, shade in enumerate(shades)]
    assert sum(len(each) > 64_000 for each in pictures) == LARGE
    ids = [f"p{k:03d}" for k in range(ITEMS)]
    rows = {"item_id": ids, "image": pa.array(pictures, pa.binary()), "split": splits, "shade": shades}
    pq.write_table(pa.table(rows), folder / "items.parquet")
    return {
        "task": {"instruction": "s3://bucket/*", "classes": [{"name": name} for name in SHADES]},
        "data": {
            "uri": str(folder / "items.parquet"), "split_column": "split", "truth_column": "shade"
        },
        "annotator": {"model": {"kind": "exemplar", "prices": PRICES}},
        "critic": {"strategy": "class-probability", "model": {"kind": "linear", "prices": PRICES}},
        "budget": {"human_labels": 34, "human_label_micros": 1000},
        "sampling": {"pilot_items": 20, "audit_items": 6},
        "review": {"mode": "replay", "double_share": 0.2},
        "training": {"model": "linear", "epochs": 2},
        "execution": {"shards": 3, "workers": 2, "chunk_items": 7},
    }  # fmt: skip


def labels(folder: Path, uri: str) -> dict:
    """A campaign with text and a guarantee, whose model is a file in a bucket of the user's."""
    with (folder / "items.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["item_id", "text", "gold"])
        writer.writerows([item.item_id, item.text, item.gold] for item in newcomer.items(50))
    return newcomer.campaign(
        data={"uri": str(folder / "items.csv"), "truth_column": "gold"},
        annotator={"model": {"kind": "table", "uri": uri, "prices": PRICES}},
        critic={"strategy": "confidence"},
        budget={"human_labels": 34},
        sampling={"pilot_items": 24},
        guarantee={"mode": "budget"},
        review={"mode": "replay"},
        execution={"shards": 2, "workers": 1},
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A store with two campaigns that have ended."""

    url: str
    store: minio_store.MinioStore

    def jobs(self, kind: str) -> list[protocol.JobSpec]:
        """The descriptions of all Jobs of a kind."""
        found = [
            protocol.JobSpec.from_json(self.store.get(info.key))
            for info in self.store.list("campaigns/")
            if info.key.endswith("/job.json")
        ]
        return [spec for spec in found if spec.kind == kind]

    def issue(self, spec: protocol.JobSpec, folder: Path) -> dict[str, str]:
        """The variables of a worker, and the files that they name."""
        issued = credentials.issue(
            spec.store_uri, access.access_of(spec), 3600, conftest.minio_settings(self.url)
        )
        for name in NAMES:
            (folder / name).write_text(getattr(issued, name))
        files = {f"ACTUARY_STORAGE_{name.upper()}_FILE": str(folder / name) for name in NAMES}
        return {"ACTUARY_STORAGE_ENDPOINT": self.url, **files}

    def opened(self, folder: Path) -> minio_store.MinioStore:
        """The store as the worker with those files sees it."""
        files = {f"{name}_file": folder / name for name in NAMES}
        options = settings.StorageSettings(endpoint=self.url, retry_seconds=1, **files)
        return minio_store.MinioStore("actuary", self.store.uri.split("/", 3)[3], options)

    def delete(self, prefix: str) -> None:
        """Deletes whatever lies there."""
        for info in list(self.store.list(prefix)):
            self.store.delete(info.key)


@pytest.fixture(scope="module")
def place(minio_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A store in which each kind of Job was done."""
    folder = tmp_path_factory.mktemp("campaigns")
    prefix = f"run-{uuid.uuid4().hex[:8]}"
    options = conftest.minio_settings(minio_url)
    store = minio_store.MinioStore("actuary", prefix, options)
    others = minio_store.MinioStore("others", prefix, options)
    newcomer.make(folder / "made", {}, newcomer.items(50))
    others.put("labels.csv", (folder / "made" / "labels.csv").read_bytes())
    environment = {
        **newcomer.ENVIRONMENT,
        "ACTUARY_STORE_URI": store.uri,
        "ACTUARY_STORAGE_ENDPOINT": minio_url,
        "ACTUARY_STORAGE_ACCESS_KEY": conftest.ACCESS,
        "ACTUARY_STORAGE_SECRET_KEY": conftest.SECRET,
    }
    command = [*newcomer.COMMAND, "up", "--data", str(folder / "data"), "--address", "127.0.0.1:0"]
    with (folder / "up.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--metrics-port", "0"], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            with actuary.Client(newcomer.address_of(folder / "data")) as client:
                client.create(images(folder), campaign_id="images")
                client.create(labels(folder, f"{others.uri}/labels.csv"), campaign_id="labels")
                for name in ("images", "labels"):
                    succeeded(client.wait(f"campaigns/{name}"))
                client.top_up("campaigns/images", human_labels=6, request_id="more")
                succeeded(client.wait("campaigns/images"))
            yield Place(minio_url, store)
        finally:
            server.terminate()
            server.wait(60)


def succeeded(campaign: campaign_pb2.Campaign) -> None:
    state = campaign_pb2.Campaign.State.Name(campaign.state)
    assert state in ("SUCCEEDED", "BUDGET_EXHAUSTED"), f"{campaign.name} is {state}: {campaign.error.message}"


def work(place: Place, spec: protocol.JobSpec, folder: Path) -> None:
    """Does a Job as its pods and its controller would: nobody is asked about money here."""
    alone = dataclasses.replace(spec, report_address=None)
    uri = protocol.write(place.store, alone)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("ACTUARY_")}
    environment = {**inherited, **place.issue(alone, folder)}
    for index in range(spec.indexes):
        done = subprocess.run(
            [sys.executable, "-m", "actuary.cli.main", "work", uri,
             "--index", str(index), "--attempt", str(9 * protocol.ATTEMPTS_A_LAUNCH)],
            env=environment, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == protocol.EXIT_DONE, f"{spec.name}, index {index}: {done.stderr}"
    if not artifacts.exists(place.store, spec.artifact):
        receipts.finish(place.store, spec, artifacts.code_version())


def test_the_campaigns_have_jobs_of_every_kind_and_what_is_special(place):
    assert all(place.jobs(kind) for kind in KINDS)
    assert len(place.jobs("plan")) == 5
    large = list(place.store.list("campaigns/images/importJobs/import/items/images/"))
    assert len(large) == LARGE


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_is_done_with_its_own_credentials_alone(place, kind, tmp_path):
    for spec in place.jobs(kind):
        before = artifacts.read_manifest(place.store, spec.artifact)[0]
        for prefix in access.access_of(spec).writes:
            place.delete(prefix)
        work(place, spec, tmp_path)
        again = artifacts.read_manifest(place.store, spec.artifact)[0]
        assert again.counts == before.counts, spec.name
        assert [each.uri for each in again.parents] == [each.uri for each in before.parents]


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_that_looks_further_is_refused(place, kind, tmp_path):
    keys = [info.key for info in (*place.store.list("campaigns/"), *place.store.list("sealed/"))]
    for spec in place.jobs(kind):
        place.issue(spec, tmp_path)
        worker = place.opened(tmp_path)
        found = access.access_of(spec)
        readable = (*found.reads, *found.lists, *found.writes)
        sealed = [key for key in keys if key.startswith("sealed/")]
        beyond = [key for key in keys if not key.startswith(readable)]
        others = [key for key in beyond if spec.campaign not in key]
        assert others
        if kind not in access.READS_TRUTH | access.WRITES_TRUTH:
            assert set(sealed) <= set(beyond)
        parents = [f"{uri}/{artifacts.FILE_NAME}" for uri in spec.parents]
        for key in beyond:
            with pytest.raises(errors.RefusedError):
                worker.get(key)
        for key in (*parents, spec.key, *others[:3]):
            with pytest.raises(errors.RefusedError):
                worker.delete(key)
            with pytest.raises(errors.RefusedError):
                worker.put(key, b"changed")
        folders = ("", "campaigns/", "sealed/", *(f"{uri}/" for uri in spec.parents))
        for prefix in (each for each in folders if not each.startswith(found.lists)):
            with pytest.raises(errors.RefusedError):
                list(worker.list(prefix))

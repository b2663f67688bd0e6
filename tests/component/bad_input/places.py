"""A campaign's folder that a test spoils, the commands that a person gives, and what they leave behind."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from actuary import client as clients
from actuary.storage import artifacts, folder
from actuary.v1 import campaign_pb2

LIMIT_SECONDS = 600
"""For what takes seconds: a machine that runs other things as well is no reason to fail."""
CLASSES = ("red", "green", "blue")
ITEMS = 100
NULL = {"kind": "null", "prices": {"input_micros_per_1000_tokens": 150, "output_micros_per_1000_tokens": 600}}
TABLE = {"kind": "table", "uri": "labels.csv", "prices": {"input_micros_per_1000_tokens": 0}}
SPEC: Mapping[str, Any] = {
    "task": {"instruction": "Which colour?", "classes": [{"name": name} for name in CLASSES]},
    "data": {"uri": "items.csv", "truth_column": "colour"},
    "annotator": {"model": NULL},
    "critic": {"strategy": "confidence"},
    "budget": {"human_labels": 50, "human_label_micros": 50_000},
    "sampling": {"pilot_items": 20, "audit_items": 20},
    "review": {"mode": "replay"},
    "training": {"model": "none"},
    "execution": {"shards": 1, "workers": 1},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Said:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def results(self) -> dict[str, Any]:
        """What `--json` printed."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    def error(self) -> str:
        """The one message, which begins with `error:`; nothing of it is a traceback."""
        assert "Traceback" not in self.err + self.out, self.err
        assert self.err.count("error: ") == 1, self.err
        return self.err.partition("error: ")[2]


class Place:
    """A campaign's folder in the data folder that a server serves."""

    def __init__(self, root: Path, data: Path, *, name: str) -> None:
        self.root, self.data, self.name = root, data, name
        self.campaign = f"campaigns/{name}"
        root.mkdir(parents=True, exist_ok=True)

    def spec(self, changes: Mapping[str, Any] | None = None) -> Path:
        """Writes campaign.yaml, with some fields (`budget.human_labels`) changed; None takes one out."""
        form = json.loads(json.dumps(SPEC))
        for path, value in (changes or {}).items():
            *sections, field = path.split(".")
            at = form
            for section in sections:
                at = at.setdefault(section, {})
            if value is None:
                del at[field]
            else:
                at[field] = value
        file = self.root / "campaign.yaml"
        file.write_text(yaml.safe_dump(form, allow_unicode=True), encoding="utf-8")
        return file

    def table(self, name: str, rows: Iterable[Mapping[str, Any]]) -> Path:
        """Writes rows as CSV."""
        listed = list(rows)
        path = self.root / name
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(listed[0]))
            writer.writeheader()
            writer.writerows(listed)
        return path

    def items(self, *more: Mapping[str, Any]) -> Path:
        """Writes good items, and some more."""
        return self.table("items.csv", [*good_items(), *more])

    def actuary(
        self, *words: str, data: Path | None = None, most_bytes: int | None = None, **variables: str
    ) -> Said:
        """Gives a command and waits for its end; no file that it or its children write may pass a size."""
        command = [sys.executable, "-m", "actuary.cli.main", *words, "--data", str(data or self.data)]
        if most_bytes is not None:
            command = [sys.executable, "-c", LIMITED.format(most=most_bytes), *command]
        done = subprocess.run(
            command,
            env=environment(**variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=LIMIT_SECONDS,
            check=False,
        )
        return Said(code=done.returncode, out=done.stdout, err=done.stderr)

    def run(self, data: Path | None = None, most_bytes: int | None = None, **variables: str) -> Said:
        """`actuary run` of this folder, by default at the server of all tests."""
        words = ("run", str(self.root), "--id", self.name, "--json")
        return self.actuary(*words, data=data, most_bytes=most_bytes, **variables)

    def artifacts(self, data: Path | None = None) -> set[str]:
        """Artifacts that exist: those with a manifest, without the campaign's name."""
        base = (data or self.data) / "store" / self.campaign
        # workers remove what they have done with meanwhile, which os.walk bears and rglob does not
        found = (Path(root) for root, _, files in os.walk(base) if artifacts.FILE_NAME in files)
        return {str(path.relative_to(base)) for path in found}

    def store(self) -> folder.FolderStore:
        return folder.FolderStore(self.data / "store")

    def create(self, client: clients.Client) -> None:
        """Sends campaign.yaml, as `actuary run` does, and follows nothing."""
        client.create(self.root / "campaign.yaml", campaign_id=self.name)

    def until(self, client: clients.Client, done: Callable[[campaign_pb2.Campaign], bool]) -> str:
        """Waits until the campaign is as it should be; returns its state."""
        end = time.monotonic() + LIMIT_SECONDS
        while True:
            found = client.get(self.name)
            state: str = campaign_pb2.Campaign.State.Name(found.state)
            if done(found):
                return state
            assert state not in clients.ENDED, f"not what was awaited: {found}"
            assert time.monotonic() < end, f"awaited in vain: {found}"
            time.sleep(0.05)

    def fail(self, client: clients.Client) -> str:
        """Sends the campaign, again if it failed before, and waits until it fails; returns why."""
        self.create(client)
        if client.get(self.name).state == campaign_pb2.Campaign.FAILED:
            client.resume(self.name)
        self.until(client, lambda found: found.state == campaign_pb2.Campaign.FAILED)
        message: str = client.get(self.name).error.message
        assert "Traceback" not in message
        return message

    def past_import(self, client: clients.Client, data: Path | None = None) -> None:
        """Waits until the items are counted, and stops there."""
        self.until(client, lambda found: found.HasField("purse"))
        client.cancel(self.name)
        assert "importJobs/import/items" in self.artifacts(data)


LIMITED = (
    "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most})); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
QUICK = {
    "ACTUARY_CONTROLLER_SECONDS": "0.05",
    "ACTUARY_REVIEW_CONTROLLER_SECONDS": "1",
    "ACTUARY_LEASE_SECONDS": "5",
    "ACTUARY_CORES": "2",
}


@contextlib.contextmanager
def served(data: Path) -> Iterator[clients.Client]:
    """Serves a data folder, as `actuary up` does; whatever people send is no fault that it may show."""
    data.mkdir(parents=True, exist_ok=True)
    log = data / "log"
    command = [sys.executable, "-m", "actuary.cli.main", "up", "--data", str(data)]
    with log.open("wb") as target:
        server = subprocess.Popen(
            [*command, "--address", "127.0.0.1:0", "--metrics-port", "0"],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=target,
            stderr=target,
        )
    try:
        end = time.monotonic() + LIMIT_SECONDS
        while not (data / "server.json").exists():
            assert server.poll() is None, log.read_text("utf-8")
            assert time.monotonic() < end, log.read_text("utf-8")
            time.sleep(0.05)
        address = json.loads((data / "server.json").read_text("utf-8"))["address"]
        with clients.Client(address) as client:
            yield client
    finally:
        server.send_signal(signal.SIGTERM)
        code = server.wait(timeout=LIMIT_SECONDS)
    said = log.read_text("utf-8")
    assert "Traceback" not in said, said
    assert code == 0, said


def environment(**more: str) -> dict[str, str]:
    """Of a process that is started: this one's without settings of its own, and those given."""
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("ACTUARY_")},
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        **QUICK,
        **more,
    }


def good_items(count: int = ITEMS) -> list[dict[str, str]]:
    return [
        {"item_id": f"item-{i}", "text": f"this is number {i}", "colour": CLASSES[i % 3]}
        for i in range(count)
    ]


def good_labels(count: int = ITEMS) -> list[dict[str, str]]:
    return [
        {"item_id": f"item-{i}", "label": CLASSES[i % 3], "confidence": f"0.{5 + i % 5}"}
        for i in range(count)
    ]


@contextlib.contextmanager
def changed(path: Path, data: bytes) -> Iterator[None]:
    """Holds other bytes in a file, past everybody who looks after it, then the old ones again."""
    before = path.read_bytes()
    path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(before)


def of_version(store: folder.FolderStore, uri: str, version: int) -> bytes:
    """The manifest that an Actuary with another schema version would have written."""
    manifest, _ = artifacts.read_manifest(store, uri)
    elsewhere = dataclasses.replace(manifest, version=version)
    with tempfile.TemporaryDirectory() as scratch:
        other = folder.FolderStore(Path(scratch))
        artifacts.write_manifest(other, elsewhere)
        return other.get(artifacts.key_of(uri))

"""Whole campaigns in processes that are killed, and what they leave, to compare with an undisturbed one."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml

from actuary import client as clients
from actuary.state import database, purse
from actuary.storage import artifacts, folder, tables

T = TypeVar("T")
CHUNK = 16
WORKERS = 2
LIMIT_SECONDS = 900
"""A campaign takes half a minute; on a machine that runs other things as well, many times that."""
NULL = {
    "task": {"instruction": "Which colour?", "classes": [{"name": n} for n in ("red", "green", "blue")]},
    "data": {"uri": "sample:synthetic?items=200", "split_column": "split", "truth_column": "label"},
    "annotator": {
        "model": {
            "kind": "null",
            "prices": {"input_micros_per_1000_tokens": 150, "output_micros_per_1000_tokens": 600},
        }
    },
    "critic": {"strategy": "confidence"},
    "budget": {"human_share": 0.4, "human_label_micros": 50_000},
    "sampling": {"pilot_items": 20, "audit_items": 20},
    "review": {"mode": "replay"},
    "training": {"model": "none"},
    "execution": {"shards": 4, "workers": WORKERS, "chunk_items": CHUNK},
}
"""182 items to label, 72 human labels, in chunks so small that every shard has several."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Left:
    """What a campaign leaves that must not depend on who was killed when."""

    results: dict[str, Any]
    export: list[dict[str, Any]]
    plans: list[list[dict[str, Any]]]
    weights: list[list[dict[str, Any]]]
    balance: dict[str, tuple[int | None, int, int]]
    entries: list[tuple[str, str, tuple[tuple[str, int | None], ...]]]


class Place:
    """A data folder with one campaign, and the processes that drive it."""

    def __init__(self, root: Path, spec: dict[str, Any], *, name: str = "kill") -> None:
        self.root, self.name, self.data = root, name, root / "data"
        self.campaign = f"campaigns/{name}"
        self.kills = 0
        root.mkdir(parents=True, exist_ok=True)
        self.calls_file = root / "calls"
        self.calls_file.touch()
        spec = json.loads(json.dumps(spec))
        if spec["annotator"]["model"]["kind"] == "null":
            spec["annotator"]["model"]["options"] = {
                **spec["annotator"]["model"].get("options", {}),
                "call_log": str(self.calls_file),
            }
        self.spec_file = root / "campaign.yaml"
        self.spec_file.write_text(yaml.safe_dump(spec), encoding="utf-8")

    def environment(self, **more: str) -> dict[str, str]:
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith("ACTUARY_")},
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            "ACTUARY_LEASE_SECONDS": "1",
            "ACTUARY_CONTROLLER_SECONDS": "0.05",
            "ACTUARY_REVIEW_CONTROLLER_SECONDS": "1",
            "ACTUARY_CORES": str(WORKERS),
            **more,
        }

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "actuary.cli.main", *words, "--data", str(self.data)]

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*words),
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def insist(self, *words: str, **environment: str) -> str:
        """Gives the same command again as long as its process is killed, as a person would."""
        while True:
            process = self.start(*words, **environment)
            try:
                out, said = process.communicate(timeout=LIMIT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                out, said = process.communicate()
                raise AssertionError(f"{words} has not ended in {LIMIT_SECONDS} s:\n{out}\n{said}") from None
            if process.returncode != -signal.SIGKILL:
                assert process.returncode == 0, f"{words} ended with {process.returncode}:\n{out}\n{said}"
                return out
            self.kills += 1
            assert self.kills < 100, f"{words} is killed again and again:\n{said}"

    @contextlib.contextmanager
    def server(self, **environment: str) -> Iterator[tuple[subprocess.Popen[str], clients.Client]]:
        """`actuary up` on this folder, and a client of it; it may be killed at any time."""
        # who was killed could not take its address away
        (self.data / "server.json").unlink(missing_ok=True)
        words = ("up", "--address", "127.0.0.1:0", "--metrics-port", "0")
        process = subprocess.Popen(
            self.command(*words), env=self.environment(**environment), stdin=subprocess.DEVNULL
        )
        file = self.data / "server.json"
        try:
            wait_for(lambda: file.exists() or process.poll() is not None, "the server's address")
            address = json.loads(file.read_text())["address"] if file.exists() else "127.0.0.1:1"
            with clients.Client(address) as client:
                yield process, client
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(LIMIT_SECONDS)

    def run(self, **environment: str) -> dict[str, Any]:
        """`actuary run … --json` to its end."""
        words = ("run", str(self.spec_file), "--id", self.name, "--json")
        results: dict[str, Any] = json.loads(self.insist(*words, **environment))
        return results

    def calls(self) -> collections.Counter[str]:
        """How often the annotator's model was asked about each item."""
        return collections.Counter(self.calls_file.read_text(encoding="utf-8").split())

    def repeated(self) -> int:
        """Model calls that were made before."""
        return sum(self.calls().values()) - len(self.calls())

    def left(self, results: dict[str, Any]) -> Left:
        """Reads what there is now, past all services."""
        own = {key: value for key, value in results.items() if key not in ("seconds", "report", "export")}
        waves = sorted(
            int(path.name.rpartition("-w")[2]) for path in self._folder("plans").iterdir() if path.is_dir()
        )
        db = database.Database.open(f"sqlite:///{self.data}/actuary.db")
        try:
            purses = purse.Purse(db)
            balance = purses.balance(self.campaign)
            entries = purses.entries(self.campaign)
        finally:
            db.close()
        return Left(
            results=own,
            export=self.table(f"reportJobs/report-w{waves[-1]}/export"),
            plans=[self.table(f"plans/plan-w{wave}") for wave in waves],
            weights=[self.table(f"estimates/estimate-w{wave}") for wave in waves if wave > 0],
            balance={key: (each.limit, each.reserved, each.settled) for key, each in balance.items()},
            entries=sorted((e.kind, e.key, tuple(sorted(e.amounts.items()))) for e in entries),
        )

    def table(self, name: str) -> list[dict[str, Any]]:
        store = folder.FolderStore(self.data / "store")
        manifest, _ = artifacts.read_manifest(store, f"{self.campaign}/{name}")
        rows: list[dict[str, Any]] = tables.read_all(store, manifest).to_pylist()
        # NaN is no item's equal, not even its own
        return [{k: str(v) if v != v else v for k, v in row.items()} for row in rows]

    def _folder(self, name: str) -> Path:
        return self.data / "store" / self.campaign / name


def wait_for(condition: Callable[[], T | None], what: str, *, seconds: float = LIMIT_SECONDS) -> T:
    """Waits until `condition` returns something true, and returns it."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while not (found := condition()):
        assert time.monotonic() < end, f"{what}: not within {seconds} s; last: {found!r}"
        pause.wait(0.02)
    return found


def children(pid: int) -> list[int]:
    """The processes that a process has started and that live, by the kernel's word."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:  # a thread that has ended meanwhile
            continue
    return found


def check_sound(left: Left, *, items: int) -> None:
    """What holds of every campaign that ended: nothing lost, nothing settled twice, no account passed."""
    ids = [row["item_id"] for row in left.export]
    assert len(ids) == len(set(ids)) == items
    assert [row for row in left.export if row["label"] is None] == []
    keys = [(kind, key) for kind, key, _ in left.entries]
    assert len(keys) == len(set(keys))
    settled = collections.Counter[str]()
    for kind, _, amounts in left.entries:
        if kind == "settle":
            settled.update({account: amount or 0 for account, amount in amounts})
    for account, (limit, reserved, booked) in left.balance.items():
        assert reserved == 0, f"{account}: {reserved} still reserved"
        assert booked == settled[account]
        assert limit is None or booked <= limit
    answered = [row for row in left.export if row["source"] == "human"]
    assert len(answered) <= left.balance["human_labels"][2]

"""What a newcomer does: types `actuary` commands in a folder, in one or two terminals, and edits files.

Commands run as processes, as in a shell. Campaigns are small, and most are taken only as far
as their test looks.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

import actuary
from actuary.storage import artifacts, location, tables
from actuary.v1 import campaign_pb2

DEADLINE_SECONDS = 600
COMMAND = (sys.executable, "-m", "actuary.cli.main")
ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if not key.startswith("ACTUARY_")},
    "ACTUARY_CONTROLLER_SECONDS": "0.1",
    "PYTHONUTF8": "1",
    "COLUMNS": "120",
}
YES, NO = "ja ✓", "nein"


@dataclasses.dataclass(frozen=True, slots=True)
class Shell:
    """A working folder in which commands are typed."""

    folder: Path
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Further variables."""

    def __call__(self, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Runs `actuary …` to its end and checks its exit code."""
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            cwd=self.folder,
            env={**ENVIRONMENT, **self.environment},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        shown = f"actuary {' '.join(map(str, arguments))}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == code, f"expected exit code {code}, got {done.returncode}: {shown}"
        assert "Traceback" not in done.stderr, shown
        return done

    @contextlib.contextmanager
    def start(self, *arguments: object) -> Iterator[subprocess.Popen[str]]:
        """Runs `actuary …` beside the test, as in another terminal; interrupts it at the end."""
        log = self.folder / f"{arguments[0]}.log"
        with log.open("w") as stream:
            process = subprocess.Popen(
                [*COMMAND, *map(str, arguments)],
                cwd=self.folder,
                env={**ENVIRONMENT, **self.environment},
                stdout=stream,
                stderr=subprocess.STDOUT,
                text=True,
                # a test run in the background ignores SIGINT, and what it starts would inherit that
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)
                    process.wait(DEADLINE_SECONDS)

    def log(self, command: str) -> str:
        """What a started command has printed so far."""
        return (self.folder / f"{command}.log").read_text(encoding="utf-8")


def wait_for(look: Callable[[], Any], what: str, seconds: float = DEADLINE_SECONDS) -> Any:
    """Looks until there is something, and returns it; fails with the last look."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        try:
            found = look()
        except OSError as error:
            found, last = None, error
        else:
            last = found
        if found:
            return found
        assert time.monotonic() < end, f"waited {seconds} s for {what}; last: {last!r}"
        pause.wait(0.2)


@dataclasses.dataclass(frozen=True, slots=True)
class Served:
    """A data folder that a process serves."""

    shell: Shell
    data: Path
    client: actuary.Client

    def cli(self, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Runs a command on this data folder."""
        return self.shell(*arguments, "--data", self.data, code=code)

    def until(self, campaign: str, *states: str) -> campaign_pb2.Campaign:
        """Waits until a campaign is in one of some states; a failed one ends the wait."""
        wanted = {campaign_pb2.Campaign.State.Value(state) for state in states}
        ends = wanted | {campaign_pb2.Campaign.FAILED, campaign_pb2.Campaign.CANCELLED}

        def look() -> campaign_pb2.Campaign | None:
            found = self.client.get(campaign)
            return found if found.state in ends else None

        found = wait_for(look, f"{campaign} to be {states}")
        assert found.state in wanted, f"{campaign} is {found.state}: {found.error.message}"
        return found

    def artifact(self, campaign: str, uri: str) -> pa.Table:
        """Reads what a Job of a campaign wrote."""
        store = location.open_store(str(self.data / "store"))
        return tables.read_all(store, artifacts.read_manifest(store, f"campaigns/{campaign}/{uri}")[0])


def address_of(data: Path) -> str:
    """The address that a serving process left in its data folder."""
    return wait_for(lambda: json.loads((data / "server.json").read_text())["address"], f"a server of {data}")


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """An item with its truth and what a model said."""

    item_id: str
    text: str
    gold: str
    label: str
    confidence: float


def items(count: int) -> list[Item]:
    """Items with ids that look like numbers, or are in another script; one label in six is wrong."""
    found = []
    for k in range(count):
        item_id = f"{k:03d}" if k % 3 else f"Stück {k} 号"
        gold = YES if k % 2 else NO
        wrong = k % 6 == 1
        label = {YES: NO, NO: YES}[gold] if wrong else gold
        text = f"Ein {'gutes' if gold == YES else 'schlechtes'} Ding, „{k}“, with a comma"
        found.append(Item(item_id, text, gold, label, 0.6 + 0.001 * k if wrong else 0.99 - 0.001 * k))
    return found


def campaign(**changes: Mapping[str, Any]) -> dict[str, Any]:
    """What a campaign.yaml holds: labels at hand, people, 40 labels; `changes` are merged a section."""
    form: dict[str, Any] = {
        "task": {"instruction": "Gut oder schlecht?", "classes": [{"name": YES}, {"name": NO}]},
        "data": {"uri": "items.csv"},
        "annotator": {
            "model": {"kind": "table", "uri": "labels.csv", "prices": {"input_micros_per_1000_tokens": 0}}
        },
        "budget": {"human_labels": 40, "human_label_micros": 80_000},
        "sampling": {"pilot_items": 30, "audit_items": 5},
        "training": {"model": "none"},
    }
    for section, content in changes.items():
        form[section] = {**form.get(section, {}), **content} if isinstance(content, Mapping) else content
    return form


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Writes a CSV file as a spreadsheet would."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(rows)


def make(folder: Path, form: Mapping[str, Any], content: Sequence[Item]) -> Path:
    """Makes a campaign's folder with campaign.yaml, items.csv and labels.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(dict(form), allow_unicode=True, sort_keys=False)
    (folder / "campaign.yaml").write_text(text, encoding="utf-8")
    write_csv(
        folder / "items.csv", ["item_id", "text", "gold"], [(i.item_id, i.text, i.gold) for i in content]
    )
    rows = [(i.item_id, i.label, i.confidence) for i in content]
    write_csv(folder / "labels.csv", ["item_id", "label", "confidence"], rows)
    return folder

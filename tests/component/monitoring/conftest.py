"""One run for all dashboards: a server, two campaigns and a Prometheus that watched them from the beginning."""

from __future__ import annotations

import csv
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import actuary
from actuary.campaign import samples
from component.flows import newcomer
from component.monitoring import prometheus


def pytest_addoption(parser):
    parser.addoption("--preview", help="Folder into which every dashboard is drawn as PNG.")


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            # they share a server
            item.add_marker(pytest.mark.xdist_group("monitoring"))


@dataclasses.dataclass(frozen=True, slots=True)
class Watched:
    """What Prometheus knows of the run."""

    server: prometheus.Prometheus
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it was watched."""
        return self.end - self.start


@pytest.fixture(scope="session")
def watched(tmp_path_factory) -> Iterator[Watched]:
    """A campaign that has ended, with replayed reviewers, and one whose review is open, with doubles."""
    folder = tmp_path_factory.mktemp("watched")
    shell, data, port = newcomer.Shell(folder), folder / "data", prometheus.free_port()
    with (
        shell.start("up", "--data", data, "--address", "127.0.0.1:0", "--metrics-port", port),
        actuary.Client(newcomer.address_of(data)) as client,
        prometheus.scraping(folder / "prometheus", [port]) as server,
    ):
        served, start = newcomer.Served(shell, data, client), time.time()
        _replayed(served)
        _half_reviewed(served)
        for expression, what in (
            # people's answers are counted when they are flushed, and a rate needs scrapes before and after that
            ("sum(actuary_doubles_total) > 0 and sum(actuary_queue_tasks) > 0", "doubles and an open queue"),
            ("sum(increase(actuary_answers_total[10s])) == 0", "the rates of the last answers to be over"),
        ):
            newcomer.wait_for(lambda expression=expression: server.values(expression), what, seconds=120)
        yield Watched(server, start, time.time())


def _replayed(served: newcomer.Served) -> None:
    """Digits: machines that cost something, a critic, reviewers who err now and then."""
    form = samples.campaign("digits")
    form["training"] = {"model": "none"}
    form["review"] |= {"double_share": 0.2}
    form["budget"] |= {"money_micros": 50_000_000}
    served.client.create(form, campaign_id="digits")
    served.until("digits", "SUCCEEDED")


def _half_reviewed(served: newcomer.Served) -> None:
    """Two people have answered a part of the pilot, and once not alike."""
    content = newcomer.items(60)
    gold = {item.item_id: item.gold for item in content}
    other = {newcomer.YES: newcomer.NO, newcomer.NO: newcomer.YES}
    form = newcomer.campaign(
        review={"double_share": 0.5},
        budget={"money_micros": 40_000_000},
        sampling={"pilot_items": 24, "audit_items": 5},
    )
    served.client.create(newcomer.make(served.shell.folder / "people", form, content))
    served.until("people", "WAITING_FOR_PEOPLE")
    for person, limit in (("ada", 16), ("bob", 8)):
        file = served.shell.folder / f"{person}.csv"
        served.cli("review", "export", "people", file, "--as", person, "--limit", limit)
        with file.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        for k, row in enumerate(rows):
            label = gold[row["item_id"]]
            row["label"] = other[label] if person == "bob" and k == 0 else label
        newcomer.write_csv(file, list(rows[0]), [list(row.values()) for row in rows])
        served.cli("review", "import", "people", file, "--as", person)

"""One run for all dashboards: a server, two campaigns, and a Prometheus that watched from the beginning."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import actuary
from actuary.campaign import samples
from actuary.v1 import review_service_pb2 as pb
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
            # answers are counted when they are flushed, and a rate needs scrapes before and after that
            ("sum(actuary_human_seconds_total) > 0", "people's answers to be counted"),
            ('actuary_campaigns{state="WAITING_FOR_PEOPLE"} > 0', "the campaign that waits to be shown"),
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
    """Two people have answered a part of the pilot, once not alike, and hold two tasks more."""
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
    batch = served.client.reviews.ListReviewBatches(
        pb.ListReviewBatchesRequest(parent="campaigns/people", page_size=1)
    ).review_batches[0]
    for person, count in (("ada", 16), ("bob", 8)):
        tasks = served.client.reviews.AcquireTasks(
            pb.AcquireTasksRequest(name=batch.name, reviewer=person, max_tasks=count + 2)
        ).tasks
        answers = [
            pb.Answer(task=task.name, label=gold[task.item_id], seconds=5.0 + k)
            for k, task in enumerate(tasks[:count])
        ]
        if person == "bob":
            answers[0].label = other[answers[0].label]
            answers[-1].label, answers[-1].cannot_tell = "", True
        request = pb.SubmitAnswersRequest(name=batch.name, reviewer=person, answers=answers)
        results = served.client.reviews.SubmitAnswers(request).results
        assert [result.reason for result in results] == [""] * len(answers)

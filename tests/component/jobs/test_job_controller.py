"""The controller of Jobs on a real database, store and runner."""

from __future__ import annotations

import dataclasses
import datetime
import sys
import threading

import pytest

from actuary import errors, metrics
from actuary.jobs import controller, local, protocol
from actuary.jobs import settings as job_settings
from actuary.state import database, figures, jobs

DEADLINE_SECONDS = 120


NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture
def db(bench):
    opened = database.Database.open(f"sqlite:///{bench.root}/actuary.db")
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def table(db):
    return jobs.Jobs(db)


@pytest.fixture
def runner(bench):
    made = local.LocalRunner(
        job_settings.JobsSettings(cores=2, log_folder=bench.root / "logs", grace_seconds=0.2),
        command=[sys.executable, str(bench.program)],
    )
    yield made
    made.close()


@pytest.fixture
def make(bench, table, runner):
    """Makes controllers of annotation Jobs."""

    def one(planner=lambda record: bench.spec(), *, runs=runner, clock=lambda: NOW):
        return controller.Controller(
            jobs=table,
            store=bench.store,
            runner=runs,
            planners={"annotation": planner},
            clock=clock,
            code_version="test",
        )

    return one


@pytest.fixture
def row(bench, table):
    spec = bench.spec()
    fields = {"name": spec.name, "kind": spec.kind, "campaign": spec.campaign, "artifact": spec.artifact}
    return table.create(jobs.JobRecord(**fields, spec={}, spec_digest=""))


class Recorded:
    """A runner that starts nothing and writes down what it is asked."""

    def __init__(self) -> None:
        self.launched: list[int] = []

    def launch(self, spec, uri):
        self.launched.append(spec.launch)

    def status(self, name):
        return None

    def cancel(self, name):
        pass

    def retain(self, names, kinds):
        pass


class Refusing(Recorded):
    """A runner whose cluster refuses every Job."""

    def __init__(self, error: errors.ActuaryError) -> None:
        super().__init__()
        self.error = error

    def launch(self, spec, uri):
        raise self.error


class Lingering(Recorded):
    """A runner whose processes have written their artifact and not ended yet."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: set[str] = set()

    def status(self, name):
        return protocol.RunStatus(state="running", indexes_succeeded=0, indexes_running=1)

    def retain(self, names, kinds):
        self.kept = set(names)


def counted(db, figure, **labels):
    return figures.Figures(db).read([figure.name]).get(figure.key(**labels), 0.0)


def until_ended(table, name, steps):
    pause = threading.Event()
    for _ in range(DEADLINE_SECONDS * 20):
        steps.step()
        record = table.get(name)
        if record.state in jobs.FINAL:
            return record
        pause.wait(0.05)
    raise AssertionError(f"not ended: {record}")


def test_a_job_is_launched_once_and_ends_with_what_its_manifest_says(table, row, make, undisturbed, db):
    steps = make()
    record = until_ended(table, row.name, steps)
    assert record.state == "SUCCEEDED"
    assert record.progress["launches"] == 1
    assert record.progress["outcome_counts"] == {"LABELLED": len(undisturbed)}
    assert record.cost_micros == sum(each["cost_micros"] for each in undisturbed)
    assert counted(db, metrics.ITEMS, stage="annotate", outcome="LABELLED") == len(undisturbed)
    assert counted(db, metrics.JOBS_ENDED, stage="annotate", state="SUCCEEDED") == 1
    shown = steps.figures(figures.Figures(db))
    assert shown[metrics.ITEMS.key(stage="annotate", outcome="LABELLED")] == len(undisturbed)
    assert shown[metrics.ITEMS.key(stage="annotate", outcome="FAILED")] == 0


def test_processes_that_have_written_the_artifact_may_end_by_themselves_for_a_while(table, row, make):
    until_ended(table, row.name, make())
    again = table.create(dataclasses.replace(row, name=f"{row.name}-2", state="RUNNING"))
    now = [NOW]
    runs = Lingering()
    steps = make(runs=runs, clock=lambda: now[0])
    steps.step()
    assert table.get(again.name).state == "SUCCEEDED"
    steps.step()
    assert runs.kept == {again.name}
    now[0] += datetime.timedelta(seconds=61)
    steps.step()
    assert runs.kept == set()


def test_a_job_that_the_cluster_refuses_fails_with_what_it_said(table, row, make):
    said = "cannot create the Job c-a1: requests must be less than or equal to memory limit of 40Mi"
    after = make(runs=Refusing(errors.PreconditionError(said, reason="KUBERNETES_REFUSED"))).step_one(row)
    assert (after.state, after.error["reason"], after.error["message"]) == (
        "FAILED", "KUBERNETES_REFUSED", said,
    )  # fmt: skip
    assert table.get(row.name).state == "FAILED"


def test_a_job_that_cannot_be_launched_now_is_launched_later(table, row, make):
    with pytest.raises(errors.UnavailableError):
        make(runs=Refusing(errors.UnavailableError("no answer"))).step_one(row)
    assert table.get(row.name).state == "RUNNING"
    again = Recorded()
    make(runs=again).step()
    assert again.launched == [2]


def test_of_two_controllers_that_read_the_same_row_one_launches(table, row, make):
    """As when one was stopped between reading and launching, and another took over meanwhile."""
    first, second = Recorded(), Recorded()
    make(runs=first).step_one(row)
    with pytest.raises(errors.ConflictError):
        make(runs=second).step_one(row)
    assert (first.launched, second.launched) == ([1], [])
    # a controller whose runner knows nothing of the Job launches it again, under another number
    make(runs=second).step_one(table.get(row.name))
    assert second.launched == [2]


def test_what_was_seen_done_stays_done_when_a_new_process_has_yet_to_find_it(table, row, make, db):
    steps = make(runs=Lingering())
    steps.step_one(table.get(row.name))
    known = {"outcome_counts": {"LABELLED": 30, "FAILED": 1}, "input_token_count": 90}
    for attempt, progress in enumerate([known, {}, {"outcome_counts": {"LABELLED": 35}}]):
        table.report(row.name, 0, attempt, progress, 0)
        steps.step_one(table.get(row.name))
    record = table.get(row.name)
    assert record.progress["outcome_counts"] == {"LABELLED": 35, "FAILED": 1}
    assert record.progress["done_count"] == 36
    assert counted(db, metrics.ITEMS, stage="annotate", outcome="LABELLED") == 35
    assert counted(db, metrics.TOKENS, stage="annotate", direction="in") == 90


def test_items_are_counted_once_however_often_the_end_is_tried(table, row, make, runner, bench, db):
    """The store goes away when the manifest is to be written, and comes back."""
    tries = []

    def planner(record):
        status = runner.status(record.name)
        if status is not None and status.state == "succeeded" and len(tries) < 5:
            tries.append(1)
            raise errors.UnavailableError("the store does not answer")
        return bench.spec()

    record = until_ended(table, row.name, make(planner))
    assert (record.state, len(tries)) == ("SUCCEEDED", 5)
    assert counted(db, metrics.ITEMS, stage="annotate", outcome="LABELLED") == record.progress["item_count"]


def test_a_fault_in_one_job_does_not_stop_the_others(table, row, make, bench):
    other = table.create(
        jobs.JobRecord(
            name="campaigns/c/annotationJobs/b",
            kind="annotation",
            campaign="campaigns/c",
            artifact="campaigns/c/b",
            spec={},
            spec_digest="",
        )
    )

    def planner(record):
        if record.name == row.name:
            raise ZeroDivisionError
        return bench.spec("b")

    assert until_ended(table, other.name, make(planner)).state == "SUCCEEDED"
    assert table.get(row.name).state == "PENDING"


def test_a_cancelled_job_ends_when_its_processes_have_and_says_what_they_cost(table, make, bench, fifo):
    spec = bench.spec(kind="wait", indexes=1, fifo=str(fifo))
    fields = {"name": spec.name, "kind": "annotation", "campaign": spec.campaign, "artifact": spec.artifact}
    record = table.create(jobs.JobRecord(**fields, spec={}, spec_digest=""))
    steps = make(lambda _: spec)
    steps.step()
    fifo.read_text()
    table.report(spec.name, 0, protocol.ATTEMPTS_A_LAUNCH, {"cost_micros": 7, "seconds": 1.0}, 0)
    record = table.get(spec.name)
    table.update(jobs.dataclasses.replace(record, cancel_requested=True), record.version)
    ended = until_ended(table, spec.name, steps)
    assert (ended.state, ended.cost_micros) == ("CANCELLED", 7)


def test_who_stands_down_stops_what_runs_here_and_starts_it_again_later(table, make, runner, bench, fifo):
    spec = bench.spec(kind="train", indexes=1, fifo=str(fifo))
    fields = {"name": spec.name, "kind": "train", "campaign": spec.campaign, "artifact": spec.artifact}
    table.create(jobs.JobRecord(**fields, spec={}, spec_digest=""))
    steps = controller.Controller(
        jobs=table,
        store=bench.store,
        runner=runner,
        planners={"train": lambda _: spec},
        clock=lambda: NOW,
        code_version="test",
    )
    steps.step()
    fifo.read_text()
    steps.stand_down()
    while runner.status(spec.name) is not None:
        pass
    assert table.get(spec.name).state == "RUNNING"
    steps.step()
    fifo.read_text()
    assert table.get(spec.name).progress["launches"] == 2

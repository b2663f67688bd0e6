"""The local runner with real processes."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys

import pytest

from actuary.jobs import local, protocol
from actuary.jobs import settings as job_settings

WAIT_SECONDS = 300


@pytest.fixture
def make(bench):
    """Makes runners with two cores and no patience, and closes them."""
    runners = []

    def one(**changes) -> local.LocalRunner:
        settings = {"cores": 2, "log_folder": bench.root / "logs", "restart_seconds": 0, "grace_seconds": 0.2}
        command = changes.pop("command", [sys.executable, str(bench.program)])
        runner = local.LocalRunner(job_settings.JobsSettings(**{**settings, **changes}), command=command)
        runners.append(runner)
        return runner

    yield one
    for runner in runners:
        runner.close()


def launch(bench, runner: local.LocalRunner, spec: protocol.JobSpec) -> None:
    runner.launch(spec, protocol.write(bench.store, spec))


def wait(bench, runner: local.LocalRunner, spec: protocol.JobSpec) -> protocol.RunStatus:
    launch(bench, runner, spec)
    return runner.wait(spec.name, WAIT_SECONDS)


def test_a_job_runs_to_its_end(bench, make, undisturbed):
    spec = bench.spec()
    status = wait(bench, make(), spec)
    assert status == protocol.RunStatus(state="succeeded", indexes_succeeded=2, indexes_running=0)
    assert bench.table(spec) == undisturbed


def test_an_unknown_job_has_no_status(make):
    assert make().status("campaigns/c/annotationJobs/nothing") is None


def test_launching_twice_starts_once(bench, make):
    runner, spec = make(), bench.spec()
    launch(bench, runner, spec)
    assert wait(bench, runner, spec).restarts == 0
    launch(bench, runner, spec)
    assert runner.status(spec.name).state == "succeeded"


def test_a_poison_item_costs_its_worker_four_restarts_and_no_shard(bench, make):
    spec = bench.spec(options={"kill_item": bench.ids[0]})
    status = wait(bench, make(), spec)
    assert (status.state, status.restarts) == ("succeeded", 4)
    assert bench.finish(spec).counts == {"FAILED": 1, "LABELLED": 59}


def test_several_poison_items_of_one_shard_cost_themselves_and_no_shard(bench, make):
    poison = bench.ids[0:12:3]  # all in the first shard
    spec = bench.spec(indexes=1, options={"kill_item": ",".join(poison)})
    status = wait(bench, make(), spec)
    assert status.state == "succeeded"
    assert status.restarts > spec.backoff_limit_per_index
    rows = bench.table(spec)
    assert sorted(row["item_id"] for row in rows if row["outcome"] == "FAILED") == sorted(poison)


def test_a_job_that_nobody_asks_about_is_stopped_and_forgotten_with_its_logs(bench, make, fifo):
    runner = make()
    spec = bench.spec(kind="wait", indexes=1, fifo=str(fifo))
    other = bench.spec("a2", kind="file", indexes=1)
    launch(bench, runner, spec)
    pid = int(fifo.read_text())
    assert wait(bench, runner, other).state == "succeeded"
    runner.retain({other.name}, {"wait"})
    while (status := runner.status(spec.name)) is not None:
        assert status.state == "running"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert runner.status(other.name).state == "succeeded"
    assert list((bench.root / "logs").rglob("index-*.log")) == [
        path for path in (bench.root / "logs").rglob("index-*.log") if "a2" in str(path)
    ]
    launch(bench, runner, spec)
    assert int(fifo.read_text()) != pid


def test_a_drained_process_is_started_again_and_not_counted(bench, make):
    spec = dataclasses.replace(bench.spec(drain_call=1), backoff_limit_per_index=0)
    status = wait(bench, make(), spec)
    assert (status.state, status.restarts, status.failed) == ("succeeded", 2, ())


def test_a_process_that_crashes_too_often_fails_with_its_last_lines(bench, make):
    spec = dataclasses.replace(bench.spec(kind="crash", indexes=1), backoff_limit_per_index=2)
    status = wait(bench, make(), spec)
    (failure,) = status.failed
    assert (status.state, status.restarts) == ("failed", 2)
    assert failure.reason == "ended with exit code 1, after 2 restarts"
    assert "RuntimeError: the worker broke" in failure.log_tail


def test_a_process_that_crashes_within_its_limit_succeeds(bench, make):
    spec = dataclasses.replace(bench.spec(kind="crash", indexes=1, crashes=2), backoff_limit_per_index=2)
    assert wait(bench, make(), spec).state == "succeeded"


def test_a_killed_process_is_explained_by_the_name_of_its_signal(bench, make):
    spec = bench.spec(kind="crash", indexes=1, signal=signal.SIGKILL)
    (failure,) = wait(bench, make(), dataclasses.replace(spec, backoff_limit_per_index=0)).failed
    assert "SIGKILL (out of memory, perhaps" in failure.reason
    assert "about to crash" in failure.log_tail


def test_a_permanent_failure_is_not_retried_and_keeps_its_error(bench, make):
    spec = bench.spec(kind="refuse", indexes=1)
    status = wait(bench, make(), spec)
    (failure,) = status.failed
    assert (status.restarts, failure.exit_code) == (0, protocol.EXIT_PERMANENT)
    assert failure.error["reason"] == "NOTHING"
    assert failure.reason == "there is nothing to do: give it items"


def test_an_unknown_kind_is_a_permanent_failure(bench, make):
    (failure,) = wait(bench, make(), bench.spec(kind="dance", indexes=1)).failed
    assert failure.error["code"] == "FAILED_PRECONDITION"


def test_a_missing_parent_is_a_permanent_failure_that_names_it(bench, make):
    spec = bench.spec(indexes=1, items="campaigns/c/nothing")
    (failure,) = wait(bench, make(), spec).failed
    assert "campaigns/c/nothing" in failure.reason


def test_no_more_processes_run_than_there_are_cores(bench, make, fifo):
    runner = make(cores=1)
    first = bench.spec("a1", kind="wait", fifo=str(fifo))
    second = bench.spec("a2", kind="wait", indexes=1, fifo=str(fifo))
    launch(bench, runner, first)
    launch(bench, runner, second)
    fifo.read_text()
    assert [runner.status(spec.name).indexes_running for spec in (first, second)] == [1, 0]
    runner.cancel(first.name)
    fifo.read_text()
    assert [runner.status(spec.name).indexes_running for spec in (first, second)] == [0, 1]


def test_a_cancelled_job_ends_and_says_so(bench, make, fifo):
    runner, spec = make(), bench.spec(kind="wait", indexes=1, fifo=str(fifo))
    launch(bench, runner, spec)
    fifo.read_text()
    runner.cancel(spec.name)
    runner.cancel(spec.name)
    status = runner.wait(spec.name, WAIT_SECONDS)
    assert (status.state, status.failed[0].reason) == ("failed", "cancelled")


def test_a_process_that_does_not_listen_is_killed_after_the_grace(bench, make, fifo):
    runner, spec = make(), bench.spec(kind="deaf", indexes=1, fifo=str(fifo))
    launch(bench, runner, spec)
    pid = int(fifo.read_text())
    runner.cancel(spec.name)
    assert runner.wait(spec.name, WAIT_SECONDS).state == "failed"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_job_that_passes_its_deadline_fails_with_it(bench, make, fifo):
    spec = bench.spec(kind="deaf", indexes=1, fifo=str(fifo))
    (failure,) = wait(bench, make(), dataclasses.replace(spec, deadline_seconds=0.01)).failed
    assert failure.reason == "not done within 0.01 s, its deadline"


def test_closing_ends_every_process(bench, make, fifo):
    runner, spec = make(), bench.spec(kind="deaf", indexes=1, fifo=str(fifo))
    launch(bench, runner, spec)
    pid = int(fifo.read_text())
    runner.close()
    assert runner.status(spec.name).state == "failed"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_program_that_is_not_there_is_a_failure_with_a_reason(bench, make):
    spec = bench.spec(indexes=1)
    (failure,) = wait(bench, make(command=[str(bench.root / "nothing")]), spec).failed
    assert "cannot start a worker process" in failure.reason


def test_a_log_never_grows_beyond_its_bound(bench, make):
    path = bench.root / "log"
    log = local.Log(path, 1000)
    reading, writing = os.pipe()
    os.write(writing, b"x" * 5000 + b"\nthe end")
    os.close(writing)
    log.pump(os.fdopen(reading, "rb"))
    assert path.stat().st_size <= 1000
    assert log.tail().endswith("the end")

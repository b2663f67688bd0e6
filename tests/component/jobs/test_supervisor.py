"""The worker of a pod and its supervisor, as real processes; the pod itself is not needed for that."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from actuary.jobs import protocol, supervisor


@pytest.fixture
def pod(bench):
    """Starts a pod's process as its container does."""
    started = []

    def start(spec, index=0, **environment):
        process = subprocess.Popen(
            [sys.executable, str(bench.program), protocol.write(bench.store, spec), "--in-pod"],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "JOB_COMPLETION_INDEX": str(index),
                "ACTUARY_JOBS_RESTART_SECONDS": "0",
                **environment,
            },
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


def last_words(process):
    return json.loads(process.communicate()[1].splitlines()[-1])


def test_a_pod_does_its_index(bench, pod, undisturbed):
    spec = bench.spec()
    for index in range(2):
        process = pod(spec, index)
        assert (process.wait(), process.communicate()[1]) == (protocol.EXIT_DONE, "")
    assert bench.table(spec) == undisturbed


def test_an_item_that_kills_its_worker_costs_no_pod(bench, pod):
    spec = bench.spec(indexes=1, options={"kill_item": ",".join(bench.ids[0:12:3])})
    assert pod(spec).wait() == protocol.EXIT_DONE
    failed = [row["item_id"] for row in bench.table(spec) if row["outcome"] == "FAILED"]
    assert failed == sorted(bench.ids[0:12:3])


def test_a_worker_that_dies_of_nothing_known_ends_the_pod_with_the_reason(bench, pod):
    spec = bench.spec(kind="crash", indexes=1, signal=signal.SIGKILL)
    process = pod(spec)
    error = last_words(process)
    assert process.returncode == 1
    assert error["reason"] == "WORKER_CRASHED"
    assert error["message"].startswith("index 0: the worker was killed by SIGKILL (out of memory, perhaps")
    assert error["message"].endswith(f"after {spec.backoff_limit_per_index} restarts")


def test_a_worker_that_crashes_within_its_limit_is_done(bench, pod):
    assert pod(bench.spec(kind="crash", indexes=1, crashes=2)).wait() == protocol.EXIT_DONE


def test_a_worker_that_would_fail_again_ends_the_pod_at_once(bench, pod):
    process = pod(bench.spec(kind="refuse", indexes=1))
    error = last_words(process)
    assert (process.returncode, error["reason"]) == (protocol.EXIT_PERMANENT, "NOTHING")


def test_a_pod_that_is_told_to_stop_tells_its_worker(bench, pod, fifo):
    process = pod(bench.spec(kind="wait", indexes=1, fifo=str(fifo)))
    assert int(fifo.read_text()) != process.pid  # the worker is a child, at work
    process.send_signal(signal.SIGTERM)
    assert process.wait() == protocol.EXIT_DRAINED


def test_the_next_pod_of_an_index_goes_on_as_a_later_attempt(bench, pod, undisturbed):
    spec = bench.spec(indexes=1, drain_call=2)
    assert pod(spec).wait() == protocol.EXIT_DRAINED
    calls = bench.calls_made
    assert calls > 0
    # the program drains at attempt 0 only
    assert pod(spec, ACTUARY_POD_DISRUPTIONS="1").wait() == protocol.EXIT_DONE
    assert [row["item_id"] for row in bench.table(spec)] == [row["item_id"] for row in undisturbed]
    assert bench.calls_made == len(bench.ids)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 1\n", 2),  # cgroup v2: memory.events
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 4\n", 4),  # v1: memory.oom_control
        ("oom_kill_disable 0\nunder_oom 0\n", 0),  # an old kernel
    ],
)
def test_whom_the_kernel_killed_for_memory_is_read_from_its_counters(tmp_path, text, count):
    (tmp_path / "counter").write_text(text)
    paths = (tmp_path / "missing", tmp_path / "counter")
    assert supervisor.killed_for_memory(paths) == count

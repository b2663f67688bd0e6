"""Workers that die, at every place where it matters."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess

import pytest

from actuary import failpoints
from actuary.storage import artifacts

CHUNK = 8
WRITES = ("worker.suspects", "worker.chunk", "table.annotations", "worker.receipt", "worker.cleanup")
PLACES = [f"{write}.{side}" for write in WRITES for side in ("before", "after")]


def test_every_worker_failpoint_is_visited_here():
    visited = {*PLACES, "worker.file.before", "worker.file.after"}
    assert visited >= {name for name in failpoints.NAMES if name.startswith("worker.")}


@pytest.mark.parametrize("place", PLACES)
def test_a_worker_that_dies_at_a_write_loses_no_item_and_repeats_at_most_a_chunk(bench, undisturbed, place):
    spec = bench.spec()
    assert bench.run(spec, 0, 0, ACTUARY_FAILPOINT=place) == -signal.SIGKILL
    assert [bench.run(spec, 0, 1), bench.run(spec, 1, 0)] == [0, 0]
    assert bench.table(spec) == undisturbed
    assert len(undisturbed) <= bench.calls_made <= len(undisturbed) + CHUNK


@pytest.mark.parametrize(
    "place", ["worker.file.before", "worker.file.after", "manifest.before", "manifest.after"]
)
def test_a_file_that_was_half_made_is_made_again(bench, place):
    spec = dataclasses.replace(bench.spec(kind="file", indexes=1), parents=())
    assert bench.run(spec, 0, 0, ACTUARY_FAILPOINT=place) == -signal.SIGKILL
    assert bench.run(spec, 0, 1) == 0
    manifest, _ = artifacts.read_manifest(bench.store, spec.artifact)
    assert manifest.parameters == {"results": {"x": 1}}
    assert [ref.key for ref in manifest.objects] == [f"{spec.artifact}/model.bin"]


def test_nothing_in_progress_is_left_but_receipts(bench):
    spec = bench.spec()
    assert [bench.run(spec, index) for index in range(2)] == [0, 0]
    kinds = {info.key.split("/")[4] for info in bench.store.list(f"{spec.artifact}/.work/")}
    assert kinds == {"receipts", "suspects"}


def test_an_item_that_kills_its_worker_twice_fails_alone(bench, undisturbed):
    poison = bench.ids[0]
    spec = bench.spec(options={"kill_item": poison})
    codes = [bench.run(spec, 0, attempt) for attempt in range(5)]
    assert codes == [-signal.SIGKILL] * 4 + [0]
    assert bench.run(spec, 1) == 0
    rows = bench.table(spec)
    failed = [row for row in rows if row["outcome"] == "FAILED"]
    assert [(row["item_id"], row["reason"]) for row in failed] == [(poison, "killed its worker twice")]
    assert [row for row in rows if row["item_id"] != poison] == [
        row for row in undisturbed if row["item_id"] != poison
    ]


def test_a_worker_that_is_killed_while_it_drains_leaves_no_suspicion(bench):
    spec = bench.spec(drain_call=1, options={"kill_item": "none"})
    assert bench.run(spec, 0, 0) == 75
    record = json.loads(bench.store.get(f"{spec.artifact}/.work/suspects/index-00000.json"))
    assert (record["open"], record["cases"]) == ([], [])


def test_a_worker_that_was_told_to_stop_keeps_what_it_finished_and_goes_on_later(bench, undisturbed):
    spec = bench.spec(drain_call=2)
    assert bench.run(spec, 0, 0) == 75
    assert bench.calls_made == 2 * CHUNK
    assert [bench.run(spec, 0, 1), bench.run(spec, 1, 1)] == [0, 0]
    assert bench.table(spec) == undisturbed
    assert bench.calls_made == len(undisturbed)


def test_a_worker_dies_with_its_parent(bench, fifo):
    process = bench.start(bench.spec(kind="deaf", indexes=1, fifo=str(fifo)))
    assert int(fifo.read_text()) == process.pid
    process.stdin.close()
    assert bench.end(process) == 75


def test_a_worker_whose_input_is_no_pipe_has_no_parent_to_watch(bench):
    spec = bench.spec(indexes=1)
    assert bench.end(bench.start(spec, stdin=subprocess.DEVNULL)) == 0


def test_two_attempts_of_an_index_at_once_do_no_harm(bench, undisturbed):
    spec = bench.spec()
    processes = [bench.start(spec, 0, attempt) for attempt in (0, 1, 2)]
    assert [bench.end(process) for process in processes] == [0, 0, 0]
    assert bench.run(spec, 1) == 0
    assert bench.table(spec) == undisturbed


def test_a_job_whose_artifact_exists_does_nothing(bench):
    spec = bench.spec(indexes=1)
    assert bench.run(spec) == 0
    bench.finish(spec)
    before = bench.calls_made
    assert bench.run(spec, 0, 1) == 0
    assert bench.calls_made == before


def test_failed_items_are_rows_with_a_reason(bench):
    spec = bench.spec(indexes=1, options={"failure_rate": "0.3"})
    assert bench.run(spec) == 0
    manifest = bench.finish(spec)
    rows = bench.table(spec)
    failed = [row for row in rows if row["outcome"] == "FAILED"]
    assert 0 < len(failed) < len(rows) == 60
    assert all(row["reason"] and row["label"] is None and row["cost_micros"] == 0 for row in failed)
    assert manifest.counts == {"FAILED": len(failed), "LABELLED": len(rows) - len(failed)}


def test_chunks_that_wait_for_a_server_are_under_way_together_and_come_to_the_same(bench, undisturbed):
    spec = bench.spec(options={"latency_ms": "20"})
    assert [bench.run(spec, index) for index in range(2)] == [0, 0]
    assert bench.table(spec) == undisturbed


def test_of_many_chunks_under_way_only_the_item_that_kills_is_blamed(bench, undisturbed):
    poison = bench.ids[30]
    spec = bench.spec(indexes=1, options={"latency_ms": "20", "kill_item": poison})
    codes = [bench.run(spec, 0, attempt) for attempt in range(5)]
    assert codes == [-signal.SIGKILL] * 4 + [0]
    rows = bench.table(spec)
    assert [row["item_id"] for row in rows if row["outcome"] == "FAILED"] == [poison]
    assert [row for row in rows if row["item_id"] != poison] == [
        row for row in undisturbed if row["item_id"] != poison
    ]

"""Allowances: a chunk starts only when its worst case is paid for, and nothing is lost when it is not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from actuary.jobs import prices, protocol
from actuary.state import database, jobs

CHUNK = 8


def reports(bench) -> list[dict]:
    return [json.loads(line) for line in (bench.root / "reports").read_text().splitlines()]


def cost(rows: list[dict]) -> int:
    return sum(row["cost_micros"] for row in rows)


def test_the_cost_is_that_of_the_tokens_rounded_up_item_by_item(bench, undisturbed):
    assert all(row["cost_micros"] == row["tokens_in"] * 100 for row in undisturbed)
    assert min(row["tokens_in"] for row in undisturbed) > 0


def test_an_allowance_that_runs_out_leaves_over_budget_rows_and_is_never_passed(bench, undisturbed):
    cap = cost(undisturbed) // 2 + 50
    spec = bench.spec(indexes=1, caps=[cap])
    assert bench.run(spec) == 0
    rows = bench.table(spec)
    over = [row for row in rows if row["outcome"] == "OVER_BUDGET"]
    assert len(rows) == len(undisturbed)
    assert cap - cost(rows) < max(row["cost_micros"] for row in undisturbed)
    assert cost(rows) <= cap
    assert all(row["label"] is None and row["cost_micros"] == 0 for row in over)
    assert bench.calls_made == len(rows) - len(over)


def test_a_service_that_tops_up_when_it_is_asked_gets_every_item_done(bench, undisturbed):
    whole = cost(undisturbed)
    spec = bench.spec(indexes=1, caps=[whole // 4, whole // 2, whole])
    assert bench.run(spec) == 0
    assert bench.table(spec) == undisturbed


def test_no_money_at_all_still_leaves_a_row_for_every_item(bench, undisturbed):
    spec = bench.spec(indexes=1, caps=[0])
    assert bench.run(spec) == 0
    assert {row["outcome"] for row in bench.table(spec)} == {"OVER_BUDGET"}
    assert bench.finish(spec).counts == {"OVER_BUDGET": len(undisturbed)}
    assert bench.calls_made == 0


def test_a_model_that_costs_nothing_needs_no_allowance(bench, undisturbed):
    spec = bench.spec(indexes=1, caps=[0], price=0)
    assert bench.run(spec) == 0
    assert {row["outcome"] for row in bench.table(spec)} == {"LABELLED"}


def test_a_restarted_worker_reports_what_its_index_had_done_before(bench, undisturbed):
    spec = bench.spec(indexes=1, drain_call=2, reports=str(bench.root / "reports"))
    assert bench.run(spec, 0, 0) == protocol.EXIT_DRAINED
    assert bench.run(spec, 0, 1) == 0
    counts = [sum(report["counts"].values()) for report in reports(bench)]
    assert counts[:2] == [0, 2 * CHUNK]
    assert counts == sorted(counts)
    assert counts[-1] == len(undisturbed)
    assert reports(bench)[-1] == {
        "counts": {"LABELLED": len(undisturbed)},
        "cost": cost(undisturbed),
        "done": True,
    }


def test_a_service_that_says_stop_is_obeyed_and_no_item_is_called_over_budget(bench, undisturbed):
    spec = bench.spec(indexes=1, caps=[cost(undisturbed) // 3], stop_at=2)
    assert bench.run(spec) == protocol.EXIT_DRAINED
    again = bench.spec(indexes=1)
    assert bench.run(again, 0, 1) == 0
    assert bench.table(again) == undisturbed


def test_chunks_under_way_together_do_not_pass_the_allowance_either(bench, undisturbed):
    cap = cost(undisturbed) // 2 + 50
    spec = bench.spec(indexes=1, caps=[cap], options={"latency_ms": "20"})
    assert bench.run(spec) == 0
    rows = bench.table(spec)
    assert cap - max(row["cost_micros"] for row in undisturbed) < cost(rows) <= cap
    assert len(rows) == len(undisturbed)


@pytest.fixture
def capped(bench):
    """Makes a Job's row with a cap, which its processes ask; returns the Job's description."""
    url = f"sqlite:///{bench.root}/actuary.db"
    db = database.Database.open(url)
    db.migrate()

    def make(cap: int, **parameters) -> protocol.JobSpec:
        spec = bench.spec(database=url, **parameters)
        row = {"name": spec.name, "kind": spec.kind, "campaign": spec.campaign, "artifact": spec.artifact}
        jobs.Jobs(db).create(jobs.JobRecord(**row, spec={}, spec_digest="", cap_micros=cap))
        return spec

    yield make
    db.close()


def test_what_one_worker_does_not_need_another_gets(bench, undisturbed, capped):
    """Their worst cases together pass the cap many times, what they spend does not."""
    spec = capped(cost(undisturbed) * 5 // 4, overstated=10, options={"latency_ms": "20"})
    workers = [bench.start(spec, index) for index in range(2)]
    assert [bench.end(worker) for worker in workers] == [0, 0]
    assert bench.table(spec) == undisturbed


def test_a_cap_below_the_cost_is_used_up_to_the_last_item_that_fits(bench, undisturbed, capped):
    cap = cost(undisturbed) // 2
    spec = capped(cap, options={"latency_ms": "20"})
    workers = [bench.start(spec, index) for index in range(2)]
    assert [bench.end(worker) for worker in workers] == [0, 0]
    rows = bench.table(spec)
    assert {row["outcome"] for row in rows} == {"LABELLED", "OVER_BUDGET"}
    assert cap - 2 * max(row["cost_micros"] for row in undisturbed) < cost(rows) <= cap


def test_the_time_of_a_gpu_is_part_of_the_worst_case_and_never_charged_beyond_it():
    table = prices.Prices.of({"gpu_hour_micros": "3600000000", "compute_seconds_limit": 0.5})
    none = np.zeros(2, np.int64)
    assert table.worst_case_micros(none, none).tolist() == [500_000, 500_000]
    assert table.cost_micros(none, none, np.array([0.1, 7.0])).tolist() == [100_000, 500_000]

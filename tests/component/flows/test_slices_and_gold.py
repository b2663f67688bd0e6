"""A newcomer asks for minima of slices, doubles and gold tasks, and reads what came of them."""

from __future__ import annotations

import csv

import pytest

from actuary.review import segments
from actuary.storage import location
from component.flows import newcomer

COUNT, GOLD = 120, 12
SLICES = ("common", "rare", "tiny")


def slice_of(place: int) -> str:
    """96 common, 18 rare and 6 tiny ones."""
    return SLICES[(place % 20 >= 16) + (place % 20 == 19)]


def folder(root, **changes):
    """Items with a slice each, and exemplars that no pool has."""
    form = newcomer.campaign(
        data={"truth_column": "gold", "split_column": "part", "slice_column": "kind"},
        budget={"human_labels": 100},
        sampling={"pilot_items": 30, "audit_items": 10, "slice_minimum": 8},
        review={"mode": "replay", "replay_error_rate": 0.1, "double_share": 0.3, "gold_share": 0.1},
        **changes,
    )
    made = newcomer.make(root, form, newcomer.items(COUNT))
    rows = [
        (item.item_id, item.text, item.gold, "pool", slice_of(place))
        for place, item in enumerate(newcomer.items(COUNT))
    ]
    known = (newcomer.NO, newcomer.YES)
    rows += [(f"known {n}", f"Ein Beispiel {n}", known[n % 2], "exemplar", "") for n in range(GOLD)]
    newcomer.write_csv(made / "items.csv", ["item_id", "text", "gold", "part", "kind"], rows)
    return made


@pytest.mark.slow
def test_minima_are_reached_slices_are_estimated_and_gold_tasks_tell_of_reviewers(served):
    name = "slices-and-gold"
    served.client.create(folder(served.shell.folder / name))
    done = served.until(name, "SUCCEEDED")
    of = {item.item_id: slice_of(place) for place, item in enumerate(newcomer.items(COUNT))}
    plans = [served.artifact(name, f"plans/plan-w{wave}") for wave in (0, 1)]
    asked = [item for plan in plans for item in plan["item_id"].to_pylist()]
    assert min(sum(of[item] == each for item in asked) for each in SLICES[:2]) >= 8
    assert sum(of[item] == "tiny" for item in asked) == 6
    assert "slice" in plans[1]["stratum"].to_pylist()

    results = done.results
    assert [each.name for each in results.slices] == list(SLICES)
    assert [each.item_count for each in results.slices] == [96, 18, 6]
    for each in results.slices:
        assert each.machine_accuracy.low <= each.machine_accuracy.estimate <= each.machine_accuracy.high
        assert each.corrected_accuracy.HasField("true_value")
    tiny = results.slices[2]
    assert (tiny.reviewed_count, tiny.machine_accuracy.low) == (6, tiny.machine_accuracy.high)

    store = location.open_store(str(served.data / "store"))
    said = segments.read(store, f"campaigns/{name}/reviewBatches/review-w1").to_pylist()
    gold = [row for row in said if row["item_id"].startswith("known")]
    assert len(gold) == len({row["item_id"] for row in gold}) == 7  # a tenth of 70 labels
    assert all(row["blind"] for row in gold)
    assert done.purse.human_labels.settled <= 100
    rows = served.client.export(name).to_pylist()
    assert {row["item_id"] for row in rows} == set(of)

    page = (served.shell.folder / "report.html").absolute()
    served.cli("report", name, page)
    text = page.read_text(encoding="utf-8")
    for words in ("Slice by slice", "Reviewer by reviewer", "replay-1", "gold tasks", "common", "rare"):
        assert words in text


def test_a_minimum_that_the_budget_cannot_pay_stops_the_campaign_before_anything_is_bought(served):
    name = "dear-minimum"
    made = folder(served.shell.folder / name)
    text = (
        (made / "campaign.yaml").read_text(encoding="utf-8").replace("slice_minimum: 8", "slice_minimum: 40")
    )
    (made / "campaign.yaml").write_text(text, encoding="utf-8")
    served.client.create(made)
    failed = newcomer.wait_for(
        lambda: (found := served.client.get(name)).HasField("error") and found, f"{name} to fail"
    )
    assert (
        "sampling.slice_minimum: expected a minimum that the budget pays: 40 items of each of 3 slices"
        in failed.error.message
    )
    assert "lower it to" in failed.error.message
    assert not failed.HasField("purse")
    checked = served.shell("doctor", made, code=1).stdout
    assert "sampling.slice_minimum" in checked
    assert "3 slices of 6 to 96" in checked


def test_a_row_of_a_slice_that_is_too_long_is_named_by_the_import(served):
    name = "long-slice"
    made = folder(served.shell.folder / name)
    with (made / "items.csv").open("a", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerow(["last", "text", newcomer.YES, "pool", "x" * 201])
    served.client.create(made)
    failed = newcomer.wait_for(
        lambda: (found := served.client.get(name)).HasField("error") and found, f"{name} to fail"
    )
    assert (
        f"items.csv, row {COUNT + GOLD + 1}: expected a slice with a name of at most 200 bytes"
        in failed.error.message
    )

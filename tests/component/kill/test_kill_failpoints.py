"""kill -9 before and after every durable write: run again, nothing is lost, bought twice or different.

By default a campaign dies at several failpoints in turn, each once and most of them not at their first time,
which costs a tenth of a campaign a failpoint. `ACTUARY_TEST_KILL=each` gives every failpoint a campaign of
its own.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actuary import errors, failpoints
from actuary.campaign import ingest, samples
from actuary.storage import folder
from actuary.v1 import campaign_pb2
from actuary.v1 import review_service_pb2 as pb
from component.kill import campaigns

DATA = {"split_column": "split", "truth_column": "label"}

TIMES = {
    "campaign.update": (4, 9),
    "purse.reserve": (1, 3),
    "purse.settle": (2, 4),
    "job.create": (2, 6),
    "job.update": (5, 11),
    "job.spec": (3, 7),
    "job.launch": (2, 8),
    "manifest": (2, 9),
    "worker.suspects": (1, 4),
    "worker.chunk": (3, 6),
    "worker.receipt": (3, 5),
    "worker.cleanup": (2, 3),
    "table.items": (2, 3),
    "table.annotations": (2, 4),
    "table.critiques": (3, 2),
    "table.plan": (2, 5),
    "table.risks": (2, 1),
    "table.resolved": (2, 5),
    "table.export": (1, 3),
    "lease": (3, 20),
    "review.acquire": (1, 2),
    "review.submit": (1, 2),
    "review.segment": (2, 1),
    "review.close": (2, 1),
}
"""At which time to die (before, after) where one campaign dies at many places; the first time elsewhere."""
ELSEWHERE = ("purse.raise", "review.resume", "table.exemplars", "import.image")
"""Writes that the small campaign does not make; each has a test of its own below."""


def named(*beginnings: str) -> tuple[str, ...]:
    return tuple(n for n in failpoints.WRITES if n.startswith(beginnings) and n not in ELSEWHERE)


GROUPS = {
    "campaign": named("campaign.", "purse.", "lease"),
    "jobs": named("job."),
    "review": named("review."),
    "workers": named("worker.", "manifest"),
    "tables": named("table."),
}


def armed(writes: tuple[str, ...], sides: tuple[str, ...]) -> list[str]:
    return [
        f"{write}.{side}:{TIMES.get(write, (1, 1))[side == 'after']}" for write in writes for side in sides
    ]


def cases() -> list[object]:
    if os.environ.get("ACTUARY_TEST_KILL") == "each":
        names = [name for name in failpoints.NAMES if not name.startswith(ELSEWHERE)]
        return [pytest.param([f"{name}:1"], id=name) for name in names]
    return [
        pytest.param(armed(GROUPS[group], (side,)), id=f"{group}-{side}")
        for group in GROUPS
        for side in ("before", "after")
    ]


def fire(place: campaigns.Place, places: list[str]) -> dict[str, str]:
    """The environment in which processes die at `places`, each once."""
    return {"ACTUARY_FAILPOINT": ",".join(places), "ACTUARY_FAILPOINT_MARK": str(place.root / "mark")}


def check_fired(place: campaigns.Place, places: list[str]) -> None:
    """A failpoint that is never reached tests nothing."""
    for each in places:
        name, _, time = each.partition(":")
        mark = Path(f"{place.root}/mark.{name}")
        reached = mark.stat().st_size if mark.exists() else 0
        assert reached >= int(time), f"{name} was reached {reached} times, not {time}"


def test_every_failpoint_is_visited():
    visited = {place.partition(":")[0] for case in cases() for place in case.values[0]}
    elsewhere = {f"{write}.{side}" for write in ELSEWHERE for side in ("before", "after")}
    assert visited | elsewhere == set(failpoints.NAMES)
    assert not visited & elsewhere


@pytest.mark.slow
@pytest.mark.parametrize("places", cases())
def test_a_campaign_that_is_killed_at_its_writes_and_run_again_is_the_same(place, places, undisturbed):
    left = place.left(place.run(**fire(place, places)))
    check_fired(place, places)
    assert left == undisturbed
    campaigns.check_sound(left, items=182)
    assert set(place.calls()) == {row["item_id"] for row in left.export}
    # with a server die its workers, which had a chunk each
    workers = len(places) - place.kills
    assert place.repeated() <= campaigns.CHUNK * (workers + campaigns.WORKERS * place.kills)


@pytest.mark.slow
def test_a_top_up_that_is_killed_and_given_again_counts_once_and_adds_a_wave(place, undisturbed):
    place.run()
    places = armed(("purse.raise",), ("before", "after"))
    words = ("topup", place.name, "--labels", "10", "--request-id", "more")
    place.insist(*words, **fire(place, places))
    check_fired(place, places)
    assert place.kills == 2
    left = place.left(place.run())
    campaigns.check_sound(left, items=182)
    assert left.balance["human_labels"] == (82, 0, 82)
    assert left.plans[:2] == undisturbed.plans
    assert left.results["human_labels"] == 82


@pytest.mark.slow
def test_an_import_of_exemplars_and_large_images_that_is_killed_is_whole(tmp_path):
    rng = np.random.default_rng(0)
    ids = [f"image-{k:02d}" for k in range(40)]
    images = [samples.png(rng.integers(0, 256, (300, 300), dtype=np.uint8)) for _ in ids]
    assert len(images[0]) > ingest.INLINE_IMAGE_BYTES
    split = ["exemplar"] * 3 + ["pool"] * 37
    label = [("red", "green", "blue")[k % 3] for k in range(40)]
    small = {"budget": {"human_labels": 25, "human_label_micros": 50_000}, "sampling": {"pilot_items": 20}}
    place = campaigns.Place(tmp_path, {**campaigns.NULL, **small, "data": {**DATA, "uri": "items.parquet"}})
    columns = {"item_id": ids, "image": images, "split": split, "label": label}
    pq.write_table(pa.table(columns), place.root / "items.parquet")
    places = armed(("table.exemplars", "import.image"), ("before", "after"))
    left = place.left(place.run(**fire(place, places)))
    check_fired(place, places)
    campaigns.check_sound(left, items=37)
    assert {row["item_id"] for row in place.table("importJobs/import/exemplars")} == set(ids[:3])
    rows = {row["item_id"]: row for row in place.table("importJobs/import/items")}
    assert set(rows) == set(ids[3:])
    store = folder.FolderStore(place.data / "store")
    assert [store.get(rows[i]["image_uri"]) for i in ids[3:]] == images[3:]


@pytest.mark.slow
def test_a_batch_whose_resumption_is_killed_is_taken_up_once_with_what_was_answered(tmp_path):
    place = campaigns.Place(tmp_path, {**campaigns.NULL, "review": {"mode": "people"}})
    batch = f"{place.campaign}/reviewBatches/review-w0"
    places = armed(("review.resume",), ("before", "after"))

    def until(wanted: str) -> None:
        state = campaign_pb2.Campaign.State.Value(wanted)
        campaigns.wait_for(lambda: client.get(place.campaign).state == state, wanted)

    with place.server() as (_, client):
        client.create(place.spec_file, campaign_id=place.name)
        until("WAITING_FOR_PEOPLE")
        request = pb.AcquireTasksRequest(name=batch, reviewer="ada", max_tasks=7)
        tasks = [task.name for task in client.reviews.AcquireTasks(request).tasks]
        answers = [pb.Answer(task=task, label="red") for task in tasks]
        client.reviews.SubmitAnswers(pb.SubmitAnswersRequest(name=batch, reviewer="ada", answers=answers))
        client.reviews.CancelReviewBatch(pb.CancelReviewBatchRequest(name=batch))
        until("FAILED")
    with place.server(**fire(place, places)) as (process, client):
        with contextlib.suppress(errors.UnavailableError):  # it may die before it answers
            client.resume(place.campaign)
        assert process.wait(campaigns.LIMIT_SECONDS) == -signal.SIGKILL
    with place.server(**fire(place, places)) as (process, _):
        assert process.wait(campaigns.LIMIT_SECONDS) == -signal.SIGKILL
    check_fired(place, places)
    with place.server() as (_, client):
        until("WAITING_FOR_PEOPLE")
        found = client.reviews.GetReviewBatch(pb.GetReviewBatchRequest(name=batch))
        assert (found.label_count, found.label_cap) == (7, 20)
        assert client.get(place.campaign).purse.human_labels.reserved == 20

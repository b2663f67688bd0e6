"""kill -9 before and after every durable write: run again, nothing is lost, bought twice or different.

By default a campaign dies at several failpoints in turn, each once and most of them not at their first time,
which costs a tenth of a campaign a failpoint. `ACTUARY_TEST_KILL=each` gives every failpoint a campaign of
its own.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from actuary import failpoints
from component.kill import campaigns

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
    "worker.shard": (2, 4),
    "worker.receipt": (3, 5),
    "worker.cleanup": (2, 3),
    "review.acquire": (1, 2),
    "review.submit": (1, 2),
    "review.segment": (2, 1),
    "review.close": (2, 1),
}
"""At which time to die (before, after) where one campaign dies at many places; the first time elsewhere."""
TOP_UP = ("purse.raise",)
"""Writes that only a top-up makes."""
WORKERS = (*(name for name in failpoints.WRITES if name.startswith("worker.")), "manifest")
GROUPS = {
    "campaign": tuple(n for n in failpoints.WRITES if n.startswith(("campaign.", "purse.")))[:-1],
    "jobs": tuple(n for n in failpoints.WRITES if n.startswith("job.")),
    "review": tuple(n for n in failpoints.WRITES if n.startswith("review.")),
    "workers": WORKERS,
}


def armed(writes: tuple[str, ...], sides: tuple[str, ...]) -> list[str]:
    return [
        f"{write}.{side}:{TIMES.get(write, (1, 1))[side == 'after']}" for write in writes for side in sides
    ]


def cases() -> list[object]:
    if os.environ.get("ACTUARY_TEST_KILL") == "each":
        names = [name for name in failpoints.NAMES if not name.startswith(TOP_UP)]
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
    assert visited | {f"{write}.{side}" for write in TOP_UP for side in ("before", "after")} == set(
        failpoints.NAMES
    )


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
    places = armed(TOP_UP, ("before", "after"))
    words = ("topup", place.name, "--labels", "10", "--request-id", "more")
    place.insist(*words, **fire(place, places))
    check_fired(place, places)
    assert place.kills == 2
    left = place.left(place.run())
    campaigns.check_sound(left, items=182)
    assert left.balance["human_labels"] == (82, 0, 82)
    assert left.plans[:2] == undisturbed.plans
    assert left.results["human_labels"] == 82

"""Played reviewers: they take tasks and answer from the sealed truth, through the same desk as people.

For campaigns whose truth is known, to see what a budget would have bought. A share of their answers is
wrong, decided by a hash of item, seed and how many people answered the item before, so that a replay that
is killed and run again gives the same labels. They never see the machine's label. Besides the trainer this
is the only reader of the truth.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from actuary import errors
from actuary.review import desk as desks
from actuary.review import gold, submission
from actuary.stats import played
from actuary.storage import artifacts, objects, tables


def read_truth(store: objects.ObjectStore, uri: str, items: Mapping[str, int]) -> dict[str, str]:
    """The true labels of some items, given with their shards.

    Raises:
        InvalidInputError: The truth of an item is not there.
    """
    manifest, _ = artifacts.read_manifest(store, uri)
    by_shard: dict[int, list[str]] = {}
    for item_id, shard in items.items():
        by_shard.setdefault(shard, []).append(item_id)
    truth: dict[str, str] = {}
    for shard, wanted in sorted(by_shard.items()):
        rows = tables.read_shard(store, manifest, shard, ["item_id", "label"])
        rows = rows.filter(pc.is_in(rows["item_id"], pa.array(wanted, pa.string())))
        truth.update(zip(rows["item_id"].to_pylist(), rows["label"].to_pylist(), strict=True))
    lacking = [item_id for item_id in items if item_id not in truth]
    if lacking:
        raise errors.InvalidInputError(
            f"{uri}: no truth for {len(lacking)} items that are to be replayed, {lacking[0]!r} among them: "
            "give every item of the pool a label, or review with people"
        )
    return truth


class Replay:
    """Plays the reviewers of one batch, a few tasks at a time."""

    def __init__(self, desk: desks.Desk, name: str) -> None:
        self._desk = desk
        self._name = name
        self._spec = desk.spec(name)
        rows = desk.serving_order(name)
        asked = gold.is_gold(rows)
        pool, others = rows.filter(pc.invert(asked)), rows.filter(asked)
        items = dict(zip(pool["item_id"].to_pylist(), pool["shard"].to_pylist(), strict=True))
        self._truth = read_truth(desk.store, self._spec.truth, items)
        if others.num_rows:
            known = gold.labels(desk.store, self._spec.exemplars)
            self._truth |= {item_id: known[item_id] for item_id in others["item_id"].to_pylist()}
        unknown = sorted(set(self._truth.values()) - set(self._spec.class_names))
        if unknown:
            raise errors.InvalidInputError(
                f"{self._spec.truth}: expected labels {', '.join(self._spec.class_names)}; "
                f"got {', '.join(unknown)}"
            )

    def play(self) -> int:
        """Lets every reviewer take and answer some tasks; how many answers that were."""
        options = self._desk.settings
        count = 0
        for number in range(1, options.replay_reviewers + 1):
            reviewer = f"replay-{number}"
            taken = self._desk.acquire(self._name, reviewer, options.replay_tasks, contents=False)
            answers = [submission.Answer(task=task.id, label=self._label(task)) for task in taken.tasks]
            if not answers:
                continue
            for result in self._desk.submit(self._name, reviewer, answers):
                if result.error is not None and not isinstance(result.error, errors.RefusedError):
                    raise result.error  # a lease that ended meanwhile comes back by itself
            count += len(answers)
        return count

    def _label(self, task: desks.Task) -> str:
        return played.answer(
            item_id=task.item_id,
            truth=self._truth[task.item_id],
            ordinal=task.ordinal,
            classes=self._spec.class_names,
            seed=self._spec.seed,
            error_rate=self._spec.error_rate,
        )

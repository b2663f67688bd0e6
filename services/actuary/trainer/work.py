"""What a training Job does in its process: reads the mixture, trains, tests, writes models and figures.

The sealed truth is read for two things only: the test set, and in a replay the labels that the played
reviewers would have given to every item.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import special

from actuary.jobs import worker
from actuary.stats import played, shares
from actuary.storage import artifacts, objects, tables
from actuary.trainer import features, policy, trial


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """What the shards hold of the pool and the test set, joined by item id."""

    content: pa.Table
    """Content columns of pool and test items."""
    pool: pa.Table
    """item_id, machine, probabilities, risk, human, g of the pool."""
    test: pa.Table
    """item_id, truth of the test set."""
    truth: pa.Table
    """item_id, truth of the pool; empty where none is known."""


class _StoppedError(Exception):
    """The process was asked to stop in the middle of a trial."""


class Train:
    """Task `train`."""

    def run(self, context: worker.WorkContext) -> None:
        """Trains every trial and writes weights, cards and the manifest with the figures."""
        spec = context.spec.parameters
        classes = tuple(spec["classes"])
        wishes = spec.get("training", {})
        data = self._data(context, spec, classes)
        cap = float(wishes.get("weight_cap", policy.CAP))
        lam = float(wishes.get("lambda", policy.LAMBDA))
        judgement = policy.judge(
            data.g[data.human >= 0], cap, len(classes), items=int((data.machine >= 0).sum()) or 1, lam=lam
        )
        base = policy.Trial(
            model=wishes.get("model", "linear"),
            labels="machine",
            lam=lam,
            cap=cap,
            epochs=int(wishes["epochs"]) if "epochs" in wishes else None,
            batch_size=int(wishes["batch_size"]) if "batch_size" in wishes else None,
            learning_rate=float(wishes["learning_rate"]) if "learning_rate" in wishes else None,
            seed=int(spec.get("seed", 0)) % 2**31,
        )
        alpha = 1.0 - float(spec.get("confidence_level", 0.95))
        trials = policy.trials(base, judgement, all_human=data.everyone is not None)
        refs: list[tables.ObjectRef] = []
        accuracies: dict[str, Any] = {}
        correct: dict[str, Any] = {}
        for number, each in enumerate(trials):

            def progress(epoch: int, epochs: int, number: int = number) -> None:
                if context.stop.is_set():
                    raise _StoppedError
                done, total = number * epochs + epoch, len(trials) * epochs
                context.progress(phase=trials[number].labels, done=done, total=total)

            try:
                result = trial.run_trial(each, data, progress, alpha=alpha)
            except _StoppedError:
                return  # the harness says "drained"; the trials are trained again
            card = json.dumps(result.card(classes), sort_keys=True, ensure_ascii=False, indent=1)
            refs.append(context.write_file(f"{each.labels}/model.safetensors", result.weights))
            refs.append(context.write_file(f"{each.labels}/card.json", card.encode()))
            correct[each.labels] = result.correct
            if result.accuracy is not None and result.interval is not None:
                accuracies[each.labels] = {
                    "estimate": result.accuracy,
                    "low": result.interval.low,
                    "high": result.interval.high,
                    "method": "clopper-pearson",
                }
        results: dict[str, Any] = {
            "model": base.model,
            "test_accuracies": accuracies,
            "test_items": len(data.test_y),
            "notes": [*judgement.warnings, *([judgement.refusal] if judgement.refusal else [])],
        }
        if judgement.diagnostics is not None:
            results["weights"] = _weights(judgement, cap)
        if {"act", "human"} <= correct.keys() and len(data.test_y):
            results["gap"] = _gap(correct["human"], correct["act"], alpha)
        context.finish(objects=refs, counts={"trials": len(trials)}, parameters={"results": results})

    def _data(
        self, context: worker.WorkContext, spec: Mapping[str, Any], classes: tuple[str, ...]
    ) -> trial.TrainingData:
        found = _read(context, spec)
        names = pa.array(classes, pa.string())

        def index(column: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.int64]]:
            at = pc.index_in(column.combine_chunks(), value_set=names)
            return np.asarray(pc.fill_null(at, -1).to_numpy(zero_copy_only=False), dtype=np.int64)

        machine, human = index(found.pool["machine"]), index(found.pool["human"])
        everyone = None
        review = spec.get("review", {})
        if review.get("mode") == "replay" and found.truth.num_rows:
            everyone = index(_replayed(found, review, classes, int(spec.get("seed", 0))))
        content = found.content
        model = spec.get("training", {}).get("model", "linear")
        pool_x, test_x = features.extract(
            model, _rows(content, found.pool["item_id"]), _rows(content, found.test["item_id"])
        )
        return trial.TrainingData(
            x=pool_x,
            machine=machine,
            soft=_soft(found.pool, machine, len(classes)),
            human=human,
            g=pc.fill_null(found.pool["g"], 0.0).to_numpy(),
            everyone=everyone,
            test_x=test_x,
            test_y=index(found.test["truth"]),
        )


def _read(context: worker.WorkContext, spec: Mapping[str, Any]) -> _Table:
    store = context.store
    items = artifacts.read_manifest(store, spec["items"])[0]
    risks = artifacts.read_manifest(store, spec["risks"])[0]
    weights = artifacts.read_manifest(store, spec["estimate"])[0]
    truth = artifacts.read_manifest(store, spec["truth"])[0] if spec.get("truth") else None
    content, pool, test, known = [], [], [], []
    for shard in range(items.shards):
        rows = tables.read_shard(
            store, items, shard, ["item_id", "text", "question", "image", "image_uri", "split"]
        )
        ids = rows["item_id"].combine_chunks()
        label = pa.chunked_array([pa.nulls(len(ids), pa.string())])
        if truth is not None:
            label = _aligned(ids, tables.read_shard(store, truth, shard))["label"]
        risk = _aligned(ids, tables.read_shard(store, risks, shard))
        weight = _aligned(ids, tables.read_shard(store, weights, shard))
        joined = pa.table(
            {
                "item_id": ids,
                "machine": risk["machine_label"],
                "probabilities": risk["probabilities"],
                "risk": risk["risk"],
                "human": weight["label"],
                "g": weight["g"],
                "truth": label,
            }
        )
        is_pool = pc.equal(rows["split"], "pool")
        is_test = pc.and_(pc.equal(rows["split"], "test"), pc.is_valid(label))
        content.append(_with_large_images(store, rows))
        pool.append(joined.filter(is_pool))
        test.append(joined.select(["item_id", "truth"]).filter(is_test))
        known.append(joined.select(["item_id", "truth"]).filter(pc.and_(is_pool, pc.is_valid(label))))
    return _Table(
        content=pa.concat_tables(content),
        pool=pa.concat_tables(pool),
        test=pa.concat_tables(test),
        truth=pa.concat_tables(known),
    )


def _with_large_images(store: objects.ObjectStore, rows: pa.Table) -> pa.Table:
    """Fetches the images that are too large for the table and lie as objects of their own."""
    if rows["image_uri"].null_count == rows.num_rows:
        return rows
    pairs = zip(rows["image"].to_pylist(), rows["image_uri"].to_pylist(), strict=True)
    images = [store.get(uri) if image is None and uri else image for image, uri in pairs]
    at = rows.schema.get_field_index("image")
    return rows.set_column(at, "image", pa.array(images, pa.binary()))


def _aligned(ids: pa.Array, table: pa.Table) -> pa.Table:
    return table.take(pc.index_in(ids, value_set=table["item_id"].combine_chunks()))


def _rows(content: pa.Table, ids: pa.ChunkedArray) -> pa.Table:
    return content.take(pc.index_in(ids.combine_chunks(), value_set=content["item_id"].combine_chunks()))


def _soft(pool: pa.Table, machine: Any, classes: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Class targets of the machine, [N, K]: calibrated probabilities, or 1 - risk on the label without them.

    Both are out of fold, since the risk model of an item has not seen its label (algorithms.md 8.13).
    """
    soft = np.full((pool.num_rows, classes), 1.0 / classes)
    risk = pc.fill_null(pool["risk"], 0.0).to_numpy()
    rows = np.flatnonzero(machine >= 0)
    soft[rows] = shares.soft_labels(machine[rows], risk[rows], classes)
    column = pool["probabilities"].combine_chunks()
    given = np.flatnonzero(pc.is_valid(column).to_numpy(zero_copy_only=False))
    if len(given):
        values = column.filter(pc.is_valid(column)).flatten().to_numpy(zero_copy_only=False)
        soft[given] = values.reshape(len(given), classes)
    return np.asarray(soft / soft.sum(axis=1, keepdims=True), dtype=np.float64)


def _replayed(
    found: _Table, review: Mapping[str, Any], classes: tuple[str, ...], seed: int
) -> pa.ChunkedArray:
    """What the played reviewers would have answered about every item of the pool; null without truth."""
    rate = float(review.get("replay_error_rate", 0.0))
    answers = [
        played.answer(item_id=i, truth=t, ordinal=0, classes=classes, seed=seed, error_rate=rate)
        for i, t in zip(found.truth["item_id"].to_pylist(), found.truth["truth"].to_pylist(), strict=True)
    ]
    at = pc.index_in(
        found.pool["item_id"].combine_chunks(), value_set=found.truth["item_id"].combine_chunks()
    )
    return pa.chunked_array([pa.array(answers, pa.string()).take(at)])


def _weights(judgement: policy.Judgement, cap: float) -> dict[str, Any]:
    diagnostics = judgement.diagnostics
    if diagnostics is None:
        return {}
    return {
        "effective_sample_size": diagnostics.effective_size,
        "human_labels": judgement.labels,
        "largest_weight": diagnostics.largest,
        "weight_cap": cap,
        "top_percent_share": diagnostics.top_share,
    }


def _gap(human: Any, act: Any, alpha: float) -> dict[str, Any]:
    """Accuracy of `human` minus that of `act`, with a paired normal interval: the test items are the same."""
    difference = human.astype(np.float64) - act.astype(np.float64)
    se = float(difference.std(ddof=1)) / np.sqrt(len(difference)) if len(difference) > 1 else 0.0
    mean = float(difference.mean())
    reach = float(special.ndtri(1.0 - alpha / 2.0)) * se
    return {"estimate": mean, "low": mean - reach, "high": mean + reach, "method": "wald"}


TASKS: Mapping[str, worker.Task] = {"train": Train()}
"""By kind of Job."""

"""What an annotation Job's process does: items in, labels out.

It reads the pool's items of its shards (never the test items, never the sealed truth), narrows them to those
inside or outside of a plan, and lets the model choose a class for each. An item that the model cannot do is
a row with outcome FAILED and a reason; how chunks, crashes and money are handled is `jobs.chunks`' matter.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from actuary.jobs import chunks, prices, worker
from actuary.models import forms, prompts, protocol, scoring
from actuary.storage import artifacts, objects, schemas, tables

MOST_FULL_CLASSES = 50
"""Up to so many classes all probabilities are kept; above, the five largest and zeros."""
_LARGEST = 5
_BATCH_ROWS = 4096
_OUTCOMES = pa.array([protocol.FAILED, protocol.ABSTAINED, protocol.LABELLED])
_CONTENT = ("item_id", "text", "image", "image_uri", "question")


class Task:
    """Task `annotation`. Parameters: items, exemplars, task, model (with prices), select {plan, keep}."""

    def run(self, context: worker.WorkContext) -> None:
        """Labels the items of the context's shards."""
        parameters = context.spec.parameters
        template = forms.template_of(parameters["task"])
        model = forms.open_model(
            parameters["model"],
            template,
            store=context.store,
            scratch=context.scratch,
            exemplars=parameters.get("exemplars", ""),
        )
        try:
            stage = Stage(model, template, parameters["model"], context.store)
            chunks.run(context, stage, Items(context, parameters))
        finally:
            asyncio.run(model.close())


class Stage:
    """Rows of items to rows of the table `annotations`."""

    table = "annotations"

    def __init__(
        self,
        model: protocol.Model,
        template: prompts.Template,
        spec: Mapping[str, Any],
        store: objects.ObjectStore,
    ) -> None:
        self._model = model
        self._template = template
        self._prices = prices.Prices.of(spec.get("prices", {}))
        self._tokens_out = forms.most_tokens_out(spec)
        self._store = store
        self._labels = pa.array(template.options)

    def worst_case_micros(self, rows: pa.Table) -> npt.NDArray[np.int64]:
        """The most that each row may cost."""
        tokens_in = scoring.most_tokens_in(self._template.head, rows, self._image_bytes)
        return self._prices.worst_case_micros(tokens_in, np.full(rows.num_rows, self._tokens_out, np.int64))

    def _image_bytes(self, uri: str) -> int:
        info = self._store.stat(uri) if self._prices.input_micros_per_1000_tokens else None
        return 0 if info is None else info.size

    async def run(self, pieces: AsyncIterator[pa.Table]) -> AsyncIterator[chunks.Done]:
        """Labels pieces as they come."""
        open_pieces: dict[int, pa.Table] = {}

        async def remembered() -> AsyncIterator[pa.Table]:
            position = 0
            async for rows in pieces:
                open_pieces[position] = rows
                position += 1
                yield rows

        fetch = forms.fetcher(self._store)
        async for answers in scoring.score(
            self._model, remembered(), lambda rows: self._template.render(rows, fetch), self._template.options
        ):
            rows = open_pieces.pop(answers.position)
            yield chunks.Done(
                position=answers.position, rows=self._labelled(rows, answers), retries=answers.retries
            )

    def unanswered(self, rows: pa.Table, outcome: str, reason: str | None) -> pa.Table:
        """Outcomes of items that nobody asked the model about."""
        n = rows.num_rows
        zeros = np.zeros(n, np.int64)
        return schemas.conform(
            pa.table(
                {
                    "item_id": rows.column("item_id"),
                    "outcome": pa.repeat(outcome, n),
                    "reason": pa.repeat(pa.scalar(reason, pa.string()), n),
                    **self._signature(n),
                    "tokens_in": zeros,
                    "tokens_out": zeros,
                    "cost_micros": zeros,
                    "compute_seconds": np.zeros(n),
                }
            ),
            schemas.ANNOTATIONS,
        )

    def _labelled(self, rows: pa.Table, answers: scoring.Answers) -> pa.Table:
        n = rows.num_rows
        labelled = answers.answered & (answers.label_index >= 0)
        reasons = [answers.failures.get(row) for row in range(n)] if answers.failures else None
        return schemas.conform(
            pa.table(
                {
                    "item_id": rows.column("item_id"),
                    "outcome": _OUTCOMES.take(pa.array(answers.answered.astype(np.int8) + labelled)),
                    "label": self._labels.take(pa.array(answers.label_index, mask=~labelled)),
                    "confidence": pa.array(answers.confidence, mask=~labelled | np.isnan(answers.confidence)),
                    "probabilities": _probabilities(answers.log_probabilities, labelled),
                    "reason": pa.nulls(n, pa.string()) if reasons is None else pa.array(reasons, pa.string()),
                    **self._signature(n),
                    "tokens_in": answers.tokens_in,
                    "tokens_out": answers.tokens_out,
                    "cost_micros": self._prices.cost_micros(
                        answers.tokens_in, answers.tokens_out, answers.compute_seconds
                    ),
                    "compute_seconds": answers.compute_seconds,
                }
            ),
            schemas.ANNOTATIONS,
        )

    def _signature(self, rows: int) -> dict[str, pa.Array]:
        return {
            "model": pa.repeat(self._model.capabilities.model, rows),
            "prompt_digest": pa.repeat(self._template.digest, rows),
        }


class Items:
    """The pool's items of a shard, inside or outside of a plan."""

    def __init__(self, context: worker.WorkContext, parameters: Mapping[str, Any]) -> None:
        self._store = context.store
        self._items = artifacts.read_manifest(context.store, parameters["items"])[0]
        select = parameters.get("select") or {}
        self._plan = artifacts.read_manifest(context.store, select["plan"])[0] if select else None
        self._inside = select.get("keep", "in") == "in"

    def __call__(self, shard: int) -> Iterator[pa.RecordBatch]:
        """The items of a shard that are to be labelled."""
        planned = None
        if self._plan is not None:
            planned = tables.read_shard(self._store, self._plan, shard, ["item_id"]).column("item_id")
            if self._inside and not len(planned):
                return
            planned = planned.combine_chunks()
        for ref in self._items.objects:
            if ref.shard != shard:
                continue
            with tables.open_shard(self._store, ref, [*_CONTENT, "split"], table="items") as reader:
                for batch in reader.batches(_BATCH_ROWS):
                    keep = pc.equal(batch.column("split"), "pool")
                    if planned is not None:
                        found = pc.is_in(batch.column("item_id"), value_set=planned)
                        keep = pc.and_(keep, found if self._inside else pc.invert(found))
                    yield batch.filter(keep).select(_CONTENT)


def _probabilities(logs: protocol.Floats | None, labelled: npt.NDArray[np.bool_]) -> pa.Array:
    """Lists of class probabilities; null where the model gave none."""
    n = len(labelled)
    if logs is None:
        return pa.nulls(n, pa.list_(pa.float64()))
    given = labelled & ~np.isnan(logs).any(axis=1)
    probabilities = np.exp(logs[given] if not given.all() else logs)
    options = logs.shape[1]
    if options > MOST_FULL_CLASSES:
        small = np.argpartition(probabilities, options - _LARGEST, axis=1)[:, : options - _LARGEST]
        np.put_along_axis(probabilities, small, 0.0, axis=1)
    offsets = np.zeros(n + 1, np.int32)
    np.cumsum(given * options, out=offsets[1:])
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(probabilities.ravel()), mask=None if given.all() else pa.array(~given)
    )


TASKS: Mapping[str, worker.Task] = {"annotation": Task()}
"""By kind of Job."""

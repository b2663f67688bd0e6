"""What a critique Job's process does: labels in, suspicion out.

Every label of an annotations artifact gets a raw score that grows with the probability that it is wrong.
Strategy `confidence` needs no model: one minus the annotator's own confidence. Strategy `class-probability`
asks a model of another kind for its class probabilities: one minus what it gives the label. Items without a
label are not criticised; a score that a critic does not give is missing, never low.

Scores are not calibrated here: that takes people's labels, and is the sampler's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from actuary import errors
from actuary.jobs import chunks, prices, worker
from actuary.models import forms, prompts, protocol, scoring
from actuary.storage import artifacts, objects, schemas, tables

CONFIDENCE = "confidence"
CLASS_PROBABILITY = "class-probability"
STRATEGIES = (CONFIDENCE, CLASS_PROBABILITY)
_BATCH_ROWS = 4096
_OUTCOMES = pa.array([protocol.FAILED, protocol.ABSTAINED, protocol.LABELLED])
_CONTENT = ("item_id", "text", "image", "image_uri", "question")


class Task:
    """Task `critique`. Parameters: items, annotations, exemplars, task, critic {strategy, model}."""

    def run(self, context: worker.WorkContext) -> None:
        """Criticises the labels of the context's shards."""
        parameters = context.spec.parameters
        critic = parameters["critic"]
        strategy = critic.get("strategy") or CONFIDENCE
        if strategy == CONFIDENCE:
            chunks.run(context, Confidence(), _Labels(context.store, parameters["annotations"]))
            return
        if strategy != CLASS_PROBABILITY:
            raise errors.InvalidInputError.of(
                [
                    errors.Violation(
                        "critic.strategy", f"expected one of {', '.join(STRATEGIES)}; got {strategy!r}"
                    )
                ]
            )
        template = forms.template_of(parameters["task"])
        model = forms.open_model(
            critic["model"],
            template,
            store=context.store,
            scratch=context.scratch,
            exemplars=parameters.get("exemplars", ""),
        )
        try:
            if not model.capabilities.probabilities:
                raise errors.UnsupportedError(
                    f"critic {strategy!r} needs class probabilities and model {model.capabilities.model!r} "
                    "gives none: choose exemplar or linear"
                )
            stage = ClassProbability(model, template, critic["model"], context.store)
            source = _Labelled(context.store, parameters["items"], parameters["annotations"])
            chunks.run(context, stage, source)
        finally:
            asyncio.run(model.close())


class Confidence:
    """One minus the annotator's confidence; no model, no cost."""

    table = "critiques"

    def worst_case_micros(self, rows: pa.Table) -> npt.NDArray[np.int64]:
        """Nothing."""
        return np.zeros(rows.num_rows, np.int64)

    async def run(self, pieces: AsyncIterator[pa.Table]) -> AsyncIterator[chunks.Done]:
        """Criticises pieces as they come."""
        position = 0
        async for rows in pieces:
            confidence = rows.column("confidence").to_numpy()  # null becomes NaN
            answered = np.ones(rows.num_rows, np.bool_)
            columns = _columns(rows, CONFIDENCE, "", "", answered, 1 - confidence)
            yield chunks.Done(position=position, rows=schemas.conform(pa.table(columns), schemas.CRITIQUES))
            position += 1

    def unanswered(self, rows: pa.Table, outcome: str, reason: str | None) -> pa.Table:
        """Outcomes of labels that were not criticised."""
        return _unanswered(rows, outcome, reason, CONFIDENCE, "", "")


class ClassProbability:
    """One minus the probability that another model gives the label."""

    table = "critiques"

    def __init__(
        self,
        model: protocol.Model,
        template: prompts.Template,
        spec: Mapping[str, Any],
        store: objects.ObjectStore,
    ) -> None:
        self._model = model
        self._template = template
        self._prices = prices.Prices.of(spec.get("prices") or {})
        self._tokens_out = forms.most_tokens_out(spec)
        self._store = store
        self._labels = pa.array(template.options)

    def worst_case_micros(self, rows: pa.Table) -> npt.NDArray[np.int64]:
        """The most that each row may cost."""
        tokens_in = scoring.most_tokens_in(self._template.head, rows, self._image_bytes)
        return self._prices.worst_case_micros(tokens_in, np.full(rows.num_rows, self._tokens_out, np.int64))

    async def run(self, pieces: AsyncIterator[pa.Table]) -> AsyncIterator[chunks.Done]:
        """Criticises pieces as they come."""
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
                position=answers.position, rows=self._criticised(rows, answers), retries=answers.retries
            )

    def unanswered(self, rows: pa.Table, outcome: str, reason: str | None) -> pa.Table:
        """Outcomes of labels that were not criticised."""
        return _unanswered(rows, outcome, reason, *self._signature)

    @property
    def _signature(self) -> tuple[str, str, str]:
        return CLASS_PROBABILITY, self._model.capabilities.model, self._template.digest

    def _criticised(self, rows: pa.Table, answers: scoring.Answers) -> pa.Table:
        label = pc.index_in(rows.column("label"), value_set=self._labels)
        if label.null_count:
            raise errors.DataLossError("an annotation's label is no class of the task")
        raw = np.full(rows.num_rows, np.nan)
        if answers.log_probabilities is not None:
            raw = -np.expm1(answers.log_probabilities[np.arange(rows.num_rows), label.to_numpy()])
        columns = _columns(rows, *self._signature, answers.answered, raw)
        if answers.failures:
            reasons = [answers.failures.get(row) for row in range(rows.num_rows)]
            columns["reason"] = pa.array(reasons, pa.string())
        columns["tokens_in"] = answers.tokens_in
        columns["tokens_out"] = answers.tokens_out
        columns["compute_seconds"] = answers.compute_seconds
        columns["cost_micros"] = self._prices.cost_micros(
            answers.tokens_in, answers.tokens_out, answers.compute_seconds
        )
        return schemas.conform(pa.table(columns), schemas.CRITIQUES)

    def _image_bytes(self, uri: str) -> int:
        info = self._store.stat(uri) if self._prices.input_micros_per_1000_tokens else None
        return 0 if info is None else info.size


class _Labels:
    """The labels of a shard: rows of annotations whose outcome is LABELLED."""

    def __init__(self, store: objects.ObjectStore, annotations: str) -> None:
        self._store = store
        self._annotations = artifacts.read_manifest(store, annotations)[0]

    def __call__(self, shard: int) -> list[pa.Table]:
        columns = ["item_id", "outcome", "label", "confidence"]
        rows = tables.read_shard(self._store, self._annotations, shard, columns)
        return [rows.filter(pc.equal(rows.column("outcome"), protocol.LABELLED))]


class _Labelled:
    """The items of a shard that have a label, with it."""

    def __init__(self, store: objects.ObjectStore, items: str, annotations: str) -> None:
        self._store = store
        self._items = artifacts.read_manifest(store, items)[0]
        self._labels = _Labels(store, annotations)

    def __call__(self, shard: int) -> Iterator[pa.Table]:
        labels = self._labels(shard)[0]
        if not labels.num_rows:
            return
        ids = labels.column("item_id").combine_chunks()
        for ref in self._items.objects:
            if ref.shard != shard:
                continue
            with tables.open_shard(self._store, ref, _CONTENT, table="items") as reader:
                for batch in reader.batches(_BATCH_ROWS):
                    at = pc.index_in(batch.column("item_id"), value_set=ids)
                    keep = pc.is_valid(at)
                    rows = pa.Table.from_batches([batch.filter(keep).select(_CONTENT)])
                    yield rows.append_column("label", labels.column("label").take(at.filter(keep)))


def _columns(
    rows: pa.Table,
    critic: str,
    model: str,
    digest: str,
    answered: npt.NDArray[np.bool_],
    raw: npt.NDArray[np.float64],
) -> dict[str, Any]:
    """Columns of critiques that cost nothing; a score that is NaN is missing."""
    n = rows.num_rows
    given = answered & ~np.isnan(raw)
    score = pa.array(np.clip(raw, 0.0, 1.0), mask=~given)
    return {
        "item_id": rows.column("item_id"),
        "critic_id": pa.repeat(critic, n),
        "outcome": _OUTCOMES.take(pa.array(answered.astype(np.int8) + given)),
        "raw_score": score,
        "error_probability": score,
        "model": pa.repeat(model, n),
        "prompt_digest": pa.repeat(digest, n),
        "tokens_in": np.zeros(n, np.int64),
        "tokens_out": np.zeros(n, np.int64),
        "cost_micros": np.zeros(n, np.int64),
        "compute_seconds": np.zeros(n),
    }


def _unanswered(
    rows: pa.Table, outcome: str, reason: str | None, critic: str, model: str, digest: str
) -> pa.Table:
    n = rows.num_rows
    columns = _columns(rows, critic, model, digest, np.zeros(n, np.bool_), np.full(n, np.nan))
    columns["outcome"] = pa.repeat(outcome, n)
    columns["reason"] = pa.repeat(pa.scalar(reason, pa.string()), n)
    return schemas.conform(pa.table(columns), schemas.CRITIQUES)


TASKS: Mapping[str, worker.Task] = {"critique": Task()}
"""By kind of Job."""

"""Items become a table, chunk by chunk: the part that annotating and criticising share.

A chunk is durable once its object exists; a shard is done once its receipt exists. In between lies nothing
that a crash could spoil: chunks are written only if absent, a shard is compacted from its chunks, the chunks
go last. A restarted worker recovers its totals from what is there and goes on.

Money: a chunk starts when its worst case fits into the allowance, on top of the worst case of what is under
way. When it does not, the service is asked, and others at work are waited for, who may give back what they
did not need. A chunk that still does not fit is done in parts, each paid before the next; what is left when
nothing fits any more is OVER_BUDGET, never lost.

It deliberately knows no model: a `Stage` turns rows of items into rows of outcomes.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from actuary import errors
from actuary.jobs import drain, pieces, protocol, receipts, suspects, worker
from actuary.storage import schemas

OVER_BUDGET: Final = "OVER_BUDGET"
FAILED: Final = "FAILED"
KILLED: Final = "killed its worker twice"
REFUSED: Final = "the Job's money is used up"
_WAIT_SECONDS: Final = 0.5
"""Between two looks at whether others have given money back."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The outcomes of one piece of work."""

    position: int
    """Which piece, from 0 in the order given."""
    rows: pa.Table
    """One row an item, in the order of the items."""
    retries: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Calls that were repeated, by reason."""


class Stage(Protocol):
    """What is done to the items."""

    @property
    def table(self) -> str:
        """Name of the table that it makes: `annotations`."""
        ...

    def worst_case_micros(self, rows: pa.Table) -> npt.NDArray[np.int64]:
        """The most that each row may cost."""
        ...

    def run(self, pieces: AsyncIterator[pa.Table]) -> AsyncIterator[Done]:
        """Works on pieces as they come, as many at once as it likes; results come in any order."""
        ...

    def unanswered(self, rows: pa.Table, outcome: str, reason: str | None) -> pa.Table:
        """Outcomes of items that were not worked on."""
        ...


class Source(Protocol):
    """Where the items come from."""

    def __call__(self, shard: int) -> Iterable[pa.Table | pa.RecordBatch]:
        """The items of a shard that are to be done, sorted by id; the same at every call."""
        ...


@dataclasses.dataclass(slots=True, kw_only=True)
class _Chunk:
    """A chunk that is about to be done."""

    shard: int
    number: int
    rows: pa.Table
    reserved_micros: int = 0
    """Their worst case, while they are under way."""

    @property
    def id(self) -> suspects.ChunkId:
        return self.shard, self.number


def run(context: worker.WorkContext, stage: Stage, source: Source) -> None:
    """Does all shards of the context's index; returns when they are done or the process is to stop."""
    pipeline = _Pipeline(context, stage, source)
    try:
        asyncio.run(pipeline.run())
    finally:
        pipeline.suspects.release()


class _Pipeline:
    """The state of one attempt."""

    def __init__(self, context: worker.WorkContext, stage: Stage, source: Source) -> None:
        self._context = context
        self._spec = context.spec
        self._store = context.store
        self._stage = stage
        self._source = source
        self._schema = schemas.of(stage.table)
        self._pieces = pieces.Pieces(self._store, self._spec.artifact, self._schema)
        self._totals = receipts.Totals()
        self._written: dict[int, dict[int, receipts.Totals]] = {}
        """Totals of the durable chunks of the shards that are not done."""
        self._expected: dict[int, int] = {}
        """Chunks of a shard, known once its items were read."""
        self._open: dict[int, _Chunk] = {}
        self._reserved = 0
        self._retries: dict[str, int] = {}
        self._failure = ""
        self._asked = 0
        self._held: _Chunk | None = None
        self._chunks = self._undone()
        attempt = f"{self._spec.name}/{context.attempt}"
        self.suspects = suspects.Suspects(self._store, self._spec.artifact, context.index, attempt)

    async def run(self) -> None:
        """Rounds of work until nothing is left: what must be alone, or paid for, waits for the next round."""
        self._context.last_words.append(self.suspects.release)
        self._recover()
        await self._ask(self._progress())
        with self._drained():
            while not self._stopped:
                self._open.clear()
                self._reserved = 0
                async for done in self._stage.run(self._feed()):
                    self._count(done.retries)
                    chunk = self._open.pop(done.position)
                    self._reserved -= chunk.reserved_micros
                    self._write(chunk, [done.rows])
                if self._held is None:
                    break
                if not self._stopped:
                    await self._do_in_parts(self._held)
                    self._held = None
        if not self._stopped:
            await self._ask(self._progress(done=True))

    @property
    def _stopped(self) -> bool:
        return self._context.stop.is_set()

    async def _feed(self) -> AsyncIterator[pa.Table]:
        """The pieces of one round. It never waits for an open chunk: it ends the round instead."""
        position = 0
        while not self._stopped:
            chunk = self._held or next(self._chunks, None)
            self._held = None
            if chunk is None:
                return
            if self.suspects.suspected(chunk.id):
                self._held = chunk
                return
            fit, reserved = await self._afford(chunk.rows)
            if self._stopped or fit < chunk.rows.num_rows:
                # what is under way may turn out cheaper than its worst case
                self._held = chunk
                return
            chunk.reserved_micros = reserved
            self.suspects.open(chunk.id)
            self._open[position] = chunk
            self._reserved += chunk.reserved_micros
            position += 1
            self._asked += chunk.rows.num_rows
            yield chunk.rows

    async def _do_in_parts(self, chunk: _Chunk) -> None:
        """Does a chunk alone that died with its worker, or that the allowance does not pay at once.

        Each part is done under its name, so that it is known what killed a worker, and is paid for before
        the next begins.
        """
        blamed = self.suspects.blamed(chunk.id)
        parts: list[pa.Table] = []
        spent = 0
        for start, stop in self.suspects.parts(chunk.id, chunk.rows.num_rows):
            if stop - start == 1 and start in blamed:
                parts.append(self._stage.unanswered(chunk.rows.slice(start, 1), FAILED, KILLED))
                continue
            while start < stop:
                rows = chunk.rows.slice(start, stop - start)
                fit, reserved = await self._afford(rows)
                if self._stopped:
                    return
                if fit == 0:
                    parts.append(self._stage.unanswered(rows, OVER_BUDGET, REFUSED))
                    break
                self.suspects.open(chunk.id, (start, start + fit))
                self._reserved = spent + reserved
                self._asked += fit
                async for done in self._stage.run(_once(rows.slice(0, fit))):
                    self._count(done.retries)
                    parts.append(done.rows)
                    spent += pc.sum(done.rows.column("cost_micros")).as_py()
                self._reserved = spent
                start += fit
        self._reserved = 0
        self._write(chunk, parts)

    async def _afford(self, rows: pa.Table) -> tuple[int, int]:
        """How many rows can be paid for, and their worst case.

        Asks for more if not all can, and while nothing is under way here waits for other processes of the
        Job that hold money they may not need. Who waits holds none, so that not all wait for each other.
        """
        worst = np.cumsum(self._stage.worst_case_micros(rows))
        whole = int(worst[-1])
        while (room := self._room()) is not None and whole > room:
            allowance = await self._ask(self._progress(whole))
            room = self._room()
            if room is None or whole <= room or not allowance.wait or self._open or self._stopped:
                break
            await self._ask(self._progress())
            await asyncio.sleep(_WAIT_SECONDS)
        fit = len(worst) if room is None else int(np.searchsorted(worst, room, side="right"))
        return fit, int(worst[fit - 1]) if fit else 0

    async def _ask(self, progress: protocol.Progress) -> protocol.Allowance:
        return await asyncio.to_thread(self._context.session.ask, progress)

    def _room(self) -> int | None:
        allowed = self._context.session.allowance.money_micros
        return None if allowed is None else allowed - self._totals.cost_micros - self._reserved

    def _undone(self) -> Iterator[_Chunk]:
        """The chunks that are not durable yet; shards that turn out whole are compacted on the way."""
        for shard in self._spec.shards_of(self._context.index):
            if shard not in self._written:
                continue
            number = 0
            for rows in _rechunk(self._source(shard), self._spec.chunk_items):
                if number not in self._written[shard]:
                    yield _Chunk(shard=shard, number=number, rows=rows)
                number += 1
            self._expected[shard] = number
            self._compact_if_whole(shard)

    def _recover(self) -> None:
        """Sums up what earlier attempts made durable."""
        for shard in self._spec.shards_of(self._context.index):
            receipt = receipts.read(self._store, self._spec.artifact, shard)
            if receipt is None:
                try:
                    self._written[shard] = self._pieces.found(shard)
                except errors.NotFoundError:  # another attempt has just compacted them
                    receipt = receipts.read(self._store, self._spec.artifact, shard)
                    if receipt is None:
                        raise
            if receipt is not None:
                self._totals += receipt.totals
                self._pieces.clean(shard)
                continue
            self._totals = sum(self._written[shard].values(), self._totals)

    def _write(self, chunk: _Chunk, parts: list[pa.Table]) -> None:
        """Makes a chunk durable."""
        table = pa.concat_tables([schemas.conform(part, self._schema) for part in parts])
        if table.num_rows != chunk.rows.num_rows:
            raise errors.DataLossError(
                f"shard {chunk.shard}, chunk {chunk.number}: {chunk.rows.num_rows} items came to "
                f"{table.num_rows} outcomes"
            )
        totals = self._pieces.write_chunk(*chunk.id, table)
        self.suspects.close(chunk.id)
        self._totals += totals
        self._failure = self._failure or _example(table)
        self._written[chunk.shard][chunk.number] = totals
        self._context.session.tell(self._progress())
        self._compact_if_whole(chunk.shard)

    def _compact_if_whole(self, shard: int) -> None:
        written = self._written[shard]
        if self._expected.get(shard) == len(written):
            self._compact(shard, sum((written[n] for n in sorted(written)), receipts.Totals()))
            del self._written[shard], self._expected[shard]

    def _compact(self, shard: int, totals: receipts.Totals) -> None:
        """Chunks to shard, receipt, chunks gone. Another attempt may do the same at the same time."""
        if receipts.read(self._store, self._spec.artifact, shard) is None:
            ref = None
            if totals.counts:
                try:
                    ref = self._pieces.write_shard(shard, self._expected[shard])
                except errors.NotFoundError:
                    if receipts.read(self._store, self._spec.artifact, shard) is None:
                        raise
                    return
            receipt = receipts.Receipt(shard=shard, table=self._stage.table, ref=ref, totals=totals)
            receipts.write(self._store, self._spec.artifact, receipt)
        self._pieces.clean(shard, self._expected[shard])

    def _count(self, retries: Mapping[str, int]) -> None:
        for reason, count in retries.items():
            self._retries[reason] = self._retries.get(reason, 0) + count

    def _progress(self, worst_case: int = 0, *, done: bool = False) -> protocol.Progress:
        return protocol.Progress(
            outcome_counts=self._totals.counts,
            tokens_in=self._totals.tokens_in,
            tokens_out=self._totals.tokens_out,
            cost_micros=self._totals.cost_micros,
            retries=dict(self._retries),
            asked=self._asked,
            next_slice_micros=self._reserved + worst_case,
            done=done,
            phase=self._spec.kind,
            failure=self._failure,
        )

    def _drained(self) -> drain.Drain:
        return drain.Drain(self._context.stop, self.suspects.release, self._context.settings.drain_seconds)


def _example(outcomes: pa.Table) -> str:
    """The first item that failed, with its reason."""
    failed = outcomes.filter(pc.equal(outcomes.column("outcome"), FAILED)).slice(0, 1)
    if not failed.num_rows:
        return ""
    row = failed.select(["item_id", "reason"]).to_pylist()[0]
    return f"item {row['item_id']!r}: {row['reason'] or 'no reason was given'}"


async def _once(rows: pa.Table) -> AsyncIterator[pa.Table]:
    yield rows


def _rechunk(batches: Iterable[pa.Table | pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """Cuts a stream into tables of exactly `rows` rows; the last may have fewer.

    >>> table = pa.table({"a": list(range(7))})
    >>> [t["a"].to_pylist() for t in _rechunk([table.slice(0, 2), table.slice(2)], 3)]
    [[0, 1, 2], [3, 4, 5], [6]]
    """
    pieces: list[pa.Table] = []
    held = 0
    for batch in batches:
        table = batch if isinstance(batch, pa.Table) else pa.Table.from_batches([batch])
        start = 0
        while table.num_rows - start >= rows - held:
            pieces.append(table.slice(start, rows - held))
            start += rows - held
            yield pa.concat_tables(pieces)
            pieces, held = [], 0
        if start < table.num_rows:
            pieces.append(table.slice(start))
            held += table.num_rows - start
    if pieces:
        yield pa.concat_tables(pieces)

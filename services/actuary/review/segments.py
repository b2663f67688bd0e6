"""Answers as artifacts: segments that are never changed, and the labels that they resolve to.

A segment is an artifact of its own, `<batch>/answers/<first sequence>`, so that what was flushed is found,
checked and kept even if the batch is never closed and the database is lost. Its file's name says its range:
two processes that flush at once write different files, and the manifest, written if absent, decides whose
counts.

The resolved labels are computed from the plan and the segments alone.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

import actuary
from actuary import errors, failpoints
from actuary.review import gold, policy
from actuary.state import reviews
from actuary.storage import artifacts, objects, schemas, tables


def uri_of(batch: str, first: int) -> str:
    """The URI of the segment that begins with an answer.

    >>> uri_of("campaigns/c/reviewBatches/b", 1)
    'campaigns/c/reviewBatches/b/answers/000000000001'
    """
    return f"{batch}/answers/{first:012d}"


def resolved_uri(batch: str) -> str:
    """The URI of a batch's resolved labels."""
    return f"{batch}/resolved"


def write(
    store: objects.ObjectStore, record: reviews.BatchRecord, rows: Sequence[reviews.AnswerRow], wave: int
) -> int:
    """Writes a segment; returns the last sequence that it holds, whoever wrote it."""
    first, last = rows[0].sequence, rows[-1].sequence
    uri = uri_of(record.name, first)
    table = pa.table(
        {
            "item_id": [row.item_id for row in rows],
            "batch": [row.batch for row in rows],
            "task": [task_of(row.position) for row in rows],
            "wave": pa.array([wave] * len(rows), pa.int32()),
            "label": pa.array([row.label for row in rows], pa.string()),
            "reviewer": [row.reviewer for row in rows],
            "seconds": [row.seconds for row in rows],
            "blind": [row.blind for row in rows],
            "arrived": pa.array([row.arrived for row in rows], pa.timestamp("us", tz="UTC")),
            "sequence": pa.array([row.sequence for row in rows], pa.int64()),
            "supersedes": pa.array([row.supersedes for row in rows], pa.int64()),
        }
    )
    with failpoints.around("review.segment"):
        if artifacts.exists(store, uri):
            return _last(artifacts.read_manifest(store, uri)[0])
        ref = tables.write_table(store, f"{uri}/answers-{first}-{last}.parquet", table, schemas.ANSWERS)
        manifest = artifacts.Manifest(
            uri=uri,
            table="answers",
            version=schemas.version_of(schemas.ANSWERS),
            objects=(ref,),
            parameters={"batch": record.name, "first": first, "last": last},
            code_version=actuary.__version__,
            counts={"answers": len(rows)},
            shards=0,
        )
        try:
            artifacts.write_manifest(store, manifest)
        except errors.AlreadyExistsError:
            return _last(artifacts.read_manifest(store, uri)[0])
    return last


def list_segments(store: objects.ObjectStore, batch: str) -> Iterator[tuple[artifacts.Manifest, str]]:
    """The segments of a batch with their digests, in the order of their answers.

    Raises:
        DataLossError: One is missing between two others.
    """
    following = 1
    while artifacts.exists(store, uri := uri_of(batch, following)):
        manifest, digest = artifacts.read_manifest(store, uri)
        yield manifest, digest
        following = _last(manifest) + 1


def read(store: objects.ObjectStore, batch: str) -> pa.Table:
    """All answers of a batch that have been flushed, in their order."""
    pieces = [schemas.ANSWERS.empty_table()]
    for manifest, _ in list_segments(store, batch):
        for ref in manifest.objects:
            with tables.open_shard(store, ref, table="answers") as reader:
                pieces.append(reader.read().replace_schema_metadata(schemas.ANSWERS.metadata))
    return pa.concat_tables(pieces)


def resolve(answers: pa.Table, order: pa.Table) -> pa.Table:
    """The resolved label of every item that has an answer, with the columns of RESOLVED and `shard`.

    Gold tasks resolve to nothing: their label is known, and they are no items of the pool.

    Args:
        answers: Columns of ANSWERS, in the order of their sequence; a corrected answer is replaced by its
            correction.
        order: The serving order; position = row number.
    """
    labels: dict[int, dict[str, str | None]] = collections.defaultdict(dict)
    for row in answers.select(["task", "reviewer", "label"]).to_pylist():
        labels[position_of(row["task"])][row["reviewer"]] = row[
            "label"
        ]  # a correction keeps its person's place
    asked = gold.is_gold(order).to_pylist()
    positions = sorted(position for position in labels if not asked[position])
    resolutions = [policy.resolve(list(labels[position].values())) for position in positions]
    items = order.select(["item_id", "wave", "shard"]).take(pa.array(positions, pa.int64()))
    return pa.table(
        {
            "item_id": items["item_id"],
            "wave": items["wave"],
            "label": pa.array([each.label for each in resolutions], pa.string()),
            "answers": pa.array([len(labels[position]) for position in positions], pa.int32()),
            "agreement": pa.array([each.agreement for each in resolutions], pa.float64()),
            "method": pa.array([each.method for each in resolutions], pa.string()),
            "position": pa.array(positions, pa.int64()),
            "shard": items["shard"],
        }
    )


def write_resolved(
    store: objects.ObjectStore, *, batch: str, plan: str, parameters: dict[str, object], order: pa.Table
) -> str:
    """Writes the resolved labels of a batch from its segments; returns their URI."""
    uri = resolved_uri(batch)
    parents = []
    manifest, digest = artifacts.read_manifest(store, plan)
    parents.append(artifacts.Parent(uri=plan, digest=digest))
    parents += [artifacts.Parent(uri=m.uri, digest=d) for m, d in list_segments(store, batch)]
    answers = read(store, batch)
    resolved = resolve(answers, order)
    shards = resolved["shard"].combine_chunks()
    refs = []
    for shard in sorted(set(shards.to_pylist())):
        rows = resolved.filter(pc.equal(resolved["shard"], shard)).drop_columns(["shard"])
        key = tables.shard_key(uri, shard)
        refs.append(tables.write_table(store, key, rows.sort_by("item_id"), schemas.RESOLVED, shard=shard))
    paid = answers.filter(pc.is_null(answers["supersedes"]))
    places = pa.array([position_of(task) for task in paid["task"].to_pylist()], pa.int64())
    cost = pc.sum(order["cost_micros"].take(places)).as_py() or 0
    counts = {"answers": answers.num_rows, "labels": paid.num_rows, "items": order.num_rows}
    counts.update(collections.Counter(resolved["method"].to_pylist()))
    artifacts.write_manifest(
        store,
        artifacts.Manifest(
            uri=uri,
            table="resolved",
            version=schemas.version_of(schemas.RESOLVED),
            objects=tuple(refs),
            parents=tuple(parents),
            parameters={**parameters, "timing": timing(answers)},
            code_version=actuary.__version__,
            counts=counts,
            cost_micros=int(cost),
            shards=manifest.shards,
        ),
    )
    return uri


def timing(answers: pa.Table) -> dict[str, float]:
    """How long people took: sums over the answers that were timed, from which mean and spread follow.

    `elapsed` are the seconds from the first of them to the last. Empty where no answer was timed, as in a
    replay.
    """
    timed = answers.filter(pc.greater(answers["seconds"], 0.0))
    if timed.num_rows == 0:
        return {}
    ends = pc.min_max(timed["arrived"]).as_py()
    return {
        "answers": timed.num_rows,
        "seconds": pc.sum(timed["seconds"]).as_py(),
        "squares": pc.sum(pc.multiply(timed["seconds"], timed["seconds"])).as_py(),
        "reviewers": len(timed["reviewer"].unique()),
        "elapsed": (ends["max"] - ends["min"]).total_seconds(),
    }


def task_of(position: int) -> str:
    """The id of a task: its place in the serving order, which tells nothing about the item."""
    return f"{position:09d}"


def position_of(task: str) -> int:
    """The position that a task's id names; -1 when it is not one."""
    return int(task) if len(task) == 9 and task.isascii() and task.isdigit() else -1


def _last(manifest: artifacts.Manifest) -> int:
    return int(manifest.parameters["last"])

"""The columns of every table, in one place, with a version that travels in each file.

Tables are joined by `item_id`, never by position. A column is nullable only where null has a meaning: a
failed item has no label, a critic that did not answer has no score. A schema changes by a new version;
a reader that meets another one says so instead of guessing. A version that only added nullable columns reads
those before it (`OLDEST_READ`): what was imported before an upgrade stays in use after it.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from actuary import errors

_TABLE = b"actuary.table"
_VERSION = b"actuary.version"


def _schema(table: str, version: int, *fields: tuple[str, pa.DataType, str]) -> pa.Schema:
    return pa.schema(
        [pa.field("item_id", pa.string(), nullable=False)]
        + [pa.field(name, kind, nullable=mark == "?") for name, kind, mark in fields],
        metadata={_TABLE: table.encode(), _VERSION: str(version).encode()},
    )


_STRING = pa.string()
_DOUBLE = pa.float64()
_LONG = pa.int64()
_DOUBLES = pa.list_(pa.field("element", pa.float64()))  # the name that Parquet gives back
_FLOATS = pa.list_(pa.field("element", pa.float32()))

ITEMS = _schema(
    "items",
    3,
    ("text", _STRING, "?"),
    ("image", pa.binary(), "?"),  # the file's bytes, up to 64 kB
    ("image_uri", _STRING, "?"),  # key of a larger image in the same store; its last part is its SHA-256
    ("question", _STRING, "?"),
    ("split", _STRING, ""),  # pool, test or exemplar
    ("u", _DOUBLE, ""),  # permanent random number in (0, 1)
    ("slice", _STRING, "?"),  # the part of the data it belongs to; since version 2
    ("embedding", _FLOATS, "?"),  # as many numbers for every item; since version 3
)
TRUTH = _schema("truth", 1, ("label", _STRING, ""))
EXEMPLARS = _schema(
    "exemplars",
    1,
    ("text", _STRING, "?"),
    ("image", pa.binary(), "?"),
    ("question", _STRING, "?"),
    ("label", _STRING, ""),
)
ANNOTATIONS = _schema(
    "annotations",
    1,
    ("outcome", _STRING, ""),  # LABELLED, ABSTAINED, FAILED or OVER_BUDGET
    ("label", _STRING, "?"),
    ("confidence", _DOUBLE, "?"),  # in [0, 1]
    ("probabilities", _DOUBLES, "?"),  # in the order of the task's classes
    ("reasoning", _STRING, "?"),
    ("reason", _STRING, "?"),  # why it FAILED
    ("model", _STRING, ""),
    ("prompt_digest", _STRING, ""),
    ("tokens_in", _LONG, ""),
    ("tokens_out", _LONG, ""),
    ("cost_micros", _LONG, ""),
    ("compute_seconds", _DOUBLE, ""),
)
CRITIQUES = _schema(
    "critiques",
    1,
    ("critic_id", _STRING, ""),
    ("outcome", _STRING, ""),
    ("raw_score", _DOUBLE, "?"),
    ("error_probability", _DOUBLE, "?"),  # in [0, 1]
    ("reasoning", _STRING, "?"),
    ("reason", _STRING, "?"),
    ("model", _STRING, ""),
    ("prompt_digest", _STRING, ""),
    ("tokens_in", _LONG, ""),
    ("tokens_out", _LONG, ""),
    ("cost_micros", _LONG, ""),
    ("compute_seconds", _DOUBLE, ""),
)
RISKS = _schema(
    "risks",
    1,
    ("machine_label", _STRING, "?"),
    ("label", _STRING, "?"),  # after flips
    ("flipped", pa.bool_(), ""),
    ("risk", _DOUBLE, "?"),  # P(label is wrong), in [0, 1]
    ("machine_risk", _DOUBLE, "?"),  # P(machine_label is wrong)
    ("probabilities", _DOUBLES, "?"),
    ("fold", pa.int8(), ""),
    ("u", _DOUBLE, ""),
    ("outcome", _STRING, ""),
)
PLAN = _schema(
    "plan",
    1,
    ("wave", pa.int32(), ""),
    ("stratum", _STRING, ""),  # pilot, slice, class, audit, drawn, certain or failed
    ("s", _DOUBLE, ""),  # size measure
    ("pi", _DOUBLE, ""),  # inclusion probability, in (0, 1]
    ("u", _DOUBLE, ""),  # u', rescaled after the pilot
    ("rank", _DOUBLE, ""),  # serving order inside its stratum
    ("tau", _DOUBLE, ""),  # priority threshold
    ("cost_micros", _LONG, ""),
    ("blind", pa.bool_(), ""),
    ("labels_wanted", pa.int32(), ""),
    ("label", _STRING, "?"),  # the machine's, after flips
)
ANSWERS = _schema(
    "answers",
    1,
    ("batch", _STRING, ""),
    ("task", _STRING, ""),
    ("wave", pa.int32(), ""),
    ("label", _STRING, "?"),  # null: cannot tell
    ("reviewer", _STRING, ""),
    ("seconds", _DOUBLE, ""),
    ("blind", pa.bool_(), ""),
    ("arrived", pa.timestamp("us", tz="UTC"), ""),
    ("sequence", _LONG, ""),
    ("supersedes", _LONG, "?"),  # sequence of the same person's answer that this one corrects
)
RESOLVED = _schema(
    "resolved",
    1,
    ("wave", pa.int32(), ""),
    ("label", _STRING, "?"),
    ("answers", pa.int32(), ""),
    ("agreement", _DOUBLE, ""),  # share of answers that gave the label
    ("method", _STRING, ""),  # single, majority, adjudicated or unresolved
    ("position", _LONG, ""),  # serving order
)
WEIGHTS = _schema(
    "weights",
    1,
    ("wave", pa.int32(), ""),
    ("stratum", _STRING, ""),
    ("label", _STRING, "?"),  # the human label; null where people could not tell
    ("pi", _DOUBLE, "?"),  # inclusion probability in its own wave, given all earlier ones
    ("g", _DOUBLE, ""),  # weight in estimates and in training; 0 where it only corrects
)
TRAINING = _schema(
    "training",
    1,
    ("split", _STRING, ""),  # train or valid
    ("machine", _DOUBLES, ""),  # the class target before any human label
    ("human", _DOUBLES, "?"),
    ("g", _DOUBLE, ""),  # weight of the human label
)
EXPORT = _schema(
    "export",
    1,
    ("label", _STRING, "?"),
    ("source", _STRING, ""),  # machine, flipped, human or none
    ("machine_label", _STRING, "?"),
    ("risk", _DOUBLE, "?"),
    ("pi", _DOUBLE, "?"),
    ("g", _DOUBLE, "?"),
    ("wave", pa.int32(), "?"),
    ("model", _STRING, "?"),
    ("prompt_digest", _STRING, "?"),
    ("cost_micros", _LONG, ""),
)


REPEATED = frozenset(
    (
        *("split", "outcome", "label", "machine_label", "reason", "critic_id", "model", "prompt_digest"),
        *("stratum", "method", "source", "batch", "reviewer", "question", "slice"),
    )
)
"""Columns with few distinct values, worth a dictionary in Parquet; on ids and numbers one costs time only."""


def name_of(schema: pa.Schema) -> str:
    """The table's name in a schema's metadata; empty when the schema is not one of ours."""
    return bytes((schema.metadata or {}).get(_TABLE, b"")).decode()


def version_of(schema: pa.Schema) -> int:
    """The version in a schema's metadata; 0 when there is none."""
    value = bytes((schema.metadata or {}).get(_VERSION, b"0")).decode()
    return int(value) if value.isdecimal() else 0


TABLES: dict[str, pa.Schema] = {
    name_of(each): each
    for each in (
        ITEMS,
        TRUTH,
        EXEMPLARS,
        ANNOTATIONS,
        CRITIQUES,
        RISKS,
        PLAN,
        ANSWERS,
        RESOLVED,
        WEIGHTS,
        TRAINING,
        EXPORT,
    )
}
"""Every schema by the name of its table."""

OLDEST_READ = {"items": 1}
"""The oldest version of a table that is read, where it is not this build's: nullable columns came since."""


def of(table: str) -> pa.Schema:
    """The schema of a table by its name."""
    try:
        return TABLES[table]
    except KeyError:
        raise errors.InvalidInputError(
            f"unknown table {table!r}: expected one of {', '.join(TABLES)}"
        ) from None


def check_version(table: str, version: int, where: str) -> None:
    """Refuses what another version of Actuary wrote, naming both versions.

    Raises:
        InvalidInputError: the version is older than what this build reads, or newer than its own.
    """
    ours = version_of(of(table))
    if OLDEST_READ.get(table, ours) <= version <= ours:
        return
    advice = "run the stage that wrote it again" if version < ours else "use the newer Actuary that wrote it"
    raise errors.InvalidInputError(
        f"{where}: table {table!r} has schema version {version}, this build reads version {ours}: {advice}.",
        reason="SCHEMA_VERSION",
        metadata={"table": table, "version": str(version), "expected": str(ours)},
    )


def check(schema: pa.Schema, table: str, *, where: str = "table") -> None:
    """Checks that a file's schema is that of `table` in the version that this build reads.

    Args:
        schema: what was read.
        table: name of the table that is expected.
        where: file or artifact, for the message.

    Raises:
        InvalidInputError: another schema version.
        DataLossError: another table, or a column that is missing or of another type.
    """
    expected = of(table)
    got = name_of(schema)
    if got != table:
        raise errors.DataLossError(
            f"{where}: expected table {table!r} version {version_of(expected)}; "
            f"got {got or 'a file without a table name'!r} version {version_of(schema)}"
        )
    check_version(table, version_of(schema), where)
    older = version_of(schema) < version_of(expected)
    for field in expected:
        index = schema.get_field_index(field.name)
        if index < 0 and older and field.nullable:
            continue
        if index < 0 or not schema.field(index).type.equals(field.type):
            came = "no such column" if index < 0 else str(schema.field(index).type)
            raise errors.DataLossError(f"{where}: column {field.name!r}: expected {field.type}; got {came}")


def project(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    """The schema of some of its columns, in that order, with its metadata."""
    if columns is None:
        return schema
    return pa.schema([schema.field(name) for name in columns], metadata=schema.metadata)


def conform(table: pa.Table | pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    """Orders and casts columns to `schema`; a nullable column that is missing becomes null.

    Raises:
        InvalidInputError: a column that is unknown, missing, of a type that does not fit, or has nulls
            where none are allowed.
    """
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    if table.schema.equals(schema, check_metadata=True):
        _check_nulls(table, schema)
        return table
    unknown = sorted(set(table.column_names) - set(schema.names))
    if unknown:
        raise errors.InvalidInputError(f"table {name_of(schema)!r} has no column {', '.join(unknown)}")
    columns = []
    for field in schema:
        if field.name in table.column_names:
            column = table.column(field.name)
            try:
                columns.append(column if column.type.equals(field.type) else column.cast(field.type))
            except pa.ArrowException as error:
                raise errors.InvalidInputError(
                    f"table {name_of(schema)!r}, column {field.name!r}: "
                    f"expected {field.type}; got {column.type}: {error}"
                ) from error
        elif field.nullable:
            columns.append(pa.chunked_array([pa.nulls(table.num_rows, field.type)]))
        else:
            raise errors.InvalidInputError(f"table {name_of(schema)!r} needs the column {field.name!r}")
    result = pa.table(columns, schema=schema)
    _check_nulls(result, schema)
    return result


def _check_nulls(table: pa.Table, schema: pa.Schema) -> None:
    for field in schema:
        if not field.nullable and table.column(field.name).null_count:
            raise errors.InvalidInputError(
                f"table {name_of(schema)!r}, column {field.name!r}: "
                f"{table.column(field.name).null_count} nulls where none are allowed"
            )

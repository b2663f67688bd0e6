"""Tables as files that people open elsewhere: CSV, JSONL, Parquet, by the file's ending."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from actuary import errors

ENDINGS = (".csv", ".jsonl", ".parquet")


def check(path: Path) -> None:
    """Makes sure that there is a format for a file's ending, before anything is read for it."""
    if path.suffix not in ENDINGS:
        raise errors.InvalidInputError(f"{path}: expected a name that ends in {', '.join(ENDINGS)}")


def write(table: pa.Table, path: Path) -> None:
    """Writes a table whole or not at all.

    Raises:
        errors.InvalidInputError: the ending is none of `ENDINGS`, or the folder cannot be written.
    """
    check(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            pq.write_table(table, part)
        elif path.suffix == ".csv":
            pyarrow.csv.write_csv(table, part)
        else:
            with part.open("w", encoding="utf-8") as stream:
                for batch in table.to_batches():
                    stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in batch.to_pylist())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise errors.InvalidInputError(f"{path}: cannot be written: {error.strerror}") from error

"""Data sets that lie in a bucket: `s3://bucket/key`, where an import on a cluster finds them.

They are fetched whole, since every format is read from a file, and CSV twice. Endpoint and credentials are
those of the store; a bucket of its own needs no more than that they may read it.

It deliberately knows files only: the images of a data set lie in a Parquet column, not beside it.
"""

from __future__ import annotations

from pathlib import Path

from actuary import errors
from actuary.storage import location, objects

SCHEME = "s3://"


def has(uri: str) -> bool:
    """Whether a data set lies in a bucket."""
    return uri.startswith(SCHEME)


def size(uri: str) -> int:
    """Its bytes.

    Raises:
        errors.InvalidInputError: there is no such object.
    """
    store, key = _parts(uri)
    info = store.stat(key)
    if info is None:
        raise _missing(uri)
    return info.size


def fetch(uri: str, folder: Path) -> Path:
    """Copies it into a folder, under its own name, and returns the path.

    Raises:
        errors.InvalidInputError: there is no such object.
    """
    store, key = _parts(uri)
    path = folder / key
    try:
        store.fetch(key, path)
    except errors.NotFoundError as error:
        raise _missing(uri) from error
    return path


def _parts(uri: str) -> tuple[objects.ObjectStore, str]:
    place, _, key = uri.rpartition("/")
    if not key or place in ("s3:", "s3:/"):
        raise _bad(f"expected s3://bucket/key of a CSV, JSONL or Parquet file; got {uri!r}")
    return location.open_store(place), key


def _missing(uri: str) -> errors.InvalidInputError:
    return _bad(
        f"there is no {uri}: expected a CSV, JSONL or Parquet file that the store's credentials may read"
    )


def _bad(description: str) -> errors.InvalidInputError:
    return errors.InvalidInputError.of([errors.Violation("data.uri", description)])

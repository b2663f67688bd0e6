"""What an object store is to Actuary: immutable bytes under a key, written whole or not at all.

It exists so that a folder on a laptop and MinIO in a cluster are one thing to everybody else. Both keep the
same promises: a write is atomic and durable when the call returns, `if_absent` lets exactly one of many
writers win, a listing comes in the byte order of its keys.

A key should not be another key and a slash with more behind it (`a` and `a/b`): a folder cannot hold both
and says so; an S3 server can.

It deliberately offers no rename, no append, no lock and no metadata: nothing that one of the stores could
only imitate.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from actuary import errors

KEY_BYTES = 1000
"""Longest key in UTF-8 bytes; S3 takes 1,024 with the prefix of the store."""
SEGMENT_BYTES = 200
"""Longest part between two slashes, with each `%` counted as three: file systems take 255."""
BLOCK_BYTES = 1 << 20
"""How much a stream reads or writes at a time."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """One object as a listing shows it."""

    key: str
    size: int
    """Bytes."""
    modified: datetime
    """Time of its last write, UTC."""


class ObjectStore(Protocol):
    """Bytes under keys.

    Every method raises UnavailableError when the store does not answer after its retries, ExhaustedError
    when a disk or a quota is full, RefusedError when the credentials do not suffice, and InvalidInputError
    for a key that `check_key` refuses.
    """

    @property
    def uri(self) -> str:
        """`file:///absolute/folder` or `s3://bucket/prefix`; `location.open_store` opens it again."""
        ...

    @property
    def local(self) -> bool:
        """Whether objects are files of this machine, so that reading one twice costs no transfer."""
        ...

    def put(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        """Writes an object; False when `if_absent` and it existed already."""
        ...

    def put_file(self, key: str, path: Path, *, if_absent: bool = False) -> bool:
        """Writes an object from a file without holding it in memory."""
        ...

    def create(self, key: str) -> contextlib.AbstractContextManager[BinaryIO]:
        """A stream to write to; the object appears when the block ends, and not at all if it raises."""
        ...

    def get(self, key: str) -> bytes:
        """Reads an object. NotFoundError names its URI."""
        ...

    def get_summed(self, key: str, algorithm: str) -> tuple[memoryview, str]:
        """Reads an object and its digest or checksum (of `digests`), computed while more arrives."""
        ...

    def open(self, key: str) -> BinaryIO:
        """A seekable reader that fetches only the ranges that are read."""
        ...

    def fetch(self, key: str, path: Path) -> None:
        """Streams an object to a file."""
        ...

    def stat(self, key: str) -> ObjectInfo | None:
        """The object's size and time; None when there is none."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects whose key begins with `prefix`, in the byte order of their keys."""
        ...

    def delete(self, key: str) -> None:
        """Removes an object; no error when there is none."""
        ...

    def sweep(self, prefix: str, *, before: datetime, dry_run: bool) -> Sequence[ObjectInfo]:
        """Finds (and unless `dry_run` removes) what writers that died left behind before that time."""
        ...


def check_key(key: str) -> str:
    """Returns `key` if every store can hold it.

    Raises:
        InvalidInputError: empty, absolute, with an empty part, `.` or `..`, a control character or a lone
            surrogate, or too long.

    >>> check_key("campaigns/größe/shard-00000.parquet")
    'campaigns/größe/shard-00000.parquet'
    """
    problem = _problem(key)
    if problem:
        raise errors.InvalidInputError(
            f"object key {key!r}: {problem}", violations=[errors.Violation("key", problem)]
        )
    return key


def check_prefix(prefix: str) -> str:
    """Returns `prefix` if a key could begin with it; the empty prefix is every key."""
    check_key(f"{prefix}x")
    return prefix


def _problem(key: str) -> str:
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "expected text that UTF-8 can hold; got a lone surrogate"
    if size > KEY_BYTES:
        return f"expected at most {KEY_BYTES} bytes; got {size}"
    if any(ord(c) < 32 or ord(c) == 127 for c in key):
        return "expected no control characters"
    for part in key.split("/"):
        if part in ("", ".", ".."):
            return "expected a relative path without empty parts, '.' or '..'"
        if len(part.encode()) + 2 * part.count("%") > SEGMENT_BYTES:
            return f"expected at most {SEGMENT_BYTES} bytes between two slashes (a '%' counts three)"
    return ""

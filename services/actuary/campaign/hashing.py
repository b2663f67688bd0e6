"""Hashes ids on all cores: hashing holds the interpreter's lock, so threads do not help.

A helper is a child process that does nothing else (`hash_helper`); ids go to it and digests come back over
pipes. A helper that fails is not missed: its batch is hashed here. Ids stay in Arrow's buffers, or UTF-8
bytes, from the reader to the hash: making strings of them would cost a fifth of the hash.

It deliberately does not use multiprocessing, which would import the whole command line again in each child.
"""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
from collections.abc import Callable
from types import TracebackType
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from actuary.campaign import hash_helper
from actuary.stats import keyed_hash, prn

Digests = tuple[npt.NDArray[np.uint64], npt.NDArray[np.float64]]
HELPER_ROWS = 100_000
"""Rows from which a helper is worth its start; a guess from measuring on two cores."""
_SCRIPT = "from actuary.campaign import hash_helper; hash_helper.serve()"


class Hasher:
    """Digests ids, one batch in each helper at a time, or here where there is none. A context manager.

    With helpers nothing is hashed here: it would hold the interpreter's lock against reading and checking.

    Args:
        key: of the permanent random numbers.
        helpers: child processes to start.
    """

    def __init__(self, key: bytes, *, helpers: int) -> None:
        self._key = key
        self._idle: queue.Queue[Callable[[pa.Array], bytes]] = queue.Queue()
        self._helpers = [_Helper(key) for _ in range(helpers)]
        for digests in [helper.digests for helper in self._helpers] or [self._here]:
            self._idle.put(digests)

    @property
    def width(self) -> int:
        """Batches that can be hashed at a time."""
        return max(1, len(self._helpers))

    def digest(self, ids: pa.Array) -> Digests:
        """Shard hashes and permanent random numbers of ids; called from `width` threads at a time.

        Args:
            ids: strings without nulls.
        """
        digests = self._idle.get()
        try:
            found = digests(ids)
        except (OSError, EOFError):  # the helper is gone
            found = self._here(ids)
        finally:
            self._idle.put(digests)
        return prn.numbers(found)

    def _here(self, ids: pa.Array) -> bytes:
        return keyed_hash.digests(ids.cast(pa.binary()).to_pylist(), self._key)

    def __enter__(self) -> Hasher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for helper in self._helpers:
            helper.close()


class _Helper:
    """One child process; it ends when its input does."""

    def __init__(self, key: bytes) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._to: BinaryIO = self._process.stdin  # type: ignore[assignment]
        self._from: BinaryIO = self._process.stdout  # type: ignore[assignment]
        with contextlib.suppress(OSError):  # a child that could not start shows when it is asked
            self._send(0, key)

    def digests(self, ids: pa.Array) -> bytes:
        if not len(ids):
            return b""
        whole = pa.ListArray.from_arrays(pa.array([0, len(ids)], pa.int32()), ids.cast(pa.binary()))
        text: bytes = pc.binary_join(whole, hash_helper.SEPARATOR)[0].as_py()
        if text.count(hash_helper.SEPARATOR) != len(ids) - 1:  # an id holds the separator
            raise OSError("these ids cannot be sent")
        self._send(len(ids), text)
        return hash_helper.receive(self._from, keyed_hash.DIGEST_BYTES * len(ids))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._to.close()
        self._from.close()
        self._process.wait()

    def _send(self, count: int, data: bytes) -> None:
        self._to.write(hash_helper.HEADER.pack(count, len(data)))
        self._to.write(data)
        self._to.flush()

"""What a child process of `hashing` does: hashes batches of ids until its input ends.

It imports neither NumPy nor pyarrow, so that it starts in a few hundredths of a second. A batch comes as its
number of ids, their size and the ids in UTF-8 between zero bytes; the digests go back as they are.
"""

from __future__ import annotations

import signal
import struct
import sys
from typing import BinaryIO

from actuary.stats import keyed_hash

HEADER = struct.Struct("<QQ")
SEPARATOR = b"\0"


def serve() -> None:
    """Reads the key, then answers batches."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; its end is ours
    source, target = sys.stdin.buffer, sys.stdout.buffer
    _, size = HEADER.unpack(receive(source, HEADER.size))
    key = receive(source, size)
    while header := source.read(HEADER.size):
        _, size = HEADER.unpack(header)
        target.write(keyed_hash.digests(receive(source, size).split(SEPARATOR), key))
        target.flush()


def receive(stream: BinaryIO, size: int) -> bytes:
    """Reads exactly so many bytes.

    Raises:
        EOFError: the other end is gone.
    """
    data = stream.read(size)
    if len(data) != size:
        raise EOFError(f"expected {size} bytes; got {len(data)}")
    return data

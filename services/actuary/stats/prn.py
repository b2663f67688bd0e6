"""Permanent random numbers: chance that belongs to an item's id and to a key, not to a run.

    u = ((h >> 11) + 1/2) 2^-53,   h = 64 bits of BLAKE2b(id; key)

The same id and key give the same u on every machine, in every order and whatever the number of shards; so a
draw can be repeated, checked years later and done in parallel, and a larger budget only adds items (Ohlsson
1995). Every purpose (each wave, the audit, ties, folds) has a key of its own, derived from the project's:
numbers that were used once to select are no longer uniform among what was left (algorithms.md 8.1).

The module does not keep keys: whoever knows the key knows who will be audited, so it stays with the planner.

References:
    Ohlsson, E. (1995). Coordination of samples using permanent random numbers. In: Business Survey Methods,
    153-169. Saarinen, M.-J., Aumasson, J.-P. (2015). The BLAKE2 cryptographic hash and MAC. RFC 7693.
"""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from actuary.stats import checks, keyed_hash

MIN_KEY_BYTES = 8
"""The 64 bits of a campaign's seed are the shortest key that makes sense."""


def _check_key(key: bytes) -> None:
    if not MIN_KEY_BYTES <= len(key) <= hashlib.blake2b.MAX_KEY_SIZE:
        raise ValueError(
            f"key: expected {MIN_KEY_BYTES} to {hashlib.blake2b.MAX_KEY_SIZE} bytes, got {len(key)}"
        )


def derive_key(project_key: bytes, purpose: str) -> bytes:
    """Returns the key of one purpose, 32 bytes: BLAKE2b-256(purpose; project key).

    Args:
        project_key: 8 to 64 bytes; the one secret of a project.
        purpose: what the numbers are for: "items", "fold", "ties", "wave-2/audit".

    Returns:
        32 bytes; keys of different purposes give independent numbers.

    Raises:
        ValueError: the project key is shorter or longer than that, or the purpose is empty.

    >>> derive_key(b"secret key", "fold").hex()[:8] == derive_key(b"secret key", "ties").hex()[:8]
    False
    """
    _check_key(project_key)
    if not purpose:
        raise ValueError("purpose: expected a name, got an empty string")
    return hashlib.blake2b(purpose.encode(), key=project_key, digest_size=32).digest()


def project_key(seed: int) -> bytes:
    """Returns the project key of a campaign's seed: its 8 bytes, little endian.

    Args:
        seed: in [0, 2^64).

    Raises:
        ValueError: the seed is outside that range.

    >>> project_key(1).hex()
    '0100000000000000'
    """
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed: expected a number in [0, 2^64), got {seed}")
    return seed.to_bytes(8, "little")


def digest(ids: Sequence[str], key: bytes) -> tuple[npt.NDArray[np.uint64], checks.Floats]:
    """Hashes every id once, into the number that picks its shard and the number that picks it for a sample.

    One keyed BLAKE2b-128 an id: the first 8 bytes, little endian, are the shard hash; the last 8 are h, and
    u = ((h >> 11) + 1/2) 2^-53. The halves of a digest are independent, so shards are not correlated with
    samples.

    Args:
        ids: N item ids. Duplicates are not looked for here (the data may come in batches): they would share
            u.
        key: 8 to 64 bytes.

    Returns:
        Shard hashes [N], and u [N] in (0, 1).

    Raises:
        ValueError: the key is too short or too long.

    >>> shard_hash, u = digest(["a", "b"], b"secret key")
    >>> shard_hash.dtype.name, bool(((u > 0) & (u < 1)).all())
    ('uint64', True)
    """
    _check_key(key)
    return numbers(keyed_hash.digests([item_id.encode() for item_id in ids], key))


def numbers(digests: bytes) -> tuple[npt.NDArray[np.uint64], checks.Floats]:
    """Reads the two numbers of every digest that `keyed_hash` gave; see `digest`.

    >>> numbers(keyed_hash.digests([b"a"], b"secret key"))[1] == digest(["a"], b"secret key")[1]
    array([ True])
    """
    words = np.frombuffer(digests, dtype="<u8").astype(np.uint64, copy=False)
    u = ((words[1::2] >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return words[0::2].copy(), u


def uniform(ids: Sequence[str], key: bytes) -> checks.Floats:
    """Returns the permanent random numbers u of items.

    Args:
        ids: N item ids, all different.
        key: 8 to 64 bytes, of this purpose alone (`derive_key`).

    Returns:
        u [N] in (0, 1), multiples of 2^-54.

    Raises:
        ValueError: the key has a wrong length, or an id occurs twice.

    References:
        Ohlsson (1995); 53 bits as in Steele, Lea, Flood (2014), section 3.

    >>> uniform(["a", "b", "a"], b"secret key")
    Traceback (most recent call last):
        ...
    ValueError: ids: expected unique ids, got 'a' more than once
    """
    _, u = digest(ids, key)
    if len(set(ids)) != len(ids):
        (twice, _), *_ = collections.Counter(ids).most_common(1)
        raise ValueError(f"ids: expected unique ids, got {twice!r} more than once")
    return u


def fold(u: npt.ArrayLike, folds: int = 5) -> npt.NDArray[np.int8]:
    """Deals items into folds: floor(folds u).

    Args:
        u: [N] in (0, 1), from a key of their own: with the draw's key, folds would be slices of the sample.
        folds: in [2, 127].

    Returns:
        Fold of every item, [N], in [0, folds).

    Raises:
        ValueError: u outside (0, 1) or folds out of range.

    >>> fold([0.1, 0.5, 0.99]).tolist()
    [0, 2, 4]
    """
    checks.count("folds", folds, 2, 127)
    return np.floor(folds * checks.uniforms("u", u)).astype(np.int8)

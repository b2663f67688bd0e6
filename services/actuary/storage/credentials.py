"""Credentials for some prefixes of a store and some hours, so that a worker reaches its own work and no more.

An S3 server that knows `AssumeRole` (MinIO does) gives them out: they may do what the keys that ask for them
may, cut down by a session policy. A process reads them from files that are replaced before they end.

References:
    AWS Security Token Service API Reference, AssumeRole; MinIO documents its own endpoint for it.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import minio.credentials
import urllib3

from actuary import errors
from actuary.storage import settings as storage_settings

SHORTEST_SECONDS: Final = 3600
"""What the `minio` package asks for at least."""
LONGEST_SECONDS: Final = 604_800
"""What MinIO gives at most: a week."""
_TIMEOUT = urllib3.Timeout(connect=5.0, read=30.0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What of a store may be reached."""

    reads: tuple[str, ...] = ()
    """Keys that begin so may be read and listed; a prefix ends with a slash."""
    writes: tuple[str, ...] = ()
    """Keys that begin so may be read, listed, written and deleted."""
    files: tuple[str, ...] = ()
    """Objects elsewhere that may be read, `s3://bucket/key`: a data set, say."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """Credentials that end."""

    access_key: str
    secret_key: str = dataclasses.field(repr=False)
    session_token: str = dataclasses.field(repr=False)
    expires: datetime.datetime


def policy_of(uri: str, access: Access) -> str:
    """The session policy, as JSON.

    Args:
        uri: of the store, `s3://bucket/prefix`.
        access: what may be reached in it.

    >>> import json
    >>> statements = json.loads(policy_of("s3://b/p", Access(reads=("a/",), writes=("w/",))))["Statement"]
    >>> [statement["Resource"] for statement in statements]
    [['arn:aws:s3:::b/p/a/*', 'arn:aws:s3:::b/p/w/*'], ['arn:aws:s3:::b/p/w/*'], ['arn:aws:s3:::b']]
    >>> statements[2]["Condition"]
    {'StringLike': {'s3:prefix': ['p/a/*', 'p/w/*']}}
    """
    bucket, prefix = _parts(uri)

    def named(keys: Iterable[str]) -> list[str]:
        return [f"{prefix}/{key}*" if prefix else f"{key}*" for key in keys]

    def resources(names: Iterable[str]) -> list[str]:
        return [f"arn:aws:s3:::{bucket}/{name}" for name in names]

    reached, written = named((*access.reads, *access.writes)), named(access.writes)
    files = [f"arn:aws:s3:::{'/'.join(_parts(file))}" for file in access.files]
    changes = ["PutObject", "DeleteObject", "AbortMultipartUpload", "ListMultipartUploadParts"]
    statements = [
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": [*resources(reached), *files]},
        {"Effect": "Allow", "Action": [f"s3:{name}" for name in changes], "Resource": resources(written)},
        # without it a missing object is refused instead of missing
        {
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": [f"arn:aws:s3:::{bucket}"],
            "Condition": {"StringLike": {"s3:prefix": reached}},
        },
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))


def issue(
    uri: str, access: Access, seconds: int, options: storage_settings.StorageSettings | None = None
) -> Issued:
    """Asks the store for credentials.

    Args:
        uri: of the store, `s3://bucket/prefix`.
        access: what they may reach.
        seconds: how long they live, in [3600, 604,800].
        options: endpoint and the keys that ask; read from the environment when not given.

    Raises:
        errors.PreconditionError: the store gives none: no STS there, or the keys may not ask.
        errors.UnavailableError: it does not answer.
    """
    options = options or storage_settings.StorageSettings()
    access_key, secret_key, _ = options.credentials()
    provider = minio.credentials.AssumeRoleProvider(
        sts_endpoint=options.endpoint,
        access_key=access_key,
        secret_key=secret_key,
        duration_seconds=seconds,
        policy=policy_of(uri, access),
        region=options.region,
        http_client=urllib3.PoolManager(timeout=_TIMEOUT, retries=False),
    )
    try:
        found = provider.retrieve()
    except ValueError as error:
        message = (
            f"the store at {options.endpoint} gives no credentials for a Job (AssumeRole: {error}). Is it "
            "MinIO, or another server with STS, and may the keys of the store's Secret ask? If not, set "
            "store.jobCredentials.enabled to false: workers then use the keys of the store's Secret"
        )
        raise errors.PreconditionError(message, reason="NO_CREDENTIALS") from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise errors.UnavailableError(f"the store at {options.endpoint} does not answer: {error}") from error
    ends = found.expiration or datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return Issued(
        access_key=found.access_key,
        secret_key=found.secret_key,
        session_token=found.session_token or "",
        # the package gives a time without a zone, in UTC
        expires=ends.replace(tzinfo=datetime.UTC) if ends.tzinfo is None else ends,
    )


class Files(minio.credentials.Provider):  # type: ignore[misc]  # the package has no types
    """Credentials from files, read again when one of them is another file than before.

    Args:
        paths: of the files; those that Kubernetes mounts are replaced together, under one link.
        read: reads all of them.
    """

    def __init__(self, paths: Iterable[Path], read: Callable[[], tuple[str, str, str | None]]) -> None:
        self._paths = tuple(paths)
        self._read = read
        self._seen: tuple[tuple[int, int], ...] = ()
        self._last: minio.credentials.Credentials | None = None

    def retrieve(self) -> minio.credentials.Credentials:
        """The credentials of now."""
        while True:
            seen = self._look()
            if self._last is not None and seen == self._seen:
                return self._last
            access, secret, token = self._read()
            if self._look() == seen:  # else they were replaced between two files
                self._seen = seen
                self._last = minio.credentials.Credentials(
                    access_key=access, secret_key=secret, session_token=token
                )

    def _look(self) -> tuple[tuple[int, int], ...]:
        try:
            stats = [path.stat() for path in self._paths]
        except OSError:
            return ()
        return tuple((stat.st_ino, stat.st_mtime_ns) for stat in stats)


def _parts(uri: str) -> tuple[str, str]:
    """Bucket and key or prefix of an `s3://` URI."""
    scheme, separator, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not separator or not bucket:
        raise errors.InvalidInputError(f"expected s3://bucket/prefix; got {uri!r}")
    return bucket, key.strip("/")

"""Credentials for some prefixes of a store and some hours, so that a worker reaches its own work and no more.

An S3 server that knows `AssumeRole` (MinIO does) gives them out: they may do what the keys that ask for them
may, cut down by a session policy. A process reads them from files that are replaced before they end.

It deliberately does not know what a Job needs: `jobs.access` says that.

References:
    AWS Security Token Service API Reference, AssumeRole; MinIO documents its own endpoint for it.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import minio.credentials
import urllib3

from actuary import errors
from actuary.storage import objects
from actuary.storage import settings as storage_settings

SHORTEST_SECONDS: Final = 3600
"""What the `minio` package asks for at least."""
LONGEST_SECONDS: Final = 604_800
"""What MinIO gives at most: a week."""
LONGEST_POLICY: Final = 2048
"""Bytes of a session policy that MinIO and AWS take."""
_WILD: Final = ("*", "?", "${")
"""What a policy does not take for itself."""
_LATER: Final = (
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
_TIMEOUT = urllib3.Timeout(connect=5.0, read=30.0)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What of a store may be reached."""

    reads: tuple[str, ...] = ()
    """Keys that begin so may be read; a prefix ends with a slash."""
    lists: tuple[str, ...] = ()
    """Keys that begin so may be read and listed."""
    writes: tuple[str, ...] = ()
    """Keys that begin so may be read, listed, written and deleted."""
    files: tuple[str, ...] = ()
    """Objects elsewhere that may be read, `s3://bucket/key`: labels at hand, say."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """Credentials that end."""

    access_key: str
    secret_key: str = dataclasses.field(repr=False)
    session_token: str = dataclasses.field(repr=False)
    expires: datetime.datetime


def policy_of(uri: str, access: Access) -> str:
    """The session policy, as JSON; whether it is short enough is the caller's matter.

    Args:
        uri: of the store, `s3://bucket/prefix`.
        access: what may be reached in it.

    Raises:
        errors.InvalidInputError: a key or URI is none, or holds a character that a policy takes for any text.

    >>> import json
    >>> access = Access(reads=("a/",), writes=("w/",))
    >>> read, write, look = json.loads(policy_of("s3://b/p", access))["Statement"]
    >>> read["Action"], read["Resource"], write["Resource"]
    (['s3:GetObject'], ['arn:aws:s3:::b/p/a/*'], ['arn:aws:s3:::b/p/w/*'])
    >>> look["Resource"], look["Condition"]
    (['arn:aws:s3:::b'], {'StringLike': {'s3:prefix': ['p/w/*']}})
    """
    bucket, prefix = _parts(uri)

    def named(keys: Iterable[str]) -> list[str]:
        return [f"{prefix}/{_tame(key)}*" if prefix else f"{_tame(key)}*" for key in keys]

    def resources(names: Iterable[str]) -> list[str]:
        return [f"arn:aws:s3:::{bucket}/{name}" for name in names]

    def allowed(actions: list[str], found: list[str], **more: Any) -> dict[str, Any]:
        named = [f"s3:{action}" for action in actions]
        return {"Effect": "Allow", "Action": named, "Resource": found, **more}

    files = [f"arn:aws:s3:::{'/'.join(_file_parts(file))}" for file in access.files]
    read = [*resources(named((*access.reads, *access.lists))), *files]
    changes = ["GetObject", "PutObject", "DeleteObject", "AbortMultipartUpload"]
    # MinIO says of an object that may be read and is not there that it is missing, also where nothing may be
    # listed; so parents need no listing, which would name each of them twice
    listed = named((*access.lists, *access.writes))
    condition = {"StringLike": {"s3:prefix": listed}}
    statements = [
        *([allowed(["GetObject"], read)] if read else []),
        *([allowed(changes, resources(named(access.writes)))] if access.writes else []),
        *([allowed(["ListBucket"], [f"arn:aws:s3:::{bucket}"], Condition=condition)] if listed else []),
    ]
    return json.dumps(
        {"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"), ensure_ascii=False
    )


def fits(uri: str, access: Access) -> bool:
    """Whether the policy is so short that a server takes it."""
    return _size(policy_of(uri, access)) <= LONGEST_POLICY


def _size(policy: str) -> int:
    """Bytes of a policy as MinIO counts them: it writes these three characters as six."""
    return len(policy.encode()) + 5 * sum(policy.count(each) for each in "<>&")


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
        errors.InvalidInputError: the policy cannot be written, or is longer than a server takes.
        errors.PreconditionError: the store gives none: no STS there, or the keys may not ask.
        errors.UnavailableError: it does not answer, or not now.
    """
    options = options or storage_settings.StorageSettings()
    if not fits(uri, access):
        raise errors.InvalidInputError(
            f"{uri}: expected a policy of at most {LONGEST_POLICY} bytes; the one with {len(access.reads)} "
            f"prefixes to read has {_size(policy_of(uri, access))}. Use a shorter name of the campaign or a "
            "shorter prefix of the store"
        )
    access_key, secret_key, _ = options.credentials()
    answers = _Answers()
    provider = minio.credentials.AssumeRoleProvider(
        sts_endpoint=options.endpoint,
        access_key=access_key,
        secret_key=secret_key,
        duration_seconds=seconds,
        policy=policy_of(uri, access),
        region=options.region,
        http_client=answers,
    )
    try:
        found = provider.retrieve()
    except (ValueError, ElementTree.ParseError) as error:
        raise _refused(options.endpoint, answers) from error
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


class _Answers:
    """Keeps the answer: of one that is no success the package tells the status only."""

    def __init__(self) -> None:
        self.status = 0
        self.text = ""

    def urlopen(self, method: str, url: str, **request: Any) -> urllib3.BaseHTTPResponse:
        """What the package asks of an HTTP client."""
        with urllib3.PoolManager(timeout=_TIMEOUT, retries=False) as pool:
            answer = pool.urlopen(method, url, **request)
        self.status, self.text = answer.status, answer.data.decode(errors="replace")
        return answer


def _refused(endpoint: str, answers: _Answers) -> errors.ActuaryError:
    """What a server means that gives no credentials."""
    parts = [re.search(f"<{name}>(.*?)</{name}>", answers.text, re.DOTALL) for name in ("Code", "Message")]
    said = ": ".join(part[1] for part in parts if part) or f"HTTP status {answers.status}"
    if answers.status in _LATER:
        return errors.UnavailableError(f"the store at {endpoint} gives no credentials now ({said})")
    message = (
        f"the store at {endpoint} gives no credentials for a Job (AssumeRole: {said}). It has to be MinIO, "
        "or another server with STS, and the store's Secret has to hold the keys of a user there: those of "
        "a service account may not ask. Otherwise set store.jobCredentials.enabled to false "
        "(ACTUARY_KUBERNETES_CREDENTIALS_SECONDS=0): workers then use the keys of the store's Secret"
    )
    return errors.PreconditionError(message, reason="NO_CREDENTIALS")


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
    """Bucket and prefix of a store's URI."""
    bucket, key = _split(uri)
    return bucket, key.strip("/")


def _file_parts(uri: str) -> tuple[str, str]:
    """Bucket and key of an object, as they are written: nothing is made of slashes and dots."""
    bucket, key = _split(uri)
    return bucket, objects.check_key(key)


def _split(uri: str) -> tuple[str, str]:
    scheme, separator, rest = _tame(uri).partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not separator or not bucket:
        raise errors.InvalidInputError(f"expected s3://bucket/prefix; got {uri!r}")
    return bucket, key


def _tame(text: str) -> str:
    """The text, in which nothing stands for any other text."""
    found = [each for each in _WILD if each in text]
    if found:
        raise errors.InvalidInputError(
            f"{text!r}: expected a name without {' '.join(_WILD)}, which a policy takes for any text; it has "
            f"{' '.join(found)}"
        )
    return text

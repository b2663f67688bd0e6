"""The object store that is an S3 server: MinIO, or whatever else speaks its API.

The `minio` package is wrapped whole: its errors and objects stop here. Create-if-absent is a presigned PUT
with `If-None-Match: *`, which the server decides atomically and which the package offers no other way. Large
objects go up in parts and come down in ranges, so that memory stays bounded both ways.

Requests are repeated by `_retried`, the only retry here: urllib3's own is switched off, so that the bound in
the settings is the bound. A repeated create-if-absent whose first answer was lost finds its own object there;
it compares the content before it says that somebody else won.

It deliberately sets no policy, lifecycle or lock on a bucket: those are the administrator's.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import minio
import minio.error
import minio.helpers
import pyarrow as pa
import tenacity
import urllib3

from actuary import errors
from actuary.storage import credentials, digests, object_streams, objects, settings

T = TypeVar("T")

_READ_BYTES = 1 << 20
"""What a reader fetches at a time."""
_PIECE_BYTES = 1 << 18
"""What is summed at a time while more arrives: as much as stays in a processor's cache."""
_PAGE = 1000
"""Names a request of a listing."""
_MAX_PARTS = 10_000
_PRESIGNED = timedelta(minutes=15)
_MISSING = ("NoSuchKey", "NoSuchObject", "NoSuchVersion")
_REFUSED = (
    *("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidTokenId"),
    *("InvalidToken", "AuthorizationHeaderMalformed", "AllAccessDisabled", "AccountProblem"),
)
_ENDED = ("ExpiredToken", "InvalidAccessKeyId", "InvalidTokenId", "InvalidToken", "SignatureDoesNotMatch")
"""What a server says of temporary credentials that are over; MinIO forgets the key."""
_FULL = (
    *("XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "InsufficientCapacity"),
    *("XMinioInsufficientCapacity",),
)
_TAKEN = ("XMinioParentIsObject", "XMinioObjectExistsAsDirectory", "ParentIsObject")
_LATER = (
    *("SlowDown", "SlowDownRead", "SlowDownWrite", "ServiceUnavailable", "InternalError", "RequestTimeout"),
    *(
        "XMinioServerNotInitialized",
        "OperationAborted",
        "ConditionalRequestConflict",
        "Busy",
        "ServerNotInitialized",
    ),
)


class MinioStore:
    """An `objects.ObjectStore` under a prefix of a bucket.

    Args:
        bucket: its name; made on the first write if missing and the settings allow it.
        prefix: prefix of every key, without slashes at the ends; may be empty.
        options: endpoint, credentials, timeouts.

    Raises:
        InvalidInputError: no bucket, a bad endpoint, or credentials missing.
    """

    def __init__(self, bucket: str, prefix: str, options: settings.StorageSettings) -> None:
        self._bucket = bucket
        self._prefix = prefix.strip("/")
        self._options = options
        options.credentials()  # says at once which is missing
        endpoint = urllib.parse.urlsplit(options.endpoint)
        if endpoint.scheme not in ("http", "https") or not endpoint.netloc or endpoint.path.strip("/"):
            raise errors.InvalidInputError(
                f"storage.endpoint: expected http://host:port or https://host:port; got {options.endpoint!r}"
            )
        timeout = urllib3.Timeout(connect=options.connect_timeout_seconds, read=options.read_timeout_seconds)
        pools: dict[str, Any] = {"timeout": timeout, "retries": False, "maxsize": 16}
        self._http = urllib3.PoolManager(**pools)
        try:
            self._client = minio.Minio(
                endpoint=endpoint.netloc,
                credentials=credentials.Files(options.credential_files, options.credentials),
                secure=endpoint.scheme == "https",
                region=options.region,
                http_client=self._http,
            )
            minio.helpers.check_bucket_name(bucket, strict=True)
        except ValueError as error:
            raise errors.InvalidInputError(f"storage.uri: s3://{bucket}: {error}") from error

    def __repr__(self) -> str:
        return f"MinioStore({self.uri!r}, endpoint={self._options.endpoint!r})"

    @property
    def uri(self) -> str:
        """`s3://bucket/prefix`."""
        return f"s3://{self._bucket}/{self._prefix}" if self._prefix else f"s3://{self._bucket}"

    @property
    def local(self) -> bool:
        """False: reading is a transfer."""
        return False

    def put(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        """Writes an object; False when `if_absent` and it existed already."""
        name = self._name(key)
        if if_absent:
            digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
            return self._put_absent(key, digest, len(data), lambda: data)
        self._call(key, lambda: self._put_stream(name, io.BytesIO(data), len(data)), write=True)
        return True

    def put_file(self, key: str, path: Path, *, if_absent: bool = False) -> bool:
        """Streams a file up: in parts, or as one conditional request when `if_absent`."""
        name = self._name(key)
        if if_absent:
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            return self._put_absent(key, digest, path.stat().st_size, lambda: path.open("rb"))

        def send() -> None:
            with path.open("rb") as stream:
                self._put_stream(name, stream, path.stat().st_size)

        self._call(key, send, write=True)
        return True

    @contextlib.contextmanager
    def create(self, key: str) -> Iterator[BinaryIO]:
        """A stream to write to; it is kept in memory or a temporary file and sent when the block ends."""
        name = self._name(key)
        with object_streams.Spool() as spool:
            yield spool  # type: ignore[misc]
            size = spool.tell()
            self._call(key, lambda: self._put_stream(name, spool.content(), size), write=True)

    def get(self, key: str) -> bytes:
        """Reads an object."""
        name = self._name(key)
        return self._call(key, lambda: self._read(name))

    def get_summed(self, key: str, algorithm: str) -> tuple[memoryview, str]:
        """Reads an object and its digest or checksum."""
        name = self._name(key)
        return self._call(key, lambda: self._read_summed(name, algorithm))

    def open(self, key: str) -> BinaryIO:
        """A buffered reader that fetches ranges."""
        info = self.stat(key)
        if info is None:
            raise errors.NotFoundError(
                f"no object at {self.uri}/{key}", metadata={"uri": f"{self.uri}/{key}"}
            )
        read = functools.partial(self.read_range, key)
        return io.BufferedReader(object_streams.Ranges(read, info.size), _READ_BYTES)

    def fetch(self, key: str, path: Path) -> None:
        """Streams an object to a file."""
        name = self._name(key)
        self._call(key, lambda: self._fetch(name, path))

    def stat(self, key: str) -> objects.ObjectInfo | None:
        """Size and time of an object; None when there is none."""
        name = self._name(key)
        try:
            found = self._call(key, lambda: self._client.stat_object(self._bucket, name))
        except errors.NotFoundError:
            return None
        return objects.ObjectInfo(key=key, size=int(found.size), modified=_utc(found.last_modified))

    def list(self, prefix: str) -> Iterator[objects.ObjectInfo]:
        """All objects whose key begins with `prefix`, a page of 1,000 at a time."""
        objects.check_prefix(prefix)
        full = f"{self._prefix}/{prefix}" if self._prefix else prefix
        after: str | None = None
        while True:
            page = self._call(prefix, functools.partial(self._page, full, after))
            for name, info in page:
                after = name
                yield info
            if len(page) < _PAGE:
                return

    def delete(self, key: str) -> None:
        """Removes an object; no error when there is none."""
        name = self._name(key)
        with contextlib.suppress(errors.NotFoundError):
            self._call(key, lambda: self._client.remove_object(self._bucket, name))

    def sweep(self, prefix: str, *, before: datetime, dry_run: bool) -> Sequence[objects.ObjectInfo]:
        """Nothing: the server removes unfinished uploads itself (MinIO after a day)."""
        objects.check_prefix(prefix)
        return ()

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        """Some bytes of an object, for the reader of `open`."""
        name = self._name(key)
        return self._call(key, lambda: self._read(name, offset, length))

    def _name(self, key: str) -> str:
        objects.check_key(key)
        return f"{self._prefix}/{key}" if self._prefix else key

    def _key(self, name: str) -> str:
        return name[len(self._prefix) + 1 :] if self._prefix else name

    def _put_stream(self, name: str, stream: BinaryIO, size: int) -> None:
        part = max(self._options.part_bytes, -(-size // _MAX_PARTS))
        self._client.put_object(self._bucket, name, stream, size, part_size=part)

    def _put_absent(self, key: str, md5: str, size: int, body: Callable[[], bytes | BinaryIO]) -> bool:
        """A conditional PUT; `md5` recognises an object of ours whose first answer was lost."""
        name = self._name(key)
        headers = {"If-None-Match": "*", "Content-Length": str(size)}
        lost = False

        def send() -> bool:
            nonlocal lost
            url = self._client.get_presigned_url("PUT", self._bucket, name, expires=_PRESIGNED)
            data = body()
            try:
                response = self._http.request("PUT", url, body=data, headers=headers)
            except urllib3.exceptions.HTTPError as error:
                lost = lost or not isinstance(error, urllib3.exceptions.NewConnectionError)
                raise
            finally:
                if not isinstance(data, bytes):
                    data.close()
            if response.status == HTTPStatus.OK:
                return True
            if response.status == HTTPStatus.PRECONDITION_FAILED:
                return lost and self._etag(name) == md5
            lost = lost or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR
            raise _answered(response)

        return self._call(key, send, write=True)

    def _etag(self, name: str) -> str:
        return str(self._client.stat_object(self._bucket, name).etag).strip('"')

    def _read(self, name: str, offset: int = 0, length: int = 0) -> bytes:
        response = self._client.get_object(self._bucket, name, offset=offset, length=length)
        try:
            return bytes(response.read())
        finally:
            response.close()
            response.release_conn()

    def _read_summed(self, name: str, algorithm: str) -> tuple[memoryview, str]:
        found = digests.Sum(algorithm)
        response = self._client.get_object(self._bucket, name)
        try:
            # PyArrow's pool has pages that were used before; new ones cost more than the sum
            view = memoryview(pa.allocate_buffer(int(response.headers["Content-Length"]))).cast("B")
            for start in range(0, len(view), _PIECE_BYTES):
                piece = view[start : start + _PIECE_BYTES]
                response.readinto(piece)
                found.update(piece)
        finally:
            response.close()
            response.release_conn()
        return view, found.text()

    def _fetch(self, name: str, path: Path) -> None:
        response = self._client.get_object(self._bucket, name)
        try:
            with path.open("wb") as target:
                for block in response.stream(objects.BLOCK_BYTES):
                    target.write(block)
        finally:
            response.close()
            response.release_conn()

    def _page(self, prefix: str, after: str | None) -> Sequence[tuple[str, objects.ObjectInfo]]:
        listing = self._client.list_objects(self._bucket, prefix=prefix, recursive=True, start_after=after)
        page = []
        try:
            for found in listing:
                name = str(found.object_name)
                info = objects.ObjectInfo(
                    key=self._key(name), size=int(found.size or 0), modified=_utc(found.last_modified)
                )
                page.append((name, info))
                if len(page) == _PAGE:
                    break
        except minio.error.S3Error as error:
            if error.code != "NoSuchBucket":  # a bucket that was never written to holds nothing
                raise
        return page

    def _call(self, key: str, act: Callable[[], T], *, write: bool = False) -> T:
        """Repeats what may succeed later, maps every other error, and makes a missing bucket for a write."""
        where = f"{self.uri}/{key}"

        def once() -> T:
            try:
                return act()
            except minio.error.S3Error as error:
                if write and error.code == "NoSuchBucket" and self._options.create_bucket:
                    self._make_bucket()
                    return act()
                raise

        try:
            return self._retried(once)
        except minio.error.S3Error as error:
            raise self._translated(error, where) from error
        except (minio.error.MinioException, urllib3.exceptions.HTTPError) as error:
            raise self._unreachable(error, where) from error

    def _retried(self, once: Callable[[], T]) -> T:
        options = self._options
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: _may_pass(error) or self._ended(error)),
            stop=tenacity.stop_after_attempt(options.retry_attempts)
            | tenacity.stop_after_delay(options.retry_seconds),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=options.retry_longest_wait_seconds),
            reraise=True,
        )(once)

    def _ended(self, error: BaseException) -> bool:
        """Whether credentials are over that somebody replaces: each try looks at their files again."""
        replaced = self._options.session_token_file is not None
        return replaced and isinstance(error, minio.error.S3Error) and _said(error)[0] in _ENDED

    def _make_bucket(self) -> None:
        try:
            self._client.make_bucket(self._bucket, location=self._options.region)
        except minio.error.S3Error as error:
            if error.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise

    def _unreachable(self, error: Exception, where: str) -> errors.UnavailableError:
        return errors.UnavailableError(
            f"the object store at {self._options.endpoint} does not answer ({where}, after retries for up to "
            f"{self._options.retry_seconds:g} s): {_reason(error)}. Check that it runs and that "
            "ACTUARY_STORAGE_ENDPOINT names it.",
            metadata={"endpoint": self._options.endpoint, "uri": where},
        )

    def _translated(self, error: minio.error.S3Error, where: str) -> errors.ActuaryError:
        """The one place where a server's answer becomes an error of ours."""
        metadata = {"endpoint": self._options.endpoint, "uri": where, "code": str(error.code)}
        if error.code in _MISSING:
            return errors.NotFoundError(f"no object at {where}", metadata=metadata)
        if error.code == "NoSuchBucket":
            return errors.NotFoundError(
                f"{where}: there is no bucket {self._bucket!r} at {self._options.endpoint}: make it, or "
                "allow ACTUARY_STORAGE_CREATE_BUCKET",
                metadata=metadata,
            )
        if self._ended(error):
            return errors.UnavailableError(
                f"{where}: {self._options.endpoint} no longer takes the temporary credentials of this "
                f"process ({': '.join(_said(error))}), and {self._options.session_token_file} had no better "
                f"ones in tries for up to {self._options.retry_seconds:g} s. The service that runs this Job "
                "renews them: see whether it runs and what it logs about credentials, or start it again "
                "(kubectl rollout restart); finished work is kept.",
                reason="CREDENTIALS_ENDED",
                metadata=metadata,
            )
        if error.code in _REFUSED:
            return errors.RefusedError(
                f"{where}: {self._options.endpoint} refuses ({': '.join(_said(error))}). Check the "
                "access and secret key and what they may do.",
                metadata=metadata,
            )
        if error.code in _FULL:
            return errors.ExhaustedError(
                f"no room to write {where}: {error.code}: {error.message}. Free space or raise the quota, "
                "then go on with `actuary resume` (or repeat `actuary run`): finished work is kept.",
                metadata=metadata,
            )
        if error.code in _TAKEN:
            return errors.AlreadyExistsError(
                f"{where}: a key cannot be both an object and the folder of other objects", metadata=metadata
            )
        if _may_pass(error):
            return self._unreachable(error, where)
        return errors.PreconditionError(f"{where}: {error.code}: {error.message}", metadata=metadata)


def _may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, minio.error.S3Error):
        status = getattr(error.response, "status", 0)
        return error.code in _LATER or (
            (status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS)
            and error.code not in _FULL
            and status != HTTPStatus.NOT_IMPLEMENTED
        )
    return isinstance(error, minio.error.MinioException | urllib3.exceptions.HTTPError)


def _said(error: minio.error.S3Error) -> tuple[str, str]:
    """Code and message; an answer to HEAD has no body, and MinIO says them in headers."""
    headers = getattr(error.response, "headers", None) or {}
    code, message = headers.get("x-minio-error-code"), headers.get("x-minio-error-desc")
    return code or str(error.code), (message or str(error.message)).strip('"')


def _answered(response: urllib3.BaseHTTPResponse) -> minio.error.MinioException:
    """An answer to a presigned request as the error that the package would have raised."""
    if "xml" in response.headers.get("content-type", "") and response.data:
        return minio.error.S3Error.fromxml(response)
    return minio.error.ServerError(f"HTTP status {response.status}", response.status)


def _reason(error: BaseException) -> str:
    """The innermost cause in few words; never a URL, which may be signed."""
    if isinstance(error, urllib3.exceptions.MaxRetryError) and error.reason is not None:
        error = error.reason
    if isinstance(error, minio.error.S3Error):
        return f"{error.code}: {error.message}"
    return str(error).split("?X-Amz")[0]


def _utc(moment: datetime | None) -> datetime:
    return (moment or datetime.fromtimestamp(0, tz=UTC)).astimezone(UTC)

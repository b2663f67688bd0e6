"""Opens the store that a URI names, so that nobody else knows which stores there are."""

from __future__ import annotations

import urllib.parse
from pathlib import Path

from actuary import errors
from actuary.storage import folder, objects, settings


def open_store(uri: str, options: settings.StorageSettings | None = None) -> objects.ObjectStore:
    """Opens an object store; nothing is read or written yet.

    Args:
        uri: `file:///absolute/folder`, a plain path, or `s3://bucket/prefix` (whose endpoint and
            credentials come from the settings).
        options: settings; read from the environment when not given.

    Raises:
        InvalidInputError: the scheme is unknown, or `s3://` names no bucket.

    >>> open_store("file:///data/actuary").uri
    'file:///data/actuary'
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        if not uri:
            raise errors.InvalidInputError(
                "storage.uri: expected a folder or s3://bucket/prefix; got nothing"
            )
        return folder.FolderStore(Path(uri))
    if scheme == "file":
        parsed = urllib.parse.urlsplit(uri)
        if parsed.netloc not in ("", "localhost") or not parsed.path.startswith("/"):
            raise errors.InvalidInputError(
                f"storage.uri: expected file:///absolute/folder; got {uri!r}. A plain path works too."
            )
        return folder.FolderStore(Path(urllib.parse.unquote(parsed.path)))
    if scheme == "s3":
        from actuary.storage import minio_store  # late: a folder needs no S3 client

        bucket, _, prefix = rest.partition("/")
        return minio_store.MinioStore(bucket, prefix, options or settings.StorageSettings())
    raise errors.InvalidInputError(
        f"storage.uri: expected file:///folder, a plain path or s3://bucket/prefix; got {uri!r}"
    )

"""Artifacts: what a stage leaves for good. An artifact exists when its manifest does.

The manifest is one JSON object, written last and only if absent: it names every object with rows, bytes and
digest, the parents with theirs, the parameters and the cost. It carries its own digest, and nothing
that differs between two runs of the same work (no time, no host), so that writing it twice is success.

    <uri>/shard-00007.parquet      a shard of a table
    <uri>/<file name>              a file that is no table
    <uri>/manifest.json
    <uri>/.work/...                work in progress; nothing of it is named by the manifest
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from typing import Any

from actuary import errors, failpoints
from actuary.storage import objects, schemas, tables

ObjectRef = tables.ObjectRef

FORMAT = 2
"""Version of the manifest itself. Format 1 told an object by its SHA-256; it is read."""
_OLDEST_READ = 1
FILE_NAME = "manifest.json"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """An artifact that this one was made from."""

    uri: str
    digest: str
    """Of its manifest."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All that is known about one artifact."""

    uri: str
    """Prefix of the artifact in its store: `campaigns/c1/annotations-pilot`."""
    table: str | None
    """Name of its table in `schemas.TABLES`; None when its objects are no tables."""
    version: int
    """Version of the table's schema; 0 without a table."""
    objects: tuple[ObjectRef, ...]
    """In the order of the shards."""
    parents: tuple[Parent, ...] = ()
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What the work was asked to do; JSON."""
    code_version: str
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Rows by outcome, or whatever the stage counts."""
    cost_micros: int = 0
    shards: int
    """Number of shards of the campaign's tables; an artifact need not have an object for each."""

    @property
    def rows(self) -> int:
        """Rows of all its shards."""
        return sum(ref.rows or 0 for ref in self.objects)


def key_of(uri: str) -> str:
    """The manifest's key.

    >>> key_of("campaigns/c1/items")
    'campaigns/c1/items/manifest.json'
    """
    return f"{uri}/{FILE_NAME}"


def write_manifest(store: objects.ObjectStore, manifest: Manifest) -> str:
    """Makes the artifact exist; returns the manifest's digest.

    Raises:
        AlreadyExistsError: an artifact of that name exists and is another one.
        InvalidInputError: the parameters are no JSON.
    """
    digest, data = _encode(manifest)
    with failpoints.around("manifest"):
        written = store.put(key_of(manifest.uri), data, if_absent=True)
    if not written:
        _, existing = read_manifest(store, manifest.uri)
        if existing != digest:
            raise errors.AlreadyExistsError(
                f"{store.uri}/{manifest.uri}: an artifact with digest {existing} exists and this one has "
                f"{digest}. Artifacts never change: use another name, or delete the old one with all that "
                "was made from it.",
                metadata={"uri": manifest.uri, "existing": existing, "digest": digest},
            )
    return digest


def read_manifest(store: objects.ObjectStore, uri: str, *, any_version: bool = False) -> tuple[Manifest, str]:
    """The artifact's manifest and its digest.

    Args:
        store: where it lies.
        uri: the artifact's prefix.
        any_version: accept tables of other schema versions, for who reads no rows.

    Raises:
        NotFoundError: there is no such artifact.
        DataLossError: the manifest is damaged, or lies at another place than it says.
        InvalidInputError: another version of the manifest or of the table's schema.
    """
    data = store.get(key_of(uri))
    where = f"{store.uri}/{key_of(uri)}"
    try:
        document = json.loads(data)
        claimed = document.pop("digest")
        version = document["format"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.DataLossError(f"{where}: no manifest: {error!r}") from error
    digest = _digest(document)
    if claimed != digest:
        raise errors.DataLossError(
            f"{where}: expected digest {claimed}; its content has {digest}. It was changed "
            "after it was written: restore it from a backup, or delete the artifact and run its stage again.",
            metadata={"key": key_of(uri), "expected": str(claimed), "got": digest},
        )
    if not isinstance(version, int) or not _OLDEST_READ <= version <= FORMAT:
        raise errors.InvalidInputError(
            f"{where}: manifest format {version}, this build reads {_OLDEST_READ} to {FORMAT}",
            reason="SCHEMA_VERSION",
        )
    try:
        manifest = _decode(document)
    except (KeyError, TypeError, ValueError) as error:
        raise errors.DataLossError(f"{where}: not a manifest of format {version}: {error!r}") from error
    if manifest.uri != uri:
        raise errors.DataLossError(f"{where}: expected the manifest of {uri}; got that of {manifest.uri}")
    if manifest.table is not None and not any_version:
        schemas.check_version(manifest.table, manifest.version, where)
    return manifest, digest


def code_version() -> str:
    """Version of the installed package, for manifests."""
    try:
        return importlib.metadata.version("actuary")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"


def exists(store: objects.ObjectStore, uri: str) -> bool:
    """Whether the artifact is there."""
    return store.stat(key_of(uri)) is not None


def _encode(manifest: Manifest) -> tuple[str, bytes]:
    try:
        text = json.dumps({"format": FORMAT, **dataclasses.asdict(manifest)}, allow_nan=False)
        document = json.loads(text)  # as a reader will see it: keys are text, tuples are lists
        digest = _digest(document)
    except (TypeError, ValueError) as error:
        raise errors.InvalidInputError(f"manifest of {manifest.uri}: not JSON: {error}") from error
    text = json.dumps({**document, "digest": digest}, sort_keys=True, ensure_ascii=False, indent=1)
    return digest, text.encode()


def _digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of canonical JSON: sorted keys, no blanks, no NaN, UTF-8."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _decode(document: dict[str, Any]) -> Manifest:
    fields = {name: value for name, value in document.items() if name != "format"}
    fields["objects"] = tuple(ObjectRef.of_json(ref) for ref in fields["objects"])
    fields["parents"] = tuple(Parent(**parent) for parent in fields["parents"])
    return Manifest(**fields)

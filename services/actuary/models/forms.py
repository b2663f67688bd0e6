"""Templates and models from the JSON form of a campaign's messages, with what they need from the store.

Jobs carry the messages `Task` and `ModelSpec` as JSON. Annotator and critic, which do not know each other,
open them here alike. It deliberately checks no ranges: the service that took the message did.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from actuary import errors
from actuary.models import prompts, protocol, registry
from actuary.storage import artifacts, location, objects, schemas, tables


def template_of(task: Mapping[str, Any]) -> prompts.Template:
    """The prompt's template of a `Task`."""
    return prompts.Template(
        instruction=task["instruction"],
        classes=tuple(
            prompts.ClassDefinition(name=each["name"], description=each.get("description", ""))
            for each in task["classes"]
        ),
    )


def open_model(
    spec: Mapping[str, Any],
    template: prompts.Template,
    *,
    store: objects.ObjectStore,
    scratch: Path,
    exemplars: str = "",
) -> protocol.Model:
    """Opens the model of a `ModelSpec`.

    Args:
        spec: kind, uri, options.
        template: of the task, for its classes.
        store: holds the exemplars.
        scratch: a folder for what it keeps while it is open.
        exemplars: URI of the artifact of labelled examples; empty for none.
    """
    return registry.open_model(
        protocol.ModelSpec(
            kind=spec["kind"], uri=spec.get("uri") or None, options=dict(spec.get("options") or {})
        ),
        protocol.ModelContext(
            classes=template.options,
            exemplars=_exemplars(store, exemplars) if exemplars else None,
            scratch=scratch,
            open=open_file,
        ),
    )


def most_tokens_out(spec: Mapping[str, Any]) -> int:
    """The most tokens that the model of a `ModelSpec` writes an item.

    A choice is one token; only `null` can be told to count more.
    """
    return max(1, int((spec.get("options") or {}).get("tokens_out", 1)))


def fetcher(store: objects.ObjectStore) -> prompts.Fetch:
    """Reads images that are kept apart, by key; the key's last part is the image's SHA-256."""

    def fetch(uri: str) -> bytes:
        data = store.get(uri)
        expected = uri.rpartition("/")[2].partition(".")[0]
        got = hashlib.sha256(data).hexdigest()
        if got != expected:
            raise errors.DataLossError(
                f"{store.uri}/{uri}: expected an image with SHA-256 {expected}; got {got}",
                metadata={"key": uri, "expected": expected, "got": got},
            )
        return data

    return fetch


def open_file(uri: str) -> BinaryIO:
    """Opens a user's file: a path, `file://` or `s3://`.

    Raises:
        errors.NotFoundError: there is no such file.
    """
    if "://" in uri:
        folder, _, name = uri.rpartition("/")
        return location.open_store(folder).open(name)
    try:
        return Path(uri).open("rb")
    except OSError as error:
        raise errors.NotFoundError(f"{uri}: cannot be read: {error.strerror}") from error


def _exemplars(store: objects.ObjectStore, uri: str) -> pa.Table:
    manifest, _ = artifacts.read_manifest(store, uri)
    pieces = []
    for ref in manifest.objects:
        with tables.open_shard(store, ref, table="exemplars") as reader:
            pieces.append(reader.read())
    return pa.concat_tables([schemas.EXEMPLARS.empty_table(), *pieces])

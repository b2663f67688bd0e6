"""The command `verify`: holds a certificate against the artifacts that it names, with no server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from actuary import errors

if TYPE_CHECKING:
    from actuary.storage import objects


def verify(path: Path, data: str) -> None:
    """Says that a certificate holds, or every reason why it does not.

    Args:
        path: the certificate.
        data: a data folder, or the URI of a store.

    Raises:
        errors.InvalidInputError: the file or the store cannot be what they are taken for.
        typer.Exit: with code 1, the certificate does not hold.
    """
    from actuary.sampler import verifying

    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise errors.InvalidInputError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise errors.InvalidInputError(f"{path}: expected a certificate in JSON; got {error}") from error
    if not isinstance(document, dict):
        raise errors.InvalidInputError(f"{path}: expected a certificate; got another JSON value")
    reasons = verifying.verify(_store(data), document)
    if reasons:
        for line in reasons:
            typer.echo(line, err=True)
        typer.echo(f"{path} does not hold: {len(reasons)} difference{'s' * (len(reasons) > 1)}", err=True)
        raise typer.Exit(1)
    typer.echo(f"{path} holds. {document['statement']}")


def _store(data: str) -> objects.ObjectStore:
    from actuary.cli import settings
    from actuary.storage import location

    if "://" in data:
        return location.open_store(data)
    folder = Path(data)
    if not folder.is_dir():
        raise errors.InvalidInputError(f"--data: expected a data folder or s3://bucket/prefix; got {data}")
    return location.open_store(settings.ProcessSettings().for_folder(folder).store_uri)

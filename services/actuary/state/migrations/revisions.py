"""What a version of the package may do with a database that a newer one has migrated.

Revisions have ids of four digits, and a migration only adds: tables, indexes, columns that may be null or
have a default on the server. Code writes and reads the columns that it knows by name, so an older version
works on such a schema; a deployment may go back without migrating back, and old and new processes may run
side by side.

A migration that cannot keep to that says from which revision on code can work with it, and so do all behind
it: `0007_from_0006`. An older version reads no more of a newer one than this id, hence the id says it.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from actuary import errors

_ID = re.compile(r"(?P<number>\d{4})(_from_(?P<oldest>\d{4}))?")


def is_newer(found: str | None, known: Collection[str]) -> bool:
    """Whether a newer version has migrated the database, in a way that this one can work with.

    Args:
        found: the database's revision; None where it has none.
        known: revisions of this version.

    Raises:
        errors.PreconditionError: this version cannot work with it.

    >>> is_newer("0002", ["0001", "0002"]), is_newer("0003", ["0001", "0002"])
    (False, True)
    """
    if found is None or found in known:
        return False
    newest = max(known)
    match = _ID.fullmatch(found)
    if match is None:
        message = f"expected a revision such as {newest}, found {found!r}: is it a database of Actuary's?"
        raise errors.PreconditionError(f"the database's schema is not one that this version knows: {message}")
    oldest = match["oldest"] or "0000"
    if oldest > number_of(newest):
        raise errors.PreconditionError(
            f"the database's schema ({found}) is of a newer version and needs one that knows {oldest} at "
            f"least; this one knows {newest}. Nothing was changed: upgrade the package, or restore a backup"
        )
    if match["number"] <= number_of(newest):
        message = f"found {found}, which is no newer than {newest} and yet unknown: is this another branch?"
        raise errors.PreconditionError(f"the database's schema is not one that this version knows: {message}")
    return True


def number_of(revision: str) -> str:
    """The four digits of a revision.

    >>> number_of("0007_from_0006")
    '0007'
    """
    return revision[:4]

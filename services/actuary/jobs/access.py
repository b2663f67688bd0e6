"""What of the object store a Job's processes have to reach. Pure.

A Job reads its description and what its parents left, and writes where its artifact lies. The sealed truth is
for those kinds of Jobs only that cannot do without. Where naming every parent would make a policy longer than
a server takes, as after some top-ups, whole collections of the campaign are named instead.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from actuary import errors
from actuary.jobs import protocol
from actuary.storage import credentials

READS_TRUTH = frozenset({"train", "report"})
"""Kinds of Jobs that may read the sealed truth: to test models, and to compare at the end."""
WRITES_TRUTH = frozenset({"import"})
_SEALED = "sealed/"
_ARTIFACTS = ("campaigns/", _SEALED)
"""Where a store keeps what campaigns made."""
_CAMPAIGN, _COLLECTION = 2, 3
"""Parts of `campaigns/{campaign}` and of `campaigns/{campaign}/{collection}`."""
_USERS: Mapping[str, tuple[str, ...]] = {
    "import": ("campaign", "data"),
    "annotation": ("model",),
    "critique": ("critic", "model"),
}
"""Where the parameters of a kind hold what has a `uri` that may name a file of the user's: data, a model."""


def access_of(spec: protocol.JobSpec) -> credentials.Access:
    """Derives it from the description.

    Raises:
        errors.RefusedError: the description asks for what its kind of Job may not reach.
    """
    exemplars = str(spec.parameters.get("exemplars") or "")
    parents = [f"{uri.rstrip('/')}/" for uri in (*spec.parents, *([exemplars] if exemplars else []))]
    access = credentials.Access(
        reads=tuple(dict.fromkeys([spec.key, *parents])),
        lists=spec.reads,
        writes=tuple(dict.fromkeys([f"{spec.artifact}/", *spec.writes])),
        files=_files(spec),
    )
    _check_sealed(spec, (*access.reads, *access.lists), READS_TRUTH, "read")
    _check_sealed(spec, access.writes, WRITES_TRUTH, "write")
    return _fitting(spec.store_uri, access)


def _check_sealed(
    spec: protocol.JobSpec, prefixes: tuple[str, ...], kinds: frozenset[str], verb: str
) -> None:
    sealed = [prefix for prefix in prefixes if prefix.startswith(_SEALED)]
    if sealed and spec.kind not in kinds:
        raise errors.RefusedError(
            f"{spec.name}: a Job of kind {spec.kind} may not {verb} the sealed truth; it names {sealed[0]}. "
            f"Only {' and '.join(sorted(kinds))} may"
        )


def _files(spec: protocol.JobSpec) -> tuple[str, ...]:
    """The file in a bucket that the Job's data or its model are, where it is one."""
    found: object = spec.parameters if spec.kind in _USERS else {}
    for name in _USERS.get(spec.kind, ()):
        found = found.get(name) if isinstance(found, Mapping) else None
    uri = str(found.get("uri") or "") if isinstance(found, Mapping) else ""
    if not uri.startswith("s3://"):
        return ()
    inside = [f"{spec.store_uri.rstrip('/')}/{folder}" for folder in _ARTIFACTS]
    if uri.startswith(tuple(inside)):
        raise errors.RefusedError(
            f"{spec.name}: the file {uri} lies among what campaigns made, where a Job reads its "
            "parents only: copy it to a place of its own"
        )
    return (uri,)


def _fitting(store_uri: str, access: credentials.Access) -> credentials.Access:
    """Names as much as has to be, so that the policy is short enough; never more than whole campaigns.

    The collection goes first that makes it shorter most. The truth is always named exactly.
    """
    while not credentials.fits(store_uri, access):
        wider = _wider(access.reads, _COLLECTION) or _wider(access.reads, _CAMPAIGN)
        if wider is None:  # the store says what is wrong with it
            break
        access = dataclasses.replace(access, reads=wider)
    return access


def _wider(prefixes: tuple[str, ...], parts: int) -> tuple[str, ...] | None:
    """The prefixes with those of one folder of so many parts as that folder; None where none is shorter so.

    >>> _wider(("campaigns/c/plans/a/", "campaigns/c/quotes/q/", "campaigns/c/plans/b/"), 3)
    ('campaigns/c/plans/', 'campaigns/c/quotes/q/')
    """
    saved: dict[str, int] = {}
    for prefix in prefixes:
        folder = f"{'/'.join(prefix.split('/')[:parts])}/"
        if not prefix.startswith(_SEALED) and len(prefix) > len(folder):
            saved[folder] = saved.get(folder, -len(folder)) + len(prefix)
    if not saved:
        return None
    chosen = max(saved, key=lambda folder: (saved[folder], folder))
    return tuple(dict.fromkeys(chosen if prefix.startswith(chosen) else prefix for prefix in prefixes))

"""Finds what no manifest names, so that it can be removed: what dead workers and writers left.

Only age tells a leftover from work that is going on, so nothing younger than the given age is ever named.
It deliberately never removes a manifest, nor what one names, nor a Job's `job.json`: artifacts and ledger
are for good.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from actuary.storage import artifacts, objects

_WORK = ".work"
_KEPT_NAMES = ("job.json",)
_ATTACHED = "images"
"""Folder of an artifact whose objects belong to it without being listed: its items name them by digest."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be removed."""

    unnamed: tuple[objects.ObjectInfo, ...]
    """Whole objects that no manifest names."""
    leftovers: tuple[objects.ObjectInfo, ...]
    """Temporary files of writers that died; a listing does not show them."""

    @property
    def bytes(self) -> int:
        """Bytes that come free."""
        return sum(info.size for info in (*self.unnamed, *self.leftovers))


def plan(
    store: objects.ObjectStore, prefix: str, older_than: timedelta, *, now: datetime, kept: Iterable[str] = ()
) -> Plan:
    """Lists what no manifest under `prefix` names and is old enough.

    Args:
        store: where to look.
        prefix: the campaign (`campaigns/c1/`); manifests outside are not read.
        older_than: youngest age that may be named; longer than any Job may run.
        now: the time, UTC.
        kept: keys or key prefixes that stay whatever the manifests say.

    Raises:
        DataLossError: a manifest is damaged, in which case nothing may be removed.
    """
    before = now - older_than
    manifests, candidates = [], []
    for info in store.list(prefix):
        name = info.key.rpartition("/")[2]
        if name == artifacts.FILE_NAME and _WORK not in info.key.split("/"):
            manifests.append(info.key.removesuffix(f"/{name}"))
        elif info.modified < before and name not in _KEPT_NAMES:
            candidates.append(info)
    named: set[str] = set()
    attached: tuple[str, ...] = tuple(kept)
    for uri in manifests:
        manifest, _ = artifacts.read_manifest(store, uri, any_version=True)
        named.update(ref.key for ref in manifest.objects)
        attached += (f"{uri}/{_ATTACHED}/",)
    return Plan(
        unnamed=tuple(i for i in candidates if i.key not in named and not i.key.startswith(attached)),
        leftovers=tuple(store.sweep(prefix, before=before, dry_run=True)),
    )


def remove(store: objects.ObjectStore, found: Plan, prefix: str) -> Sequence[objects.ObjectInfo]:
    """Removes what a plan lists; returns it. An object that is gone already counts as removed."""
    for info in found.unnamed:
        store.delete(info.key)
    if found.leftovers:
        newest = max(info.modified for info in found.leftovers)
        store.sweep(prefix, before=newest + timedelta(microseconds=1), dry_run=False)
    return (*found.unnamed, *found.leftovers)

"""The Secrets with which the pods of Jobs reach the store: one a Job, owned by it, renewed while it runs.

What a Job may reach is written on the Job itself, so that any replica can give it credentials: the one that
created the Job may have died before it came to that. Nothing is read from the API server: a Secret that is
there already is given new credentials.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable, Collection
from typing import Any

import structlog

from actuary import errors
from actuary.jobs.cluster import builder, view
from actuary.storage import credentials

_RETRY = datetime.timedelta(seconds=60)
"""Between two tries to renew credentials that are still good."""
_log = structlog.get_logger("actuary.kubernetes")

Issue = Callable[[str, credentials.Access, int], credentials.Issued]
"""Gives out credentials for a store's URI, what they may reach, and their life in seconds."""
Write = Callable[[str, dict[str, Any]], None]
"""Creates a Secret of a name, or replaces what is in it."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Grant:
    uid: str
    renew: datetime.datetime
    expires: datetime.datetime


class Grants:
    """Keeps the Secrets of Jobs.

    Args:
        seconds: life of credentials; they are renewed when half of it is over.
        issue: asks the store.
        write: writes a Secret.
        clock: the time.
    """

    def __init__(
        self, seconds: int, issue: Issue, write: Write, clock: Callable[[], datetime.datetime]
    ) -> None:
        self._seconds = seconds
        self._issue = issue
        self._write = write
        self._clock = clock
        self._known: dict[str, _Grant] = {}

    def ensure(self, job: view.Form) -> None:
        """Sees to it that a Job's pods have credentials that are good for half of their life at least.

        Raises:
            errors.ActuaryError: there are none, and none can be had.
        """
        metadata = job["metadata"]
        known, now = self._known.get(metadata["name"]), self._clock()
        if known is not None and known.uid == metadata["uid"] and now < known.renew:
            return
        try:
            self._grant(job, now)
        except errors.ActuaryError as error:
            if known is None or known.uid != metadata["uid"] or now >= known.expires:
                raise
            _log.error("credentials not renewed", job=metadata["name"], message=error.message)
            self._known[metadata["name"]] = dataclasses.replace(known, renew=now + _RETRY)

    def keep(self, names: Collection[str]) -> None:
        """Forgets all Jobs but some."""
        self._known = {name: grant for name, grant in self._known.items() if name in names}

    def _grant(self, job: view.Form, now: datetime.datetime) -> None:
        metadata = job["metadata"]
        form = json.loads(metadata["annotations"][builder.ACCESS])
        access = credentials.Access(
            reads=tuple(form["reads"]), writes=tuple(form["writes"]), files=tuple(form["files"])
        )
        issued = self._issue(form["store"], access, self._seconds)
        name = builder.secret_of(metadata["name"])
        self._write(name, builder.secret(name, job, issued))
        half = (issued.expires - now) / 2
        self._known[metadata["name"]] = _Grant(metadata["uid"], now + half, issued.expires)
        _log.info("credentials", job=metadata["name"], expires=issued.expires.isoformat())

"""The Secrets with which the pods of Jobs reach the store: one a Job, owned by it, renewed while it runs.

What a Job may reach is written on the Job itself, so that any replica can give it credentials: the one that
created the Job may have died before it came to that. Nothing is read from the API server: a Secret that is
there already is given new credentials, once by each process that comes to lead.

Safe to be asked from the threads of several controllers, each for Jobs of its own.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import threading
from collections.abc import Callable, Collection
from typing import Any

import structlog

from actuary import errors
from actuary.jobs.cluster import builder, view
from actuary.storage import credentials

_SHARE = 0.45
"""Of their life, after which credentials are renewed: before half of it is over."""
_SHORTEST = datetime.timedelta(seconds=60)
"""Between two renewals, whatever the clocks of store and service say."""
_RETRY = datetime.timedelta(seconds=10)
"""Between two tries for a Job whose pods may have none; a guess, as is the next."""
_RETRY_GOOD = datetime.timedelta(seconds=60)
"""Between two tries to renew credentials that are still good."""
_log = structlog.get_logger("actuary.kubernetes")

Issue = Callable[[str, credentials.Access, int], credentials.Issued]
"""Gives out credentials for a store's URI, what they may reach, and their life in seconds."""
Write = Callable[[str, dict[str, Any]], None]
"""Creates a Secret of a name, or replaces what is in it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Grant:
    """What is known about the credentials of a Job."""

    uid: str
    """Of the Job: one that was made anew under its name has none yet."""
    due: datetime.datetime
    """When to look again."""
    expires: datetime.datetime | None = None
    """When they end; None where none were given by this process."""
    problem: str = ""
    """Why they cannot be renewed, in words."""


class Grants:
    """Keeps the Secrets of Jobs.

    Args:
        seconds: life of credentials.
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
        self._lock = threading.Lock()
        self._known: dict[str, _Grant] = {}

    def give(self, job: view.Form) -> None:
        """Gives a Job credentials that was just created, or found where it was to be created.

        Raises:
            errors.ActuaryError: none can be had.
        """
        if self._wants(job) and self._of(job) is None:
            self._grant(job, self._clock())

    def renew(self, job: view.Form) -> str:
        """Sees to it that a Job's pods have credentials, and good ones for half of their life.

        A Job that runs is not failed because they cannot be renewed: whoever asks hears why, until they can.

        Returns:
            What is wrong with them, in words; empty where nothing is.
        """
        if not self._wants(job):
            return ""
        known, now = self._of(job), self._clock()
        if known is not None and now < known.due:
            return known.problem
        try:
            self._grant(job, now)
        except errors.ActuaryError as error:
            return self._put_off(job, known, now, error)
        return ""

    def keep(self, names: Collection[str]) -> None:
        """Forgets all Jobs but some."""
        with self._lock:
            self._known = {name: grant for name, grant in self._known.items() if name in names}

    def _wants(self, job: view.Form) -> bool:
        """Whether a Job has credentials of its own: one from before they were switched on has none."""
        return builder.ACCESS in job["metadata"].get("annotations", {})

    def _of(self, job: view.Form) -> _Grant | None:
        metadata = job["metadata"]
        with self._lock:
            known = self._known.get(metadata["name"])
        return known if known is not None and known.uid == metadata["uid"] else None

    def _note(self, job: view.Form, grant: _Grant) -> None:
        with self._lock:
            self._known[job["metadata"]["name"]] = grant

    def _put_off(
        self, job: view.Form, known: _Grant | None, now: datetime.datetime, error: errors.ActuaryError
    ) -> str:
        """Notes that credentials could not be renewed; returns what to say about it.

        A store that is away for a while is nobody's concern as long as credentials are good.
        """
        expires = known.expires if known is not None else None
        good = expires is not None and now < expires
        problem = ""
        if not (good and isinstance(error, errors.UnavailableError)):
            until = f", which end at {expires:%Y-%m-%d %H:%M} UTC," if good else ""
            problem = f"the credentials of its pods for the store{until} cannot be renewed: {error.message}"
        if known is None or problem != known.problem:
            _log.error("credentials not renewed", job=job["metadata"]["name"], message=error.message)
        due = now + (_RETRY_GOOD if good else _RETRY)
        uid = job["metadata"]["uid"]
        self._note(job, _Grant(uid=uid, due=due, expires=expires, problem=problem))
        return problem

    def _grant(self, job: view.Form, now: datetime.datetime) -> None:
        metadata = job["metadata"]
        form = json.loads(metadata["annotations"][builder.ACCESS])
        access = credentials.Access(
            **{
                field.name: tuple(form.get(field.name, ()))
                for field in dataclasses.fields(credentials.Access)
            }
        )
        issued = self._issue(form["store"], access, self._seconds)
        name = builder.secret_of(metadata["name"])
        self._write(name, builder.secret(name, job, issued))
        due = now + max(_SHARE * (issued.expires - now), _SHORTEST)
        self._note(job, _Grant(uid=metadata["uid"], due=due, expires=issued.expires))
        _log.info("credentials", job=metadata["name"], expires=issued.expires.isoformat())

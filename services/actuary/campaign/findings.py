"""What is wrong with a data set, collected so that a person sees all of it at once.

A data set with one bad row often has thousands: of each kind the first twenty are named with file and row,
the rest are counted.
"""

from __future__ import annotations

import threading

from actuary import errors

SHOWN = 20
"""Findings of one kind that are named."""


class Findings:
    """A bounded list of violations by kind. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shown: dict[str, list[errors.Violation]] = {}
        self._counts: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, kind: str, where: str, description: str) -> None:
        """Adds one finding.

        Args:
            kind: what is wrong, in a few words; findings are counted by it.
            where: file and row, or the field of the spec.
            description: what was expected, what came, what to do.
        """
        with self._lock:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            shown = self._shown.setdefault(kind, [])
            if len(shown) < SHOWN:
                shown.append(errors.Violation(where, description))

    def more(self, kind: str, count: int) -> None:
        """Counts further findings of a kind that are not worth describing one by one."""
        if count > 0:
            with self._lock:
                self._counts[kind] = self._counts.get(kind, 0) + count
                self._shown.setdefault(kind, [])

    def room(self, kind: str) -> int:
        """How many findings of that kind would still be named."""
        with self._lock:
            return SHOWN - len(self._shown.get(kind, ()))

    def raise_if_any(self) -> None:
        """Raises one InvalidInputError that lists everything found."""
        if not self._counts:
            return
        violations = []
        for kind, shown in self._shown.items():
            violations += shown
            hidden = self._counts[kind] - len(shown)
            if hidden:
                violations.append(errors.Violation("", f"… and {hidden:,} more: {kind}"))
        raise errors.InvalidInputError.of(violations, reason="BAD_DATA_SET")

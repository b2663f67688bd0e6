"""Every error that Actuary raises on purpose, so that a caller can tell what happened and what to do.

    ActuaryError
    +-- InvalidInputError      INVALID_ARGUMENT     the request or a file is wrong: one violation a field
    +-- NotFoundError          NOT_FOUND            no such resource, object or column
    +-- AlreadyExistsError     ALREADY_EXISTS       the name is taken by something else
    +-- ConflictError          ABORTED              somebody changed it meanwhile: read again, then retry
    +-- PreconditionError      FAILED_PRECONDITION  the state does not allow it
    |   +-- BudgetExceededError                     the purse refuses: it would pass the budget
    |   +-- UnsupportedError                        the chosen model or adapter cannot do this
    +-- RefusedError           PERMISSION_DENIED    the task is not yours
    +-- ExhaustedError         RESOURCE_EXHAUSTED   disk or quota full
    +-- UnavailableError       UNAVAILABLE          a store, database or model is silent: retrying may help
    +-- DataLossError          DATA_LOSS            a digest, shard or manifest is not what was written

Adapters map their vendor's errors onto these in one place; one interceptor turns them into gRPC statuses with
ErrorInfo. The module deliberately knows no gRPC: `code` is the canonical code's name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar


@dataclasses.dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong with one field of a request, one row or one file."""

    field: str
    """Path of the field, in the spelling of campaign.yaml (`sampling.beta`), or file and row."""
    description: str
    """What was expected, what came, and what to do."""


class ActuaryError(Exception):
    """Base of all deliberate errors; `reason` is stable and for machines, the message is for people."""

    code: ClassVar[str] = "INTERNAL"
    default_reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self, message: str, *, reason: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata = dict(metadata or {})

    def __str__(self) -> str:
        return self.message


class InvalidInputError(ActuaryError):
    """The input is wrong in one or more places; all of them are named at once."""

    code = "INVALID_ARGUMENT"
    default_reason = "INVALID_INPUT"

    def __init__(
        self,
        message: str,
        *,
        violations: Sequence[Violation] = (),
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata)
        self.violations = tuple(violations)

    @classmethod
    def of(cls, violations: Sequence[Violation], *, reason: str | None = None) -> InvalidInputError:
        """Builds the error from its violations; the message lists them, one a line."""
        lines = [f"{v.field}: {v.description}" if v.field else v.description for v in violations]
        return cls("\n".join(lines), violations=violations, reason=reason)


class NotFoundError(ActuaryError):
    """Nothing of that name exists."""

    code = "NOT_FOUND"
    default_reason = "NOT_FOUND"


class AlreadyExistsError(ActuaryError):
    """The name is taken by something that differs from what was asked for."""

    code = "ALREADY_EXISTS"
    default_reason = "ALREADY_EXISTS"


class ConflictError(ActuaryError):
    """The resource changed between read and write."""

    code = "ABORTED"
    default_reason = "CONFLICT"


class PreconditionError(ActuaryError):
    """The resource is in a state that does not allow the call."""

    code = "FAILED_PRECONDITION"
    default_reason = "FAILED_PRECONDITION"


class BudgetExceededError(PreconditionError):
    """The purse refuses a reservation or a settlement because it would pass the budget."""

    default_reason = "BUDGET_EXCEEDED"


class UnsupportedError(PreconditionError):
    """A model, adapter or build of the package cannot do what was asked."""

    default_reason = "UNSUPPORTED"


class RefusedError(ActuaryError):
    """The caller may not do this, a reviewer with somebody else's task for example."""

    code = "PERMISSION_DENIED"
    default_reason = "REFUSED"


class ExhaustedError(ActuaryError):
    """A disk or quota is full."""

    code = "RESOURCE_EXHAUSTED"
    default_reason = "EXHAUSTED"


class UnavailableError(ActuaryError):
    """A part that Actuary depends on does not answer; the same call may succeed later."""

    code = "UNAVAILABLE"
    default_reason = "UNAVAILABLE"


class DataLossError(ActuaryError):
    """What was read is not what was written: a digest, a shard or a manifest is wrong."""

    code = "DATA_LOSS"
    default_reason = "DATA_LOSS"

"""What belongs to the call that is being served: id, deadline and trace, for whatever it calls in turn.

A call's id comes with it (`x-request-id`) or is drawn; logs of failures name it, and calls made on its behalf
carry it on. A call made on behalf of another has at most the time that is left to that. The trace goes
further, into the Jobs that a call creates (`actuary.tracing`).

It is bound to the thread of a call's handler; threads that a handler starts know nothing of it.
"""

from __future__ import annotations

import contextvars
import dataclasses
import math
import os
import time
from typing import Final

from actuary import tracing

REQUEST_ID_KEY: Final = "x-request-id"
_LONGEST_ID: Final = 128


@dataclasses.dataclass(slots=True)
class Call:
    """The call that this thread serves."""

    deadline: float
    """On the monotonic clock, in seconds."""
    trace: tracing.Context
    """The span of this call."""
    given_id: str = ""
    """As the caller sent it."""
    drawn_id: str = ""

    @property
    def request_id(self) -> str:
        """The caller's id, else one that is drawn when it is first asked for."""
        if self.given_id:
            return self.given_id
        if not self.drawn_id:
            self.drawn_id = os.urandom(8).hex()
        return self.drawn_id


current: contextvars.ContextVar[Call | None] = contextvars.ContextVar("actuary_rpc_call", default=None)
"""The call that is being served, or None outside of any."""


def seconds_left() -> float:
    """Seconds that are left to the call that is being served; infinite outside of any."""
    call = current.get()
    return math.inf if call is None else max(0.0, call.deadline - time.monotonic())


def clean_id(text: str) -> str:
    """A caller's id as it may stand in a log: printable ASCII, not longer than it makes sense."""
    return "".join(c for c in text[:_LONGEST_ID] if " " < c <= "~")

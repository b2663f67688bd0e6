"""The clock as a value: whoever needs the time is given one, so that a test can turn it.

Nothing else in the state layer reads the time.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable

Clock = Callable[[], datetime.datetime]
"""Says the time, with its zone."""


def utc_now() -> datetime.datetime:
    """The time of this machine, in UTC."""
    return datetime.datetime.now(datetime.UTC)

"""What a process says of itself in its reports."""

from __future__ import annotations

import threading
import time

from actuary.jobs import protocol, reporting
from actuary.jobs import settings as job_settings


class Heard:
    """A reporter that keeps what it was told."""

    def __init__(self):
        self.told = []

    def report(self, progress):
        self.told.append(progress)
        return protocol.Allowance(next_report_seconds=60.0)


def test_processor_time_is_counted_from_where_the_time_at_work_is():
    """What an interpreter takes to start would otherwise be spread over a few seconds of work."""
    while time.process_time() < 0.2:
        sum(range(10_000))
    heard = Heard()
    with reporting.Session(heard, threading.Event(), job_settings.JobsSettings()) as session:
        session.ask(protocol.Progress(item_count=1))
        before = time.process_time()
        while time.process_time() < before + 0.05:
            sum(range(10_000))
        session.ask(protocol.Progress(item_count=2))

    first, second = heard.told[0], heard.told[-1]
    assert first.cpu_seconds < 0.1
    assert second.cpu_seconds - first.cpu_seconds >= 0.05
    assert second.seconds > first.seconds

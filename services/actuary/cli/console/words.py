"""How the terminal names and writes things: states, stages, shares, money, times, addresses."""

from __future__ import annotations

import urllib.parse

from actuary.report import formats
from actuary.v1 import campaign_pb2, review_service_pb2

_NEXT = {
    campaign_pb2.Campaign.WAITING_FOR_PEOPLE: (
        "answer tasks, in another terminal: actuary review {id}{at} --as YOUR-NAME",
        "or through a file: actuary review export {id} tasks.csv{at} --as YOUR-NAME",
        "or go on with what is answered: actuary review close {id}{at}",
    ),
    campaign_pb2.Campaign.WAITING_FOR_APPROVAL: (
        "see what any budget would buy: actuary quote {id}{at}",
        "then go on: actuary approve {id}{at}   (or stop: actuary cancel {id}{at})",
    ),
    campaign_pb2.Campaign.PAUSED: ("go on: actuary resume {id}{at}",),
    campaign_pb2.Campaign.BUDGET_EXHAUSTED: ("go on: actuary topup {id}{at} --money DOLLARS",),
    campaign_pb2.Campaign.FAILED: (
        "mend that, then try the failed stage again: the same actuary run, or actuary resume {id}{at}",
    ),
}


def percent(share: float | None, decimals: int = 1) -> str:
    """Writes a share as a percentage."""
    return _plain(formats.percent(share, decimals))


def points(difference: float | None) -> str:
    """Writes a difference of shares in percentage points."""
    return formats.points(difference)


def money(micros: int) -> str:
    """Writes micro-dollars as dollars."""
    return formats.money(micros)


def duration(seconds: float | None) -> str:
    """Writes a time in the two largest units that matter."""
    return _plain(formats.duration(seconds))


def interval(low: float | None, high: float | None) -> str:
    """Writes an interval of shares."""
    if low is None or high is None:
        return "–"
    return f"{100 * low:.1f} to {percent(high)}"


def state(campaign: campaign_pb2.Campaign) -> str:
    """Says a campaign's state in lower-case words."""
    return campaign_pb2.Campaign.State.Name(campaign.state).lower().replace("_", " ")


def stage(name: str) -> str:
    """Says a stage as people do."""
    return formats.stage(name)


def identifier(campaign: campaign_pb2.Campaign) -> str:
    """The id that commands take."""
    return campaign.name.rsplit("/", 1)[-1]


def next_steps(campaign: campaign_pb2.Campaign, at: str = "") -> list[str]:
    """What a person can do now, a line each; none where there is nothing to do.

    Args:
        campaign: as it is now.
        at: options that a command needs to find it, `--data FOLDER` for example.
    """
    option = f" {at}" if at else ""
    return [line.format(id=identifier(campaign), at=option) for line in _NEXT.get(campaign.state, ())]


def nothing_left(response: review_service_pb2.AcquireTasksResponse) -> str:
    """Says why a reviewer gets no task, and what can be done."""
    if response.done:
        return "no task is left, all is answered"
    parts = []
    if response.held_count:
        parts.append(f"others hold {counted(response.held_count, 'task')}; what they give back comes to you")
    if response.other_person_count:
        parts.append(
            f"{counted(response.other_person_count, 'task')} that you have answered want another person, as "
            "two are to label them (review.double_share) or you could not tell: let somebody else answer "
            "(--as THEIR-NAME), or go on without: actuary review close"
        )
    return "; ".join(parts) or "what is left may only be answered once other answers are in"


def counted(number: int, thing: str) -> str:
    """Writes a number of things."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def location(uri: str) -> str:
    """A path where the URI is of this machine, else the URI."""
    parts = urllib.parse.urlsplit(uri)
    return urllib.parse.unquote(parts.path) if parts.scheme == "file" else uri


def optional(message: object, field: str) -> float | None:
    """A field of a message, or None where it was not set."""
    return getattr(message, field) if message.HasField(field) else None  # type: ignore[attr-defined]


def _plain(text: str) -> str:
    return text.replace("\N{NARROW NO-BREAK SPACE}", " ")

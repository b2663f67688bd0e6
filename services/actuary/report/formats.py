"""How the report writes numbers, and which words go with them."""

from __future__ import annotations

import base64
import math

VERDICTS = {
    "certified": "proven",
    "not-met": "target missed: items stayed unresolved",
    "budget-exhausted": "target not reached: it costs more labels",
    "not-provable": "not provable with the planned audit",
}
"""What a verdict of a certificate is called."""
METHODS = {
    "wald": "normal approximation with finite-population variance",
    "gamma": "gamma interval, approximate: fewer errors were found than a normal approximation needs",
    "hypergeometric": "exact, from the hypergeometric distribution of a simple random sample",
    "clopper-pearson": "exact, Clopper-Pearson",
    "betting": "exact for any bounded variable, by betting",
    "exact": "nothing left to estimate",
    "wilson": "Wilson score interval",
    "bootstrap": "bootstrap",
}
STATES = {
    "SUCCEEDED": "",
    "BUDGET_EXHAUSTED": "The money ran out before everything was done; all that was bought is used here.",
    "CANCELLED": "The campaign was stopped; this is what was there by then.",
    "FAILED": "The campaign was given up; this is what was there by then.",
    "PAUSED": "The campaign is paused; this is what is there by now.",
}
STRATA = {
    "pilot": "simple random sample from the ids alone, before anything was known",
    "slice": "simple random sample inside each slice, up to the minimum",
    "class": "simple random sample inside each class of the machine, up to the minimum",
    "audit": "simple random sample of everything unlabelled",
    "drawn": "drawn with the rule's probabilities",
    "certain": "highest risk, taken with certainty",
    "failed": "no machine label",
}
TRAINING_SETS = {
    "machine": "machine labels only",
    "act": "ACT mixture",
    "human": "all-human labels",
}
_STAGES = {"critique": "criticise", "risk": "risk model"}
_IMAGES = (
    (b"\x89PNG\r\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
)
_SPACE = "\N{NARROW NO-BREAK SPACE}"


def percent(share: float | None, decimals: int = 1) -> str:
    """Writes a share as a percentage; a dash when there is none."""
    if share is None or math.isnan(share):
        return "–"
    return f"{100 * share:.{decimals}f}{_SPACE}%"


def points(difference: float | None) -> str:
    """Writes a difference of shares in percentage points, with its sign."""
    if difference is None:
        return "–"
    return f"{100 * difference:+.1f}".replace("-", "\N{MINUS SIGN}")


def count(number: float | None) -> str:
    """Writes a count with thousands separated."""
    return "–" if number is None else f"{number:,.0f}"


def money(micros: int) -> str:
    """Writes micro-dollars as dollars: cents, and finer below one cent."""
    dollars = micros / 1_000_000
    if micros == 0 or abs(dollars) >= 0.01:
        return f"${dollars:,.2f}"
    return f"${dollars:.6f}".rstrip("0")


def duration(seconds: float | None) -> str:
    """Writes a time in the two largest units that matter."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f}{_SPACE}s"
    whole = round(seconds)
    for size, unit, smaller, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size}{_SPACE}{unit}" + (f" {rest}{_SPACE}{small}" if rest else "")
    return f"{whole}{_SPACE}s"


def stage(name: str) -> str:
    """Says a stage as people do: `annotate 0` is of the pilot, the first wave needs no number."""
    kind, _, wave = name.rpartition(" ")
    if not kind or not wave.isdecimal():
        return _STAGES.get(name, name)
    kind = _STAGES.get(kind, kind)
    if wave == "0":
        return kind if kind == "quote" else f"pilot: {kind}"
    return kind if wave == "1" else f"{kind} (wave {wave})"


def data_uri(image: bytes | None) -> str:
    """Makes an image part of the page; empty for what no browser shows."""
    if not image:
        return ""
    kind = next((kind for start, kind in _IMAGES if image.startswith(start)), "")
    if image.startswith(b"RIFF") and image[8:12] == b"WEBP":
        kind = "image/webp"
    return f"data:{kind};base64,{base64.b64encode(image).decode()}" if kind else ""


def shorten(text: str, limit: int) -> str:
    """Cuts a long text at a word where there is one."""
    if len(text) <= limit:
        return text
    cut = text[:limit].rstrip()
    space = cut.rfind(" ")
    return (cut[:space] if space > limit * 0.7 else cut) + " …"

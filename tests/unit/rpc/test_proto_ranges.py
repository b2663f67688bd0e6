"""A range that a comment names is a range that the server checks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from google.api import field_behavior_pb2
from google.protobuf import descriptor_pool

from actuary.v1 import rules_pb2

PROTOS = Path(__file__).parents[3] / "protos" / "actuary" / "v1"
RANGE = re.compile(r"([\[(])(-?[\d.,]+|1 s), ?([^\])]+)[\])]")
FIELD = re.compile(r"^ *(?:optional |repeated )?[\w.<>, ]+ (\w+) = \d+")

SENT = (
    "Results",
    "JobStatus",
    "JobProgress",
    "Account",
    "StageProgress",
    "Interval",
    "WatchCampaignResponse",
)
"""Messages that only servers send."""


def fields():
    """Every input field whose comment names a range, with that range's lower bound and whether it is open."""
    for path in sorted(PROTOS.glob("*.proto")):
        messages, comment = [], ""
        for line in path.read_text("utf-8").splitlines():
            text = line.strip()
            if found := re.match(r"message (\w+) \{", text):
                messages.append(found[1])
            elif text.startswith("//"):
                comment += " " + text[2:].strip()
                continue
            elif messages and (found := FIELD.match(line)) and (named := RANGE.search(comment)):
                name = ".".join(["actuary.v1", *messages])
                if messages[0] not in SENT:
                    yield name, found[1], named, ", 0 for" in comment
            if text == "}" and messages:
                messages.pop()
            if text.endswith((";", "{", "}", "]")):
                comment = ""


CASES = [pytest.param(*case, id=f"{case[0].removeprefix('actuary.v1.')}.{case[1]}") for case in fields()]


def test_there_are_ranges():
    assert len(CASES) > 15


@pytest.mark.parametrize(("message", "name", "named", "zero_for_default"), CASES)
def test_a_range_that_is_named_is_checked(message, name, named, zero_for_default):
    __import__("actuary.v1.campaign_service_pb2")
    for module in PROTOS.glob("*.proto"):
        __import__(f"actuary.v1.{module.stem}_pb2")
    field = descriptor_pool.Default().FindMessageTypeByName(message).fields_by_name[name]
    options = field.GetOptions()
    if field_behavior_pb2.OUTPUT_ONLY in options.Extensions[field_behavior_pb2.field_behavior]:
        return
    rule = options.Extensions[rules_pb2.valid]
    bounded = {bound for bound in ("gt", "gte", "lt", "lte", "min_size", "max_size") if rule.HasField(bound)}
    assert bounded, f"{message}.{name} names {named[0]} and has no rule"
    if zero_for_default:
        return
    low = float(named[2].replace(",", "").removesuffix(" s"))
    excludes_zero = low > 0 or (low == 0 and named[1] == "(")
    if excludes_zero and not field.is_repeated:
        assert field.has_presence, f"{message}.{name}: a plain 0 is outside {named[0]} and passes"

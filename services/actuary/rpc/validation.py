"""Checks the ranges that the protos declare beside their fields, all of them, and says all that is wrong.

Rules are read once a message type and kept as a short list of checks, so that a request without rules costs
one look. A rule applies to a set field only; `google.api.field_behavior = REQUIRED` asks for presence.
Fields that are OUTPUT_ONLY are neither checked nor obeyed: `clear_output_only` takes them out.

It knows one field at a time: what holds between fields is the services' matter. A handler that is marked
`also` has its own check joined with these, so that a caller hears of everything in one answer.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from google.api import field_behavior_pb2
from google.protobuf import descriptor, message

from actuary import errors
from actuary.v1 import rules_pb2

Finding = Callable[[Any], str | None]
"""Says what is wrong with a value, or None."""
Further = Callable[[Any], Sequence[errors.Violation]]
"""Says what is wrong between the fields of a request, whatever is wrong within them."""
Handler = TypeVar("Handler", bound=Callable[..., Any])

_SHOWN = 80
"""Longest value that a message repeats, in characters."""
_NUMBERS = frozenset(
    {
        descriptor.FieldDescriptor.CPPTYPE_DOUBLE,
        descriptor.FieldDescriptor.CPPTYPE_FLOAT,
        descriptor.FieldDescriptor.CPPTYPE_INT32,
        descriptor.FieldDescriptor.CPPTYPE_INT64,
        descriptor.FieldDescriptor.CPPTYPE_UINT32,
        descriptor.FieldDescriptor.CPPTYPE_UINT64,
    }
)
_DURATION = "google.protobuf.Duration"
_LARGEST_SECONDS = 315_576_000_000
"""Of a Duration, by its specification: 10,000 years."""


def check(request: message.Message, prefix: str = "", *, further: Further | None = None) -> None:
    """Checks a message and everything in it.

    Args:
        request: the message.
        prefix: path of the message itself, set before the path of each field: `campaign` for example.
        further: a check of the service's own; of a field that both find wrong, its word counts.

    Raises:
        errors.InvalidInputError: with all violations, by the paths of the message: `campaign.sampling.rule`.
    """
    found: list[errors.Violation] = []
    _check(request, prefix, found)
    if further is not None:
        known = further(request)
        fields = {violation.field for violation in known}
        found = [violation for violation in found if violation.field not in fields]
        found += known
    if found:
        raise errors.InvalidInputError.of(found)


def also(further: Further) -> Callable[[Handler], Handler]:
    """Marks a handler: `further` is checked together with the rules of its request's fields."""

    def mark(handler: Handler) -> Handler:
        handler.further_check = further  # type: ignore[attr-defined]
        return handler

    return mark


def further_of(handler: Callable[..., Any]) -> Further | None:
    """What `also` gave a handler."""
    found: Further | None = getattr(handler, "further_check", None)
    return found


def clear_output_only(resource: message.Message) -> None:
    """Clears every field that only a server sets, here and in the messages within."""
    plan = _plan(resource.DESCRIPTOR)
    for name in plan.output_only:
        resource.ClearField(name)
    if not plan.clears_deeper:
        return
    for field, value in resource.ListFields():
        for _, child in _messages(field, value):
            clear_output_only(child)


def inputs_of(kind: descriptor.Descriptor) -> list[str]:
    """Names of the fields that a caller may set: not those that only a server sets, nor a resource's name."""
    only_output = {*_plan(kind).output_only}
    if "etag" in kind.fields_by_name:
        only_output |= {"name", "etag"}
    return [field.name for field in kind.fields if field.name not in only_output]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """What is checked of one set field."""

    whole: tuple[Finding, ...]
    """Of the field as it is: a scalar, or the list or map with its size."""
    each: tuple[Finding, ...]
    """Of the elements of a list, or the values of a map."""
    deeper: bool
    """Whether there are messages within that have rules."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What is checked of one message type."""

    required: tuple[tuple[str, Callable[[message.Message], bool], str], ...]
    """Name, test of presence, and what to do."""
    fields: Mapping[str, _Field]
    output_only: tuple[str, ...]
    clears_deeper: bool

    @property
    def trivial(self) -> bool:
        """Whether any value passes."""
        return not self.required and not self.fields


def _check(value: message.Message, path: str, found: list[errors.Violation]) -> None:
    plan = _plan(value.DESCRIPTOR)
    well_known = _WELL_KNOWN.get(value.DESCRIPTOR.full_name)
    if well_known is not None:
        if wrong := well_known(value):
            found.append(errors.Violation(path, wrong))
        return
    for name, present, wrong in plan.required:
        if not present(value):
            found.append(errors.Violation(_join(path, name), wrong))
    if not plan.fields:
        return
    for field, content in value.ListFields():
        checks = plan.fields.get(field.name)
        if checks is None:
            continue
        here = _join(path, field.name)
        _apply(checks.whole, content, here, found)
        if checks.each:
            for key, element in _elements(field, content):
                _apply(checks.each, element, f"{here}[{key}]", found)
        if checks.deeper:
            for key, child in _messages(field, content):
                _check(child, here if key is None else f"{here}[{key}]", found)


def _apply(checks: Iterable[Finding], value: Any, path: str, found: list[errors.Violation]) -> None:
    for finding in checks:
        if wrong := finding(value):
            found.append(errors.Violation(path, wrong))
            return  # the first says enough of one value


def _elements(field: descriptor.FieldDescriptor, content: Any) -> Iterable[tuple[Any, Any]]:
    return content.items() if _is_map(field) else enumerate(content)


def _messages(field: descriptor.FieldDescriptor, content: Any) -> Iterable[tuple[Any, message.Message]]:
    """The messages in a set field with the key of each, None for a single one."""
    if field.message_type is None:
        return ()
    if _is_map(field):
        if field.message_type.fields_by_name["value"].message_type is None:
            return ()
        return tuple(content.items())
    if field.is_repeated:
        return enumerate(content)
    return ((None, content),)


def _is_map(field: descriptor.FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


@functools.cache
def _plan(kind: descriptor.Descriptor) -> _Plan:
    """Reads the rules of a message type. Messages of this API never contain themselves."""
    required = []
    fields = {}
    output_only = []
    clears_deeper = False
    for field in kind.fields:
        options = field.GetOptions()
        behaviours = options.Extensions[field_behavior_pb2.field_behavior]
        if field_behavior_pb2.OUTPUT_ONLY in behaviours:
            output_only.append(field.name)
            continue
        if field_behavior_pb2.REQUIRED in behaviours and (present := _presence(field)) is not None:
            required.append((field.name, present, _missing(field)))
        inner = _inner(field)
        within = _plan(inner) if inner is not None else None
        deeper = inner is not None and (inner.full_name in _WELL_KNOWN or not _plan(inner).trivial)
        clears_deeper |= within is not None and bool(within.output_only or within.clears_deeper)
        rule = options.Extensions[rules_pb2.valid] if options.HasExtension(rules_pb2.valid) else None
        whole, each = _findings(field, rule)
        if whole or each or deeper:
            fields[field.name] = _Field(whole=whole, each=each, deeper=deeper)
    return _Plan(
        required=tuple(required),
        fields=fields,
        output_only=tuple(output_only),
        clears_deeper=clears_deeper,
    )


def _inner(field: descriptor.FieldDescriptor) -> descriptor.Descriptor | None:
    """The type of the messages in a field."""
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return kind.fields_by_name["value"].message_type
    return kind


def _presence(field: descriptor.FieldDescriptor) -> Callable[[message.Message], bool] | None:
    """A test of whether a field is set; None where it cannot be told: a plain number may be meant to be 0."""
    name = field.name
    if field.is_repeated:
        return lambda value: len(getattr(value, name)) > 0
    if field.cpp_type == descriptor.FieldDescriptor.CPPTYPE_STRING:
        return lambda value: bool(getattr(value, name))
    if field.has_presence:
        return lambda value: value.HasField(name)
    if field.cpp_type == descriptor.FieldDescriptor.CPPTYPE_ENUM:
        return lambda value: getattr(value, name) != 0
    return None


def _missing(field: descriptor.FieldDescriptor) -> str:
    if field.is_repeated:
        return "expected at least one element, got none: add what is meant"
    if field.cpp_type == descriptor.FieldDescriptor.CPPTYPE_STRING:
        return "expected a value, got none: it is required"
    if field.cpp_type == descriptor.FieldDescriptor.CPPTYPE_MESSAGE:
        return "expected this section, got none: it is required"
    return "expected a value, got none: it is required, 0 included if that is meant"


def _findings(
    field: descriptor.FieldDescriptor, rule: rules_pb2.Rule | None
) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """The checks of the whole field and of each element."""
    value = field
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        value = field.message_type.fields_by_name["value"]
    if value.message_type is not None and value.message_type.full_name == _DURATION:
        ranged = rule is not None and _has_range(rule)
        return ((_seconds(_range(rule)),) if ranged and rule is not None else (), ())
    of_value: list[Finding] = []
    of_list: list[Finding] = []
    if value.cpp_type in _NUMBERS:
        is_float = value.cpp_type in (
            descriptor.FieldDescriptor.CPPTYPE_DOUBLE,
            descriptor.FieldDescriptor.CPPTYPE_FLOAT,
        )
        if is_float or (rule is not None and _has_range(rule)):
            of_value.append(_range(rule or rules_pb2.Rule()))
    elif rule is not None and value.cpp_type == descriptor.FieldDescriptor.CPPTYPE_STRING:
        if rule.allowed:
            of_value.append(_allowed(tuple(rule.allowed)))
        if rule.HasField("pattern"):
            of_value.append(_pattern(rule.pattern))
    if rule is not None and (rule.HasField("max_size") or rule.HasField("min_size")):
        if field.is_repeated:
            of_list.append(_size(rule, "elements", len))
        elif value.cpp_type == descriptor.FieldDescriptor.CPPTYPE_STRING:
            of_value.append(_size(rule, "bytes", _bytes))
    if field.is_repeated:
        return tuple(of_list), tuple(of_value)
    return tuple(of_value), ()


def _has_range(rule: rules_pb2.Rule) -> bool:
    return any(rule.HasField(bound) for bound in ("gte", "lte", "gt", "lt"))


def _range(rule: rules_pb2.Rule) -> Finding:
    low = rule.gt if rule.HasField("gt") else rule.gte if rule.HasField("gte") else -math.inf
    high = rule.lt if rule.HasField("lt") else rule.lte if rule.HasField("lte") else math.inf
    low_open, high_open = rule.HasField("gt"), rule.HasField("lt")
    expected = _expected_range(low, high, low_open, high_open)

    def finding(value: float) -> str | None:
        low_holds = value > low if low_open else value >= low
        high_holds = value < high if high_open else value <= high
        if low_holds and high_holds and (isinstance(value, int) or math.isfinite(value)):
            return None
        return f"expected {expected}, got {value!r}: give a number in that range"

    return finding


def _seconds(of_number: Finding) -> Finding:
    """A check of a Duration, by its seconds."""

    def finding(value: Any) -> str | None:
        wrong = of_number(value.seconds + value.nanos / 1e9)
        return None if wrong is None else wrong.replace("a number", "seconds", 1)

    return finding


def _expected_range(low: float, high: float, low_open: bool, high_open: bool) -> str:
    if math.isinf(low) and math.isinf(high):
        return "a finite number"
    if math.isinf(high):
        return f"a number {'>' if low_open else '>='} {low:.15g}"
    if math.isinf(low):
        return f"a number {'<' if high_open else '<='} {high:.15g}"
    return f"a number in {'(' if low_open else '['}{low:.15g}, {high:.15g}{')' if high_open else ']'}"


def _bytes(value: str | bytes) -> int:
    return len(value) if isinstance(value, bytes) else len(value.encode())


def _size(rule: rules_pb2.Rule, unit: str, size: Callable[[Any], int]) -> Finding:
    low = rule.min_size
    high = rule.max_size if rule.HasField("max_size") else None

    def finding(value: Any) -> str | None:
        got = size(value)
        if got < low:
            return f"expected at least {low} {unit}, got {got}: add {low - got}"
        if high is not None and got > high:
            return f"expected at most {high} {unit}, got {got}: take out {got - high}"
        return None

    return finding


def _pattern(pattern: str) -> Finding:
    compiled = re.compile(pattern)

    def finding(value: str) -> str | None:
        if compiled.fullmatch(value):
            return None
        return (
            f"expected text that matches {pattern}, got {_shown(value)}: change it so that all of it matches"
        )

    return finding


def _allowed(values: tuple[str, ...]) -> Finding:
    choices = frozenset(values)
    listed = values[0] if len(values) == 1 else f"one of {', '.join(values)}"

    def finding(value: str) -> str | None:
        if value in choices:
            return None
        near = nearest(value, values)
        hint = f"did you mean {near}?" if near else "choose one of these"
        return f"expected {listed}; got {_shown(value)}: {hint}"

    return finding


def nearest(value: str, values: Iterable[str]) -> str | None:
    """The name that was probably meant, if one is near; case does not matter."""
    folded = {name.casefold(): name for name in values}
    found = difflib.get_close_matches(value.casefold()[:200], folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def _shown(value: str) -> str:
    return repr(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…")


def _duration(value: Any) -> str | None:
    if abs(value.seconds) <= _LARGEST_SECONDS and abs(value.nanos) < 1_000_000_000:
        return None
    return (
        f"expected a duration of at most 10,000 years, got {value.seconds} s and {value.nanos} ns: shorten it"
    )


def _timestamp(value: Any) -> str | None:
    if -62_135_596_800 <= value.seconds <= 253_402_300_799 and 0 <= value.nanos < 1_000_000_000:
        return None
    return f"expected a time in the years 1 to 9999, got {value.seconds} s since 1970: change it"


_WELL_KNOWN: Mapping[str, Finding] = {
    _DURATION: _duration,
    "google.protobuf.Timestamp": _timestamp,
}
"""Types of others that have bounds of their own; without them a conversion would fail later."""

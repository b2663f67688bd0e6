"""Trace context as the W3C writes it, beside OpenTelemetry's own reading of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import hypothesis
import hypothesis.strategies as st
import pytest
from opentelemetry import trace as api
from opentelemetry.trace.propagation import tracecontext

from actuary import tracing

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{SPAN}-01"
HEADER = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[0-3]")


def hexadecimal(digits: int) -> st.SearchStrategy[str]:
    return st.integers(1, 16**digits - 1).map(lambda number: f"{number:0{digits}x}")


# keys as Level 1 has them, by which OpenTelemetry reads: no digit first, @ for tenants only
states = st.lists(
    st.tuples(
        st.from_regex(r"[a-z][a-z0-9_\-*/]{0,8}", fullmatch=True),
        st.from_regex(r"[!-+\--<>-~]{1,8}", fullmatch=True),
    ),
    max_size=20,
    unique_by=lambda pair: pair[0],
).map(lambda pairs: ",".join(f"{key}={value}" for key, value in pairs))
contexts = st.builds(
    tracing.Context,
    trace_id=hexadecimal(32),
    span_id=hexadecimal(16),
    flags=st.integers(0, 3),
    state=states,
)
nearly = st.one_of(
    st.text(max_size=80),
    st.from_regex(r"[0-9a-f]{2}-[0-9a-fA-F]{31,33}-[0-9a-f]{15,17}-[0-9a-f]{2}(-x)?", fullmatch=True),
    st.from_regex(r"(00|01|fe|ff)-[0-9a-f]{32}-(0{16}|[0-9a-f]{16})-[0-9a-f]{2}", fullmatch=True),
)


def theirs(carrier):
    """The same headers, read by OpenTelemetry."""
    found = tracecontext.TraceContextTextMapPropagator().extract(carrier)
    return api.get_current_span(found).get_span_context()


@hypothesis.given(contexts)
def test_what_is_written_is_read_as_it_was(context):
    assert tracing.parse(context.carrier()) == context


@hypothesis.given(contexts)
def test_what_is_written_opentelemetry_reads_alike(context):
    found = theirs(context.carrier())

    assert (found.trace_id, found.span_id) == (int(context.trace_id, 16), int(context.span_id, 16))
    assert found.trace_flags.sampled == context.sampled
    assert found.trace_state.to_header() == context.state


@hypothesis.given(nearly, st.text(max_size=600))
def test_any_text_is_either_no_context_or_one_that_may_be_written_again(parent, state):
    found = tracing.parse({"traceparent": parent, "tracestate": state})

    assert (found is not None) == theirs({"traceparent": parent}).is_valid
    if found is not None:
        assert HEADER.fullmatch(found.traceparent)
        assert tracing.parse(found.carrier()) == found


@pytest.mark.parametrize(
    "header",
    [
        "",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}0-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-0x",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
        f"ff-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"{VALID},{VALID}",
    ],
)
def test_a_header_that_is_not_valid_is_none(header):
    assert tracing.parse({"traceparent": header, "tracestate": "a=1"}) is None


@pytest.mark.parametrize(
    "header", [f"cc-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what-will-be", f" {VALID}\t"]
)
def test_a_later_version_is_read_as_far_as_it_is_known(header):
    found = tracing.parse({"traceparent": header})

    assert found is not None
    assert found.traceparent == VALID


@pytest.mark.parametrize(("flags", "kept"), [("00", 0), ("01", 1), ("03", 3), ("fc", 0), ("ff", 3)])
def test_flags_without_a_meaning_are_not_passed_on(flags, kept):
    assert tracing.parse({"traceparent": f"00-{TRACE}-{SPAN}-{flags}"}).flags == kept


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        ("a=1,b=2", "a=1,b=2"),
        (" a=1 ,\t, b=2,", "a=1,b=2"),
        ("tenant@system=x/y:z", "tenant@system=x/y:z"),
        ("a", ""),
        ("A=1", ""),
        ("a=1=2", ""),
        ("a=é", ""),
        (",".join(f"k{i}=1" for i in range(33)), ""),
        (f"a={'1' * 256},b={'2' * 256}", ""),
    ],
)
def test_a_tracestate_is_passed_on_whole_or_not_at_all(header, kept):
    assert tracing.parse({"traceparent": VALID, "tracestate": header}).state == kept


def test_a_new_span_is_in_the_trace_of_its_parent():
    parent = tracing.parse({"traceparent": VALID, "tracestate": "a=1"})

    child = tracing.below(parent)

    assert (child.trace_id, child.parent_id, child.flags, child.state) == (TRACE, SPAN, 1, "a=1")
    assert child.span_id not in (SPAN, tracing.below(parent).span_id)


def test_without_a_parent_a_trace_begins_that_is_sampled():
    first, second = tracing.below(None), tracing.below(None)

    assert first.trace_id != second.trace_id
    assert first.sampled
    assert first.parent_id == ""


def test_calls_that_are_not_sampled_carry_the_trace_all_the_same():
    with tracing.entered(tracing.below(None)), tracing.unsampled():
        outside = tracing.current()

    assert not outside.sampled
    with tracing.unsampled():
        assert not tracing.current().sampled


def test_what_was_entered_is_left_again_also_by_an_error():
    with pytest.raises(KeyError), tracing.entered(tracing.below(None)):
        raise KeyError

    assert tracing.current() is None


def shown(**variables: str) -> str:
    """The trace that a process with these variables, and a thread of it, believe to be in."""
    program = (
        "import threading; from actuary import tracing;"
        "show = lambda: print(tracing.current() and tracing.current().carrier());"
        "show(); thread = threading.Thread(target=show); thread.start(); thread.join()"
    )
    clean = {key: value for key, value in os.environ.items() if key not in ("TRACEPARENT", "TRACESTATE")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**clean, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    in_main, in_thread = done.stdout.splitlines()
    assert in_main == in_thread
    return in_main


def test_a_process_goes_on_with_the_trace_that_it_is_given_in_all_its_threads():
    given = tracing.Context(trace_id=TRACE, span_id=SPAN, state="a=1").carrier()

    assert shown(**tracing.environment(given)) == str(given)


def test_a_process_is_in_no_trace_where_the_variable_is_missing_or_is_none():
    assert shown() == shown(TRACEPARENT="00-abc") == "None"


def test_a_process_never_gets_the_tracestate_of_another_trace():
    assert tracing.environment({"traceparent": VALID}) == {"TRACEPARENT": VALID, "TRACESTATE": ""}
    assert tracing.environment({}) == {}


@pytest.fixture
def taken():
    spans: list[tracing.Span] = []
    tracing.exporter = spans.append
    yield spans
    tracing.exporter = None


def test_a_span_within_a_span_has_it_as_its_parent_and_both_their_times(taken):
    with tracing.span("outer"), tracing.span("inner", index=3):
        pass

    inner, outer = taken
    assert (inner.context.trace_id, inner.context.parent_id) == (
        outer.context.trace_id,
        outer.context.span_id,
    )
    assert outer.start_ns <= inner.start_ns <= inner.end_ns <= outer.end_ns
    assert inner.attributes == {"actuary.index": 3}


def test_a_span_that_is_left_by_an_error_says_which(taken):
    with pytest.raises(ValueError, match="no"), tracing.span("wrong"):
        raise ValueError("no")

    assert [span.error for span in taken] == ["no"]


def test_what_is_not_sampled_is_not_written_down(taken):
    with tracing.unsampled(), tracing.span("poll"):
        pass

    assert taken == []

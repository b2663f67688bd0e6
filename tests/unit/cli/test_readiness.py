"""When a server says that it cannot do its work."""

from __future__ import annotations

import queue

import pytest

from actuary import errors
from actuary.cli import readiness


@pytest.fixture
def heard():
    return queue.Queue()


def looks(answers):
    """A look that answers as told, then well for ever."""
    rest = iter(answers)

    def look():
        if next(rest, "y") == "n":
            raise errors.UnavailableError("database does not answer")

    return look


@pytest.mark.parametrize("answers", ["nn", "ynynnyy", "nnnnnnyn"])
def test_two_looks_without_an_answer_are_said_and_the_first_with_one_too(heard, answers):
    with readiness.Readiness(looks(answers), heard.put, seconds=0.001):
        assert heard.get(timeout=60) is False
        assert heard.get(timeout=60) is True


def test_one_look_without_an_answer_is_not_said(heard):
    done = looks("ynyynyn" + "y" * 20)
    count = iter(range(30))

    def look():
        if next(count, None) is None:
            heard.put("end")
        done()

    with readiness.Readiness(look, heard.put, seconds=0.001):
        assert heard.get(timeout=60) == "end"

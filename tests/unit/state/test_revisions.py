"""Which schemas of newer versions an older one works with, and that migrations keep what they promise."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from actuary import errors
from actuary.state import migrations
from actuary.state.migrations import revisions

KNOWN = ("0001", "0002", "0003_from_0002", "0004_from_0002")
ADDING = {"create_table", "create_index", "add_column"}


@pytest.mark.parametrize(
    ("found", "newer"),
    [
        (None, False),
        ("0002", False),
        ("0004_from_0002", False),
        ("0005_from_0002", True),
        ("0005_from_0004", True),
        ("0009", True),
    ],
)
def test_what_only_added_since_a_revision_that_is_known_can_be_worked_with(found, newer):
    assert revisions.is_newer(found, KNOWN) is newer


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ("0005_from_0005", "needs one that knows 0005 at least; this one knows 0004_from_0002. Nothing was"),
        ("0004", "is this another branch"),
        ("3f2a9c", "is it a database of Actuary's"),
        ("", "is it a database of Actuary's"),
    ],
)
def test_anything_else_is_refused_with_what_to_do(found, said):
    with pytest.raises(errors.PreconditionError, match=said):
        revisions.is_newer(found, KNOWN)


def _operations(path: Path) -> list[ast.Call]:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return [
        call
        for call in calls
        if isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") == "op"
    ]


def test_migrations_only_add_so_that_an_older_version_can_come_back():
    """One that does not has an id with `_from_` in it, and what stands here is changed on purpose."""
    for path in sorted(Path(migrations.__file__).parent.glob("versions/*.py")):
        for call in _operations(path):
            assert call.func.attr in ADDING, f"{path.name}: op.{call.func.attr}"
            if call.func.attr == "add_column":
                words = {word.arg: word.value for word in call.args[1].keywords}
                # without either, rows of an older version could not be written
                optional = "server_default" in words or getattr(words.get("nullable"), "value", True)
                assert optional, f"{path.name}: a column that older versions do not fill"

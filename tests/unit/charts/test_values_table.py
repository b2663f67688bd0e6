"""The chart's table of values: made from the comments, whole, and not out of date."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import yaml

CHARTS = Path(__file__).parents[3] / "charts"
_spec = importlib.util.spec_from_file_location("values_table", CHARTS / "values_table.py")
values_table = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(values_table)

README = (CHARTS / "actuary" / "README.md").read_text(encoding="utf-8")
VALUES = (CHARTS / "actuary" / "values.yaml").read_text(encoding="utf-8")


def test_the_table_of_the_readme_is_what_values_yaml_says():
    assert values_table.filled(README, VALUES) == README, "out of date: make docs"


def test_every_value_is_in_the_table_and_explained():
    rows = list(values_table.rows(VALUES))
    for path, _, comment in rows:
        assert comment, f"values.yaml: {path} has no comment"
    listed = tuple(path for path, _, _ in rows)

    def leaves(section, path=()):
        for key, value in section.items():
            if isinstance(value, dict) and value:
                yield from leaves(value, (*path, key))
            else:
                yield ".".join((*path, key))

    for leaf in leaves(yaml.safe_load(VALUES)):
        assert any(leaf == path or leaf.startswith(f"{path}.") for path in listed), leaf


def test_a_row_has_three_cells():
    for line in values_table.table(VALUES).splitlines():
        assert line.count("|") == 4, line


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("# A.\na: ''\n", [("a", '""', "A.")]),
        ("# A,\n# twice.\na: {b: 1}\n", [("a", "{b: 1}", "A, twice.")]),
        ("# All of it.\na:\n  b: 1\n  c: [x]\n", [("a", "{b: 1, c: [x]}", "All of it.")]),
        ("a:\n  # B.\n  b: 1\n  # D.\n  d: x\n", [("a.b", "1", "B."), ("a.d", "x", "D.")]),
        ("a:\n  b:\n    # C.\n    c: true\n", [("a.b.c", "true", "C.")]),
        ("# of the file\n\na: 1\n", [("a", "1", "")]),
    ],
)
def test_comments_belong_to_what_they_stand_above(text, rows):
    assert list(values_table.rows(text)) == rows


def test_a_readme_without_its_marks_is_refused():
    with pytest.raises(ValueError, match="expected the lines"):
        values_table.filled("# Chart\n", VALUES)

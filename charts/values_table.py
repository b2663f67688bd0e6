"""Writes the table of values in charts/actuary/README.md, from the comments above each value of values.yaml.

helm-docs makes such tables too. These lines need no second tool chain, and a test calls them to see whether
the table is out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

CHART = Path(__file__).parent / "actuary"
BEGIN, END = "<!-- values, by `make docs` -->\n", "<!-- end of values -->\n"
LONGEST_DEFAULT = 60
"""Characters; a longer default is looked up in values.yaml."""


def rows(text: str) -> Iterator[tuple[str, str, str]]:
    r"""Yields path, default and comment of each value; a section without comments on its parts is one value.

    >>> list(rows("# Said above.\nabove: 1\n\nsection:\n  # What it is.\n  part: {}\n"))
    [('above', '1', 'Said above.'), ('section.part', '{}', 'What it is.')]
    """
    root = yaml.compose(text)
    lines = text.splitlines()
    assert isinstance(root, yaml.MappingNode)
    yield from _walk(root, (), lines)


def table(text: str) -> str:
    """The table in Markdown."""
    found = ["| value | default | what it is |", "|---|---|---|"]
    for path, default, comment in rows(text):
        shown = f"`{default}`" if len(default) <= LONGEST_DEFAULT else "see [values.yaml](values.yaml)"
        found.append(f"| `{path}` | {shown} | {comment} |")
    return "\n".join(found) + "\n"


def filled(readme: str, values: str) -> str:
    """The README with its table made anew."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        raise ValueError(f"README.md: expected the lines {BEGIN!r} and {END!r}, in this order")
    return f"{before}{BEGIN}{table(values)}{END}{after}"


def _walk(node: yaml.MappingNode, path: tuple[str, ...], lines: list[str]) -> Iterator[tuple[str, str, str]]:
    for key, value in node.value:
        here = (*path, key.value)
        comment = _above(key.start_mark.line, lines)
        if isinstance(value, yaml.MappingNode) and not value.flow_style and _explained(value, lines):
            yield from _walk(value, here, lines)
        else:
            yield ".".join(here), _default(value), comment


def _explained(node: yaml.MappingNode, lines: list[str]) -> bool:
    """Whether some part of a section, or of a section in it, has a comment."""
    return any(
        _above(key.start_mark.line, lines)
        or (isinstance(value, yaml.MappingNode) and not value.flow_style and _explained(value, lines))
        for key, value in node.value
    )


def _above(line: int, lines: list[str]) -> str:
    found: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        found.insert(0, lines[line].lstrip()[1:].strip())
    return " ".join(found)


def _default(node: yaml.Node) -> str:
    value = yaml.safe_load(yaml.serialize(node))
    if isinstance(value, str):
        return value or '""'
    return (
        yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
        .split("\n...")[0]
        .strip()
    )


if __name__ == "__main__":
    readme = CHART / "README.md"
    made = filled(readme.read_text(encoding="utf-8"), (CHART / "values.yaml").read_text(encoding="utf-8"))
    readme.write_text(made, encoding="utf-8")
    sys.stderr.write(f"wrote {readme.relative_to(CHART.parents[1])}\n")

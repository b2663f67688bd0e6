"""A folder to type commands in, and one server for all tests that need no process of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import actuary
from component.flows import newcomer


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            # they share a server
            item.add_marker(pytest.mark.xdist_group("flows"))


@pytest.fixture
def shell(tmp_path) -> newcomer.Shell:
    return newcomer.Shell(tmp_path)


@pytest.fixture(scope="session")
def served(tmp_path_factory) -> Iterator[newcomer.Served]:
    """A server that `actuary up` started, for all tests that need no process of their own."""
    folder = tmp_path_factory.mktemp("up")
    terminal, data = newcomer.Shell(folder), folder / "data"
    with (
        terminal.start("up", "--data", data, "--address", "127.0.0.1:0", "--metrics-port", 0),
        actuary.Client(newcomer.address_of(data)) as client,
    ):
        yield newcomer.Served(terminal, data, client)

"""One server for all these tests, in a process of its own as `actuary up` starts it."""

from __future__ import annotations

import re

import pytest

from component.bad_input import places


@pytest.fixture(scope="package")
def data(tmp_path_factory):
    """The data folder that the server serves."""
    return tmp_path_factory.mktemp("served") / "data"


@pytest.fixture(scope="package")
def client(data):
    """A client of that server."""
    with places.served(data) as connected:
        yield connected


@pytest.fixture
def place(request, tmp_path, data, client):
    """A folder with a campaign named after the test."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_"))[-60:].strip("-")
    made = places.Place(tmp_path / name, data, name=name)
    made.spec()
    made.items()
    return made

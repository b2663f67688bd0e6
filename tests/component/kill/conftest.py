"""An undisturbed campaign, once a session, to compare with."""

from __future__ import annotations

import pytest

from component.kill import campaigns


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """What the small campaign leaves when nobody is killed."""
    place = campaigns.Place(tmp_path_factory.mktemp("undisturbed"), campaigns.NULL)
    left = place.left(place.run())
    assert (place.kills, place.repeated()) == (0, 0)
    campaigns.check_sound(left, items=182)
    return left


@pytest.fixture
def place(tmp_path):
    """A fresh place for the same campaign."""
    return campaigns.Place(tmp_path, campaigns.NULL)

import contextlib

import pytest

from actuary import errors
from actuary.state import campaigns, database


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://h/d", "sqlite://", "sqlite:///:memory:"])
def test_a_database_of_another_kind_is_refused_with_what_was_expected(url):
    with pytest.raises(errors.InvalidInputError, match="sqlite:///path"):
        database.Database.open(url)


def test_the_password_is_not_shown(tmp_path):
    with contextlib.closing(database.Database.open("postgresql://me:secret@127.0.0.1:1/x")) as db:
        assert "secret" not in db.url


def test_a_server_that_does_not_answer_is_unavailable():
    with contextlib.closing(database.Database.open("postgresql://me:secret@127.0.0.1:1/x")) as db:
        with pytest.raises(errors.UnavailableError) as caught:
            campaigns.Campaigns(db).get("campaigns/c")
        assert "secret" not in caught.value.message


def test_a_file_that_is_no_database_is_data_loss(tmp_path):
    (tmp_path / "x.db").write_bytes(b"this is no database, however long it may be " * 100)
    refused = pytest.raises(errors.DataLossError, match=r"x\.db")
    with contextlib.closing(database.Database.open(f"sqlite:///{tmp_path}/x.db")) as db, refused:
        db.migrate()

"""Where credentials come from, and that they are not shown."""

from pathlib import Path

import pytest

from actuary import errors
from actuary.storage import location, settings


def test_secrets_are_masked():
    options = settings.StorageSettings(access_key="visible-access", secret_key="visible-secret")
    assert "visible" not in repr(options) + str(options) + options.model_dump_json()
    assert options.credentials() == ("visible-access", "visible-secret", None)


def test_files_win_over_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "key").write_text("from-file\n")
    monkeypatch.setenv("ACTUARY_STORAGE_ACCESS_KEY", "from-env")
    monkeypatch.setenv("ACTUARY_STORAGE_SECRET_KEY", "from-env")
    monkeypatch.setenv("ACTUARY_STORAGE_SECRET_KEY_FILE", str(tmp_path / "key"))
    assert settings.StorageSettings().credentials() == ("from-env", "from-file", None)


@pytest.mark.parametrize("given", [{}, {"access_key": "a"}, {"access_key": "a", "secret_key": ""}])
def test_missing_credentials_say_how_to_give_them(given: dict):
    with pytest.raises(errors.InvalidInputError, match=r"secret_key: set ACTUARY_STORAGE_ACCESS_KEY"):
        location.open_store("s3://bucket/x", settings.StorageSettings(**given))


def test_a_secret_file_that_is_not_there_is_named(tmp_path: Path):
    options = settings.StorageSettings(access_key_file=tmp_path / "gone", secret_key="b")
    with pytest.raises(errors.InvalidInputError, match="gone"):
        options.credentials()


@pytest.mark.parametrize("endpoint", ["127.0.0.1:9000", "http://", "ftp://h:1", "http://h:1/path"])
def test_an_endpoint_that_is_no_url_is_refused(endpoint: str):
    options = settings.StorageSettings(endpoint=endpoint, access_key="a", secret_key="b")
    with pytest.raises(errors.InvalidInputError, match=r"storage\.endpoint"):
        location.open_store("s3://bucket/x", options)

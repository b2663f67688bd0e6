"""One contract on SQLite and on a real PostgreSQL: every test gets a fresh, migrated database of each."""

import datetime
import itertools
import sys
import threading

import pytest

from actuary.state import database
from contract.state import servers


class FakeClock:
    """A clock that a test turns."""

    def __init__(self):
        self.now = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.UTC)

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += datetime.timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture(scope="session")
def postgres_address():
    programs = servers.find_postgres()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with servers.postgres(programs) as address:
        yield address


_numbers = itertools.count(1)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def url(request, tmp_path):
    """The URL of an empty database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ünïcode state/actuary.db"
    return servers.create_database(request.getfixturevalue("postgres_address"), f"test{next(_numbers)}")


@pytest.fixture
def db(url):
    opened = database.Database.open(url)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def together():
    """Runs functions at the same moment in threads and returns what each returned or raised."""

    def run(*functions):
        results = [None] * len(functions)
        gate = threading.Barrier(len(functions))

        def call(place, function):
            gate.wait()
            try:
                results[place] = function()
            except Exception as error:
                results[place] = error

        threads = [threading.Thread(target=call, args=pair) for pair in enumerate(functions)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "a writer hangs"
        return results

    return run


@pytest.fixture
def python():
    """The command of a fresh interpreter."""
    return [sys.executable, "-c"]

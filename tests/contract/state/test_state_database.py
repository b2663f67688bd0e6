import contextlib
import os
import subprocess
import threading

import pytest
import sqlalchemy as sa
from alembic import autogenerate
from alembic.runtime import migration
from alembic.script import ScriptDirectory

from actuary import errors
from actuary.state import campaigns, database, migrations, tables


def test_the_migrations_arrive_at_the_tables_of_the_package(db):
    with db.read() as connection:
        context = migration.MigrationContext.configure(connection, opts={"compare_type": True})
        assert autogenerate.compare_metadata(context, tables.metadata) == []


def test_migrating_twice_changes_nothing(db):
    db.migrate()
    with db.read() as connection:
        assert connection.execute(sa.text("select count(*) from alembic_version")).scalar() == 1


def test_several_processes_may_migrate_at_once(url, python):
    script = "import sys; from actuary.state import database; database.Database.open(sys.argv[1]).migrate()"
    processes = [subprocess.Popen([*python, script, url], stderr=subprocess.PIPE) for _ in range(3)]
    for process in processes:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said.decode()


def test_an_older_version_works_on_the_schema_of_a_newer_one_that_only_added(db, clock):
    with db.begin() as connection:
        for change in (
            "alter table campaigns add column colour text",
            "alter table campaigns add column size integer not null default 7",
            "create table palettes (name text primary key)",
            "update alembic_version set version_num = '9999'",
        ):
            connection.execute(sa.text(change))
    schema = db.migrate()
    assert (schema.newer, schema.revision) == (True, "9999")
    table = campaigns.Campaigns(db, clock)
    table.create(campaigns.CampaignRecord(name="campaigns/c", spec={"seed": 1}, spec_digest="d"))
    assert [each.spec for each in table.list()[0]] == [{"seed": 1}]
    with db.read() as connection:
        assert connection.execute(sa.text("select version_num from alembic_version")).scalar() == "9999"
        assert connection.execute(sa.text("select size from campaigns")).scalar() == 7


def test_a_newer_schema_that_wants_newer_code_is_refused_and_left_alone(db):
    with db.begin() as connection:
        connection.execute(sa.text("update alembic_version set version_num = '9999_from_9998'"))
    with pytest.raises(errors.PreconditionError, match="needs one that knows 9998 at least"):
        db.migrate()
    with db.read() as connection:
        assert (
            connection.execute(sa.text("select version_num from alembic_version")).scalar()
            == "9999_from_9998"
        )


@pytest.mark.real
@pytest.mark.parametrize(
    ("user", "name", "said"),
    [
        ("locked:wrong", "postgres", 'password authentication failed for user "locked"'),
        ("locked", "postgres", "no password supplied"),
        ("nobody", "postgres", 'role "nobody" does not exist'),
        ("actuary", "nowhere", 'database "nowhere" does not exist'),
    ],
)
def test_a_server_that_refuses_user_password_or_database_is_told_from_one_that_is_away(
    postgres_address, user, name, said
):
    server = postgres_address.partition("@")[2]
    admin = sa.create_engine(
        f"postgresql+psycopg://{postgres_address}/postgres", isolation_level="AUTOCOMMIT"
    )
    with admin.connect() as connection, contextlib.suppress(sa.exc.ProgrammingError):
        connection.exec_driver_sql("CREATE ROLE locked LOGIN PASSWORD 'right'")
    admin.dispose()
    opened = database.Database.open(f"postgresql+psycopg://{user}@{server}/{name}")

    with pytest.raises(errors.UnavailableError, match="check user, password and database name") as refused:
        opened.migrate()

    assert refused.value.reason == database.REFUSES
    assert said in str(refused.value)
    assert "wrong" not in str(refused.value)  # the password is in no message
    opened.close()


@pytest.mark.real
@pytest.mark.parametrize(("away", "code"), [(False, 3), (True, 1)])
def test_migrate_ends_with_another_code_where_trying_again_would_change_nothing(
    postgres_address, python, away, code
):
    server = "127.0.0.1:1" if away else postgres_address.partition("@")[2]
    url = f"postgresql://nobody@{server}/postgres"
    script = "import sys; from actuary.cli import main; sys.argv = ['actuary', 'migrate']; main.main()"
    done = subprocess.run(
        [*python, script], env={**os.environ, "ACTUARY_DATABASE_URL": url}, capture_output=True, text=True
    )

    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_database_without_tables_says_what_to_do(url):
    refused = pytest.raises(errors.PreconditionError, match="run the migrations")
    with contextlib.closing(database.Database.open(url)) as empty, refused:
        campaigns.Campaigns(empty).get("campaigns/c")


def test_a_block_that_raises_leaves_nothing(db):
    row = {"name": "n", "holder": "h", "token": 1, "end_time": campaigns.clocks.utc_now()}

    def interrupted():
        with db.begin() as connection:
            assert database.insert_if_absent(connection, tables.leases, row)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    with db.begin() as connection:
        assert database.insert_if_absent(connection, tables.leases, row)
        assert not database.insert_if_absent(connection, tables.leases, row)


def test_a_write_that_deadlocks_is_run_again(db, together):
    now = campaigns.clocks.utc_now()
    rows = [{"name": name, "holder": "", "token": 0, "end_time": now} for name in "ab"]
    db.write(lambda connection: connection.execute(sa.insert(tables.leases), rows))

    def crosswise(first, second):
        def body(connection):
            for name in (first, second):
                row = tables.leases.c.name == name
                connection.execute(sa.select(tables.leases).where(row).with_for_update()).one()
                connection.execute(
                    sa.update(tables.leases).where(row).values(token=tables.leases.c.token + 1)
                )

        return lambda: [db.write(body) for _ in range(20)]

    for result in together(crosswise("a", "b"), crosswise("b", "a")):
        assert not isinstance(result, Exception), result
    with db.read() as connection:
        assert set(connection.execute(sa.select(tables.leases.c.token)).scalars()) == {40}


def test_a_time_without_zone_is_refused(db):
    row = {
        "name": "n",
        "holder": "h",
        "token": 1,
        "end_time": campaigns.clocks.utc_now().replace(tzinfo=None),
    }
    with pytest.raises(sa.exc.StatementError, match="zone"), db.begin() as connection:
        database.insert_if_absent(connection, tables.leases, row)


def test_the_head_revision_is_one_line_of_descent():
    assert len(ScriptDirectory.from_config(migrations.configuration()).get_heads()) == 1


def test_who_stops_in_a_transaction_loses_it_and_its_locks(db):
    """SQLite has no such limit; its one machine has other ways to see who is stopped."""
    if db.dialect != "postgresql":
        pytest.skip("PostgreSQL only")
    now = campaigns.clocks.utc_now()
    row = {"name": "a", "holder": "", "token": 0, "end_time": now}
    db.write(lambda connection: connection.execute(sa.insert(tables.leases), [row]))
    query = sa.select(tables.leases).with_for_update()
    stopped = threading.Event()

    def stop_in_the_middle(connection):
        connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 200"))
        connection.execute(query).one()
        stopped.wait(3)
        return connection.execute(query).one()

    with db.read() as connection:
        limit = connection.execute(sa.text("SHOW idle_in_transaction_session_timeout")).scalar_one()
    assert limit == f"{database.BUSY_TIMEOUT_SECONDS:g}s"
    with pytest.raises(errors.UnavailableError):
        db.write(stop_in_the_middle)
    assert db.write(lambda connection: connection.execute(query).one()).token == 0

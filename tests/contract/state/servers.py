"""A private PostgreSQL server for one test session: real, empty, gone afterwards."""

import contextlib
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile

import sqlalchemy as sa


def find_postgres() -> pathlib.Path | None:
    """The folder of PostgreSQL's programs, newest version first; None when it is not installed."""
    on_path = shutil.which("initdb")
    candidates = [pathlib.Path(on_path).resolve().parent] if on_path else []
    candidates += sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in candidates if (folder / "initdb").exists()), None)


@contextlib.contextmanager
def postgres(programs: pathlib.Path):
    """Runs a server on a free port of 127.0.0.1 and yields its address, `actuary@127.0.0.1:port`."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="actuary-postgres-"))
    log = (folder / "out").open("wb")
    prefix = []
    if os.getuid() == 0:  # initdb refuses root
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]

    def run(program, *arguments):
        subprocess.run(
            [*prefix, str(programs / program), *arguments],
            check=True, cwd=folder, env={"LC_ALL": "C.UTF-8"}, stdout=log, stderr=log,
        )  # fmt: skip

    data = str(folder / "data")
    run("initdb", "-D", data, "-U", "actuary", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
    rules = folder / "data" / "pg_hba.conf"  # one user needs a password
    rules.write_text(f"host all locked 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = (
        f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} "
        "-c fsync=off -c full_page_writes=off"
    )
    try:
        run("pg_ctl", "-D", data, "-l", str(folder / "log"), "-w", "start", "-o", options)
        yield f"actuary@127.0.0.1:{port}"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        log.close()
        shutil.rmtree(folder)


def create_database(address: str, name: str) -> str:
    """Makes an empty database on a server and returns its URL."""
    admin = sa.create_engine(f"postgresql+psycopg://{address}/postgres", isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    admin.dispose()
    return f"postgresql+psycopg://{address}/{name}"

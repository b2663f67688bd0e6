"""Commands on what is not there or not what they expect: one line each, no traceback, nothing half-made."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import urllib.request

import prometheus_client.parser

from component.flows import newcomer


def test_paths_that_cannot_be_are_refused_in_a_line(shell):
    (shell.folder / "file").write_text("")
    cases = [
        ("list --data file", 2, "--data: expected a folder, "),
        ("up --data file/below", 2, "--data: expected a folder, "),
        ("gc --data nowhere", 2, "--data: expected a data folder, there is none at nowhere"),
        ("init file", 2, "file: expected a folder to write campaign.yaml into, it is a file"),
        ("run nowhere", 2, "nowhere: No such file or directory. Expected a campaign.yaml"),
        ("export x labels.xlsx", 2, "labels.xlsx: expected a name that ends in .csv"),
        ("review export x file/tasks.csv", 2, "file/tasks.csv: cannot be written"),
        ("review export x tasks.xlsx", 2, "tasks.xlsx: expected a name that ends in .csv or .jsonl"),
    ]
    for command, code, message in cases:
        said = shell(*command.split(), code=code)
        assert said.stderr.startswith(f"error: {message}"), command
        assert len(said.stderr.splitlines()) == 1, command
    # none was begun before it was refused
    assert sorted(path.name for path in shell.folder.iterdir()) in (["file"], ["actuary-data", "file"])


def test_a_wrong_variable_is_named(shell, monkeypatch):
    monkeypatch.setitem(newcomer.ENVIRONMENT, "ACTUARY_CORES", "0")
    said = shell("list", code=2).stderr
    assert said == "error: ACTUARY_CORES: Input should be greater than or equal to 1, got '0'\n"


def test_gc_says_what_it_leaves_alone(served):
    said = served.cli("gc", "--dry-run").stdout
    assert said.endswith("would remove 0 objects, 0 bytes; what is younger than 24 h stays\n")


def test_a_server_exports_its_calls_and_totals_of_the_work_that_survive_every_process(shell):
    form = newcomer.campaign(data={"truth_column": "gold"}, review={"mode": "replay"})
    newcomer.make(shell.folder / "small", form, newcomer.items(60))
    data = shell.folder / "data"
    shell("run", "small", "--data", data)
    with _served(shell, data) as scraped:
        shell("list", "--data", data)
        newcomer.wait_for(
            lambda: scraped("actuary_rpc_seconds_count", method="ListCampaigns", code="OK") == 1,
            "the call to be counted",
        )
        # this process has done nothing of it
        totals = newcomer.wait_for(lambda: _totals(scraped), "the totals to be shown")
        assert totals == {"annotate": 60, "people": 40, "settled": 40 * 80_000, "SUCCEEDED": 1, "RUNNING": 0}
        assert scraped("actuary_jobs_ended_total", stage="annotate", state="SUCCEEDED") == 2
        assert 0 < scraped("actuary_estimate", figure="corrected_accuracy", bound="low") <= 1
        assert scraped("actuary_worker_cpu_seconds_total", stage="annotate") > 0
        assert scraped("actuary_leader", loop="annotator") == 1
    with _served(shell, data) as scraped:
        assert newcomer.wait_for(lambda: _totals(scraped), "the totals to be shown") == totals


def _totals(scraped):
    found = {
        "annotate": scraped("actuary_items_total", stage="annotate", outcome="LABELLED"),
        "people": scraped("actuary_answers_total", outcome="LABEL"),
        "settled": scraped("actuary_cost_micros_total", payer="human"),
        "SUCCEEDED": scraped("actuary_campaigns", state="SUCCEEDED"),
        "RUNNING": scraped("actuary_campaigns", state="RUNNING"),
    }
    return None if None in found.values() else found


@contextlib.contextmanager
def _served(shell, data):
    """A server, and what reads a sum off its metrics page; None where there is no sample."""
    port = _free_port()
    with shell.start("up", "--data", data, "--address", "127.0.0.1:0", "--metrics-port", port):
        newcomer.address_of(data)

        def scraped(name, **labels):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                families = prometheus_client.parser.text_string_to_metric_families(answer.read().decode())
            values = [
                sample.value
                for family in families
                for sample in family.samples
                if sample.name == name and labels.items() <= sample.labels.items()
            ]
            return sum(values) if values else None

        newcomer.wait_for(lambda: scraped("actuary_rpc_watchers") is not None, "the metrics page")
        yield scraped


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_migrate_leaves_a_newer_schema_alone_and_says_whether_it_can_work_with_it(shell, monkeypatch):
    url = f"sqlite:///{shell.folder}/state.db"
    monkeypatch.setitem(newcomer.ENVIRONMENT, "ACTUARY_DATABASE_URL", url)
    assert "the database is up to date (0" in shell("migrate").stderr
    _set_revision(shell, "9999")
    assert "(9999; this one knows 0" in shell("migrate").stderr
    _set_revision(shell, "9999_from_9998")
    said = shell("migrate", code=3).stderr
    assert "needs one that knows 9998 at least" in said
    assert len(said.splitlines()) == 1


def test_an_older_server_serves_on_a_newer_schema_that_only_added(shell):
    shell("list")
    _set_revision(shell, "9999", "actuary-data/actuary.db")
    assert "no campaign yet" in shell("list").stderr


def _set_revision(shell, revision, file="state.db"):
    with contextlib.closing(sqlite3.connect(shell.folder / file)) as connection, connection:
        connection.execute("update alembic_version set version_num = ?", (revision,))

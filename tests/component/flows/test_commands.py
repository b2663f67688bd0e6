"""Commands on what is not there or not what they expect: one line each, no traceback, nothing half-made."""

from __future__ import annotations

import socket
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


def test_a_running_server_exports_its_metrics(shell):
    data = shell.folder / "data"
    with shell.start("up", "--data", data, "--address", "127.0.0.1:0", "--metrics-port", _free_port()):
        newcomer.address_of(data)
        served = newcomer.wait_for(lambda: "metrics on port" in shell.log("up"), "the port of the metrics")
        assert served
        port = shell.log("up").split("metrics on port ")[1].split(";")[0]
        shell("list", "--data", data)

        def scraped():
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                text = answer.read().decode()
            families = prometheus_client.parser.text_string_to_metric_families(text)
            return {family.name: family.samples for family in families}

        calls = newcomer.wait_for(
            lambda: [
                sample
                for sample in scraped().get("actuary_rpc_seconds", [])
                if sample.name.endswith("_count") and sample.labels["method"] == "ListCampaigns"
            ],
            "the call to be counted",
        )
        assert (calls[0].labels["code"], calls[0].value) == ("OK", 1)
        states = {s.labels["state"]: s.value for s in scraped()["actuary_campaigns"]}
        assert states["RUNNING"] == 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])

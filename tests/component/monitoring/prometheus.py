"""A real Prometheus that scrapes once a second, and what one asks it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from component.flows import newcomer

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "actuary"
Labels = dict[str, str]


def program(name: str) -> str:
    """The path of `prometheus` or `promtool`."""
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"expected {name} on the PATH; Debian's package prometheus brings it")
    return found


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@dataclasses.dataclass(frozen=True, slots=True)
class Prometheus:
    """A running server."""

    url: str

    def get(self, path: str, **parameters: object) -> Any:
        """The data of an answer of the HTTP API.

        Raises:
            OSError: It does not answer, or refuses the query.
        """
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}") as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise OSError(f"{path}: {error.read().decode()}") from error

    def values(self, expression: str) -> list[tuple[Labels, float]]:
        """What a query answers now, by labels."""
        result = self.get("query", query=expression)["result"]
        return [(each["metric"], float(each["value"][1])) for each in result]

    def series(
        self, expression: str, start: float, end: float, step: float
    ) -> list[tuple[Labels, list[Any]]]:
        """What a query answers from `start` to `end`: (time, value) by labels."""
        result = self.get("query_range", query=expression, start=start, end=end, step=step)["result"]
        return [(each["metric"], [(float(t), float(v)) for t, v in each["values"]]) for each in result]


@contextlib.contextmanager
def scraping(folder: Path, ports: Sequence[int]) -> Iterator[Prometheus]:
    """A Prometheus with the chart's alert rules that scrapes some ports of this machine."""
    port = free_port()
    targets = [f"127.0.0.1:{each}" for each in ports]
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(CHART / "rules" / "actuary.yaml")],
        "scrape_configs": [{"job_name": "actuary", "static_configs": [{"targets": targets}]}],
    }
    folder.mkdir()
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            server = Prometheus(f"http://127.0.0.1:{port}")
            newcomer.wait_for(
                lambda: len([value for _, value in server.values("up") if value == 1]) == len(ports),
                f"every target to be scraped; {(folder / 'log').read_text()}",
                seconds=60,
            )
            yield server
        finally:
            process.terminate()
            process.wait(60)

"""The `/metrics` page of a process: its own metrics, and the figures of the controllers that lead here.

A scrape computes nothing and asks nobody: controllers show what they know after a step, and what one has
shown is gone when it leads no longer.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from wsgiref import simple_server

import prometheus_client
from prometheus_client import core, registry

from actuary import errors, metrics


class Board(registry.Collector):
    """What the controllers of this process show."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shown: dict[str, Mapping[metrics.Key, float]] = {}

    def show(self, loop: str, values: Mapping[metrics.Key, float]) -> None:
        """Replaces what a controller shows."""
        with self._lock:
            self._shown[loop] = dict(values)

    def clear(self, loop: str) -> None:
        """Takes a controller's figures away: another process shows them now."""
        with self._lock:
            self._shown.pop(loop, None)

    def values(self) -> dict[metrics.Key, float]:
        """All that is shown."""
        with self._lock:
            return {key: value for shown in self._shown.values() for key, value in shown.items()}

    def describe(self) -> Iterator[core.Metric]:
        """Nothing is named before it has a value; the names are `metrics.FIGURES`."""
        return iter(())

    def collect(self) -> Iterator[core.Metric]:
        """The figures as the Prometheus client's families."""
        families: dict[str, core.CounterMetricFamily | core.GaugeMetricFamily] = {}
        for (name, values), value in sorted(self.values().items()):
            figure = metrics.FIGURES[name]
            if name not in families:
                family = core.CounterMetricFamily if figure.counts else core.GaugeMetricFamily
                families[name] = family(name, figure.help, labels=list(figure.labels))
            families[name].add_metric(list(values), value)
        yield from families.values()


BOARD = Board()
"""Of this process."""
prometheus_client.REGISTRY.register(BOARD)


class Endpoint:
    """The `/metrics` page of this process, until it is closed."""

    def __init__(self, server: simple_server.WSGIServer, thread: threading.Thread) -> None:
        self._server = server
        self._thread = thread

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_port)

    def close(self) -> None:
        """Stops it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(port: int, addr: str = "127.0.0.1") -> Endpoint:
    """Serves `/metrics` in a thread of its own.

    Args:
        port: in [0, 65535]; 0 takes a free one, which `Endpoint.port` tells.
        addr: the address to listen on; this machine only by default, since nothing here is authenticated.

    Raises:
        errors.PreconditionError: somebody else listens on that port.
    """
    try:
        server, thread = prometheus_client.start_http_server(port, addr)
    except OSError as error:
        raise errors.PreconditionError(
            f"metrics: cannot listen on {addr}:{port} ({error.strerror}): choose another port, or 0 for any",
            reason="ADDRESS_IN_USE",
            metadata={"address": f"{addr}:{port}"},
        ) from error
    return Endpoint(server, thread)

"""A gRPC server with everything around its services: health, reflection, errors, metrics, places for streams.

One service or all six on a port; the process that composes them says which. Stopping is graceful: health says
NOT_SERVING first, then no call is taken, streams are told to go on elsewhere, and calls get their grace.

It knows no service: what is registered is a name, a servicer and the generated function that adds it.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from actuary import errors
from actuary.rpc import interceptor, settings, streams

_REFUSING: Final = 4
"""Threads beside those of the streams that are served, which tell further ones that there is no place."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRegistration:
    """One service of a server.

    Example:
        >>> from actuary.v1 import worker_service_pb2_grpc as stubs
        >>> registration = ServiceRegistration(
        ...     name="actuary.v1.WorkerService",
        ...     servicer=stubs.WorkerServiceServicer(),
        ...     add=stubs.add_WorkerServiceServicer_to_server,
        ... )
    """

    name: str
    """Full name, as in the protos: `actuary.v1.CampaignService`."""
    servicer: Any
    """What serves it."""
    add: Callable[[Any, grpc.Server], None]
    """The generated `add_…Servicer_to_server`."""


class Server:
    """Serves services on one address; used as a context manager, or by `start` and `stop`."""

    def __init__(
        self, services: Sequence[ServiceRegistration], options: settings.RpcSettings | None = None
    ) -> None:
        self._options = options or settings.RpcSettings()
        self._gate = streams.Gate(self._options.max_watchers)
        self._pool = futures.ThreadPoolExecutor(self._options.unary_threads, thread_name_prefix="rpc")
        self._stream_pool = futures.ThreadPoolExecutor(
            self._options.max_watchers + _REFUSING, thread_name_prefix="rpc-stream"
        )
        self._server = grpc.server(
            self._pool,
            interceptors=[interceptor.Interceptor(self._options, self._gate, self._stream_pool)],
            options=server_options(self._options),
            maximum_concurrent_rpcs=self._options.max_concurrent_calls,
        )
        self._health = health.HealthServicer(experimental_non_blocking=True)
        self._names = tuple(service.name for service in services)
        for service in services:
            service.add(service.servicer, self._server)
            self._health.set(service.name, health_pb2.HealthCheckResponse.NOT_SERVING)
        self._health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )
        self._lock = threading.Lock()
        self._stopped = False
        self._address = ""

    @property
    def address(self) -> str:
        """`host:port` that it listens on; empty before `start`."""
        return self._address

    @property
    def watcher_count(self) -> int:
        """Streams that are served now."""
        return self._gate.count

    def __enter__(self) -> Server:
        if not self._address:
            self.start()
        return self

    def __exit__(self, *details: object) -> None:
        self.stop()

    def start(self, address: str = "127.0.0.1:0") -> str:
        """Listens and serves; returns the address, with the port that was taken where 0 was asked for.

        Raises:
            errors.PreconditionError: the address cannot be listened on.
        """
        host, separator, wanted = address.rpartition(":")
        if not separator or not wanted.isdigit():
            raise errors.InvalidInputError(f"expected an address host:port, got {address!r}")
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise _taken(address) from error
        if port == 0:
            raise _taken(address)
        self._server.start()
        self._address = f"{host}:{port}"
        for name in ("", *self._names):
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return self._address

    def set_serving(self, serving: bool) -> None:
        """Says whether the services can do their work, to whoever asks for the health of one by its name.

        Health of the server as a whole, by the empty name, stays: the process runs.
        """
        states = health_pb2.HealthCheckResponse
        for name in self._names:
            self._health.set(name, states.SERVING if serving else states.NOT_SERVING)

    def stop(self, grace_seconds: float | None = None) -> None:
        """Stops gracefully and returns when it has; stopping twice is stopping once."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
        grace = self._options.grace_seconds if grace_seconds is None else grace_seconds
        self._health.enter_graceful_shutdown()
        stopped = self._server.stop(grace)
        self._gate.close()
        stopped.wait()
        for pool in (self._pool, self._stream_pool):
            pool.shutdown(wait=False, cancel_futures=True)

    def wait(self) -> None:
        """Blocks until it is stopped."""
        self._server.wait_for_termination()


def server_options(options: settings.RpcSettings) -> list[tuple[str, int]]:
    """Settings of a server, in grpcio's form."""
    return [
        ("grpc.max_receive_message_length", options.max_message_bytes),
        ("grpc.max_send_message_length", options.max_message_bytes),
        # two processes on one port would share its calls in silence
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_time_ms", int(options.keepalive_seconds * 1000)),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


def _taken(address: str) -> errors.PreconditionError:
    return errors.PreconditionError(
        f"cannot listen on {address}: something else does, or it is no address of this machine. Choose "
        "another port, 0 for any, or stop what listens there",
        reason="ADDRESS_IN_USE",
        metadata={"address": address},
    )

"""Services in one process: all six for a laptop, one or some in a cluster.

The same code serves both; what differs is which database, store and addresses the settings name.

Servicers come first, since the address they are served at is what workers and sibling services call;
controllers are made when it is known, and each runs in a loop of its own under its lease.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
import socket
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import structlog
import tenacity

from actuary import __version__, errors, exposition, metrics
from actuary.cli import loops, readiness, session, settings
from actuary.jobs import controller as job_controller
from actuary.jobs import planning
from actuary.rpc import server as rpc_server
from actuary.state import campaigns, clock, database, figures, jobs, leases, overview, purse
from actuary.storage import location, objects

_log = structlog.get_logger("actuary.process")
_PROBE = "campaigns"
"""A key that is asked for before anything is served: a store that does not answer is said at once."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A running process."""

    address: str
    """host:port of its gRPC server."""
    metrics_port: int
    """Port of /metrics; 0 for none."""


class _Process:
    """What the services of a process share."""

    def __init__(self, options: settings.ProcessSettings, services: Sequence[str]) -> None:
        self.options = options
        self.services = tuple(services)
        self.db = database.Database.open(options.database_url)
        self.patience = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(errors.UnavailableError),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=5.0),
            stop=tenacity.stop_after_delay(options.start_seconds),
            reraise=True,
        )
        self.store: objects.ObjectStore = location.open_store(options.store_uri)
        self.jobs = jobs.Jobs(self.db, clock.utc_now)
        self.figures = figures.Figures(self.db)
        self.leases = leases.Leases(self.db, clock.utc_now)
        self.holder = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.loops: dict[str, loops.Loop] = {}
        self.channels: dict[str, grpc.Channel] = {}
        self.address = ""

    def wake(self, service: str) -> Callable[[], None]:
        """Returns what makes a service's controller look now."""

        def call() -> None:
            loop = self.loops.get(service)
            if loop is not None:
                loop.wake()

        return call

    def channel(self, service: str) -> grpc.Channel:
        """Returns the channel to a service, in this process or elsewhere; always over gRPC."""
        from actuary.rpc import channels

        address = self.options.addresses.get(service, self.address)
        if address not in self.channels:
            self.channels[address] = channels.channel(address)
        return self.channels[address]

    def loop(
        self,
        service: str,
        step: Callable[[], bool],
        shown: Callable[[], Mapping[metrics.Key, float]],
        stand_down: Callable[[], None] = lambda: None,
    ) -> None:
        """Starts a service's controller."""
        self.loops[service] = loops.Loop(
            f"controllers/{service}",
            step,
            figures=shown,
            stand_down=stand_down,
            table=self.leases,
            holder=self.holder,
            interval_seconds=self.options.controller_seconds,
            lease_seconds=self.options.lease_seconds,
        )
        self.loops[service].start()


@contextlib.contextmanager
def serving(
    options: settings.ProcessSettings,
    *,
    address: str,
    services: Sequence[str] = settings.SERVICES,
    folder: Path | None = None,
    metrics_port: int = 0,
    metrics_host: str = "127.0.0.1",
) -> Iterator[Host]:
    """Serves until the block ends, then stops gracefully.

    Args:
        options: database, store, cores, addresses of the others.
        address: host:port to listen on; port 0 takes a free one.
        services: which of the six.
        folder: data folder in which to leave the address for other commands of this machine.
        metrics_port: port of /metrics; 0 for none.
        metrics_host: address that /metrics listens on; this machine only by default.
    """
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    process = _Process(options, services)
    with contextlib.ExitStack() as stack:
        stack.callback(process.db.close)
        schema = process.patience(process.db.migrate)
        if schema.newer:
            _log.warning("older than the database's schema", schema=schema.revision, known=schema.known)
        process.patience(process.store.stat, _PROBE)
        server = rpc_server.Server(_registrations(process))
        process.address = server.start(address)
        stack.callback(server.stop)
        stack.callback(_close_channels, process)
        stack.enter_context(readiness.Readiness(process.db.ping, server.set_serving))
        runner = _start_controllers(process)
        if runner is not None:
            stack.callback(runner.close)
        stack.callback(_stop_loops, process)
        if metrics_port:
            endpoint = exposition.serve(metrics_port, metrics_host)
            stack.callback(endpoint.close)
        if folder is not None:
            session.announce(folder, process.address)
            stack.callback(session.withdraw, folder)
        yield Host(address=process.address, metrics_port=metrics_port)


def _registrations(process: _Process) -> list[rpc_server.ServiceRegistration]:
    from actuary.rpc import worker as rpc_worker
    from actuary.v1 import worker_service_pb2_grpc

    found = [
        rpc_server.ServiceRegistration(
            name="actuary.v1.WorkerService",
            servicer=rpc_worker.WorkerServicer(process.jobs),
            add=worker_service_pb2_grpc.add_WorkerServiceServicer_to_server,
        )
    ]
    return found + [
        _REGISTER[service](process) if service in _REGISTER else _job_service(process, service)
        for service in _answered(process.services)
    ]


def _answered(services: Sequence[str]) -> tuple[str, ...]:
    """The services whose calls a process takes; the work is that of `services` alone.

    A client has one address. Where campaigns are served it reaches reviews and quotes too: what answers
    these needs only the database and the store, as a second replica does.

    >>> _answered(["campaign"]), _answered(["review"])
    (('campaign', 'review', 'sampler'), ('review',))
    """
    further = ("review", "sampler") if "campaign" in services else ()
    return tuple(dict.fromkeys((*services, *further)))


def _campaign(process: _Process) -> rpc_server.ServiceRegistration:
    from actuary.campaign import service
    from actuary.v1 import campaign_service_pb2_grpc

    return rpc_server.ServiceRegistration(
        name="actuary.v1.CampaignService",
        servicer=service.CampaignServicer(
            campaigns=campaigns.Campaigns(process.db, clock.utc_now),
            purse=purse.Purse(process.db, clock.utc_now),
            overviews=overview.Overviews(process.db),
            store_uri=process.store.uri,
            wake=process.wake("campaign"),
        ),
        add=campaign_service_pb2_grpc.add_CampaignServiceServicer_to_server,
    )


def _review(process: _Process) -> rpc_server.ServiceRegistration:
    from actuary.review import desk, service
    from actuary.v1 import review_service_pb2_grpc

    return rpc_server.ServiceRegistration(
        name="actuary.v1.ReviewService",
        servicer=service.ReviewServicer(desk.Desk(process.db, process.store, clock.utc_now)),
        add=review_service_pb2_grpc.add_ReviewServiceServicer_to_server,
    )


def _job_service(process: _Process, service: str) -> rpc_server.ServiceRegistration:
    """A service whose resources are all Jobs; one file name means one thing in each of them."""
    title = service.capitalize()
    module = importlib.import_module(f"actuary.{service}.service")
    stubs = importlib.import_module(f"actuary.v1.{service}_service_pb2_grpc")
    return rpc_server.ServiceRegistration(
        name=f"actuary.v1.{title}Service",
        servicer=getattr(module, f"{title}Servicer")(process.jobs, process.wake(service)),
        add=getattr(stubs, f"add_{title}ServiceServicer_to_server"),
    )


_REGISTER: Mapping[str, Callable[[_Process], rpc_server.ServiceRegistration]] = {
    "campaign": _campaign,
    "review": _review,
}
"""The services that need more than the table of Jobs; see `_job_service` for the others."""


def _start_controllers(process: _Process) -> Any:
    """Starts a loop a service; returns the runner that they share, so that the cores are shared too.

    A process that runs no Jobs has none: the review service needs no access to a cluster.
    """
    report_address = process.options.report_address or process.address
    runner: Any = None
    if process.options.runner == "kubernetes":
        if set(process.services) != {"review"}:
            runner = _kubernetes_runner(process.services)
        planned = planning.PlanningSettings(report_address=report_address)
    else:
        from actuary.jobs import local
        from actuary.jobs import settings as job_settings

        runner = local.LocalRunner(job_settings.JobsSettings(cores=process.options.cores))
        planned = planning.PlanningSettings(workers=process.options.cores, report_address=report_address)
    for service in process.services:
        if service in _CONTROL:
            _CONTROL[service](process, runner, planned)
        else:
            _control_jobs(process, runner, planned, service)
    return runner


def _kubernetes_runner(services: Collection[str]) -> Any:
    from actuary.cli import worker
    from actuary.jobs.cluster import runner
    from actuary.jobs.cluster import settings as cluster_settings

    kinds = [kind for kind, service in worker.SERVICES.items() if service in services]
    return runner.KubernetesRunner(cluster_settings.KubernetesSettings(), runner.connect(), kinds=kinds)


def _job_controller(
    process: _Process, runner: Any, planners: Mapping[str, job_controller.Planner]
) -> job_controller.Controller:
    return job_controller.Controller(
        jobs=process.jobs,
        store=process.store,
        runner=runner,
        planners=planners,
        clock=clock.utc_now,
        code_version=__version__,
    )


def _control_campaign(process: _Process, runner: Any, planned: planning.PlanningSettings) -> None:
    from actuary.campaign import children, controller, own_jobs, planner

    made = planner.Planner(process.store, planned)
    own = _job_controller(process, runner, dict.fromkeys(planner.KINDS, made))
    drive = controller.Controller(
        campaigns=campaigns.Campaigns(process.db, clock.utc_now),
        purse=purse.Purse(process.db, clock.utc_now),
        services=children.Children(process.channel),
        own=own_jobs.OwnJobs(process.jobs),
        clock=clock.utc_now,
    )

    def step() -> bool:
        busy = drive.step()
        return own.step() or busy

    def shown() -> dict[metrics.Key, float]:
        return {**own.figures(process.figures), **drive.figures(process.figures)}

    process.loop("campaign", step, shown, own.stand_down)


def _control_review(process: _Process, runner: Any, planned: planning.PlanningSettings) -> None:
    from actuary.review import controller, desk

    made = controller.Controller(
        desk.Desk(process.db, process.store, clock.utc_now), process.leases, process.holder
    )
    process.loop("review", made.step_all, lambda: made.figures(process.figures))


def _control_jobs(process: _Process, runner: Any, planned: planning.PlanningSettings, service: str) -> None:
    module = importlib.import_module(f"actuary.{service}.controller")
    planner = module.Planner(process.store, planned)
    control = _job_controller(process, runner, dict.fromkeys(module.KINDS, planner))
    process.loop(service, control.step, lambda: control.figures(process.figures), control.stand_down)


_CONTROL: Mapping[str, Callable[[_Process, Any, planning.PlanningSettings], None]] = {
    "campaign": _control_campaign,
    "review": _control_review,
}
"""The services that do more than run Jobs; see `_control_jobs` for the others."""


def _stop_loops(process: _Process) -> None:
    for loop in process.loops.values():
        loop.stop()


def _close_channels(process: _Process) -> None:
    for channel in process.channels.values():
        channel.close()

"""A real server on a free port with a servicer whose behaviour a test chooses, and a real database."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import grpc
import pytest
import structlog

from actuary.rpc import channels, server, settings, streams
from actuary.state import database, jobs
from actuary.v1 import campaign_pb2, campaign_service_pb2, campaign_service_pb2_grpc


class Desk(campaign_service_pb2_grpc.CampaignServiceServicer):
    """Answers GetCampaign as the test says, and streams until it is to end."""

    def __init__(self) -> None:
        self.get: Callable[[campaign_service_pb2.GetCampaignRequest, grpc.ServicerContext], None] = (
            lambda request, context: None
        )
        self.calls = 0

    def GetCampaign(self, request, context):  # noqa: N802
        self.calls += 1
        self.get(request, context)
        return campaign_pb2.Campaign(name=request.name)

    def CreateCampaign(self, request, context):  # noqa: N802
        return campaign_pb2.Campaign(name=f"campaigns/{request.campaign_id}")

    def WatchCampaign(self, request, context):  # noqa: N802
        self.get(request, context)
        yield campaign_service_pb2.WatchCampaignResponse(campaign=campaign_pb2.Campaign(name=request.name))
        while context.is_active():
            streams.wait(context, 3600)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def start(desk):
    """Starts servers with further settings; they are stopped at the end."""
    with contextlib.ExitStack() as stack:

        def begin(**options: object) -> server.Server:
            registration = server.ServiceRegistration(
                name="actuary.v1.CampaignService",
                servicer=desk,
                add=campaign_service_pb2_grpc.add_CampaignServiceServicer_to_server,
            )
            served = server.Server([registration], settings.RpcSettings(**options))
            stack.callback(served.stop, 0)
            served.start()
            return served

        yield begin


@pytest.fixture
def connect():
    """Opens channels; they are closed at the end."""
    with contextlib.ExitStack() as stack:

        def open_channel(address: str, **options: object) -> grpc.Channel:
            return stack.enter_context(channels.channel(address, settings.RpcSettings(**options)))

        yield open_channel


@pytest.fixture
def stub(start, connect) -> campaign_service_pb2_grpc.CampaignServiceStub:
    """A client of a server with the default settings."""
    return campaign_service_pb2_grpc.CampaignServiceStub(connect(start().address))


@pytest.fixture
def log() -> Iterator[list[dict]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture
def db(tmp_path) -> database.Database:
    opened = database.Database.open(f"sqlite:///{tmp_path / 'actuary.db'}")
    opened.migrate()
    return opened


@pytest.fixture
def table(db) -> jobs.Jobs:
    return jobs.Jobs(db)

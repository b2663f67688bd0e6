"""gRPC of the critic service: Jobs as resources, and what a Job must bring before it is accepted."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from actuary import errors, names
from actuary.models import protocol, registry
from actuary.rpc import operations
from actuary.state import jobs as job_state
from actuary.v1 import (
    critic_service_pb2,
    critic_service_pb2_grpc,
    critique_job_pb2,
)


def _check(job: critique_job_pb2.CritiqueJob) -> None:
    """Refuses, before the Job exists, a strategy without its model, or a model that cannot do it."""
    critic = job.critic
    if critic.strategy != "class-probability":
        return
    if not critic.HasField("model"):
        description = "expected the critic's model, since the strategy is class-probability; got none"
        raise errors.InvalidInputError.of([errors.Violation("critique_job.critic.model", description)])
    model = critic.model
    registry.check(
        protocol.ModelSpec(kind=model.kind, uri=model.uri or None, options=dict(model.options)), verb="score"
    )


class CriticServicer(critic_service_pb2_grpc.CriticServiceServicer):
    """Serves `actuary.v1.CriticService`."""

    def __init__(self, jobs: job_state.Jobs, wake: Callable[[], None]) -> None:
        """`wake` tells the controller that there is something to do."""
        self._jobs = jobs
        self._wake = wake
        self._critique_jobs = operations.JobResource(
            kind="critique",
            collection=names.CRITIQUES,
            message=critique_job_pb2.CritiqueJob,
            field="critique_job",
        )

    def CreateCritiqueJob(  # noqa: N802
        self, request: critic_service_pb2.CreateCritiqueJobRequest, context: grpc.ServicerContext
    ) -> critique_job_pb2.CritiqueJob:
        """Creates one; creating it again is success."""
        _check(request.critique_job)
        created = self._critique_jobs.create(self._jobs, request)
        self._wake()
        return created

    def GetCritiqueJob(  # noqa: N802
        self, request: critic_service_pb2.GetCritiqueJobRequest, context: grpc.ServicerContext
    ) -> critique_job_pb2.CritiqueJob:
        """Returns one."""
        return self._critique_jobs.get(self._jobs, request)

    def ListCritiqueJobs(  # noqa: N802
        self, request: critic_service_pb2.ListCritiqueJobsRequest, context: grpc.ServicerContext
    ) -> critic_service_pb2.ListCritiqueJobsResponse:
        """Returns a page of a campaign's."""
        found, token = self._critique_jobs.list(self._jobs, request)
        return critic_service_pb2.ListCritiqueJobsResponse(critique_jobs=found, next_page_token=token)

    def CancelCritiqueJob(  # noqa: N802
        self, request: critic_service_pb2.CancelCritiqueJobRequest, context: grpc.ServicerContext
    ) -> critique_job_pb2.CritiqueJob:
        """Stops one."""
        cancelled = self._critique_jobs.cancel(self._jobs, request)
        self._wake()
        return cancelled

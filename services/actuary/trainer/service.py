"""gRPC of the trainer service: Jobs as resources, and what a Job must bring before it is accepted."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from actuary import names
from actuary.rpc import operations
from actuary.state import jobs as job_state
from actuary.v1 import (
    trainer_service_pb2,
    trainer_service_pb2_grpc,
    training_job_pb2,
)


class TrainerServicer(trainer_service_pb2_grpc.TrainerServiceServicer):
    """Serves `actuary.v1.TrainerService`."""

    def __init__(self, jobs: job_state.Jobs, wake: Callable[[], None]) -> None:
        """`wake` tells the controller that there is something to do."""
        self._jobs = jobs
        self._wake = wake
        self._training_jobs = operations.JobResource(
            kind="train",
            collection=names.TRAININGS,
            message=training_job_pb2.TrainingJob,
            field="training_job",
        )

    def CreateTrainingJob(  # noqa: N802
        self, request: trainer_service_pb2.CreateTrainingJobRequest, context: grpc.ServicerContext
    ) -> training_job_pb2.TrainingJob:
        """Creates one; creating it again is success."""
        created = self._training_jobs.create(self._jobs, request)
        self._wake()
        return created

    def GetTrainingJob(  # noqa: N802
        self, request: trainer_service_pb2.GetTrainingJobRequest, context: grpc.ServicerContext
    ) -> training_job_pb2.TrainingJob:
        """Returns one."""
        return self._training_jobs.get(self._jobs, request)

    def ListTrainingJobs(  # noqa: N802
        self, request: trainer_service_pb2.ListTrainingJobsRequest, context: grpc.ServicerContext
    ) -> trainer_service_pb2.ListTrainingJobsResponse:
        """Returns a page of a campaign's."""
        found, token = self._training_jobs.list(self._jobs, request)
        return trainer_service_pb2.ListTrainingJobsResponse(training_jobs=found, next_page_token=token)

    def CancelTrainingJob(  # noqa: N802
        self, request: trainer_service_pb2.CancelTrainingJobRequest, context: grpc.ServicerContext
    ) -> training_job_pb2.TrainingJob:
        """Stops one."""
        cancelled = self._training_jobs.cancel(self._jobs, request)
        self._wake()
        return cancelled

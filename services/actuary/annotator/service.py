"""gRPC of the annotator service: Jobs as resources, and what a Job must bring before it is accepted."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from actuary import names
from actuary.models import protocol, registry
from actuary.rpc import operations
from actuary.state import jobs as job_state
from actuary.v1 import (
    annotation_job_pb2,
    annotator_service_pb2,
    annotator_service_pb2_grpc,
)


def _check(job: annotation_job_pb2.AnnotationJob) -> None:
    """Refuses, before the Job exists, a model that cannot do what is asked."""
    model = job.model
    registry.check(
        protocol.ModelSpec(kind=model.kind, uri=model.uri or None, options=dict(model.options)), verb="score"
    )


class AnnotatorServicer(annotator_service_pb2_grpc.AnnotatorServiceServicer):
    """Serves `actuary.v1.AnnotatorService`."""

    def __init__(self, jobs: job_state.Jobs, wake: Callable[[], None]) -> None:
        """`wake` tells the controller that there is something to do."""
        self._jobs = jobs
        self._wake = wake
        self._annotation_jobs = operations.JobResource(
            kind="annotation",
            collection=names.ANNOTATIONS,
            message=annotation_job_pb2.AnnotationJob,
            field="annotation_job",
        )

    def CreateAnnotationJob(  # noqa: N802
        self, request: annotator_service_pb2.CreateAnnotationJobRequest, context: grpc.ServicerContext
    ) -> annotation_job_pb2.AnnotationJob:
        """Creates one; creating it again is success."""
        _check(request.annotation_job)
        created = self._annotation_jobs.create(self._jobs, request)
        self._wake()
        return created

    def GetAnnotationJob(  # noqa: N802
        self, request: annotator_service_pb2.GetAnnotationJobRequest, context: grpc.ServicerContext
    ) -> annotation_job_pb2.AnnotationJob:
        """Returns one."""
        return self._annotation_jobs.get(self._jobs, request)

    def ListAnnotationJobs(  # noqa: N802
        self, request: annotator_service_pb2.ListAnnotationJobsRequest, context: grpc.ServicerContext
    ) -> annotator_service_pb2.ListAnnotationJobsResponse:
        """Returns a page of a campaign's."""
        found, token = self._annotation_jobs.list(self._jobs, request)
        return annotator_service_pb2.ListAnnotationJobsResponse(annotation_jobs=found, next_page_token=token)

    def CancelAnnotationJob(  # noqa: N802
        self, request: annotator_service_pb2.CancelAnnotationJobRequest, context: grpc.ServicerContext
    ) -> annotation_job_pb2.AnnotationJob:
        """Stops one."""
        cancelled = self._annotation_jobs.cancel(self._jobs, request)
        self._wake()
        return cancelled

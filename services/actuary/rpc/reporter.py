"""A worker's way to the service of its Job; its side of `WorkerService`.

Apart from the servicer, since a worker starts in a second and must not wait for a database's client library.
Whether it bears a service that does not answer is the worker's matter (`jobs.reporting`): here a report that
finds nobody is an UnavailableError.
"""

from __future__ import annotations

import grpc

from actuary import tracing
from actuary.jobs import protocol
from actuary.rpc import channels, settings
from actuary.v1 import worker_service_pb2, worker_service_pb2_grpc


class GrpcReporter:
    """A process' way to its service; implements `jobs.protocol.Reporter`."""

    def __init__(
        self,
        address: str,
        job: str,
        index: int,
        attempt: int,
        options: settings.RpcSettings | None = None,
    ) -> None:
        """`address` is `host:port` of the WorkerService; nothing is connected before the first report."""
        options = options or settings.RpcSettings()
        self._job = job
        self._index = index
        self._attempt = attempt
        self._deadline_seconds = options.report_deadline_seconds
        self._channel = channels.channel(address, options)
        self._stub = worker_service_pb2_grpc.WorkerServiceStub(self._channel)

    def report(self, progress: protocol.Progress) -> protocol.Allowance:
        """Reports and hears the answer.

        Raises:
            errors.UnavailableError: nobody answers; the last allowance stays good.
            errors.NotFoundError: the service knows no such Job.
        """
        request = worker_service_pb2.ReportWorkRequest(
            job=self._job,
            index=self._index,
            attempt=self._attempt,
            outcome_counts=progress.outcome_counts,
            input_token_count=progress.tokens_in,
            output_token_count=progress.tokens_out,
            cost_micros=progress.cost_micros,
            retry_counts=progress.retries,
            seconds=progress.seconds,
            cpu_seconds=progress.cpu_seconds,
            asked_count=progress.asked,
            next_slice_micros=progress.next_slice_micros,
            done=progress.done,
            phase=progress.phase[:16],  # at most 64 bytes, whatever the script
            item_count=progress.item_count,
            exact=progress.exact,
            failure=progress.failure[:256],  # at most 1,024 bytes, whatever the script
        )
        try:
            with tracing.unsampled():
                response = self._stub.ReportWork(request, timeout=self._deadline_seconds)
        except grpc.RpcError as error:
            raise channels.errors_from(error) from error
        capped = response.HasField("allowance_micros")
        return protocol.Allowance(
            money_micros=response.allowance_micros if capped else None,
            next_report_seconds=response.next_report_seconds,
            stop=response.stop,
            wait=response.wait,
        )

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()


def reporter(spec: protocol.JobSpec, index: int, attempt: int) -> protocol.Reporter:
    """The reporter of one attempt of one index: to its service, or to nobody where the Job names none."""
    if spec.report_address is None:
        return protocol.Unsupervised()
    return GrpcReporter(spec.report_address, spec.name, index, attempt)

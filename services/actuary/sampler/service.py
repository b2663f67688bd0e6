"""gRPC of the sampler service: Jobs as resources, and what a Job must bring before it is accepted."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from actuary import names
from actuary.rpc import operations
from actuary.state import jobs as job_state
from actuary.v1 import (
    estimate_pb2,
    plan_pb2,
    quote_pb2,
    risk_model_pb2,
    sampler_service_pb2,
    sampler_service_pb2_grpc,
)


class SamplerServicer(sampler_service_pb2_grpc.SamplerServiceServicer):
    """Serves `actuary.v1.SamplerService`."""

    def __init__(self, jobs: job_state.Jobs, wake: Callable[[], None]) -> None:
        """`wake` tells the controller that there is something to do."""
        self._jobs = jobs
        self._wake = wake
        self._risk_models = operations.JobResource(
            kind="risk",
            collection=names.RISK_MODELS,
            message=risk_model_pb2.RiskModel,
            field="risk_model",
        )
        self._quotes = operations.JobResource(
            kind="quote",
            collection=names.QUOTES,
            message=quote_pb2.Quote,
            field="quote",
        )
        self._plans = operations.JobResource(
            kind="plan",
            collection=names.PLANS,
            message=plan_pb2.Plan,
            field="plan",
        )
        self._estimates = operations.JobResource(
            kind="estimate",
            collection=names.ESTIMATES,
            message=estimate_pb2.Estimate,
            field="estimate",
        )

    def CreateRiskModel(  # noqa: N802
        self, request: sampler_service_pb2.CreateRiskModelRequest, context: grpc.ServicerContext
    ) -> risk_model_pb2.RiskModel:
        """Creates one; creating it again is success."""
        created = self._risk_models.create(self._jobs, request)
        self._wake()
        return created

    def GetRiskModel(  # noqa: N802
        self, request: sampler_service_pb2.GetRiskModelRequest, context: grpc.ServicerContext
    ) -> risk_model_pb2.RiskModel:
        """Returns one."""
        return self._risk_models.get(self._jobs, request)

    def ListRiskModels(  # noqa: N802
        self, request: sampler_service_pb2.ListRiskModelsRequest, context: grpc.ServicerContext
    ) -> sampler_service_pb2.ListRiskModelsResponse:
        """Returns a page of a campaign's."""
        found, token = self._risk_models.list(self._jobs, request)
        return sampler_service_pb2.ListRiskModelsResponse(risk_models=found, next_page_token=token)

    def CancelRiskModel(  # noqa: N802
        self, request: sampler_service_pb2.CancelRiskModelRequest, context: grpc.ServicerContext
    ) -> risk_model_pb2.RiskModel:
        """Stops one."""
        cancelled = self._risk_models.cancel(self._jobs, request)
        self._wake()
        return cancelled

    def CreateQuote(  # noqa: N802
        self, request: sampler_service_pb2.CreateQuoteRequest, context: grpc.ServicerContext
    ) -> quote_pb2.Quote:
        """Creates one; creating it again is success."""
        created = self._quotes.create(self._jobs, request)
        self._wake()
        return created

    def GetQuote(  # noqa: N802
        self, request: sampler_service_pb2.GetQuoteRequest, context: grpc.ServicerContext
    ) -> quote_pb2.Quote:
        """Returns one."""
        return self._quotes.get(self._jobs, request)

    def ListQuotes(  # noqa: N802
        self, request: sampler_service_pb2.ListQuotesRequest, context: grpc.ServicerContext
    ) -> sampler_service_pb2.ListQuotesResponse:
        """Returns a page of a campaign's."""
        found, token = self._quotes.list(self._jobs, request)
        return sampler_service_pb2.ListQuotesResponse(quotes=found, next_page_token=token)

    def CancelQuote(  # noqa: N802
        self, request: sampler_service_pb2.CancelQuoteRequest, context: grpc.ServicerContext
    ) -> quote_pb2.Quote:
        """Stops one."""
        cancelled = self._quotes.cancel(self._jobs, request)
        self._wake()
        return cancelled

    def CreatePlan(  # noqa: N802
        self, request: sampler_service_pb2.CreatePlanRequest, context: grpc.ServicerContext
    ) -> plan_pb2.Plan:
        """Creates one; creating it again is success."""
        created = self._plans.create(self._jobs, request)
        self._wake()
        return created

    def GetPlan(  # noqa: N802
        self, request: sampler_service_pb2.GetPlanRequest, context: grpc.ServicerContext
    ) -> plan_pb2.Plan:
        """Returns one."""
        return self._plans.get(self._jobs, request)

    def ListPlans(  # noqa: N802
        self, request: sampler_service_pb2.ListPlansRequest, context: grpc.ServicerContext
    ) -> sampler_service_pb2.ListPlansResponse:
        """Returns a page of a campaign's."""
        found, token = self._plans.list(self._jobs, request)
        return sampler_service_pb2.ListPlansResponse(plans=found, next_page_token=token)

    def CancelPlan(  # noqa: N802
        self, request: sampler_service_pb2.CancelPlanRequest, context: grpc.ServicerContext
    ) -> plan_pb2.Plan:
        """Stops one."""
        cancelled = self._plans.cancel(self._jobs, request)
        self._wake()
        return cancelled

    def CreateEstimate(  # noqa: N802
        self, request: sampler_service_pb2.CreateEstimateRequest, context: grpc.ServicerContext
    ) -> estimate_pb2.Estimate:
        """Creates one; creating it again is success."""
        created = self._estimates.create(self._jobs, request)
        self._wake()
        return created

    def GetEstimate(  # noqa: N802
        self, request: sampler_service_pb2.GetEstimateRequest, context: grpc.ServicerContext
    ) -> estimate_pb2.Estimate:
        """Returns one."""
        return self._estimates.get(self._jobs, request)

    def ListEstimates(  # noqa: N802
        self, request: sampler_service_pb2.ListEstimatesRequest, context: grpc.ServicerContext
    ) -> sampler_service_pb2.ListEstimatesResponse:
        """Returns a page of a campaign's."""
        found, token = self._estimates.list(self._jobs, request)
        return sampler_service_pb2.ListEstimatesResponse(estimates=found, next_page_token=token)

    def CancelEstimate(  # noqa: N802
        self, request: sampler_service_pb2.CancelEstimateRequest, context: grpc.ServicerContext
    ) -> estimate_pb2.Estimate:
        """Stops one."""
        cancelled = self._estimates.cancel(self._jobs, request)
        self._wake()
        return cancelled

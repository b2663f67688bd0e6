"""gRPC of the sampler service: Jobs as resources; draws, estimates and quotes from assumptions inline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
from google.protobuf import json_format

from actuary import errors, names
from actuary.rpc import operations
from actuary.sampler import inline, inline_estimates, inline_slices, prior_quoting, prior_requests
from actuary.state import jobs as job_state
from actuary.stats import estimates, placing, weighing
from actuary.v1 import (
    campaign_pb2,
    certificate_pb2,
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
        self._certificates = operations.JobResource(
            kind="certificate",
            collection=names.CERTIFICATES,
            message=certificate_pb2.Certificate,
            field="certificate",
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

    def CreateCertificate(  # noqa: N802
        self, request: sampler_service_pb2.CreateCertificateRequest, context: grpc.ServicerContext
    ) -> certificate_pb2.Certificate:
        """Creates one; creating it again is success."""
        created = self._certificates.create(self._jobs, request)
        self._wake()
        return created

    def GetCertificate(  # noqa: N802
        self, request: sampler_service_pb2.GetCertificateRequest, context: grpc.ServicerContext
    ) -> certificate_pb2.Certificate:
        """Returns one."""
        return self._certificates.get(self._jobs, request)

    def ListCertificates(  # noqa: N802
        self, request: sampler_service_pb2.ListCertificatesRequest, context: grpc.ServicerContext
    ) -> sampler_service_pb2.ListCertificatesResponse:
        """Returns a page of a campaign's."""
        found, token = self._certificates.list(self._jobs, request)
        return sampler_service_pb2.ListCertificatesResponse(certificates=found, next_page_token=token)

    def CancelCertificate(  # noqa: N802
        self, request: sampler_service_pb2.CancelCertificateRequest, context: grpc.ServicerContext
    ) -> certificate_pb2.Certificate:
        """Stops one."""
        cancelled = self._certificates.cancel(self._jobs, request)
        self._wake()
        return cancelled

    def Allocate(  # noqa: N802
        self, request: sampler_service_pb2.AllocateRequest, context: grpc.ServicerContext
    ) -> sampler_service_pb2.AllocateResponse:
        """Draws from the rows of the request."""
        pool, wishes = _pool(request), _wishes(request)
        return _allocated(pool, wishes, inline.allocate(pool, wishes))

    def Estimate(  # noqa: N802
        self, request: sampler_service_pb2.EstimateRequest, context: grpc.ServicerContext
    ) -> sampler_service_pb2.EstimateResponse:
        """Estimates from the answers of the request."""
        outcome = inline_estimates.estimate(_answers(request))
        return sampler_service_pb2.EstimateResponse(
            error_count=_interval(outcome.total),
            machine_accuracy=_interval(outcome.machine),
            corrected_accuracy=_interval(outcome.corrected),
            standard_error=outcome.total.se,
            approximate=outcome.total.approximate,
            weights=outcome.g,
            phase_weights=outcome.design.omega,
            slices=[
                campaign_pb2.SliceAccuracy(
                    name=each.name,
                    item_count=each.items,
                    reviewed_count=each.reviewed,
                    machine_accuracy=_interval(each.machine) if each.machine else None,
                    corrected_accuracy=_interval(each.corrected) if each.corrected else None,
                    needed_count=each.needed,
                )
                for each in outcome.slices
            ],
        )

    def QuotePrior(  # noqa: N802
        self, request: sampler_service_pb2.QuotePriorRequest, context: grpc.ServicerContext
    ) -> sampler_service_pb2.QuotePriorResponse:
        """Quotes from the assumptions of the request."""
        found = prior_quoting.answer(prior_requests.wishes(request))
        return json_format.ParseDict(found, sampler_service_pb2.QuotePriorResponse())


def _pool(request: sampler_service_pb2.AllocateRequest) -> inline.Pool:
    return inline.Pool(
        ids=list(request.item_ids),
        eps=np.array(request.risks, dtype=np.float64),
        cost=np.array(request.cost_micros, dtype=np.float64) if request.cost_micros else None,
        strata=list(request.strata) or None,
        earlier=list(request.earlier_item_ids),
    )


def _wishes(request: sampler_service_pb2.AllocateRequest) -> inline.Wishes:
    """What is wished; fields that only a campaign obeys are refused, or they would be ignored in silence."""
    sampling = json_format.MessageToDict(request.sampling, preserving_proto_field_name=True)
    wrong = [
        errors.Violation(
            f"sampling.{field}",
            "expected none, since only campaigns obey it: leave it out; an audit is a draw by `uniform`",
        )
        for field in sampling
        if field not in {"rule", "beta", "gamma", "audit_share"}
    ]
    if wrong:
        raise errors.InvalidInputError.of(wrong)
    given = request.HasField
    return inline.Wishes(
        weighing=weighing.Weighing.of(sampling),
        seed=request.seed,
        labels=request.label_count if given("label_count") else None,
        money=request.money_micros if given("money_micros") else None,
        stratum_items=request.stratum_item_count if given("stratum_item_count") else inline.STRATUM_ITEMS,
    )


def _allocated(
    pool: inline.Pool, wishes: inline.Wishes, found: inline.Allocation
) -> sampler_service_pb2.AllocateResponse:
    starts = np.cumsum([0, *(len(draw.at) for draw in found.draws)])
    order = starts[found.draw] + found.row

    def column(name: str) -> Any:
        return np.concatenate([getattr(draw, name) for draw in found.draws])[order]

    return sampler_service_pb2.AllocateResponse(
        item_ids=[pool.ids[i] for i in column("at").tolist()],
        draw_indexes=found.draw,
        pi=column("pi"),
        scores=column("s"),
        u=column("u"),
        ranks=column("rank"),
        draws=[
            sampler_service_pb2.Draw(
                stratum=draw.stratum,
                rule=wishes.weighing.rule,
                constants=draw.constants,
                key_purpose=draw.purpose,
                phase=_phase_message(draw),
                warning=draw.warning,
                note=draw.note,
            )
            for draw in found.draws
        ],
    )


def _phase_message(draw: inline.Draw) -> sampler_service_pb2.DrawPhase:
    phase = draw.phase
    return sampler_service_pb2.DrawPhase(
        name=phase.name,
        kind=phase.kind,
        population_count=phase.population,
        certain_count=phase.certain,
        sampled_count=phase.sampled,
        tau=phase.tau,
        predicted_variance=draw.variance if np.isfinite(draw.variance) else None,
    )


def _answers(request: sampler_service_pb2.EstimateRequest) -> inline_estimates.Answers:
    pi = np.array(request.pi, dtype=np.float64)
    pi[pi == 0.0] = np.inf  # an answer that only corrects
    index = np.array(request.phase_indexes, dtype=np.int64)
    return inline_estimates.Answers(
        phases=[_phase(number, phase) for number, phase in enumerate(request.phases)],
        variances=[
            p.predicted_variance if p.HasField("predicted_variance") else None for p in request.phases
        ],
        phase=index,
        pi=pi,
        wrong=np.array(request.wrong, dtype=np.bool_),
        eps=np.array(request.risks, dtype=np.float64) if request.risks else np.zeros(index.size),
        eps_sum=request.risk_sum,
        alpha=1.0 - (request.confidence_level if request.HasField("confidence_level") else 0.95),
        slices=_slices(request),
    )


def _slices(request: sampler_service_pb2.EstimateRequest) -> inline_slices.Slices | None:
    if not request.slice_sizes and not request.slices:
        return None
    return inline_slices.Slices(
        of=list(request.slices),
        sizes=[
            inline_slices.Size(name=each.name, items=each.item_count, eps_sum=each.risk_sum)
            for each in request.slice_sizes
        ],
    )


def _phase(number: int, phase: sampler_service_pb2.DrawPhase) -> placing.Phase:
    try:
        return placing.Phase(
            name=phase.name or str(number),
            kind="srs" if phase.kind == "srs" else "priority",
            population=phase.population_count,
            certain=phase.certain_count,
            sampled=phase.sampled_count,
            tau=phase.tau if phase.HasField("tau") else None,
        )
    except ValueError as error:
        description = str(error).partition(": ")[2]
        raise errors.InvalidInputError.of([errors.Violation(f"phases[{number}]", description)]) from error


def _interval(found: estimates.Estimate) -> campaign_pb2.Interval:
    return campaign_pb2.Interval(estimate=found.value, low=found.low, high=found.high, method=found.method)

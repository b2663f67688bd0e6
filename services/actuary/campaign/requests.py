"""From a step of a campaign to the request that starts it: which artifacts it reads and what it may spend.

This is the campaign's knowledge of how the services fit together, and the only place that has it. Artifacts
are named after the Job that writes them, so a request follows from the campaign's message and the step alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from actuary import names
from actuary.campaign import budgeting, policy
from actuary.campaign import spec as specs
from actuary.v1 import (
    annotation_job_pb2,
    campaign_pb2,
    certificate_pb2,
    critique_job_pb2,
    estimate_pb2,
    plan_pb2,
    quote_pb2,
    review_batch_pb2,
    risk_model_pb2,
    training_job_pb2,
)

COLLECTIONS = {
    policy.Kind.IMPORT: names.IMPORTS,
    policy.Kind.PLAN: names.PLANS,
    policy.Kind.ANNOTATE: names.ANNOTATIONS,
    policy.Kind.CRITIQUE: names.CRITIQUES,
    policy.Kind.REVIEW: names.BATCHES,
    policy.Kind.RISK: names.RISK_MODELS,
    policy.Kind.QUOTE: names.QUOTES,
    policy.Kind.ESTIMATE: names.ESTIMATES,
    policy.Kind.CERTIFY: names.CERTIFICATES,
    policy.Kind.TRAIN: names.TRAININGS,
    policy.Kind.REPORT: names.REPORTS,
}
"""Where the Jobs of a kind live."""

Resource = (
    annotation_job_pb2.AnnotationJob
    | critique_job_pb2.CritiqueJob
    | risk_model_pb2.RiskModel
    | quote_pb2.Quote
    | plan_pb2.Plan
    | estimate_pb2.Estimate
    | certificate_pb2.Certificate
    | review_batch_pb2.ReviewBatch
    | training_job_pb2.TrainingJob
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known once the data are counted and money is set aside."""

    campaign: campaign_pb2.Campaign
    spec: specs.Spec
    budget: budgeting.Budgeted
    label_count: int = 0
    """Human labels of this step's wave."""
    cap_micros: int | None = None
    """What this step's models may spend."""
    machine_micros: int = 0
    """What the models will have cost in the end, as the pilot tells it."""
    gold_count: int = 0
    """Of the labels, those of gold tasks."""
    gold_offset: int = 0
    """Exemplars that earlier waves have asked."""


class Artifacts:
    """URIs of a campaign's artifacts, by step."""

    def __init__(self, campaign: str) -> None:
        self.campaign = campaign

    def of(self, kind: policy.Kind, wave: int | None = None) -> str:
        """Returns the URI of what a step writes."""
        key = kind.value if wave is None else f"{kind.value}-w{wave}"
        return names.child(self.campaign, COLLECTIONS[kind], key)

    @property
    def items(self) -> str:
        """The items."""
        return f"{self.of(policy.Kind.IMPORT)}/items"

    @property
    def exemplars(self) -> str:
        """The labelled examples that models may see."""
        return f"{self.of(policy.Kind.IMPORT)}/exemplars"

    @property
    def truth(self) -> str:
        """The sealed truth."""
        return names.sealed(self.items)

    @property
    def risks(self) -> str:
        """Labels and risks, frozen in wave 1."""
        return f"{self.of(policy.Kind.PLAN, 1)}/risks"

    def resolved(self, last: int) -> list[str]:
        """Returns the URIs of what people's answers came to, in waves 0 to `last`."""
        return [f"{uri}/resolved" for uri in self.waves(policy.Kind.REVIEW, last)]

    def waves(self, kind: policy.Kind, last: int) -> list[str]:
        """Returns the URIs of a kind in waves 0 to `last`."""
        return [self.of(kind, wave) for wave in range(last + 1)]


def build(step: policy.Step, facts: Facts) -> Resource:
    """Builds the resource that a step creates; import and report are the campaign's own and have none."""
    builder = _BUILDERS[step.kind]
    return builder(step, facts, Artifacts(facts.campaign.name))


def _plan(step: policy.Step, facts: Facts, uris: Artifacts) -> plan_pb2.Plan:
    labels = facts.label_count - facts.gold_count
    plan = plan_pb2.Plan(
        items=uris.items,
        wave=step.wave,
        label_count=labels,
        double_share=facts.spec.double_share,
        classes=facts.spec.classes,
        seed=facts.campaign.seed,
        human_label_micros=facts.spec.human_label_micros,
    )
    plan.sampling.CopyFrom(facts.campaign.sampling)
    plan.sampling.rule = facts.spec.rule
    plan.sampling.beta = facts.spec.beta
    plan.sampling.failed_share = facts.spec.failed_share
    if step.wave == 1 and labels:
        # the share is one of the whole budget, of which the pilot has used some
        whole = facts.spec.failed_share * facts.budget.labels / labels
        plan.sampling.failed_share = min(1.0, whole)
    plan.sampling.pilot_items = facts.budget.pilot
    left = facts.budget.labels - facts.budget.pilot
    share = facts.budget.audit / left if left else 0.0
    # a later wave has an audit of its own: only what is drawn by chance can say anything about the rest
    plan.sampling.audit_items = facts.budget.audit if step.wave == 1 else round(share * labels)
    if step.wave > 0:
        plan.annotations.extend(uris.waves(policy.Kind.ANNOTATE, 1))
        plan.critiques.extend(uris.waves(policy.Kind.CRITIQUE, 1))
        plan.risk_model = uris.of(policy.Kind.RISK, 0)
        plan.earlier_plans.extend(uris.waves(policy.Kind.PLAN, step.wave - 1))
        plan.earlier_resolved.extend(uris.resolved(step.wave - 1))
    if step.wave > 1:
        plan.earlier_risks = uris.risks
    if step.wave > 0 and facts.spec.guarantee:
        plan.guarantee.CopyFrom(facts.campaign.guarantee)
        plan.sampling.audit_items = facts.spec.audit_items or 0
        plan.sampling.confidence_level = facts.spec.confidence_level
    return plan


def _annotation(step: policy.Step, facts: Facts, uris: Artifacts) -> annotation_job_pb2.AnnotationJob:
    job = annotation_job_pb2.AnnotationJob(
        items=uris.items,
        exemplars=uris.exemplars if facts.spec.needs_exemplars else "",
        task=facts.campaign.task,
        model=facts.campaign.annotator.model,
        plan=uris.of(policy.Kind.PLAN, 0),
        exclude_plan=step.wave > 0,
        worker_count=facts.campaign.execution.workers,
        chunk_item_count=facts.campaign.execution.chunk_items,
    )
    if facts.cap_micros is not None:
        job.cap_micros = facts.cap_micros
    return job


def _critique(step: policy.Step, facts: Facts, uris: Artifacts) -> critique_job_pb2.CritiqueJob:
    job = critique_job_pb2.CritiqueJob(
        items=uris.items,
        annotations=uris.of(policy.Kind.ANNOTATE, step.wave),
        exemplars=uris.exemplars if facts.spec.needs_exemplars else "",
        task=facts.campaign.task,
        critic=facts.campaign.critic,
        worker_count=facts.campaign.execution.workers,
        chunk_item_count=facts.campaign.execution.chunk_items,
    )
    if facts.cap_micros is not None:
        job.cap_micros = facts.cap_micros
    return job


def _review(step: policy.Step, facts: Facts, uris: Artifacts) -> review_batch_pb2.ReviewBatch:
    return review_batch_pb2.ReviewBatch(
        plan=uris.of(policy.Kind.PLAN, step.wave),
        items=uris.items,
        task=facts.campaign.task,
        review=facts.campaign.review,
        label_cap=facts.label_count,
        truth=uris.truth if facts.spec.review_mode == "replay" else "",
        seed=facts.campaign.seed,
        wave=step.wave,
        exemplars=uris.exemplars if facts.gold_count else "",
        gold_count=facts.gold_count,
        gold_offset=facts.gold_offset if facts.gold_count else 0,
    )


def _risk(step: policy.Step, facts: Facts, uris: Artifacts) -> risk_model_pb2.RiskModel:
    return risk_model_pb2.RiskModel(
        annotations=[uris.of(policy.Kind.ANNOTATE, step.wave)],
        critiques=[uris.of(policy.Kind.CRITIQUE, step.wave)],
        resolved=uris.resolved(step.wave),
        items=uris.items,
        classes=facts.spec.classes,
        confidence_level=facts.spec.confidence_level,
        seed=facts.campaign.seed,
    )


def _quote(step: policy.Step, facts: Facts, uris: Artifacts) -> quote_pb2.Quote:
    quote = quote_pb2.Quote(
        risk_model=uris.of(policy.Kind.RISK, step.wave),
        item_count=facts.budget.items,
        budget=facts.campaign.budget,
        sampling=facts.campaign.sampling,
        machine_micros=facts.machine_micros,
        double_share=facts.spec.double_share,
        gold_share=facts.spec.gold_share,
        annotations=[uris.of(policy.Kind.ANNOTATE, step.wave)],
        critiques=[uris.of(policy.Kind.CRITIQUE, step.wave)],
        resolved=uris.resolved(step.wave),
        worker_count=facts.campaign.execution.workers,
    )
    quote.budget.human_labels = facts.budget.labels
    quote.sampling.rule = facts.spec.rule
    quote.sampling.beta = facts.spec.beta
    quote.sampling.pilot_items = facts.budget.pilot
    # what covers slices and classes is drawn by chance, as an audit is, and finds as few errors
    quote.sampling.audit_items = facts.budget.audit + facts.budget.covering
    quote.sampling.confidence_level = facts.spec.confidence_level
    return quote


def _estimate(step: policy.Step, facts: Facts, uris: Artifacts) -> estimate_pb2.Estimate:
    return estimate_pb2.Estimate(
        plans=uris.waves(policy.Kind.PLAN, step.wave),
        resolved=uris.resolved(step.wave),
        risks=uris.risks,
        items=uris.items,
        classes=facts.spec.classes,
        confidence_level=facts.spec.confidence_level,
        seed=facts.campaign.seed,
    )


def _certificate(step: policy.Step, facts: Facts, uris: Artifacts) -> certificate_pb2.Certificate:
    plans, resolved = uris.waves(policy.Kind.PLAN, step.wave), uris.resolved(step.wave)
    return certificate_pb2.Certificate(
        items=uris.items,
        risks=uris.risks,
        earlier_plans=plans[:1],
        earlier_resolved=resolved[:1],
        plans=plans[1:],
        resolved=resolved[1:],
    )


def _training(step: policy.Step, facts: Facts, uris: Artifacts) -> training_job_pb2.TrainingJob:
    job = training_job_pb2.TrainingJob(
        items=uris.items,
        risks=uris.risks,
        estimate=uris.of(policy.Kind.ESTIMATE, step.wave),
        resolved=uris.resolved(step.wave),
        truth=uris.truth if facts.spec.has_truth else "",
        classes=facts.spec.classes,
        training=facts.campaign.training,
        seed=facts.campaign.seed,
        review=facts.campaign.review,
        confidence_level=facts.spec.confidence_level,
    )
    job.training.model = facts.spec.training_model
    return job


_BUILDERS: Mapping[policy.Kind, Callable[[policy.Step, Facts, Artifacts], Resource]] = {
    policy.Kind.PLAN: _plan,
    policy.Kind.ANNOTATE: _annotation,
    policy.Kind.CRITIQUE: _critique,
    policy.Kind.REVIEW: _review,
    policy.Kind.RISK: _risk,
    policy.Kind.QUOTE: _quote,
    policy.Kind.ESTIMATE: _estimate,
    policy.Kind.CERTIFY: _certificate,
    policy.Kind.TRAIN: _training,
}

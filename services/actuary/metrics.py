"""Every metric that Actuary exports, with help texts that explain each label value.

One module, so that names, units and labels can be seen together and the metric table can be generated from
it. Labels are closed sets: never an id, never a text that a user wrote.

There are two kinds. A `Figure` is about the work, whoever does it: its value is kept in the database or
follows from it, so that it survives restarts, and only the process whose controller leads exports it, so that
a sum over processes counts nothing twice. The metrics of the Prometheus client below are about the process
that exports them.

Nothing is computed here.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping

from prometheus_client import Counter, Gauge, Histogram

Key = tuple[str, tuple[str, ...]]
"""Name of a figure and the values of its labels, in their order."""

JOBS = (
    "import",
    "annotate",
    "critique",
    "risk",
    "quote",
    "plan",
    "estimate",
    "certificate",
    "train",
    "report",
)
"""Kinds of Jobs; the label `stage` of what Jobs do."""

STAGES = (
    "import",
    "pilot",
    "quote",
    "annotate",
    "criticise",
    "plan",
    "review",
    "estimate",
    "certify",
    "train",
    "report",
)
"""Stages of a campaign; the label `stage` of what campaigns pay."""

STATES = (
    "CREATED",
    "RUNNING",
    "WAITING_FOR_PEOPLE",
    "WAITING_FOR_APPROVAL",
    "PAUSED",
    "BUDGET_EXHAUSTED",
    "CANCELLED",
    "FAILED",
    "SUCCEEDED",
)
"""States of a campaign."""

LOOPS = ("campaign", "annotator", "critic", "sampler", "review", "trainer")
"""Controllers; of each one leads."""

OUTCOMES = ("LABELLED", "ABSTAINED", "FAILED", "OVER_BUDGET")
RETRY_REASONS = ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "OTHER")

_JOB_HELP = (
    "stage is the kind of Job: import (data set to shards), annotate (machine labels), critique (scores of "
    "labels), risk (the risk model), quote (what a budget buys), plan (draw of items), "
    "estimate (intervals), certificate (what is proven), train (models), report (the HTML file)."
)
_CAMPAIGN_HELP = (
    "stage is where a campaign stands: import, pilot (the first labels), quote, annotate, criticise, plan, "
    "review, estimate, certify, train, report."
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A metric about the work, exported by whoever leads."""

    name: str
    """Without the `_total` that Prometheus puts behind a counter's name."""
    help: str
    labels: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """All values of each label."""
    counts: bool = False
    """Whether it only grows: a counter, else a gauge."""

    def key(self, **labels: str) -> Key:
        """The key of one value.

        >>> RETRIES.key(stage="annotate", reason="OTHER")
        ('actuary_retries', ('annotate', 'OTHER'))

        Raises:
            ValueError: A label is missing, or has a value outside its closed set.
        """
        values = tuple(labels.get(label, "") for label in self.labels)
        for (label, known), value in zip(self.labels.items(), values, strict=True):
            if value not in known:
                raise ValueError(f"{self.name}: expected {label} out of {', '.join(known)}; got {value!r}")
        return self.name, values

    def zeros(self, **chosen: tuple[str, ...]) -> dict[Key, float]:
        """Zero for every combination of labels, of some with only the values that are `chosen`.

        A rate needs a value to grow from, and an alert one to compare.

        >>> RESTARTS.zeros(stage=("risk", "plan"))
        {('actuary_job_restarts', ('risk',)): 0.0, ('actuary_job_restarts', ('plan',)): 0.0}
        """
        sets = [chosen.get(label, known) for label, known in self.labels.items()]
        return {(self.name, values): 0.0 for values in itertools.product(*sets)}


_STAGE = {"stage": JOBS}

ITEMS = Figure(
    name="actuary_items",
    help=f"Items that Jobs have done. {_JOB_HELP} outcome: LABELLED (a label or score), ABSTAINED (the model "
    "gave none), FAILED (no answer after all retries), OVER_BUDGET (not asked: the cap was reached). Jobs "
    "whose items have no outcome of that kind count them as LABELLED.",
    labels={**_STAGE, "outcome": OUTCOMES},
    counts=True,
)
ITEMS_ASKED = Figure(
    name="actuary_items_asked",
    help="Items that processes have given to models, whether or not an answer was kept: what goes beyond "
    f"actuary_items was done again, because a process died. {_JOB_HELP}",
    labels=_STAGE,
    counts=True,
)
ITEMS_LEFT = Figure(
    name="actuary_items_left",
    help=f"Items of Jobs that have not ended which are still to be done. {_JOB_HELP}",
    labels=_STAGE,
)
WORKER_SECONDS = Figure(
    name="actuary_worker_seconds",
    help=f"Seconds that processes of Jobs have been at work, as they reported. {_JOB_HELP}",
    labels=_STAGE,
    counts=True,
)
WORKER_CPU_SECONDS = Figure(
    name="actuary_worker_cpu_seconds",
    help=f"Seconds of processor time that processes of Jobs have used, as they reported. {_JOB_HELP}",
    labels=_STAGE,
    counts=True,
)
WORKERS = Figure(name="actuary_workers", help=f"Processes of Jobs that run now. {_JOB_HELP}", labels=_STAGE)
TOKENS = Figure(
    name="actuary_tokens",
    help=f"Tokens of models. {_JOB_HELP} direction: in (read), out (written).",
    labels={**_STAGE, "direction": ("in", "out")},
    counts=True,
)
RETRIES = Figure(
    name="actuary_retries",
    help=f"Calls to models and stores that were tried again. {_JOB_HELP} reason: UNAVAILABLE (no answer, or "
    "5xx), RESOURCE_EXHAUSTED (429: asked to slow down), DEADLINE_EXCEEDED (too slow), OTHER.",
    labels={**_STAGE, "reason": RETRY_REASONS},
    counts=True,
)
JOBS_OPEN = Figure(
    name="actuary_jobs",
    help=f"Jobs that have not ended. {_JOB_HELP} state: PENDING (not launched yet), RUNNING (launched).",
    labels={**_STAGE, "state": ("PENDING", "RUNNING")},
)
JOBS_WAITING = Figure(
    name="actuary_jobs_waiting",
    help=f"Jobs whose processes cannot be placed or started; `actuary watch` says why. {_JOB_HELP}",
    labels=_STAGE,
)
JOBS_STARTED = Figure(
    name="actuary_jobs_started",
    help=f"Jobs of which a process has reported. {_JOB_HELP}",
    labels=_STAGE,
    counts=True,
)
JOB_QUEUE_SECONDS = Figure(
    name="actuary_job_queue_seconds",
    help="Seconds from the creation of Jobs to the first report of a process, summed over the Jobs that "
    f"actuary_jobs_started counts. {_JOB_HELP}",
    labels=_STAGE,
    counts=True,
)
JOBS_ENDED = Figure(
    name="actuary_jobs_ended",
    help=f"Jobs that have ended. {_JOB_HELP} state: SUCCEEDED, FAILED, CANCELLED.",
    labels={**_STAGE, "state": ("SUCCEEDED", "FAILED", "CANCELLED")},
    counts=True,
)
RESTARTS = Figure(
    name="actuary_job_restarts",
    help=f"Processes of Jobs that were started again after they had died or were stopped. {_JOB_HELP}",
    labels=_STAGE,
    counts=True,
)
CAMPAIGNS = Figure(
    name="actuary_campaigns",
    help="Campaigns. state: CREATED (accepted), RUNNING (machines are at work), WAITING_FOR_PEOPLE (to "
    "review), WAITING_FOR_APPROVAL (of the quote), PAUSED, BUDGET_EXHAUSTED (a top-up would go on), "
    "CANCELLED, FAILED, SUCCEEDED.",
    labels={"state": STATES},
)
CAMPAIGNS_AT = Figure(
    name="actuary_campaigns_at",
    help=f"Campaigns that have not ended. {_CAMPAIGN_HELP}",
    labels={"stage": STAGES},
)
COST_MICROS = Figure(
    name="actuary_cost_micros",
    help=f"Money settled by purses, in micro-dollars. {_CAMPAIGN_HELP} payer: machine (models), human "
    "(labels by people).",
    labels={"stage": STAGES, "payer": ("machine", "human")},
    counts=True,
)
BUDGET = Figure(
    name="actuary_budget",
    help="Budgets of the campaigns that have not ended. account: human_labels (a count), money_micros "
    "(micro-dollars). part: settled (used), reserved (promised to Jobs and people at work), left (still "
    "free, of campaigns that have a limit), limit (what may be spent, of the same campaigns).",
    labels={"account": ("human_labels", "money_micros"), "part": ("settled", "reserved", "left", "limit")},
)
ESTIMATE = Figure(
    name="actuary_estimate",
    help="The last estimate of the last campaign that had one; ratios in [0, 1]. figure: machine_accuracy "
    "(labels as the machine gave them), corrected_accuracy (with people's labels in place). bound: estimate, "
    "low, high (of the interval).",
    labels={
        "figure": ("machine_accuracy", "corrected_accuracy"),
        "bound": ("estimate", "low", "high"),
    },
)
ESTIMATE_COST_MICROS = Figure(
    name="actuary_estimate_cost_micros",
    help="Money that the campaign whose estimate is exported had settled by then, in micro-dollars. payer: "
    "machine (models), human (labels by people).",
    labels={"payer": ("machine", "human")},
)
UNLABELLED_RATE = Figure(
    name="actuary_unlabelled_rate",
    help="Items without any label over all items, of the campaign whose estimate is exported; in [0, 1].",
)
CRITIC = Figure(
    name="actuary_critic",
    help="How good the critic of the last campaign with a risk model is. figure: auroc (ranking of wrong "
    "labels above right ones, in [0, 1]), expected_calibration_error (of its risks, in [0, 1]), error_rate "
    "(wrong labels in its pilot, in [0, 1]).",
    labels={"figure": ("auroc", "expected_calibration_error", "error_rate")},
)
QUEUE_TASKS = Figure(
    name="actuary_queue_tasks",
    help="Review tasks of all open batches. state: open (nobody holds it), held (somebody does).",
    labels={"state": ("open", "held")},
)
ANSWERS = Figure(
    name="actuary_answers",
    help="Answers of reviewers, corrections not counted again. outcome: LABEL (one of the classes), "
    "CANNOT_TELL.",
    labels={"outcome": ("LABEL", "CANNOT_TELL")},
    counts=True,
)
HUMAN_SECONDS = Figure(
    name="actuary_human_seconds",
    help="Seconds that reviewers took for their answers, corrections included.",
    counts=True,
)
DOUBLES = Figure(
    name="actuary_doubles",
    help="Items that a second person answered. agreed: yes (both said the same), no.",
    labels={"agreed": ("yes", "no")},
    counts=True,
)

FIGURES: Mapping[str, Figure] = {
    figure.name: figure
    for figure in (
        ITEMS,
        ITEMS_ASKED,
        ITEMS_LEFT,
        WORKER_SECONDS,
        WORKER_CPU_SECONDS,
        WORKERS,
        TOKENS,
        RETRIES,
        JOBS_OPEN,
        JOBS_WAITING,
        JOBS_STARTED,
        JOB_QUEUE_SECONDS,
        JOBS_ENDED,
        RESTARTS,
        CAMPAIGNS,
        CAMPAIGNS_AT,
        COST_MICROS,
        BUDGET,
        ESTIMATE,
        ESTIMATE_COST_MICROS,
        UNLABELLED_RATE,
        CRITIC,
        QUEUE_TASKS,
        ANSWERS,
        HUMAN_SECONDS,
        DOUBLES,
    )
}
"""Every figure by its name."""

RPC_SECONDS = Histogram(
    "actuary_rpc_seconds",
    "Seconds from the start of a call's handler to its end; its count is the number of calls. service and "
    "method are those of protos/actuary/v1. code is the canonical gRPC code that was answered: OK, "
    "INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, ABORTED, FAILED_PRECONDITION, "
    "PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNAVAILABLE, DATA_LOSS, DEADLINE_EXCEEDED, UNIMPLEMENTED, "
    "CANCELLED (the caller went away), INTERNAL.",
    ("service", "method", "code"),
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
WATCHERS = Gauge("actuary_rpc_watchers", "Streams that this server is serving now; at most its limit.")
LEADER = Gauge(
    "actuary_leader",
    "Whether this process leads (1) or stands by (0). loop is the controller: campaign, annotator, critic, "
    "sampler, review, trainer.",
    ("loop",),
)
VERBS = ("list", "watch", "create", "get", "update", "delete")
KUBERNETES_CALLS = Counter(
    "actuary_kubernetes_calls",
    f"Calls of this process to the Kubernetes API server. verb: {', '.join(VERBS)}.",
    ("verb",),
)
for _verb in VERBS:  # a rate needs a value to grow from
    KUBERNETES_CALLS.labels(verb=_verb)

OF_PROCESSES = (RPC_SECONDS, WATCHERS, LEADER, KUBERNETES_CALLS)
"""The metrics that each process exports about itself."""


def retry_reason(reason: str) -> str:
    """The label value for a reason; whatever is not in the closed set is OTHER."""
    return reason if reason in RETRY_REASONS else "OTHER"

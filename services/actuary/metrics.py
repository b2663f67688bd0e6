"""Every metric that Actuary exports, with help texts that explain each label value.

One module, so that names, units and labels can be seen together and the metric table can be generated from
it. Labels are closed sets: never an id, never a text that a user wrote. Whoever holds the lease of a
controller exports totals; the calls of a server are exported by that server.

Nothing is computed here.
"""

from __future__ import annotations

import threading
from wsgiref import simple_server

import prometheus_client
from prometheus_client import Counter, Gauge, Histogram

from actuary import errors

JOBS = ("import", "annotate", "critique", "risk", "quote", "plan", "review", "estimate", "train", "report")
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
    "train",
    "report",
)
"""Stages of a campaign; the label `stage` of what campaigns pay."""

OUTCOMES = ("LABELLED", "ABSTAINED", "FAILED", "OVER_BUDGET")

_JOB_HELP = (
    "stage is the kind of Job: import (data set to shards), annotate (machine labels), critique (scores of "
    "labels), risk (the risk model), quote (what a budget buys), plan (draw of items), review (people), "
    "estimate (intervals), train (models), report (the HTML file)."
)

ITEMS = Counter(
    "actuary_items",
    f"Items that Jobs have done. {_JOB_HELP} outcome: LABELLED (a label or score), ABSTAINED (the model gave "
    "none), FAILED (no answer after all retries), OVER_BUDGET (not asked: the cap was reached). Jobs whose "
    "items have no outcome of that kind count them as LABELLED.",
    ("stage", "outcome"),
)
ITEM_SECONDS = Histogram(
    "actuary_item_seconds",
    f"Seconds of work for one item, as the mean over a report of a process. {_JOB_HELP}",
    ("stage",),
    buckets=(1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
)
TOKENS = Counter(
    "actuary_tokens",
    f"Tokens of models. {_JOB_HELP} direction: in (read), out (written).",
    ("stage", "direction"),
)
COST_MICROS = Counter(
    "actuary_cost_micros",
    "Money settled by purses, in micro-dollars. stage is where a campaign stood: pilot, annotate, criticise, "
    "review, train and so on. payer: machine (models), human (labels by people).",
    ("stage", "payer"),
)
QUEUE_TASKS = Gauge(
    "actuary_queue_tasks",
    "Review tasks of all open batches. state: open (nobody holds it), held (somebody does).",
    ("state",),
)
HUMAN_SECONDS = Counter(
    "actuary_human_seconds", "Seconds that reviewers took for the answers they submitted."
)
BUDGET_LEFT = Gauge(
    "actuary_budget_left",
    "What all campaigns that have not ended may still promise. account: human_labels (a count), "
    "money_micros (micro-dollars, of campaigns that have a limit).",
    ("account",),
)
ESTIMATE = Gauge(
    "actuary_estimate",
    "The last estimate of the last campaign that had one; ratios in [0, 1]. figure: machine_accuracy (labels "
    "as the machine gave them), corrected_accuracy (with people's labels in place). "
    "bound: estimate, low, high.",
    ("figure", "bound"),
)
JOB_RESTARTS = Counter(
    "actuary_job_restarts", f"Processes of Jobs started again after they died. {_JOB_HELP}", ("stage",)
)
RETRIES = Counter(
    "actuary_retries",
    "Calls to models and stores that were tried again. reason: UNAVAILABLE (no answer, or 5xx), "
    "RESOURCE_EXHAUSTED (429: asked to slow down), DEADLINE_EXCEEDED (too slow), OTHER.",
    ("reason",),
)
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
CAMPAIGNS = Gauge(
    "actuary_campaigns",
    "Campaigns by state: CREATED, RUNNING, WAITING_FOR_PEOPLE, WAITING_FOR_APPROVAL, PAUSED, "
    "BUDGET_EXHAUSTED, CANCELLED, FAILED, SUCCEEDED.",
    ("state",),
)

ALL = (
    ITEMS,
    ITEM_SECONDS,
    TOKENS,
    COST_MICROS,
    QUEUE_TASKS,
    HUMAN_SECONDS,
    BUDGET_LEFT,
    ESTIMATE,
    JOB_RESTARTS,
    RETRIES,
    RPC_SECONDS,
    WATCHERS,
    CAMPAIGNS,
)
"""Every metric of this module, for the table in the documents."""

RETRY_REASONS = ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "OTHER")


def retry_reason(reason: str) -> str:
    """The label value for a reason; whatever is not in the closed set is OTHER."""
    return reason if reason in RETRY_REASONS else "OTHER"


class Endpoint:
    """The `/metrics` page of this process, until it is closed."""

    def __init__(self, server: simple_server.WSGIServer, thread: threading.Thread) -> None:
        self._server = server
        self._thread = thread

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_port)

    def close(self) -> None:
        """Stops it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(port: int, addr: str = "127.0.0.1") -> Endpoint:
    """Serves `/metrics` in a thread of its own.

    Args:
        port: in [0, 65535]; 0 takes a free one, which `Endpoint.port` tells.
        addr: the address to listen on; this machine only by default, since nothing here is authenticated.

    Raises:
        errors.PreconditionError: somebody else listens on that port.
    """
    try:
        server, thread = prometheus_client.start_http_server(port, addr)
    except OSError as error:
        raise errors.PreconditionError(
            f"metrics: cannot listen on {addr}:{port} ({error.strerror}): choose another port, or 0 for any",
            reason="ADDRESS_IN_USE",
            metadata={"address": f"{addr}:{port}"},
        ) from error
    return Endpoint(server, thread)

"""The six dashboards: what each panel asks Prometheus, and what to do when it looks bad.

Queries use the labels of `actuary.metrics`, and beyond them only `job` and `instance`, which Prometheus
adds itself: they hold on a laptop as on a cluster. `selection` narrows them to what is chosen at the top of a
board. Figures about the work come from whoever leads, so sums
count nothing twice. A divisor that may be 0 is bounded below by `clamp_min`, so that nothing done reads as 0;
where 0 would be a false statement, it is compared (`> 0`), and the panel is empty instead.
"""

from __future__ import annotations

from dashboards import grafana, selection
from dashboards.grafana import Kind, Limits, Panel

_ITEMS = "suffix: items/s"
_DONE = "sum by (stage) (rate(actuary_items_total[$__rate_interval]))"
_DONE_HERE = "sum by (stage) (increase(actuary_items_total[$__range]))"
_LEFT = "sum by (stage) (actuary_items_left)"
_LABELLED = 'sum(increase(actuary_items_total{stage="annotate",outcome="LABELLED"}[$__range]))'
_MONEY = 'actuary_budget{account="money_micros"'
_LABELS = 'actuary_budget{account="human_labels"'
_ANSWERED = "sum(increase(actuary_answers_total[$__range]))"
_OURS = "and on (job, instance) actuary_rpc_watchers"
_OPEN = "CREATED|RUNNING|WAITING_FOR_PEOPLE|WAITING_FOR_APPROVAL|PAUSED"
_UNARY = 'method!="WatchCampaign"'
_FAULTS = 'code=~"INTERNAL|UNAVAILABLE|DATA_LOSS|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED"'


def _campaigns(states: str) -> str:
    return f'sum(actuary_campaigns{{state=~"{states}"}})'


def _grown(states: str) -> str:
    """How many more campaigns there are in some states than when the time shown began."""
    now = _campaigns(states)
    return f"clamp_min({now} - ({now[:-1]} offset $__range) or vector(0)), 0)"


def _accuracy(figure: str, bound: str = "estimate") -> str:
    return f'max(actuary_estimate{{figure="{figure}",bound="{bound}"}})'


_GAIN = f"({_accuracy('corrected_accuracy')} - {_accuracy('machine_accuracy')})"


def _bounds(figure: str) -> dict[str, str]:
    return {bound: _accuracy(figure, bound) for bound in ("high", "estimate", "low")}


def _share(outcome: str) -> str:
    """Of the items of each stage, over the range shown; 0 where nothing was done."""
    some = f'sum by (stage) (increase(actuary_items_total{{outcome="{outcome}"}}[$__range]))'
    return f"{some} / clamp_min({_DONE_HERE}, 1)"


def _latency(quantile: float) -> str:
    rates = f"rate(actuary_rpc_seconds_bucket{{{_UNARY}}}[$__rate_interval])"
    # without calls a quantile is no number; the comparison leaves it out
    return f"histogram_quantile({quantile}, sum by (le, service, method) ({rates})) >= 0"


def _unspent(account: str) -> str:
    return f'sum(actuary_budget{{account="{account}",part=~"left|reserved"}})'


def _forecast(account: str) -> str:
    """In 4 hours, as the last hour goes on; no more than now, since no budget grows by itself."""
    now = _unspent(account)
    return f"clamp_min(predict_linear({now}[1h:1m], 4 * 3600), 0) < {now} or {now}"


# fmt: off
OVERVIEW = grafana.Board("overview", "Actuary / Overview",
    "Where campaigns stand, how much is left and how long it will take.", [
    Panel("Machines at work", {"campaigns": _campaigns("CREATED|RUNNING")}, "short",
        "Campaigns in CREATED or RUNNING. Nothing to do while items left falls.", Kind.STAT, 4),
    Panel("Waiting for people", {"campaigns": _campaigns("WAITING_FOR_PEOPLE|WAITING_FOR_APPROVAL")}, "short",
        "Campaigns that wait for reviewers or for the approval of a quote. `actuary list` names "
        "them.", Kind.STAT, 4, limits=Limits(1)),
    Panel("Paused", {"campaigns": _campaigns("PAUSED")}, "short",
        "Campaigns that start nothing until a person resumes or cancels them. `actuary watch NAME` says "
        "why.", Kind.STAT, 4, limits=Limits(1)),
    Panel("Failed or out of money", {"campaigns": _grown("FAILED|BUDGET_EXHAUSTED")}, "short",
        "More such campaigns than when the time shown began. `actuary watch NAME` says why; `actuary resume "
        "NAME` tries a failed one again, `actuary topup NAME` goes on with the "
        "other.", Kind.STAT, 4, limits=Limits(bad=1)),
    Panel("Accuracy after corrections", {"accuracy": _accuracy("corrected_accuracy")}, "percentunit",
        "The last estimate of any campaign: agreement with the reviewers once their labels are in place. "
        "Empty before the first estimate. The board Quality has its interval.", Kind.STAT, 4),
    Panel("Spent", {"dollars": "sum(increase(actuary_cost_micros_total[$__range])) / 1e6"}, "currencyUSD",
        "Dollars settled within the time shown. The board Cost says by which stage and for "
        "whom.", Kind.STAT, 4),
    Panel("Open campaigns by state",
        {"{{state}}": f'sum by (state) (actuary_campaigns{{state=~"{_OPEN}"}})'}, "short",
        "Campaigns that have not ended. WAITING_FOR_PEOPLE needs reviewers, WAITING_FOR_APPROVAL somebody "
        "who reads the quote, PAUSED somebody who decides.", Kind.STACKED),
    Panel("Open campaigns by stage", {"{{stage}}": "sum by (stage) (actuary_campaigns_at)"}, "short",
        "Where the campaigns that have not ended stand. A stage that keeps its campaigns for hours is the "
        "one to look into, on the board Throughput for machines or Review for people.", Kind.STACKED),
    Panel("Items left", {"{{stage}}": _LEFT}, "short",
        "Items of open Jobs that are still to be done. It should fall; where it stands still, look for "
        "waiting Jobs on the board Platform.", Kind.STACKED),
    Panel("Progress", {"{{stage}}": f"{_DONE_HERE} / clamp_min({_DONE_HERE} + {_LEFT}, 1)"}, "percentunit",
        "Of the items that were open within the time shown, the share that is done; 0 where nothing was "
        "open. Choose a range that begins before the campaign.", Kind.BARS),
    Panel("Time to the end of open Jobs", {"{{stage}}": f"{_LEFT} / ({_DONE} > 0) or {_LEFT} == 0"}, "s",
        "Items left over the present rate, a stage; 0 where nothing is left. A stage without a value has "
        "items left and does none: look for waiting Jobs on the board Platform."),
    Panel("Items a second", {"{{stage}}": _DONE}, _ITEMS,
        "Items done, all outcomes. A fall with items left means fewer workers or a slower "
        "model.", Kind.STACKED),
])

THROUGHPUT = grafana.Board("throughput", "Actuary / Throughput",
    "How fast Jobs get on, what slows them, and whether their processes are busy.", [
    Panel("Items a second", {"{{stage}}": _DONE}, _ITEMS,
        "Items done by stage. Compare with workers: a rate that does not follow them has its limit "
        "elsewhere, in the model's server, the store or the database.", Kind.STACKED),
    Panel("Outcomes",
        {"{{outcome}}": "sum by (outcome) (rate(actuary_items_total[$__rate_interval]))"}, _ITEMS,
        "LABELLED is the aim. FAILED: the model's server does not answer, see retries. OVER_BUDGET: top the "
        "campaign up. ABSTAINED: the model gives no usable answer, read its prompt.", Kind.STACKED),
    Panel("Tokens",
        {"{{direction}}": "sum by (direction) (rate(actuary_tokens_total[$__rate_interval]))"},
        "suffix: tokens/s",
        "Tokens that models read (in) and wrote (out), as their servers counted them; 0 for models without "
        "tokens. Much out for a label means that an answer is not cut short."),
    Panel("Retries", {"{{reason}}": "sum by (reason) (rate(actuary_retries_total[$__rate_interval]))"}, "cps",
        "Calls to models and stores that were tried again. RESOURCE_EXHAUSTED: the server asks for less, "
        "lower the window. UNAVAILABLE or DEADLINE_EXCEEDED: look at the server."),
    Panel("Queue time of a Job",
        {"{{stage}}": "sum by (stage) (increase(actuary_job_queue_seconds_total"
         "[$__range])) / clamp_min(sum by (stage) (increase(actuary_jobs_started_total[$__range])), 1)"}, "s",
        "Mean seconds from a Job's creation to its first process, of those that started within the time "
        "shown. Minutes mean that the cluster has no room or pulls images slowly.",
        Kind.BARS, limits=Limits(120, 600)),
    Panel("Workers", {"{{stage}}": "sum by (stage) (actuary_workers)"}, "short",
        "Processes of Jobs that run now. Fewer than a campaign asked for: see waiting Jobs on the board "
        "Platform.", Kind.STACKED),
    Panel("Processor use of workers",
        {"{{stage}}": "sum by (stage) (rate(actuary_worker_cpu_seconds_total"
         "[$__rate_interval])) / clamp_min(sum by (stage) (rate(actuary_worker_seconds_total"
         "[$__rate_interval])), 0.001)"}, "percentunit",
        "Processor seconds over seconds at work; 100 % is one core. Low while items are left: workers wait "
        "for a model, the store or an allowance. High: more workers help."),
    Panel("Items a worker and second",
        {"{{stage}}": f"{_DONE_HERE} / clamp_min(sum by (stage) (increase("
         "actuary_worker_seconds_total[$__range])), 1)"}, _ITEMS,
        "What one process does, the mean of the time shown. Less than in another range with fewer workers "
        "means that they share a limit.", Kind.BARS),
    Panel("Items done again",
        {"{{stage}}": "clamp_min(sum by (stage) (increase(actuary_items_asked_total[$__range])) - "
         f"{_DONE_HERE}, 0)"}, "short",
        "Items given to models beyond those done, within the time shown: lost when a process died, or in "
        "work now. Many: take smaller chunks (execution.chunk_items), and look at restarts on the board "
        "Platform.", Kind.BARS),
])

COST = grafana.Board("cost", "Actuary / Cost", "What labels cost, who is paid, and how long budgets last.", [
    Panel("Spent",
        {"{{payer}}": "sum by (payer) (increase(actuary_cost_micros_total[$__range])) / 1e6"}, "currencyUSD",
        "Dollars settled within the time shown, for machine (models) and human (labels by people). Money is "
        "settled when a Job ends.", Kind.STAT),
    Panel("Per 1,000 labels",
        {"machine": 'sum(increase(actuary_cost_micros_total{payer="machine"}[$__range])) / '
         f"1e3 / ({_LABELLED} > 0)",
         "human": "sum(increase(actuary_cost_micros_total"
         f'{{payer="human"}}[$__range])) / 1e3 / ({_ANSWERED} > 0)'}, "currencyUSD",
        "Dollars for 1,000 labels of models, critics included, and of people, doubles included, of the time "
        "shown: choose a range that holds whole Jobs. Above the prices in campaign.yaml: answers that were "
        "lost or asked twice.", Kind.STAT),
    Panel("Per point of accuracy",
        {"dollars": f"sum(actuary_estimate_cost_micros) / 1e6 / (100 * {_GAIN} > 0)"}, "currencyUSD",
        "Of the last campaign with an estimate: all that it paid over the percentage points by which "
        "people's labels raised its accuracy. Empty where they raised nothing; then label less.", Kind.STAT),
    Panel("Spent by stage", {"{{stage}}": "sum by (stage) (actuary_cost_micros_total) / 1e6"}, "currencyUSD",
        "All dollars ever settled, by stage. A pilot that costs as much as the rest is too "
        "large.", Kind.STACKED),
    Panel("Spent by payer", {"{{payer}}": "sum by (payer) (actuary_cost_micros_total) / 1e6"}, "currencyUSD",
        "All dollars ever settled, for models and for people.", Kind.STACKED),
    Panel("Burn",
        {"{{payer}}": "sum by (payer) (rate(actuary_cost_micros_total[$__range])) * 3600 / 1e6"},
        "suffix: $/h",
        "Dollars an hour, the mean of the time shown. Compare with the money left beside it."),
    Panel("Money of open campaigns",
        {"{{part}}": f'sum by (part) ({_MONEY},part!="limit"}}) / 1e6'}, "currencyUSD",
        "settled is gone, reserved is promised to Jobs and people at work, left is free (of campaigns that "
        "have a limit). Little left while people wait: top up with `actuary topup`.", Kind.STACKED),
    Panel("Money unspent, now and in 4 hours",
        {"now": f"{_unspent('money_micros')} / 1e6",
         "in 4 hours": f"({_forecast('money_micros')}) / 1e6"}, "currencyUSD",
        "What is left or promised. The forecast continues the last hour in a straight line; 0 means used up "
        "by then. A campaign that ends takes its rest with it. Without a limit there is nothing to show."),
    Panel("Labels of open campaigns", {"{{part}}": f'sum by (part) ({_LABELS},part!="limit"}})'}, "short",
        "Human labels: settled are given, reserved are in review, left may still be drawn. None left is how "
        "a campaign ends; before its last wave it needs a top-up.", Kind.STACKED),
    Panel("Labels unspent, now and in 4 hours",
        {"now": _unspent("human_labels"),
         "in 4 hours": _forecast("human_labels")}, "short",
        "As for money. 0 in 4 hours with campaigns before their last wave: top up."),
    Panel("Share of budgets used",
        {"{{account}}": 'sum by (account) (actuary_budget{part="limit"} - ignoring (part) '
         'actuary_budget{part="left"}) / clamp_min(sum by (account) (actuary_budget{part="limit"}), 1)'},
        "percentunit",
        "Used or promised, of what open campaigns with a limit may spend. Near 100 % of money while models "
        "still have items left ends in OVER_BUDGET: top up.", limits=Limits(0.95)),
])

QUALITY = grafana.Board("quality", "Actuary / Quality",
    "What the last estimates say, and whether the critic earns its keep.", [
    Panel("Accuracy of the machine", {"accuracy": _accuracy("machine_accuracy")}, "percentunit",
        "Last estimate for the labels as the machine gave them: agreement with the reviewers. Low: a better "
        "model or prompt pays more than people do.", Kind.STAT, 6),
    Panel("Accuracy after corrections", {"accuracy": _accuracy("corrected_accuracy")}, "percentunit",
        "Last estimate with people's labels in place. Lower than wanted: top up.", Kind.STAT, 6),
    Panel("Gained by people", {"points": f"100 * {_GAIN}"}, "suffix: points",
        "Percentage points between the two. Near 0 with many labels spent: the critic does not find the "
        "errors.", Kind.STAT, 6),
    Panel("Without any label", {"share": "max(actuary_unlabelled_rate)"}, "percentunit",
        "Items that ended without a label, in the campaign of the last estimate; no part of an accuracy. "
        "High: see failed and abstained below.", Kind.STAT, 6, limits=Limits(0.01, 0.05)),
    Panel("Machine: estimate and interval", _bounds("machine_accuracy"), "percentunit",
        "Of the last campaign with an estimate; a jump is another campaign or wave. A wide interval wants a "
        "larger audit (sampling.audit_items).", from_zero=False),
    Panel("Corrected: estimate and interval", _bounds("corrected_accuracy"), "percentunit",
        "As beside it, with people's labels in place. The lower bound is what may be "
        "promised.", from_zero=False),
    Panel("Critic: ranking",
        {"{{figure}}": 'max by (figure) (actuary_critic{figure="auroc"})'}, "percentunit",
        "How often the critic ranks a wrong label above a right one (AUROC). 50 % is a coin: then "
        "sampling.rule uniform does as well. Choose another critic.", limits=Limits(0.6, low=True)),
    Panel("Critic: calibration and errors",
        {"{{figure}}": 'max by (figure) (actuary_critic{figure!="auroc"})'}, "percentunit",
        "error_rate: wrong labels in the last pilot. expected_calibration_error: how far the stated risks "
        "are from what was found. Near the error rate the risks say nothing: take a larger pilot."),
    Panel("Failed share", {"{{stage}}": _share("FAILED")}, "percentunit",
        "Items without an answer after all retries, of those done within the time shown. Above 5 % look at "
        "the model's server and at retries on the board Throughput.", Kind.BARS, limits=Limits(0.01, 0.05)),
    Panel("Abstained share", {"{{stage}}": _share("ABSTAINED")}, "percentunit",
        "Items for which the model gave no usable answer. High: the prompt and the classes do not fit the "
        "data.", Kind.BARS, limits=Limits(0.05, 0.2)),
])

REVIEW = grafana.Board("review", "Actuary / Review",
    "What waits for people, how fast they answer, and whether they agree.", [
    Panel("Tasks waiting", {"tasks": "sum(actuary_queue_tasks)"}, "short",
        "Tasks of open batches, held ones included. Campaigns wait for them: find reviewers, or close a "
        "batch early with `actuary review close`.", Kind.STAT, 6),
    Panel("Answers in the time shown", {"answers": _ANSWERED}, "short",
        "First answers of reviewers. 0 with tasks waiting: nobody works.", Kind.STAT, 6),
    Panel("Agreement",
        {"share": 'sum(actuary_doubles_total{agreed="yes"}) / (sum(actuary_doubles_total) > 0)'},
        "percentunit",
        "Of all items with two answers, those on which both said the same. Empty without "
        "doubles (review.double_share). Low: the instructions are unclear, and no accuracy can "
        "be higher.", Kind.STAT, 6, limits=Limits(0.8, 0.6, low=True)),
    Panel("Cannot tell",
        {"share": 'sum(increase(actuary_answers_total{outcome="CANNOT_TELL"}[$__range])) / '
         f"clamp_min({_ANSWERED}, 1)"}, "percentunit",
        "Answers that gave no class. High: reviewers lack context or a class is "
        "missing.", Kind.STAT, 6, limits=Limits(0.05, 0.2)),
    Panel("Queue", {"{{state}}": "sum by (state) (actuary_queue_tasks)"}, "short",
        "open: nobody holds it. held: somebody has taken it, until they answer or their lease ends. Many "
        "held and few answers: tasks were taken and left.", Kind.STACKED),
    Panel("Answers an hour",
        {"{{outcome}}": "sum by (outcome) (rate(actuary_answers_total[$__rate_interval])) * 3600"},
        "suffix: /h",
        "Answers as they come in; a file that is read in is a peak.", Kind.STACKED),
    Panel("Seconds an answer",
        {"seconds": "sum(increase(actuary_human_seconds_total[$__range])) / "
         f"clamp_min({_ANSWERED}, 1)"}, "s",
        "Mean time a reviewer took, within the time shown; answers in files bring none. Under a second "
        "people click through, minutes mean hard items: compare with agreement."),
    Panel("Doubles", {"agreed: {{agreed}}": "sum by (agreed) (actuary_doubles_total)"}, "short",
        "Items that a second person answered, ever. A growing `no` uses third labels.", Kind.STACKED),
    Panel("Time to an empty queue",
        {"seconds": "sum(actuary_queue_tasks) / (sum(rate(actuary_answers_total"
         "[$__range])) > 0) or sum(actuary_queue_tasks) == 0"}, "s",
        "Tasks over the mean rate of the time shown. Empty: tasks wait and nobody answers."),
])

PLATFORM = grafana.Board("platform", "Actuary / Platform", "Jobs, calls, leaders and processes.", [
    Panel("Processes", {"up": "count(actuary_rpc_watchers)"}, "short",
        "Processes of services that are scraped. Fewer than deployed: `kubectl get pods`.", Kind.STAT, 6),
    Panel("Loops without a leader", {"loops": "6 - sum(max by (loop) (actuary_leader))"}, "short",
        "Of the six controllers. More than 0 for longer than a lease: their campaigns stand still; look at "
        "the logs of that service and at the database.", Kind.STAT, 6, limits=Limits(bad=1)),
    Panel("Jobs waiting", {"jobs": "sum(actuary_jobs_waiting)"}, "short",
        "Jobs whose processes cannot be placed or started. `actuary watch` says "
        "why.", Kind.STAT, 6, limits=Limits(1)),
    Panel("Calls that failed",
        {"share": f"sum(rate(actuary_rpc_seconds_count{{{_FAULTS}}}[$__rate_interval])) / "
         "clamp_min(sum(rate(actuary_rpc_seconds_count[$__rate_interval])), 0.001) or vector(0)"},
        "percentunit",
        "Share of gRPC calls that failed by the server's fault. Answers such as NOT_FOUND do not "
        "count.", Kind.STAT, 6, limits=Limits(0.01, 0.05)),
    Panel("Jobs by state", {"{{state}}": "sum by (state) (actuary_jobs)"}, "short",
        "Jobs that have not ended. PENDING for long: their controller does not lead or cannot "
        "launch.", Kind.STACKED),
    Panel("Waiting Jobs", {"{{stage}}": "sum by (stage) (actuary_jobs_waiting)"}, "short",
        "No room, no image, no quota. `actuary watch` says which; see worker.profiles in the chart's "
        "values."),
    Panel("Jobs ended in the time shown",
        {"{{state}}": "sum by (state) (increase(actuary_jobs_ended_total[$__range]))"}, "short",
        "FAILED: `actuary watch` of its campaign has the reason.", Kind.BARS),
    Panel("Restarts",
        {"{{stage}}": "sum by (stage) (increase(actuary_job_restarts_total[$__range]))"}, "short",
        "Processes of Jobs started again within the time shown. Drains cause some; many in one stage mean "
        "that items kill workers or that they lack memory.", Kind.BARS),
    Panel("Watchers", {"{{instance}}": "actuary_rpc_watchers"}, "short",
        "Streams that each process serves now. At the limit new watchers are refused: add a replica."),
    Panel("Leaders", {"{{loop}}": "sum by (loop) (actuary_leader)"}, "short",
        "1 is right. 0: nobody leads. 2 for longer than a scrape: clocks or the database are wrong; rows' "
        "versions keep the work right even then."),
    Panel("Calls",
        {"{{method}}": "sum by (method) (rate(actuary_rpc_seconds_count[$__rate_interval]))"}, "reqps",
        "gRPC calls served, by method. A method that fills the picture is polled too "
        "often.", Kind.STACKED, 12),
    Panel("Calls by code",
        {"{{code}}": "sum by (code) (rate(actuary_rpc_seconds_count[$__rate_interval]))"}, "reqps",
        "OK, what callers did wrong, and what servers did: INTERNAL is a fault, its log has the trace; "
        "UNAVAILABLE is the database, the store or a limit.", Kind.STACKED, 12),
    Panel("Latency, half of the calls", {"{{method}}": _latency(0.5)}, "s",
        "Median seconds by method, streams left out. All methods slow: the database. One: its store or its "
        "size.", width=12),
    Panel("Latency, 99 of 100 calls", {"{{method}}": _latency(0.99)}, "s",
        "99th percentile by method, streams left out; bounded by the buckets, 60 s at most. Above the line "
        "look at the database, or at what that method reads.", width=12, limits=Limits(2.5)),
    Panel("Calls to the API server",
        {"{{verb}}": "sum by (verb) (rate(actuary_kubernetes_calls_total[$__rate_interval]))"}, "reqps",
        "Of services that launch Jobs on Kubernetes; 0 elsewhere. Lists that grow with the Jobs would be a "
        "fault: watches should carry it."),
    Panel("Memory of services", {"{{instance}}": f"process_resident_memory_bytes {_OURS}"}, "bytes",
        "Resident memory. Near the limit of services.NAME.resources: raise it."),
    Panel("Processor use of services",
        {"{{instance}}": f"rate(process_cpu_seconds_total[$__rate_interval]) {_OURS}"}, "percentunit",
        "100 % is one core. Constantly above that: give the service more, or lengthen controller.seconds."),
], (selection.NAMESPACE, selection.INSTANCE))

# fmt: on

BOARDS = (OVERVIEW, THROUGHPUT, COST, QUALITY, REVIEW, PLATFORM)

"""What a campaign does next, as a pure decision from its spec, its Jobs and its purse.

A campaign is a small graph of steps. Each step is one Job of one service; it starts when the steps it waits
for have succeeded. A top-up appends the steps of another wave. Nothing here reads a clock, a store or a
network: the controller hands in a `View` and acts on the `Decision`.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Any

from actuary.campaign import spec as specs

CREATED = "CREATED"
RUNNING = "RUNNING"
WAITING_FOR_PEOPLE = "WAITING_FOR_PEOPLE"
WAITING_FOR_APPROVAL = "WAITING_FOR_APPROVAL"
PAUSED = "PAUSED"
BUDGET_EXHAUSTED = "BUDGET_EXHAUSTED"
CANCELLED = "CANCELLED"
FAILED = "FAILED"
SUCCEEDED = "SUCCEEDED"
ENDED = frozenset({BUDGET_EXHAUSTED, CANCELLED, FAILED, SUCCEEDED})
"""States in which a campaign needs nobody's work; only a call can take it on."""

OPEN = frozenset({"PENDING", "RUNNING"})
"""States of a Job that goes on."""
DECIDE_ITEMS = ("task", "data", "seed", "execution")
"""Fields of a campaign that decide what an import writes."""
BROKEN = frozenset({"FAILED", "CANCELLED"})
"""States of a Job that its campaign cannot go on without."""


class Kind(enum.StrEnum):
    """What a step's Job is."""

    IMPORT = "import"
    PLAN = "plan"
    ANNOTATE = "annotate"
    CRITIQUE = "critique"
    REVIEW = "review"
    RISK = "risk"
    QUOTE = "quote"
    ESTIMATE = "estimate"
    CERTIFY = "certificate"
    TRAIN = "train"
    REPORT = "report"


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One Job of a campaign."""

    key: str
    """Id of its Job: kind and wave."""
    kind: Kind
    wave: int
    stage: str
    """What people read: one of the stages that the proto names."""
    after: tuple[str, ...] = ()
    """Keys of the steps whose artifacts it reads."""
    gate: bool = False
    """Whether it spends the bulk of the money, so that an approval is waited for."""


@dataclasses.dataclass(frozen=True, slots=True)
class Child:
    """What is known of a step's Job."""

    state: str
    """PENDING, RUNNING, SUCCEEDED, FAILED or CANCELLED."""
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Items by outcome."""
    error: Mapping[str, Any] | None = None
    failure: str = ""
    """Why one of its items failed, with the item's id."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All that a decision may look at."""

    spec: specs.Spec
    children: Mapping[str, Child]
    waves: int
    """Waves after the pilot, as far as they are known: `waves`."""
    approved: bool = False
    paused: bool = False
    cancelled: bool = False
    failures_accepted: bool = False
    """Whether somebody resumed the campaign after it paused over items without a machine label."""
    human_labels: int | None = None
    """The budget in labels, once the items are counted."""
    exhausted: bool = False
    """Whether the labels did not suffice for what was to be proven."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do and how the campaign is now called."""

    state: str
    stage: str
    wave: int
    start: tuple[Step, ...] = ()
    cancel: tuple[Step, ...] = ()
    error: Mapping[str, Any] | None = None


def waves(top_ups: int, another: Mapping[int, bool]) -> int:
    """Returns the number of waves after the pilot, as far as they are known.

    One, and one more for each top-up. The waves of a guarantee follow from one another: each plan says, once
    it is drawn, whether another one follows the answers to it.

    Args:
        top_ups: that brought labels.
        another: by wave, what the plans that are drawn say.

    >>> waves(0, {}), waves(2, {}), waves(0, {1: True}), waves(0, {1: True, 2: False})
    (1, 3, 2, 2)
    """
    return 1 + top_ups + sum(another.values())


def steps(spec: specs.Spec, waves: int) -> tuple[Step, ...]:
    """Lists the campaign's steps in the order of section 7 of the design.

    The pilot comes first, so that a price can be quoted before the bulk of the money is spent; people label
    it while it is annotated. With a guarantee nothing is estimated before its last wave: until then the
    waves are one audit, and its answers decide what comes next.
    """
    graph = [
        Step("import", Kind.IMPORT, 0, "import"),
        Step("plan-w0", Kind.PLAN, 0, "pilot", ("import",)),
        Step("annotate-w0", Kind.ANNOTATE, 0, "pilot", ("plan-w0",)),
        Step("review-w0", Kind.REVIEW, 0, "pilot", ("plan-w0",)),
        Step("critique-w0", Kind.CRITIQUE, 0, "pilot", ("annotate-w0",)),
        Step("risk-w0", Kind.RISK, 0, "pilot", ("critique-w0", "review-w0")),
        Step("quote-w0", Kind.QUOTE, 0, "quote", ("risk-w0",)),
        Step("annotate-w1", Kind.ANNOTATE, 1, "annotate", ("quote-w0",), gate=True),
        Step("critique-w1", Kind.CRITIQUE, 1, "criticise", ("annotate-w1",)),
    ]
    before = "critique-w1"
    for wave in range(1, waves + 1):
        graph += [
            Step(f"plan-w{wave}", Kind.PLAN, wave, "plan", (before,)),
            Step(f"review-w{wave}", Kind.REVIEW, wave, "review", (f"plan-w{wave}",)),
        ]
        last = f"review-w{wave}"
        if spec.guarantee and wave < waves:
            before = last
            continue
        graph.append(Step(f"estimate-w{wave}", Kind.ESTIMATE, wave, "estimate", (last,)))
        last = f"estimate-w{wave}"
        if spec.guarantee:
            graph.append(Step(f"certificate-w{wave}", Kind.CERTIFY, wave, "certify", (last,)))
            last = f"certificate-w{wave}"
        if spec.training_model != "none":
            graph.append(Step(f"train-w{wave}", Kind.TRAIN, wave, "train", (last,)))
            last = f"train-w{wave}"
        graph.append(Step(f"report-w{wave}", Kind.REPORT, wave, "report", (last,)))
        before = f"report-w{wave}"
    return tuple(graph)


def decide(view: View) -> Decision:
    """Decides what runs next.

    The order of the questions matters: a cancelled campaign is cancelled whatever else it is, a failed Job
    ends it before anything new is started, and a pause only keeps new Jobs from starting. A campaign that is
    stopped has ended once its Jobs have, so that all they used is known when it is booked.
    """
    graph = steps(view.spec, view.waves)
    open_steps = [s for s in graph if s.key in view.children and view.children[s.key].state in OPEN]
    done = {s.key for s in graph if s.key in view.children and view.children[s.key].state == SUCCEEDED}
    at = _where(graph, open_steps, done)
    if view.cancelled:
        return _stopping(CANCELLED, at, open_steps)
    broken = _broken(view, graph)
    if broken is not None:
        # people go on meanwhile: what they have answered counts when the failed step is tried again
        machines = [step for step in open_steps if step.kind != Kind.REVIEW]
        error = view.children[broken.key].error or _was_cancelled(broken)
        return _stopping(FAILED, broken, machines, error)
    if len(done) == len(graph):
        exhausted = view.exhausted or _count(view, graph, "OVER_BUDGET")
        state = BUDGET_EXHAUSTED if exhausted else SUCCEEDED
        return Decision(state=state, stage="done", wave=at.wave)
    if view.paused:
        return Decision(state=PAUSED, stage=at.stage, wave=at.wave)
    ready = [s for s in graph if s.key not in view.children and all(key in done for key in s.after)]
    if any(step.gate for step in ready) and view.spec.approval_required and not view.approved:
        return Decision(state=WAITING_FOR_APPROVAL, stage="quote", wave=0)
    too_many = _failures(view, graph)
    if too_many is not None and ready:
        return Decision(state=PAUSED, stage=at.stage, wave=at.wave, error=too_many)
    at = _where(graph, [*open_steps, *ready], done)
    people = bool(open_steps) and not ready and all(s.kind == Kind.REVIEW for s in open_steps)
    waiting = people and view.spec.review_mode == "people"
    state = WAITING_FOR_PEOPLE if waiting else RUNNING
    return Decision(state=state, stage=at.stage, wave=at.wave, start=tuple(ready))


def _broken(view: View, graph: Sequence[Step]) -> Step | None:
    """The first step that failed; one that was cancelled only where none has failed by itself."""
    ended = [s for s in graph if s.key in view.children and view.children[s.key].state in BROKEN]
    failed = [s for s in ended if view.children[s.key].state == FAILED]
    return next(iter([*failed, *ended]), None)


def _stopping(state: str, at: Step, stop: Sequence[Step], error: Mapping[str, Any] | None = None) -> Decision:
    """Stops some steps; the campaign is in `state` when they have ended."""
    if stop:
        return Decision(state=RUNNING, stage=at.stage, wave=at.wave, cancel=tuple(stop))
    return Decision(state=state, stage=at.stage, wave=at.wave, error=error)


def _was_cancelled(step: Step) -> Mapping[str, Any]:
    message = f"the Job {step.key} was cancelled, and its campaign was not: resume to try it again"
    return {"code": "FAILED_PRECONDITION", "reason": "JOB_CANCELLED", "message": message}


def top_up_key(request_id: str) -> str:
    """The purse's key of a top-up, so that it raises the limits once whoever books it."""
    return f"top-up-{request_id}"


def replaceable(
    state: str, results: Mapping[str, Any], there: Mapping[str, Any], asked: Mapping[str, Any]
) -> bool:
    """Whether another spec may take a campaign's place under its name.

    Somebody who mistyped a path mends campaign.yaml and runs it again. As long as the campaign has failed
    and its items were never counted against a budget, nothing was bought. Items that were imported stay, so
    what decides them has to be the same.
    """
    if state != FAILED or "budget" in results:
        return False
    imported = results.get("children", {}).get("import", {}).get("state") == SUCCEEDED
    return not imported or all(there.get(field) == asked.get(field) for field in DECIDE_ITEMS)


def _where(graph: Sequence[Step], active: Sequence[Step], done: set[str]) -> Step:
    """The step that a person would name: the first that is active, else the last that is done."""
    if active:
        return min(active, key=graph.index)
    return next((s for s in reversed(graph) if s.key in done), graph[0])


def _count(view: View, graph: Sequence[Step], *outcomes: str) -> int:
    children = [view.children[s.key] for s in graph if s.kind == Kind.ANNOTATE and s.key in view.children]
    return sum(child.counts.get(outcome, 0) for child in children for outcome in outcomes)


def _failures(view: View, graph: Sequence[Step]) -> Mapping[str, Any] | None:
    """Why a campaign pauses: items without a machine label would eat more labels than their share."""
    if view.failures_accepted or view.human_labels is None:
        return None
    failed = _count(view, graph, "FAILED", "ABSTAINED")
    share = view.spec.failed_share
    if failed <= share * view.human_labels:
        return None
    examples = [
        view.children[s.key].failure for s in graph if s.kind == Kind.ANNOTATE and s.key in view.children
    ]
    example = next((f" For example {text}." for text in examples if text), "")
    message = (
        f"{failed} items have no machine label, more than the {share:.0%} of {view.human_labels} labels that "
        f"sampling.failed_share gives them.{example} Resume to go on all the same, with these items first, "
        "or cancel."
    )
    return {"code": "FAILED_PRECONDITION", "reason": "TOO_MANY_FAILED_ITEMS", "message": message}

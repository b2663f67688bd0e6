"""One step of a campaign: read its row and Jobs, decide, act, write the row once.

Acting is idempotent (a Job's name follows from its step, a reservation's key is the step), so a step that
dies anywhere is repeated whole: what exists already counts as done. Deciding is `policy`; knowing what a Job
reads is `requests`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import structlog
from google.protobuf import json_format

from actuary import errors, metrics, tracing
from actuary.campaign import budgeting, children, figures, own_jobs, policy, requests
from actuary.campaign import spec as specs
from actuary.state import campaigns as campaign_state
from actuary.state import figures as figure_state
from actuary.state import purse as purses
from actuary.v1 import campaign_pb2

UNCAPPED_MICROS = 2**50
"""What a step reserves of an account without limit: more than anybody spends (1.1 thousand million
dollars)."""

_FINAL = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
_TRANSIENT = (errors.UnavailableError, errors.ConflictError, errors.ExhaustedError)
"""What may be otherwise at the next step: a service that restarts, a changed row, a full disk."""
_log = structlog.get_logger("actuary.campaign")


class Controller:
    """Drives every active campaign of a database."""

    def __init__(
        self,
        *,
        campaigns: campaign_state.Campaigns,
        purse: purses.Purse,
        services: children.Children,
        own: own_jobs.OwnJobs,
        clock: Callable[[], datetime.datetime],
    ) -> None:
        self._campaigns = campaigns
        self._purse = purse
        self._services = services
        self._own = own
        self._clock = clock
        self._said: dict[str, str] = {}
        """Why a campaign was put off last."""
        self._active: dict[str, tuple[campaign_state.CampaignRecord, dict[str, purses.Balance]]] = {}
        """Active campaigns with their purses, as the last step left them."""

    def step(self) -> bool:
        """Takes every active campaign as far as it goes now; returns whether machines are at work for one."""
        active = self._campaigns.active()
        busy = False
        for name in active:
            with self._guarded(name):
                record = self._campaigns.get(name)
                with tracing.entered(record.trace), self._guarded(name):
                    busy |= self.step_one(record).state in (policy.CREATED, policy.RUNNING)
        self._active = {name: known for name, known in self._active.items() if name in active}
        return busy

    def figures(self, kept: figure_state.Figures) -> dict[metrics.Key, float]:
        """What is to be shown of campaigns: how the last step left them, totals and last values."""
        counts = self._campaigns.count_by_state()
        totals = figures.totals(kept.read([figure.name for figure in figures.KEPT]))
        return {**figures.gauges(counts, list(self._active.values())), **totals}

    @contextlib.contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        """Ends here what goes wrong within: a fault that one campaign meets must not stop the others."""
        try:
            yield
        except errors.ActuaryError as error:
            # the next step, a moment later, sees what is true then
            self._put_off(name, error)
        except Exception:
            _log.exception("campaign step failed", campaign=name)

    def _put_off(self, name: str, error: errors.ActuaryError) -> None:
        """Says why a campaign does not move: once, not at every step."""
        if self._said.get(name) != error.message:
            self._said[name] = error.message
            _log.warning("campaign step put off", campaign=name, reason=error.reason, message=error.message)

    def step_one(self, record: campaign_state.CampaignRecord) -> campaign_state.CampaignRecord:
        """Looks, decides, acts and writes once.

        What would go wrong again at the next step fails the campaign with its reason, so that a person sees
        it; Resume tries again.
        """
        if record.state == policy.BUDGET_EXHAUSTED and record.stage == "done":
            return record
        spec = specs.parse(record.spec)
        known = self._look(record, spec)
        raised = list(record.results.get("raised", []))
        try:
            budget = _budget(spec, known)
            if budget is not None and "budget" not in record.results:
                budgeting.check_training(spec, budget)
                # the purse can be opened only now: a share becomes a count when the items are counted
                limits = {"human_labels": budget.labels, "money_micros": spec.money_micros}
                self._purse.open(record.name, limits)
            if budget is not None:
                raised = self._raise_limits(record, raised)
            self._settle(record, spec, known)
            decision = policy.decide(_view(record, spec, known, budget))
            for step in decision.start:
                known[step.key] = self._start(record, spec, budget, step, known)
        except _TRANSIENT:
            raise
        except errors.ActuaryError as error:
            if isinstance(error, errors.InvalidInputError):  # of the spec: no budget follows from it
                budget = None
            problem = {"code": error.code, "reason": error.reason, "message": error.message}
            decision = policy.Decision(
                state=policy.FAILED, stage=record.stage or "import", wave=record.wave, error=problem
            )
        for step in decision.cancel:
            known[step.key] = {**known[step.key], **self._cancel(record, step)}
        if decision.state == policy.CANCELLED:
            self._settle(record, spec, known, for_good=True)
        results = {**record.results, "children": known, **_outcome(spec, record, known)}
        if raised:
            results["raised"] = raised
        if budget is not None:
            results["budget"] = dataclasses.asdict(budget)
        after = dataclasses.replace(
            record,
            state=decision.state,
            stage=decision.stage,
            wave=decision.wave,
            error=dict(decision.error) if decision.error else None,
            results=results,
        )
        if _same(record, after):
            if record.name not in self._active:
                self._remember(record)
            return record
        shown = figures.last_values(record.results, after.results)
        after = self._campaigns.update(after, record.version, shown)
        if (record.state, record.stage, record.wave) != (after.state, after.stage, after.wave):
            _log.info("campaign", campaign=record.name, state=after.state, stage=after.stage, wave=after.wave)
        self._remember(after)
        return after

    def _look(self, record: campaign_state.CampaignRecord, spec: specs.Spec) -> dict[str, dict[str, Any]]:
        """Looks at every Job that was started and has not ended."""
        known: dict[str, dict[str, Any]] = dict(record.results.get("children", {}))
        for step in policy.steps(spec, _waves(record, known)):
            before = known.get(step.key)
            if before is None or before["state"] in _FINAL:
                continue
            name = children.name_of(record.name, step, _attempt(record, step))
            with tracing.unsampled():
                child = (
                    self._services.get(step.kind, name)
                    if self._services.knows(step.kind)
                    else self._own.get(name)
                )
            known[step.key] = {**before, **_remembered(child)}
            if child.state in _FINAL:
                known[step.key]["end"] = self._clock().isoformat()
        return known

    def _raise_limits(self, record: campaign_state.CampaignRecord, raised: Sequence[str]) -> list[str]:
        """Raises the purse by the top-ups that were accepted and not booked yet; returns all that are."""
        top_ups = [each for each in record.control.get("top_ups", []) if each["request_id"] not in raised]
        for each in top_ups:
            add = {account: int(each[account]) for account in purses.ACCOUNTS}
            self._purse.raise_limits(record.name, policy.top_up_key(each["request_id"]), add)
        return [*raised, *(each["request_id"] for each in top_ups)]

    def _start(
        self,
        record: campaign_state.CampaignRecord,
        spec: specs.Spec,
        budget: budgeting.Budgeted | None,
        step: policy.Step,
        known: Mapping[str, Mapping[str, Any]],
    ) -> dict[str, Any]:
        """Reserves what a step may spend and creates its Job."""
        job_id = children.name_of(record.name, step, _attempt(record, step)).rsplit("/", 1)[1]
        if not self._services.knows(step.kind):
            child = self._own.create(record, step, job_id, self._facts(record, known))
        else:
            if budget is None:
                raise errors.PreconditionError(f"{record.name}: {step.key} before the items were counted")
            campaign = json_format.ParseDict(dict(record.spec), campaign_pb2.Campaign())
            campaign.name = record.name
            labels, cap = self._reserve(record, spec, budget, step, known)
            gold, offset = _gold(record, spec, budget, step, known, labels)
            facts = requests.Facts(
                campaign=campaign,
                spec=spec,
                budget=budget,
                label_count=labels,
                cap_micros=cap,
                machine_micros=_machine_micros(budget, known),
                gold_count=gold,
                gold_offset=offset,
            )
            child = self._services.create(record.name, step.kind, job_id, requests.build(step, facts))
            if step.kind == policy.Kind.REVIEW and child.state in policy.BROKEN:
                child = self._services.take_up(children.name_of(record.name, step, _attempt(record, step)))
        started = self._clock().isoformat()
        return {"start": started, "end": None, "settled": False, "stage": step.stage, **_remembered(child)}

    def _facts(
        self, record: campaign_state.CampaignRecord, known: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Any]:
        """What a report says and no artifact knows."""
        if "budget" not in record.results:
            return {}
        balance = self._purse.balance(record.name)
        return {
            "budget": record.results["budget"],
            "human_labels_limit": balance["human_labels"].limit,
            "human_labels_used": balance["human_labels"].settled,
            "money_limit_micros": balance["money_micros"].limit,
            "money_used_micros": balance["money_micros"].settled,
            "started": record.create_time.isoformat() if record.create_time else None,
            "now": self._clock().isoformat(),
            "children": {
                key: {k: v for k, v in child.items() if k != "resource"} for key, child in known.items()
            },
        }

    def _reserve(
        self,
        record: campaign_state.CampaignRecord,
        spec: specs.Spec,
        budget: budgeting.Budgeted,
        step: policy.Step,
        known: Mapping[str, Mapping[str, Any]],
    ) -> tuple[int, int | None]:
        """Returns the labels and the money that a step may use, set aside in the purse."""
        entries = self._purse.entries(record.name)
        earlier = {e.key: e.amounts for e in entries if e.kind == "reserve"}
        balance = self._purse.balance(record.name)
        free = balance["money_micros"].free
        key = _reservation(record, step)
        price = spec.human_label_micros
        if step.kind in (policy.Kind.PLAN, policy.Kind.REVIEW):
            labels = _labels_of_wave(record, spec, budget, step.wave)
            review = f"review-w{step.wave}"
            if review in earlier:
                return int(earlier[review].get("human_labels") or 0), None
            unspent = balance["human_labels"].free
            if spec.guarantee and step.wave > 0 and unspent is not None:
                labels = min(labels, unspent)  # what the waves before have left: each asks for what it needs
            if free is not None and price > 0:
                # people are paid from the same money as machines; what cannot be paid is not planned
                labels = min(labels, free // price)
            if step.kind == policy.Kind.REVIEW:
                planned = known[f"plan-w{step.wave}"].get("resource", {})
                labels = min(labels, int(planned.get("label_count", labels)))
                self._purse.reserve(
                    record.name, key, {"human_labels": labels, "money_micros": labels * price}
                )
            return labels, None
        if step.kind not in (policy.Kind.ANNOTATE, policy.Kind.CRITIQUE):
            return 0, None
        if key in earlier:
            cap = int(earlier[key].get("money_micros") or 0)
        elif free is None:
            cap = UNCAPPED_MICROS
        else:
            reviewed = {e for e in earlier if e.startswith("review-")}
            waves = [wave for wave in range(_waves(record, known) + 1) if f"review-w{wave}" not in reviewed]
            people = price * sum(_labels_of_wave(record, spec, budget, wave) for wave in waves)
            cap = max(0, free - people)
        self._purse.reserve(record.name, key, {"money_micros": cap})
        # a retry goes on from what the tries before have finished and paid for
        return 0, None if cap == UNCAPPED_MICROS else cap + _paid_before(entries, step, key)

    def _settle(
        self,
        record: campaign_state.CampaignRecord,
        spec: specs.Spec,
        known: dict[str, dict[str, Any]],
        *,
        for_good: bool = False,
    ) -> None:
        """Books what Jobs that have ended have used.

        A review batch that failed can be taken up again, so that its labels stay reserved unless the campaign
        has ended `for_good`. Of a Job that was tried before, only what is new is booked: it went on from what
        was there.
        """
        for step in policy.steps(spec, _waves(record, known)):
            child = known.get(step.key)
            if child is None or child["state"] not in _FINAL or child.get("settled"):
                continue
            if step.kind == policy.Kind.REVIEW and child["state"] != policy.SUCCEEDED and not for_good:
                continue
            used: dict[str, int] = {}
            key = _reservation(record, step)
            if step.kind == policy.Kind.REVIEW:
                labels = int(child.get("label_count", 0))
                used = {"human_labels": labels, "money_micros": labels * spec.human_label_micros}
            elif step.kind in (policy.Kind.ANNOTATE, policy.Kind.CRITIQUE):
                before = _paid_before(self._purse.entries(record.name), step, key)
                used = {"money_micros": max(0, int(child.get("cost_micros", 0)) - before)}
            if used:
                payer = "human" if step.kind == policy.Kind.REVIEW else "machine"
                self._purse.settle(
                    record.name, key, used, figures.paid(step.stage, payer, used["money_micros"])
                )
            known[step.key] = {**child, "settled": True, "spent_micros": used.get("money_micros", 0)}

    def _cancel(self, record: campaign_state.CampaignRecord, step: policy.Step) -> dict[str, Any]:
        name = children.name_of(record.name, step, _attempt(record, step))
        services = self._services
        child = services.cancel(step.kind, name) if services.knows(step.kind) else self._own.cancel(name)
        return {**_remembered(child), "end": self._clock().isoformat()}

    def _remember(self, record: campaign_state.CampaignRecord) -> None:
        balances = self._purse.balance(record.name) if "budget" in record.results else {}
        self._active[record.name] = record, balances


def _view(
    record: campaign_state.CampaignRecord,
    spec: specs.Spec,
    known: Mapping[str, Mapping[str, Any]],
    budget: budgeting.Budgeted | None,
) -> policy.View:
    control = record.control
    return policy.View(
        spec=spec,
        children={
            key: policy.Child(
                state=child["state"],
                counts=child.get("counts", {}),
                error=child.get("error"),
                failure=child.get("failure", ""),
            )
            for key, child in known.items()
        },
        waves=_waves(record, known),
        approved=bool(control.get("approved")),
        paused=bool(control.get("paused")),
        cancelled=bool(control.get("cancelled")),
        failures_accepted=bool(control.get("failures_accepted")),
        human_labels=None if budget is None else budget.labels,
        exhausted=any(
            child.get("resource", {}).get("proof", {}).get("verdict") == "budget-exhausted"
            for child in known.values()
        ),
    )


def _budget(spec: specs.Spec, known: Mapping[str, Mapping[str, Any]]) -> budgeting.Budgeted | None:
    imported = known.get("import")
    if imported is None or imported["state"] != "SUCCEEDED":
        return None
    sizes = imported.get("resource", {}).get("slice_sizes", ())
    return budgeting.budgeted(spec, int(imported["item_count"]), sizes)


def _gold(
    record: campaign_state.CampaignRecord,
    spec: specs.Spec,
    budget: budgeting.Budgeted,
    step: policy.Step,
    known: Mapping[str, Mapping[str, Any]],
    labels: int,
) -> tuple[int, int]:
    """Gold tasks of a step's wave, and exemplars that the waves before have asked; none in the pilot."""
    if not spec.gold_share or step.wave == 0:
        return 0, 0
    exemplars = int(known["import"].get("resource", {}).get("counts", {}).get("exemplar", 0))
    offset = 0
    for wave in range(1, step.wave):
        offset += budgeting.gold_tasks(spec, _labels_of_wave(record, spec, budget, wave), exemplars, offset)
    return budgeting.gold_tasks(spec, labels, exemplars, offset), offset


def _machine_micros(budget: budgeting.Budgeted, known: Mapping[str, Mapping[str, Any]]) -> int:
    """What the models will have cost for all items, at the pilot's cost an item."""
    pilot = [known.get(key, {}) for key in ("annotate-w0", "critique-w0")]
    spent = sum(int(child.get("spent_micros", child.get("cost_micros", 0))) for child in pilot)
    return round(spent / max(1, budget.pilot) * budget.items)


def _waves(record: campaign_state.CampaignRecord, known: Mapping[str, Mapping[str, Any]]) -> int:
    another = {
        int(key.removeprefix("plan-w")): bool(child.get("resource", {}).get("another"))
        for key, child in known.items()
        if key.startswith("plan-w") and child["state"] == policy.SUCCEEDED
    }
    return policy.waves(len(_top_ups(record)), another)


def _top_ups(record: campaign_state.CampaignRecord) -> list[int]:
    """Labels of each top-up that brought some."""
    amounts = [int(top_up["human_labels"]) for top_up in record.control.get("top_ups", [])]
    return [labels for labels in amounts if labels > 0]


def _labels_of_wave(
    record: campaign_state.CampaignRecord, spec: specs.Spec, budget: budgeting.Budgeted, wave: int
) -> int:
    if wave == 0:
        return budget.pilot
    if wave == 1 or spec.guarantee:
        return budget.labels - budget.pilot
    return _top_ups(record)[wave - 2]


def _attempt(record: campaign_state.CampaignRecord, step: policy.Step) -> int:
    return int(record.control.get("attempts", {}).get(step.key, 1))


def _reservation(record: campaign_state.CampaignRecord, step: policy.Step) -> str:
    attempt = _attempt(record, step)
    return step.key if attempt == 1 else f"{step.key}-retry-{attempt}"


def _paid_before(entries: Sequence[purses.Entry], step: policy.Step, key: str) -> int:
    """Micro-dollars that earlier tries of a step have been settled with."""
    retries = f"{step.key}-retry-"
    tries = [e for e in entries if e.kind == "settle" and (e.key == step.key or e.key.startswith(retries))]
    return sum(int(e.amounts.get("money_micros") or 0) for e in tries if e.key != key)


def _remembered(child: children.Child) -> dict[str, Any]:
    form = dataclasses.asdict(child)
    return {key: value for key, value in form.items() if value not in (None, {}, "")} | {"state": child.state}


def _outcome(
    spec: specs.Spec, record: campaign_state.CampaignRecord, known: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The figures of the last wave whose report is written."""
    done = [
        known[step.key]["resource"]
        for step in policy.steps(spec, _waves(record, known))
        if step.kind == policy.Kind.REPORT
        and known.get(step.key, {}).get("state") == "SUCCEEDED"
        and "resource" in known[step.key]
    ]
    return {"outcome": done[-1]} if done else {}


def _same(before: campaign_state.CampaignRecord, after: campaign_state.CampaignRecord) -> bool:
    return dataclasses.replace(after, version=before.version) == before

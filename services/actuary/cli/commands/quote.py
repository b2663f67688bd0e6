"""The command `quote`: from a campaign's pilot, or from assumptions before there is a campaign."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import typer

from actuary import client as clients
from actuary import errors
from actuary.cli import session
from actuary.cli.console import words
from actuary.v1 import campaign_pb2, sampler_service_pb2

_OPTIONS = {
    "machine_accuracy": "--assume-accuracy",
    "critic_auroc": "--assume-auroc",
    "machine_item_micros": "--item-money",
    "machine_item_seconds": "--item-seconds",
    "human_label_seconds": "--label-seconds",
    "reviewer_count": "--reviewers",
    "item_count": "--items",
}
"""What gives a field of the request."""
_PRICES = ("input_micros_per_1000_tokens", "output_micros_per_1000_tokens", "gpu_hour_micros")

_Ends = tuple[float, float] | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of a quote; None is not asked."""

    accuracy: float | None = None
    money: float | None = None
    labels: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What is assumed where nothing is measured; None takes the default."""

    items: int | None = None
    accuracy: _Ends = None
    auroc: _Ends = None
    item_money: _Ends = None
    """Dollars."""
    item_seconds: _Ends = None
    label_seconds: _Ends = None
    reviewers: int | None = None

    @property
    def given(self) -> bool:
        """Whether there is any."""
        return any(getattr(self, field.name) is not None for field in dataclasses.fields(self))


def quote(
    campaign: str, question: Question, assumed: Assumptions, *, as_json: bool, data: Path, server: str
) -> None:
    """Prints a quote, and answers what was asked of it.

    A path means its campaign.yaml. A name is that of a campaign, and of a folder or a sample where there is
    no such campaign, or where something is assumed.

    Raises:
        errors.NotFoundError: there is neither.
        errors.InvalidInputError: something is assumed of a campaign, or what is asked cannot be.
    """
    with session.connect(data, server) as client:
        if _is_path(campaign) or (assumed.given and _is_spec(campaign)):
            _from_assumptions(client, campaign, question, assumed, as_json=as_json)
            return
        try:
            quoted, now = client.quote(campaign), client.get(campaign)
        except errors.NotFoundError:
            if not _is_spec(campaign):
                raise
            _from_assumptions(client, campaign, question, assumed, as_json=as_json)
            return
    if assumed.given:
        message = (
            f"{now.name} has a quote from its pilot: expected no assumptions; leave these options out, or "
            "name a campaign.yaml"
        )
        raise errors.InvalidInputError(message)
    _show(quoted, now, question, as_json=as_json, further={"campaign": now.name})
    if not as_json:
        for line in words.next_steps(now, session.options(data, server)):
            typer.echo(line)


def _from_assumptions(
    client: clients.Client, spec: str, question: Question, assumed: Assumptions, *, as_json: bool
) -> None:
    from actuary.cli.console import quotes

    campaign, request = _request(spec, assumed)
    try:
        found = client.quote_prior(request)
    except errors.InvalidInputError as error:
        raise _by_option(error) from error
    campaign.budget.human_labels = found.quote.budget.human_labels
    found.quote.notes.extend(_left_out(campaign))
    further = {"campaign": None, **quotes.plain(found)}
    further.pop("quote")
    _show(found.quote, campaign, question, as_json=as_json, further=further)
    if not as_json:
        typer.echo(f"have it measured: set approval: required, and actuary run {spec} stops after the pilot")


def _left_out(campaign: campaign_pb2.Campaign) -> list[str]:
    """What a campaign wants and a quote from assumptions does not price."""
    notes = []
    if campaign.HasField("guarantee"):
        notes.append(
            "The guarantee is not in this quote, which is of the same budget without one: what its audit "
            "takes depends on how well the critic ranks the machine's mistakes, and the pilot measures that."
        )
    if campaign.review.gold_share:
        share = words.percent(campaign.review.gold_share, 0)
        notes.append(f"Gold tasks are not in this quote: they take {share} of the labels after the pilot.")
    return notes


def _show(
    quoted: Any, campaign: campaign_pb2.Campaign, question: Question, *, as_json: bool, further: Any
) -> None:
    from actuary.cli.console import quotes, summary

    answers = quotes.answers(quoted, **dataclasses.asdict(question))
    following = quotes.following(quoted, int(quoted.budget.human_labels))
    if as_json:
        form = {**quotes.plain(quoted), **further, "answers": answers, "following": following or None}
        form.pop("status", None)  # of the Job that made it
        typer.echo(json.dumps(form, sort_keys=True, ensure_ascii=False))
        return
    summary.show_quote(quoted, campaign)
    for line in (*answers, *([following] if following else [])):
        typer.echo(line)


def _request(
    spec: str, assumed: Assumptions
) -> tuple[campaign_pb2.Campaign, sampler_service_pb2.QuotePriorRequest]:
    """The campaign of a file, and the request that asks for a quote of it."""
    from google.protobuf import json_format

    from actuary.campaign import budgeting
    from actuary.campaign import spec as specs
    from actuary.cli.commands import doctor

    form = doctor.checked(spec)
    campaign = json_format.ParseDict(form, campaign_pb2.Campaign())
    items, slices = (assumed.items, ()) if assumed.items is not None else _counted(form)
    wanted = specs.parse(form)
    budget = budgeting.budgeted(wanted, items, slices)
    budgeting.check_training(wanted, budget)
    request = sampler_service_pb2.QuotePriorRequest(
        item_count=items,
        class_count=len(campaign.task.classes),
        budget=campaign.budget,
        sampling=campaign.sampling,
        double_share=campaign.review.double_share,
        reviewer_count=assumed.reviewers,
        worker_count=campaign.execution.workers or None,
    )
    request.sampling.rule = wanted.rule
    # minima are served by chance, as an audit is
    request.sampling.pilot_items, request.sampling.audit_items = budget.pilot, budget.audit + budget.covering
    money = assumed.item_money
    if money is None and all(_is_free(form.get(part, {}).get("model")) for part in ("annotator", "critic")):
        money = (0.0, 0.0)
    for field, ends, unit in (
        (request.machine_accuracy, assumed.accuracy, 1.0),
        (request.critic_auroc, assumed.auroc, 1.0),
        (request.machine_item_micros, money, 1e6),
        (request.machine_item_seconds, assumed.item_seconds, 1.0),
        (request.human_label_seconds, assumed.label_seconds, 1.0),
    ):
        if ends is not None:
            field.SetInParent()
            field.low, field.high = ends[0] * unit, ends[1] * unit
    return campaign, request


def _counted(form: dict[str, Any]) -> tuple[int, tuple[int, ...]]:
    """Items to label, in all and by slice."""
    from actuary.cli.commands import doctor

    hint = "to have a quote without them: --items N"
    try:
        found, slices = doctor.pool_items(form)
    except errors.InvalidInputError as error:
        raise errors.InvalidInputError(f"{error}\n{hint}") from error
    if found is None:
        raise errors.InvalidInputError(f"data.uri: too large to be counted here; {hint}")
    return found, slices


def _is_free(model: dict[str, Any] | None) -> bool:
    """Whether a model costs nothing, whatever it reads and writes; none does not either."""
    return model is None or not any(int(model.get("prices", {}).get(price, 0)) for price in _PRICES)


def _is_path(text: str) -> bool:
    """Whether it can only be a path: no campaign is called so."""
    if text.startswith("campaigns/") and not Path(text).exists():
        return False
    return "/" in text or text.endswith((".yaml", ".yml")) or text == "."


def _is_spec(text: str) -> bool:
    from actuary.campaign import samples

    return text in samples.NAMES or Path(text).is_file() or (Path(text) / "campaign.yaml").is_file()


def _by_option(error: errors.InvalidInputError) -> errors.InvalidInputError:
    """Names the options that gave the fields of a request."""
    if not error.violations:
        return error
    found = [
        dataclasses.replace(each, field=_OPTIONS.get(each.field, each.field)) for each in error.violations
    ]
    return errors.InvalidInputError.of(found, reason=error.reason)

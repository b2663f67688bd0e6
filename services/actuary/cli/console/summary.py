"""What came of a campaign, as a table for people and as one JSON object for machines; and the quote."""

from __future__ import annotations

from typing import Any

import rich.box
import rich.console
import rich.padding
import rich.table
import rich.text

from actuary.cli.console import quotes, words
from actuary.report import formats
from actuary.v1 import campaign_pb2, quote_pb2

TRAINING_SETS = ("machine", "act", "human")
_QUIET = "bright_black"
_SLICES = 12
"""Slices that are shown; the report has all."""
_ROWS = 10
"""Rows of a quote, about."""


def results_json(campaign: campaign_pb2.Campaign, *, seconds: float) -> dict[str, Any]:
    """Returns what `actuary run --json` prints; null where something is not known (yet)."""
    results = campaign.results
    labels = campaign.purse.human_labels
    return {
        "campaign": campaign.name,
        "state": campaign_pb2.Campaign.State.Name(campaign.state),
        "items": results.item_count if campaign.HasField("results") else None,
        "human_budget": _budget(campaign),
        "human_labels": results.human_label_count if campaign.HasField("results") else labels.settled,
        "spent_micros": campaign.purse.money_micros.settled,
        "seconds": round(seconds, 3),
        "unlabelled_rate": results.unlabelled_rate if campaign.HasField("results") else None,
        "machine_accuracy": _accuracy(results.machine_accuracy),
        "corrected_accuracy": _accuracy(results.corrected_accuracy),
        "slices": [
            {
                "name": each.name,
                "items": each.item_count,
                "reviewed": each.reviewed_count,
                "needed": each.needed_count,
                "machine_accuracy": _accuracy(each.machine_accuracy),
                "corrected_accuracy": _accuracy(each.corrected_accuracy),
            }
            for each in results.slices
        ],
        "test_accuracy": {name: _test(results, name) for name in TRAINING_SETS},
        "certificate": _proof(results),
        "report": words.location(results.report) or None,
        "export": words.location(results.export) or None,
    }


def show(
    campaign: campaign_pb2.Campaign, *, seconds: float, console: rich.console.Console | None = None
) -> None:
    """Prints the final table to standard output."""
    console = console or rich.console.Console(highlight=False)
    results = campaign.results
    console.print()
    proven = rich.text.Text(results.certificate.statement) if results.HasField("certificate") else None
    spent = _spent(campaign, seconds)
    for part in (_accuracies(campaign), _slices(results), proven, _tests(results), spent):
        if part is not None:
            console.print(rich.padding.Padding(part, (0, 0, 1, 1), expand=False))
    if campaign.HasField("results"):
        lines = [
            "Accuracy is estimated as agreement with the reviewers: where they err, no number here can tell.",
        ]
        if results.machine_accuracy.HasField("true_value"):
            lines.append("The truth is known for this data set; it is never used in an estimate.")
        if campaign.training.model != "none" and _tests(results) is None:
            lines.append(
                "No test accuracy: no item is a test item with truth (data.split_column with rows `test`, "
                "data.truth_column)."
            )
        for line in lines:
            console.print(
                rich.padding.Padding(rich.text.Text(line, style=_QUIET), (0, 0, 0, 1), expand=False)
            )
        console.print()
    proof = results.certificate.document
    for name, uri in (("report", results.report), ("labels", results.export), ("certificate", proof)):
        if uri:
            # one line whatever the width: it is copied
            console.print(f" {name}  {words.location(uri)}", soft_wrap=True, markup=False)


def show_quote(
    quote: quote_pb2.Quote,
    campaign: campaign_pb2.Campaign,
    *,
    console: rich.console.Console | None = None,
) -> None:
    """Prints what any budget would buy, the campaign's own marked; of a fine curve some points only."""
    console = console or rich.console.Console(highlight=False)
    assumed = quote.basis == quotes.ASSUMPTIONS
    if assumed:
        console.print(rich.text.Text("Assumed, not measured: nothing was labelled yet.", style="bold"))
    forecast_name = "accuracy, if as assumed" if assumed else "forecast accuracy"
    table = _table("human labels", "money", forecast_name, "interval", "")
    table.columns[0].justify = "right"
    budget = _budget(campaign)
    every = max(1, round(len(quote.points) / _ROWS))
    for place, point in enumerate(quote.points):
        if place % every and place < len(quote.points) - 1 and point.human_labels != budget:
            continue
        forecast = point.corrected_accuracy
        table.add_row(
            f"{point.human_labels:,}",
            words.money(point.money_micros),
            words.percent(words.optional(forecast, "estimate")),
            words.interval(words.optional(forecast, "low"), words.optional(forecast, "high")),
            "your budget" if point.human_labels == budget else "",
        )
    console.print(table)
    if campaign.review.double_share > 0:
        share = words.percent(campaign.review.double_share, 0)
        twice = f"Labels count twice where two people answer ({share} of the items)."
        console.print(rich.text.Text(twice, style=_QUIET))
    machine = quote.machine_accuracy
    if machine.HasField("estimate"):
        bounds = words.interval(words.optional(machine, "low"), words.optional(machine, "high"))
        so = ", assumed" if assumed else ""
        alone = f"Machine labels alone: {words.percent(machine.estimate)} ({bounds}{so})."
        console.print(rich.text.Text(alone, style=_QUIET))
    for note in quote.notes:
        console.print(rich.text.Text(note))
    console.print(
        rich.text.Text(
            "What follows from the assumptions for the agreement with the reviewers."
            if assumed
            else "A forecast from the pilot of the agreement with the reviewers.",
            style=_QUIET,
        )
    )


def _accuracies(campaign: campaign_pb2.Campaign) -> rich.table.Table | None:
    results = campaign.results
    rows = [("machine labels", results.machine_accuracy), ("corrected labels", results.corrected_accuracy)]
    if not any(each.HasField("estimate") for _, each in rows):
        return None
    known = any(each.HasField("true_value") for _, each in rows)
    level = campaign.sampling.confidence_level if campaign.sampling.HasField("confidence_level") else 0.95
    headers = ["", "agree with the reviewers", f"{words.percent(level, 0)} interval"]
    table = _table(*headers, *(["truth"] if known else []))
    for name, each in rows:
        cells = [name, words.percent(words.optional(each, "estimate"))]
        cells.append(words.interval(words.optional(each, "low"), words.optional(each, "high")))
        table.add_row(*cells, *([words.percent(words.optional(each, "true_value"))] if known else []))
    return table


def _slices(results: campaign_pb2.Results) -> rich.table.Table | None:
    """The corrected labels slice by slice, the worst first; where nothing is known of some, those first."""
    if not results.slices:
        return None
    known = any(each.corrected_accuracy.HasField("true_value") for each in results.slices)
    table = _table(
        "slice", "items", "looked at", "corrected labels", "interval", *(["truth"] if known else [])
    )
    table.columns[0].no_wrap = False
    silent = [each for each in results.slices if not each.corrected_accuracy.HasField("estimate")]
    told = [each for each in results.slices if each.corrected_accuracy.HasField("estimate")]
    shown = [*silent, *sorted(told, key=lambda each: each.corrected_accuracy.estimate)]
    for each in shown[:_SLICES]:
        found = each.corrected_accuracy
        counts = (f"{each.item_count:,}", f"{each.reviewed_count:,}")
        cells: list[rich.text.Text | str] = [rich.text.Text(each.name), *counts]  # a name is no markup
        cells.append(words.percent(words.optional(found, "estimate")))
        cells.append(words.interval(words.optional(found, "low"), words.optional(found, "high")))
        table.add_row(*cells, *([words.percent(words.optional(found, "true_value"))] if known else []))
    if len(shown) > _SLICES:
        table.add_row(f"{len(shown) - _SLICES} more: see the report", *[""] * (len(table.columns) - 1))
    return table


def _tests(results: campaign_pb2.Results) -> rich.table.Table | None:
    found = {name: _test(results, name) for name in TRAINING_SETS}
    if all(value is None for value in found.values()):
        return None
    table = _table("trained on", "test accuracy", "interval")
    for name, value in found.items():
        if value is not None:
            each = results.test_accuracies[name]
            bounds = words.interval(words.optional(each, "low"), words.optional(each, "high"))
            table.add_row(formats.TRAINING_SETS[name], words.percent(value), bounds)
    act, human = found["act"], found["human"]
    if act is not None and human is not None:
        table.add_row("gap of ACT to all-human", f"{words.points(human - act)} points", "")
    return table


def _spent(campaign: campaign_pb2.Campaign, seconds: float) -> rich.table.Table:
    table = rich.table.Table(box=None, show_header=False, padding=(0, 3, 0, 0))
    money, budget = campaign.purse.money_micros, _budget(campaign)
    used = results_json(campaign, seconds=seconds)["human_labels"]
    table.add_row("campaign", f"{words.identifier(campaign)}, {words.state(campaign)}")
    if campaign.HasField("results"):
        rate = words.percent(campaign.results.unlabelled_rate)
        table.add_row("items", f"{campaign.results.item_count:,}, {rate} without any label")
    table.add_row("human labels", f"{used:,}" + (f" of {budget:,}" if budget is not None else ""))
    cap = f" of {words.money(money.limit)}" if money.HasField("limit") else ""
    table.add_row("money", words.money(money.settled) + cap)
    table.add_row("time", words.duration(seconds))
    return table


def _table(*headers: str) -> rich.table.Table:
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style=_QUIET)
    for k, header in enumerate(headers):
        table.add_column(header, justify="right" if k else "left", no_wrap=True)
    return table


def _budget(campaign: campaign_pb2.Campaign) -> int | None:
    account = campaign.purse.human_labels
    if account.HasField("limit"):
        return int(account.limit)
    return int(campaign.budget.human_labels) if campaign.budget.HasField("human_labels") else None


def _proof(results: campaign_pb2.Results) -> dict[str, Any] | None:
    if not results.HasField("certificate"):
        return None
    proof = results.certificate
    return {
        "verdict": proof.verdict,
        "statement": proof.statement,
        "confidence_level": proof.confidence_level,
        "error_rates": {claim.class_name: words.optional(claim, "error_rate") for claim in proof.claims},
        "document": words.location(proof.document) or None,
    }


def _accuracy(value: campaign_pb2.Interval) -> dict[str, float | None]:
    return {
        "estimate": words.optional(value, "estimate"),
        "low": words.optional(value, "low"),
        "high": words.optional(value, "high"),
        "true": words.optional(value, "true_value"),
    }


def _test(results: campaign_pb2.Results, name: str) -> float | None:
    # reading a missing key of a protobuf map would create it
    if name not in results.test_accuracies:
        return None
    return words.optional(results.test_accuracies[name], "estimate")

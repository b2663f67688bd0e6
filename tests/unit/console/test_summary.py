"""What came of a campaign, for people and for machines."""

import json

from actuary.cli.console import summary
from actuary.v1 import campaign_pb2, quote_pb2


def test_the_json_has_exactly_the_documented_fields(done):
    assert summary.results_json(done, seconds=71.4242) == {
        "campaign": "campaigns/digits",
        "state": "SUCCEEDED",
        "items": 1277,
        "human_budget": 255,
        "human_labels": 255,
        "spent_micros": 20_412_300,
        "seconds": 71.424,
        "unlabelled_rate": 0.0,
        "machine_accuracy": {"estimate": 0.824, "low": 0.791, "high": 0.853, "true": 0.8317},
        "corrected_accuracy": {"estimate": 0.9561, "low": 0.931, "high": 0.972, "true": 0.9632},
        "slices": [],
        "test_accuracy": {"machine": 0.846, "act": 0.928, "human": 0.942},
        "certificate": None,
        "report": "/data/my folder/campaigns/digits/report-w1/report.html",
        "export": "/data/my folder/campaigns/digits/export-w1",
    }


def test_a_true_value_that_nobody_knows_is_null(done):
    done.results.machine_accuracy.ClearField("true_value")
    done.results.test_accuracies.pop("human")
    document = summary.results_json(done, seconds=1.0)
    assert document["machine_accuracy"]["true"] is None
    assert document["test_accuracy"]["human"] is None


def test_a_campaign_without_results_is_still_one_object_of_json():
    campaign = campaign_pb2.Campaign(name="campaigns/x", state=campaign_pb2.Campaign.FAILED)
    document = summary.results_json(campaign, seconds=0.0)
    assert json.loads(json.dumps(document))["machine_accuracy"]["estimate"] is None
    assert document["report"] is None


def test_a_location_in_an_object_store_stays_a_uri(done):
    done.results.export = "s3://bucket/campaigns/digits/export-w1"
    assert summary.results_json(done, seconds=1.0)["export"] == "s3://bucket/campaigns/digits/export-w1"


def test_the_table_names_estimates_intervals_truth_money_and_report(done, console):
    summary.show(done, seconds=71.4, console=console)
    for shown in (
        "82.4 %", "79.1 to 85.3 %", "83.2 %", "95.6 %", "255 of 255", "$20.41", "1 min 11 s", "ACT mixture",
        "92.8 %", "+1.4 points", "/data/my folder/campaigns/digits/report-w1/report.html",
    ):  # fmt: skip
        assert shown in console.text


def test_slices_are_shown_the_worst_first_and_those_without_a_number_before(done, console):
    for name, value in (("de", 0.9), ("[red]", 0.7), ("fr", None)):
        each = done.results.slices.add(name=name, item_count=1300, reviewed_count=40, needed_count=80)
        if value is not None:
            each.corrected_accuracy.estimate = value
            each.corrected_accuracy.low, each.corrected_accuracy.high = value - 0.1, value + 0.05
    summary.show(done, seconds=1.0, console=console)
    lines = [line for line in console.text.splitlines() if "1,300" in line]
    assert [line.split()[0] for line in lines] == ["fr", "[red]", "de"]
    assert "60.0 to 75.0 %" in lines[1]
    told = summary.results_json(done, seconds=1.0)["slices"]
    assert (told[0]["name"], told[0]["reviewed"], told[0]["needed"]) == ("de", 40, 80)
    assert told[2]["corrected_accuracy"]["estimate"] is None


def test_of_many_slices_some_are_shown(done, console):
    for number in range(30):
        done.results.slices.add(name=f"s{number:02d}", item_count=7).corrected_accuracy.estimate = number / 30
    summary.show(done, seconds=1.0, console=console)
    assert "18 more: see the report" in console.text
    assert "s11" in console.text
    assert "s12" not in console.text


def test_the_table_names_the_estimand(done, console):
    summary.show(done, seconds=71.4, console=console)
    assert "agreement with the reviewers" in console.text


def test_no_truth_means_no_column_of_truth(done, console):
    for value in (done.results.machine_accuracy, done.results.corrected_accuracy):
        value.ClearField("true_value")
    summary.show(done, seconds=1.0, console=console)
    assert "truth" not in console.text


def test_a_path_is_one_line_on_a_narrow_terminal(done, make_console):
    console = make_console(width=40)
    summary.show(done, seconds=1.0, console=console)
    assert " report  /data/my folder/campaigns/digits/report-w1/report.html\n" in console.text


def test_a_campaign_without_results_shows_what_was_spent(console):
    campaign = campaign_pb2.Campaign(name="campaigns/x", state=campaign_pb2.Campaign.CANCELLED)
    summary.show(campaign, seconds=3.0, console=console)
    assert "cancelled" in console.text
    assert "agree" not in console.text


def test_a_quote_shows_budget_money_and_forecast(console):
    quote = quote_pb2.Quote()
    point = quote.points.add(human_labels=255, money_micros=20_400_000)
    point.corrected_accuracy.estimate = 0.95
    point.corrected_accuracy.low, point.corrected_accuracy.high = 0.92, 0.98
    quote.points.add(human_labels=300)
    quote.machine_accuracy.estimate = 0.82
    campaign = campaign_pb2.Campaign(name="campaigns/x")
    campaign.purse.human_labels.limit = 255
    campaign.review.double_share = 0.1
    summary.show_quote(quote, campaign, console=console)
    (own,) = [line for line in console.text.splitlines() if "your budget" in line]
    assert "255" in own
    assert "two people answer (10 % of the items)" in console.text
    for shown in ("255", "$20.40", "95.0 %", "92.0 to 98.0 %", "forecast", "82.0 %"):
        assert shown in console.text


def test_a_quote_shows_where_the_machine_does_not_help_and_what_it_rests_on(console, make_console):
    quote = quote_pb2.Quote(notes=["The machine labels have not been shown to help."])
    quote.points.add(human_labels=255).corrected_accuracy.estimate = 0.95
    quote.machine_accuracy.estimate = 0.82
    campaign = campaign_pb2.Campaign(name="campaigns/x")
    summary.show_quote(quote, campaign, console=console)
    assert "have not been shown to help" in console.text
    assert "A forecast from the pilot" in console.text
    assert "ssumed" not in console.text

    quote.basis = "assumptions"
    before = make_console()
    summary.show_quote(quote, campaign, console=before)
    assert before.text.startswith("Assumed, not measured: nothing was labelled yet.")
    assert "accuracy, if as assumed" in before.text
    assert "from the pilot" not in before.text

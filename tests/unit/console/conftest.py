"""A campaign as a server would send it, and a console that keeps what is written."""

import datetime
import io

import pytest
import rich.console

from actuary.v1 import campaign_pb2, campaign_service_pb2

START = datetime.datetime(2026, 3, 2, 14, 0, tzinfo=datetime.UTC)


class Terminal(rich.console.Console):
    """A console that writes into memory."""

    def __init__(self, *, terminal: bool = False, width: int = 110, height: int = 40) -> None:
        self.written = io.StringIO()
        super().__init__(
            file=self.written,
            force_terminal=terminal,
            width=width,
            height=height,
            color_system="truecolor" if terminal else None,
            highlight=False,
        )

    @property
    def text(self) -> str:
        return self.written.getvalue()


@pytest.fixture
def make_console():
    return Terminal


@pytest.fixture
def console():
    return Terminal()


def interval(estimate, low, high, true=None):
    value = campaign_pb2.Interval(estimate=estimate, low=low, high=high, method="wald")
    if true is not None:
        value.true_value = true
    return value


@pytest.fixture
def done() -> campaign_pb2.Campaign:
    campaign = campaign_pb2.Campaign(
        name="campaigns/digits", state=campaign_pb2.Campaign.SUCCEEDED, stage="done", wave=1
    )
    campaign.purse.human_labels.limit = 255
    campaign.purse.human_labels.settled = 255
    campaign.purse.money_micros.settled = 20_412_300
    results = campaign.results
    results.item_count, results.human_label_count = 1277, 255
    results.machine_accuracy.CopyFrom(interval(0.824, 0.791, 0.853, 0.8317))
    results.corrected_accuracy.CopyFrom(interval(0.9561, 0.931, 0.972, 0.9632))
    for name, value in (("machine", 0.846), ("act", 0.928), ("human", 0.942)):
        results.test_accuracies[name].CopyFrom(interval(value, value - 0.02, value + 0.02))
    results.report = "file:///data/my%20folder/campaigns/digits/report-w1/report.html"
    results.export = "file:///data/my%20folder/campaigns/digits/export-w1"
    return campaign


@pytest.fixture
def running() -> campaign_service_pb2.WatchCampaignResponse:
    campaign = campaign_pb2.Campaign(
        name="campaigns/digits", state=campaign_pb2.Campaign.RUNNING, stage="annotate", wave=1
    )
    begun = campaign.stages.add(
        stage="annotate 0", job="annotate-w0", item_count=60, done_count=60, cost_micros=4_000
    )
    begun.start_time.FromDatetime(START)
    begun.end_time.FromDatetime(START + datetime.timedelta(seconds=2))
    stage = campaign.stages.add(stage="annotate 1", job="annotate-w1", item_count=1217, done_count=300)
    stage.start_time.FromDatetime(START + datetime.timedelta(seconds=2))
    campaign.purse.human_labels.limit = 255
    campaign.purse.human_labels.settled = 60
    campaign.purse.money_micros.settled = 4_804_000
    return campaign_service_pb2.WatchCampaignResponse(
        campaign=campaign, items_per_second=150.0, eta_seconds=6.1
    )

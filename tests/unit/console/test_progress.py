"""A campaign can be followed on a terminal and in a log."""

import datetime

from actuary.cli.console import progress
from actuary.v1 import campaign_pb2


def test_a_running_stage_shows_count_rate_time_left_and_money(running, make_console):
    console = make_console(terminal=True)
    console.print(progress.draw(running, height=40))
    for shown in ("300 of 1,217", "150 a second", "6.1 s left", "human labels 60 of 255", "money $4.80"):
        assert shown in console.text


def test_the_pilot_is_told_from_the_main_wave(running, console):
    console.print(progress.draw(running, height=40))
    assert "pilot: annotate" in console.text


def test_of_many_stages_the_latest_fit_the_screen(running, make_console):
    running.campaign.stages.extend(
        campaign_pb2.StageProgress(stage=f"review {wave}", job=f"review-w{wave}") for wave in range(1, 60)
    )
    console = make_console(height=20)
    console.print(progress.draw(running, height=20))
    assert "review (wave 59)" in console.text
    assert "earlier stages" in console.text
    assert len(console.text.splitlines()) <= 20


def test_a_log_gets_one_line_when_a_stage_begins_and_one_when_it_ends(running, console):
    with progress.live(as_json=False, console=console) as view:
        view.show(running)
        view.show(running)
        stage = running.campaign.stages[1]
        stage.done_count = 1217
        stage.end_time.FromDatetime(stage.start_time.ToDatetime() + datetime.timedelta(seconds=8))
        view.show(running)
    assert console.text.splitlines() == [
        "pilot: annotate: began",
        "pilot: annotate: ended, 60 items, 2.0 s, $0.004",
        "annotate: began",
        "campaigns/digits: running",
        "annotate: ended, 1,217 items, 8.0 s",
    ]


def test_the_terminal_view_is_drawn_in_place(running, make_console):
    console = make_console(terminal=True)
    with progress.live(as_json=False, console=console) as view:
        assert isinstance(view, progress.LiveView)
        view.show(running)
    assert "300 of 1,217" in console.text


def test_a_machine_reading_the_output_gets_no_escape_codes(running, make_console):
    console = make_console(terminal=True)
    with progress.live(as_json=True, console=console) as view:
        assert isinstance(view, progress.PlainView)


def test_standard_output_stays_empty(running, capsys):
    with progress.live(as_json=True) as view:
        view.show(running)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "annotate: began" in captured.err


def test_a_campaign_that_waits_says_for_what(running, console):
    running.campaign.state = campaign_pb2.Campaign.WAITING_FOR_PEOPLE
    console.print(progress.draw(running, height=40))
    assert "actuary review digits" in console.text


def test_a_paused_campaign_says_why(running, console):
    running.campaign.state = campaign_pb2.Campaign.PAUSED
    running.campaign.error.message = "[70] items have no machine label"
    console.print(progress.draw(running, height=40))
    assert "[70] items have no machine label" in console.text
    assert "actuary resume digits" in console.text

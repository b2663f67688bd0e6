"""Numbers are written so that nobody misreads them."""

import pytest

from actuary.report import figures, formats
from actuary.report import values as v

THIN = "\N{NARROW NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("micros", "written"),
    [(0, "$0.00"), (1, "$0.000001"), (420, "$0.00042"), (10_000, "$0.01"), (1_234_567_890, "$1,234.57")],
)
def test_money_below_a_cent_is_not_rounded_away(micros, written):
    assert formats.money(micros) == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.04, "0.0 s"), (9.9, "9.9 s"), (59, "59 s"), (60, "1 min"), (71.4, "1 min 11 s"), (7260, "2 h 1 min"),
     (90_000, "1 d 1 h"), (None, "–")],
)  # fmt: skip
def test_a_time_is_written_in_its_two_largest_units(seconds, written):
    assert formats.duration(seconds) == written.replace(" s", THIN + "s").replace(
        " min", THIN + "min"
    ).replace(" h", THIN + "h").replace(" d", THIN + "d")


def test_a_difference_has_its_sign():
    assert formats.points(-0.0042) == "\N{MINUS SIGN}0.4"
    assert formats.points(0.0137) == "+1.4"


def test_a_missing_share_is_a_dash():
    assert formats.percent(None) == "–"
    assert formats.percent(float("nan")) == "–"


def test_a_long_text_is_cut_at_a_word():
    assert formats.shorten("one two three", 9) == "one two …"
    assert formats.shorten("short", 9) == "short"


def test_the_common_scale_holds_everything_and_is_never_empty():
    assert figures.strip_range([v.Interval(estimate=0.82, low=0.79, high=0.853), None]) == (0.7, 0.9)
    assert figures.strip_range([]) == (0.0, 1.0)
    low, high = figures.strip_range([v.Interval(estimate=1.0, low=1.0, high=1.0)])
    assert low < high
    low, high = figures.strip_range([v.Interval(estimate=0.0, low=0.0, high=0.0)])
    assert low < high


@pytest.mark.parametrize(
    ("name", "words"),
    [("import", "import"), ("annotate 0", "pilot: annotate"), ("quote 0", "quote"),
     ("critique 1", "criticise"),
     ("review 3", "review (wave 3)")],
)  # fmt: skip
def test_a_stage_is_said_in_words(name, words):
    assert formats.stage(name) == words

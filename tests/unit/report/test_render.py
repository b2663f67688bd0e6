"""The report is one whole page, whatever is known and whatever the data holds."""

import dataclasses
import html.parser
import re

import pytest

from actuary.report import render
from actuary.report import values as v

VOID = {"meta", "link", "img", "br", "input", "hr"}
HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7 * 7 }}"


class Outline(html.parser.HTMLParser):
    """Checks that every element is closed in order, and notes what a reader without eyes meets."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


@pytest.mark.parametrize("which", ["full", "minimal"])
def test_every_element_is_closed_and_every_id_is_unique(which, request):
    parser = outline(render.render(request.getfixturevalue(which)))
    ids = [attributes["id"] for _, attributes in parser.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))


def test_the_same_values_give_the_same_bytes(full):
    assert render.render(full) == render.render(full)


def test_nothing_is_loaded_from_outside(full):
    page = render.render(full)
    assert not re.search(r"https?://", page)
    assert "@import" not in page
    for tag, attributes in outline(page).tags:
        assert tag not in ("script", "iframe", "object", "embed")
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))


def test_the_estimand_is_named(full):
    assert "agreement with the reviewers" in render.render(full)


def test_numbers_are_shown_as_people_read_them(full):
    words = " ".join("".join(outline(render.render(full)).words).split())
    for shown in ("95.6 %", "93.1 to 97.2 %", "$20.41", "1 min 11 s", "1,277", "0.871"):
        assert shown in words.replace("\N{NARROW NO-BREAK SPACE}", " ")


def test_how_far_a_critic_can_be_believed_is_said_with_its_calibration(full):
    page = " ".join(outline(render.render(full)).words)
    assert "0.810 to 0.922" in page
    assert "On the pilot: the critic tells wrong labels from right ones" in page
    assert re.search(r"chance alone makes 1\.9\s*% of so few labels", page)


def test_machine_labels_that_do_not_help_are_said_not_to_beside_the_curve(full):
    said = "The machine labels have not been shown to help: on the pilot they are right for 40.0 %."
    curve = dataclasses.replace(full.curve, notes=(said, HOSTILE))
    parser = outline(render.render(dataclasses.replace(full, curve=curve)))
    words = "".join(parser.words)
    assert said in words[words.index("Quality against budget") :]
    assert HOSTILE in words


def words_of(values):
    """The page's words, with one blank between any two."""
    words = " ".join(outline(render.render(values)).words).split()
    return " ".join(words).replace("\N{NARROW NO-BREAK SPACE}", " ")


def test_slices_are_shown_with_what_they_need(full):
    page = words_of(full)
    assert "Slice by slice" in page
    assert "88.0 to 97.0 %" in page
    assert "heavy 420 90 61" in page
    assert "<none> 3 0 3" in page
    plain = render.render(dataclasses.replace(full, slice_results=()))
    assert "Slice by slice" not in plain


def test_reviewers_are_named_with_their_intervals(full):
    page = words_of(full)
    assert "ada 150 1 4.1 s 20 5.0 % 0.1 to 24.9 %" in page
    assert "<bob> 105 1 – 0 – –" in page
    assert "<bob> , ada 20 95.0 % 75.1 to 99.9 % 0.93 0.70 to 1.00" in page
    assert "ada , cy 1 100.0 % 3.0 to 100.0 % – –" in page


def test_a_campaign_without_an_estimate_says_so(minimal):
    assert "no estimate yet" in render.render(minimal)


def test_without_truth_no_column_of_truth_is_shown(full):
    blank = v.Interval(estimate=0.9, low=0.8, high=0.95, method="wald")
    unknown = dataclasses.replace(
        full, machine_accuracy=blank, corrected_accuracy=blank, suspicious=(), slice_results=()
    )
    page = render.render(unknown)
    assert "truth is known" not in page
    assert 'data-name="truth"' not in page


def test_hostile_text_stays_text(full):
    item = v.SuspiciousItem(
        item_id=HOSTILE, risk=0.9, machine_label=HOSTILE, corrected_label=HOSTILE + "2", text=HOSTILE,
        question=HOSTILE, reviewed=True, human_answer=HOSTILE,
    )  # fmt: skip
    hostile = dataclasses.replace(
        full,
        title=HOSTILE,
        instruction=HOSTILE,
        data_source=HOSTILE,
        notes=(HOSTILE,),
        classes=(v.ClassDescription(name=HOSTILE, description=HOSTILE),),
        suspicious=(item,),
        parameters={HOSTILE: HOSTILE},
    )
    parser = outline(render.render(hostile))
    assert all(tag != "script" and "onerror" not in attributes for tag, attributes in parser.tags)
    assert "".join(parser.words).count(HOSTILE) >= 10


def test_images_have_an_alternative_and_plots_a_description(full):
    tags = outline(render.render(full)).tags
    images = [attributes for tag, attributes in tags if tag == "img"]
    assert len(images) == 9
    assert all(attributes["alt"] for attributes in images)
    plots = [attributes for _, attributes in tags if attributes.get("role") == "img"]
    assert plots
    assert all(attributes["aria-label"] for attributes in plots)


def test_every_table_has_a_caption(full):
    tags = [tag for tag, _ in outline(render.render(full)).tags]
    assert tags.count("table") == tags.count("caption") > 5


def test_an_image_that_no_browser_shows_is_said_to_be_there(full):
    item = v.SuspiciousItem(item_id="a", risk=0.5, machine_label="1", corrected_label="1", image=b"II*\0tiff")
    page = render.render(dataclasses.replace(full, suspicious=(item,)))
    assert "browsers do not show" in page


@pytest.mark.parametrize("risk", [0.0, 1.0])
def test_the_ends_of_the_scale_are_drawn(full, risk):
    sure = v.Interval(estimate=risk, low=risk, high=risk, method="hypergeometric", true=risk)
    point = v.CurvePoint(human_labels=1, estimate=risk, low=risk, high=risk)
    ends = dataclasses.replace(
        full,
        machine_accuracy=sure,
        corrected_accuracy=sure,
        curve=v.QualityCurve(forecast=(point, dataclasses.replace(point, human_labels=2)), reached=point),
        spend=(v.StageSpend(stage="annotate", payer="annotator"),),
    )
    outline(render.render(ends))


def cells(page: str) -> dict[str, str]:
    found = re.findall(r'<td class="number[^"]*" data-name="([^"]+)">(.*?)</td>', page)
    return dict(found)


def test_what_is_proven_stands_first_with_its_numbers_and_its_document(full):
    page = render.render(full)
    assert page.index("What is proven") < page.index("How good the labels are")
    section = page[page.index("What is proven") : page.index("How good the labels are")]
    assert "the target of 5 % is met" in section
    assert "campaigns/digits/certificates/certificate-w2/certificate.json" in section
    assert cells(section) == {
        "of": "1,277", "wrong at most": "63 (4.9\N{NARROW NO-BREAK SPACE}%)", "audited": "240",
        "of these wrong": "6", "not looked at": "858",
    }  # fmt: skip


def test_a_class_that_no_planned_audit_proves_says_what_it_needs(full):
    claim = v.Claim(name=HOSTILE, verdict="not-provable", labels=80, unreviewed=75, needed=64)
    certificate = dataclasses.replace(full.certificate, verdict="not-provable", claims=(claim,))
    page = render.render(dataclasses.replace(full, certificate=certificate))
    section = page[page.index("What is proven") : page.index("How good the labels are")]
    assert "not provable with the planned audit" in section
    assert cells(section)["audited"] == "needs 64"
    assert cells(section)["wrong at most"] == "–"
    assert all(tag != "script" for tag, _ in outline(page).tags)


def test_without_a_guarantee_nothing_is_said_to_be_proven(minimal):
    assert "What is proven" not in render.render(minimal)

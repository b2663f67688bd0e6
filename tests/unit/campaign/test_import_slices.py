"""Slices at the door: what is kept of a column, what is refused and where."""

import json

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from actuary import errors
from actuary.campaign import budgeting, findings, samples, slices, sources, spec
from actuary.storage import artifacts, folder
from unit.campaign.import_help import ITEMS, csv_source, refused, rows, run, write_csv


@pytest.fixture
def store(tmp_path):
    return folder.FolderStore(tmp_path / "store")


def data(tmp_path, *lines):
    return write_csv(tmp_path / "d.csv", ["item_id", "text", "part", "lang"], *lines)


def test_slices_are_kept_and_counted_where_items_are_to_be_labelled(tmp_path, store):
    path = data(
        tmp_path,
        *(["a", "x", "pool", "de"], ["b", "x", "pool", "日本語"], ["c", "x", "pool", ""]),
        *(["d", "x", "test", "fr"], ["e", "x", "pool", "de"]),
    )
    result = run(csv_source(path, split="part", slice="lang"), store)
    kept = {item: row["slice"] for item, row in rows(store, ITEMS).items()}
    assert kept == {"a": "de", "b": "日本語", "c": None, "d": "fr", "e": "de"}
    assert result.slices == {"de": 2, "fr": 0, "日本語": 1}
    manifest = artifacts.read_manifest(store, ITEMS)[0]
    assert manifest.parameters["slices"] == result.slices
    again = run(csv_source(path, split="part", slice="lang"), store)
    assert (again.existed, again.slices) == (True, result.slices)


def test_without_a_column_there_are_no_slices_and_nothing_else_changes(tmp_path, store):
    path = data(tmp_path, ["a", "x", "pool", "de"], ["b", "x", "pool", "fr"])
    result = run(csv_source(path), store)
    assert result.slices == {}
    manifest = artifacts.read_manifest(store, ITEMS)[0]
    assert "slices" not in manifest.parameters
    assert "slice" not in manifest.parameters["columns"]
    assert {row["slice"] for row in rows(store, ITEMS).values()} == {None}


def test_a_column_that_is_missing_is_named_with_its_field(tmp_path, store):
    path = data(tmp_path, ["a", "x", "pool", "de"])
    assert "no column 'language' (data.slice_column)" in refused(csv_source(path, slice="language"), store)


def test_a_name_that_is_too_long_is_named_with_its_row(tmp_path, store):
    path = data(tmp_path, ["a", "x", "pool", "e" * 200], ["b", "x", "pool", "é" * 101])
    said = refused(csv_source(path, slice="lang"), store)
    assert f"{path}, row 2: expected a slice with a name of at most 200 bytes; got 202" in said
    assert "row 1:" not in said


def test_one_slice_too_many_is_named_with_row_and_column(tmp_path, store):
    lines = [[f"i{n}", "x", "pool", f"s{n % 1000}"] for n in range(1500)]
    assert len(run(csv_source(data(tmp_path, *lines), slice="lang"), store).slices) == 1000
    more = data(tmp_path, *lines, ["j", "x", "pool", "one more"], ["k", "x", "pool", "and another"])
    (tmp_path / "other").mkdir()
    other = folder.FolderStore(tmp_path / "other" / "store")
    said = refused(csv_source(more, slice="lang"), other)
    assert (
        f"{more}, row 1501: expected at most 1,000 slices; 'one more' is one more in the column 'lang'"
        in said
    )
    assert "and another" not in said


def test_a_column_without_a_value_is_refused(tmp_path, store):
    path = data(tmp_path, ["a", "x", "pool", ""], ["b", "x", "pool", ""])
    assert "the column 'lang' (data.slice_column); it is empty in every row" in refused(
        csv_source(path, slice="lang"), store
    )


def test_a_folder_of_images_has_no_slices(tmp_path):
    (tmp_path / "images").mkdir()
    found = findings.Findings()
    source = sources.open_source(str(tmp_path / "images"), sources.Columns(slice="camera"))
    list(source.batches(found))
    with pytest.raises(errors.InvalidInputError, match=r"no column 'camera' \(data.slice_column\)"):
        found.raise_if_any()


def test_slices_are_text_where_they_are_numbers(tmp_path, store):
    path = tmp_path / "d.jsonl"
    form = [{"item_id": "a", "text": "x", "year": 2019}, {"item_id": "b", "text": "x", "year": "2020"}]
    path.write_text("".join(json.dumps(each) + "\n" for each in form))
    run(sources.open_source(str(path), sources.Columns(slice="year")), store)
    assert {row["slice"] for row in rows(store, ITEMS).values()} == {"2019", "2020"}


def test_the_counts_do_not_depend_on_how_rows_come():
    values = ["b", "a", None, "b", "c", "a", "b"]

    def said(mask, kind, describe):
        raise AssertionError(kind)

    whole, parts = slices.Tally("lang"), slices.Tally("lang")
    whole.add(pa.array(values), None, said)
    for value in values:
        parts.add(pa.array([value], pa.string()), None, said)
    assert whole.items == parts.items == {"a": 2, "b": 3, "c": 1}


def test_digits_have_ink_in_thirds_if_asked():
    rows_ = pa.Table.from_batches([samples.digits()])
    counts = {row["values"]: row["counts"] for row in pc.value_counts(rows_["ink"]).to_pylist()}
    assert set(counts) == {"light", "medium", "heavy"}
    assert all(550 < count < 650 for count in counts.values())
    assert samples.source("digits").columns.slice == ""
    assert samples.source("digits", slices="ink").columns.slice == "ink"
    for name, column in (("digits", "age"), ("synthetic", "ink")):
        with pytest.raises(errors.InvalidInputError, match=f"no column '{column}' in sample:{name}"):
            samples.source(name, slices=column)


MESSAGE = {
    "task": {"instruction": "?", "classes": [{"name": "a"}, {"name": "b"}]},
    "data": {"uri": "items.csv", "slice_column": "lang"},
    "annotator": {"model": {"kind": "null", "prices": {"input_micros_per_1000_tokens": "1"}}},
    "budget": {"human_labels": "255", "human_label_micros": "80000"},
    "sampling": {"rule": "threshold", "pilot_items": "60", "audit_items": "100"},
}


def asked(**changes):
    message = json.loads(json.dumps(MESSAGE))
    for path, value in changes.items():
        section, field = path.split("__")
        message.setdefault(section, {})[field] = value
    return spec.parse(message)


def unaffordable(parsed, sizes, items=1277):
    with pytest.raises(errors.InvalidInputError) as caught:
        budgeting.budgeted(parsed, items, sizes)
    (violation,) = caught.value.violations
    return violation


def test_a_minimum_that_the_budget_pays_is_taken_out_of_what_it_leaves():
    found = budgeting.budgeted(asked(sampling__slice_minimum="30"), 1277, [1000, 200, 20])
    assert (found.audit, found.covering) == (100, 80)
    default = budgeting.budgeted(
        asked(sampling__slice_minimum="30", sampling__audit_items="0"), 1277, [500, 500]
    )
    assert default.covering == 60
    parsed = asked(sampling__slice_minimum="30")
    without = {key: value for key, value in parsed.message["sampling"].items() if key != "audit_items"}
    parsed = spec.parse({**parsed.message, "sampling": without})
    assert budgeting.budgeted(parsed, 1277, [1000, 200, 20]).audit == round(0.4 * (255 - 60 - 80))


def test_a_minimum_that_the_budget_cannot_pay_is_refused_with_numbers():
    violation = unaffordable(asked(sampling__slice_minimum="40"), [1000, 200, 77])
    assert violation.field == "sampling.slice_minimum"
    assert violation.description == (
        "expected a minimum that the budget pays: 40 items of each of 3 slices take up to 120 labels, and of "
        "255 that are paid for, the pilot's 60 and the audit's 100 leave 95; lower it to 31, or raise the "
        "budget to 280 labels"
    )
    assert budgeting.budgeted(asked(sampling__slice_minimum="31"), 1277, [1000, 200, 77]).covering == 93


def test_a_minimum_that_the_money_cannot_pay_names_the_money():
    parsed = asked(sampling__slice_minimum="30", budget__money_micros=str(200 * 80_000))
    violation = unaffordable(parsed, [1000, 200])
    assert "of 200 that are paid for" in violation.description
    assert f"raise budget.money_micros to {220 * 80_000}" in violation.description


def test_doubles_make_a_minimum_dearer():
    parsed = asked(sampling__slice_minimum="45", review__double_share=0.5)
    violation = unaffordable(parsed, [1000, 277])
    assert "take up to 144 labels" in violation.description


def test_classes_and_slices_are_added_up_and_no_minimum_that_fits_is_no_advice():
    parsed = asked(sampling__slice_minimum="40", sampling__class_minimum="40")
    violation = unaffordable(parsed, [1000, 277])
    assert (
        "40 items of each of 2 slices and 40 items of each of 2 classes take up to 160"
        in violation.description
    )
    assert "lower it, or raise" in violation.description
    many = unaffordable(asked(sampling__slice_minimum="2"), [10] * 100)
    assert "lower it, or raise" in many.description


def test_a_class_minimum_never_wants_more_than_there_is():
    violation = unaffordable(asked(sampling__class_minimum="100", sampling__audit_items="0"), (), 300)
    assert "100 items of each of 2 classes take up to 200 labels" in violation.description
    violation = unaffordable(asked(sampling__class_minimum="900", sampling__audit_items="0"), (), 256)
    assert "take up to 196 labels" in violation.description  # the pilot looks at the other 60


def test_who_pays_for_every_item_pays_every_minimum():
    every = asked(sampling__slice_minimum="100", sampling__audit_items="0", budget__human_labels="256")
    message = {**every.message, "budget": {**every.message["budget"]}}
    message["budget"].pop("human_share", None)
    assert budgeting.budgeted(spec.parse(message), 256, [80, 90, 86]).covering == 196


def test_a_minimum_of_slices_needs_slices():
    parsed = asked(sampling__slice_minimum="30", data__slice_column="")
    with pytest.raises(
        errors.InvalidInputError, match=r"slice_minimum: a minimum of each slice needs slices"
    ):
        spec.check(parsed)
    spec.check(asked(sampling__slice_minimum="30"))


def test_gold_tasks_are_a_share_of_a_wave_as_long_as_there_are_exemplars():
    parsed = asked(review__gold_share=0.1)
    assert budgeting.gold_tasks(parsed, 195, 100) == 19
    assert budgeting.gold_tasks(parsed, 195, 12) == 12
    assert budgeting.gold_tasks(parsed, 195, 30, offset=19) == 11
    assert budgeting.gold_tasks(parsed, 195, 10, offset=19) == 0
    assert budgeting.gold_tasks(asked(), 195, 100) == 0


def test_gold_tasks_leave_fewer_labels_for_audit_and_minima():
    with pytest.raises(
        errors.InvalidInputError, match=r"at most the 98 labels that the pilot leaves, got 100"
    ):
        budgeting.budgeted(asked(review__gold_share=0.5), 1277)
    violation = unaffordable(asked(sampling__slice_minimum="40", review__gold_share=0.1), [1000, 277])
    assert "the audit's 100 and the gold tasks leave 76" in violation.description
    raised = asked(sampling__slice_minimum="40", review__gold_share=0.1, budget__human_labels="260")
    assert "or raise the budget to 260 labels" in violation.description
    assert budgeting.budgeted(raised, 1277, [1000, 277]).covering == 80


def test_gold_tasks_need_exemplars():
    with pytest.raises(errors.InvalidInputError, match=r"review.gold_share: gold tasks are exemplars"):
        spec.check(asked(review__gold_share=0.1))
    spec.check(asked(review__gold_share=0.1, data__split_column="part"))
    spec.check(asked(review__gold_share=0.1, data__uri="sample:digits"))


def test_a_guarantee_plans_everything_itself():
    parsed = asked(
        sampling__slice_minimum="30",
        review__gold_share=0.1,
        guarantee__mode="budget",
        data__uri="sample:digits",
    )
    with pytest.raises(errors.InvalidInputError) as caught:
        spec.check(parsed)
    assert {each.field for each in caught.value.violations} == {"sampling.slice_minimum", "review.gold_share"}

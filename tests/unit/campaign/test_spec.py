import copy

import pytest

from actuary import errors
from actuary.campaign import budgeting, spec

MESSAGE = {
    "task": {"instruction": "?", "classes": [{"name": "a"}, {"name": "b"}]},
    "data": {"uri": "items.csv"},
    "annotator": {"model": {"kind": "null", "prices": {"input_micros_per_1000_tokens": "1"}}},
    "budget": {"human_share": 0.2, "human_label_micros": "80000"},
}


def changed(path, value):
    message = copy.deepcopy(MESSAGE)
    *parents, last = path.split(".")
    at = message
    for part in parents:
        at = at.setdefault(part, {})
    if value is None:
        at.pop(last, None)
    else:
        at[last] = value
    return spec.parse(message)


def refused(parsed):
    with pytest.raises(errors.InvalidInputError) as caught:
        spec.check(parsed)
    return {violation.field: violation.description for violation in caught.value.violations}


def test_a_share_becomes_a_count_that_never_exceeds_it():
    found = budgeting.budgeted(changed("sampling", {"pilot_items": "60", "audit_items": "100"}), 1277)
    assert (found.labels, found.pilot, found.audit) == (255, 60, 100)


def test_the_default_pilot_is_half_the_labels_between_100_and_500():
    assert budgeting.budgeted(changed("budget.human_share", 0.5), 10_000).pilot == 500
    assert budgeting.budgeted(changed("budget.human_share", 0.05), 10_000).pilot == 250
    assert budgeting.budgeted(changed("budget.human_share", 0.2), 1_000).pilot == 100
    assert budgeting.budgeted(changed("budget.human_share", 0.1), 1_000).pilot == 50


def test_a_budget_above_the_items_is_refused_with_both_numbers():
    message = {**MESSAGE, "budget": {"human_labels": "1300", "human_label_micros": "0"}}
    with pytest.raises(errors.InvalidInputError, match=r"at most the 1277 items to label, got 1300"):
        budgeting.budgeted(spec.parse(message), 1277)


def test_a_budget_may_pay_for_the_second_and_third_opinions_too():
    message = {**MESSAGE, "review": {"double_share": 0.5}}
    message["budget"] = {"human_labels": "160", "human_label_micros": "0"}
    assert budgeting.budgeted(spec.parse(message), 100).labels == 160
    message["budget"] = {"human_labels": "161", "human_label_micros": "0"}
    with pytest.raises(errors.InvalidInputError, match=r"100 items to label, which take 160 labels, got 161"):
        budgeting.budgeted(spec.parse(message), 100)


def test_a_budget_below_the_pilot_is_refused():
    with pytest.raises(
        errors.InvalidInputError, match=r"budget\.human_share: expected at least the pilot of 300"
    ):
        budgeting.budgeted(changed("sampling.pilot_items", "300"), 1277)


def test_an_audit_that_the_budget_cannot_pay_is_refused():
    parsed = changed("sampling", {"pilot_items": "60", "audit_items": "200"})
    with pytest.raises(errors.InvalidInputError, match=r"sampling\.audit_items: expected at most the 195"):
        budgeting.budgeted(parsed, 1277)


def test_a_count_below_the_pilot_is_refused_before_the_data_are_read():
    message = {**MESSAGE, "budget": {"human_labels": "10", "human_label_micros": "0"}}
    assert "at least the pilot of 20 labels, got 10" in refused(spec.parse(message))["budget.human_labels"]


def test_a_good_spec_passes():
    spec.check(spec.parse(MESSAGE))


def test_all_violations_come_in_one_answer():
    message = copy.deepcopy(MESSAGE)
    message["task"]["classes"].append({"name": "a"})
    message["annotator"]["model"].pop("prices")
    message["critic"] = {"strategy": "class-probability"}
    message["review"] = {"mode": "replay"}
    assert set(refused(spec.parse(message))) == {
        "task.classes",
        "annotator.model.prices",
        "critic.model",
        "review.mode",
    }


def test_missing_prices_say_what_to_write():
    found = refused(changed("annotator.model", {"kind": "null"}))
    assert "0 says that it is free" in found["annotator.model.prices"]


def test_a_budget_must_be_given():
    assert "human_labels" in refused(changed("budget", {"human_label_micros": "1"}))["budget"]


def test_a_table_needs_its_file():
    model = {"kind": "table", "prices": {"input_micros_per_1000_tokens": "0"}}
    assert "annotator.model.uri" in refused(changed("annotator.model", model))


def test_a_model_that_learns_from_exemplars_needs_them():
    model = {"kind": "exemplar", "prices": {"input_micros_per_1000_tokens": "0"}}
    assert "data.split_column" in refused(changed("annotator.model", model))["annotator.model.kind"]


def test_a_guarantee_sizes_its_own_audit():
    parsed = changed("guarantee", {"mode": "target", "max_error_rate": 0.05})
    assert budgeting.budgeted(parsed, 5000).audit == 0
    assert budgeting.budgeted(changed("sampling", {"rule": "threshold"}), 5000).audit > 0


def test_a_target_that_the_budget_cannot_prove_says_how_large_an_audit_must_be():
    parsed = changed("guarantee", {"mode": "target", "max_error_rate": 0.01})
    assert budgeting.budgeted(parsed, 5000).labels == 1000  # 311 would do; the pilot leaves 500
    with pytest.raises(
        errors.InvalidInputError, match=r"expected at least \d+ items to audit.*got 100; raise"
    ):
        budgeting.budgeted(parsed, 1000)
    several = changed("guarantee", {"mode": "target", "max_error_rate": 0.01, "looks": 4})
    once = _needed(parsed, 1000)
    assert _needed(several, 1000) > once  # every look costs its part of the level


def test_doubles_leave_fewer_items_to_audit_and_no_size_is_the_default():
    doubled = changed("guarantee", {"mode": "target", "max_error_rate": 0.01})
    doubled = spec.parse({**doubled.message, "review": {"double_share": 0.5}})
    with pytest.raises(errors.InvalidInputError, match="got 62; raise"):  # 100 labels of 1.6 an item
        budgeting.budgeted(doubled, 1000)
    for size, expected in ((0, 100), (500, 100), (40, 40)):
        sized = {**changed("guarantee", {"mode": "target", "max_error_rate": 0.01}).message}
        sized["sampling"] = {"pilot_items": "100", "audit_items": str(size)}
        if size <= 100:
            with pytest.raises(errors.InvalidInputError, match=f"got {expected}; raise"):
                budgeting.budgeted(spec.parse(sized), 1000)


def test_a_reserve_above_what_the_target_allows_is_refused():
    parsed = changed("guarantee", {"mode": "target", "max_error_rate": 0.01, "reserve_items": "11"})
    with pytest.raises(errors.InvalidInputError, match=r"guarantee\.reserve_items: expected at most 10"):
        budgeting.budgeted(parsed, 1000)


def test_a_guarantee_goes_with_no_other_rule():
    message = {**MESSAGE, "guarantee": {"mode": "budget"}, "sampling": {"rule": "hybrid"}}
    assert "sampling.rule" in refused(spec.parse(message))


def _needed(parsed, items):
    with pytest.raises(errors.InvalidInputError) as caught:
        budgeting.budgeted(parsed, items)
    return int(caught.value.message.split("at least ")[1].split()[0])


MINIMAL = spec.parse(MESSAGE)

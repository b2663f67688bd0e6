"""The rules of the protos, one by one, and all at once."""

from __future__ import annotations

import math

import hypothesis
import pytest
from google.api import field_behavior_pb2
from google.protobuf import duration_pb2
from hypothesis import strategies as st

from actuary import errors
from actuary.rpc import validation
from actuary.v1 import (
    annotator_service_pb2,
    campaign_pb2,
    model_pb2,
    quote_pb2,
    risk_model_pb2,
    worker_service_pb2,
)


def violations(message, prefix: str = "") -> dict[str, str]:
    try:
        validation.check(message, prefix)
    except errors.InvalidInputError as error:
        return {violation.field: violation.description for violation in error.violations}
    return {}


def campaign(**changes) -> campaign_pb2.Campaign:
    """A campaign that breaks no rule."""
    message = campaign_pb2.Campaign(
        task=campaign_pb2.Task(
            instruction="Which digit?",
            classes=[campaign_pb2.ClassDefinition(name=name) for name in ("0", "1")],
        ),
        data=campaign_pb2.DataSource(uri="sample:digits"),
        annotator=campaign_pb2.Annotator(
            model=model_pb2.ModelSpec(kind="exemplar", prices=model_pb2.Prices(gpu_hour_micros=0))
        ),
        budget=campaign_pb2.Budget(human_share=0.2, human_label_micros=0),
    )
    message.MergeFrom(campaign_pb2.Campaign(**changes))
    return message


def test_a_campaign_that_breaks_no_rule_passes():
    validation.check(campaign())


def test_all_violations_come_at_once_with_paths_as_in_the_file():
    message = campaign(
        sampling=campaign_pb2.Sampling(beta=0, failed_share=1.5), training=campaign_pb2.Training(epochs=0)
    )
    message.task.classes.add(name="x" * 201)

    assert set(violations(message, "campaign")) == {
        "campaign.sampling.beta",
        "campaign.sampling.failed_share",
        "campaign.training.epochs",
        "campaign.task.classes[2].name",
    }


def test_every_section_that_is_required_is_missed():
    assert set(violations(campaign_pb2.Campaign())) == {"task", "data", "annotator", "budget"}


@pytest.mark.parametrize(
    ("share", "passes"),
    [
        (math.nextafter(0, 1), True),
        (1.0, True),
        (0.0, False),
        (-0.0, False),
        (1.0000001, False),
        (-1.0, False),
    ],
)
def test_an_open_bound_is_no_value_and_a_closed_one_is(share, passes):
    message = campaign_pb2.Budget(human_share=share, human_label_micros=0)

    assert (violations(message) == {}) is passes


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_are_finite_whatever_their_range(value):
    found = violations(worker_service_pb2.ReportWorkRequest(job="j", seconds=value))

    assert "expected a number >= 0" in found["seconds"]


def test_numbers_without_a_rule_are_finite_too():
    message = quote_pb2.QuotePoint(corrected_accuracy=campaign_pb2.Interval(estimate=math.nan))

    assert violations(message)["corrected_accuracy.estimate"].startswith("expected a finite number, got nan")


def test_a_number_says_its_range_in_brackets_and_what_came():
    found = violations(campaign_pb2.Sampling(confidence_level=1))

    assert found == {
        "confidence_level": "expected a number in [0.5, 1), got 1.0: give a number in that range"
    }


@hypothesis.given(st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers_are_compared_exactly(value):
    found = violations(campaign_pb2.Budget(money_micros=value, human_label_micros=0))

    assert (found == {}) == (value >= 1)


def test_a_field_that_is_not_set_breaks_no_range():
    assert violations(risk_model_pb2.RiskModel(confidence_level=0)).keys() >= {"confidence_level"}
    assert "confidence_level" not in violations(risk_model_pb2.RiskModel())


def test_the_bounds_of_a_duration_are_seconds():
    for seconds, wrong in ((1, False), (604_800, False), (0, True), (-5, True), (604_801, True)):
        found = violations(campaign_pb2.Review(lease_duration={"seconds": seconds}))
        assert ("lease_duration" in found) == wrong
    assert "expected seconds in [1, 604800], got 604801.0" in found["lease_duration"]


def test_an_explicit_zero_is_set():
    assert "epochs" in violations(campaign_pb2.Training(epochs=0))
    assert violations(campaign_pb2.Budget(human_labels=0, human_label_micros=0)).keys() == {"human_labels"}


def test_a_required_number_may_be_zero_but_must_be_said():
    assert violations(campaign_pb2.Budget(human_labels=5, human_label_micros=0)) == {}
    assert "0 included" in violations(campaign_pb2.Budget(human_labels=5))["human_label_micros"]


def test_sizes_of_text_are_bytes():
    assert violations(campaign_pb2.ClassDefinition(name="標" * 66)) == {}
    assert "got 201: take out 1" in violations(campaign_pb2.ClassDefinition(name="標" * 67))["name"]


def test_sizes_of_lists_are_elements():
    one = campaign_pb2.Task(instruction="?", classes=[{"name": "a"}])

    assert violations(one) == {"classes": "expected at least 2 elements, got 1: add 1"}


def test_an_empty_list_is_missed_when_it_is_required():
    assert "classes" in violations(campaign_pb2.Task(instruction="?"))


def test_a_pattern_matches_the_whole():
    request = annotator_service_pb2.CreateAnnotationJobRequest(
        parent="campaigns/a", annotation_job_id="good\nbad", annotation_job={}
    )

    assert "annotation_job_id" in violations(request)


def test_a_name_that_is_near_is_told():
    assert "did you mean normalised?" in violations(campaign_pb2.Sampling(rule="Normalized"))["rule"]


def test_a_name_that_is_far_gets_the_list():
    found = violations(campaign_pb2.Sampling(rule="zzz"))["rule"]

    assert found == (
        "expected one of uniform, normalised, exponential, threshold, square-root, hybrid; got 'zzz': choose "
        "one of these"
    )


def test_a_long_value_is_not_repeated_as_a_whole():
    assert len(violations(campaign_pb2.Sampling(rule="z" * 100_000))["rule"]) < 300


def test_values_of_maps_are_checked_by_key():
    message = campaign_pb2.Results(test_accuracies={"act": campaign_pb2.Interval(estimate=math.inf)})

    assert set(violations(message)) == {"test_accuracies[act].estimate"}


def test_what_only_a_server_sets_is_neither_checked_nor_obeyed():
    message = campaign(
        state="SUCCEEDED", etag="v7", results=campaign_pb2.Results(unlabelled_rate=math.nan), wave=3
    )

    validation.check(message)
    validation.clear_output_only(message)

    assert message == campaign()


def test_output_only_fields_are_cleared_in_messages_within():
    request = annotator_service_pb2.CreateAnnotationJobRequest(
        annotation_job={"items": "i", "status": {"etag": "v1"}}
    )

    validation.clear_output_only(request)

    assert request == annotator_service_pb2.CreateAnnotationJobRequest(annotation_job={"items": "i"})


@pytest.mark.parametrize("seconds", [315_576_000_001, -(2**63), 2**63 - 1])
def test_a_duration_that_no_clock_could_add_is_refused(seconds):
    message = campaign_pb2.Review(lease_duration=duration_pb2.Duration(seconds=seconds))

    assert "lease_duration" in violations(message)


def test_an_ordinary_duration_passes():
    assert violations(campaign_pb2.Review(lease_duration=duration_pb2.Duration(seconds=600))) == {}


def every_message():
    from google.protobuf import descriptor_pool

    pool = descriptor_pool.Default()
    files = {field.file.name for field in _requests(pool)}
    return [
        kind for name in sorted(files) for kind in pool.FindFileByName(name).message_types_by_name.values()
    ]


def _requests(pool):
    for service in ("Campaign", "Annotator", "Critic", "Sampler", "Review", "Trainer", "Worker"):
        name = f"actuary/v1/{service.lower()}_service.proto"
        __import__(f"actuary.v1.{service.lower()}_service_pb2")
        for method in pool.FindFileByName(name).services_by_name[f"{service}Service"].methods:
            yield method.input_type
            for field in method.input_type.fields:
                if field.message_type is not None:
                    yield field.message_type


@pytest.mark.parametrize("kind", every_message(), ids=lambda kind: kind.name)
def test_the_rules_of_every_message_can_be_read(kind):
    from google.protobuf import message_factory

    empty = message_factory.GetMessageClass(kind)()
    required = {
        field.name
        for field in kind.fields
        if field_behavior_pb2.REQUIRED in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    }

    assert set(violations(empty)) == required


@hypothesis.given(
    rule=st.none() | st.sampled_from(["uniform", "threshold"]) | st.text(max_size=20),
    beta=st.none() | st.floats(),
    failed_share=st.none() | st.floats(),
    level=st.none() | st.floats(0, 2),
)
def test_what_is_found_is_what_the_comments_of_the_proto_say(rule, beta, failed_share, level):
    message = campaign_pb2.Sampling(rule=rule, beta=beta, failed_share=failed_share, confidence_level=level)
    wrong = set()
    if rule and rule not in ("uniform", "normalised", "exponential", "threshold"):
        wrong.add("rule")
    if beta is not None and not 0 < beta <= 1000:
        wrong.add("beta")
    if failed_share is not None and not 0 <= failed_share <= 1:
        wrong.add("failed_share")
    if level is not None and not 0.5 <= level < 1:
        wrong.add("confidence_level")

    assert set(violations(message)) == wrong

"""Errors to statuses and back, and the retry policy as data."""

from __future__ import annotations

import hypothesis
from google.protobuf import descriptor_pool
from google.rpc import code_pb2, status_pb2
from hypothesis import strategies as st

from actuary import errors
from actuary.rpc import channels, settings, statuses
from actuary.v1 import (
    annotator_service_pb2,
    campaign_service_pb2,
    critic_service_pb2,
    review_service_pb2,
    sampler_service_pb2,
    trainer_service_pb2,
    worker_service_pb2,
)

SERVICES = [
    service
    for module in (
        annotator_service_pb2,
        campaign_service_pb2,
        critic_service_pb2,
        review_service_pb2,
        sampler_service_pb2,
        trainer_service_pb2,
        worker_service_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
]


def test_an_error_in_a_row_becomes_a_status_and_an_error_again():
    error = errors.InvalidInputError.of(
        [errors.Violation("rows[3].label", "expected a class, got 'x': mend it")]
    )

    back = statuses.error_from_status(statuses.status_from_error(statuses.error_dict(error)))

    assert (type(back), back.message, back.violations) == (type(error), error.message, error.violations)


def test_a_row_that_another_version_wrote_still_becomes_a_status():
    status = statuses.status_from_error({"message": "it broke"})

    assert (status.code, status.message) == (code_pb2.INTERNAL, "it broke")


def test_every_code_means_some_error():
    for code in code_pb2.Code.values():
        if code != code_pb2.OK:
            assert isinstance(
                statuses.error_from_status(status_pb2.Status(code=code, message="m")), errors.ActuaryError
            )


def test_a_code_that_nobody_knows_is_an_error_all_the_same():
    assert type(statuses.error_from_status(status_pb2.Status(code=99))) is errors.ActuaryError


def test_a_reason_of_another_domain_does_not_choose_the_class():
    form = {"code": "NOT_FOUND", "reason": "DATA_LOSS", "message": "m"}

    assert type(statuses.error_from_status(statuses.status_from_error(form))) is errors.NotFoundError


@hypothesis.given(
    message=st.text(max_size=3000),
    violations=st.lists(st.tuples(st.text(max_size=100), st.text(max_size=2000)), max_size=60),
    metadata=st.dictionaries(st.text("abc", min_size=1), st.text(max_size=2000), max_size=5),
)
@hypothesis.settings(deadline=None)
def test_whatever_an_error_says_its_status_fits_into_trailers(message, violations, metadata):
    error = errors.InvalidInputError(
        message, violations=[errors.Violation(*pair) for pair in violations], metadata=metadata
    )

    status = statuses.for_trailers(error, request_id="r" * 128, trace_id="4" * 32)

    encoded = sum(1 if 0x20 <= byte <= 0x7E and byte != 0x25 else 3 for byte in status.message.encode())
    assert encoded + status.ByteSize() * 4 / 3 < 8000
    back = statuses.error_from_status(status)
    assert isinstance(back, errors.InvalidInputError)
    assert back.reason == error.reason


def test_every_method_is_said_to_be_idempotent_or_not():
    declared = {(s.full_name, method.name) for s in SERVICES for method in s.methods}
    said = [
        (service, method)
        for table in (channels.IDEMPOTENT, channels.ONCE)
        for service, methods in table.items()
        for method in methods
    ]

    assert sorted(said) == sorted(declared)
    assert descriptor_pool.Default() is not None


def test_only_unavailable_is_retried_and_nothing_is_hedged():
    (config,) = channels.service_config(settings.RpcSettings())["methodConfig"]

    assert config["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
    assert "hedgingPolicy" not in config
    assert {"service": "actuary.v1.CampaignService", "method": "CreateCampaign"} not in config["name"]

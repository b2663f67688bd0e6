"""Quotes from assumptions over a real server: numbers, words, and bad input named by its field."""

from __future__ import annotations

import grpc
import pytest

from actuary import errors
from actuary.rpc import channels, server
from actuary.sampler import service
from actuary.stats import assumed
from actuary.v1 import campaign_pb2, sampler_service_pb2, sampler_service_pb2_grpc

Range = sampler_service_pb2.AssumedRange


@pytest.fixture
def sampler(table, connect):
    registration = server.ServiceRegistration(
        name="actuary.v1.SamplerService",
        servicer=service.SamplerServicer(table, wake=lambda: None),
        add=sampler_service_pb2_grpc.add_SamplerServiceServicer_to_server,
    )
    with server.Server([registration]) as served:
        yield sampler_service_pb2_grpc.SamplerServiceStub(connect(served.address))


def request(**fields):
    base = {
        "item_count": 10_000,
        "budget": campaign_pb2.Budget(human_labels=1_000, human_label_micros=100_000),
    }
    return sampler_service_pb2.QuotePriorRequest(**{**base, **fields})


def refused(sampler, asked):
    with pytest.raises(grpc.RpcError) as caught:
        sampler.QuotePrior(asked)
    error = channels.errors_from(caught.value)
    assert isinstance(error, errors.InvalidInputError)
    return {v.field: v.description for v in error.violations}


def test_every_answer_says_that_it_is_assumed(sampler):
    found = sampler.QuotePrior(request())

    assert found.quote.basis == "assumptions"
    assert "assumptions, not measurements" in found.quote.notes[0]
    methods = {point.corrected_accuracy.method for point in found.quote.points}
    assert methods == {found.quote.machine_accuracy.method} == {"prior-predictive"}
    default = assumed.MACHINE_ACCURACY
    assert (found.assumed_machine_accuracy.low, found.assumed_machine_accuracy.high) == (
        default.low,
        default.high,
    )
    assert found.assumed_critic_auroc.high == assumed.CRITIC_AUROC.high


def test_the_curve_goes_from_the_pilot_to_every_item_through_the_budget(sampler):
    points = sampler.QuotePrior(request(sampling=campaign_pb2.Sampling(pilot_items=100))).quote.points

    labels = [point.human_labels for point in points]
    assert labels == sorted(set(labels))
    assert (labels[0], labels[-1]) == (100, 10_000)
    assert 1_000 in labels
    assert points[-1].corrected_accuracy.low == 1.0
    assert [point.money_micros for point in points] == [100_000 * each for each in labels]
    assert all(point.next.human_labels == min(100, 10_000 - point.human_labels) for point in points[:-1])
    assert not points[-1].HasField("next")


def test_the_same_assumptions_have_the_same_answer(sampler):
    first, second = (sampler.QuotePrior(request()).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_the_pilot_that_pays_best_is_taken_where_none_is_asked_for(sampler):
    free = sampler.QuotePrior(request())
    asked = sampler.QuotePrior(request(sampling=campaign_pb2.Sampling(pilot_items=20)))

    assert free.pilot == free.best_pilot == asked.best_pilot
    assert free.quote.points[0].human_labels == free.pilot.human_labels
    assert asked.pilot.human_labels == 20
    assert asked.pilot.corrected_accuracy <= asked.best_pilot.corrected_accuracy
    assert asked.pilot.critic_followed < asked.best_pilot.critic_followed
    assert any("would pay best" in note for note in asked.quote.notes)


def test_money_and_time_are_what_is_assumed_of_each_label_and_item(sampler):
    found = sampler.QuotePrior(
        request(
            sampling=campaign_pb2.Sampling(pilot_items=200),
            machine_item_micros=Range(low=100, high=300),
            machine_item_seconds=Range(low=1, high=3),
            human_label_seconds=Range(low=5, high=15),
            reviewer_count=2,
            worker_count=4,
        )
    )

    (own,) = [point for point in found.quote.points if point.human_labels == 1_000]
    assert found.quote.machine_micros == 2_000_000
    assert (own.money_micros_low, own.money_micros, own.money_micros_high) == (101e6, 102e6, 103e6)
    work = own.human_seconds
    assert (work.low, work.estimate, work.high, work.method) == (5_000, 10_000, 15_000, "assumed")
    wall = own.wall_seconds
    assert (wall.low, wall.estimate, wall.high) == (2_500 + 2_500, 5_000 + 5_000, 7_500 + 7_500)
    pilot = found.pilot
    assert (pilot.money_micros_low, pilot.money_micros, pilot.money_micros_high) == (
        20.02e6,
        20.04e6,
        20.06e6,
    )
    assert (pilot.human_seconds.low, pilot.human_seconds.high) == (1_000, 3_000)
    assert not any("Not counted" in note for note in found.quote.notes)


def test_what_is_not_assumed_is_said_not_to_be_counted(sampler):
    found = sampler.QuotePrior(request(human_label_seconds=Range(low=5, high=15)))

    (said,) = [note for note in found.quote.notes if note.startswith("Not counted")]
    assert said.endswith("what the models cost, the models' time.")


def test_machine_labels_that_may_not_help_are_said_not_to(sampler):
    poor = sampler.QuotePrior(request(machine_accuracy=Range(low=0.3, high=0.7), class_count=2))
    assert poor.no_better_than_guess == pytest.approx(0.5, abs=0.01)
    assert any("no better than a guess among 2 classes" in note for note in poor.quote.notes)
    good = sampler.QuotePrior(request(machine_accuracy=Range(low=0.8, high=0.9), class_count=10))
    assert good.no_better_than_guess == 0.0
    dear = sampler.QuotePrior(request(machine_item_micros=Range(low=200_000, high=200_000)))
    assert any("do not save money" in note for note in dear.quote.notes)


def test_a_cap_that_does_not_pay_the_budget_is_told(sampler):
    def said(cap, high=0):
        budget = campaign_pb2.Budget(human_labels=1_000, human_label_micros=100_000, money_micros=cap)
        asked = request(budget=budget, machine_item_micros=Range(low=0, high=high))
        return [note for note in sampler.QuotePrior(asked).quote.notes if note.startswith("The cap")]

    assert said(100_000_000) == []
    assert "does not pay" in said(99_000_000)[0]
    assert "may not pay" in said(100_000_000, high=10)[0]


def test_a_share_of_the_items_is_a_count_of_labels(sampler):
    budget = campaign_pb2.Budget(human_share=0.25, human_label_micros=0)
    assert sampler.QuotePrior(request(budget=budget)).quote.budget.human_labels == 2_500


def test_doubles_are_paid_from_the_labels(sampler):
    once, twice = (sampler.QuotePrior(request(double_share=share)).quote.points for share in (0.0, 0.5))
    assert twice[-1].human_labels == 16_000  # half the items twice, a fifth of these a third time
    middle = [
        next(p for p in points if p.human_labels == 1_000).corrected_accuracy for points in (once, twice)
    ]
    assert middle[1].estimate < middle[0].estimate


@pytest.mark.parametrize(
    ("fields", "field", "told"),
    [
        ({"item_count": 0}, "item_count", "[1, 1000000000]"),
        ({"class_count": 1}, "class_count", "[2, 1000]"),
        ({"machine_accuracy": Range(low=0.9, high=0.5)}, "machine_accuracy", "expected 0 < low < high < 1"),
        ({"machine_accuracy": Range(low=0.5, high=1.0)}, "machine_accuracy", "got low 0.5 and high 1.0"),
        ({"critic_auroc": Range(low=0.4, high=0.9)}, "critic_auroc", "expected 0.5 < low < high < 1"),
        ({"critic_auroc": Range(low=float("nan"), high=0.9)}, "critic_auroc.low", "nan"),
        ({"human_label_seconds": Range(low=-1, high=2)}, "human_label_seconds", "0 <= low <= high"),
        ({"machine_item_micros": Range(low=3, high=2)}, "machine_item_micros", "got low 3.0 and high 2.0"),
        ({"machine_item_micros": Range(low=3, high=float("inf"))}, "machine_item_micros.high", "inf"),
        ({"budget": campaign_pb2.Budget(human_label_micros=1)}, "budget", "got neither"),
        ({"budget": campaign_pb2.Budget(human_labels=5)}, "budget.human_label_micros", "expected a value"),
        (
            {"budget": campaign_pb2.Budget(human_labels=10_001, human_label_micros=0)},
            "budget.human_labels",
            "at most the 10000 labels that 10000 items take",
        ),
        (
            {"budget": campaign_pb2.Budget(human_share=0.001, human_label_micros=0)},
            "budget.human_share",
            "at least 20, the smallest pilot, got 10",
        ),
        ({"sampling": campaign_pb2.Sampling(pilot_items=1_001)}, "sampling.pilot_items", "budget of 1000"),
        ({"sampling": campaign_pb2.Sampling(audit_items=981)}, "sampling.audit_items", "at most the 980"),
        ({"sampling": campaign_pb2.Sampling(rule="sqrt")}, "sampling.rule", "square-root"),
        ({"reviewer_count": 0}, "reviewer_count", "[1, 100000]"),
    ],
)
def test_assumptions_that_cannot_be_are_refused_by_name(sampler, fields, field, told):
    assert told in refused(sampler, request(**fields))[field]


def test_all_that_is_wrong_is_said_at_once(sampler):
    wrong = request(
        machine_accuracy=Range(low=0.9, high=0.5),
        critic_auroc=Range(low=0.9, high=0.5),
        machine_item_micros=Range(low=3, high=2),
        sampling=campaign_pb2.Sampling(pilot_items=1_001),
    )
    assert set(refused(sampler, wrong)) == {
        "machine_accuracy", "critic_auroc", "machine_item_micros", "sampling.pilot_items",
    }  # fmt: skip

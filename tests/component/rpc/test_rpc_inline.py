"""Draws and estimates over a real server: the bits of the bare functions, and bad input named by its row."""

from __future__ import annotations

import uuid

import grpc
import numpy as np
import pytest

from actuary import errors
from actuary.rpc import channels, server, settings
from actuary.sampler import inline, inline_estimates, service
from actuary.stats import placing, weighing
from actuary.v1 import campaign_pb2, sampler_service_pb2, sampler_service_pb2_grpc

SIZE = 500


@pytest.fixture
def sampler(table, connect):
    registration = server.ServiceRegistration(
        name="actuary.v1.SamplerService",
        servicer=service.SamplerServicer(table, wake=lambda: None),
        add=sampler_service_pb2_grpc.add_SamplerServiceServicer_to_server,
    )
    with server.Server([registration]) as served:
        yield sampler_service_pb2_grpc.SamplerServiceStub(connect(served.address))


def request(size=SIZE, rule="square-root", **fields):
    base = {
        "item_ids": [f"item-{i}" for i in range(size)],
        "risks": np.random.default_rng(0).beta(1, 3, size),
        "sampling": campaign_pb2.Sampling(rule=rule),
        "seed": 7,
    }
    if "money_micros" not in fields:
        base["label_count"] = size // 5
    return sampler_service_pb2.AllocateRequest(**{**base, **fields})


def bare(asked, **changes):
    pool = inline.Pool(ids=list(asked.item_ids), eps=np.array(asked.risks), **changes)
    wishes = inline.Wishes(
        weighing=weighing.Weighing(rule=asked.sampling.rule or weighing.DEFAULT),
        seed=asked.seed,
        labels=asked.label_count or None,
        money=asked.money_micros or None,
    )
    return pool, inline.allocate(pool, wishes)


def refused(call, asked):
    with pytest.raises(grpc.RpcError) as caught:
        call(asked)
    error = channels.errors_from(caught.value)
    assert isinstance(error, errors.InvalidInputError)
    return {v.field: v.description for v in error.violations}


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        *(({"rule": rule}, {}) for rule in ("uniform", "normalised", "exponential", "threshold", "hybrid")),
        ({}, {}),
        ({"strata": ["a", "b"] * 250}, {"strata": ["a", "b"] * 250}),
        (
            {"cost_micros": list(range(1, 501)), "money_micros": 20_000},
            {"cost": np.arange(1.0, 501.0)},
        ),
        ({"earlier_item_ids": ["item-3", "item-4"]}, {"earlier": ["item-3", "item-4"]}),
    ],
)
def test_a_draw_has_the_bits_of_the_bare_function(sampler, fields, changes):
    asked = request(**fields)
    pool, expected = bare(asked, **changes)

    answer = sampler.Allocate(asked)

    pairs = list(zip(expected.draw, expected.row, strict=True))
    for name, column in (("pi", "pi"), ("scores", "s"), ("u", "u"), ("ranks", "rank")):
        assert list(getattr(answer, name)) == [getattr(expected.draws[d], column)[i] for d, i in pairs]
    assert list(answer.item_ids) == [pool.ids[expected.draws[d].at[i]] for d, i in pairs]
    assert list(answer.draw_indexes) == list(expected.draw)
    for ours, theirs in zip(answer.draws, expected.draws, strict=True):
        assert dict(ours.constants) == dict(theirs.constants)
        assert (ours.phase.tau if ours.phase.HasField("tau") else None) == theirs.phase.tau
        assert (ours.stratum, ours.warning, ours.note) == (theirs.stratum, theirs.warning, theirs.note)


def test_an_estimate_follows_from_the_answer_to_a_draw_and_has_the_bits_of_the_bare_function(sampler):
    asked = request()
    drawn = sampler.Allocate(asked)
    risk_of = dict(zip(asked.item_ids, asked.risks, strict=True))
    eps = np.array([risk_of[item] for item in drawn.item_ids])
    wrong = np.random.default_rng(1).random(100) < eps
    phase = drawn.draws[0].phase
    expected = inline_estimates.estimate(
        inline_estimates.Answers(
            phases=[
                placing.Phase(
                    name="0", kind="priority", population=500, certain=0, sampled=100, tau=phase.tau
                )
            ],
            variances=[phase.predicted_variance],
            phase=np.zeros(100, dtype=np.int64),
            pi=np.array(drawn.pi),
            wrong=wrong,
            eps=eps,
            eps_sum=float(np.sum(asked.risks)),
            alpha=1.0 - 0.9,
        )
    )

    answer = sampler.Estimate(
        sampler_service_pb2.EstimateRequest(
            phases=[phase],
            phase_indexes=[0] * 100,
            pi=drawn.pi,
            wrong=wrong,
            risks=eps,
            risk_sum=float(np.sum(asked.risks)),
            confidence_level=0.9,
        )
    )

    for ours, theirs in (
        (answer.error_count, expected.total),
        (answer.machine_accuracy, expected.machine),
        (answer.corrected_accuracy, expected.corrected),
    ):
        assert (ours.estimate, ours.low, ours.high, ours.method) == (
            theirs.value,
            theirs.low,
            theirs.high,
            theirs.method,
        )
    assert answer.standard_error == expected.total.se
    assert list(answer.weights) == list(expected.g)
    assert list(answer.phase_weights) == [1.0]


def test_an_answer_out_of_order_corrects_and_stands_for_nothing(sampler):
    phase = sampler_service_pb2.DrawPhase(kind="srs", population_count=10, sampled_count=4)
    answer = sampler.Estimate(
        sampler_service_pb2.EstimateRequest(
            phases=[phase], phase_indexes=[0] * 5, pi=[0.4] * 4 + [0.0], wrong=[True] + [False] * 3 + [True]
        )
    )

    assert list(answer.weights) == [2.5] * 4 + [0.0]
    assert answer.error_count.estimate == 2.5
    assert answer.corrected_accuracy.estimate == pytest.approx(1 - 0.5 / 10)


def test_slices_are_estimated_beside_the_whole(sampler):
    """Five of ten items; of the six in `a` three were answered, of the three in `b` none."""
    answer = sampler.Estimate(
        sampler_service_pb2.EstimateRequest(
            phases=[sampler_service_pb2.DrawPhase(kind="srs", population_count=10, sampled_count=5)],
            phase_indexes=[0] * 5,
            pi=[0.5] * 5,
            wrong=[True, False, False, True, False],
            slices=["a", "a", "a", "", ""],
            slice_sizes=[
                sampler_service_pb2.SliceSize(name="a", item_count=6),
                sampler_service_pb2.SliceSize(name="b", item_count=3),
            ],
        )
    )

    a, b = answer.slices
    assert (a.name, a.item_count, a.reviewed_count, b.reviewed_count) == ("a", 6, 3, 0)
    assert a.machine_accuracy.estimate == pytest.approx(1 - 2 / 6)
    assert a.corrected_accuracy.estimate == pytest.approx(1 - 1 / 6)
    assert not b.HasField("machine_accuracy")
    assert b.needed_count == 3


def test_a_hundred_thousand_rows_fit_a_message(sampler):
    """With ids of 36 bytes, a cost each, and half of them drawn."""
    size = 100_000
    asked = request(
        size,
        item_ids=[str(uuid.UUID(int=i)) for i in range(size)],
        cost_micros=[2_000_000] * size,
        money_micros=100_000_000_000,
    )
    assert asked.ByteSize() < settings.RpcSettings().max_message_bytes

    answer = sampler.Allocate(asked)

    assert len(answer.item_ids) == 50_000
    assert answer.ByteSize() < settings.RpcSettings().max_message_bytes


@pytest.mark.parametrize(
    ("fields", "field", "told"),
    [
        ({"risks": [0.1, 0.2, 1.2], "item_ids": list("abc")}, "risks[2]", "[0, 1]"),
        ({"risks": [0.1, float("nan"), 0.2], "item_ids": list("abc")}, "risks[1]", "nan"),
        ({"risks": [-0.1], "item_ids": ["a"], "label_count": 1}, "risks[0]", "-0.1"),
        ({"item_ids": [], "risks": []}, "item_ids", "at least one"),
        ({"item_ids": [str(i) for i in range(100_001)]}, "item_ids", "take out 1"),
        ({"item_ids": ["a"] * SIZE}, "item_ids[1]", "item_ids[0]"),
        ({"risks": [0.1]}, "risks", "expected 500 values"),
        ({"cost_micros": [5, 0, 5], "money_micros": 9}, "cost_micros[1]", "[1, 1000000000]"),
        ({"label_count": 0}, "label_count", ">= 1"),
        ({"label_count": 501}, "label_count", "500 items"),
        ({"sampling": campaign_pb2.Sampling(rule="sqrt")}, "sampling.rule", "square-root"),
        ({"sampling": campaign_pb2.Sampling(pilot_items=20)}, "sampling.pilot_items", "leave it out"),
        ({"sampling": campaign_pb2.Sampling(audit_items=0)}, "sampling.audit_items", "leave it out"),
    ],
)
def test_bad_rows_are_refused_by_name(sampler, fields, field, told):
    found = refused(sampler.Allocate, request(**fields))

    assert told in found[field]


def test_a_request_in_which_every_row_is_wrong_is_answered_in_few_words(sampler):
    found = refused(sampler.Allocate, request(2_000, risks=[2.0] * 2_000))

    assert "risks[0]" in found


@pytest.mark.parametrize(
    ("fields", "field", "told"),
    [
        ({"pi": [0.4, 0.4, 0.4, 1.4]}, "pi[3]", "[0, 1]"),
        ({"pi": [0.4]}, "pi", "expected 4 values"),
        ({"wrong": [True]}, "wrong", "expected 4 values"),
        ({"phase_indexes": [0, 0, 0, 1]}, "phase_indexes[3]", "of 1 phases"),
        ({"phases": []}, "phases", "at least one"),
        ({"phases": [sampler_service_pb2.DrawPhase(population_count=9)]}, "phases[0].kind", "required"),
        (
            {"phases": [sampler_service_pb2.DrawPhase(kind="srs", population_count=3, sampled_count=4)]},
            "phases[0]",
            "at most 3",
        ),
        ({"confidence_level": 1.0}, "confidence_level", "[0.5, 1)"),
        ({"risk_sum": 11.0}, "risk_sum", "got 11.0"),
        ({"slices": list("aaaa")}, "slices[0]", "names of slice_sizes"),
        ({"slice_sizes": [sampler_service_pb2.SliceSize(item_count=3)]}, "slice_sizes[0].name", "required"),
    ],
)
def test_bad_answers_are_refused_by_name(sampler, fields, field, told):
    base = {
        "phases": [sampler_service_pb2.DrawPhase(kind="srs", population_count=10, sampled_count=4)],
        "phase_indexes": [0] * 4,
        "pi": [0.4] * 4,
        "wrong": [True, False, False, False],
    }
    found = refused(sampler.Estimate, sampler_service_pb2.EstimateRequest(**{**base, **fields}))

    assert told in found[field]

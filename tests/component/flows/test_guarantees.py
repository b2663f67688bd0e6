"""A campaign with a guarantee: waves that follow from answers, a certificate, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from actuary import errors
from actuary.v1 import review_service_pb2, sampler_service_pb2
from component.flows import newcomer

REPLAYED = {"data": {"truth_column": "gold"}, "review": {"mode": "replay", "replay_error_rate": 0}}


@pytest.fixture(scope="module")
def content():
    return newcomer.items(240)


def asked(guarantee, labels=200, **changes):
    form = newcomer.campaign(**{**REPLAYED, **changes}, budget={"human_labels": labels})
    form["sampling"] = {"pilot_items": 30, **changes.get("sampling", {})}
    form["guarantee"] = guarantee
    return form


def test_a_target_is_proven_verified_and_refused_after_one_answer_was_changed(shell, content):
    folder = newcomer.make(
        shell.folder / "proven", asked({"mode": "target", "max_error_rate": 0.1, "looks": 2}), content
    )
    said = json.loads(shell("run", folder, "--json").stdout)
    assert said["state"] == "SUCCEEDED"
    proof = said["certificate"]
    assert proof["verdict"] == "certified"
    assert proof["error_rates"][""] <= 0.1
    assert said["human_labels"] < 200  # a target asks for no more than it takes
    assert said["corrected_accuracy"]["true"] >= 0.9

    holds = shell("verify", proof["document"]).stdout
    assert "with probability" in holds.lower()
    assert "the target of 10 % is met" in holds

    document = json.loads(Path(proof["document"]).read_text(encoding="utf-8"))
    document["groups"][0]["design"]["target"] = 0.09
    (shell.folder / "other.json").write_text(json.dumps(document))
    refused = shell("verify", "other.json", code=1).stderr
    assert "groups[0].design.target: expected 0.1" in refused

    report = Path(said["report"]).read_text(encoding="utf-8")
    assert "What is proven" in report
    assert "the target of 10 % is met" in report


def test_a_budget_buys_a_bound_of_all_labels_also_where_the_model_failed(served, content):
    # the model has no label for five items: people label them first, and no claim is about them
    folder = newcomer.make(served.shell.folder / "bound", asked({"mode": "budget"}), content)
    labels = (folder / "labels.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / "labels.csv").write_text("".join(labels[:-5]), encoding="utf-8")
    served.client.create(folder)
    ended = served.until("bound", "SUCCEEDED")
    proof = ended.results.certificate
    assert proof.verdict == "certified"
    (claim,) = proof.claims
    assert claim.label_count == 235
    assert 0 <= claim.error_count < 235
    plan = served.artifact("bound", "plans/plan-w1")
    strata = plan["stratum"].to_pylist()
    failed = strata.count("failed")
    assert failed + strata.count("audit") + strata.count("certain") == 200 - 30
    assert served.cli("verify", proof.document.removeprefix("file://")).stdout
    assert ended.purse.human_labels.settled == 200


def test_people_are_asked_wave_by_wave_and_nothing_can_be_added_to_what_was_frozen(served, content):
    form = asked({"mode": "target", "max_error_rate": 0.1}, review={"mode": "people"})
    served.client.create(newcomer.make(served.shell.folder / "asked", form, content))
    gold = {item.item_id: item.gold for item in content}
    for wave in range(3):  # the pilot, the audit, what lies above the cut
        newcomer.wait_for(lambda wave=wave: served.client.get("asked").wave == wave, f"wave {wave}")
        served.until("asked", "WAITING_FOR_PEOPLE")
        assert not served.client.get("asked").HasField("results")
        _answer_all(served, f"campaigns/asked/reviewBatches/review-w{wave}", gold)
    ended = served.until("asked", "SUCCEEDED")
    assert ended.wave == 2
    assert ended.results.certificate.verdict == "certified"
    with pytest.raises(errors.PreconditionError, match="what it proves was frozen with its budget"):
        served.client.top_up("asked", human_labels=5, request_id="more")


def test_labels_that_do_not_suffice_for_the_target_exhaust_the_budget_with_a_bound(served, content):
    form = asked({"mode": "target", "max_error_rate": 0.03}, labels=150)
    served.client.create(newcomer.make(served.shell.folder / "dear", form, content))
    ended = served.until("dear", "BUDGET_EXHAUSTED")
    proof = ended.results.certificate
    assert proof.verdict == "budget-exhausted"
    assert "would have cost more than the budget" in proof.statement
    assert proof.claims[0].error_rate > 0.03
    assert ended.purse.human_labels.settled <= 150


def test_classes_that_cannot_be_proven_are_named_with_the_audit_they_need(served, content):
    guarantee = {"mode": "target", "max_error_rate": 0.02, "per_class": True}
    served.client.create(newcomer.make(served.shell.folder / "parts", asked(guarantee, labels=60), content))
    ended = served.until("parts", "SUCCEEDED", "BUDGET_EXHAUSTED")
    proof = ended.results.certificate
    assert {claim.class_name for claim in proof.claims} == {newcomer.YES, newcomer.NO}
    assert {claim.verdict for claim in proof.claims} == {"not-provable"}
    assert all(claim.needed_audit_count > claim.audited_count for claim in proof.claims)
    assert ended.purse.human_labels.settled == 30  # nobody is asked for what cannot be proven


REFUSED = [
    ({"mode": "target"}, "guarantee.max_error_rate: expected the share of labels that may be wrong"),
    (
        {"mode": "budget", "max_error_rate": 0.1},
        "guarantee.max_error_rate: expected none in mode `budget`, got 0.1",
    ),
    ({"mode": "budget", "looks": 3}, "guarantee.looks: expected none in mode `budget`, got 3"),
    ({"mode": "exact"}, "guarantee.mode: expected "),
    ({"mode": "budget", "truth_level_share": 0.2}, "review.double_share: expected "),
    ({"mode": "target", "max_error_rate": 0.1, "looks": 7}, "guarantee.looks: expected "),
]


@pytest.mark.parametrize(("guarantee", "message"), REFUSED)
def test_a_guarantee_that_fits_nothing_else_is_refused_by_its_field(served, content, guarantee, message):
    with pytest.raises(errors.InvalidInputError) as caught:
        served.client.create(newcomer.make(served.shell.folder / "refused", asked(guarantee), content))
    assert message in caught.value.message


def test_a_target_that_no_audit_within_the_budget_can_prove_is_refused_before_anything_is_bought(
    served, content
):
    form = asked({"mode": "target", "max_error_rate": 0.005}, labels=100)
    served.client.create(newcomer.make(served.shell.folder / "hopeless", form, content))
    failed = newcomer.wait_for(lambda: served.client.get("hopeless").error.message, "the refusal")
    assert "guarantee.max_error_rate: expected at least" in failed
    assert "got 70; raise the budget or max_error_rate" in failed
    assert served.client.get("hopeless").purse.human_labels.settled == 0


def test_a_proof_for_which_no_money_is_left_says_so_and_goes_on_after_a_top_up(served, content):
    form = asked({"mode": "budget"})
    form["budget"]["money_micros"] = 30 * 80_000  # the pilot's
    served.client.create(newcomer.make(served.shell.folder / "unpaid", form, content))
    failed = newcomer.wait_for(lambda: served.client.get("unpaid").error.message, "the refusal")
    assert "no label is left for what is to be proven: of 0 that are paid for" in failed
    assert served.client.get("unpaid").purse.human_labels.settled == 30
    served.client.top_up("unpaid", money_micros=100 * 80_000, request_id="money")
    served.client.resume("unpaid")
    ended = served.until("unpaid", "SUCCEEDED")
    assert ended.purse.human_labels.settled == 130
    assert ended.results.certificate.verdict == "certified"


def test_certificates_are_resources(served, content):
    folder = newcomer.make(served.shell.folder / "listed", asked({"mode": "budget"}), content)
    served.client.create(folder)
    served.until("listed", "SUCCEEDED")
    stub = served.client.sampler
    page = stub.ListCertificates(sampler_service_pb2.ListCertificatesRequest(parent="campaigns/listed"))
    (found,) = page.certificates
    assert found.name == "campaigns/listed/certificates/certificate-w1"
    assert found.proof.statement.startswith("With probability at least 95 %, at most ")
    got = stub.GetCertificate(sampler_service_pb2.GetCertificateRequest(name=found.name))
    assert got == found


def _answer_all(served, name, gold):
    reviews = served.client.reviews
    tasks = reviews.AcquireTasks(
        review_service_pb2.AcquireTasksRequest(name=name, reviewer="ada", max_tasks=1000)
    ).tasks
    answers = [review_service_pb2.Answer(task=task.name, label=gold[task.item_id]) for task in tasks]
    results = reviews.SubmitAnswers(
        review_service_pb2.SubmitAnswersRequest(name=name, reviewer="ada", answers=answers)
    ).results
    assert all(result.accepted for result in results)

"""A certificate from its plans to its document, and every way to falsify it."""

from __future__ import annotations

import copy
import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import scipy.stats

from actuary import errors
from actuary.sampler import certificate, certifying, doubles, verifying
from actuary.stats import certificates
from actuary.storage import artifacts, tables
from unit.sampler import certified


@pytest.fixture
def campaign(tmp_path):
    return certified.Campaign.make(tmp_path / "store")


@pytest.fixture(scope="module")
def issued(tmp_path_factory):
    """A campaign with its certificate, for tests that change nothing in the store."""
    campaign = certified.Campaign.make(tmp_path_factory.mktemp("issued") / "store")
    return campaign, json.loads(campaign.certify(looks=(60, 120, 200)).to_json())


def left_wrong(campaign):
    """Items whose machine label is wrong and that no plan asked for."""
    pool = campaign.pool()
    asked = {item for plan in ("plan-0", *campaign.plans) for item in campaign.asked(plan)}
    truth = dict(zip(campaign.ids, campaign.truth, strict=True))
    return sum(
        int(truth[item] != final)
        for item, final in zip(pool.ids.to_pylist(), pool.final, strict=True)
        if item not in asked
    )


WISHES = {
    "target": {},
    "looks": {"looks": (60, 120, 200)},
    "budget": {"mode": "budget", "target": None, "labels": 300, "looks": (100,)},
    "classes": {"per_class": True},
    "exhausted": {"labels": 250, "target": 0.05},
}


@pytest.mark.parametrize("wishes", WISHES.values(), ids=WISHES)
def test_a_certificate_holds_against_its_artifacts_and_against_the_truth(campaign, wishes):
    made = campaign.certify(**wishes)

    assert verifying.verify(campaign.store, json.loads(made.to_json())) == []
    # the seed is fixed; the level is what tests/statistics shows
    assert left_wrong(campaign) <= sum(each.errors for each in made.conclusions)


@pytest.mark.parametrize("wishes", WISHES.values(), ids=WISHES)
def test_plans_never_ask_for_more_than_the_budget_nor_twice_for_an_item(campaign, wishes):
    campaign.certify(**wishes)
    asked = [item for plan in campaign.plans for item in campaign.asked(plan)]

    assert len(asked) == len(set(asked)) <= wishes.get("labels", 540)
    assert not set(asked) & set(campaign.asked("plan-0"))


def test_a_certificate_survives_its_document(issued):
    campaign, document = issued
    read = certificate.Certificate.from_record(document)

    assert json.loads(read.to_json()) == document
    assert read == verifying.issue(campaign.store, campaign.sources)
    assert "at most 60 of 600 labels (10 %) still differ" in read.statement


def leaves(value, path=()):
    if isinstance(value, dict):
        for name in value:
            yield from leaves(value[name], (*path, name))
    elif isinstance(value, list) and value:
        # of the hundred cuts and their counts, the first and the last
        for index in sorted({0, len(value) - 1}) if isinstance(value[0], int) else range(len(value)):
            yield from leaves(value[index], (*path, index))
    else:
        yield path, value


def other(value):
    if isinstance(value, str):
        return value[:-1] + ("0" if value[-1:] != "0" else "1")
    if isinstance(value, bool | type(None)):
        return 7
    return value + 1 if isinstance(value, int) else value / 2 + 0.003


def test_a_certificate_with_any_one_value_changed_is_refused(issued):
    campaign, document = issued
    changed = 0
    for path, value in leaves(document):
        forged = copy.deepcopy(document)
        at = forged
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = other(value)
        try:
            reasons = verifying.verify(campaign.store, forged)
        except errors.InvalidInputError:
            reasons = ["not a certificate"]
        assert reasons, path
        changed += 1

    assert changed > 40


@pytest.mark.parametrize("name", ["items", "risks", "plan-0", "plan-1", "plan-2/resolved"])
def test_an_artifact_that_was_changed_or_is_gone_is_named(campaign, name):
    document = json.loads(campaign.certify().to_json())
    manifest = artifacts.read_manifest(campaign.store, f"{certified.CAMPAIGN}/{name}")[0]
    data = campaign.store.get(manifest.objects[0].key)

    campaign.store.put(manifest.objects[0].key, data[:100] + bytes([data[100] ^ 1]) + data[101:])
    (reason,) = verifying.verify(campaign.store, document)
    assert manifest.objects[0].key in reason
    assert f"expected {len(data)} bytes with {manifest.objects[0].digest}" in reason

    campaign.store.delete(artifacts.key_of(manifest.uri))
    (reason,) = verifying.verify(campaign.store, document)
    assert manifest.uri in reason


def test_an_object_that_passes_for_whole_and_has_another_digest_is_named(campaign):
    document = json.loads(campaign.certify().to_json())
    uri = f"{certified.CAMPAIGN}/risks"
    manifest = artifacts.read_manifest(campaign.store, uri)[0]
    claimed = dataclasses.replace(manifest.objects[0], digest="blake3:" + "0" * 64)
    campaign.store.delete(artifacts.key_of(uri))
    artifacts.write_manifest(
        campaign.store, dataclasses.replace(manifest, objects=(claimed, *manifest.objects[1:]))
    )

    assert tables.read_shard(campaign.store, artifacts.read_manifest(campaign.store, uri)[0], 0).num_rows
    (reason,) = verifying.verify(campaign.store, document)
    assert f"{claimed.key}: expected {claimed.bytes} bytes with {claimed.digest}" in reason


def test_one_answer_that_was_changed_with_all_digests_put_right_is_refused(campaign):
    document = json.loads(campaign.certify().to_json())
    item = campaign.asked("plan-1")[0]

    def lie(each):
        said = campaign.truth_of(each)
        return certified.CLASSES[1 - certified.CLASSES.index(said)] if each == item else said

    campaign.answer("plan-1", lie)
    reasons = verifying.verify(campaign.store, document)

    assert any(line.startswith("digests.campaigns/small/plan-1/resolved: expected") for line in reasons)
    assert any(line.startswith("groups[0].looks[0].wrong[") for line in reasons)


def test_an_audit_that_somebody_chose_is_refused(campaign):
    campaign.certify()
    name = campaign.plans[0]
    manifest = artifacts.read_manifest(campaign.store, f"{certified.CAMPAIGN}/{name}")[0]
    table = tables.read_all(campaign.store, manifest)
    ids = table["item_id"].to_pylist()
    easy = next(item for item in campaign.ids if item not in ids)
    chosen = table.set_column(0, "item_id", pa.array([easy, *ids[1:]]))
    shard = tables.shard_of(
        certified.prn.digest(chosen["item_id"].to_pylist(), certified.KEY)[0], certified.SHARDS
    )
    parents = ["items", "risks", "plan-0", "plan-0/resolved"]
    chosen = chosen.append_column("shard", pa.array(shard))
    campaign.write(name, chosen, "plan", parents, manifest.parameters)
    campaign.answer(name, campaign.truth_of)

    with pytest.raises(
        errors.PreconditionError, match="expected the 200 rows that order, key and answers give"
    ):
        verifying.issue(campaign.store, campaign.sources)


def test_risks_that_were_made_from_the_audit_are_refused(campaign):
    """Silent error 8.2, tried through artifacts: the order is fitted again on what the audit found."""
    campaign.certify()
    risks = artifacts.read_manifest(campaign.store, f"{certified.CAMPAIGN}/risks")[0]
    parents = ["items", "risk", "plan-0", "plan-0/resolved", "plan-1/resolved"]
    campaign.manifest("risks", "risks", risks.objects, parents, {})

    with pytest.raises(errors.PreconditionError, match="from answers of the earlier waves only; got"):
        verifying.issue(campaign.store, campaign.sources)


def test_a_pilot_that_is_kept_quiet_is_found_among_what_the_risks_were_made_from(campaign):
    """The pilot's items would be open to the audit again, and their labels have fitted the order."""
    campaign.earlier = ()
    campaign.frozen = certifying.freeze(
        campaign.pool(),
        certifying.Wishes(mode="target", labels=600, looks=(200,), alpha=0.05, wave=1, target=0.1),
    )
    while campaign.plan(len(campaign.plans)):
        campaign.answer(campaign.plans[-1], campaign.truth_of)

    with pytest.raises(errors.PreconditionError, match="plan-0/resolved among what they were made from"):
        verifying.issue(campaign.store, campaign.sources)


def test_risks_that_leave_out_items_of_the_pool_are_refused(campaign):
    """An order over fewer items would promise something about fewer labels than the campaign has."""
    campaign.certify()
    items = artifacts.read_manifest(campaign.store, f"{certified.CAMPAIGN}/items")[0]
    fewer = artifacts.read_manifest(campaign.store, f"{certified.CAMPAIGN}/risks")[0].objects[:1]
    parents = ["items", "risk", "plan-0", "plan-0/resolved"]
    campaign.manifest("risks", "risks", fewer, parents, {})
    missing = sum(ref.rows for ref in items.objects[1:])

    with pytest.raises(
        errors.PreconditionError, match=f"each of the 600 items of the pool; {missing} have none"
    ):
        verifying.issue(campaign.store, campaign.sources)


def test_a_plan_with_another_design_than_the_first_is_refused(campaign):
    campaign.certify()
    name = f"{certified.CAMPAIGN}/plan-2"
    plan = artifacts.read_manifest(campaign.store, name)[0]
    design = {**plan.parameters["design"], "seed": "12"}
    parents = ["items", "risks", "plan-0", "plan-0/resolved", "plan-1", "plan-1/resolved"]
    campaign.manifest("plan-2", "plan", plan.objects, parents, {"design": design})
    campaign.answer("plan-2", campaign.truth_of)

    with pytest.raises(
        errors.PreconditionError, match=f"{name}: expected the design of .*plan-1, which was frozen"
    ):
        verifying.issue(campaign.store, campaign.sources)


def test_plans_that_are_of_no_certificate_make_none(campaign):
    campaign.certify()
    for plans, message in (
        [["plan-0"], "expected the plan of a certificate, with its design"],
        [[], "got 0 plans"],
    ):
        campaign.plans = plans
        with pytest.raises(errors.PreconditionError, match=message):
            verifying.issue(campaign.store, campaign.sources)


def test_where_all_is_known_there_is_nothing_to_certify(campaign):
    pool = dataclasses.replace(campaign.pool(), known=np.ones(600, dtype=bool))
    wishes = certifying.Wishes(mode="target", labels=1, looks=(1,), alpha=0.05, wave=1, target=0.1)

    with pytest.raises(errors.InvalidInputError, match="got none: all is known"):
        certifying.freeze(pool, wishes)


def test_answers_to_an_earlier_wave_that_change_what_is_open_to_the_audit_are_refused(campaign):
    campaign.certify()
    campaign.answer("plan-0", lambda item: "" if item == campaign.asked("plan-0")[0] else "no")
    for name, parents in [("risk", ["items", "plan-0/resolved"]), ("risks", ["risk", "items"])]:
        made = artifacts.read_manifest(campaign.store, f"{certified.CAMPAIGN}/{name}")[0]
        campaign.manifest(name, made.table, made.objects, parents, {})

    with pytest.raises(errors.PreconditionError, match="expected eligible 541, as risks and earlier waves"):
        verifying.issue(campaign.store, campaign.sources)


def test_a_certificate_is_not_issued_before_its_last_plan_is_answered(campaign):
    campaign.certify()
    campaign.plans = campaign.plans[:1]

    with pytest.raises(errors.PreconditionError, match="expected 2 plans, got 1: the next one asks for"):
        verifying.issue(campaign.store, campaign.sources)


@pytest.mark.parametrize("nothing", [None, ""], ids=["cannot-tell", "no-answer"])
def test_items_without_an_answer_count_as_wrong(campaign, nothing):
    quiet = set(campaign.ids[::40])
    made = campaign.certify(
        lambda item: nothing if item in quiet else campaign.truth_of(item),
        mode="budget", target=None, labels=300, looks=(100,),
    )  # fmt: skip
    (conclusion,) = made.conclusions
    asked = quiet & set(campaign.asked(campaign.plans[0]))

    assert conclusion.unresolved == len(asked) > 3
    assert verifying.verify(campaign.store, json.loads(made.to_json())) == []
    assert left_wrong(campaign) + len(asked) <= conclusion.errors


def test_a_target_that_no_audit_of_that_size_proves_is_answered_with_the_size_that_could(campaign):
    wishes = certifying.Wishes(mode="target", labels=540, looks=(20,), alpha=0.05, wave=1, target=0.1)
    frozen = certifying.freeze(campaign.pool(), wishes)
    (group,), orders = frozen.groups, certifying.orders(campaign.pool(), frozen)

    assert group.needs == certificates.audit_size(540, 60, 0.04, 0.01)
    nobody = np.full(600, -1)
    assert certifying.rows(campaign.pool(), frozen, orders, nobody, 0).at == []
    steps = certifying.walk(campaign.pool(), group, orders[0], nobody, 0)
    assert certifying.conclude(group, steps, nobody, 0) is None
    assert certificate.statement(frozen, [None], None).startswith(
        "Labels: an error rate of at most 10 % is not provable with an audit of 20;"
        f" it needs K = {group.needs}."
    )


def test_each_class_has_its_share_of_level_audit_and_labels(campaign):
    wishes = certifying.Wishes(
        mode="target", labels=500, looks=(200,), alpha=0.05, wave=1, target=0.1, per_class=True
    )
    frozen = certifying.freeze(campaign.pool(), wishes)
    designs = [group.design for group in frozen.groups]

    assert [group.name for group in frozen.groups] == ["no", "yes"]
    assert [design.looks for design in designs] == [(100,), (100,)]
    assert [design.alpha1 for design in designs] == pytest.approx([0.02, 0.02])
    assert frozen.alpha == pytest.approx(0.05)
    assert 498 <= sum(design.labels for design in designs) <= 500
    assert certifying.Frozen.from_record(frozen.to_record()) == frozen


def test_doubles_on_the_audit_carry_the_claim_to_the_truth(campaign):
    campaign.double_share = 0.9
    unsure = set(campaign.ids[::150])
    made = campaign.certify(
        lambda item: None if item in unsure else campaign.truth_of(item),
        mode="budget", target=None, labels=400, looks=(200,), alpha_pairs=0.01,
    )  # fmt: skip
    pairs = campaign.asked("plan-1", doubled=True)
    audited = set(pairs) & audit_of(campaign)
    (conclusion,) = made.conclusions

    assert made.confidence == 0.95
    assert (made.truth.pairs, made.truth.agreed) == (len(audited), len(audited - unsure))
    assert made.truth.error > conclusion.errors / 600
    assert "of the labels are not the truth, if people err independently" in made.statement
    assert verifying.verify(campaign.store, json.loads(made.to_json())) == []


def audit_of(campaign):
    manifest = artifacts.read_manifest(campaign.store, f"{certified.CAMPAIGN}/plan-1")[0]
    table = tables.read_all(campaign.store, manifest)
    return set(table.filter(pc.equal(table["stratum"], "audit"))["item_id"].to_pylist())


def test_too_few_doubles_say_so(campaign):
    campaign.double_share = 0.2
    made = campaign.certify(mode="budget", target=None, labels=300, looks=(100,), alpha_pairs=0.01)

    assert made.truth.error is None
    assert "Nothing can be said about the truth: expected at least 100 doubles" in made.statement


def test_reviewers_who_disagree_half_the_time_say_nothing_about_the_truth():
    made = doubles.claim(pairs=120, agreed=70, alpha=0.01, residual=0.1, reviewed_share=0.5)

    assert made.error is None
    assert made.reason.startswith("50 of 120 pairs disagree, so that reviewers may err as often as not")


def test_the_bound_of_reviewers_mistakes_is_the_root_of_the_disagreement_of_pairs():
    made = doubles.claim(pairs=200, agreed=190, alpha=0.02, residual=0.04, reviewed_share=0.3)
    eta = made.reviewer_error

    # Clopper and Pearson: with disagreement 2 η (1 - η) so few of 200 pairs disagree in 2 % of cases
    assert scipy.stats.binom.cdf(10, 200, 2 * eta * (1 - eta)) == pytest.approx(0.02)
    assert made.error == pytest.approx(0.04 / (1 - eta) + 0.3 * eta)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alpha_pairs": 0.05}, "alpha_pairs: expected a part of alpha 0.05, got 0.05"),
        ({"labels": 100}, r"labels: expected a whole number in \[200, 540\], got 100"),
        ({"labels": 541}, r"labels: expected a whole number in \[200, 540\], got 541"),
        ({"target": None}, "target mode: expected a target, got none"),
        ({"mode": "budget"}, "budget mode: expected one look and no target"),
        ({"looks": (541,)}, "looks: expected a whole number in"),
    ],
)
def test_wishes_that_do_not_fit_the_pool_are_refused(campaign, changes, message):
    asked = {"mode": "target", "labels": 540, "looks": (200,), "alpha": 0.05, "wave": 1, "target": 0.1}
    with pytest.raises(errors.InvalidInputError, match=message):
        certifying.freeze(campaign.pool(), certifying.Wishes(**{**asked, **changes}))


@pytest.mark.parametrize("document", [{}, {"format": 2}, {"format": 1, "groups": 3}])
def test_what_is_no_certificate_is_bad_input(campaign, document):
    with pytest.raises(errors.InvalidInputError, match="certificate: expected format 1"):
        verifying.verify(campaign.store, document)

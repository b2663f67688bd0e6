"""From frames to risk models: what they look at, which is chosen, and whether the critic is followed."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest
import scipy.special

from actuary.sampler import boosting, components, critics, frames, judging, people, risking
from actuary.stats import prn, risk, worth

KEY = prn.project_key(5)
NAN = float("nan")


def frame(size: int, doubt, *, classes: int = 3, label=None, scores=None, seed: int = 0) -> frames.Frame:
    """Items whose annotator has a doubt, and whose critics say what `scores` says, or the doubt."""
    ids = [f"item-{number:05d}" for number in range(size)]
    label = np.random.default_rng(seed).integers(0, classes, size) if label is None else label
    probabilities = np.full((size, classes), np.asarray(doubt)[:, None] / (classes - 1))
    probabilities[np.arange(size), label] = 1 - doubt
    return frames.Frame(
        ids=pa.array(ids),
        shard=np.zeros(size, dtype=np.int64),
        u=prn.uniform(ids, KEY),
        outcome=pa.array(["LABELLED"] * size),
        label=label,
        confidence=1 - np.asarray(doubt),
        probabilities=probabilities,
        scores={"confidence": np.asarray(doubt)} if scores is None else scores,
        length=np.arange(size) % 50.0,
    )


def answered(data: frames.Frame, wrong, classes: int = 3) -> np.ndarray:
    return np.where(wrong, (data.label + 1) % classes, data.label)


def test_columns_are_as_the_layout_says_worked_by_hand():
    data = frame(3, np.array([0.2, 0.5, 0.1]), label=np.array([0, 2, 1]),
                 scores={"a": np.array([0.5, NAN, 0.9]), "b": np.array([0.1, 0.2, 0.3])})  # fmt: skip
    layout = critics.Layout(critics=("a", "b"), classes=3)
    x = layout.matrix(data, np.array([1, 2]))
    conf = risk.logit([0.5, 0.9])
    np.testing.assert_allclose(
        x[:, layout.believed].T, [risk.logit([NAN, 0.9]), risk.logit([0.2, 0.3]), conf]
    )
    np.testing.assert_allclose(x[:, layout.about].T, [[0.25, 0.85], np.log1p([1, 2])])
    assert x[:, layout.label].tolist() == [[0, 0, 1], [0, 1, 0]]
    a, b, c = np.split(x[:, layout.interactions], 3, axis=1)
    np.testing.assert_allclose(a, [[0, 0, 0], [0, risk.logit([0.9])[0], 0]])
    np.testing.assert_allclose(b, [[0, 0, risk.logit([0.2])[0]], [0, risk.logit([0.3])[0], 0]])
    np.testing.assert_allclose(c, [[0, 0, conf[0]], [0, conf[1], 0]])
    used = {*layout.believed, *layout.about, *layout.label, *layout.interactions}
    assert used == set(range(x.shape[1]))


def test_with_many_classes_the_label_is_no_feature():
    data = frame(30, np.full(30, 0.3), classes=40)
    layout = critics.Layout(critics=("confidence",), classes=40)
    assert layout.matrix(data, np.arange(30)).shape == (30, 4)
    assert [each.kind for each in critics.candidates(layout)] == ["platt", "isotonic", "trees"]


def test_a_critic_that_answers_nothing_later_is_missing_and_a_new_one_is_not_looked_at():
    rng = np.random.default_rng(1)
    doubt, wrong = rng.random(150), rng.random(150) < 0.4
    data = frame(150, doubt, scores={"a": doubt, "b": np.where(wrong, 0.8, 0.3)})
    model = risking.fit(data, answered(data, wrong), KEY, 0.05)
    both = risking.price(data, model, KEY).risk
    more = risking.price(dataclasses.replace(data, scores={**data.scores, "c": doubt}), model, KEY).risk
    less = risking.price(dataclasses.replace(data, scores={"a": doubt}), model, KEY).risk
    assert both.tolist() == more.tolist()
    assert np.isfinite(less).all()
    assert np.ptp(both) > 0.5 > np.ptp(less)


def grown(n=500, missing=0.2, seed=0, monotone=(1, 0, 0)):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    err = rng.random(n) < scipy.special.expit(np.sin(2 * x[:, 0]) + x[:, 0] + x[:, 1] * (x[:, 2] > 0) - 1)
    x[rng.random((n, 3)) < missing] = NAN
    return x, err, boosting.fit(x, err, list(monotone))


def test_trees_say_what_xgboost_says_also_where_values_are_missing():
    xgboost = pytest.importorskip("xgboost")
    x, err, model = grown()
    theirs = xgboost.train(
        {**boosting.PARAMETERS, "base_score": float(err.mean()), "monotone_constraints": "(1,0,0)"},
        xgboost.DMatrix(x, label=err),
        boosting.ROUNDS,
    )
    # they add 60 leaves in single precision: 60 roundings of at most 2^-24 of a logit below 8
    expected = theirs.predict(xgboost.DMatrix(x), output_margin=True)
    np.testing.assert_allclose(scipy.special.logit(model.predict(x)), expected, atol=60 * 8 * 2.0**-24)


def test_the_same_labels_grow_the_same_trees_bit_for_bit():
    assert grown()[2] == grown()[2]
    assert json.dumps(grown()[2].to_record()) == json.dumps(grown()[2].to_record())


def test_a_risk_never_falls_where_a_critic_is_more_suspicious():
    rng = np.random.default_rng(3)
    _, _, model = grown()
    line = np.repeat(rng.normal(size=(20, 1, 3)), 200, axis=1)
    line[:, :, 0] = np.linspace(-3, 3, 200)
    eps = model.predict(line.reshape(-1, 3)).reshape(20, 200)
    assert (np.diff(eps, axis=1) >= 0).all()
    assert (np.ptp(eps, axis=1) > 0.1).all()


def test_what_a_platt_scaling_cannot_say_is_said_by_trees_from_enough_labels():
    """Wrong where the annotator is neither sure nor unsure, of short texts only."""
    rng = np.random.default_rng(4)
    doubt = rng.random(800)
    data = frame(800, doubt, scores={})
    wrong = (abs(doubt - 0.5) < 0.2) & (data.length < 25) & (rng.random(800) < 0.9)
    model = risking.fit(data, answered(data, wrong), KEY, 0.05)
    assert all("trees" in fold.kind for fold in model.folds)
    assert judging.figures(model)["figures"]["auroc"]["low"] > 0.9
    read = risking.Model.from_json(model.to_json())
    assert read.to_json() == model.to_json()
    assert risking.price(data, read, KEY).risk.tolist() == risking.price(data, model, KEY).risk.tolist()


def test_ten_thousand_labels_are_no_obstacle():
    rng = np.random.default_rng(5)
    doubt = rng.beta(1, 3, 10_000)
    data = frame(10_000, doubt)
    model = risking.fit(data, answered(data, rng.random(10_000) < doubt), KEY, 0.05)
    assert model.worth.shown
    assert judging.figures(model)["figures"]["calibrated"]["expected_calibration_error"] < 0.03


SITUATIONS = {
    "few labels": (np.linspace(0, 1, 19), np.arange(19) < 9),
    "all right": (np.linspace(0, 1, 60), np.zeros(60, bool)),
    "all wrong": (np.linspace(0, 1, 60), np.ones(60, bool)),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_with_nothing_to_fit_on_all_risks_are_the_base_rate_and_the_rule_is_uniform(situation):
    doubt, wrong = SITUATIONS[situation]
    data = frame(len(doubt), doubt)
    model = risking.fit(data, answered(data, wrong), KEY, 0.05)
    assert model.reason
    np.testing.assert_allclose(
        risking.price(data, model, KEY).machine_risk, (wrong.sum() + 0.5) / (len(wrong) + 1), atol=1e-12
    )
    rule, note = judging.follow(model.worth, "threshold", model.reason)
    assert rule == "uniform"
    assert "could not be judged" in note
    assert judging.figures(model)["figures"]["worthless"]
    assert risking.Model.from_json(model.to_json()).to_json() == model.to_json()


@pytest.mark.parametrize("size", [90, 450])
def test_scores_that_are_missing_constant_or_separate_all_labels_are_no_obstacle(size):
    wrong = np.random.default_rng(6).random(size) < 0.4
    for scores in ({"a": np.full(size, NAN)}, {"a": np.full(size, 0.3)}, {"a": wrong * 0.8 + 0.1}):
        data = frame(size, np.full(size, 0.2), scores=scores)
        model = risking.fit(data, answered(data, wrong), KEY, 0.05)
        eps = risking.price(data, model, KEY).machine_risk
        assert ((eps > 0) & (eps < 1)).all()
        assert model.worth.shown == (np.ptp(scores["a"]) > 0)


def judged(scores, wrong) -> risking.Model:
    data = frame(len(wrong), np.full(len(wrong), 0.3), scores={"critic": scores})
    return risking.fit(data, answered(data, wrong), KEY, 0.05)


def test_good_and_adversarial_critics_are_followed_and_a_useless_one_is_not():
    rng = np.random.default_rng(7)
    wrong = rng.random(150) < 0.3
    noise = rng.random(150)
    good = judged(np.where(wrong, 0.5, 0.0) + noise / 2, wrong)
    adversarial = judged(np.where(wrong, 0.0, 0.5) + noise / 2, wrong)
    useless = judged(noise, wrong)
    for model in (good, adversarial):
        assert judging.follow(model.worth, "threshold") == ("threshold", "")
        assert not judging.figures(model)["figures"]["worthless"]
    rule, note = judging.follow(useless.worth, "threshold")
    assert rule == "uniform"
    assert "has not been shown to tell wrong labels from right ones" in note
    assert judging.figures(useless)["figures"]["worthless"]
    assert judging.follow(useless.worth, "uniform") == ("uniform", "")


def waves_of(data, order, label) -> list[people.Wave]:
    """Ten of the pilot, ten of an audit, ten certain ones, then ten of a second audit."""
    found = []
    for number, strata in enumerate([["pilot"] * 10, ["audit"] * 10 + ["certain"] * 10, ["audit"] * 10]):
        start = sum(len(wave.label) for wave in found)
        at = order[start : start + len(strata)]
        found.append(
            people.Wave(
                number=number,
                ids=data.ids.take(pa.array(at)),
                stratum=pa.array(strata),
                s=np.ones(len(at)),
                order=np.arange(len(at), dtype=float)[::-1],
                tau=np.inf,
                label=label[at],
            )
        )
    return found


def test_audits_add_evidence_and_what_was_chosen_by_risk_does_not():
    rng = np.random.default_rng(8)
    wrong = rng.random(200) < 0.4
    data = frame(200, np.full(200, 0.3), scores={"critic": np.where(wrong, 0.7, 0.3) + 0.1 * rng.random(200)})
    label = answered(data, wrong)
    model = risking.fit(data, label, KEY, 0.05)
    risks = risking.price(data, model, KEY)
    order = rng.permutation(200)
    told = label.copy()
    told[order[12]] = people.UNRESOLVED
    waves = waves_of(data, order, told)
    first = np.array([i for i in order[10:20] if told[i] >= 0])[::-1]  # in the order of the draw
    by_hand = model.worth.after(risks.machine_risk[first], wrong[first])
    assert judging.evidence(model, risks, waves[:2]) == by_hand
    last = order[30:40][::-1]
    assert judging.evidence(model, risks, waves) == by_hand.after(risks.machine_risk[last], wrong[last])
    eps, errors = judging.sampled(risks, waves)
    at = np.concatenate([order[:10][::-1], first])
    assert eps.tolist() == risks.machine_risk[at].tolist()
    assert errors.tolist() == wrong[at].tolist()
    of_all = dataclasses.replace(waves[1], proof="target")
    assert len(judging.sampled(risks, [waves[0], of_all])[0]) == 19
    for proof in ("budget", "classes"):  # whose audits leave some items out, or take them at other rates
        of_some = dataclasses.replace(waves[1], proof=proof)
        assert len(judging.sampled(risks, [waves[0], of_some])[0]) == 10
    figures = judging.measured(eps, errors, 0.05)
    assert figures["items"] == 19
    assert figures["auroc"]["low"] < figures["auroc"]["estimate"] <= figures["auroc"]["high"]
    assert figures["calibrated"]["calibration_error_by_chance"] > 0


def test_a_model_of_the_first_release_prices_as_it_did_and_is_followed():
    rng = np.random.default_rng(9)
    doubt = rng.random(60)
    data = frame(60, doubt)
    platt = risk.fit_platt(
        np.stack([risk.logit(doubt), risk.logit(1 - doubt)], axis=1), rng.random(60) < doubt
    )
    old = {
        "folds": [platt.to_record()] * 5, "reason": "", "wrong": [0], "eps": [0.1], "wrong_final": [0],
        "eps_final": [0.1], "raw": [None], "flips": None, "alpha": 0.05,
    }  # fmt: skip
    model = risking.Model.from_json(json.dumps(old).encode())
    expected = risk.predict(platt, np.stack([risk.logit(doubt), risk.logit(1 - doubt)], axis=1))
    np.testing.assert_allclose(risking.price(data, model, KEY).machine_risk, expected)
    assert judging.follow(model.worth, "threshold", model.reason) == ("threshold", "")
    assert judging.evidence(model, risking.price(data, model, KEY), []) is None
    assert risking.Model.from_json(model.to_json()).to_json() == model.to_json()


def test_evidence_that_comes_with_the_audit_makes_a_rule_followed_after_all():
    before = worth.Worth(alpha=0.05, labels=30, log_wealth=-0.1, best=0.2)
    assert judging.follow(before, "threshold")[0] == "uniform"
    after = before.after([0.9] * 5 + [0.1] * 15, [True] * 5 + [False] * 15)
    assert judging.follow(after, "threshold")[0] == "threshold"
    before = worth.Worth(alpha=0.05, labels=30, log_wealth=0.1, best=1.0)
    after = before.after([0.1] * 5 + [0.9] * 15, [True] * 5 + [False] * 15)
    assert judging.follow(after, "threshold")[0] == "uniform"


def test_a_critic_that_labels_speak_for_is_followed_before_it_is_shown_and_said_to_be_unproven():
    leaning = worth.Worth(alpha=0.1, labels=30, log_wealth=np.log(5), best=np.log(5))
    assert judging.follow(leaning, "hybrid") == ("hybrid", "")
    told = judging.worth_in_words(leaning, "")
    assert "30 labels speak for the critic, 5 to 1, which is too little" in told
    assert judging.follow(leaning, "hybrid", "few labels")[0] == "uniform"
    shown = dataclasses.replace(leaning, log_wealth=-1.0, best=np.log(10))
    assert judging.follow(shown, "hybrid") == ("hybrid", "")  # what was shown once stays shown
    assert "at most 10 %" in judging.worth_in_words(shown, "")


def embedded(size: int, width: int = 12, *, signal: float = 2.0, seed: int = 8):
    """Items whose confidence says nothing, and whose embedding says where the machine is wrong; d of each."""
    rng = np.random.default_rng(seed)
    where = rng.normal(size=size)
    wrong = rng.random(size) < scipy.special.expit(signal * where - 1)
    numbers = rng.normal(scale=0.3, size=(size, width)) + np.outer(where, rng.normal(size=width))
    data = frame(size, np.full(size, 0.3), seed=seed)
    return dataclasses.replace(data, embedding=(5 + 100 * numbers).astype(np.float32)), wrong


def auroc(model) -> float:
    return judging.figures(model)["figures"]["auroc"]["estimate"]


@pytest.mark.parametrize(("size", "width"), [(500, 3), (500, 12), (500, 700), (1_300, 12)])
def test_an_embedding_that_shows_where_the_machine_is_wrong_is_learned_from(size, width):
    data, wrong = embedded(size, width)
    with_it = risking.fit(data, answered(data, wrong), KEY, 0.05)
    without = risking.fit(dataclasses.replace(data, embedding=None), answered(data, wrong), KEY, 0.05)
    assert all("embedding" in fold.kind for fold in with_it.folds)
    assert with_it.layout.embedding.count == min(width, components.MOST)
    assert auroc(with_it) > 0.8 > 0.6 > auroc(without)
    read = risking.Model.from_json(with_it.to_json())
    assert read.to_json() == with_it.to_json()
    assert risking.price(data, read, KEY).risk.tolist() == risking.price(data, with_it, KEY).risk.tolist()


def test_trees_see_what_a_linear_model_cannot_say_of_an_embedding_from_enough_labels():
    data, _ = embedded(1_500, 3)
    first = data.embedding[:, 0] / 100
    wrong = (abs(first - first.mean()) < 0.4) & (np.random.default_rng(9).random(1_500) < 0.9)
    model = risking.fit(data, answered(data, wrong), KEY, 0.05)
    assert all("trees-embedding" in fold.kind for fold in model.folds)
    assert auroc(model) > 0.85


@pytest.mark.parametrize("size", [90, 250, 500, 1_300])
def test_an_embedding_that_is_noise_costs_next_to_nothing(size):
    """Against the same items without it: the choice is made out of fold, so noise is passed over."""
    rng = np.random.default_rng(10)
    doubt = rng.random(size)
    wrong = rng.random(size) < doubt
    data = frame(size, doubt)
    noise = rng.normal(size=(size, 40)).astype(np.float32)
    without = risking.fit(data, answered(data, wrong), KEY, 0.05)
    with_it = risking.fit(dataclasses.replace(data, embedding=noise), answered(data, wrong), KEY, 0.05)
    assert auroc(with_it) > auroc(without) - 0.01
    if size < boosting.LEAST:
        assert with_it.eps.tolist() == without.eps.tolist()


def test_the_risk_of_an_item_is_the_same_bits_wherever_it_stands():
    data, wrong = embedded(700, 384)
    model = risking.fit(data, answered(data, wrong), KEY, 0.05)
    whole = model.layout.matrix(data, np.arange(700))
    for rows in (np.array([3]), np.arange(5, 340), np.arange(700)[::-1]):
        np.testing.assert_array_equal(model.layout.matrix(data, rows), whole[rows])


def test_an_item_without_an_embedding_is_priced_and_none_at_all_is_no_obstacle():
    data, wrong = embedded(600)
    data.embedding[::5] = NAN
    model = risking.fit(data, answered(data, wrong), KEY, 0.05)
    assert np.isnan(model.layout.matrix(data, np.arange(10))[::5, model.layout.embedded]).all()
    assert auroc(model) > 0.7
    for none in (None, np.full_like(data.embedding, NAN)):
        risk_of = risking.price(dataclasses.replace(data, embedding=none), model, KEY).risk
        assert np.isfinite(risk_of).all()
    assert components.fit(None) is None
    assert components.fit(np.full((500, 8), NAN, np.float32)) is None
    assert components.fit(np.ones((500, 384), np.float32)) is None
    assert components.fit(data.embedding[: components.LEAST_ITEMS - 1]) is None


@pytest.mark.parametrize(("count", "width"), [(300, 40), (120, 300)])
def test_components_are_those_of_the_correlation_matrix(count, width):
    rng = np.random.default_rng(11)
    numbers = (rng.normal(size=(count, width)) @ rng.normal(size=(width, width)) * 7 + 3).astype(np.float32)
    numbers[:, 4] = 2.5  # says nothing, and has no spread
    found = components.fit(numbers)
    standard = numbers.astype(np.float64)
    standard = (standard - standard.mean(axis=0)) / np.where(
        standard.std(axis=0) > 1e-9, standard.std(axis=0), 1
    )
    _, _, axes = np.linalg.svd(standard, full_matrices=False)
    seen = found.of(numbers, np.arange(count))
    np.testing.assert_allclose(np.abs(seen), np.abs(standard @ axes[:10].T), rtol=1e-6, atol=1e-6)
    assert (found.axes[np.arange(10), np.abs(found.axes).argmax(axis=1)] > 0).all()
    assert np.isfinite(seen).all()


def test_models_of_before_there_were_embeddings_are_read():
    doubt = np.random.default_rng(12).random(150)
    data = frame(150, doubt)
    model = risking.fit(data, answered(data, doubt > 0.6), KEY, 0.05)
    form = json.loads(model.to_json())
    assert form["layout"] == {"critics": ["confidence"], "classes": 3}
    assert risking.Model.from_json(json.dumps(form).encode()).layout == model.layout

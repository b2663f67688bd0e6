import json

import numpy as np
import pytest
import scipy.optimize
import scipy.special

from actuary.stats import checks, choice, isotonic, risk, trees

NAN = float("nan")
PLATT = choice.Candidate(kind="platt", columns=(0,), fit=risk.fit_platt)
ISOTONIC = choice.Candidate(kind="isotonic", columns=(0,), fit=isotonic.fit_isotonic)
WIDE = choice.Candidate(kind="wide", columns=(0, 1), fit=risk.fit_platt)


def data(n=200, second=0.0, seed=0):
    """A score, and a second column of which the labels know as much as `second` says."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    err = rng.random(n) < scipy.special.expit(1.2 * x[:, 0] + second * x[:, 1] - 0.8)
    return x, err, np.arange(n) % 5


def test_neither_a_risk_nor_the_kind_of_its_model_depends_on_the_items_own_label():
    x, err, fold = data(n=120, second=0.5)
    kinds = [PLATT, ISOTONIC, WIDE]
    models = choice.fit_folds(kinds, x, err, fold)
    for item in range(0, 120, 11):
        other = err.copy()
        other[item] = ~other[item]
        changed = choice.fit_folds(kinds, x, other, fold)
        assert changed[fold[item]] == models[fold[item]]
        assert changed != models


def test_the_simple_model_is_kept_where_more_columns_say_nothing_and_left_where_they_do():
    kept = choice.fit_folds([PLATT, WIDE], *data(n=600))
    left = choice.fit_folds([PLATT, WIDE], *data(n=600, second=2.0))
    assert [model.kind for model in kept] == ["platt"] * 5
    assert [model.kind for model in left] == ["wide"] * 5


def test_two_models_that_know_different_things_are_mixed():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(1500, 2))
    first = rng.random(1500) < 0.5
    err = rng.random(1500) < scipy.special.expit(4.0 * np.where(first, x[:, 0], x[:, 1]))
    other = choice.Candidate(kind="other", columns=(1,), fit=risk.fit_platt)
    mixed = choice.fit_folds([PLATT, other], x, err, np.arange(1500) % 5)
    assert [model.kind for model in mixed] == ["platt+other"] * 5
    for model in mixed:
        assert sum(model.weights) == pytest.approx(1.0)
        by_hand = sum(w * m.predict(x) for w, m in zip(model.weights, model.members, strict=True))
        np.testing.assert_allclose(model.predict(x), by_hand)


def test_the_weights_of_a_mixture_are_those_that_a_general_optimiser_finds():
    rng = np.random.default_rng(3)
    p = rng.uniform(0.2, 0.95, (3, 80))

    def loss(w):
        return -np.log(w @ p).mean()

    best = scipy.optimize.minimize(
        loss, np.full(3, 1 / 3), bounds=[(0, 1)] * 3, constraints={"type": "eq", "fun": lambda w: w.sum() - 1}
    ).x
    # EM stops after a hundred rounds: what it has not gained by then is far below the noise of 80 labels
    assert loss(choice.mixture_weights(p)) == pytest.approx(loss(best), abs=1e-3)


def test_the_simplest_within_one_standard_error_worked_by_hand():
    # differences to the best: 1, 3 (mean 2, standard error 1) and 0.5, -0.3 (mean 0.1, standard error 0.4)
    losses = [[2.0, 4.0], [1.5, 0.7], [1.0, 1.0]]
    assert choice.simplest_good(losses) == 1
    assert choice.simplest_good([losses[0], losses[2]]) == 1
    assert choice.simplest_good([losses[1], losses[2]]) == 0


def test_a_candidate_that_wants_more_labels_takes_no_part():
    x, err, fold = data(second=3.0)
    later = choice.Candidate(kind="later", columns=(0, 1), fit=risk.fit_platt, least=201)
    assert {model.kind for model in choice.fit_folds([PLATT, later], x, err, fold)} == {"platt"}
    with pytest.raises(ValueError, match="expected one that takes 200 labels"):
        choice.fit_folds([later], x, err, fold)


def test_a_fold_outside_of_which_all_labels_are_alike_has_the_base_rate():
    x, _, fold = data(n=40)
    models = choice.fit_folds([PLATT, WIDE], x, fold == 0, fold)
    assert models[0].predict(x[:1])[0] == pytest.approx(0.5 / 33)


def test_a_fold_without_labels_is_no_obstacle():
    x, err, fold = data(n=60)
    models = choice.fit_folds([PLATT, WIDE], x, err, np.where(fold == 4, 3, fold) % 3)
    assert len(models) == 5
    assert models[3].predict(x).tolist() == models[4].predict(x).tolist()


def test_chosen_models_of_every_form_survive_json():
    x, err, _ = data()
    stump = trees.Tree(
        feature=(0, 0, 0), threshold=(0.1, 0.0, 0.0), left=(1, -1, -1), right=(2, -1, -1),
        missing_left=(True, False, False), value=(0.0, -1.0, 1.5),
    )  # fmt: skip
    grown = choice.Fitted(
        kind="trees", columns=(1,), model=trees.TreesModel(intercept=-0.5, features=1, trees=(stump,))
    )
    members = (choice.fit_or_constant(PLATT, x, err), choice.fit_or_constant(ISOTONIC, x, err), grown)
    chosen = choice.Chosen(members=members, weights=(0.25, 0.25, 0.5))
    read = choice.Chosen.from_record(json.loads(json.dumps(chosen.to_record())))
    assert read == chosen
    assert read.predict(x).tolist() == chosen.predict(x).tolist()


@pytest.mark.parametrize("err", [[True] * 30, [False] * 30, [True, False] * 9])
def test_too_little_to_choose_from_is_said(err):
    with pytest.raises(checks.CriticUnfit, match="err: expected"):
        choice.fit_folds([PLATT, WIDE], np.zeros((len(err), 2)), err, np.arange(len(err)) % 5)


X, ERR, FOLD = data(n=60)


@pytest.mark.parametrize(
    "call",
    [
        lambda: choice.fit_folds([PLATT], X, ERR[:-1], FOLD),
        lambda: choice.fit_folds([PLATT], X, ERR, FOLD + 1),
        lambda: choice.fit_folds([PLATT], X, ERR, FOLD % 2, folds=2),
        lambda: choice.mixture_weights([[0.0, 0.5]]),
        lambda: choice.mixture_weights(np.empty((0, 3))),
        lambda: choice.simplest_good([[0.5]]),
        lambda: choice.simplest_good([[0.5, np.inf]]),
        lambda: choice.log_loss([0.5], [True, False]),
        lambda: trees.TreesModel(intercept=0.0, features=2, trees=()).predict([[1.0]]),
        lambda: isotonic.fit_isotonic(X, ERR),
        lambda: isotonic.fit_isotonic(np.full((60, 1), np.inf), ERR),
    ],
)
def test_choices_refuse_bad_input(call):
    with pytest.raises(ValueError, match="expected"):
        call()


def slow_isotonic(values, weights):
    """Pool adjacent violators, as its textbook describes it."""
    blocks = [[v * w, w, 1] for v, w in zip(values, weights, strict=True)]
    merged = True
    while merged:
        merged = False
        for i in range(len(blocks) - 1):
            if blocks[i][0] / blocks[i][1] > blocks[i + 1][0] / blocks[i + 1][1]:
                blocks[i : i + 2] = [[a + b for a, b in zip(blocks[i], blocks[i + 1], strict=True)]]
                merged = True
                break
    return np.repeat([total / weight for total, weight, _ in blocks], [size for *_, size in blocks])


def test_the_isotonic_fit_is_that_of_pooling_adjacent_violators():
    rng = np.random.default_rng(5)
    x = rng.integers(0, 12, 90).astype(float)
    err = rng.random(90) < x / 15
    model = isotonic.fit_isotonic(x[:, None], err)
    knots, index = np.unique(x, return_inverse=True)
    labels = np.bincount(index)
    expected = (90 * slow_isotonic(np.bincount(index, err) / labels, labels) + 0.5) / 91
    np.testing.assert_allclose(model.predict(knots[:, None]), expected, atol=1e-9)
    assert (np.diff(model.predict(np.linspace(-5, 20, 300)[:, None])) >= -1e-12).all()


def test_isotonic_risks_are_never_certain_even_where_scores_separate():
    x = np.arange(40.0)[:, None]
    eps = isotonic.fit_isotonic(x, x[:, 0] >= 20).predict(x)
    assert eps.min() == pytest.approx(0.5 / 41)
    assert eps.max() == pytest.approx(40.5 / 41)


def test_a_missing_score_has_a_rate_of_its_own_in_the_isotonic_fit():
    x = np.where(np.arange(80) < 40, NAN, 1.0)[:, None]
    err = (np.arange(80) < 30) | (np.arange(80) >= 70)
    eps = isotonic.fit_isotonic(x, err).predict([[NAN], [1.0]])
    assert eps[0] == pytest.approx((30 + 0.5) / 41)
    assert eps[1] == pytest.approx((40 * 0.25 + 0.5) / 41)
    nowhere = isotonic.fit_isotonic(np.full((80, 1), NAN), err)
    assert nowhere.predict([[NAN], [3.0]]).tolist() == [pytest.approx((40 + 0.5) / 81)] * 2


def test_trees_walk_left_and_right_and_where_a_value_is_missing():
    deep = trees.Tree(
        feature=(0, 1, 0, 0, 0), threshold=(0.5, 2.0, 0.0, 0.0, 0.0), left=(1, 3, -1, -1, -1),
        right=(2, 4, -1, -1, -1), missing_left=(False, True, False, False, False),
        value=(0.0, 0.0, 4.0, -2.0, 1.0),
    )  # fmt: skip
    model = trees.TreesModel(intercept=0.5, features=2, trees=(deep, deep))
    rows = [[0.0, 1.0], [0.0, 2.0], [0.0, NAN], [0.5, 0.0], [NAN, 0.0]]
    expected = scipy.special.expit(0.5 + 2 * np.array([-2.0, 1.0, -2.0, 4.0, 4.0]))
    np.testing.assert_allclose(model.predict(rows), expected)

import dataclasses
import json

import numpy as np
import pytest
import scipy.optimize
import scipy.special

from actuary.stats import checks, choice, flips, risk

PLATT = choice.Candidate(kind="platt", columns=(0, 1), fit=risk.fit_platt)
NAN = float("nan")


def data(seed=0, n=60, missing=0.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)) * [1.0, 3.0] + [2.0, -1.0]
    err = rng.random(n) < scipy.special.expit(1.5 * (x[:, 0] - 2) - 0.5)
    x[rng.random((n, 2)) < missing] = NAN
    return x, err


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_the_fit_is_the_minimum_that_a_general_optimiser_finds(missing):
    x, err = data(missing=missing)
    model = risk.fit_platt(x, err)

    gone = np.isnan(x)
    z = np.where(gone, 0.0, (x - np.nanmean(x, axis=0)) / np.nanstd(x, axis=0))
    z = np.hstack([np.ones((60, 1)), z, gone])

    def loss(b):
        eta = z @ b
        return np.logaddexp(0, eta).sum() - err @ eta + 0.5 * (b[1:] ** 2).sum()

    best = scipy.optimize.minimize(loss, np.zeros(5), tol=1e-12).x
    np.testing.assert_allclose([model.intercept, *model.coef], best, atol=1e-5)


def test_the_mean_risk_on_the_fitted_labels_is_their_error_rate():
    x, err = data(missing=0.2)

    assert risk.predict(risk.fit_platt(x, err), x).mean() == pytest.approx(err.mean(), abs=1e-9)


def test_perfectly_separated_labels_have_finite_risks():
    x = np.r_[np.full(15, -1.0), np.full(15, 1.0)][:, None]

    eps = risk.predict(risk.fit_platt(x, x[:, 0] > 0), x)

    assert 0.001 < eps.min() < 0.2
    assert 0.8 < eps.max() < 0.999


def test_a_huge_feature_does_not_break_the_fit():
    x, err = data()
    x[0, 0] = 1e8

    assert np.isfinite(risk.predict(risk.fit_platt(x, err), x)).all()


def test_step_halving_keeps_newton_on_its_way():
    # nearly unpenalised and separated, far outlier: the full step overshoots
    x = np.r_[np.linspace(-1, -0.9, 25), 0.5, 40.0][:, None]
    err = np.r_[np.zeros(25), 1, 1].astype(bool)

    model = risk.fit_platt(x, err, ridge=1e-6)

    assert np.isfinite([model.intercept, *model.coef]).all()
    assert risk.predict(model, x)[:25].max() < 0.05


def test_a_feature_without_variation_or_without_values_is_ignored():
    _, err = data()
    x = np.column_stack([np.full(60, 3.0), np.full(60, NAN)])

    eps = risk.predict(risk.fit_platt(x, err), x)

    np.testing.assert_allclose(eps, err.mean(), atol=1e-9)


def test_a_missing_score_is_a_feature_of_its_own():
    rng = np.random.default_rng(1)
    x = np.where(rng.random(400) < 0.5, NAN, 0.0)[:, None]
    err = np.isnan(x[:, 0]) & (rng.random(400) < 0.8)

    eps = risk.predict(risk.fit_platt(x, err), [[NAN], [0.0]])

    assert eps[0] > 0.6
    assert eps[1] < 0.1


def test_a_model_survives_json():
    model = risk.fit_platt(*data())

    assert risk.PlattModel.from_record(json.loads(json.dumps(model.to_record()))) == model


def crossfit(x, err, labelled, fold):
    models = choice.fit_folds([PLATT], x[labelled], err[labelled], fold[labelled])
    return risk.predict_folds(models, x, fold)


def test_no_items_risk_depends_on_its_own_label():
    x, err = data(n=80)
    fold = np.arange(80) % 5
    labelled = np.arange(80) < 60
    eps = crossfit(x, err, labelled, fold)

    for item in range(0, 60, 7):
        other = err.copy()
        other[item] = ~other[item]
        changed = crossfit(x, other, labelled, fold)
        assert changed[item] == eps[item]
        assert (changed[fold != fold[item]] != eps[fold != fold[item]]).any()


def test_labels_of_unlabelled_items_are_never_read():
    x, err = data(n=80)
    fold, labelled = np.arange(80) % 5, np.arange(80) < 60
    hidden = err.copy()
    hidden[60:] = ~hidden[60:]

    np.testing.assert_array_equal(crossfit(x, err, labelled, fold), crossfit(x, hidden, labelled, fold))


def test_a_fold_whose_complement_has_one_class_gets_the_base_rate():
    err = np.zeros(40, dtype=bool)
    fold = np.arange(40) % 5
    err[fold == 0] = True
    x = np.arange(40.0)[:, None]

    models = choice.fit_folds([dataclasses.replace(PLATT, columns=(0,))], x, err, fold)

    assert [model.members[0].kind for model in models] == ["constant", *["platt"] * 4]
    assert models[0].predict([[7.0]])[0] == pytest.approx(0.5 / 33)


@pytest.mark.parametrize("err", [[True] * 30, [False] * 30, [True, False] * 9])
def test_too_little_to_learn_from_is_said(err):
    with pytest.raises(checks.CriticUnfit, match="err: expected"):
        risk.fit_platt(np.zeros((len(err), 1)), err)


X, ERR = data()


@pytest.mark.parametrize(
    "call",
    [
        lambda: risk.fit_platt(X[:, 0], ERR),
        lambda: risk.fit_platt(X, ERR[:-1]),
        lambda: risk.fit_platt(X, ERR, ridge=0.0),
        lambda: risk.fit_platt(np.where(X > 2, np.inf, X), ERR),
        lambda: risk.predict(risk.constant(ERR, 2), X[:, :1]),
        lambda: choice.fit_folds([PLATT], X, ERR, np.full(60, 5)),
        lambda: choice.fit_folds([PLATT], X, ERR, np.zeros(60, int), folds=1),
        lambda: risk.predict_folds([risk.constant(ERR, 2)], X, np.ones(60, int)),
        lambda: choice.fit_folds([PLATT], X, ERR[:-1], np.zeros(60, int)),
        lambda: risk.logit([1.5]),
        lambda: risk.logit([np.inf]),
    ],
)
def test_risk_models_refuse_bad_input(call):
    with pytest.raises(ValueError, match="expected"):
        call()


P = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [1.0, 0.0, 0.0]])


def test_recalibrated_probabilities_worked_by_hand():
    p = flips.recalibrated(P, [0, 1, 0], [0.6, 0.1, 0.5])

    np.testing.assert_allclose(p, [[0.4, 0.4, 0.2], [0.05, 0.9, 0.05], [0.5, 0.25, 0.25]])


def test_flipping_twice_is_flipping_once():
    p = flips.recalibrated(P, [0, 1, 0], [0.9, 0.1, 0.5])
    once, eps = flips.flip([0, 1, 0], p)
    twice, again = flips.flip(once, p)

    assert once.tolist() == twice.tolist() == [1, 1, 0]
    np.testing.assert_array_equal(eps, again)
    np.testing.assert_allclose(eps, [0.4, 0.1, 0.5])


def test_the_gain_is_positive_exactly_when_the_sign_test_rejects():
    for better in range(8):
        for worse in range(8):
            before = [True] * better + [False] * (50 - better)
            after = [False] * better + [True] * worse + [False] * (50 - better - worse)
            gain = flips.gain_lower_bound(before, after)
            p = scipy.stats.binom.sf(better - 1, better + worse, 0.5) if better + worse else 1.0
            assert (gain.lower > 0) == (p < 0.05)
            assert (gain.corrected, gain.spoiled) == (better, worse)
            assert gain.lower <= gain.gain == pytest.approx((better - worse) / 50)


def bands(sure: tuple[int, int], close: tuple[int, int]) -> flips.Gain:
    """Flips at risks of .8 and of .55, so many for the better and for the worse."""
    wrong = np.repeat([True, False, True, False, False], [*sure, *close, 40])
    eps = np.repeat([0.8, 0.55, 0.1], [sum(sure), sum(close), 40])
    return flips.proven(eps, wrong, wrong ^ (eps > 0.5))


def test_flips_near_one_half_need_labels_of_their_own_and_do_not_hide_what_the_surer_ones_gain():
    found = bands(sure=(20, 4), close=(20, 30))

    together = np.repeat([True, False], [40, 34])
    assert not flips.gain_lower_bound(together, ~together).pays
    assert found.pays
    assert (found.above, found.corrected, found.spoiled) == (0.6, 20, 4)


def test_all_flips_are_made_where_both_bands_pay():
    found = bands(sure=(20, 4), close=(20, 4))

    assert found.pays
    assert (found.above, found.corrected, found.spoiled) == (0.5, 40, 8)


def test_no_flip_near_one_half_is_made_where_the_surer_ones_do_not_pay():
    assert not bands(sure=(4, 4), close=(20, 0)).pays


@pytest.mark.parametrize(
    "call",
    [
        lambda: flips.flip([0], [[0.5, 0.6]]),
        lambda: flips.flip([0], [[1.0]]),
        lambda: flips.flip([2], [[0.5, 0.5]]),
        lambda: flips.flip([-1], [[0.5, 0.5]]),
        lambda: flips.flip([0, 0], [[0.5, 0.5]]),
        lambda: flips.flip([0], [[1.5, -0.5]]),
        lambda: flips.recalibrated([[0.5, 0.5]], [0], [1.5]),
        lambda: flips.recalibrated([[0.5, float("nan")]], [0], [0.5]),
        lambda: flips.gain_lower_bound([], []),
        lambda: flips.gain_lower_bound([True], [True, False]),
        lambda: flips.gain_lower_bound([True], [False], alpha=1.0),
        lambda: flips.proven([1.5], [True], [False]),
        lambda: flips.proven([0.5, 0.5], [True], [False]),
        lambda: flips.proven([], [], []),
    ],
)
def test_flips_refuse_bad_input(call):
    with pytest.raises(ValueError, match="expected"):
        call()

import numpy as np
import pytest

from actuary.stats import checks

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: checks.floats("x", [1.0, NAN, NAN]),
            r"x: expected finite values, got nan at \[1\] \(2 of 3\)",
        ),
        (lambda: checks.floats("x", [[1.0]]), r"x: expected 1 axes, got shape \(1, 1\)"),
        (lambda: checks.floats("x", [1.0], size=2), "x: expected 2 values, got 1"),
        (lambda: checks.floats("x", [[1.0, INF]], ndim=2, nan=True), r"inf at \[0, 1\]"),
        (lambda: checks.within("x", [0.5, 1.5], 0, 1), r"x: expected values in \[0, 1\], got 1.5 at \[1\]"),
        (lambda: checks.within("x", [-0.5], 0, 1), "got -0.5"),
        (lambda: checks.risks("eps", []), "at least one item"),
        (lambda: checks.risks("eps", [1.0000001]), "eps: expected values in"),
        (lambda: checks.uniforms("u", [0.0]), r"u: expected values in \(0, 1\)"),
        (lambda: checks.uniforms("u", [1.0]), r"u: expected values in \(0, 1\)"),
        (lambda: checks.sizes("s", [-1.0]), "s: expected values of at least 0"),
        (lambda: checks.flags("d", [0, 2]), r"d: expected true or false, got 2 at \[1\]"),
        (lambda: checks.flags("d", [NAN]), "d: expected true or false"),
        (lambda: checks.flags("d", [[True]]), "expected 1 axes"),
        (lambda: checks.flags("d", [True], size=3), "expected 3 values, got 1"),
        (lambda: checks.indexes("y", [0, 3], 0, 3), r"y: expected integers in \[0, 3\), got 3"),
        (lambda: checks.indexes("y", [-1], 0, 3), "got -1"),
        (lambda: checks.indexes("y", [0.0], 0, 3), "expected integers"),
        (lambda: checks.indexes("y", [0], 0, 3, size=2), "expected 2 values"),
        (lambda: checks.share("alpha", 0.0), r"alpha: expected a number in \(0, 1\)"),
        (lambda: checks.share("alpha", NAN), "got nan"),
        (lambda: checks.budget(0, 5), "0 < budget <= 5 \\(all items\\), got 0"),
        (lambda: checks.budget(5.5, 5), "got 5.5"),
        (lambda: checks.budget(NAN, 5), "got nan"),
        (lambda: checks.count("n", 2.5, 1, 3), "whole number"),
        (lambda: checks.count("n", 4, 1, 3), r"\[1, 3\], got 4"),
        (lambda: checks.count("n", True, 1, 3), "got True"),
    ],
)
def test_bad_input_is_refused_with_what_was_expected_and_what_came(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_good_input_passes_as_it_is():
    assert checks.floats("x", [[1.0, NAN]], ndim=2, nan=True).shape == (1, 2)
    assert checks.flags("d", np.array([0.0, 1.0])).tolist() == [False, True]
    assert checks.indexes("y", [], 0, 3).dtype == np.int64
    assert checks.count("n", np.int64(3), 1, 3) == 3


def test_an_infeasible_budget_says_what_would_do():
    assert checks.BudgetInfeasible("too little", min_budget=60).min_budget == 60

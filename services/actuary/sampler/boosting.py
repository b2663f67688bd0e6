"""Grows the boosted trees of a risk model with XGBoost, and hands them over as numbers.

The only place that knows XGBoost, imported when trees are grown and never to use them: `stats.trees` walks
what comes out. The same labels give the same trees, bit for bit: one thread, no subsampling, no randomness.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.special

from actuary import errors
from actuary.stats import checks, risk, trees

LEAST = 400
"""Labels from which on trees take part (algorithms.md T5)."""

ROUNDS = 60
PARAMETERS: dict[str, Any] = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "max_depth": 3,
    "eta": 0.1,
    "min_child_weight": 4.0,
    "lambda": 2.0,
    "nthread": 1,
    "seed": 0,
    "verbosity": 0,
}
"""Small trees and a short walk: a guess. Six other settings (depth 2 and 4, slower and longer, heavier
leaves, fewer columns a tree) were within .01 of its AUROC on politeness, so that it was kept."""


def fit(x: checks.Floats, err: checks.Booleans, monotone: Sequence[int]) -> trees.TreesModel:
    """Grows trees for the log loss.

    Args:
        x: features, shape [n, p], NaN where missing; a tree learns which way a missing one goes.
        err: d, shape [n].
        monotone: 1 where ε may only rise with a feature, -1 where it may only fall, 0 where it is free; [p].

    Returns:
        The model.

    Raises:
        CriticUnfit: fewer than 20 labels, or all right, or all wrong.
        errors.UnsupportedError: XGBoost is not installed.

    References:
        Chen, T., Guestrin, C. (2016), XGBoost: a scalable tree boosting system, KDD.
    """
    risk.check_fit(err)
    try:
        import xgboost
    except ModuleNotFoundError as error:
        raise errors.UnsupportedError(
            f"a risk model from {LEAST} labels or more needs XGBoost: install actuary[compute]"
        ) from error
    base = float(err.mean())
    grown = xgboost.train(
        {
            **PARAMETERS,
            "base_score": base,
            "monotone_constraints": "(" + ",".join(str(sign) for sign in monotone) + ")",
        },
        xgboost.DMatrix(x, label=err, nthread=1),
        num_boost_round=ROUNDS,
    )
    model = json.loads(grown.save_raw("json").decode())["learner"]["gradient_booster"]["model"]
    return trees.TreesModel(
        intercept=float(scipy.special.logit(np.float32(base).astype(np.float64))),
        features=x.shape[1],
        trees=tuple(_tree(each) for each in model["trees"]),
    )


def _tree(grown: dict[str, Any]) -> trees.Tree:
    # a leaf keeps its value where an inner node keeps its threshold
    condition = tuple(float(value) for value in grown["split_conditions"])
    return trees.Tree(
        feature=tuple(grown["split_indices"]),
        threshold=condition,
        left=tuple(grown["left_children"]),
        right=tuple(grown["right_children"]),
        missing_left=tuple(bool(way) for way in grown["default_left"]),
        value=condition,
    )

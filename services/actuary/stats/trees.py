"""Boosted trees as numbers: what they say of an item, without the library that grew them.

A risk model is read months later, by another version, in a process that plans and does not fit. So its trees
are kept as plain numbers and walked by NumPy. Growing them is deliberately not here: that needs XGBoost, and
is the worker's (`sampler.boosting`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.special

from actuary.stats import checks


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """One tree; node 0 is its root, and a node whose `left` is -1 a leaf."""

    feature: tuple[int, ...]
    """Column that a node looks at."""
    threshold: tuple[float, ...]
    """It goes left where x < threshold, both as float32, as XGBoost compares."""
    left: tuple[int, ...]
    right: tuple[int, ...]
    missing_left: tuple[bool, ...]
    """Where an item goes whose x is missing."""
    value: tuple[float, ...]
    """What a leaf adds to the logit of ε."""

    def apply(self, x: npt.NDArray[np.float32]) -> checks.Floats:
        """Returns the value of each row's leaf, [N]."""
        feature, left, right = np.array(self.feature), np.array(self.left), np.array(self.right)
        threshold = np.array(self.threshold, dtype=np.float32)
        missing_left = np.array(self.missing_left, dtype=np.bool_)
        node = np.zeros(x.shape[0], dtype=np.int64)
        rows = np.arange(x.shape[0])
        while (inner := left[node] >= 0).any():
            at = node[inner]
            value = x[rows[inner], feature[at]]
            to_left = np.where(np.isnan(value), missing_left[at], value < threshold[at])
            node[inner] = np.where(to_left, left[at], right[at])
        return np.array(self.value, dtype=np.float64)[node]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TreesModel:
    """logit ε = b + Σ_t leaf_t(x)."""

    intercept: float
    features: int
    """p."""
    trees: tuple[Tree, ...]

    def predict(self, x: npt.ArrayLike) -> checks.Floats:
        """Returns ε, shape [N], of features, shape [N, p], NaN where missing.

        Raises:
            ValueError: infinite features, or another number of them than the model's.

        >>> stump = Tree(
        ...     feature=(0, 0, 0), threshold=(1.5, 0.0, 0.0), left=(1, -1, -1), right=(2, -1, -1),
        ...     missing_left=(True, False, False), value=(0.0, -1.0, 1.0),
        ... )
        >>> model = TreesModel(intercept=0.0, features=1, trees=(stump,))
        >>> model.predict([[1.0], [1.5], [float("nan")]]).round(3).tolist()
        [0.269, 0.731, 0.269]
        """
        features = checks.floats("x", x, ndim=2, nan=True)
        if features.shape[1] != self.features:
            raise ValueError(f"x: expected {self.features} features, got {features.shape[1]}")
        single = features.astype(np.float32)
        eta = np.full(features.shape[0], self.intercept)
        for tree in self.trees:
            eta += tree.apply(single)
        return np.asarray(scipy.special.expit(eta), dtype=np.float64)

    def to_record(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        return {
            "intercept": self.intercept,
            "features": self.features,
            "trees": [
                {name: list(values) for name, values in dataclasses.asdict(tree).items()}
                for tree in self.trees
            ],
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> TreesModel:
        """Reads what `to_record` wrote."""
        return cls(
            intercept=float(record["intercept"]),
            features=int(record["features"]),
            trees=tuple(
                Tree(**{name: tuple(values) for name, values in tree.items()}) for tree in record["trees"]
            ),
        )

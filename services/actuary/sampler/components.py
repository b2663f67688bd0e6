"""What risk models see of an embedding: its principal components in the pilot.

An embedding has hundreds of numbers and a pilot some hundreds of labels, so a model that saw all of them
would learn the pilot by heart. The components are found without looking at a label, hence no risk depends on
its own item's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.linalg

from actuary.stats import checks

MOST = 10
"""Components; an embedding of no more numbers is seen as it is. Of 10, 20, 32, 64 and 128, on tweets and
requests with embeddings of 384 numbers, 10 or 20 predicted best from 300 to 2,000 labels."""

LEAST_ITEMS = 100
"""Items with an embedding; fewer show no directions."""

_AT_ONCE = 1 << 22
"""Numbers that are standardised at a time: 32 MB."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Components:
    """C directions of p numbers, standardised."""

    center: checks.Floats
    """[p]."""
    scale: checks.Floats
    """[p]."""
    axes: checks.Floats
    """[C, p]."""

    @property
    def count(self) -> int:
        """C."""
        return len(self.axes)

    def of(self, embedding: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]) -> checks.Floats:
        """Returns the components of some rows, [M, C], of embeddings, [N, p]; NaN where there is none."""
        found = np.empty((len(rows), self.count))
        step = max(1, _AT_ONCE // len(self.center))
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            standard = (embedding[part] - self.center) / self.scale
            for number, axis in enumerate(self.axes):
                # not a matrix product: BLAS rounds a row by where it stands, which is in its shard
                found[start : start + step, number] = (standard * axis).sum(axis=1)
        return found

    def to_record(self) -> dict[str, Any]:
        """Returns them as JSON values."""
        return {name: getattr(self, name).tolist() for name in ("center", "scale", "axes")}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Components:
        """Reads what `to_record` wrote."""
        return cls(**{name: np.array(record[name], dtype=np.float64) for name in ("center", "scale", "axes")})


def fit(embedding: npt.NDArray[np.float32] | None) -> Components | None:
    """Finds the directions in which embeddings differ most.

    Args:
        embedding: of the pilot's items, [n, p]; rows of NaN where there is none.

    Returns:
        At most `MOST` components; None where there is nothing to find: no embeddings, too few, or all alike.

    References:
        Jolliffe, I. (2002), Principal component analysis: of the correlation matrix, since numbers made by
        hand have any unit.
    """
    if embedding is None:
        return None
    given = embedding[~np.isnan(embedding).any(axis=1)].astype(np.float64)
    count, width = given.shape
    if count < LEAST_ITEMS:
        return None
    if width <= MOST:
        return Components(center=np.zeros(width), scale=np.ones(width), axes=np.eye(width))
    center, spread = given.mean(axis=0), given.std(axis=0)
    scale = np.where(spread > 1e-12 * np.maximum(1.0, np.abs(center)), spread, np.inf)
    standard = (given - center) / scale
    tall = count > width
    products = standard.T @ standard if tall else standard @ standard.T
    size = len(products)
    values, vectors = scipy.linalg.eigh(products, subset_by_index=(size - MOST, size - 1))
    large = values > 1e-9 * max(values[-1], 1e-300)
    if not large.any():
        return None
    axes = vectors.T[large][::-1]
    if not tall:
        axes = axes @ standard
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    # a direction has no sign of its own; the largest number of each is above 0
    largest = np.abs(axes).argmax(axis=1)
    axes *= np.sign(axes[np.arange(len(axes)), largest])[:, None]
    return Components(center=center, scale=np.where(np.isinf(scale), 1.0, scale), axes=axes)

"""The critic's family: multinomial logistic regression on features that the annotator does not use.

A critic helps as far as its errors are others than the annotator's. This one sees histograms of gradients
where `exemplar` sees gray levels, and word n-grams where that sees characters. It is fitted on the exemplars
alone; images are shifted by a step in each direction, so that it does not learn where things lie.

Its probabilities are those of a small fit and deliberately not calibrated: the sampler calibrates critics on
human labels.

Options:
    l2: weight of the penalty l2/2 |W|², default 1.
    grid: as of `exemplar`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.optimize
import scipy.sparse
import scipy.special

from actuary import errors
from actuary.models import examples, pixels, protocol, words
from actuary.models import options as model_options

Features = Any
"""[N, D], an array or a scipy.sparse matrix."""


class LinearModel:
    """A regularised linear classifier."""

    def __init__(self, spec: protocol.ModelSpec, context: protocol.ModelContext) -> None:
        read = model_options.Options(spec)
        l2 = read.number("l2", 1.0, low=1e-6, high=1e6)
        self._grid = read.whole("grid", 16, low=8, high=64) // 4 * 4
        read.done()
        known = examples.read(context)
        self._modality = known.modality
        labels = known.labels
        if known.modality == "image":
            levels, bad = pixels.gray([c for c in known.contents if isinstance(c, bytes)], self._grid)
            if bad:
                raise errors.InvalidInputError.of(
                    [errors.Violation(f"exemplar {known.ids[i]!r}", r) for i, r in bad.items()],
                    reason="EXEMPLARS",
                )
            shifted = pixels.shifted(levels, max(self._grid // 16, 1))
            features = pixels.gradients(shifted.reshape(-1, self._grid, self._grid))
            labels = np.repeat(labels, pixels.SHIFTS)
        else:
            texts = [str(c) for c in known.contents]
            self._hashed = words.Hashed(texts, "words")
            hashed = self._hashed(texts)
            # the weight of an n-gram that no exemplar has stays 0, so its column can go
            self._columns = np.unique(hashed.indices)
            features = hashed[:, self._columns].toarray()
        self._weights, self._bias = fit(features, labels, len(context.classes), l2)
        self._capabilities = protocol.Capabilities(
            model=f"linear-1/{known.modality}",
            inputs=frozenset({"image"} if known.modality == "image" else {"text", "question"}),
            max_batch=8192,
        )

    @property
    def capabilities(self) -> protocol.Capabilities:
        """What it can do."""
        return self._capabilities

    async def score(self, prompts: Sequence[protocol.Prompt], options: Sequence[str]) -> protocol.ScoreBatch:
        """Answers with the likeliest class."""
        return examples.score(prompts, len(options), self._modality, self._classify)

    async def generate(
        self, prompts: Sequence[protocol.Prompt], limits: protocol.Limits
    ) -> protocol.GenerationBatch:
        """It writes nothing."""
        raise protocol.cannot_generate(self._capabilities)

    async def close(self) -> None:
        """Holds nothing."""

    def _classify(self, contents: list[bytes | str]) -> tuple[protocol.Floats, dict[int, str]]:
        bad: dict[int, str] = {}
        if self._modality == "image":
            levels, bad = pixels.gray([c for c in contents if isinstance(c, bytes)], self._grid)
            features: Features = pixels.gradients(levels)
        else:
            features = self._hashed([str(c) for c in contents])[:, self._columns]
        return scipy.special.softmax(features @ self._weights + self._bias, axis=1), bad


def fit(
    features: protocol.Floats, labels: protocol.Longs, classes: int, l2: float
) -> tuple[protocol.Floats, protocol.Floats]:
    """Multinomial logistic regression: min_W,b sum_i -log softmax(x_i W + b)_{y_i} + l2/2 |W|².

    Args:
        features: [N, D] x.
        labels: [N] y in [0, K).
        classes: K.
        l2: penalty, > 0.

    Returns:
        W [D, K] and b [K], the latter without penalty and with mean 0.
    """
    d = features.shape[1]
    target = np.eye(classes)[labels]

    def loss(flat: protocol.Floats) -> tuple[float, protocol.Floats]:
        weights, bias = flat[: d * classes].reshape(d, classes), flat[d * classes :]
        z = features @ weights + bias
        logs = scipy.special.log_softmax(z, axis=1)
        residual = np.exp(logs) - target
        value = -(logs * target).sum() + 0.5 * l2 * (weights**2).sum()
        slope = features.T @ residual + l2 * weights
        return value, np.concatenate([slope.ravel(), residual.sum(axis=0)])

    result = scipy.optimize.minimize(
        loss, np.zeros((d + 1) * classes), jac=True, method="L-BFGS-B", options={"maxiter": 1000}
    )
    bias = result.x[d * classes :]
    return result.x[: d * classes].reshape(d, classes), bias - bias.mean()

"""A few-shot annotator: an item is what its nearest exemplar is, with probabilities from how much nearer.

It stands for a machine that knows a handful of labelled examples and nothing else. Similarity is the
correlation of gray levels, at the best of 25 small shifts, or the cosine of character n-grams. Probabilities
are a softmax over the classes' best similarities; its temperature maximises the likelihood of the exemplars,
each judged by the others. Nothing of the pool is ever learned from.

Options:
    grid: side of the grid that images are brought to; a multiple of 4 in [8, 64], default 16.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse
import scipy.special

from actuary import errors
from actuary.models import examples, pixels, protocol, words
from actuary.models import options as model_options

_TEMPERATURES = np.geomspace(0.005, 2.0, 60)
_DEFAULT_TEMPERATURE = 0.1
"""Where no class has two exemplars to judge each other. A guess."""
_ROWS = 1024


class ExemplarModel:
    """Nearest exemplars."""

    def __init__(self, spec: protocol.ModelSpec, context: protocol.ModelContext) -> None:
        read = model_options.Options(spec)
        self._grid = read.whole("grid", 16, low=8, high=64) // 4 * 4
        read.done()
        known = examples.read(context)
        self._modality = known.modality
        self._labels = known.labels
        self._classes = len(context.classes)
        self._exemplars: protocol.Floats | scipy.sparse.csr_matrix
        if known.modality == "image":
            levels = _read_exemplars(known, self._grid)
            self._exemplars = pixels.centred(pixels.shifted(levels, max(self._grid // 16, 1)))
        else:
            texts = [str(c) for c in known.contents]
            self._hashed = words.Hashed(texts, "characters")
            self._exemplars = self._hashed(texts)
        similarity, _ = self._similarities(list(known.contents))
        self._temperature = _temperature(similarity, self._labels, self._classes)
        self._capabilities = protocol.Capabilities(
            model=f"exemplar-1/{known.modality}",
            inputs=frozenset({"image"} if known.modality == "image" else {"text", "question"}),
            max_batch=8192,
        )

    @property
    def capabilities(self) -> protocol.Capabilities:
        """What it can do."""
        return self._capabilities

    @property
    def temperature(self) -> float:
        """Of the softmax, in units of similarity."""
        return self._temperature

    async def score(self, prompts: Sequence[protocol.Prompt], options: Sequence[str]) -> protocol.ScoreBatch:
        """Answers with the class of the nearest exemplar."""
        return examples.score(prompts, len(options), self._modality, self._classify)

    async def generate(
        self, prompts: Sequence[protocol.Prompt], limits: protocol.Limits
    ) -> protocol.GenerationBatch:
        """It writes nothing."""
        raise protocol.cannot_generate(self._capabilities)

    async def close(self) -> None:
        """Holds nothing."""

    def _classify(self, contents: list[bytes | str]) -> tuple[protocol.Floats, dict[int, str]]:
        similarity, bad = self._similarities(contents)
        best = _by_class(similarity, self._labels, self._classes)
        return scipy.special.softmax(best / self._temperature, axis=1), bad

    def _similarities(self, contents: list[bytes | str]) -> tuple[protocol.Floats, dict[int, str]]:
        """[N, M] to each exemplar, in [-1, 1]."""
        if isinstance(self._exemplars, np.ndarray):
            levels, bad = pixels.gray([c for c in contents if isinstance(c, bytes)], self._grid)
            m, shifts, size = self._exemplars.shape
            exemplars = self._exemplars.reshape(m * shifts, size).T
            flat = pixels.centred(levels)
            out = np.empty((len(contents), m))
            for i in range(0, len(contents), _ROWS):  # bounds the memory of the shifts
                out[i : i + _ROWS] = (flat[i : i + _ROWS] @ exemplars).reshape(-1, m, shifts).max(axis=2)
            return out, bad
        asked = self._hashed([str(c) for c in contents])
        return np.asarray((asked @ self._exemplars.T).toarray()), {}


def _read_exemplars(known: examples.Examples, grid: int) -> protocol.Floats:
    levels, bad = pixels.gray([c for c in known.contents if isinstance(c, bytes)], grid)
    if bad:
        raise errors.InvalidInputError.of(
            [errors.Violation(f"exemplar {known.ids[i]!r}", reason) for i, reason in bad.items()],
            reason="EXEMPLARS",
        )
    return levels


def _by_class(similarity: protocol.Floats, labels: protocol.Longs, classes: int) -> protocol.Floats:
    return np.stack([similarity[:, labels == k].max(axis=1) for k in range(classes)], axis=1)


def _temperature(similarity: protocol.Floats, labels: protocol.Longs, classes: int) -> float:
    """The temperature with the best leave-one-out likelihood; only exemplars whose class has another count.

    Args:
        similarity: [M, M] of the exemplars to one another.
        labels: [M]
        classes: K.
    """
    others = np.where(np.eye(len(labels), dtype=bool), -np.inf, similarity)
    judged = np.bincount(labels, minlength=classes)[labels] > 1
    if not judged.any():
        return _DEFAULT_TEMPERATURE
    best = _by_class(others, labels, classes)[judged]
    # a class whose only exemplar is the one judged does not occur here, so no row is -inf at its label
    rows = np.arange(len(best))
    likelihood = [
        scipy.special.log_softmax(best / t, axis=1)[rows, labels[judged]].mean() for t in _TEMPERATURES
    ]
    return float(_TEMPERATURES[int(np.argmax(likelihood))])

"""Text as numbers: hashed n-grams of characters or words, weighted by how rare they are among the exemplars.

Hashing needs no vocabulary, so no text of the pool is ever learned from. scikit-learn is imported when the
first text is read.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import scipy.sparse

_FEATURES = 1 << 20


class Hashed:
    """n-gram features: sublinear frequency times inverse document frequency, rows of length 1."""

    def __init__(self, texts: Sequence[str], unit: Literal["characters", "words"]) -> None:
        from sklearn.feature_extraction import text as extraction

        self._counter: Any = extraction.HashingVectorizer(
            analyzer="char_wb" if unit == "characters" else "word",
            ngram_range=(2, 4) if unit == "characters" else (1, 2),
            token_pattern=r"(?u)\b\w+\b",
            n_features=_FEATURES,
            alternate_sign=False,
            norm=None,
        )
        seen = np.asarray((self._count(texts) > 0).sum(axis=0)).ravel()
        self._rarity = np.log((1 + len(texts)) / (1 + seen)) + 1

    def __call__(self, texts: Sequence[str]) -> scipy.sparse.csr_matrix:
        """[N, 2^20]; a text without n-grams is a row of zeros."""
        counts = self._count(texts)
        counts.data = 1 + np.log(counts.data)
        weighted = counts.multiply(self._rarity).tocsr()
        length = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
        return scipy.sparse.diags(1 / np.maximum(length, 1e-9)) @ weighted

    def _count(self, texts: Sequence[str]) -> Any:
        return self._counter.transform([unicodedata.normalize("NFKC", t) for t in texts])

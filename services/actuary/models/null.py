"""A model that knows nothing and answers at once: for measuring the machinery around models, and for tests.

Label, confidence and failure are hashes of the item id and the seed, so that every process and every run
gives the same. It looks at no content and is deliberately useless as an annotator.

Options:
    seed: another set of answers.
    failure_rate, abstain_rate: share of items, in [0, 1].
    latency_ms: waits so long a call, without computing; calls in flight together then go faster.
    tokens_out: tokens written an item.
    probabilities: `yes` (default) or `no`.
    kill_item: the process dies (SIGKILL) when it gets this item, or one of several with commas between.
    call_log: file to which the ids of every call are appended, one a line, so that repeated calls show.
"""

from __future__ import annotations

import asyncio
import os
import signal
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from actuary.models import options as model_options
from actuary.models import protocol

_GOLDEN = 0x9E3779B97F4A7C15
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)


class NullModel:
    """Answers by hash."""

    def __init__(self, spec: protocol.ModelSpec, context: protocol.ModelContext) -> None:
        read = model_options.Options(spec)
        self._seed = read.whole("seed", 0, low=0, high=2**32 - 1)
        self._failure_rate = read.number("failure_rate", 0.0, low=0, high=1)
        self._abstain_rate = read.number("abstain_rate", 0.0, low=0, high=1)
        self._latency_seconds = read.number("latency_ms", 0.0, low=0, high=3_600_000) / 1000
        self._tokens_out = read.whole("tokens_out", 1, low=0, high=1_000_000)
        self._probabilities = read.choice("probabilities", "yes", ("yes", "no")) == "yes"
        self._kill_items = frozenset(filter(None, read.text("kill_item", "").split(",")))
        self._call_log = read.text("call_log", "")
        read.done()
        self._capabilities = protocol.Capabilities(
            model="null-1",
            inputs=frozenset({"text", "image", "question"}),
            probabilities=self._probabilities,
            max_batch=65_536,
            concurrent=self._latency_seconds > 0,
        )

    @property
    def capabilities(self) -> protocol.Capabilities:
        """What it can do."""
        return self._capabilities

    async def score(self, prompts: Sequence[protocol.Prompt], options: Sequence[str]) -> protocol.ScoreBatch:
        """Chooses by hash."""
        if self._latency_seconds:
            await asyncio.sleep(self._latency_seconds)
        n, k = len(prompts), len(options)
        ids = [p.item_id for p in prompts]
        if self._kill_items and not self._kill_items.isdisjoint(ids):
            os.kill(os.getpid(), signal.SIGKILL)
        if self._call_log:
            with open(self._call_log, "a", encoding="utf-8") as log:
                log.write("".join(f"{i}\n" for i in ids))
        crc32, seed = zlib.crc32, self._seed
        # the id's length in the upper half tells apart some ids whose CRC is the same
        bits = np.fromiter((crc32(i.encode(), seed) | len(i) << 32 for i in ids), np.uint64, n)
        label = (_mix(bits, 1) % np.uint64(k)).astype(np.int64)
        # between a coin's and certainty, so that calibration has something to see
        confidence = 1 / k + (1 - 1 / k) * _unit(_mix(bits, 2))
        logs = None
        if self._probabilities:
            logs = np.empty((n, k))
            with np.errstate(divide="ignore"):
                logs[:] = np.log((1 - confidence) / (k - 1))[:, None]
            logs[np.arange(n), label] = np.log(confidence)
        tokens_in = np.fromiter(map(protocol.count_tokens, prompts), np.int64, n)
        if self._abstain_rate:
            out = _unit(_mix(bits, 4)) < self._abstain_rate
            label[out] = -1
            confidence[out] = np.nan
            if logs is not None:
                logs[out] = np.nan
        failures: dict[str, str] = {}
        if self._failure_rate:
            bad = _unit(_mix(bits, 3)) < self._failure_rate
            failures = {ids[i]: "the null model fails on this item" for i in np.flatnonzero(bad)}
            good = ~bad
            ids = [i for i, keep in zip(ids, good.tolist(), strict=True) if keep]
            label, confidence, tokens_in = label[good], confidence[good], tokens_in[good]
            logs = None if logs is None else logs[good]
        return protocol.ScoreBatch(
            item_ids=ids,
            label_index=label,
            log_probabilities=logs,
            confidence=confidence,
            tokens_in=tokens_in,
            tokens_out=np.full(len(ids), self._tokens_out, np.int64),
            compute_seconds=np.zeros(len(ids)),
            failures=failures,
        )

    async def generate(
        self, prompts: Sequence[protocol.Prompt], limits: protocol.Limits
    ) -> protocol.GenerationBatch:
        """It writes nothing."""
        raise protocol.cannot_generate(self._capabilities)

    async def close(self) -> None:
        """Holds nothing."""


def _mix(bits: npt.NDArray[np.uint64], stream: int) -> npt.NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele, Lea, Flood 2014) of the id's bits and a stream number."""
    z = bits + np.uint64(_GOLDEN * stream & 0xFFFFFFFFFFFFFFFF)
    z = (z ^ (z >> np.uint64(30))) * _M1
    z = (z ^ (z >> np.uint64(27))) * _M2
    return z ^ (z >> np.uint64(31))


def _unit(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """In (0, 1)."""
    return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53

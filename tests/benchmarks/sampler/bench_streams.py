"""What selecting from chunks costs beside numpy.partition on the whole array, and how it grows.

Usage: bench_streams.py [items ...], by default 1e7, 3e7 and 1e8. The ratios are those of the last size.
Times are of the processor, of one thread, and the least of several repeats in which the two sides take
turns: other work on the machine then counts least. Risks are Beta(1/2, 2), as of a critic that is mostly
sure.
"""

from __future__ import annotations

import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np

from actuary.stats import checks, orders, streamed_hybrid, streams

_CHUNK = 2**16
_SHARE = 0.01
_REPEATS = 3


def _pool(items: int) -> tuple[checks.Floats, checks.Floats]:
    """Risks and random numbers, chunk by chunk: no chunk needs another one's generator."""
    risk, u = np.empty(items), np.empty(items)
    for first in range(0, items, _CHUNK):
        rng = np.random.default_rng([2, first])
        part = slice(first, min(first + _CHUNK, items))
        risk[part] = rng.beta(0.5, 2.0, part.stop - first)
        u[part] = 1.0 - rng.random(part.stop - first) * (1.0 - 2.0**-53) - 2.0**-54
    return risk, u


def _selections(risk: checks.Floats, u: checks.Floats) -> dict[str, Callable[[], object]]:
    budget = int(_SHARE * risk.size)

    def chunks() -> Iterator[tuple[checks.Floats, checks.Floats, int]]:
        for first in range(0, risk.size, _CHUNK):
            yield risk[first : first + _CHUNK], u[first : first + _CHUNK], first

    def items() -> Iterator[streamed_hybrid.Items]:
        return (streamed_hybrid.Items(risk=r, u=x, u_tie=x, place=p) for r, x, p in chunks())

    return {
        "threshold": lambda: streams.take(lambda: (orders.by_risk(*chunk) for chunk in chunks()), budget),
        "priority": lambda: streams.take(lambda: (orders.by_priority(*chunk) for chunk in chunks()), budget),
        "hybrid": lambda: streamed_hybrid.hybrid(items, budget),
    }


def _in_place(risk: checks.Floats, copy: checks.Floats, at: int) -> None:
    """What numpy.partition does without the pages that the kernel gives it for its result."""
    np.copyto(copy, risk)
    copy.partition(at)


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _print(benchmark: str, value: float, unit: str, against: object = None, **more: object) -> None:
    line = {"benchmark": benchmark, "value": round(value, 3), "unit": unit, "against": against, **more}
    print(json.dumps(line), flush=True)


def main() -> None:
    """Prints JSON lines."""
    sizes = [int(float(argument)) for argument in sys.argv[1:]] or [10**7, 3 * 10**7, 10**8]
    for size in sizes:
        risk, u = _pool(size)
        work = _selections(risk, u)
        at = size - int(_SHARE * size)
        work["partition"] = lambda risk=risk, at=at: np.partition(risk, at)
        copy = np.empty_like(risk)
        work["partition_in_place"] = lambda risk=risk, copy=copy, at=at: _in_place(risk, copy, at)
        best = dict.fromkeys(work, float("inf"))
        for _ in range(_REPEATS):
            for name, run in work.items():
                best[name] = min(best[name], _seconds(run))
        for name in work:
            _print(f"sampler.stream_{name}_seconds", best[name], "s", items=size)
        if size != sizes[-1]:
            continue
        for name in ("threshold", "priority", "hybrid"):
            ratio = best[name] / best["partition"]
            warm = round(best[name] / best["partition_in_place"], 3)
            _print(
                f"sampler.stream_{name}_ratio",
                ratio,
                "of numpy.partition",
                4.0,
                items=size,
                of_partition_in_place=warm,
            )
        peak = 0
        for name in ("threshold", "priority", "hybrid"):
            tracemalloc.start()
            work[name]()
            peak = max(peak, tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        _print("sampler.stream_memory_mb", peak / 1e6, "MB", 100.0, items=size, taken=int(_SHARE * size))


if __name__ == "__main__":
    main()

"""`pipeline.help_seconds`: how long `actuary --help` takes, best of ten; nothing heavy is imported for it."""

from __future__ import annotations

import json
import subprocess
import sys
import time

HEAVY = ("torch", "transformers", "pyarrow", "grpc", "numpy", "sqlalchemy", "sklearn")


def seconds() -> float:
    started = time.perf_counter()
    command = [sys.executable, "-m", "actuary.cli.main", "--help"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def bare() -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - started


def heavy() -> list[str]:
    code = f"import sys, actuary.cli.main; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


if __name__ == "__main__":
    print(
        json.dumps(
            {
                "benchmark": "pipeline.help_seconds",
                "value": round(min(seconds() for _ in range(10)), 3),
                "unit": "s",
                "against": "python -c pass",
                "against_value": round(min(bare() for _ in range(10)), 3),
                "heavy_imports": heavy(),
            }
        )
    )

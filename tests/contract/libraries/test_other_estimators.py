"""Two libraries of other people agree with our estimates: GLIDE and ppi_py, each in a process of its own.

They need Python 3.12 and half a gigabyte of packages, so that uv puts each into an environment of its own in
a temporary folder, once a machine; they read JSON and write JSON.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from actuary.stats import designs, estimates, placing, shares

pytestmark = pytest.mark.real

ROOT = pathlib.Path(__file__).parents[3]
LIBRARIES = {"glide": "glide-py==0.11.0", "ppi": "ppi-python==0.2.3"}
SCRIPTS = {
    "glide": """
import json, sys, numpy as np
from glide.estimators import ASIMeanEstimator
given = json.load(sys.stdin)
y = np.array([np.nan if v is None else v for v in given["y"]])
found = ASIMeanEstimator().estimate(y, np.array(given["f"]), np.array(given["pi"]))
print(json.dumps({"mean": float(found.mean), "se": float(found.std)}))
""",
    "ppi": """
import json, sys, numpy as np
from ppi_py import ppi_mean_pointestimate, ppi_mean_ci
given = json.load(sys.stdin)
y, f, rest = (np.array(given[name]) for name in ("y", "f", "rest"))
low, high = ppi_mean_ci(y, f, rest, alpha=0.05, lam=1)
mean = ppi_mean_pointestimate(y, f, rest, lam=1)
print(json.dumps({"mean": float(mean[0]), "low": float(low[0]), "high": float(high[0])}))
""",
}


@pytest.fixture(scope="module", params=LIBRARIES)
def library(request):
    """The name of a library, and its interpreter."""
    uv = shutil.which("uv") or str(ROOT / "build/uv/bin/uv")
    place = pathlib.Path(tempfile.gettempdir()) / f"actuary-oracle-{LIBRARIES[request.param]}"
    python = place / "bin/python"
    # pyenv's stand-ins run only where a version is chosen
    environment = {**os.environ, "PYENV_VERSION": os.environ.get("PYENV_VERSION", "3.12")}
    wanted = sys.executable if sys.version_info >= (3, 12) else "3.12"
    for command in (
        [uv, "venv", "--quiet", "--allow-existing", "--python", wanted, str(place)],
        [uv, "pip", "install", "--quiet", "--python", str(python), LIBRARIES[request.param]],
    ):
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=600, check=False
        )
        if done.returncode and any(
            word in done.stderr.lower() for word in ("request failed", "connect", "dns")
        ):
            pytest.skip(f"no registry to be reached: {done.stderr.strip().splitlines()[-1]}")
        assert done.returncode == 0, done.stderr
    return request.param, python


def answer(library, given):
    name, python = library
    done = subprocess.run(
        [python, "-W", "ignore", "-c", SCRIPTS[name]],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_the_other_library_gives_our_estimate_of_a_share(library):
    """The point to rounding; the error to what separates the designs.

    Both are of the process, drawn without end: GLIDE's draws are independent, ours have a given size, and the
    variance of n = 1,000 numbers has a relative error of √(2/n) = 4.5 %, its root half of that.
    """
    rng = np.random.default_rng(5)
    items, size = 20_000, 1_000
    f = rng.beta(0.5, 2.0, items)
    y = rng.random(items) < f
    at = rng.permutation(items)[:size]
    phase = placing.Phase(name="audit", kind="srs", population=items, certain=0, sampled=size, tau=None)
    sample = estimates.Sample.of(phase=[0] * size, pi=[size / items] * size, wrong=y[at], eps=f[at])
    ours = shares.of_items(
        shares.total(designs.Design(phases=(phase,), omega=(1.0,)), sample, float(f.sum())), items
    )
    process = shares.process(ours, items)

    if library[0] == "glide":
        shown = [
            float(value) if seen else None
            for value, seen in zip(y, np.isin(np.arange(items), at), strict=True)
        ]
        theirs = answer(library, {"y": shown, "f": f.tolist(), "pi": [size / items] * items})
        assert theirs["se"] == pytest.approx(process.se, rel=0.1)
    else:
        rest = f.tolist()  # ppi_py's second sample; ours counts the labelled items in it, too
        theirs = answer(library, {"y": y[at].astype(float).tolist(), "f": f[at].tolist(), "rest": rest})
        assert (theirs["high"] - theirs["low"]) / 2 == pytest.approx(1.959964 * process.se, rel=0.1)
    assert ours.method == "wald"
    assert theirs["mean"] == pytest.approx(ours.value, abs=0.2 * ours.se)

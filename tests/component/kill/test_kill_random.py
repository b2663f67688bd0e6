"""kill -9 of whichever process of the sample campaign, whenever: the end is the same.

`ACTUARY_TEST_KILLS=30` kills more often than the three times of `make test`, `ACTUARY_TEST_SEED=5` as in an
earlier run; what is drawn is printed.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import signal
import subprocess

import pytest

from actuary.campaign import samples
from component.kill import campaigns

LONGEST_PAUSE_SECONDS = 15.0


@pytest.mark.slow
def test_a_digits_campaign_whose_processes_are_killed_at_random_ends_like_another(tmp_path):
    seed = int(os.environ.get("ACTUARY_TEST_SEED") or secrets.randbits(32))
    kills = int(os.environ.get("ACTUARY_TEST_KILLS") or 3)
    print(f"ACTUARY_TEST_SEED={seed} ACTUARY_TEST_KILLS={kills}")
    rng = random.Random(seed)
    place, other = (campaigns.Place(tmp_path / name, samples.campaign("digits")) for name in ("a", "b"))
    words = ("run", str(place.spec_file), "--id", place.name, "--json")
    server = place.start(*words)
    try:
        for _ in range(kills):
            pause = rng.uniform(0.5, LONGEST_PAUSE_SECONDS)
            try:
                server.communicate(timeout=pause)
            except subprocess.TimeoutExpired:
                victim = rng.choice([server.pid, *campaigns.children(server.pid)])
                print(f"after {pause:.2f} s: {'the server' if victim == server.pid else 'a worker'}")
                with contextlib.suppress(ProcessLookupError):  # a worker that has just ended by itself
                    os.kill(victim, signal.SIGKILL)
                if victim == server.pid:
                    server.communicate()
                    server = place.start(*words)
            else:
                print(f"the campaign ended before the pause of {pause:.2f} s")
                break
        server.communicate(timeout=campaigns.LIMIT_SECONDS)
    finally:
        server.kill()
    left = place.left(place.run())
    assert left == other.left(other.run())
    assert left.results["human_labels"] <= left.results["human_budget"]
    campaigns.check_sound(left, items=left.results["items"])

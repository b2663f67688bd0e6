"""Helpers that hash give what this process would, also when they die."""

import concurrent.futures
import os
import signal

import numpy as np
import pyarrow as pa
import pytest

from actuary.campaign import hashing
from actuary.stats import prn

KEY = b"a key of sixteen"


@pytest.mark.parametrize("helpers", [0, 1, 2])
def test_every_batch_gets_its_own_digests(helpers: int):
    batches = [[f"ü{i}-{j}" for j in range(1000)] for i in range(12)] + [[], ["with\0separator", "b"], ["a"]]
    with (
        hashing.Hasher(KEY, helpers=helpers) as hasher,
        concurrent.futures.ThreadPoolExecutor(hasher.width) as pool,
    ):
        results = list(pool.map(hasher.digest, [pa.array(batch, pa.string()) for batch in batches]))
    for batch, (hashes, u) in zip(batches, results, strict=True):
        expected = prn.digest(batch, KEY)
        np.testing.assert_array_equal(hashes, expected[0])
        np.testing.assert_array_equal(u, expected[1])


def test_a_helper_answers_itself_and_is_not_missed_when_it_is_killed():
    helper = hashing._Helper(KEY)
    digests = helper.digests(pa.array(["a", "ß"]))
    np.testing.assert_array_equal(prn.numbers(digests)[1], prn.digest(["a", "ß"], KEY)[1])
    helper.close()
    with hashing.Hasher(KEY, helpers=1) as hasher:
        process = hasher._helpers[0]._process
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        for _ in range(4):
            np.testing.assert_array_equal(hasher.digest(pa.array(["a"]))[0], prn.digest(["a"], KEY)[0])

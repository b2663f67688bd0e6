import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actuary.stats import prn

KEY = b"a project's secret key"


def test_a_digest_is_one_keyed_hash_cut_in_two():
    whole = hashlib.blake2b("naïve-猫".encode(), key=KEY, digest_size=16).digest()

    shard, u = prn.digest(["naïve-猫"], KEY)

    assert shard.tolist() == [int.from_bytes(whole[:8], "little")]
    assert u.tolist() == [((int.from_bytes(whole[8:], "little") >> 11) + 0.5) * 2.0**-53]


def test_a_digest_of_nothing_is_empty():
    shard, u = prn.digest([], KEY)

    assert (shard.size, u.size) == (0, 0)
    assert (shard.dtype, u.dtype) == (np.uint64, np.float64)


@given(st.lists(st.text(max_size=20), unique=True, max_size=30))
def test_numbers_depend_on_the_id_alone_not_on_its_company_or_place(ids):
    together = prn.uniform(ids, KEY)

    alone = [prn.uniform([item], KEY)[0] for item in reversed(ids)][::-1]

    assert together.tolist() == alone
    assert ((together > 0) & (together < 1)).all()


def test_numbers_are_uniform_and_their_halves_unrelated():
    shard, u = prn.digest([f"item-{i}" for i in range(20_000)], KEY)

    # Kolmogorov's bound at 1e-6: 1.22 sqrt(ln(2e6)/2)/sqrt(n) is generous
    grid = np.arange(1, u.size + 1) / u.size
    assert np.abs(np.sort(u) - grid).max() < np.sqrt(np.log(2e6) / 2 / u.size)
    assert abs(np.corrcoef(shard / 2.0**64, u)[0, 1]) < 4.9 / np.sqrt(u.size)


def test_keys_of_different_purposes_give_unrelated_numbers():
    ids = [f"item-{i}" for i in range(10_000)]
    first, second = (prn.uniform(ids, prn.derive_key(KEY, name)) for name in ("wave-1", "audit"))

    assert abs(np.corrcoef(first, second)[0, 1]) < 4.9 / 100


def test_a_key_is_derived_the_same_way_for_ever():
    assert prn.derive_key(KEY, "fold") == hashlib.blake2b(b"fold", key=KEY, digest_size=32).digest()


@pytest.mark.parametrize("key", [b"", b"short", b"x" * 65])
def test_a_key_of_a_wrong_length_is_refused(key):
    with pytest.raises(ValueError, match="key: expected 8 to 64 bytes"):
        prn.digest(["a"], key)
    with pytest.raises(ValueError, match="key: expected 8 to 64 bytes"):
        prn.derive_key(key, "fold")


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_of_more_than_64_bits_is_refused(seed):
    with pytest.raises(ValueError, match="seed: expected a number"):
        prn.project_key(seed)


def test_a_purpose_without_a_name_is_refused():
    with pytest.raises(ValueError, match="purpose"):
        prn.derive_key(KEY, "")


def test_duplicate_ids_are_refused_by_name():
    with pytest.raises(ValueError, match="'b' more than once"):
        prn.uniform(["a", "b", "c", "b"], KEY)


def test_folds_cut_the_unit_interval_evenly():
    assert prn.fold([0.001, 0.2, 0.399, 0.999], folds=5).tolist() == [0, 1, 1, 4]


@pytest.mark.parametrize(("u", "folds"), [([0.0], 5), ([1.0], 5), ([float("nan")], 5), ([0.5], 1)])
def test_folds_refuse_numbers_outside_the_interval_and_a_single_fold(u, folds):
    with pytest.raises(ValueError):
        prn.fold(u, folds)

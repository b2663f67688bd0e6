"""Every example in the package's documentation is true."""

import doctest
import importlib
import pkgutil

import pytest

from actuary import stats

MODULES = sorted(module.name for module in pkgutil.iter_modules(stats.__path__))


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_true(name):
    result = doctest.testmod(importlib.import_module(f"actuary.stats.{name}"))

    assert result.attempted > 0
    assert result.failed == 0

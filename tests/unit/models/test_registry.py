"""The registry: what is unknown or unable is said before anything is bought."""

import subprocess
import sys

import pytest

from actuary import errors
from actuary.models import protocol, registry

CONTEXT = protocol.ModelContext(classes=("a", "b"))


def test_an_unknown_model_gets_the_list_and_the_nearest_name() -> None:
    with pytest.raises(
        errors.InvalidInputError, match=r"exemplar, linear, table, null.*did you mean 'exemplar'"
    ):
        registry.open_model(protocol.ModelSpec(kind="examplar"), CONTEXT)


def test_what_a_model_cannot_do_names_those_that_can() -> None:
    with pytest.raises(errors.UnsupportedError, match=r"cannot do question; models that can: table, null"):
        registry.check(protocol.ModelSpec(kind="linear"), inputs={"text", "question"})
    with pytest.raises(errors.UnsupportedError, match=r"cannot do generate; models that can: none"):
        registry.check(protocol.ModelSpec(kind="null"), verb="generate")


def test_a_table_without_a_file_is_refused() -> None:
    with pytest.raises(errors.InvalidInputError, match="needs its file"):
        registry.check(protocol.ModelSpec(kind="table"))


def test_a_model_that_learns_from_exemplars_needs_them() -> None:
    with pytest.raises(errors.PreconditionError, match="got none"):
        registry.open_model(protocol.ModelSpec(kind="exemplar"), CONTEXT)


def test_opening_the_null_model_imports_nothing_heavy() -> None:
    code = (
        "import sys; from actuary.models import registry, protocol as p, window, prompts;"
        "registry.open_model(p.ModelSpec(kind='null'), p.ModelContext(classes=('a', 'b')));"
        "print([m for m in ('torch', 'sklearn', 'PIL', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_kind_names_a_class_that_exists() -> None:
    import importlib

    for kind in registry.KINDS.values():
        assert hasattr(importlib.import_module(f"actuary.models.{kind.module}"), kind.factory)

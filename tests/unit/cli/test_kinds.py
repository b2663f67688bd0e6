"""Which service knows which kind of Job: said where workers begin, and where Jobs are planned."""

from __future__ import annotations

import importlib

import pytest

from actuary.cli import worker


@pytest.mark.parametrize(
    ("service", "module"),
    [
        ("campaign", "planner"),
        ("annotator", "controller"),
        ("critic", "controller"),
        ("sampler", "controller"),
        ("trainer", "controller"),
    ],
)
def test_a_service_plans_the_kinds_whose_tasks_it_knows_and_which_it_therefore_watches(service, module):
    planned = importlib.import_module(f"actuary.{service}.{module}").KINDS
    assert {kind for kind, knows in worker.SERVICES.items() if knows == service} == set(planned)

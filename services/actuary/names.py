"""Resource names: the one place that builds and parses them.

A name is the path of a resource in the API (AIP-122): `campaigns/{campaign}/plans/{plan}`. The same path,
collection spelled as below, is the prefix of the resource's artifacts in the object store.
"""

from __future__ import annotations

import re
from typing import NewType

from actuary import errors

Name = NewType("Name", str)
"""A full resource name."""

ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""What an id of a campaign or Job looks like."""

IMPORTS = "importJobs"
ANNOTATIONS = "annotationJobs"
CRITIQUES = "critiqueJobs"
RISK_MODELS = "riskModels"
QUOTES = "quotes"
PLANS = "plans"
ESTIMATES = "estimates"
CERTIFICATES = "certificates"
BATCHES = "reviewBatches"
TRAININGS = "trainingJobs"
REPORTS = "reportJobs"
COLLECTIONS = (
    IMPORTS,
    ANNOTATIONS,
    CRITIQUES,
    RISK_MODELS,
    QUOTES,
    PLANS,
    ESTIMATES,
    CERTIFICATES,
    BATCHES,
    TRAININGS,
    REPORTS,
)
"""Collections under a campaign."""


def check_id(value: str, field: str) -> str:
    """Returns the id.

    Raises:
        errors.InvalidInputError: it is not one; names `field`.
    """
    if not ID.fullmatch(value):
        description = (
            f"expected lower-case letters, digits and dashes, at most 63, no dash at an end; got {value!r}"
        )
        raise errors.InvalidInputError.of([errors.Violation(field, description)])
    return value


def campaign(campaign_id: str) -> str:
    """Returns `campaigns/{campaign}`."""
    return f"campaigns/{check_id(campaign_id, 'campaign_id')}"


def child(parent: str, collection: str, child_id: str) -> str:
    """Returns `{parent}/{collection}/{id}`."""
    return f"{parent}/{collection}/{check_id(child_id, 'id')}"


def task(batch: str, task_id: str) -> str:
    """Returns the name of a review task; its id is the service's own."""
    return f"{batch}/tasks/{task_id}"


def parse_campaign(name: str, field: str = "name") -> str:
    """Returns the id in `campaigns/{campaign}`.

    Raises:
        errors.InvalidInputError: the name is of another form.
    """
    parts = name.split("/")
    if len(parts) != 2 or parts[0] != "campaigns" or not ID.fullmatch(parts[1]):
        description = f"expected campaigns/{{campaign}}, got {name!r}"
        raise errors.InvalidInputError.of([errors.Violation(field, description)])
    return parts[1]


def parse_child(name: str, collection: str, field: str = "name") -> tuple[str, str]:
    """Returns the campaign's name and the id in `campaigns/{campaign}/{collection}/{id}`.

    Raises:
        errors.InvalidInputError: the name is of another form.
    """
    parts = name.split("/")
    if len(parts) != 4 or parts[0] != "campaigns" or parts[2] != collection or not ID.fullmatch(parts[3]):
        description = f"expected campaigns/{{campaign}}/{collection}/{{id}}, got {name!r}"
        raise errors.InvalidInputError.of([errors.Violation(field, description)])
    return "/".join(parts[:2]), parts[3]


def parse_task(name: str, field: str = "task") -> tuple[str, str]:
    """Returns the batch's name and the task's id.

    Raises:
        errors.InvalidInputError: the name is of another form.
    """
    batch, separator, task_id = name.partition("/tasks/")
    if not separator or not task_id:
        description = f"expected campaigns/{{campaign}}/{BATCHES}/{{batch}}/tasks/{{task}}, got {name!r}"
        raise errors.InvalidInputError.of([errors.Violation(field, description)])
    parse_child(batch, BATCHES, field)
    return batch, task_id


def campaign_of(name: str) -> str:
    """Returns the name of the campaign that a resource belongs to."""
    return "/".join(name.split("/")[:2])


def retry_id(step: str, attempt: int) -> str:
    """Returns the id of the Job that tries a step for the `attempt`-th time; attempts count from 1."""
    return step if attempt == 1 else f"{step}-retry-{attempt}"


def artifact(name: str) -> str:
    """Returns the URI of a Job's artifact, relative to the store.

    A retry writes where the first try wrote, so that nothing which is finished is done again.
    """
    return re.sub(r"-retry-\d+$", "", name)


def sealed(uri: str) -> str:
    """Returns the URI of the known truth that belongs to an items artifact.

    It lies under a prefix of its own, so that store credentials can keep annotator, critic and sampler out.
    """
    return f"sealed/{uri}"

"""What of the object store a Job's processes have to reach. Pure.

A Job reads what the Jobs before it wrote, and writes where its artifact lies. Artifacts of one Job lie in one
folder, so that a parent's folder covers what belongs to it: images that are objects of their own, say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from actuary.jobs import protocol
from actuary.storage import credentials

_SEALED = "sealed/"
_JOB_PARTS = 4
"""`campaigns/{campaign}/{collection}/{job}`."""


def access_of(spec: protocol.JobSpec) -> credentials.Access:
    """Derives it from the description.

    Files of users that lie in a bucket are named in the parameters.
    """
    own = f"{spec.key.rpartition('/')[0]}/"
    return credentials.Access(
        reads=tuple(dict.fromkeys([own, *map(_folder, spec.parents), *spec.reads])),
        writes=tuple(dict.fromkeys([f"{spec.artifact}/", *spec.writes])),
        files=tuple(dict.fromkeys(text for text in _texts(spec.parameters) if text.startswith("s3://"))),
    )


def _folder(uri: str) -> str:
    """The folder of the Job that wrote an artifact.

    >>> _folder("campaigns/c/importJobs/import/items"), _folder("sealed/campaigns/c/importJobs/import/items")
    ('campaigns/c/importJobs/import/', 'sealed/campaigns/c/importJobs/import/')
    """
    sealed = _SEALED if uri.startswith(_SEALED) else ""
    return f"{sealed}{'/'.join(uri.removeprefix(_SEALED).split('/')[:_JOB_PARTS])}/"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, Sequence):
        for each in value:
            yield from _texts(each)

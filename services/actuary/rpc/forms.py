"""Messages of rows whose spec never changes, kept serialised: reading one again and again costs little.

Parsing the JSON form of a campaign takes longer than all else that a Get does. Name and digest tell a spec
from every other, so that what is kept is never out of date.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

from google.protobuf import json_format, message

Kind = TypeVar("Kind", bound=message.Message)
"""The message type."""

_KEPT: Final = 4096
"""Messages kept at most; a kilobyte each."""


class Forms(Generic[Kind]):
    """The messages of one type."""

    def __init__(self, kind: type[Kind]) -> None:
        self._kind = kind
        self._kept: dict[tuple[str, str], bytes] = {}

    def build(self, name: str, digest: str, spec: Mapping[str, Any]) -> Kind:
        """Returns a new message with the fields of the spec and the name.

        Args:
            name: of the resource; set in the field `name`.
            digest: of the spec.
            spec: the JSON form of the message; fields that this version does not know are passed over.
        """
        resource = self._kind()
        kept = self._kept.get((name, digest))
        if kept is not None:
            resource.ParseFromString(kept)
            return resource
        json_format.ParseDict({**spec, "name": name}, resource, ignore_unknown_fields=True)
        if len(self._kept) >= _KEPT:
            self._kept.clear()  # rare enough that an order of use would cost more than it saves
        self._kept[name, digest] = resource.SerializeToString()
        return resource

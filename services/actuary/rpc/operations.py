"""Create, Get, List and Cancel of Job resources, once for all kinds, so that a `service.py` stays thin.

The row of a Job keeps the message as the JSON form of what was asked for: proto field names, no output-only
field. What a Job finds out beside its artifact stands in the row under `progress["results"]`, in the JSON
form of the message's output-only fields, and is merged into the message when it is read.

What may be asked of a service beyond the rules of the fields is the service's to check, before `create`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from google.protobuf import json_format, message

from actuary import errors, names
from actuary.rpc import forms, validation
from actuary.rpc import jobs as job_messages
from actuary.state import jobs as job_state

Resource = TypeVar("Resource", bound=message.Message)
"""The message of a kind of Job: AnnotationJob, Plan, …"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobResource(Generic[Resource]):
    """One kind of Job as a resource of the API.

    Example:
        >>> from actuary.v1 import plan_pb2
        >>> plans = JobResource(
        ...     kind="plan", collection="plans", message=plan_pb2.Plan, field="plan"
        ... )
    """

    kind: str
    """Of the rows: `plan`."""
    collection: str
    """In names: `plans`."""
    message: type[Resource]
    field: str
    """Of the resource in the request that creates it; its id is `{field}_id`."""
    _forms: forms.Forms[Resource] = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_forms", forms.Forms(self.message))

    def record(self, request: Any) -> job_state.JobRecord:
        """Builds the row that a CreateXRequest asks for; nothing is written.

        Raises:
            errors.InvalidInputError: parent or id is none.
        """
        names.parse_campaign(request.parent, "parent")
        names.check_id(getattr(request, f"{self.field}_id"), f"{self.field}_id")
        name = names.child(request.parent, self.collection, getattr(request, f"{self.field}_id"))
        wanted = self.message()
        wanted.CopyFrom(getattr(request, self.field))
        wanted.ClearField("name")
        validation.clear_output_only(wanted)
        spec = spec_of(wanted)
        cap = None
        if "cap_micros" in wanted.DESCRIPTOR.fields_by_name and wanted.HasField("cap_micros"):
            cap = int(getattr(wanted, "cap_micros"))  # noqa: B009
        return job_state.JobRecord(
            name=name,
            kind=self.kind,
            campaign=request.parent,
            spec=spec,
            spec_digest=digest_of(spec),
            request_id=request.request_id,
            cap_micros=cap,
            artifact=names.artifact(name),
        )

    def create(self, jobs: job_state.Jobs, request: Any) -> Resource:
        """Creates the Job; the same name with the same content returns what is there.

        Raises:
            errors.AlreadyExistsError: the name is taken by another content; says which fields differ.
        """
        record = self.record(request)
        try:
            return self.read(jobs.create(record))
        except errors.AlreadyExistsError as error:
            raise taken(record.name, jobs.get(record.name).spec, record.spec) from error

    def get(self, jobs: job_state.Jobs, request: Any) -> Resource:
        """Returns a Job.

        Raises:
            errors.NotFoundError: there is none of that name.
        """
        return self.read(self._get(jobs, request.name))

    def list(self, jobs: job_state.Jobs, request: Any) -> tuple[list[Resource], str]:
        """Returns a page of a campaign's Jobs of this kind, oldest first, and the next page's token."""
        names.parse_campaign(request.parent, "parent")
        records, token = jobs.list(request.parent, self.kind, request.page_size, request.page_token)
        return [self.read(record) for record in records], token

    def cancel(self, jobs: job_state.Jobs, request: Any) -> Resource:
        """Asks a Job to stop; one that has ended, or is asked already, stays as it is."""
        while True:
            record = self._get(jobs, request.name)
            if record.state in job_state.FINAL or record.cancel_requested:
                return self.read(record)
            asked = dataclasses.replace(record, cancel_requested=True)
            try:
                return self.read(jobs.update(asked, record.version))
            except errors.ConflictError:
                continue  # its controller wrote meanwhile; whoever is in the way makes progress

    def read(self, record: job_state.JobRecord) -> Resource:
        """Builds the message of a row."""
        resource = self._forms.build(record.name, record.spec_digest, record.spec)
        results = record.progress.get("results")
        if results:
            json_format.ParseDict(dict(results), resource, ignore_unknown_fields=True)
        getattr(resource, "status").CopyFrom(job_messages.status_message(record))  # noqa: B009
        return resource

    def _get(self, jobs: job_state.Jobs, name: str) -> job_state.JobRecord:
        names.parse_child(name, self.collection)
        try:
            return jobs.get(name)
        except errors.NotFoundError as error:
            raise errors.NotFoundError(
                f"no {self.message.DESCRIPTOR.name} {name}: its List says which there are",
                metadata={"name": name},
            ) from error


def spec_of(wanted: message.Message) -> dict[str, Any]:
    """The JSON form of a message in which a row keeps it."""
    form: dict[str, Any] = json_format.MessageToDict(wanted, preserving_proto_field_name=True)
    return form


def digest_of(spec: Mapping[str, Any]) -> str:
    """SHA-256 of a spec in canonical JSON, in hexadecimal."""
    text = json.dumps(spec, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def taken(name: str, there: Mapping[str, Any], asked: Mapping[str, Any]) -> errors.AlreadyExistsError:
    """The error of a name that is taken by another content."""
    fields = differing(there, asked)
    return errors.AlreadyExistsError(
        f"{name} exists with another content: {', '.join(fields)} differ. Choose another id, or send what "
        "was sent before",
        metadata={"name": name, "fields": ",".join(fields)},
    )


def differing(there: Mapping[str, Any], asked: Mapping[str, Any], path: str = "") -> list[str]:
    """Paths of the fields in which two specs differ, as deep as both have sections."""
    found = []
    for key in sorted({*there, *asked}):
        here = f"{path}.{key}" if path else key
        before, after = there.get(key), asked.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += differing(before, after, here)
        elif before != after:
            found.append(here)
    return found

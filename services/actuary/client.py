"""The Python client: create a campaign, watch it, wait for it, take the results as Arrow or pandas.

It speaks gRPC to a server and reads bulk data from the object store that the server names, since bulk data
never crosses gRPC.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import os
import pathlib
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from google.protobuf import descriptor, duration_pb2, json_format

from actuary import errors, names
from actuary.rpc import channels, validation
from actuary.v1 import (
    campaign_pb2,
    campaign_service_pb2,
    campaign_service_pb2_grpc,
    quote_pb2,
    review_service_pb2_grpc,
    sampler_service_pb2,
    sampler_service_pb2_grpc,
)

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Request = TypeVar("Request")
Response = TypeVar("Response")

ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELLED", "BUDGET_EXHAUSTED"})
"""States that only a call can end."""

_FIELD = descriptor.FieldDescriptor
_INTEGERS = frozenset(
    {_FIELD.CPPTYPE_INT32, _FIELD.CPPTYPE_INT64, _FIELD.CPPTYPE_UINT32, _FIELD.CPPTYPE_UINT64}
)
_NUMBERS = _INTEGERS | {_FIELD.CPPTYPE_DOUBLE, _FIELD.CPPTYPE_FLOAT}

DEFAULT_ADDRESS = "127.0.0.1:7411"


class Client:
    """A connection to a server.

    Example:
        >>> client = Client("127.0.0.1:7411")  # doctest: +SKIP
        >>> campaign = client.create("my-campaign/campaign.yaml")  # doctest: +SKIP
        >>> client.wait(campaign.name).results.corrected_accuracy  # doctest: +SKIP
    """

    def __init__(self, address: str = DEFAULT_ADDRESS) -> None:
        self.address = address
        self._channel = channels.channel(address)
        self.campaigns = campaign_service_pb2_grpc.CampaignServiceStub(self._channel)
        self.reviews = review_service_pb2_grpc.ReviewServiceStub(self._channel)
        self.sampler = sampler_service_pb2_grpc.SamplerServiceStub(self._channel)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def create(
        self,
        campaign: campaign_pb2.Campaign | Mapping[str, Any] | str | pathlib.Path,
        *,
        campaign_id: str = "",
        request_id: str = "",
        validate_only: bool = False,
    ) -> campaign_pb2.Campaign:
        """Creates a campaign.

        Args:
            campaign: a message, what campaign.yaml holds, or the path of a campaign.yaml; paths within that
                file are relative to it, those of a mapping to where the server runs.
            campaign_id: its id; by default the name of the file's folder, else one that the server makes.
            request_id: of this call; the same one creates once.
            validate_only: check and create nothing.

        Raises:
            errors.InvalidInputError: with every violation.
            errors.AlreadyExistsError: the id is taken by another content.
        """
        if isinstance(campaign, str | pathlib.Path):
            default_id, campaign = load(campaign)
            campaign_id = campaign_id or default_id
        message = campaign if isinstance(campaign, campaign_pb2.Campaign) else parse(campaign)
        request = campaign_service_pb2.CreateCampaignRequest(
            campaign=message, campaign_id=campaign_id, request_id=request_id, validate_only=validate_only
        )
        try:
            return self._call(self.campaigns.CreateCampaign, request)
        except errors.InvalidInputError as error:
            raise _as_in_file(error) from error

    def get(self, name: str) -> campaign_pb2.Campaign:
        """Returns a campaign by its name or id."""
        return self._call(
            self.campaigns.GetCampaign, campaign_service_pb2.GetCampaignRequest(name=full_name(name))
        )

    def list(self) -> Iterator[campaign_pb2.Campaign]:
        """Yields all campaigns, oldest first."""
        token = ""
        while True:
            request = campaign_service_pb2.ListCampaignsRequest(page_size=1000, page_token=token)
            page = self._call(self.campaigns.ListCampaigns, request)
            yield from page.campaigns
            token = page.next_page_token
            if not token:
                return

    def watch(
        self, name: str, *, min_interval_seconds: float = 1.0
    ) -> Iterator[campaign_service_pb2.WatchCampaignResponse]:
        """Yields the campaign as it changes, until nothing is left to do; mends a broken stream."""
        interval = duration_pb2.Duration()
        interval.FromTimedelta(datetime.timedelta(seconds=min_interval_seconds))
        request = campaign_service_pb2.WatchCampaignRequest(name=full_name(name), min_interval=interval)
        broken = 0
        while True:
            try:
                for response in self.campaigns.WatchCampaign(request):
                    broken = 0
                    yield response
            except grpc.RpcError as error:
                broken += 1
                mapped = channels.errors_from(error)
                if not isinstance(mapped, errors.UnavailableError) or broken > 5:
                    raise mapped from error
            else:
                return

    def wait(self, name: str) -> campaign_pb2.Campaign:
        """Blocks until the campaign needs nobody's work any more, and returns it."""
        for _ in self.watch(name):
            pass
        return self.get(name)

    def approve(self, name: str, etag: str = "") -> campaign_pb2.Campaign:
        """Goes on after the quote."""
        request = campaign_service_pb2.ApproveCampaignRequest(name=full_name(name), etag=etag)
        return self._call(self.campaigns.ApproveCampaign, request)

    def pause(self, name: str, etag: str = "") -> campaign_pb2.Campaign:
        """Starts nothing new."""
        request = campaign_service_pb2.PauseCampaignRequest(name=full_name(name), etag=etag)
        return self._call(self.campaigns.PauseCampaign, request)

    def resume(self, name: str, etag: str = "") -> campaign_pb2.Campaign:
        """Goes on after a pause or a failure."""
        request = campaign_service_pb2.ResumeCampaignRequest(name=full_name(name), etag=etag)
        return self._call(self.campaigns.ResumeCampaign, request)

    def cancel(self, name: str, etag: str = "") -> campaign_pb2.Campaign:
        """Stops for good."""
        request = campaign_service_pb2.CancelCampaignRequest(name=full_name(name), etag=etag)
        return self._call(self.campaigns.CancelCampaign, request)

    def top_up(
        self, name: str, *, human_labels: int = 0, money_micros: int = 0, request_id: str
    ) -> campaign_pb2.Campaign:
        """Adds to the budget; the same `request_id` adds once."""
        request = campaign_service_pb2.TopUpCampaignRequest(
            name=full_name(name), human_labels=human_labels, money_micros=money_micros, request_id=request_id
        )
        return self._call(self.campaigns.TopUpCampaign, request)

    def quote(self, name: str) -> quote_pb2.Quote:
        """Returns what any budget would buy, as the pilot tells it.

        Raises:
            errors.PreconditionError: the pilot is not done yet.
        """
        quote = names.child(full_name(name), names.QUOTES, "quote-w0")
        try:
            found = self._call(self.sampler.GetQuote, sampler_service_pb2.GetQuoteRequest(name=quote))
        except errors.NotFoundError as error:
            stage = self.get(name).stage  # which tells a campaign that is not there from one without a quote
            message = f"{full_name(name)} has no quote yet: it is at stage {stage!r} (actuary watch {name})"
            raise errors.PreconditionError(message) from error
        if not found.points:
            message = f"{full_name(name)}: the quote is being made; ask again in a moment"
            raise errors.PreconditionError(message)
        return found

    def quote_prior(
        self, request: sampler_service_pb2.QuotePriorRequest
    ) -> sampler_service_pb2.QuotePriorResponse:
        """Returns what budgets would buy if machine and critic are as assumed; there need be no campaign."""
        return self._call(self.sampler.QuotePrior, request)

    def export(self, name: str) -> pa.Table:
        """Returns the finished data set as an Arrow table (schema EXPORT of the design).

        Raises:
            errors.PreconditionError: the campaign has no results yet.
        """
        from actuary.storage import artifacts, location, tables

        results = self.get(name).results
        if not results.export:
            message = f"{full_name(name)} has no export yet: wait until it is done (actuary watch {name})"
            raise errors.PreconditionError(message)
        uri, key = split(results.export)
        store = location.open_store(uri)
        return tables.read_all(store, artifacts.read_manifest(store, key)[0])

    def export_pandas(self, name: str) -> pd.DataFrame:
        """Returns the finished data set as a pandas frame; pandas is an extra (`actuary[pandas]`)."""
        return self.export(name).to_pandas()

    def report(self, name: str, path: pathlib.Path) -> pathlib.Path:
        """Writes the report to a file."""
        from actuary.storage import location

        results = self.get(name).results
        if not results.report:
            message = f"{full_name(name)} has no report yet: wait until it is done (actuary watch {name})"
            raise errors.PreconditionError(message)
        uri, key = split(results.report)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            location.open_store(uri).fetch(key, part)
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise errors.InvalidInputError(f"{path}: cannot be written: {error.strerror}") from error
        return path

    @staticmethod
    def _call(method: Callable[[Request], Response], request: Request) -> Response:
        try:
            return method(request)
        except grpc.RpcError as error:
            raise channels.errors_from(error) from error


def full_name(name: str) -> str:
    """Returns `campaigns/{id}` of a name or an id."""
    return name if name.startswith("campaigns/") else names.campaign(name)


def split(uri: str) -> tuple[str, str]:
    """Splits a URI of an object into the store's and the key; a campaign's keys begin with `campaigns/`."""
    store, separator, key = uri.partition("/campaigns/")
    if not separator:
        raise errors.InvalidInputError(f"expected the URI of a campaign's object, got {uri!r}")
    return store, f"campaigns/{key}"


def parse(form: Mapping[str, Any]) -> campaign_pb2.Campaign:
    """Reads what campaign.yaml holds.

    Raises:
        errors.InvalidInputError: fields are unknown, or one is of the wrong type; names them.
    """
    misread = _misread(form, campaign_pb2.Campaign.DESCRIPTOR, "")
    if misread:
        raise errors.InvalidInputError.of(misread)
    try:
        return json_format.ParseDict(dict(form), campaign_pb2.Campaign())
    except json_format.ParseError as error:
        message = (
            f"campaign: {error}. Fields and their meaning: `actuary init` writes a commented campaign.yaml"
        )
        raise errors.InvalidInputError(message) from error


def _misread(form: Mapping[str, Any], message: descriptor.Descriptor, path: str) -> list[errors.Violation]:
    """What is no field, here and in the sections within, or no value of its field."""
    fields = {spelling: field for field in message.fields for spelling in (field.name, field.json_name)}
    found = []
    for name, value in form.items():
        field = fields.get(str(name))
        if field is None:
            known = validation.inputs_of(message)
            near = validation.nearest(str(name), known)
            hint = f"did you mean {near}?" if near else f"there are {', '.join(known)}"
            description = f"expected a field of campaign.yaml, got an unknown one: {hint}"
            found.append(errors.Violation(f"{path}{name}", description))
        elif value is not None:
            found += _wrong(value, field, f"{path}{name}")
    for choice in message.oneofs:
        given = [field.name for field in choice.fields if {field.name, field.json_name} & form.keys()]
        if len(given) > 1:
            description = f"expected one of {', '.join(given)}, got {len(given)} of them: take the others out"
            found.append(errors.Violation(path.rstrip("."), description))
    return found


def _wrong(value: Any, field: descriptor.FieldDescriptor, path: str) -> list[errors.Violation]:
    """What is wrong with the value of a field, whatever its range."""
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        if not isinstance(value, Mapping):
            return [_expected(path, "a section of names and values", value)]
        each_field = kind.fields_by_name["value"]
        return [
            wrong for key, each in value.items() for wrong in _wrong_one(each, each_field, f"{path}.{key}")
        ]
    if _is_repeated(field):
        if not isinstance(value, list):
            return [_expected(path, "a list", value)]
        return [wrong for k, each in enumerate(value) for wrong in _wrong_one(each, field, f"{path}[{k}]")]
    return _wrong_one(value, field, path)


def _wrong_one(value: Any, field: descriptor.FieldDescriptor, path: str) -> list[errors.Violation]:
    kind = field.message_type
    if kind is not None and kind.full_name == "google.protobuf.Duration":
        good = isinstance(value, str) and value.endswith("s") and _is_number(value[:-1])
        return [] if good else [_expected(path, "seconds and an s, 600s for example", value)]
    if kind is not None and kind.full_name.startswith("actuary."):
        if not isinstance(value, Mapping):
            names_of = ", ".join(validation.inputs_of(kind))
            return [_expected(path, f"a section with fields out of {names_of}", value)]
        return _misread(value, kind, f"{path}.")
    if field.cpp_type == field.CPPTYPE_STRING and not isinstance(value, str):
        return [_expected(path, "text: put it in quotes", value)]
    if field.cpp_type == field.CPPTYPE_BOOL and not isinstance(value, bool):
        return [_expected(path, "true or false", value)]
    if field.cpp_type in _NUMBERS and (isinstance(value, bool) or not _is_number(value)):
        return [_expected(path, "a number", value)]
    if field.cpp_type in _INTEGERS and float(value) != int(float(value)):
        return [_expected(path, "a whole number", value)]
    return []


def _is_repeated(field: descriptor.FieldDescriptor) -> bool:
    return bool(field.is_repeated)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _expected(path: str, what: str, value: Any) -> errors.Violation:
    if isinstance(value, bool):
        got = f"{str(value).lower()}, which YAML makes of yes, no, on, off, true and false"
    elif isinstance(value, str):
        got = repr(value[:80])
    elif isinstance(value, Mapping):
        got = "a section"
    elif isinstance(value, list):
        got = "a list"
    else:
        got = f"the {'number' if _is_number(value) else type(value).__name__} {value}"
    return errors.Violation(path, f"expected {what}; got {got}")


def load(path: str | pathlib.Path) -> tuple[str, dict[str, Any]]:
    """Reads campaign.yaml; returns an id made of its folder's name, and what it holds, paths made absolute.

    Args:
        path: the file, or the folder that holds it.

    Raises:
        errors.InvalidInputError: no such file, or no YAML mapping.
    """
    import yaml

    file = pathlib.Path(path)
    if file.is_dir():
        file = file / "campaign.yaml"
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        message = f"{file}: {error.strerror}. Expected a campaign.yaml, its folder, or a sample: digits"
        raise errors.InvalidInputError(message) from error
    except UnicodeDecodeError as error:
        got = f"{error.object[error.start]:#04x} at byte {error.start:,}"
        raise errors.InvalidInputError(f"{file}: expected UTF-8, got {got}: save it as UTF-8") from error
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise errors.InvalidInputError(f"{file}: no YAML: {error}") from error
    if not isinstance(document, dict):
        raise errors.InvalidInputError(
            f"{file}: expected a mapping (task:, data:, …), got {type(document).__name__}"
        )
    folder = file.parent.absolute()
    _absolute(document.get("data"), folder)
    for part in ("annotator", "critic"):
        section = document.get(part)
        if isinstance(section, dict):
            _absolute(section.get("model"), folder)
    return id_of(folder.name if file.name == "campaign.yaml" else file.stem), document


def _as_in_file(error: errors.InvalidInputError) -> errors.InvalidInputError:
    """The violations of a request by the paths of campaign.yaml, which holds its `campaign`."""
    if not error.violations:
        return error
    found = [
        dataclasses.replace(violation, field=violation.field.removeprefix("campaign."))
        for violation in error.violations
    ]
    return errors.InvalidInputError.of(found, reason=error.reason)


def _absolute(section: object, folder: pathlib.Path) -> None:
    """A path in the file is relative to the file, wherever the command is called."""
    if isinstance(section, dict):
        uri = section.get("uri")
        if not isinstance(uri, str) or not uri:
            return
        if "://" not in uri and not uri.startswith("sample:") and not os.path.isabs(uri):
            section["uri"] = str(folder / uri)


def id_of(text: str) -> str:
    """The id of a campaign in a folder of this name.

    A name that loses letters gets some digits, so that no two share an id.

    >>> id_of("My data"), id_of("数据"), id_of("数学")
    ('my-data', 'campaign-5440f7', 'campaign-872c1f')
    """
    text = unicodedata.normalize("NFC", text)
    cleaned = "".join(c if c.isascii() and c.isalnum() else "-" for c in text.lower()).strip("-")
    if len(cleaned) <= 63 and not any(c.isalnum() and not c.isascii() for c in text) and cleaned:
        return cleaned
    digits = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:6]
    return f"{cleaned[:56].strip('-') or 'campaign'}-{digits}"

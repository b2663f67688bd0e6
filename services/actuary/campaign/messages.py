"""From a campaign's row to its protobuf message, and the pace at which a watched stage goes on."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format, timestamp_pb2

from actuary.rpc import forms, statuses
from actuary.state import campaigns as campaign_state
from actuary.state import purse as purses
from actuary.v1 import campaign_pb2, campaign_service_pb2

_FORMS = forms.Forms(campaign_pb2.Campaign)


def etag(record: campaign_state.CampaignRecord) -> str:
    """Returns what changes with every change of the campaign."""
    return f"v{record.version}"


def campaign(
    record: campaign_state.CampaignRecord, balance: Mapping[str, purses.Balance], store_uri: str
) -> campaign_pb2.Campaign:
    """Builds the message."""
    message = _FORMS.build(record.name, record.spec_digest, record.spec)
    message.state = campaign_pb2.Campaign.State.Value(record.state)
    message.stage = record.stage
    message.wave = record.wave
    if record.error:
        message.error.CopyFrom(statuses.status_from_error(record.error))
    for key, child in record.results.get("children", {}).items():
        stage = message.stages.add(
            stage=_title(key),
            item_count=int(child.get("item_count", 0)),
            done_count=int(child.get("done_count", 0)),
            cost_micros=int(child.get("spent_micros", child.get("cost_micros", 0))),
            job=key,
            waiting="" if child.get("end") else str(child.get("waiting", "")),
        )
        _set_time(stage.start_time, child.get("start"))
        _set_time(stage.end_time, child.get("end"))
    for account, value in balance.items():
        field = getattr(message.purse, account)
        if value.limit is not None:
            field.limit = value.limit
            field.reserved = value.reserved
        field.settled = value.settled
    outcome = record.results.get("outcome")
    if outcome:
        json_format.ParseDict(_whole(outcome, store_uri), message.results)
    _set_time(message.create_time, record.create_time)
    _set_time(message.update_time, record.update_time)
    message.etag = etag(record)
    return message


class Pace:
    """Items a second and time left of the stage that runs, from successive messages."""

    def __init__(self) -> None:
        self._job = ""
        self._since = 0.0
        self._first = 0

    def response(
        self, message: campaign_pb2.Campaign, now_seconds: float
    ) -> campaign_service_pb2.WatchCampaignResponse:
        """Builds the answer to a watcher. `now_seconds` is of a monotonic clock."""
        response = campaign_service_pb2.WatchCampaignResponse(campaign=message)
        running = [stage for stage in message.stages if not stage.HasField("end_time")]
        if not running:
            return response
        stage = running[-1]
        if stage.job != self._job:
            self._job, self._since, self._first = stage.job, now_seconds, stage.done_count
        elapsed = now_seconds - self._since
        if elapsed > 0 and stage.done_count > self._first:
            response.items_per_second = (stage.done_count - self._first) / elapsed
            if stage.item_count > 0:
                left = max(0, stage.item_count - stage.done_count)
                response.eta_seconds = left / response.items_per_second
        return response


def _title(key: str) -> str:
    kind, separator, wave = key.partition("-w")
    return f"{kind} {wave}" if separator else kind


def _whole(outcome: Mapping[str, Any], store_uri: str) -> dict[str, Any]:
    whole = dict(outcome)
    for key in ("report", "export"):
        if whole.get(key):
            whole[key] = f"{store_uri.rstrip('/')}/{whole[key]}"
    if "certificate" in whole:
        proof = whole["certificate"]
        whole["certificate"] = {**proof, "document": f"{store_uri.rstrip('/')}/{proof['document']}"}
    return whole


def _set_time(field: timestamp_pb2.Timestamp, value: str | datetime.datetime | None) -> None:
    if value is None:
        return
    time = datetime.datetime.fromisoformat(value) if isinstance(value, str) else value
    field.FromDatetime(time if time.tzinfo is None else time.astimezone(datetime.UTC).replace(tzinfo=None))

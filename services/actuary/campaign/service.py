"""gRPC of the campaign service: protobuf in, values inside, protobuf out; who may call what in which state.

It decides nothing about the work: calls that steer a campaign write what was asked for into its `control`,
and the controller's next step acts on it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc
from google.protobuf import json_format

from actuary import errors, names
from actuary.campaign import messages, policy
from actuary.campaign import spec as specs
from actuary.rpc import streams, validation
from actuary.state import campaigns as campaign_state
from actuary.state import overview
from actuary.state import purse as purses
from actuary.v1 import campaign_pb2, campaign_service_pb2, campaign_service_pb2_grpc

STEERED = frozenset({policy.SUCCEEDED, policy.CANCELLED})
"""States in which Resume and Cancel change nothing any more."""


class CampaignServicer(campaign_service_pb2_grpc.CampaignServiceServicer):
    """Serves `actuary.v1.CampaignService`."""

    def __init__(
        self,
        *,
        campaigns: campaign_state.Campaigns,
        purse: purses.Purse,
        overviews: overview.Overviews,
        store_uri: str,
        wake: Callable[[], None],
        poll_seconds: float = 0.2,
    ) -> None:
        """`wake` tells the controller that something changed; `store_uri` makes artifact URIs whole."""
        self._campaigns = campaigns
        self._purse = purse
        self._overviews = overviews
        self._store_uri = store_uri
        self._wake = wake
        self._poll_seconds = poll_seconds

    @validation.also(lambda request: _violations(request.campaign))
    def CreateCampaign(  # noqa: N802
        self, request: campaign_service_pb2.CreateCampaignRequest, context: grpc.ServicerContext
    ) -> campaign_pb2.Campaign:
        """Checks everything that can be checked without the data, then writes the campaign."""
        campaign = campaign_pb2.Campaign()
        campaign.CopyFrom(request.campaign)
        campaign.ClearField("name")
        validation.clear_output_only(campaign)
        form = json_format.MessageToDict(campaign, preserving_proto_field_name=True)
        campaign_id = (
            request.campaign_id
            or f"c-{uuid.uuid5(uuid.NAMESPACE_OID, request.request_id or uuid.uuid4().hex).hex[:12]}"
        )
        name = names.campaign(campaign_id)
        if request.validate_only:
            campaign.name = name
            return campaign
        digest = hashlib.sha256(json.dumps(form, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
        record = campaign_state.CampaignRecord(
            name=name, spec=form, spec_digest=digest, request_id=request.request_id
        )
        try:
            record = self._campaigns.create(record)
        except errors.AlreadyExistsError as error:
            there = self._campaigns.get(name)
            if not policy.replaceable(there.state, there.results, there.spec, form):
                raise _taken(there, form) from error
            record = self._campaigns.replace(_restarted(there, record), there.version)
        self._wake()
        return self._message(record)

    def GetCampaign(  # noqa: N802
        self, request: campaign_service_pb2.GetCampaignRequest, context: grpc.ServicerContext
    ) -> campaign_pb2.Campaign:
        """Returns one campaign."""
        names.parse_campaign(request.name)
        return self._seen(self._overviews.get(request.name))

    def ListCampaigns(  # noqa: N802
        self, request: campaign_service_pb2.ListCampaignsRequest, context: grpc.ServicerContext
    ) -> campaign_service_pb2.ListCampaignsResponse:
        """Returns a page of campaigns."""
        records, token = self._campaigns.list(request.page_size, request.page_token)
        return campaign_service_pb2.ListCampaignsResponse(
            campaigns=[self._message(record) for record in records], next_page_token=token
        )

    def WatchCampaign(  # noqa: N802
        self, request: campaign_service_pb2.WatchCampaignRequest, context: grpc.ServicerContext
    ) -> Iterator[campaign_service_pb2.WatchCampaignResponse]:
        """Sends the campaign when it changes, and a last time when it needs nobody's work any more."""
        names.parse_campaign(request.name)
        asked = request.min_interval.ToTimedelta().total_seconds()
        interval = min(max(asked or 1.0, 0.1), 3600.0)
        pace = messages.Pace()
        seen = -1
        while context.is_active():
            found = self._overviews.get(request.name)
            record = found.record
            new = record.version != seen
            if new:
                seen = record.version
                yield pace.response(self._seen(found), time.monotonic())
                if (record.state in policy.ENDED and record.stage == "done") or record.state in (
                    policy.CANCELLED,
                    policy.FAILED,
                ):
                    return
            pause = interval if new else min(interval, self._poll_seconds)
            if not streams.wait(context, pause):
                return

    def ApproveCampaign(  # noqa: N802
        self, request: campaign_service_pb2.ApproveCampaignRequest, context: grpc.ServicerContext
    ) -> campaign_pb2.Campaign:
        """Lets a campaign spend the bulk of its money."""

        def change(record: campaign_state.CampaignRecord) -> Mapping[str, Any]:
            if record.control.get("approved") or record.state == policy.WAITING_FOR_APPROVAL:
                return {"approved": True}
            raise _not_now(record, "approve", "WAITING_FOR_APPROVAL; its quote comes first")

        return self._steer(request.name, request.etag, change)

    def PauseCampaign(  # noqa: N802
        self, request: campaign_service_pb2.PauseCampaignRequest, context: grpc.ServicerContext
    ) -> campaign_pb2.Campaign:
        """Starts nothing new until Resume."""

        def change(record: campaign_state.CampaignRecord) -> Mapping[str, Any]:
            if record.state in policy.ENDED:
                raise _not_now(record, "pause", "a state in which work goes on")
            return {"paused": True}

        return self._steer(request.name, request.etag, change)

    def ResumeCampaign(  # noqa: N802
        self, request: campaign_service_pb2.ResumeCampaignRequest, context: grpc.ServicerContext
    ) -> campaign_pb2.Campaign:
        """Goes on after a pause; tries failed steps again under new Job names."""

        def change(record: campaign_state.CampaignRecord) -> Mapping[str, Any]:
            if record.state in STEERED:
                raise _not_now(record, "resume", "PAUSED or FAILED")
            changed: dict[str, Any] = {"paused": False}
            if record.error and record.error.get("reason") == "TOO_MANY_FAILED_ITEMS":
                changed["failures_accepted"] = True
            if record.state == policy.FAILED:
                changed["attempts"] = _next_attempts(record)
            return changed

        return self._steer(request.name, request.etag, change)

    def CancelCampaign(  # noqa: N802
        self, request: campaign_service_pb2.CancelCampaignRequest, context: grpc.ServicerContext
    ) -> campaign_pb2.Campaign:
        """Stops a campaign for good; a campaign that has ended stays as it is."""

        def change(record: campaign_state.CampaignRecord) -> Mapping[str, Any]:
            exhausted = record.state == policy.BUDGET_EXHAUSTED and record.stage == "done"
            return {} if record.state in STEERED or exhausted else {"cancelled": True}

        return self._steer(request.name, request.etag, change)

    def TopUpCampaign(  # noqa: N802
        self, request: campaign_service_pb2.TopUpCampaignRequest, context: grpc.ServicerContext
    ) -> campaign_pb2.Campaign:
        """Raises the budget and, with labels, adds a wave."""
        if request.human_labels == 0 and request.money_micros == 0:
            description = "expected further human_labels or money_micros, got neither"
            raise errors.InvalidInputError.of([errors.Violation("human_labels", description)])
        add = {"human_labels": request.human_labels, "money_micros": request.money_micros}

        def change(record: campaign_state.CampaignRecord) -> Mapping[str, Any]:
            top_ups = list(record.control.get("top_ups", []))
            known = next((t for t in top_ups if t["request_id"] == request.request_id), None)
            if known is not None:
                if {key: known[key] for key in add} != add:
                    before = f"{known['human_labels']} labels, {known['money_micros']} micro-dollars"
                    message = (
                        f"{record.name}: request_id {request.request_id!r} topped up by other amounts "
                        f"before: {before}. Take another request_id to add to that."
                    )
                    raise errors.AlreadyExistsError(message)
                return {}
            if record.state == policy.CANCELLED:
                raise _not_now(record, "top up", "a campaign that was not cancelled")
            if request.human_labels > 0 and specs.parse(record.spec).guarantee:
                message = (
                    f"cannot top up {record.name} with labels: what it proves was frozen with its budget, "
                    "and more labels after a look at the answers would break the proof. Start another "
                    "campaign with the budget that you want; money alone can be added."
                )
                raise errors.PreconditionError(message, reason="GUARANTEE_FROZEN")
            return {"top_ups": [*top_ups, {"request_id": request.request_id, **add}]}

        names.parse_campaign(request.name)
        if "budget" not in self._campaigns.get(request.name).results:
            message = (
                f"cannot top up {request.name}: its items are not counted yet; try again after the import"
            )
            raise errors.PreconditionError(message, reason="WRONG_STATE")
        # accepted first, then booked: by the controller too, should this process die in between
        self._steer(request.name, request.etag, change)
        self._purse.raise_limits(request.name, policy.top_up_key(request.request_id), add)
        return self._message(self._campaigns.get(request.name))

    def _steer(
        self,
        name: str,
        etag: str,
        change: Callable[[campaign_state.CampaignRecord], Mapping[str, Any]],
    ) -> campaign_pb2.Campaign:
        names.parse_campaign(name)
        while True:
            record = self._campaigns.get(name)
            if etag and etag != messages.etag(record):
                message = f"{name} has changed since etag {etag}: read it again, then decide"
                raise errors.ConflictError(message, reason="ETAG_MISMATCH", metadata={"name": name})
            changed = dict(change(record))
            if not changed:
                return self._message(record)
            after = dataclasses.replace(record, control={**record.control, **changed})
            after = _reopened(record, after, changed)
            try:
                after = self._campaigns.update(after, record.version)
            except errors.ConflictError:
                continue  # the controller wrote meanwhile; what was asked for is still wanted
            self._wake()
            return self._message(after)

    def _message(self, record: campaign_state.CampaignRecord) -> campaign_pb2.Campaign:
        return self._seen(self._overviews.get(record.name))

    def _seen(self, seen: overview.Overview) -> campaign_pb2.Campaign:
        return messages.campaign(seen.record, seen.balance, self._store_uri)


def _violations(campaign: campaign_pb2.Campaign) -> list[errors.Violation]:
    """What does not fit together, by the paths of the request."""
    form = json_format.MessageToDict(campaign, preserving_proto_field_name=True)
    found = specs.violations(specs.parse(form))
    return [dataclasses.replace(violation, field=f"campaign.{violation.field}") for violation in found]


def _next_attempts(record: campaign_state.CampaignRecord) -> dict[str, int]:
    """Attempts by step, one more for each that has failed: a Job that has ended is never run again."""
    attempts = dict(record.control.get("attempts", {}))
    for key, child in record.results.get("children", {}).items():
        # a review batch is never made anew: it is taken up again, with all that people have answered
        if child["state"] in policy.BROKEN and not key.startswith(policy.Kind.REVIEW):
            attempts[key] = attempts.get(key, 1) + 1
    return attempts


def _restarted(
    there: campaign_state.CampaignRecord, asked: campaign_state.CampaignRecord
) -> campaign_state.CampaignRecord:
    """A campaign that failed before anything was bought, with the spec that was mended since."""
    children = {
        key: child
        for key, child in there.results.get("children", {}).items()
        if child["state"] == "SUCCEEDED"
    }
    return dataclasses.replace(
        there,
        spec=asked.spec,
        spec_digest=asked.spec_digest,
        request_id=asked.request_id,
        state=policy.RUNNING,
        error=None,
        control={"attempts": _next_attempts(there)},
        results={"children": children},
    )


def _reopened(
    before: campaign_state.CampaignRecord, after: campaign_state.CampaignRecord, changed: Mapping[str, Any]
) -> campaign_state.CampaignRecord:
    """Takes a campaign out of a state in which no controller looks at it."""
    if "attempts" in changed:
        children = {
            key: child
            for key, child in before.results.get("children", {}).items()
            if child["state"] not in policy.BROKEN
        }
        return dataclasses.replace(
            after, state=policy.RUNNING, error=None, results={**before.results, "children": children}
        )
    if "cancelled" in changed and before.state == policy.FAILED:
        # people may still be at work, and what they have answered is to be booked
        return dataclasses.replace(after, state=policy.RUNNING)
    if "top_ups" in changed and before.state in policy.ENDED:
        return dataclasses.replace(after, state=policy.RUNNING, stage="plan")
    return after


def _not_now(record: campaign_state.CampaignRecord, call: str, expected: str) -> errors.PreconditionError:
    message = f"cannot {call} {record.name}: expected {expected}; it is {record.state}"
    return errors.PreconditionError(message, reason="WRONG_STATE", metadata={"state": record.state})


def _taken(there: campaign_state.CampaignRecord, asked: Mapping[str, Any]) -> errors.AlreadyExistsError:
    spec = there.spec
    fields = sorted(key for key in {*spec, *asked} if spec.get(key) != asked.get(key))
    why = "what was asked for before is under way"
    if there.state == policy.FAILED and "budget" not in there.results:
        fields = [field for field in fields if field in policy.DECIDE_ITEMS]
        why = "its items were imported with what was asked for before"
    elif there.state in policy.ENDED:
        why = "it has ended"
    another = f"{names.parse_campaign(there.name)}-2"
    message = (
        f"{there.name} exists with another content: {', '.join(fields)} differ, and {why}. "
        f"Take another id (--id {another} on the command line), or send what was sent before."
    )
    return errors.AlreadyExistsError(message, metadata={"name": there.name, "fields": ",".join(fields)})

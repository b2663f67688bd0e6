"""The server from Python, and from any language by reflection."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha import proto_reflection_descriptor_database

import actuary
from component.flows import newcomer


@pytest.fixture(scope="module")
def done(served):
    """A campaign that was created and waited for from Python."""
    form = newcomer.campaign(
        data={"truth_column": "gold"}, review={"mode": "replay"}, budget={"human_labels": 40}
    )
    folder = newcomer.make(served.shell.folder / "from-python", form, newcomer.items(60))
    with actuary.Client(served.client.address) as client:
        created = client.create(folder / "campaign.yaml", campaign_id="reviews")
        assert created.name == "campaigns/reviews"
        yield client.wait(created.name)


@pytest.mark.slow
def test_the_client_creates_waits_and_hands_out_arrow_pandas_and_the_report(served, done, tmp_path):
    client = served.client
    assert done.results.corrected_accuracy.estimate > done.results.machine_accuracy.estimate
    assert done.purse.human_labels.settled == 40
    table = client.export("reviews")
    assert table.num_rows == 60
    frame = client.export_pandas("campaigns/reviews")
    assert list(frame["item_id"]) == table["item_id"].to_pylist()
    assert client.report("reviews", tmp_path / "report.html").stat().st_size > 10_000


@pytest.mark.slow
def test_watch_ends_with_the_last_state_and_create_twice_is_one_campaign(served, done):
    responses = list(served.client.watch("reviews"))
    assert responses[-1].campaign == served.client.get("reviews")
    folder = served.shell.folder / "from-python"
    assert served.client.create(folder, campaign_id="reviews").create_time == done.create_time
    assert "reviews" in [c.name.rsplit("/")[-1] for c in served.client.list()]


def test_any_language_finds_the_services_and_calls_them_by_reflection(served):
    """What grpcurl does: list the services, fetch their descriptors, make a call from JSON."""
    with grpc.insecure_channel(served.client.address) as channel:
        database = proto_reflection_descriptor_database.ProtoReflectionDescriptorDatabase(channel)
        services = database.get_services()
        pool = descriptor_pool.DescriptorPool(database)
        method = pool.FindServiceByName("actuary.v1.CampaignService").methods_by_name["ListCampaigns"]
        request = message_factory.GetMessageClass(method.input_type)
        answer = message_factory.GetMessageClass(method.output_type)
        call = channel.unary_unary(
            "/actuary.v1.CampaignService/ListCampaigns", request.SerializeToString, answer.FromString
        )
        found = call(json_format.Parse('{"pageSize": 1}', request()))
    names = ("Campaign", "Annotator", "Critic", "Sampler", "Review", "Trainer")
    assert {f"actuary.v1.{name}Service" for name in names} <= set(services)
    assert found.DESCRIPTOR.full_name == "actuary.v1.ListCampaignsResponse"

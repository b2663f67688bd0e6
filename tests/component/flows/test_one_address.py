"""A client's one address: where only campaigns are served, reviews and quotes are answered too."""

from __future__ import annotations

import pytest

import actuary
from actuary import errors
from actuary.cli import embedded, settings
from actuary.v1 import review_service_pb2


def test_reviews_and_quotes_are_answered_where_campaigns_are(tmp_path):
    options = settings.ProcessSettings().for_folder(tmp_path / "data")
    with (
        embedded.serving(
            options, address="127.0.0.1:0", services=("campaign",), folder=tmp_path / "data"
        ) as host,
        actuary.Client(host.address) as client,
    ):
        asked = review_service_pb2.ListReviewBatchesRequest(parent="campaigns/none")
        assert not client.reviews.ListReviewBatches(asked).review_batches
        with pytest.raises(errors.NotFoundError, match="campaigns/none"):
            client.quote("none")

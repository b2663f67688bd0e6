"""`actuary verify`: one sentence and 0, reasons and 1, or what is wrong with the input and 2."""

from __future__ import annotations

import json

from actuary.storage import artifacts
from unit.sampler import certified


def test_a_certificate_is_verified_then_refused_after_one_answer_was_changed(shell):
    campaign = certified.Campaign.make(shell.folder / "actuary-data" / "store")
    document = campaign.certify()
    (shell.folder / "certificate.json").write_bytes(document.to_json())

    said = shell("verify", "certificate.json")
    assert said.stdout.startswith(
        "certificate.json holds. With probability at least 95 %, at most 60 of 600 labels"
    )
    at_uri = shell("verify", "certificate.json", "--data", campaign.store.uri)
    assert at_uri.stdout == said.stdout

    first = campaign.asked("plan-2")[0]
    campaign.answer("plan-2", lambda item: None if item == first else campaign.truth_of(item))
    refused = shell("verify", "certificate.json", code=1)
    assert refused.stdout == ""
    assert "digests.campaigns/small/plan-2/resolved: expected" in refused.stderr
    assert refused.stderr.splitlines()[-1].startswith("certificate.json does not hold: ")

    campaign.store.delete(artifacts.key_of(f"{certified.CAMPAIGN}/risks"))
    assert "campaigns/small/risks" in shell("verify", "certificate.json", code=1).stderr


def test_what_cannot_be_verified_is_bad_input(shell):
    (shell.folder / "actuary-data").mkdir()
    (shell.folder / "text.json").write_text("text")
    (shell.folder / "list.json").write_text("[]")
    (shell.folder / "other.json").write_text(json.dumps({"format": 9}))
    cases = [
        ("verify nothing.json", "nothing.json: cannot be read"),
        ("verify text.json", "text.json: expected a certificate in JSON"),
        ("verify list.json", "list.json: expected a certificate; got another JSON value"),
        ("verify other.json", "certificate: expected format 1, got 9"),
        (
            "verify other.json --data nowhere",
            "--data: expected a data folder or s3://bucket/prefix; got nowhere",
        ),
    ]
    for command, message in cases:
        said = shell(*command.split(), code=2)
        assert said.stderr.startswith(f"error: {message}"), command
        assert len(said.stderr.splitlines()) == 1, command

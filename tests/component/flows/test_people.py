"""The newcomer's first evening: a template, own files, a run in one terminal and answers from others."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import select
import subprocess
import time

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from actuary.v1 import review_service_pb2
from component.flows import newcomer

pytestmark = pytest.mark.slow


def fill(path, gold, answer=lambda row, label: label):
    """Fills in the labels of an exported file, as a person does in a spreadsheet."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    else:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row["label"] = answer(row, gold[row["item_id"]])
    if path.suffix == ".csv":
        newcomer.write_csv(path, list(rows[0]), [list(row.values()) for row in rows])
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return rows


class Terminal:
    """A pseudo-terminal with a command in it."""

    def __init__(self, shell, *arguments):
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            [*newcomer.COMMAND, *map(str, arguments)],
            cwd=shell.folder,
            env={**newcomer.ENVIRONMENT, "TERM": "xterm"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def until(self, text):
        """Reads until a text was shown, and returns all that was."""
        shown = b""
        end = time.monotonic() + newcomer.DEADLINE_SECONDS
        while text.encode() not in shown:
            assert time.monotonic() < end, f"waited for {text!r}, saw {shown.decode(errors='replace')}"
            if select.select([self._master], [], [], 0.2)[0]:
                try:
                    shown += os.read(self._master, 65_536)
                except OSError:  # the command has ended
                    break
        assert text.encode() in shown, shown.decode(errors="replace")
        return shown.decode()

    def type(self, keys):
        """Presses keys."""
        os.write(self._master, keys.encode())

    def close(self):
        """Waits for the command's end."""
        code = self._process.wait(newcomer.DEADLINE_SECONDS)
        os.close(self._master)
        return code


def test_a_campaign_from_a_template_with_people_in_files_and_at_the_terminal(shell):
    shell("init", "mein-versuch")
    folder = shell.folder / "mein-versuch"
    template = (folder / "campaign.yaml").read_text(encoding="utf-8")
    content = newcomer.items(80)
    english = {newcomer.YES: "positive", newcomer.NO: "negative"}
    gold = {item.item_id: english[item.gold] for item in content}
    rows = [(i.item_id, i.text) for i in content]
    newcomer.write_csv(folder / "items.csv", ["item_id", "text"], rows)
    labels = [(i.item_id, english[i.label], i.confidence) for i in content]
    newcomer.write_csv(folder / "labels.csv", ["item_id", "label", "confidence"], labels)
    edited = template.replace("human_labels: 200", "human_labels: 50").replace("_items: 60", "_items: 20")
    (folder / "campaign.yaml").write_text(
        edited.replace("double_share: 0.1", "double_share: 0"), encoding="utf-8"
    )
    shell("doctor", "mein-versuch")

    with shell.start("run", "mein-versuch"):
        newcomer.wait_for(lambda: "waiting for people" in shell.log("run"), "the pilot's review")
        assert "in another terminal: actuary review mein-versuch --as" in shell.log("run")

        # a CSV file
        shell("review", "export", "mein-versuch", "ada.csv", "--as", "ada", "--limit", 12)
        refused = shell("review", "export", "mein-versuch", "ada.csv", "--as", "ada", code=1)
        assert "exists, perhaps with answers in it" in refused.stderr
        assert len(fill(shell.folder / "ada.csv", gold)) == 12
        for _ in range(2):
            said = shell("review", "import", "mein-versuch", "ada.csv", "--as", "ada").stdout
            assert "12 answers accepted, 0 refused" in said

        # a JSON file, filled in by somebody else than who asked for it: that is refused, row by row
        shell("review", "export", "mein-versuch", "bob.jsonl", "--as", "bob", "--limit", 4)
        fill(shell.folder / "bob.jsonl", gold)
        said = shell("review", "import", "mein-versuch", "bob.jsonl", "--as", "eve", code=1)
        assert said.stderr.count("somebody else holds it") == 4
        shell("review", "import", "mein-versuch", "bob.jsonl", "--as", "bob")

        # the terminal; the pilot's last four
        terminal = Terminal(shell, "review", "mein-versuch", "--as", "cyd")
        shown = terminal.until("> ")
        assert "Is this review positive or negative?" in shown
        terminal.type("2")
        terminal.until("> ")
        terminal.type("b")  # the answer before was wrong
        terminal.until("> ")
        terminal.type("1")
        terminal.until("> ")
        terminal.type("?")
        terminal.until("> ")
        terminal.type("1")
        terminal.until("> ")
        terminal.type("1")
        assert "4 tasks answered" in terminal.until("Thank you")
        assert terminal.close() == 0

        newcomer.wait_for(lambda: "review: began" in shell.log("run").split("plan: ended")[-1], "wave 1")
        newcomer.wait_for(
            lambda: shell.log("run").count("waiting for people") == 2, "the review of the drawn items"
        )
        shell("review", "export", "mein-versuch", "drawn.csv", "--as", "ada", "--limit", 15)
        fill(shell.folder / "drawn.csv", gold)
        shell("review", "import", "mein-versuch", "drawn.csv", "--as", "ada")
        assert "15 labels" in shell("review", "close", "mein-versuch").stdout
        newcomer.wait_for(lambda: "labels  /" in shell.log("run"), "the run to end")

    log = shell.log("run")
    assert "35 of 50" in log
    assert "agree with the reviewers" in log

    # what came of it, with no server up
    for name, read in (
        ("labels.csv", pyarrow.csv.read_csv),
        ("labels.parquet", pq.read_table),
        (
            "labels.jsonl",
            lambda path: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()],
        ),
    ):
        shell("export", "mein-versuch", name)
        assert len(read(shell.folder / name)) == 80
    with (shell.folder / "labels.csv").open(encoding="utf-8", newline="") as stream:
        assert {row["item_id"] for row in csv.DictReader(stream)} == set(gold)
    shell("report", "mein-versuch", "bericht.html")
    assert "<html" in (shell.folder / "bericht.html").read_text(encoding="utf-8")
    assert "mein-versuch: succeeded" in shell("list").stdout
    assert "forecast accuracy" in shell("quote", "mein-versuch").stdout

    # garbage collection leaves alone what a manifest names
    before = shell("gc", "--dry-run", "--older-than-hours", 0).stdout
    assert "would remove" in before
    shell("gc", "--older-than-hours", 0)
    shell("export", "mein-versuch", "again.csv")
    assert (shell.folder / "again.csv").read_bytes() == (shell.folder / "labels.csv").read_bytes()

    # another wave; the same request adds once
    for _ in range(2):
        said = shell("topup", "mein-versuch", "--labels", 5, "--request-id", "märz").stdout
        assert "may now spend 55 human labels" in said
        assert "it goes on with: actuary watch mein-versuch" in said
    with shell.start("watch", "mein-versuch"):
        newcomer.wait_for(lambda: "waiting for people" in shell.log("watch"), "the second wave's review")
        shell("review", "export", "mein-versuch", "more.csv", "--as", "ada")
        assert len(fill(shell.folder / "more.csv", gold)) == 5
        shell("review", "import", "mein-versuch", "more.csv", "--as", "ada")
        newcomer.wait_for(lambda: "mein-versuch: succeeded" in shell.log("watch"), "the second wave")


def test_two_people_who_disagree_are_settled_by_a_third(served):
    content = newcomer.items(40)
    gold = {item.item_id: item.gold for item in content}
    form = newcomer.campaign(
        review={"double_share": 0.5},
        budget={"human_labels": 40},
        sampling={"pilot_items": 20},
    )
    folder = newcomer.make(served.shell.folder / "doubles", form, content)
    served.client.create(folder)
    served.until("doubles", "WAITING_FOR_PEOPLE")
    other = {newcomer.YES: newcomer.NO, newcomer.NO: newcomer.YES}
    answered = {}
    for person in ("ada", "bob"):
        file = served.shell.folder / f"doubles-{person}.csv"
        served.cli("review", "export", "doubles", file, "--as", person)
        # bob errs once
        rows = fill(file, gold, lambda row, label: label)
        if person == "bob":
            wrong = rows[0]["item_id"]
            rows = fill(
                file, gold, lambda row, label, wrong=wrong: other[label] if row["item_id"] == wrong else label
            )
        served.cli("review", "import", "doubles", file, "--as", person)
        answered[person] = {row["item_id"] for row in rows}
    assert answered["bob"] < answered["ada"]

    third = served.shell.folder / "doubles-cyd.csv"
    served.cli("review", "export", "doubles", third, "--as", "cyd")
    assert [row["item_id"] for row in fill(third, gold)] == [wrong]
    served.cli("review", "import", "doubles", third, "--as", "cyd")
    served.until("doubles", "WAITING_FOR_PEOPLE", "RUNNING")
    newcomer.wait_for(lambda: served.client.get("doubles").wave == 1, "the pilot's end")

    resolved = served.artifact("doubles", "reviewBatches/review-w0/resolved").to_pylist()
    settled = [row for row in resolved if row["method"] == "adjudicated"]
    assert [(row["item_id"], row["label"]) for row in settled] == [(wrong, gold[wrong])]
    served.cli("cancel", "doubles")


def test_a_file_that_took_longer_than_its_lease_still_counts(served):
    content = newcomer.items(40)
    form = newcomer.campaign(review={"lease_duration": "1s"})
    served.client.create(newcomer.make(served.shell.folder / "slow-people", form, content))
    served.until("slow-people", "WAITING_FOR_PEOPLE")
    file = served.shell.folder / "slow.csv"
    served.cli("review", "export", "slow-people", file, "--as", "ada", "--limit", 10)
    fill(file, {item.item_id: item.gold for item in content})
    newcomer.wait_for(lambda: not _held(served, "slow-people"), "the leases to end")
    # bob answers the first of them meanwhile, and ada takes none that the file does not list
    other = served.shell.folder / "slow-bob.csv"
    served.cli("review", "export", "slow-people", other, "--as", "bob", "--limit", 3)
    fill(other, {item.item_id: item.gold for item in content})
    assert "3 answers accepted" in served.cli("review", "import", "slow-people", other, "--as", "bob").stdout
    said = served.cli("review", "import", "slow-people", file, "--as", "ada", code=1)
    assert "7 answers accepted, 3 refused" in said.stdout
    assert said.stderr.count("is not open: it has all the answers that it wants") == 3
    assert _held(served, "slow-people") == 0
    served.cli("cancel", "slow-people")


def test_a_lone_reviewer_is_told_that_another_person_is_wanted(served):
    content = newcomer.items(40)
    form = newcomer.campaign(
        review={"double_share": 0.5}, budget={"human_labels": 40}, sampling={"pilot_items": 20}
    )
    served.client.create(newcomer.make(served.shell.folder / "alone", form, content))
    served.until("alone", "WAITING_FOR_PEOPLE")
    file = served.shell.folder / "alone.csv"
    served.cli("review", "export", "alone", file, "--as", "ada")
    rows = fill(file, {item.item_id: item.gold for item in content})
    served.cli("review", "import", "alone", file, "--as", "ada")
    again = served.cli("review", "export", "alone", served.shell.folder / "none.csv", "--as", "ada").stdout
    assert 10 < len(rows) < 20
    assert re.search(r"no task for ada: \d tasks that you have answered want another person", again)
    assert "actuary review close" in again
    served.cli("review", "close", "alone")
    newcomer.wait_for(lambda: served.client.get("alone").wave == 1, "the pilot's end")
    served.cli("cancel", "alone")


def _held(served, campaign):
    request = review_service_pb2.ListReviewBatchesRequest(parent=f"campaigns/{campaign}", page_size=10)
    return served.client.reviews.ListReviewBatches(request).review_batches[0].held_task_count

"""What resolved labels keep of the time that people took."""

import datetime

import pyarrow as pa

from actuary.review import segments
from actuary.storage import schemas

START = datetime.datetime(2026, 3, 2, 14, 0, tzinfo=datetime.UTC)


def answers(*rows):
    return pa.Table.from_pylist(
        [
            {
                "item_id": str(n), "batch": "b", "task": segments.task_of(n), "wave": 0, "label": "a",
                "reviewer": reviewer, "seconds": seconds, "blind": True,
                "arrived": START + datetime.timedelta(seconds=at), "sequence": n + 1, "supersedes": None,
            }
            for n, (reviewer, seconds, at) in enumerate(rows)
        ],
        schema=schemas.ANSWERS,
    )  # fmt: skip


def test_times_are_summed_over_the_answers_that_have_some():
    found = segments.timing(answers(("ada", 3.0, 0), ("bob", 4.0, 50), ("cyd", 0.0, 500), ("ada", 5.0, 90)))
    assert found == {"answers": 3, "seconds": 12.0, "squares": 50.0, "reviewers": 2, "elapsed": 90.0}


def test_a_replay_has_no_times():
    assert segments.timing(answers(("replay", 0.0, 0))) == {}
    assert segments.timing(answers()) == {}

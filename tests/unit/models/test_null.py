"""The null model: the same for everyone, and as bad as it is told to be."""

import asyncio
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from actuary import errors
from actuary.models import null, protocol

OPTIONS = ("a", "b", "c")


def score(ids: list[str], **options: str) -> protocol.ScoreBatch:
    model = null.NullModel(
        protocol.ModelSpec(kind="null", options=options), protocol.ModelContext(classes=OPTIONS)
    )
    asked = [protocol.Prompt(i, (protocol.Text("x" * 41),)) for i in ids]
    answers = asyncio.run(model.score(asked, OPTIONS))
    protocol.check_answers(asked, answers, len(OPTIONS))
    return answers


IDS = [f"item-{i}" for i in range(3000)]


def test_an_answer_depends_on_the_item_and_the_seed_alone() -> None:
    forth, back = score(IDS), score(IDS[::-1])
    assert (forth.label_index == back.label_index[::-1]).all()
    assert (forth.confidence == back.confidence[::-1]).all()
    assert (score(IDS, seed="1").label_index != forth.label_index).any()


def test_every_label_is_as_frequent_as_the_others() -> None:
    counts = np.bincount(score(IDS).label_index, minlength=3)
    assert (counts > stats.binom.ppf(1e-7, 3000, 1 / 3)).all()


def test_probabilities_sum_to_one_and_agree_with_label_and_confidence() -> None:
    answers = score(IDS)
    p = np.exp(answers.log_probabilities)
    assert p.sum(axis=1) == pytest.approx(1)
    assert (p.argmax(axis=1) == answers.label_index).all()
    assert p.max(axis=1) == pytest.approx(answers.confidence)
    assert score(IDS, probabilities="no").log_probabilities is None


def test_failures_and_abstentions_come_at_their_rate() -> None:
    answers = score(IDS, failure_rate="0.1", abstain_rate="0.2")
    low, high = stats.binom.ppf([1e-7, 1 - 1e-7], 3000, 0.1)
    assert low < len(answers.failures) < high
    n = len(answers.item_ids)
    low, high = stats.binom.ppf([1e-7, 1 - 1e-7], n, 0.2)
    assert low < (answers.label_index == -1).sum() < high
    assert np.isnan(answers.confidence[answers.label_index == -1]).all()


def test_tokens_are_counted() -> None:
    answers = score(["a"], tokens_out="7")
    assert answers.tokens_in.tolist() == [10]
    assert answers.tokens_out.tolist() == [7]


def test_latency_makes_calls_worth_running_together() -> None:
    answers = score(["a"], latency_ms="0.1")
    assert answers.label_index.tolist() == score(["a"]).label_index.tolist()


def test_no_prompts_give_no_answers() -> None:
    assert len(score([]).item_ids) == 0


def test_wrong_options_are_named_all_at_once() -> None:
    with pytest.raises(errors.InvalidInputError) as caught:
        score([], failure_rate="2", latency_m="3", tokens_out="many")
    assert [v.field for v in caught.value.violations] == [
        "model.options.failure_rate",
        "model.options.tokens_out",
        "model.options.latency_m",
    ]
    assert "did you mean 'latency_ms'?" in str(caught.value)


def test_a_poison_item_kills_the_process() -> None:
    code = (
        "import asyncio; from actuary.models import null, protocol as p;"
        "s = p.ModelSpec(kind='null', options={'kill_item': 'b'});"
        "m = null.NullModel(s, p.ModelContext(classes=()));"
        "ask = lambda i: asyncio.run(m.score([p.Prompt(i, ())], ('x', 'y')));"
        "ask('a'); print('lived', flush=True); ask('b'); print('still')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    assert done.stdout == "lived\n"

"""What the trainer decides from weights and accuracies."""

import numpy as np
import pytest

from actuary.trainer import policy

BASE = policy.Trial(model="linear", labels="act", seed=7)


def test_even_weights_are_fine() -> None:
    judgement = policy.judge(np.full(100, 3.0), 5.0, 4, items=300)
    assert judgement.refusal is None
    assert judgement.warnings == ()
    assert judgement.diagnostics is not None
    assert judgement.diagnostics.effective_size == pytest.approx(100)


@pytest.mark.parametrize("g", [[], [0.0, 0.0]])
def test_labels_that_only_correct_cannot_carry_the_mixture(g: list[float]) -> None:
    judgement = policy.judge(g, 5.0, 3, items=10)
    assert judgement.refusal == "no human label has a weight in training"
    assert judgement.diagnostics is None


def test_weights_worth_fewer_labels_than_classes_are_refused() -> None:
    judgement = policy.judge([100.0, 1.0, 1.0, 1.0, 1.0], np.inf, 4, items=104)
    assert judgement.refusal is not None
    assert "5 human labels are worth 1.1 equal ones" in judgement.refusal


def test_the_cap_can_save_them() -> None:
    assert policy.judge([100.0, 1.0, 1.0, 1.0, 1.0], 1.0, 4, items=104).refusal is None


def test_few_labels_a_single_heavy_one_and_a_cap_that_bites_are_warned_of() -> None:
    few = policy.judge(np.ones(11), 5.0, 3, items=11)
    assert len(few.warnings) == 1
    assert "depends on few of them" in few.warnings[0]
    heavy = policy.judge([*np.ones(60), 30.0], np.inf, 3, items=90)
    assert any("a single human label" in w for w in heavy.warnings)
    clipped = policy.judge(np.full(100, 20.0), 5.0, 3, items=2000)
    assert clipped.warnings == (
        "the cap W = 5 takes away 75% of the human labels' weight: the loss leans on the machine",
    )


def test_every_set_of_labels_is_tried_once() -> None:
    fine = policy.judge(np.ones(50), 5.0, 2, items=50)
    chosen = policy.trials(BASE, fine, all_human=True)
    assert [t.labels for t in chosen] == ["machine", "act", "human"]
    assert all(t.seed == 7 and t.model == "linear" for t in chosen)
    assert [t.labels for t in policy.trials(BASE, fine, all_human=False)] == ["machine", "act"]


def test_a_refused_mixture_is_left_out() -> None:
    refused = policy.judge([], 5.0, 2, items=50)
    assert [t.labels for t in policy.trials(BASE, refused, all_human=True)] == ["machine", "human"]


def test_no_search_where_no_difference_could_be_seen() -> None:
    # standard error sqrt(2 · 0.9 · 0.1 / n): 0.0134 at 1,000 items, 0.0095 at 2,000
    assert policy.search_grid(0.9, 1000) == ((1.0, 5.0),)
    assert policy.search_grid(0.9, 2000) == policy.GRID
    assert policy.search_grid(0.9, 0) == ((1.0, 5.0),)


def test_the_best_is_the_earliest_of_the_highest() -> None:
    assert policy.best([0.8, 0.9, None, 0.9]) == 1
    assert policy.best([None, None]) == 0
    with pytest.raises(ValueError, match="at least one"):
        policy.best([])


def test_a_loss_that_the_design_cannot_support_is_named_with_its_remedy() -> None:
    reason = policy.unsupported(np.ones(50), np.inf, items=1000)
    assert reason is not None
    assert "stand for 5% of the items" in reason
    assert "keep a uniform audit" in reason
    assert policy.unsupported(np.ones(50), np.inf, items=1000, lam=0.8) is None
    assert policy.unsupported(np.full(50, 20.0), 5.0, items=1000) is None
    assert policy.unsupported([], 5.0, items=1000) is None

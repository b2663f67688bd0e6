"""When a process that crashes again and again is given up."""

from __future__ import annotations

from actuary.jobs import evidence

LIMIT = 3


def crashes_borne(shown) -> int:
    """How many crashes are borne when the store shows this after each."""
    patience = evidence.Patience(LIMIT)
    return next(count for count, each in enumerate(shown) if not patience.crashed(each))


def test_a_process_that_gets_nowhere_is_given_up_after_its_limit():
    assert crashes_borne([evidence.Evidence()] * 10) == LIMIT


def test_a_crash_in_which_something_was_done_begins_the_count_anew():
    shown = [evidence.Evidence(done=n // LIMIT) for n in range(3 * LIMIT)] + [evidence.Evidence(done=2)] * 10
    assert crashes_borne(shown) == 3 * LIMIT


def test_learning_what_kills_is_getting_somewhere_but_not_for_ever():
    shown = [evidence.Evidence(learnt=str(n)) for n in range(200)]
    assert crashes_borne(shown) == evidence.LEARNING_LIMIT + 1


def test_a_model_that_dies_of_every_item_is_given_up_though_chunks_are_written_off():
    shown = [evidence.Evidence(done=n // 16, learnt=str(n)) for n in range(500)]
    assert crashes_borne(shown) == evidence.TOTAL_LIMIT

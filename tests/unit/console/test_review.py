"""The review loop asks, takes keys, and corrects on request."""

import io
import os
import pty

import pytest
from PIL import Image

from actuary.cli.console import pictures, review
from actuary.v1 import review_service_pb2 as messages


class Batch:
    """Hands out tasks in order, as the service does: what is held comes again until it is answered."""

    def __init__(self, classes, tasks):
        self.response = messages.AcquireTasksResponse()
        self.response.task.instruction = "Positive or negative?"
        for name in classes:
            self.response.task.classes.add(name=name)
        self.tasks = [
            messages.ReviewTask(name=f"t{k}", item_id=f"item-{k}", text=t) for k, t in enumerate(tasks)
        ]
        self.answers: list[messages.Answer] = []
        self.released = 0

    def acquire(self):
        answered = {answer.task for answer in self.answers}
        response = messages.AcquireTasksResponse()
        response.CopyFrom(self.response)
        left = [task for task in self.tasks if task.name not in answered]
        response.tasks.extend(left[:1])
        response.done = not left
        return response

    def submit(self, answer):
        self.answers.append(answer)
        return messages.AnswerResult(task=answer.task, accepted=True)

    def release(self):
        self.released += 1

    def run(self, typed, console):
        seconds = iter(range(1000))
        return review.loop(
            acquire=self.acquire,
            submit=self.submit,
            release=self.release,
            clock=lambda: float(next(seconds)),
            keys=review.keyboard(io.StringIO(typed)),
            console=console,
        )


@pytest.fixture
def batch():
    return Batch(["positive", "negative"], ["good", "bad", "odd"])


def test_a_number_answers_with_its_class_and_its_time(batch, console):
    assert batch.run("1\n2\n?\n", console) == 3
    assert [(a.task, a.label, a.cannot_tell, a.seconds) for a in batch.answers] == [
        ("t0", "positive", False, 1.0),
        ("t1", "negative", False, 1.0),
        ("t2", "", True, 1.0),
    ]
    assert "no task is left" in console.text


def test_back_corrects_the_answer_before_and_goes_on(batch, console):
    batch.run("1\nb\n2\n1\nq\n", console)
    assert [(a.task, a.label) for a in batch.answers] == [
        ("t0", "positive"),
        ("t0", "negative"),
        ("t1", "positive"),
    ]


def test_back_before_the_first_answer_says_so(batch, console):
    assert batch.run("b\nq\n", console) == 0
    assert "no answer before" in console.text


@pytest.mark.parametrize("typed", ["q\n", ""])
def test_stopping_gives_back_what_is_held(batch, console, typed):
    batch.run(typed, console)
    assert batch.released == 1
    assert batch.answers == []


def test_a_key_that_means_nothing_explains_the_keys(batch, console):
    batch.run("7\n\n1\nq\n", console)
    assert "Type the key of a class" in console.text
    assert len(batch.answers) == 1


def test_a_refused_answer_says_why(batch, console):
    batch.submit = lambda answer: messages.AnswerResult(
        task=answer.task, accepted=False, reason="lease [10] over"
    )
    assert batch.run("1\nq\n", console) == 0
    assert "lease [10] over" in console.text


def test_digits_are_typed_as_themselves():
    assert review.assign_keys(["0", "1", "2"]) == {"0": "0", "1": "1", "2": "2"}


def test_a_class_that_is_a_command_is_typed_as_a_number():
    assert review.assign_keys(["a", "b"]) == {"1": "a", "2": "b"}


def test_of_many_classes_each_has_a_number_or_its_name(console):
    batch = Batch([f"class {k}" for k in range(1, 13)], ["x", "y"])
    batch.run("12\nclass 3\n", console)
    assert [a.label for a in batch.answers] == ["class 12", "class 3"]


def test_an_items_text_cannot_steer_the_terminal(console):
    Batch(["a1", "a2"], ["\x1b[2Jgone [red]markup[/red] \N{ZERO WIDTH JOINER}"]).run("q\n", console)
    assert "\x1b[2J" not in console.text
    assert "[red]markup[/red]" in console.text


def test_a_key_of_a_terminal_needs_no_enter():
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, encoding="utf-8") as stream:
        os.write(ours, b"12")
        keys = review.keyboard(stream)
        assert [keys(single=True), keys(single=True)] == ["1", "2"]
    os.close(ours)


def png(size=(8, 8)):
    stream = io.BytesIO()
    Image.new("RGB", size, (0, 0, 0)).save(stream, format="PNG")
    return stream.getvalue()


def test_an_image_is_drawn_in_colour_or_in_shades(make_console):
    for terminal, character in ((True, "▀"), (False, "█")):
        drawn = pictures.picture(png(), make_console(terminal=terminal, width=80, height=40))
        assert character in drawn.plain


def test_a_large_image_fits_the_terminal(make_console):
    drawn = pictures.picture(png((900, 600)), make_console(terminal=True, width=60, height=30))
    lines = drawn.plain.strip().splitlines()
    assert max(len(line) for line in lines) <= 58
    assert len(lines) <= 18


def test_an_unreadable_image_is_written_to_a_file(console):
    path = pictures.picture(b"no image", console).plain.split("picture: ")[1].strip()
    with open(path, "rb") as stream:
        assert stream.read() == b"no image"
    os.unlink(path)

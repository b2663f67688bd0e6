"""The review loop of a terminal: one task after another, one key an answer.

It shows and asks; who hands out tasks and takes answers comes in as calls, what is typed comes in as a call.
Where the machine's label may not be seen, the service does not send it, so nothing is hidden here.
"""

from __future__ import annotations

import dataclasses
import enum
import sys
from collections.abc import Callable, Sequence
from typing import Protocol, TextIO

import rich.console
import rich.rule
import rich.text

from actuary.cli.console import pictures, words
from actuary.v1 import campaign_pb2, review_service_pb2

CANNOT_TELL, BACK, QUIT = "?", "b", "q"
_OWN = frozenset({CANNOT_TELL, BACK, QUIT})
_QUIET = "bright_black"


class Command(enum.Enum):
    """What somebody wants instead of answering."""

    BACK = BACK
    QUIT = QUIT


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer: a label, or that one cannot tell."""

    label: str | None


class Keys(Protocol):
    """Reads what a person types."""

    def __call__(self, *, single: bool) -> str:
        """Returns one key (`single`) or one line; an empty string at the end of the input."""


def assign_keys(classes: Sequence[str]) -> dict[str, str]:
    """Gives every class what is typed for it.

    That is the class itself where all are one character (digits, letters), else its number from 1 on.
    """
    if all(len(name) == 1 and name.isprintable() and name not in _OWN for name in classes):
        return {name: name for name in classes}
    return {str(number): name for number, name in enumerate(classes, start=1)}


def ask(
    task: review_service_pb2.ReviewTask,
    classes: Sequence[campaign_pb2.ClassDefinition],
    *,
    keys: Keys,
    console: rich.console.Console,
) -> Reply | Command:
    """Shows one task and returns the answer, or the command that was given instead."""
    assigned = assign_keys([each.name for each in classes])
    single = all(len(key) == 1 for key in assigned)
    _show(task, console)
    _legend(classes, assigned, console)
    while True:
        console.print("> ", end="")
        typed = keys(single=single)
        if single:  # a single key is not echoed by the terminal
            console.print(typed.strip(), markup=False)
        if typed == "":
            return Command.QUIT
        typed = typed.strip()
        if typed == CANNOT_TELL:
            return Reply(label=None)
        if typed in assigned:
            return Reply(label=assigned[typed])
        if typed in assigned.values():
            return Reply(label=typed)
        if typed in (BACK, QUIT):
            return Command(typed)
        console.print(
            "Type the key of a class, ? for cannot tell, b to correct the answer before, q to stop.",
            style="yellow",
            markup=False,
        )


def loop(
    *,
    acquire: Callable[[], review_service_pb2.AcquireTasksResponse],
    submit: Callable[[review_service_pb2.Answer], review_service_pb2.AnswerResult],
    release: Callable[[], object],
    clock: Callable[[], float],
    keys: Keys | None = None,
    console: rich.console.Console | None = None,
) -> int:
    """Asks until the batch has no further task or the person stops, and returns how many answers count.

    Args:
        acquire: hands out the next task, with the classes and instructions; a task that is held comes again.
        submit: takes an answer; a second answer to a task corrects the first.
        release: gives back what is held; called when the person stops.
        clock: seconds, for the time that an answer took.
        keys: what is typed; by default the keyboard, or standard input where it is no terminal.
        console: where to write; by default standard output.
    """
    console = console or rich.console.Console(highlight=False)
    keys = keys or keyboard(sys.stdin)
    answered: set[str] = set()
    previous: review_service_pb2.ReviewTask | None = None
    told = False
    try:
        while True:
            response = acquire()
            if not response.tasks:
                console.print(f"No task for you now: {words.nothing_left(response)}.", markup=False)
                break
            if not told:
                _instructions(response, console)
                told = True
            task = response.tasks[0]
            reply = _timed(task, response, submit, clock, keys, console, answered)
            if reply is Command.QUIT:
                break
            if reply is Command.BACK:
                if previous is None:
                    console.print("There is no answer before this one.", style="yellow")
                elif _timed(previous, response, submit, clock, keys, console, answered) is Command.QUIT:
                    break
                continue
            previous = task
    except KeyboardInterrupt:
        console.print()
    finally:
        release()
    console.print(f"{words.counted(len(answered), 'task')} answered. Thank you.")
    return len(answered)


def _timed(
    task: review_service_pb2.ReviewTask,
    response: review_service_pb2.AcquireTasksResponse,
    submit: Callable[[review_service_pb2.Answer], review_service_pb2.AnswerResult],
    clock: Callable[[], float],
    keys: Keys,
    console: rich.console.Console,
    answered: set[str],
) -> Reply | Command:
    began = clock()
    reply = ask(task, response.task.classes, keys=keys, console=console)
    if isinstance(reply, Command):
        return reply
    seconds = min(86_400.0, max(0.0, clock() - began))
    result = submit(
        review_service_pb2.Answer(
            task=task.name, label=reply.label or "", cannot_tell=reply.label is None, seconds=seconds
        )
    )
    if result.accepted:
        answered.add(task.name)
    else:
        console.print(f"not counted: {result.reason}", style="yellow", markup=False)
    return reply


def _instructions(response: review_service_pb2.AcquireTasksResponse, console: rich.console.Console) -> None:
    console.print()
    console.print(printable(response.task.instruction.strip()), style="bold", markup=False)
    if response.instructions.strip():
        console.print(printable(response.instructions.strip()), markup=False)
    for each in response.task.classes:
        if each.description:
            name, description = printable(each.name), printable(each.description)
            console.print(rich.text.Text.assemble("  ", (name, "bold"), "  ", (description, _QUIET)))


def _show(task: review_service_pb2.ReviewTask, console: rich.console.Console) -> None:
    console.print()
    console.print(
        rich.rule.Rule(rich.text.Text(printable(task.item_id), style=_QUIET), style=_QUIET, align="left")
    )
    if task.image:
        console.print(pictures.picture(task.image, console))
    # an item's text may hold control codes, which a terminal would obey
    for text, style in ((task.text, ""), (task.question, "italic")):
        if text:
            console.print(rich.text.Text(printable(text), style=style))
    if task.machine_label:
        console.print(f"the machine says: {printable(task.machine_label)}", style=_QUIET, markup=False)


def _legend(
    classes: Sequence[campaign_pb2.ClassDefinition], assigned: dict[str, str], console: rich.console.Console
) -> None:
    text = rich.text.Text()
    for key, name in assigned.items():
        text.append(key, "bold cyan")
        text.append("   " if key == name else f" {printable(name)}   ")
    for key, name in ((CANNOT_TELL, "cannot tell"), (BACK, "back"), (QUIT, "quit")):
        text.append(key, "bold")
        text.append(f" {name}   ", _QUIET)
    if any(len(key) > 1 for key in assigned):
        text.append("then Enter", _QUIET)
    console.print(text)


def printable(text: str) -> str:
    """Replaces what a terminal would obey instead of showing it; lines and tabs stay."""
    return "".join(
        c if c.isprintable() or c in "\n\t" or ord(c) > 0x9F else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def keyboard(stream: TextIO) -> Keys:
    """Reads single keys from a terminal and lines from anything else."""

    def read(*, single: bool) -> str:
        if not single or not stream.isatty():
            return stream.readline()
        import termios
        import tty

        number = stream.fileno()
        before = termios.tcgetattr(number)
        try:
            tty.setcbreak(number, termios.TCSANOW)  # what was typed ahead counts
            key = stream.read(1)
        finally:
            termios.tcsetattr(number, termios.TCSADRAIN, before)
        return "" if key == "\x04" else key

    return read

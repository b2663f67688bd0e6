"""What a model is to the rest of Actuary: two verbs on batches of prompts, and what it says about itself.

Annotator and critic see nothing else, so that a labels file, an in-process classifier and a language model on
a GPU are the same thing to them. Answers are columns, carry the item id and may come in any order.

The module deliberately knows no transport, no retry (window.py) and no price: a model counts tokens and
seconds, its caller multiplies.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Final, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from actuary import errors

LABELLED: Final = "LABELLED"
ABSTAINED: Final = "ABSTAINED"
FAILED: Final = "FAILED"
OVER_BUDGET: Final = "OVER_BUDGET"
OUTCOMES: Final = (LABELLED, ABSTAINED, FAILED, OVER_BUDGET)
"""What can become of an item. A failure is never a low score."""

Verb = Literal["score", "generate"]
Input = Literal["text", "image", "question"]
Role = Literal["system", "task", "question", "item", "answer"]

Floats: TypeAlias = npt.NDArray[np.float64]
Longs: TypeAlias = npt.NDArray[np.int64]

CHARACTERS_PER_TOKEN: Final = 4
BYTES_PER_IMAGE_TOKEN: Final = 64


class Text(NamedTuple):
    """A piece of text of a prompt."""

    text: str
    role: Role = "item"
    """`system` and `task` come first and are the same for all items; `answer` is the label under test."""


class Image(NamedTuple):
    """A picture of a prompt, as the bytes of its file."""

    data: bytes
    role: Role = "item"


Part: TypeAlias = Text | Image


class Prompt(NamedTuple):
    """What a model reads about one item. Tuples, since a process makes 50,000 a second."""

    item_id: str
    parts: tuple[Part, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a model can do; asked before a Job starts, so that nothing is found out half-way."""

    model: str
    """Name and version, as annotations record it."""
    verbs: frozenset[Verb] = frozenset({"score"})
    inputs: frozenset[Input] = frozenset({"text"})
    probabilities: bool = True
    """Whether `score` gives log-probabilities of all options."""
    max_batch: int = 1024
    """Prompts a call at most."""
    deterministic: bool = True
    """The same prompt gets the same answer."""
    concurrent: bool = False
    """Whether calls in flight together go faster than one by one; false of what computes in process."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ScoreBatch:
    """Answers to `score`: N rows in any order, one for every prompt that is not in `failures`."""

    item_ids: Sequence[str]
    label_index: Longs
    """[N] position of the chosen option; -1 where the model abstained."""
    log_probabilities: Floats | None
    """[N, K] natural logarithms, each row normalised; None when the model gives none, a row of NaN when it
    gives none for that item."""
    confidence: Floats
    """[N] in [0, 1]; NaN where the model says nothing."""
    tokens_in: Longs
    tokens_out: Longs
    compute_seconds: Floats
    """[N] share of the batch's compute that is the item's."""
    failures: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Reason by item id, of the prompts without a row."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GenerationBatch:
    """Answers to `generate`, likewise."""

    item_ids: Sequence[str]
    texts: Sequence[str]
    token_log_probabilities: Sequence[Floats]
    finish_reasons: Sequence[Literal["stop", "length"]]
    tokens_in: Longs
    tokens_out: Longs
    compute_seconds: Floats
    failures: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one generation."""

    max_tokens: int = 512
    temperature: float = 0.0
    stop: tuple[str, ...] = ()


class Model(Protocol):
    """A model that is open."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        ...

    async def score(self, prompts: Sequence[Prompt], options: Sequence[str]) -> ScoreBatch:
        """Chooses one option a prompt.

        Raises:
            errors.UnavailableError: it does not answer now; the same call may succeed later.
            errors.ExhaustedError: it is asked too fast.
            errors.ActuaryError: anything else is for good.
        """
        ...

    async def generate(self, prompts: Sequence[Prompt], limits: Limits) -> GenerationBatch:
        """Writes text.

        Raises:
            errors.UnsupportedError: the model has no such verb.
        """
        ...

    async def close(self) -> None:
        """Frees what it holds; twice is as good as once."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Which model, as a campaign names it."""

    kind: str
    uri: str | None = None
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)


def _no_file(uri: str) -> BinaryIO:
    raise errors.NotFoundError(f"{uri}: this place can open no files")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ModelContext:
    """What a model may use besides its spec."""

    classes: tuple[str, ...]
    exemplars: pa.Table | None = None
    """Table `exemplars`: the labelled examples that models may learn from. Never the sealed truth."""
    scratch: Path | None = None
    open: Callable[[str], BinaryIO] = _no_file
    """Opens the file of a URI, seekable."""


def text_of(prompt: Prompt) -> str:
    """The item's own text, question first; empty where it has none."""
    parts = [p.text for p in prompt.parts if isinstance(p, Text) and p.role in ("item", "question")]
    return "\n".join(parts)


def image_of(prompt: Prompt) -> bytes | None:
    """The item's own image."""
    for part in prompt.parts:
        if isinstance(part, Image) and part.role == "item":
            return part.data
    return None


def count_tokens(prompt: Prompt) -> int:
    """Tokens of a prompt by the convention of the in-process models, which have no tokenizer.

    A token is 4 characters of text (each part rounded down) or 64 bytes of an image file (rounded up). Its
    virtue is that it is the same everywhere and every time, so that costs are.

    >>> count_tokens(Prompt("a", (Text("x" * 9), Image(b"1" * 65))))
    4
    """
    total = 0
    for part in prompt.parts:
        if type(part) is Text:
            total += len(part.text) // CHARACTERS_PER_TOKEN
        else:
            total -= -len(part.data) // BYTES_PER_IMAGE_TOKEN  # type: ignore[union-attr]
    return total


def from_probabilities(
    prompts: Sequence[Prompt],
    probabilities: Floats,
    *,
    compute_seconds: float,
    failures: Mapping[str, str] | None = None,
) -> ScoreBatch:
    """Answers of a classifier: the label is the likeliest option, the confidence its probability.

    Args:
        prompts: the N prompts that were answered.
        probabilities: [N, K], rows sum to 1; a tie goes to the earlier option.
        compute_seconds: of the whole batch, shared out evenly.
        failures: reasons of prompts that are not among `prompts`.
    """
    n = len(prompts)
    best = probabilities.argmax(axis=1) if n else np.zeros(0, np.int64)
    with np.errstate(divide="ignore"):
        logs = np.log(probabilities)
    return ScoreBatch(
        item_ids=[p.item_id for p in prompts],
        label_index=best.astype(np.int64),
        log_probabilities=logs,
        confidence=probabilities[np.arange(n), best],
        tokens_in=np.fromiter((count_tokens(p) for p in prompts), np.int64, n),
        tokens_out=np.ones(n, np.int64),
        compute_seconds=np.full(n, compute_seconds / n if n else 0.0),
        failures=dict(failures or {}),
    )


def check_answers(prompts: Sequence[Prompt], answers: ScoreBatch, options: int) -> None:
    """Checks that a batch answers exactly what was asked, since an adapter's server may not.

    Raises:
        errors.DataLossError: an answer is missing, came twice or for another item, or has a wrong shape.
    """
    n = len(answers.item_ids)
    shape = None if answers.log_probabilities is None else answers.log_probabilities.shape
    columns = (
        answers.label_index,
        answers.confidence,
        answers.tokens_in,
        answers.tokens_out,
        answers.compute_seconds,
    )
    if any(c.shape != (n,) for c in columns) or shape not in (None, (n, options)):
        raise errors.DataLossError(
            f"a model answered {n} items with columns of shape {[c.shape for c in columns]} and "
            f"log-probabilities of shape {shape}: expected ({n},) and ({n}, {options})"
        )
    answered = {*answers.item_ids, *answers.failures}
    if len(answered) != n + len(answers.failures) or len(answered) != len(prompts):
        raise errors.DataLossError(
            f"a model was asked for {len(prompts)} items and answered {n} and {len(answers.failures)} "
            f"failures, {len(answered)} different ones in all"
        )
    if any(p.item_id not in answered for p in prompts):
        raise errors.DataLossError("a model answered items that were not asked for")
    if n and (answers.label_index.max() >= options or answers.label_index.min() < -1):
        raise errors.DataLossError(f"a model chose an option outside [-1, {options})")


def cannot_generate(capabilities: Capabilities) -> errors.UnsupportedError:
    """The error of a model without the verb `generate`."""
    return errors.UnsupportedError(f"model {capabilities.model!r} scores options but writes no text")

"""Names of models to what opens them; each kind's module is imported only when it is asked for.

A name that is unknown, or a model that cannot do what a step needs, is an error before anything is bought,
with the list of those that can.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Collection
from typing import Any, Final

from actuary import errors
from actuary.models import options as model_options
from actuary.models import protocol


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What is known of a kind without importing it."""

    module: str
    factory: str
    verbs: frozenset[protocol.Verb] = frozenset({"score"})
    inputs: frozenset[protocol.Input] = frozenset({"text", "image"})
    needs_exemplars: bool = False
    needs_uri: bool = False


KINDS: Final[dict[str, Kind]] = {
    "exemplar": Kind(module="exemplar", factory="ExemplarModel", needs_exemplars=True),
    "linear": Kind(module="linear", factory="LinearModel", needs_exemplars=True),
    "table": Kind(
        module="table",
        factory="TableModel",
        inputs=frozenset({"text", "image", "question"}),
        needs_uri=True,
    ),
    "null": Kind(module="null", factory="NullModel", inputs=frozenset({"text", "image", "question"})),
}
"""Every kind of model by its name in a campaign."""


def kind_of(name: str) -> Kind:
    """What is known of a kind.

    Raises:
        errors.InvalidInputError: no such kind; the message lists them and the nearest.
    """
    if name not in KINDS:
        known = tuple(KINDS)
        raise errors.InvalidInputError.of(
            [
                errors.Violation(
                    "model.kind",
                    f"expected one of {', '.join(known)}; got {name!r}{model_options.nearest(name, known)}",
                )
            ],
            reason="UNKNOWN_MODEL",
        )
    return KINDS[name]


def check(
    spec: protocol.ModelSpec, *, verb: protocol.Verb = "score", inputs: Collection[protocol.Input] = ()
) -> None:
    """Checks that a kind can do what a step needs; imports nothing and reads no file.

    Raises:
        errors.InvalidInputError: unknown kind, or `uri` is missing.
        errors.UnsupportedError: it cannot; the message lists the kinds that can.
    """
    kind = kind_of(spec.kind)
    missing = sorted({verb} - kind.verbs) + sorted(set(inputs) - kind.inputs)
    if missing:
        able = [n for n, k in KINDS.items() if verb in k.verbs and set(inputs) <= k.inputs]
        raise errors.UnsupportedError(
            f"model {spec.kind!r} cannot do {', '.join(missing)}; "
            f"models that can: {', '.join(able) or 'none in this build'}"
        )
    if kind.needs_uri and not spec.uri:
        raise errors.InvalidInputError.of(
            [errors.Violation("model.uri", f"model {spec.kind!r} needs its file; got none")]
        )


def open_model(spec: protocol.ModelSpec, context: protocol.ModelContext) -> protocol.Model:
    """Opens a model: imports its kind, reads its options, learns from the exemplars.

    Raises:
        errors.InvalidInputError: unknown kind or option, or a bad file; everything wrong is named at once.
        errors.PreconditionError: it learns from exemplars and got none.
        errors.UnsupportedError: a package that it needs is not installed.
    """
    check(spec)
    kind = KINDS[spec.kind]
    if kind.needs_exemplars and (context.exemplars is None or context.exemplars.num_rows == 0):
        raise errors.PreconditionError(
            f"model {spec.kind!r} learns from exemplars and got none: "
            "give the data set a split column with rows `exemplar`"
        )
    try:
        module = importlib.import_module(f"actuary.models.{kind.module}")
        factory: Any = getattr(module, kind.factory)
        model: protocol.Model = factory(spec, context)
    except ModuleNotFoundError as error:
        raise errors.UnsupportedError(
            f"model {spec.kind!r} needs the package {error.name!r}: install actuary[compute]"
        ) from error
    return model

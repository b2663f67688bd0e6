"""Options of a model, which arrive as strings, read with names, types and ranges checked.

Every option is asked for once, then `done` refuses what nobody asked for, so that a misspelt option is an
error and not a default.
"""

from __future__ import annotations

import difflib
import math

from actuary import errors
from actuary.models import protocol


class Options:
    """Reads the options of one spec."""

    def __init__(self, spec: protocol.ModelSpec) -> None:
        self._kind = spec.kind
        self._values = {name: str(value) for name, value in spec.options.items()}
        self._known: list[str] = []
        self._violations: list[errors.Violation] = []

    def text(self, name: str, default: str) -> str:
        """Any string."""
        self._known.append(name)
        return self._values.get(name, default)

    def number(self, name: str, default: float, *, low: float = -math.inf, high: float = math.inf) -> float:
        """A number in [low, high]."""
        value = self.text(name, repr(default))
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            self._wrong(name, f"expected a number in [{low:g}, {high:g}], got {value!r}")
            return default
        return number

    def whole(self, name: str, default: int, *, low: int, high: int) -> int:
        """An integer in [low, high]."""
        value = self.text(name, str(default))
        try:
            number = int(value)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            self._wrong(name, f"expected a whole number in [{low}, {high}], got {value!r}")
            return default
        return number

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        """One of a closed set."""
        value = self.text(name, default)
        if value not in allowed:
            self._wrong(name, f"expected one of {', '.join(allowed)}; got {value!r}{nearest(value, allowed)}")
            return default
        return value

    def done(self) -> None:
        """Refuses unknown and wrong options, all at once.

        Raises:
            errors.InvalidInputError: with one violation an option.
        """
        for name in self._values:
            if name not in self._known:
                known = ", ".join(self._known) or "none"
                self._wrong(
                    name,
                    f"model {self._kind!r} has no such option; it has {known}{nearest(name, self._known)}",
                )
        if self._violations:
            raise errors.InvalidInputError.of(self._violations, reason="MODEL_OPTIONS")

    def _wrong(self, name: str, description: str) -> None:
        self._violations.append(errors.Violation(f"model.options.{name}", description))


def nearest(value: str, allowed: tuple[str, ...] | list[str]) -> str:
    """A hint with the allowed name that is most like `value`; empty when none is."""
    close = difflib.get_close_matches(value, allowed, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""

"""The certificate as a document: what is claimed, in words and numbers, and all that it rests on.

A frozen value and its canonical JSON, nothing else: `verifying` makes it from artifacts and holds it against
them. No time and no host stand in it, so that the same artifacts make the same bytes.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from actuary import errors
from actuary.sampler import certifying, doubles
from actuary.stats import audits

FORMAT = 1
"""Version of the document."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """URIs of the artifacts that a certificate rests on."""

    items: str
    risks: str
    earlier_plans: tuple[str, ...]
    """Plans before the certificate's own, the pilot's first."""
    earlier_resolved: tuple[str, ...]
    plans: tuple[str, ...]
    """The certificate's own, in order."""
    resolved: tuple[str, ...]
    """What people said to each of them."""

    @property
    def uris(self) -> tuple[str, ...]:
        """All of them."""
        lists = (self.earlier_plans, self.earlier_resolved, self.plans, self.resolved)
        return (self.items, self.risks, *(uri for each in lists for uri in each))

    def to_record(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        return _plain(dataclasses.asdict(self))

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Sources:
        """Reads what `to_record` wrote."""
        lists = ("earlier_plans", "earlier_resolved", "plans", "resolved")
        values = {name: [str(uri) for uri in record[name]] for name in lists}
        return cls(
            items=str(record["items"]),
            risks=str(record["risks"]),
            **{name: tuple(uris) for name, uris in values.items()},
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Everything that the claim says and rests on."""

    statement: str
    """The claim in words."""
    confidence: float
    """1 - α, of all that is claimed."""
    sources: Sources
    digests: Mapping[str, str]
    """SHA-256 of the manifest at each URI of `sources`; manifests name their shards with digests."""
    frozen: certifying.Frozen
    """Mode, levels, cuts, looks and budget of each group."""
    key_id: str
    """First 16 hex digits of the SHA-256 of the audit's key."""
    orders: tuple[str, ...]
    """SHA-256 of each group's order, a line an id, the least suspicious first."""
    looks: tuple[tuple[audits.Found, ...], ...]
    """Counts of each group at each look that was taken."""
    conclusions: tuple[audits.Conclusion | None, ...]
    """None where the target was not provable with the planned audit."""
    truth: doubles.Truth | None
    """What doubles say of the truth; None where no level was kept for that."""
    code_version: str
    """Of the Actuary that froze the design."""

    def to_record(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        groups = zip(self.frozen.groups, self.orders, self.looks, self.conclusions, strict=True)
        return {
            "format": FORMAT,
            "statement": self.statement,
            "confidence": self.confidence,
            "sources": self.sources.to_record(),
            "digests": dict(self.digests),
            "classes": list(self.frozen.classes),
            "alpha_pairs": self.frozen.alpha_pairs,
            "truth": self.truth and dataclasses.asdict(self.truth),
            "key": {"id": self.key_id, "purpose": self.frozen.purpose},
            "groups": [
                {
                    **group.to_record(),
                    "order": order,
                    "looks": [_plain(dataclasses.asdict(look)) for look in looks],
                    "conclusion": conclusion and dataclasses.asdict(conclusion),
                }
                for group, order, looks, conclusion in groups
            ],
            "code_version": self.code_version,
        }

    def to_json(self) -> bytes:
        """The document: canonical JSON (sorted keys, no NaN, UTF-8), indented for people."""
        text = json.dumps(self.to_record(), sort_keys=True, ensure_ascii=False, indent=1, allow_nan=False)
        return f"{text}\n".encode()

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Certificate:
        """Reads what `to_record` wrote.

        Raises:
            errors.InvalidInputError: it is no certificate, or one of another version.
        """
        if "format" not in record:
            raise errors.InvalidInputError(
                f"certificate: expected format {FORMAT}, got JSON that is no certificate: it has no `format`"
            )
        try:
            if record["format"] != FORMAT:
                raise errors.InvalidInputError(
                    f"certificate: expected format {FORMAT}, got {record['format']}: "
                    "use the Actuary that wrote it"
                )
            groups = record["groups"]
            return cls(
                statement=record["statement"],
                confidence=record["confidence"],
                sources=Sources.from_record(record["sources"]),
                digests=dict(record["digests"]),
                frozen=certifying.Frozen.from_record(
                    {**record, "groups": groups, "purpose": record["key"]["purpose"]}
                ),
                key_id=record["key"]["id"],
                orders=tuple(group["order"] for group in groups),
                looks=tuple(
                    tuple(audits.Found(**{k: tuple(v) for k, v in look.items()}) for look in group["looks"])
                    for group in groups
                ),
                conclusions=tuple(
                    group["conclusion"] and audits.Conclusion(**group["conclusion"]) for group in groups
                ),
                truth=record["truth"] and doubles.Truth(**record["truth"]),
                code_version=record["code_version"],
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise errors.InvalidInputError(f"certificate: expected format {FORMAT}; got {error!r}") from error


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in record.items()}


def statement(
    frozen: certifying.Frozen, conclusions: Sequence[audits.Conclusion | None], truth: doubles.Truth | None
) -> str:
    """Says the claim in words; one line a group, and what no certificate can see."""
    lines = []
    level = f"With probability at least {100 * (1 - frozen.alpha):.6g} %"
    if len(frozen.groups) > 1:
        level += ", for all classes together"
    for group, conclusion in zip(frozen.groups, conclusions, strict=True):
        of = f" that the machine gave as {group.name!r}" if group.name else ""
        design = group.design
        if conclusion is None:
            lines.append(
                f"Labels{of}: an error rate of at most {100 * (design.target or 0):.6g} % is not provable"
                f" with an audit of {design.looks[-1]}; it needs K = {group.needs}."
            )
            continue
        rate = 100 * conclusion.errors / design.population
        text = (
            f"{level}, at most {conclusion.errors} of {design.population} labels{of} ({rate:.4g} %) still"
            " differ from what these reviewers would say"
        )
        if design.target is not None:
            met = {
                "certified": "the target of {} % is met",
                "not-met": "the target of {} % is missed, since items stayed unresolved",
                "budget-exhausted": "the target of {} % would have cost more than the budget",
            }[conclusion.verdict]
            text += "; " + met.format(f"{100 * design.target:.6g}")
        lines.append(text + ".")
    if truth is not None and truth.error is not None:
        lines.append(
            f"At most {100 * truth.error:.4g} % of the labels are not the truth, if people err independently"
            f" of one another ({truth.agreed} of {truth.pairs} pairs agree)."
        )
    elif truth is not None:
        lines.append(f"Nothing can be said about the truth: {truth.reason}.")
    lines.append("Mistakes that all reviewers share stay invisible.")
    return "\n".join(lines)

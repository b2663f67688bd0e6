"""What a review batch is asked to do, as a value that is checked, stored and read back."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from actuary import errors


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClassDefinition:
    """One possible answer."""

    name: str
    description: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BatchSpec:
    """What a batch is to do."""

    name: str
    """`campaigns/{campaign}/reviewBatches/{batch}`; also the prefix of its artifacts."""
    campaign: str
    plan: str
    """URI of the plan artifact."""
    items: str
    """URI of the items artifact."""
    wave: int
    label_cap: int
    """Labels that may be paid, doubles and third labels included; >= 0, with which nobody is asked."""
    classes: tuple[ClassDefinition, ...]
    instruction: str = ""
    """The task's question."""
    instructions: str = ""
    """What reviewers read besides."""
    mode: str = "people"
    """`people` or `replay`."""
    truth: str = ""
    """URI of the sealed truth, for `replay`."""
    seed: int = 0
    """Of the replayed mistakes."""
    error_rate: float = 0.0
    """Share of replayed answers that are wrong; [0, 1)."""
    lease_seconds: float = 600.0
    show_machine_label: bool = False
    """Whether the machine's label is shown in the certain stratum."""
    exemplars: str = ""
    """URI of the exemplars, for gold tasks."""
    gold: int = 0
    """Gold tasks among the others; >= 0."""
    gold_offset: int = 0
    """Exemplars that earlier batches have asked; >= 0."""

    def to_json(self) -> dict[str, Any]:
        """As it is stored; without gold as before there was any, so that a batch stays the same one."""
        document = dict(json.loads(json.dumps(dataclasses.asdict(self))))
        if not self.gold:
            for name in ("exemplars", "gold", "gold_offset"):
                del document[name]
        return document

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> BatchSpec:
        """The inverse of `to_json`."""
        classes = tuple(ClassDefinition(**each) for each in document["classes"])
        return cls(**{**document, "classes": classes})

    @property
    def class_names(self) -> tuple[str, ...]:
        """The labels."""
        return tuple(each.name for each in self.classes)

    def digest(self) -> str:
        """SHA-256 of the spec as canonical JSON, in hex."""
        canonical = json.dumps(self.to_json(), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def check(spec: BatchSpec) -> None:
    """Raises InvalidInputError with everything that is wrong."""
    violations = []
    if spec.label_cap < 0:
        violations.append(errors.Violation("label_cap", f"expected at least 0, got {spec.label_cap}"))
    names = spec.class_names
    if len(names) < 2 or len(set(names)) != len(names):
        violations.append(
            errors.Violation("task.classes", f"expected two or more different names, got {names}")
        )
    if spec.gold < 0 or spec.gold_offset < 0:
        violations.append(
            errors.Violation("gold_count", f"expected at least 0, got {spec.gold} from {spec.gold_offset}")
        )
    if spec.gold > 0 and not spec.exemplars:
        violations.append(errors.Violation("exemplars", "expected the URI of the exemplars, got none"))
    if spec.mode not in ("people", "replay"):
        violations.append(errors.Violation("review.mode", f"expected people or replay, got {spec.mode!r}"))
    if spec.mode == "replay" and not spec.truth:
        violations.append(errors.Violation("truth", "expected the URI of the sealed truth, got none"))
    if not 0 <= spec.error_rate < 1:
        violations.append(
            errors.Violation("review.replay_error_rate", f"expected a share in [0, 1), got {spec.error_rate}")
        )
    if not spec.lease_seconds > 0:
        violations.append(
            errors.Violation("review.lease_duration", f"expected > 0 s, got {spec.lease_seconds}")
        )
    if violations:
        raise errors.InvalidInputError.of(violations)

"""From risks to a plan: who is asked, in what order, and with what probability each item was chosen.

Pure decisions over a frame; reading and writing is `work`. Wave 0 is a simple random sample from the ids
alone. A later wave first sets apart what has no machine label, then draws a uniform audit from everything
nobody has labelled, then spends the rest by the rule. The audit comes first and is served first, so that
whoever stops anywhere leaves a valid sample (`stats.placing`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from actuary import errors
from actuary.sampler import frames
from actuary.stats import draws, prn, rules, weighing

STRATA = ("failed", "pilot", "audit", "drawn", "certain")
"""In the order in which they are served."""
THIRD_SHARE = 0.2
"""Share of the doubles for which a third label is kept back. A guess; where people disagree more often than
that, the last disagreements stay unresolved, since labels run out."""


def items_for(labels: int, double_share: float) -> int:
    """Items that labels suffice for when some are labelled twice, and some of those by a third.

    >>> items_for(195, 0.0), items_for(195, 0.5)
    (195, 121)
    """
    return math.floor(labels / labels_an_item(double_share) + 1e-9)


def labels_an_item(double_share: float) -> float:
    """Labels that an item takes on average."""
    return 1.0 + double_share * (1.0 + THIRD_SHARE)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a plan is asked for."""

    wave: int
    labels: int
    """Human labels, doubles included."""
    audit: int
    weighing: weighing.Weighing
    """How what is left after the audit is spent."""
    failed_share: float
    double_share: float
    key: bytes
    """Project key of the permanent random numbers."""

    @property
    def items(self) -> int:
        """Items that the labels suffice for."""
        return items_for(self.labels, self.double_share)


@dataclasses.dataclass(slots=True)
class Rows:
    """Selected rows, as columns; positions are those of the frame."""

    at: list[frames.Longs] = dataclasses.field(default_factory=list)
    stratum: list[str] = dataclasses.field(default_factory=list)
    s: list[frames.Floats] = dataclasses.field(default_factory=list)
    pi: list[frames.Floats] = dataclasses.field(default_factory=list)
    u: list[frames.Floats] = dataclasses.field(default_factory=list)
    order: list[frames.Floats] = dataclasses.field(default_factory=list)
    tau: list[float] = dataclasses.field(default_factory=list)
    constants: dict[str, float] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)

    def add(
        self,
        stratum: str,
        at: frames.Longs,
        *,
        s: frames.Floats,
        pi: frames.Floats,
        u: frames.Floats,
        order: frames.Floats,
        tau: float,
    ) -> None:
        """Appends the rows of a stratum."""
        self.at.append(at)
        self.stratum += [stratum] * len(at)
        self.s.append(s)
        self.pi.append(pi)
        self.u.append(u)
        self.order.append(order)
        self.tau += [tau] * len(at)

    def counts(self) -> dict[str, int]:
        """Rows by stratum."""
        return {name: self.stratum.count(name) for name in STRATA if name in self.stratum}


def pilot(frame: frames.Frame, wishes: Wishes) -> Rows:
    """Draws wave 0: a simple random sample by the items' own permanent random numbers.

    Raises:
        errors.InvalidInputError: there are fewer items than the pilot is to have.
    """
    size = wishes.items
    if size > frame.size:
        description = f"expected at most the {frame.size} items of the pool, got {size}"
        raise errors.InvalidInputError.of([errors.Violation("sampling.pilot_items", description)])
    rows = Rows()
    if size == 0:
        rows.constants = {"population": frame.size, "tau": 0.0}
        return rows
    drawn = draws.srs(frame.u, size)
    at = np.flatnonzero(drawn.selected)
    u = frame.u[at]
    rows.add("pilot", at, s=np.ones(size), pi=drawn.pi[at], u=u, order=u, tau=drawn.tau)
    rows.constants = {"population": frame.size, "tau": drawn.tau}
    return rows


def wave(
    frame: frames.Frame,
    eps: frames.Floats,
    known: frames.Bools,
    pilot_tau: float,
    wishes: Wishes,
    cost: float = 1.0,
) -> Rows:
    """Draws a later wave.

    Args:
        frame: the pool, N items.
        eps: risk of each item's label, [N]; NaN without a label.
        known: which items people have looked at before, [N].
        pilot_tau: the largest permanent random number that the pilot used up.
        wishes: what is wanted.
        cost: of one label; equal for all, so that only its presence is written.
    """
    rows = Rows()
    ids = frame.ids.to_pylist()
    left = wishes.items
    failed = np.flatnonzero(~frame.labelled & ~known)
    had = int((~frame.labelled & known).sum()) if wishes.wave == 1 else 0  # by the pilot, of the same share
    most = math.floor(wishes.failed_share * wishes.labels + 1e-9) - had
    take = max(0, min(len(failed), left, most))
    if take:
        drawn = draws.srs(frame.u[failed], take)
        at = failed[drawn.selected]
        u = frame.u[at]
        rows.add(
            "failed", at, s=np.ones(take), pi=np.full(take, take / len(failed)), u=u, order=u, tau=drawn.tau
        )
        left -= take
    population = np.flatnonzero(frame.labelled & ~known)
    left = min(left, len(population))
    rows.constants = {"population": len(population), "failed": len(failed)}
    audit = min(wishes.audit, left)
    in_audit = np.zeros(len(population), dtype=np.bool_)
    if audit:
        key = prn.derive_key(wishes.key, f"wave-{wishes.wave}/audit")
        u = prn.uniform([ids[i] for i in population], key)
        drawn = draws.srs(u, audit)
        in_audit = drawn.selected
        chosen = population[in_audit]
        rows.add(
            "audit",
            chosen,
            s=np.ones(audit),
            pi=drawn.pi[in_audit],
            u=u[in_audit],
            order=u[in_audit],
            tau=drawn.tau,
        )
    rest = population[~in_audit]
    size = min(left - audit, len(rest))
    if size == 0:
        return rows
    if wishes.weighing.rule == "threshold":
        _certain(rows, frame, ids, eps, rest, size, wishes)
    else:
        _drawn(rows, frame, ids, eps, rest, size, pilot_tau, wishes)
    return rows


def ties(ids: Sequence[str], key: bytes) -> frames.Floats:
    """Returns the random numbers that break ties of risk; a key of their own, or file order would decide."""
    return prn.uniform(ids, prn.derive_key(key, "ties"))


def _certain(
    rows: Rows,
    frame: frames.Frame,
    ids: Sequence[str],
    eps: frames.Floats,
    rest: frames.Longs,
    size: int,
    wishes: Wishes,
) -> None:
    """The most suspicious of what the audit left, served by falling risk."""
    u = ties([ids[i] for i in rest], wishes.key)
    order = rules.risk_order(eps[rest], u)[:size]
    at = rest[order]
    rows.add(
        "certain",
        at,
        s=eps[at],
        pi=np.ones(size),
        u=u[order],
        order=np.arange(size, dtype=np.float64),
        tau=math.inf,
    )
    rows.constants["threshold"] = float(eps[at[-1]])


def _drawn(
    rows: Rows,
    frame: frames.Frame,
    ids: Sequence[str],
    eps: frames.Floats,
    rest: frames.Longs,
    size: int,
    pilot_tau: float,
    wishes: Wishes,
) -> None:
    """A priority sample by the rule's size measures, with what the rule takes for certain among it."""
    inclusion = wishes.weighing.inclusion(eps[rest], size, ties([ids[i] for i in rest], wishes.key))
    rows.notes += [said for said in (inclusion.warning, inclusion.note) if said]
    u = _numbers(frame, ids, rest, pilot_tau, wishes)
    drawn = draws.draw_exact(weighing.scores(inclusion), u, size, inclusion.take_all)
    at = rest[drawn.selected]
    chosen = drawn.selected
    rows.add(
        "drawn",
        at,
        s=drawn.score[chosen],
        pi=drawn.pi[chosen],
        u=u[chosen],
        order=drawn.rank[chosen],
        tau=drawn.tau,
    )
    rows.constants.update({**inclusion.constants, "tau": drawn.tau})


def _numbers(
    frame: frames.Frame, ids: Sequence[str], rest: frames.Longs, pilot_tau: float, wishes: Wishes
) -> frames.Floats:
    """Uniform numbers given all earlier draws: rescaled after the pilot (8.1), fresh in later waves."""
    fresh = prn.uniform([ids[i] for i in rest], prn.derive_key(wishes.key, f"wave-{wishes.wave}/drawn"))
    if wishes.wave > 1:
        return fresh
    u = frame.u[rest]
    # whom the pilot drew and nobody answered has used up its number
    unused = u > pilot_tau
    fresh[unused] = draws.rescale(u[unused], pilot_tau)
    return fresh


def table(frame: frames.Frame, rows: Rows, wishes: Wishes, label: pa.Array, cost_micros: int) -> pa.Table:
    """Builds the PLAN table, in the order of the frame. `label` is the machine's after flips, [N]."""
    if not rows.at:
        at = np.empty(0, dtype=np.int64)
        columns = [np.empty(0)] * 5
    else:
        at = np.concatenate(rows.at)
        columns = [np.concatenate(part) for part in (rows.s, rows.pi, rows.u, rows.order)]
        columns.append(np.array(rows.tau, dtype=np.float64))
    s, pi, u, order, tau = columns
    ids = frame.ids.take(pa.array(at))
    doubled = _doubled(ids.to_pylist(), rows, wishes)
    found = pa.table(
        {
            "item_id": ids,
            "wave": pa.array([wishes.wave] * len(at), pa.int32()),
            "stratum": pa.array(rows.stratum, pa.string()),
            "s": s,
            "pi": pi,
            "u": u,
            "rank": order,
            "tau": tau,
            "cost_micros": pa.array([cost_micros] * len(at), pa.int64()),
            # only the certain stratum may see the machine's label: elsewhere it would bend the estimate (8.7)
            "blind": pa.array([stratum != "certain" for stratum in rows.stratum], pa.bool_()),
            "labels_wanted": pa.array(np.where(doubled, 2, 1), pa.int32()),
            "label": label.take(pa.array(at)),
            "shard": frame.shard[at],
        }
    )
    return found.sort_by([("shard", "ascending"), ("item_id", "ascending")])


def _doubled(ids: Sequence[str], rows: Rows, wishes: Wishes) -> frames.Bools:
    """Which items two people label: by hash, so that it depends on nothing else."""
    if wishes.double_share == 0 or not ids:
        return np.zeros(len(ids), dtype=np.bool_)
    return prn.uniform(ids, prn.derive_key(wishes.key, "doubles")) < wishes.double_share

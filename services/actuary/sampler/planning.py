"""From risks to a plan: who is asked, in what order, and with what probability each item was chosen.

Pure decisions; reading and writing is `make_plan`. Wave 0 is a simple random sample from the ids alone. A
later wave first sets apart what has no machine label and what slices and classes lack of their minima, then
draws a uniform audit from everything else that nobody has labelled, then spends the rest by the rule. The
audit is served before that rest, so that whoever stops anywhere leaves a valid sample (`stats.placing`).

The pool may be larger than memory: it is surveyed (`surveying`), then read chunk by chunk as often as the
rule asks. What is held is what the plan takes. In how many chunks it comes changes no bit.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa

from actuary import errors
from actuary.sampler import choosing, covering, frames, pools, surveying
from actuary.stats import budgets, firsts, orders, prn, streams, weighing

STRATA = ("failed", "pilot", *covering.STRATA, "audit", "drawn", "certain")
"""In the order in which they are served."""


def items_for(labels: int, double_share: float) -> int:
    """Items that labels suffice for when some are labelled twice, and some of those by a third.

    >>> items_for(195, 0.0), items_for(195, 0.5)
    (195, 121)
    """
    return math.floor(labels / labels_an_item(double_share) + 1e-9)


def labels_an_item(double_share: float) -> float:
    """Labels that an item takes on average."""
    return budgets.labels_an_item(double_share)


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
    """Draws wave 0 from a pool in memory: `pilot_of` it.

    Raises:
        errors.InvalidInputError: there are fewer items than the pilot is to have.
    """
    drawn = firsts.Firsts(wishes.items)
    drawn.add(orders.by_number(frame.u, 0))
    taken = pilot_draw(drawn, wishes)
    return pilot_of(taken.place, taken, frame.size)


def pilot_draw(drawn: firsts.Firsts, wishes: Wishes) -> streams.Taken:
    """Ends the draw of wave 0: a simple random sample by the items' own permanent random numbers.

    Raises:
        errors.InvalidInputError: there are fewer items than the pilot is to have.
    """
    if wishes.items > drawn.items:
        description = f"expected at most the {drawn.items} items of the pool, got {wishes.items}"
        raise errors.InvalidInputError.of([errors.Violation("sampling.pilot_items", description)])
    return drawn.finish()


def pilot_of(at: frames.Longs, taken: streams.Taken, population: int) -> Rows:
    """Returns wave 0 as rows.

    Args:
        at: positions of the drawn items, [D].
        taken: what was drawn, [D].
        population: items of the pool.
    """
    rows = Rows()
    rows.constants = {"population": population, "tau": 0.0}
    if len(at):
        u = taken.key.view(np.float64)
        pi = np.full(len(at), len(at) / population)
        tau = float(u.max())
        rows.add("pilot", at, s=np.ones(len(at)), pi=pi, u=u, order=u, tau=tau)
        rows.constants["tau"] = tau
    return rows


def survey(wishes: Wishes, *, covers: bool = False) -> surveying.Survey:
    """Returns the survey that a wave begins with, yet to be fed.

    With `covers`, whose items no audit takes, it looks for as many items more as they may be.
    """
    return surveying.Survey(
        failed=min(wishes.items, math.floor(wishes.failed_share * wishes.labels + 1e-9)),
        audit=min(wishes.items, wishes.audit) + (wishes.items if covers else 0),
        audit_key=prn.derive_key(wishes.key, f"wave-{wishes.wave}/audit"),
    )


def wave(
    frame: frames.Frame,
    eps: frames.Floats,
    known: frames.Bools,
    pilot_tau: float,
    wishes: Wishes,
    minima: Sequence[covering.Minimum] = (),
) -> Rows:
    """Draws a later wave from a pool in memory: `draw` from it.

    Args:
        frame: the pool, N items.
        eps: risk of each item's label, [N]; NaN without a label.
        known: which items people have looked at before, [N].
        pilot_tau: the largest permanent random number that the pilot used up.
        wishes: what is wanted.
        minima: of slices and classes.
    """
    found = survey(wishes, covers=bool(minima))
    found.add(ids=frame.ids, u=frame.u, labelled=frame.labelled, known=known, place=np.arange(frame.size))
    covers = covering.draw(
        minima, frame.ids.to_pylist(), frame.labelled, known, wishes.items, wishes.key, wishes.wave
    )
    rows, picked = draw(_InMemory(frame, eps), found, pilot_tau, wishes, covers)
    rows.at = [picked.place[at] for at in rows.at]
    return rows


@dataclasses.dataclass(frozen=True, slots=True)
class _InMemory:
    """A frame as a pool of one chunk; places are positions."""

    frame: frames.Frame
    eps: frames.Floats

    def chunks(self, *, ids: bool = False) -> Iterator[pools.Chunk]:
        at = np.flatnonzero(self.frame.labelled)
        yield pools.Chunk(
            risk=self.eps[at],
            u=self.frame.u[at],
            place=at,
            ids=self.frame.ids.take(pa.array(at)) if ids else None,
        )

    def pick(self, place: frames.Longs) -> pools.Picked:
        return pools.Picked(
            place=place,
            ids=self.frame.ids.take(pa.array(place)),
            shard=self.frame.shard[place],
            u=self.frame.u[place],
            risk=self.eps[place],
            label=pa.nulls(len(place), pa.string()),
        )


def failed_items(found: surveying.Survey, wishes: Wishes) -> int:
    """Returns how many items without a machine label a wave takes."""
    had = found.failed_known if wishes.wave == 1 else 0  # by the pilot, of the same share
    most = math.floor(wishes.failed_share * wishes.labels + 1e-9) - had
    return max(0, min(found.failed, wishes.items, most))


def draw(
    pool: pools.Pool,
    found: surveying.Survey,
    pilot_tau: float,
    wishes: Wishes,
    covers: Sequence[covering.Drawn] = (),
) -> tuple[Rows, pools.Picked]:
    """Draws a later wave.

    Args:
        pool: where risks are read from.
        found: the survey of the same pool.
        pilot_tau: the largest permanent random number that the pilot used up.
        wishes: what is wanted.
        covers: what slices and classes lack of their minima, as places; drawn before all else.

    Returns:
        The rows, and the items that their positions are of.
    """
    covered = np.sort(np.concatenate([np.empty(0, dtype=np.int64), *(cover.at for cover in covers)]))
    left = wishes.items - covered.size
    failed = found.failed_draw.finish(min(failed_items(found, wishes), left))
    population = found.population - covered.size
    left = min(left - failed.place.size, population)
    audit = _audit(found.audit_draw, covered, min(wishes.audit, left))
    rest = choosing.Rest(
        pool=pool,
        out=np.sort(np.concatenate([found.known, covered, audit.place])),
        items=population - audit.place.size,
        key=wishes.key,
        wave=wishes.wave,
        pilot_tau=pilot_tau,
    )
    chosen = choosing.choose(rest, wishes.weighing, left - audit.place.size)
    places = (failed.place, covered, audit.place, chosen.certain.place, chosen.drawn.place)
    picked = pool.pick(np.sort(np.concatenate(places)))
    rows = Rows()
    rows.constants = {"population": population, "failed": found.failed, **chosen.constants}
    for cover in covers:
        at = np.searchsorted(picked.place, cover.at)
        rows.add(
            cover.stratum,
            at,
            s=np.ones(len(at)),
            pi=cover.pi,
            u=cover.u,
            order=cover.order,
            tau=math.inf,  # each part has its own
        )
        rows.constants[f"{cover.stratum}_minimum"] = float(cover.minimum)
        rows.notes += [cover.note] if cover.note else []
    rows.notes += chosen.notes
    for stratum, taken, size in (
        ("failed", failed, found.failed),
        ("audit", audit, population),
    ):
        if count := taken.place.size:
            u = taken.key.view(np.float64)
            at = np.searchsorted(picked.place, taken.place)
            pi = np.full(count, count / size)
            rows.add(stratum, at, s=np.ones(count), pi=pi, u=u, order=u, tau=float(u.max()))
    if chosen.drawn.place.size:
        _add_drawn(rows, picked, rest, chosen)
    elif chosen.certain.place.size:
        _add_certain(rows, picked, rest, chosen.certain)
    return rows, picked


def _audit(drawn: firsts.Firsts, covered: frames.Longs, size: int) -> streams.Taken:
    """The first of the audit's order that no cover has taken."""
    if not covered.size:
        return drawn.finish(size)
    taken = drawn.finish(min(drawn.size, drawn.items, size + covered.size))
    free = np.flatnonzero(~np.isin(taken.place, covered, assume_unique=True))
    first = np.sort(free[np.lexsort((taken.place[free], taken.key[free]))[:size]])
    cut = streams.Cut(first=None, used=size)
    return streams.Taken(place=taken.place[first], key=taken.key[first], cut=cut)


def ties(ids: Sequence[str], key: bytes) -> frames.Floats:
    """Returns the random numbers that break ties of risk; a key of their own, or file order would decide."""
    return prn.uniform(ids, prn.derive_key(key, "ties"))


def _add_certain(rows: Rows, picked: pools.Picked, rest: choosing.Rest, taken: streams.Taken) -> None:
    """Served by falling risk."""
    at = np.searchsorted(picked.place, taken.place)
    u = frames.hashed(picked.ids.take(pa.array(at)), rest.tie_key)
    order = np.lexsort((u, taken.key))
    at, size = at[order], len(at)
    rows.add(
        "certain",
        at,
        s=picked.risk[at],
        pi=np.ones(size),
        u=u[order],
        order=np.arange(size, dtype=np.float64),
        tau=math.inf,
    )


def _add_drawn(rows: Rows, picked: pools.Picked, rest: choosing.Rest, chosen: choosing.Chosen) -> None:
    """Served by r; those that are certain among the others, as if drawn with s = 1/τ (`stats.draws`)."""
    places = np.sort(np.concatenate([chosen.certain.place, chosen.drawn.place]))
    at = np.searchsorted(picked.place, places)
    sure = np.isin(places, chosen.certain.place, assume_unique=True)
    u = rest.numbers(picked.ids.take(pa.array(at)), picked.u[at])
    tau = chosen.drawn.cut.tau
    # when all were drawn, the last of them takes the place of τ; with nobody else u itself will do
    scale = tau if math.isfinite(tau) else float(chosen.drawn.key.view(np.float64).max(initial=0.0)) or 1.0
    s, r = np.full(len(at), 1.0 / scale), u * scale
    s[~sure] = chosen.score(picked.risk[at[~sure]])
    r[~sure] = u[~sure] / s[~sure]
    pi = np.ones(len(at))
    pi[~sure] = np.minimum(1.0, tau * s[~sure])
    rows.add("drawn", at, s=s, pi=pi, u=u, order=r, tau=tau)
    rows.constants["tau"] = tau


class Located(Protocol):
    """N items that a plan's rows are among: a frame, or those that were picked."""

    @property
    def ids(self) -> pa.Array:
        """Item ids, [N]."""
        ...

    @property
    def shard(self) -> frames.Longs:
        """Shard of each, [N]."""
        ...


def table(frame: Located, rows: Rows, wishes: Wishes, label: pa.Array, cost_micros: int) -> pa.Table:
    """Builds the PLAN table, in the order of shards and ids. `label` is the machine's after flips, [N]."""
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

"""The certificate as a document, issued from artifacts and verified from artifacts alone.

Both do the same: read risks, plans and answers by their digests, derive order, audit and every number anew.
Issuing writes down what came out; verifying compares it with what was written, leaf by leaf. No database,
no service and no model is asked.

The chain of digests says what came first: answers name their plan, the plan names the risks, and whatever
answers the risks were made from must stand among the earlier waves, none of whose items is audited (8.2 of
algorithms.md). Without a signature it does not say who issued it, nor how many keys were tried: that a key is
fixed before the data is for people to see to.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actuary import errors
from actuary.sampler import certificate, certifying, doubles, frames, people, risking
from actuary.stats import prn
from actuary.storage import artifacts, objects, tables


def issue(store: objects.ObjectStore, sources: certificate.Sources) -> certificate.Certificate:
    """Builds the certificate of a finished audit from its artifacts.

    Raises:
        errors.PreconditionError: the artifacts do not make one; says each reason in a line.
        errors.NotFoundError, errors.DataLossError: an artifact is missing or damaged.
    """
    made, reasons = _derive(store, sources)
    if reasons:
        raise errors.PreconditionError("\n".join(reasons), reason="NO_CERTIFICATE")
    return made


def verify(store: objects.ObjectStore, document: Mapping[str, Any]) -> list[str]:
    """Derives everything anew from the artifacts that a certificate names.

    Returns:
        One line a difference: what was expected, what came, where. Empty when the certificate holds.

    Raises:
        errors.InvalidInputError: the document is no certificate.
        errors.UnavailableError: the store does not answer.
    """
    claimed = certificate.Certificate.from_record(document)
    try:
        made, reasons = _derive(store, claimed.sources)
    except (errors.NotFoundError, errors.DataLossError, errors.PreconditionError) as error:
        return str(error).splitlines()
    return reasons + list(_differences(made.to_record(), json.loads(json.dumps(document)), ""))


def _differences(expected: Any, got: Any, where: str) -> Iterator[str]:
    """The leaves in which two JSON values differ, a line each."""
    if isinstance(expected, dict) and isinstance(got, dict):
        for name in sorted({*expected, *got}):
            path = f"{where}.{name}" if where else name
            yield from _differences(expected.get(name), got.get(name), path)
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for index, (one, other) in enumerate(zip(expected, got, strict=True)):
            yield from _differences(one, other, f"{where}[{index}]")
    elif expected != got or type(expected) is not type(got):
        shown = [json.dumps(value, ensure_ascii=False) for value in (expected, got)]
        yield f"{where}: expected {shown[0]}, as the artifacts give it; the certificate says {shown[1]}"


def _derive(
    store: objects.ObjectStore, sources: certificate.Sources
) -> tuple[certificate.Certificate, list[str]]:
    """The certificate that the artifacts make, and why they make none."""
    if not sources.plans or len(sources.plans) != len(sources.resolved):
        raise errors.PreconditionError(
            f"sources: expected answers to each of at least one plan, got {len(sources.plans)} plans and"
            f" {len(sources.resolved)} answers"
        )
    manifests: dict[str, artifacts.Manifest] = {}
    digests: dict[str, str] = {}
    for uri in sources.uris:
        manifests[uri], digests[uri] = artifacts.read_manifest(store, uri)
        tables.prove(store, manifests[uri])  # readers find damage, and no forgery
    first = manifests[sources.plans[0]]
    try:
        design = first.parameters["design"]
        frozen = certifying.Frozen.from_record(design["certificate"])
        key = prn.project_key(int(design["seed"]))
    except (KeyError, TypeError, ValueError) as error:
        raise errors.PreconditionError(
            f"{first.uri}: expected the plan of a certificate, with its design; got {error!r}"
        ) from error
    pool = read_pool(store, sources, frozen.classes, key)
    reasons = [
        *_order_of_events(store, sources, manifests, digests),
        *_missing_items(store, manifests[sources.items], pool),
        *(line for group in frozen.groups for line in _population(pool, group)),
    ]
    if reasons:  # nothing can be derived from other items than the frozen ones
        raise errors.PreconditionError("\n".join(reasons), reason="NO_CERTIFICATE")
    waves = people.waves(store, sources.plans, sources.resolved, frozen.classes)
    label = certifying.answers(waves, pool.ids)
    orders = certifying.orders(pool, frozen)
    reasons += _plans(sources, manifests, pool, frozen, orders, waves)
    looks, conclusions = [], []
    for group, found in zip(frozen.groups, orders, strict=True):
        steps = certifying.walk(pool, group, found, label, len(waves))
        try:
            conclusions.append(certifying.conclude(group, steps, label, len(waves)))
        except ValueError as error:
            raise errors.PreconditionError(
                "\n".join([*reasons, str(error)]), reason="NO_CERTIFICATE"
            ) from error
        looks.append(steps.looks)
    pairs, agreed = doubles.count(store, sources.plans, sources.resolved)
    populations = [group.design.population for group in frozen.groups]
    truth = doubles.of_conclusions(conclusions, populations, pairs, agreed, frozen.alpha_pairs)
    audit_key = prn.derive_key(key, frozen.purpose)
    made = certificate.Certificate(
        statement=certificate.statement(frozen, conclusions, truth),
        confidence=round(1.0 - frozen.alpha, 12),
        sources=sources,
        digests=digests,
        frozen=frozen,
        key_id=hashlib.sha256(audit_key).hexdigest()[:16],
        orders=tuple(found.digest for found in orders),
        looks=tuple(looks),
        conclusions=tuple(conclusions),
        truth=truth,
        code_version=first.code_version,
    )
    return made, reasons


def read_pool(
    store: objects.ObjectStore, sources: certificate.Sources, classes: Sequence[str], key: bytes
) -> certifying.Pool:
    """Reads frozen risks and what earlier waves looked at; `sources` may have no plans of its own yet."""
    table = frames.sharded(store, artifacts.read_manifest(store, sources.risks)[0])
    ids = table["item_id"].combine_chunks()
    risks = risking.read(table, ids, classes)
    earlier = people.waves(store, sources.earlier_plans, sources.earlier_resolved, classes)
    known = people.looked(earlier, ids)
    return certifying.Pool(
        ids=ids,
        final=risks.final,
        risk=risks.risk,
        known=known,
        charged=known & (people.labels(earlier, ids) < 0),
        classes=tuple(classes),
        key=key,
    )


def _order_of_events(
    store: objects.ObjectStore,
    sources: certificate.Sources,
    manifests: Mapping[str, artifacts.Manifest],
    digests: Mapping[str, str],
) -> Iterator[str]:
    """Reasons to doubt that risks came before plans, and plans before answers."""
    chain = [(uri, sources.risks) for uri in sources.plans]
    chain += [(uri, sources.items) for uri in sources.plans]
    chain += list(zip(sources.resolved, sources.plans, strict=True))
    chain += list(zip(sources.earlier_resolved, sources.earlier_plans, strict=False))
    for uri, wanted in chain:
        named = {each.uri: each.digest for each in manifests[uri].parents}
        if named.get(wanted) != digests[wanted]:
            came = named.get(wanted, "no such parent")
            yield f"{uri}: expected the parent {wanted} with digest {digests[wanted]}; got {came}"
    allowed = set(sources.earlier_resolved)
    seen: set[str] = set()
    todo = [*manifests[sources.risks].parents]
    while todo:
        parent = todo.pop()
        if parent.uri in seen:
            continue
        seen.add(parent.uri)
        manifest, digest = artifacts.read_manifest(store, parent.uri, any_version=True)
        if digest != parent.digest:
            yield f"{parent.uri}: expected digest {parent.digest}, as its child names it; got {digest}"
        if manifest.table == "resolved" and parent.uri not in allowed:
            yield (
                f"{sources.risks}: expected risks that were made from answers of the earlier waves only; got"
                f" {parent.uri} among what they were made from"
            )
        todo += manifest.parents


def _missing_items(
    store: objects.ObjectStore, items: artifacts.Manifest, pool: certifying.Pool
) -> Iterator[str]:
    """Reasons to doubt that the risks are of the whole pool."""
    pieces = []
    for shard in range(items.shards):
        table = tables.read_shard(store, items, shard, ["item_id", "split"])
        pieces.append(table.filter(pc.equal(table["split"], "pool"))["item_id"].combine_chunks())
    ids = pa.concat_arrays(pieces) if pieces else pa.array([], pa.string())
    unpriced = int((frames.indices(pool.ids, ids) < 0).sum())
    strange = int((frames.indices(ids, pool.ids) < 0).sum())
    twice = len(pool.ids) - pc.count_distinct(pool.ids).as_py()
    if unpriced or strange or twice:
        yield (
            f"risks: expected one row for each of the {len(ids)} items of the pool; {unpriced} have none,"
            f" {strange} rows are of no such item, {twice} are of one that has a row already"
        )


def _plans(
    sources: certificate.Sources,
    manifests: Mapping[str, artifacts.Manifest],
    pool: certifying.Pool,
    frozen: certifying.Frozen,
    orders: Sequence[certifying.Order],
    waves: Sequence[people.Wave],
) -> Iterator[str]:
    """Reasons to doubt that each plan asks for what the frozen part and the answers before it give."""
    first = manifests[sources.plans[0]]
    for number, (uri, wave) in enumerate(zip(sources.plans, waves, strict=True)):
        design = manifests[uri].parameters.get("design", {})
        if any(design.get(name) != first.parameters["design"][name] for name in ("certificate", "seed")):
            yield f"{uri}: expected the design of {first.uri}, which was frozen; got another one"
        before = certifying.answers(waves[:number], pool.ids)
        wanted = certifying.rows(pool, frozen, orders, before, number)
        expected = set(
            zip(
                pool.ids.take(pa.array(np.concatenate([*wanted.at, np.empty(0, np.int64)]))).to_pylist(),
                wanted.stratum,
                strict=True,
            )
        )
        # items without a machine label are asked about as well, and no claim is about them
        at = frames.indices(pool.ids, wave.ids)
        beside = wave.of("failed") & (at >= 0) & (pool.final[at] < 0)
        claimed = pa.array(~beside)
        came = set(
            zip(wave.ids.filter(claimed).to_pylist(), wave.stratum.filter(claimed).to_pylist(), strict=True)
        )
        if expected != came:
            yield (
                f"{uri}: expected the {len(expected)} rows that order, key and answers give; got {len(came)},"
                f" of which {len(came - expected)} are others, {min(came ^ expected)[0]!r} for one"
            )


def _population(pool: certifying.Pool, group: certifying.Group) -> Iterator[str]:
    """Reasons to doubt that a group's counts are those of its items."""
    mask = pool.final >= 0 if not group.name else pool.final == pool.classes.index(group.name)
    counts = {
        "population": int(mask.sum()),
        "eligible": int((mask & ~pool.known).sum()),
        "charged": int((mask & pool.charged).sum()),
    }
    for name, expected in counts.items():
        if getattr(group.design, name) != expected:
            yield (
                f"design of {group.name or 'all labels'}: expected {name} {expected}, as risks and earlier"
                f" waves give it; got {getattr(group.design, name)}"
            )

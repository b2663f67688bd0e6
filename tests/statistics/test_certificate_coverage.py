"""What certificates promise with probability, by vectorised simulation; limits are derived, not tuned.

A claim at level α may be broken in a share α of replays. A test fails above binom.isf(1e-6, replays, α)
breaches: a true method fails once in a million runs, and the seeds are fixed besides.

Replays are drawn by cut: how many items of each slice between two cuts are audited, and how many of these
are wrong, are (multivariate) hypergeometric, so that no replay needs an array of its items.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
import replays

from actuary.stats import anytime, audits, certificates, intervals

REPLAYS = replays.REPLAYS


def slices(design, wrong):
    """Items and errors between neighbouring cuts, from the errors in frozen order, least suspicious first."""
    edges = np.concatenate([[0], design.cuts])
    errors = np.concatenate([[0], np.cumsum(wrong)])[edges]
    return np.diff(edges), np.diff(errors)


def draw(rng, sizes, errors, audit):
    """Audited items and errors found in each slice, [R, J] both, of samples of `audit` items."""
    audited, found = np.zeros((2, REPLAYS, len(sizes)), dtype=np.int64)
    left = np.full(REPLAYS, audit)
    for j, rest in enumerate(sizes.sum() - np.cumsum(sizes)):
        audited[:, j] = rng.hypergeometric(sizes[j], rest, left) if rest else left
        left = left - audited[:, j]
        if sizes[j]:
            found[:, j] = rng.hypergeometric(errors[j], sizes[j] - errors[j], audited[:, j])
    return audited, found


def numbers(function, *columns):
    """Applies a function of whole numbers to each row, once for each different one."""
    rows, back = np.unique(np.stack([np.ravel(c) for c in columns]), axis=1, return_inverse=True)
    values = np.array([function(*map(int, row)) for row in rows.T])
    return values[back].reshape(np.shape(columns[0]))


def proven(design, look, audited, found):
    """The cut that a look proves, [R]: `audits.passing` for all replays at once."""
    limit, alpha = design.limit(look), design.alpha1 / len(design.looks)
    cuts = np.broadcast_to(design.cuts, audited.shape)
    accepted = numbers(lambda c, a: certificates.acceptance(c, a, limit, alpha), cuts, audited)
    passes = np.logical_and.accumulate(found <= accepted, axis=1)
    last = passes.sum(axis=1)
    for replay in range(3):
        assert audits.passing(design, look, audited[replay].tolist(), found[replay].tolist()) == (
            design.cuts[last[replay] - 1] if last[replay] else 0
        )
    return last


def breaches(rng, design, wrong):
    """Replays in which a look proves a cut that leaves more errors than are allowed."""
    sizes, errors = slices(design, wrong)
    total = np.concatenate([[0], np.cumsum(errors)])
    broken = np.zeros(REPLAYS, dtype=bool)
    audited, found = np.zeros((2, REPLAYS, len(sizes)), dtype=np.int64)
    for look, size in enumerate(design.looks):
        # the next look audits more of what is left in each slice
        more = size - (design.looks[look - 1] if look else 0)
        for j in range(len(sizes)):
            rest = (sizes[j + 1 :].sum() - audited[:, j + 1 :].sum(axis=1)).astype(np.int64)
            here = sizes[j] - audited[:, j]
            taken = rng.hypergeometric(here, rest, np.minimum(more, here + rest))
            bad = errors[j] - found[:, j]
            hit = rng.hypergeometric(bad, here - bad, taken)
            audited[:, j] += taken
            found[:, j] += hit
            more = more - taken
        inside, seen = np.cumsum(audited, axis=1), np.cumsum(found, axis=1)
        last = proven(design, look, inside, seen)
        corrected = np.where(last > 0, np.take_along_axis(seen, np.maximum(last - 1, 0)[:, None], 1)[:, 0], 0)
        broken |= total[last] - corrected > design.allowed
    return int(broken.sum())


ITEMS = 2_000


def population(kind, rng, rate=0.12):
    """Errors in the frozen order, least suspicious first, as some critic would leave them."""
    hidden = np.sort(rng.beta(0.4, 0.4 / rate - 0.4, ITEMS))
    if kind == "calibrated":
        return rng.random(ITEMS) < hidden
    if kind == "overconfident":  # certain of what it believes, right or not: half of the order is noise
        return rng.random(ITEMS) < np.where(rng.random(ITEMS) < 0.5, hidden, rate)
    if kind == "useless":
        return rng.random(ITEMS) < rate
    if kind == "adversarial":
        return rng.random(ITEMS) < hidden[::-1]
    if kind == "blind slice":  # a tenth of the least suspicious half is wrong as often as not
        blind = (np.arange(ITEMS) < ITEMS // 2) & (rng.random(ITEMS) < 0.1)
        return rng.random(ITEMS) < np.where(blind, 0.5, hidden)
    # the worst for the test: right up to the limit, one error more than it in the next cut, then nothing
    wrong = np.zeros(ITEMS, dtype=bool)
    wrong[rng.permutation(1_000)[: certificates.credit_limit(ITEMS, 200, 100, 0.01)]] = True
    wrong[1_000] = True
    return wrong


def designed(**changes):
    base = {
        "population": ITEMS, "eligible": ITEMS, "labels": ITEMS, "target": 0.05, "looks": (200,),
        "alpha1": 0.04, "alpha2": 0.01, "cuts": 40,
    }  # fmt: skip
    return certificates.target_design(**{**base, **changes})


@pytest.mark.parametrize("looks", [(200,), (60, 120, 240, 480)], ids=["one-look", "four-looks"])
@pytest.mark.parametrize(
    "kind", ["calibrated", "overconfident", "useless", "adversarial", "blind slice", "cliff"]
)
def test_a_target_is_missed_in_at_most_alpha_of_all_audits(kind, looks):
    rng = np.random.default_rng(1)
    design = designed(looks=looks)

    assert breaches(rng, design, population(kind, rng)) <= replays.most(REPLAYS, 0.05)


@pytest.mark.parametrize(
    ("items", "audit", "errors", "target"),
    [(10, 5, 2, 0.15), (10, 8, 1, 0.05), (100, 30, 6, 0.05), (100, 30, 11, 0.1), (2_000, 30, 201, 0.1),
     (2_000, 60, 2, 0.0005)],
)  # fmt: skip
def test_small_audits_and_small_populations_keep_their_level(items, audit, errors, target):
    """One error more than allowed, anywhere, and more."""
    rng = np.random.default_rng(items + audit)
    design = designed(population=items, eligible=items, labels=items, looks=(audit,), target=target, cuts=10)
    for kind in ("first", "last", "spread"):
        wrong = np.zeros(items, dtype=bool)
        spread = rng.permutation(items)[:errors]
        wrong[{"first": np.arange(errors), "last": items - 1 - np.arange(errors), "spread": spread}[kind]] = (
            True
        )

        assert breaches(rng, design, wrong) <= replays.most(REPLAYS, 0.05)


def test_a_test_at_another_level_would_be_found_out():
    """Planted: the same audits read at α = .4 break the claim of .05, so that the tests above can fail."""
    rng = np.random.default_rng(2)
    loose = designed(alpha1=0.39, alpha2=0.01, cuts=2)
    wrong = np.zeros(ITEMS, dtype=bool)
    wrong[rng.permutation(1_000)[:112]] = True

    assert breaches(rng, loose, wrong) > replays.most(REPLAYS, 0.05)
    assert breaches(rng, designed(cuts=2), wrong) <= replays.most(REPLAYS, 0.05)


@pytest.mark.parametrize(
    ("items", "cut", "audit", "errors"),
    [(2_000, 1_500, 200, 90), (2_000, 1_500, 30, 300), (2_000, 1_500, 200, 0), (2_000, 1_500, 200, 2),
     (2_000, 1_500, 200, 9), (2_000, 1_500, 200, 18), (100, 60, 30, 5), (10, 8, 4, 3),
     (10**9, 9 * 10**8, 10_000, 10**7)],
)  # fmt: skip
def test_a_budget_bounds_what_is_left_in_all_but_alpha_of_audits(items, cut, audit, errors):
    rng = np.random.default_rng(3)
    design = certificates.budget_design(
        population=items, eligible=items, labels=items - cut + audit, audit=audit, alpha=0.05
    )
    found = rng.hypergeometric(errors, cut - errors, audit, size=REPLAYS)

    def bound(k):
        counts = audits.Found(audited=(audit,), wrong=(k,), unresolved=(0,))
        return audits.conclude(design, [counts], unresolved_above=0).errors

    assert (errors - found > numbers(bound, found)).sum() <= replays.most(REPLAYS, 0.05)


@pytest.mark.parametrize("target", [None, 0.05], ids=["budget", "target"])
def test_claims_hold_where_people_cannot_tell_or_do_not_answer(target):
    """Mostly the wrong ones: such an item stays as the machine labelled it, and the claim counts it."""
    rng = np.random.default_rng(8)
    if target is None:
        cut, audit = 1_500, 200
        design = certificates.budget_design(
            population=ITEMS, eligible=ITEMS, labels=ITEMS - cut + audit, audit=audit, alpha=0.05
        )
    else:
        cut, audit = ITEMS, 200
        design = designed(cuts=1)
    errors = 90 if target is None else design.limit(0) + 1
    found = rng.hypergeometric(errors, cut - errors, audit, size=REPLAYS)
    stay_wrong, not_told = rng.binomial(found, 0.4), rng.binomial(audit - found, 0.05)

    def bound(wrong, unresolved):
        counts = audits.Found(audited=(audit,), wrong=(wrong,), unresolved=(unresolved,))
        claim = audits.conclude(design, [counts], unresolved_above=0)
        return claim.errors if claim.cut else ITEMS

    claimed = numbers(bound, found + not_told, stay_wrong + not_told)
    taken_for_right = numbers(bound, found - stay_wrong, np.zeros_like(found))
    left = errors - found + stay_wrong  # wrong; those without an agreed label are counted besides
    assert (left + not_told > claimed).sum() <= replays.most(REPLAYS, 0.05)
    assert (left > taken_for_right).sum() > replays.most(REPLAYS, 0.05)


def test_where_the_budget_runs_out_one_of_both_claims_is_broken_in_at_most_alpha_of_audits():
    rng = np.random.default_rng(4)
    for kind in ("calibrated", "adversarial", "cliff"):
        wrong = population(kind, rng)
        for labels in (400, 1_300):
            design = designed(labels=labels, cuts=4)
            sizes, errors = slices(design, wrong)
            audited, found = (np.cumsum(part, axis=1) for part in draw(rng, sizes, errors, 200))

            @functools.cache
            def left_too_many(a, k, design=design, wrong=wrong):
                look = audits.Found(audited=a, wrong=k, unresolved=(0,) * 4)
                claim = audits.conclude(design, [look], unresolved_above=0)
                left = wrong[: claim.cut].sum() - (k[design.cuts.index(claim.cut)] if claim.cut else 0)
                return left > claim.errors

            pairs = zip(audited.tolist(), found.tolist(), strict=True)
            broken = sum(left_too_many(tuple(a), tuple(k)) for a, k in pairs)

            assert broken <= replays.most(REPLAYS, 0.05)


def test_a_certificate_about_each_class_holds_for_all_of_them_together():
    """Three classes, each with the worst order for its own test, at α/3 and K/3."""
    rng = np.random.default_rng(5)
    broken = np.zeros(REPLAYS, dtype=bool)
    for _ in range(3):
        design = designed(population=700, eligible=700, labels=700, looks=(100,), alpha1=0.04 / 3,
                          alpha2=0.01 / 3, cuts=10)  # fmt: skip
        wrong = np.zeros(700, dtype=bool)
        wrong[rng.permutation(350)[: design.limit(0)]] = True
        wrong[350] = True
        sizes, errors = slices(design, wrong)
        audited, found = (np.cumsum(part, axis=1) for part in draw(rng, sizes, errors, 100))
        last = proven(design, 0, audited, found)
        corrected = np.where(last > 0, found[np.arange(REPLAYS), np.maximum(last - 1, 0)], 0)
        broken |= np.concatenate([[0], np.cumsum(errors)])[last] - corrected > design.allowed

    assert broken.sum() <= replays.most(REPLAYS, 0.05)


def test_planted_a_pilot_that_is_used_again_as_the_audit_is_caught():
    """Silent error 8.2: the order has memorised the pilot, and finds what it has learnt.

    Its right items come first, its wrong ones last, so that every cut looks clean; the disjoint audit of the
    same order keeps its level.
    """
    rng = np.random.default_rng(6)
    design = designed(eligible=ITEMS - 200, labels=ITEMS - 200)
    broken_again, broken_apart = 0, 0
    for _ in range(REPLAYS):
        wrong = rng.random(ITEMS) < 0.12
        pilot = np.zeros(ITEMS, dtype=bool)
        pilot[rng.permutation(ITEMS)[:200]] = True
        learnt = np.where(pilot, np.where(wrong, 2.0, -1.0), rng.random(ITEMS))
        order = np.argsort(learnt)
        used = designed()
        at = np.flatnonzero(pilot[order])
        flags = {"wrong": wrong[order][at], "unresolved": np.zeros(200, bool)}
        with pytest.raises(ValueError, match="what fitted the order cannot certify it"):
            audits.tally(at, used=pilot[order][at], cuts=used.cuts, **flags)
        lied = audits.tally(at, used=np.zeros(200, bool), cuts=used.cuts, **flags)
        cut = audits.conclude(used, [lied], 0).cut
        broken_again += (wrong & ~pilot)[order][:cut].sum() > used.allowed

        others = order[~pilot[order]]
        place = rng.permutation(others.size)[:200]
        zeros = np.zeros(200, bool)
        fair = audits.tally(place, wrong[others][place], zeros, zeros, design.cuts)
        claim = audits.conclude(design, [fair], 0)
        left = wrong[others][: claim.cut].sum() - claim.wrong
        broken_apart += left > claim.errors

    assert broken_apart <= replays.most(REPLAYS, 0.05) < broken_again


def test_a_bound_that_is_watched_holds_only_if_it_is_made_for_watching():
    """Forty looks: PPR keeps its level, the bound of one look breaks it (T8)."""
    rng = np.random.default_rng(7)
    items, errors = 2_000, 100
    sizes = np.full(40, 25)
    found = np.empty((REPLAYS, 40), dtype=np.int64)
    left, wrong = np.full(REPLAYS, items), np.full(REPLAYS, errors)
    for look in range(40):
        found[:, look] = rng.hypergeometric(wrong, left - wrong, 25)
        left, wrong = left - 25, wrong - found[:, look]
    n, k = np.broadcast_to(np.cumsum(sizes), found.shape), np.cumsum(found, axis=1)
    watched = numbers(lambda a, b: anytime.ppr_ucb(items, a, b), n, k)
    single = numbers(lambda a, b: intervals.hypergeom_ucb(items, a, b), n, k)

    assert (watched < errors).any(axis=1).sum() <= replays.most(REPLAYS, 0.05)
    assert (single < errors).any(axis=1).sum() > replays.most(REPLAYS, 0.05)
    # at one look both hold, and watching costs width
    assert (single[:, 19] < errors).sum() <= replays.most(REPLAYS, 0.05)
    assert (watched[:, 19] - single[:, 19]).mean() > 0

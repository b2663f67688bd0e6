"""Selections from chunks: the same bits as in memory, whatever the chunks."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actuary.stats import draws, orders, rules, streamed_hybrid, streams, words

LIKERT = np.linspace(0.05, 1.0, 20)  # what a language model says when it is asked for a risk
RISKS = st.one_of(
    st.sampled_from([0.0, 1.0, 0.5, 5e-324, 2.5e-308, 1e-20, *LIKERT.tolist()]), st.floats(0.0, 1.0)
)
POOLS = st.lists(
    st.tuples(RISKS, st.floats(0.0, 1.0, exclude_min=True, exclude_max=True)), min_size=1, max_size=40
)


def chunks(size, rng):
    """Rows of a random partition into chunks, in random order, some of them empty."""
    order = rng.permutation(size)
    cuts = np.sort(rng.integers(0, size + 1, rng.integers(0, 6)))
    return np.split(order, cuts)


def passes(make, size, rng):
    """Every pass has other chunks in another order."""
    return lambda: (make(rows) for rows in chunks(size, rng))


def by_risk(risk, tie, cost=None):
    return lambda rows: orders.by_risk(risk[rows], tie[rows], rows, None if cost is None else cost[rows])


def by_priority(score, u, cost=None):
    return lambda rows: orders.by_priority(score[rows], u[rows], rows, None if cost is None else cost[rows])


@settings(max_examples=80, deadline=None)
@given(pool=POOLS, data=st.data())
def test_a_threshold_from_chunks_takes_what_the_rule_takes_in_memory(pool, data):
    risk, tie = (np.array(column) for column in zip(*pool, strict=True))
    budget = data.draw(st.integers(1, risk.size))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))

    taken = streams.take(passes(by_risk(risk, tie), risk.size, rng), budget)

    assert taken.place.tolist() == np.flatnonzero(rules.pi_threshold(risk, budget, tie).pi).tolist()


@settings(max_examples=80, deadline=None)
@given(pool=POOLS, data=st.data())
def test_few_items_are_sorted_without_being_counted_and_ties_made_when_looked_at(pool, data):
    risk, tie = (np.array(column) for column in zip(*pool, strict=True))
    budget = data.draw(st.integers(0, risk.size))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))

    def made(rows):
        return orders.by_risk(risk[rows], orders.Made(lambda more: tie[rows[more]]), rows)

    counted = streams.take(passes(made, risk.size, rng), budget)
    found = streams.take(passes(made, risk.size, rng), budget, items=risk.size)

    assert found.place.tolist() == counted.place.tolist()
    assert found.key.tolist() == counted.key.tolist()
    assert found.cut == counted.cut


@settings(max_examples=80, deadline=None)
@given(pool=POOLS, data=st.data())
def test_a_priority_sample_from_chunks_is_that_of_the_draw_in_memory(pool, data):
    score, u = (np.array(column) for column in zip(*pool, strict=True))
    score[score < 1e-300] = 0.0  # whose r would be infinite
    size = data.draw(st.integers(1, score.size))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    try:
        with np.errstate(invalid="ignore", over="ignore"):  # τ s of scores of 0, when τ is infinite
            drawn = draws.draw_exact(score, u, size)
    except ValueError:
        with pytest.raises(ValueError, match="budget: expected at most"):
            streams.take(passes(by_priority(score, u), score.size, rng), size)
        return

    taken = streams.take(passes(by_priority(score, u), score.size, rng), size)

    assert taken.place.tolist() == np.flatnonzero(drawn.selected).tolist()
    assert taken.cut.tau == drawn.tau
    assert taken.key.view(np.float64).tolist() == drawn.rank[drawn.selected].tolist()


def test_an_item_whose_rank_overflows_comes_last_and_is_no_threshold():
    keys = orders.by_priority([0.0, 5e-324, 0.5], [0.5, 0.5, 0.5], 0)

    assert streams.take(lambda: [keys], 2).place.tolist() == [1, 2]
    with pytest.raises(ValueError, match="score: expected scores whose ratios to u are finite"):
        _ = streams.take(lambda: [keys], 1).cut.tau


@settings(max_examples=60, deadline=None)
@given(pool=POOLS, data=st.data())
def test_a_simple_random_sample_from_chunks_is_that_of_the_draw_in_memory(pool, data):
    u = np.array([number for _, number in pool])
    size = data.draw(st.integers(1, u.size))
    drawn = draws.srs(u, size)

    taken = streams.take(
        passes(lambda rows: orders.by_number(u[rows], rows), u.size, np.random.default_rng(0)), size
    )

    assert taken.place.tolist() == np.flatnonzero(drawn.selected).tolist()
    assert words.value(int(taken.key.max())) == drawn.tau


@settings(max_examples=80, deadline=None)
@given(pool=POOLS, data=st.data())
def test_money_takes_the_longest_prefix_that_it_pays(pool, data):
    score, u = (np.array(column) for column in zip(*pool, strict=True))
    costs = st.integers(1, 2**52) | st.integers(1, 9)
    cost = np.array(data.draw(st.lists(costs, min_size=score.size, max_size=score.size)))
    money = data.draw(st.integers(0, int(cost.sum()) + 1))
    rank = [float(a) / float(s) if s > 0 else math.inf for s, a in zip(score, u, strict=True)]
    order = sorted((r, a, i) for i, (r, a) in enumerate(zip(rank, u, strict=True)) if score[i] > 0)
    bought = 0
    while bought < len(order) and sum(int(cost[i]) for *_, i in order[: bought + 1]) <= money:
        bought += 1

    taken = streams.take(passes(by_priority(score, u, cost), score.size, np.random.default_rng(1)), money)

    assert taken.place.tolist() == sorted(i for *_, i in order[:bought])
    assert taken.cut.used == sum(int(cost[i]) for *_, i in order[:bought])
    if bought == len(order):
        assert taken.cut.first is None
    else:
        assert taken.cut.first[2] == order[bought][2]


@settings(max_examples=60, deadline=None)
@given(pool=POOLS, data=st.data())
def test_risk_per_cost_takes_the_best_bargains_first(pool, data):
    risk, tie = (np.array(column) for column in zip(*pool, strict=True))
    cost = np.array(data.draw(st.lists(st.integers(1, 5), min_size=risk.size, max_size=risk.size)))
    money = data.draw(st.integers(1, int(cost.sum())))
    order = np.lexsort((tie, -(risk / cost)))
    expected = order[np.cumsum(cost[order]) <= money]

    taken = streams.take(passes(by_risk(risk, tie, cost), risk.size, np.random.default_rng(2)), money)

    assert taken.place.tolist() == sorted(expected.tolist())


def heavy(monkeypatch):
    """Few items may be kept, so that windows have to be counted again, through all three columns."""
    monkeypatch.setattr(streams, "KEPT_ITEMS", 2)


@pytest.mark.parametrize("kind", ["likert", "equal", "zeros", "ones", "denormal", "beta", "equal ties too"])
@pytest.mark.parametrize("budget", [1, 777, 1999, 2000])
def test_windows_with_more_items_than_may_be_kept_are_counted_more_finely(kind, budget, monkeypatch):
    heavy(monkeypatch)
    rng = np.random.default_rng(3)
    risk = {
        "likert": rng.choice(LIKERT, 2000),
        "equal": np.full(2000, 0.3),
        "zeros": np.zeros(2000),
        "ones": np.ones(2000),
        "denormal": rng.integers(0, 50, 2000) * 5e-324,
        "beta": rng.beta(0.5, 2, 2000),
        "equal ties too": rng.choice(LIKERT, 2000),
    }[kind]
    tie = np.full(2000, 0.5) if kind == "equal ties too" else rng.random(2000)

    taken = streams.take(passes(by_risk(risk, tie), 2000, rng), budget)

    assert taken.place.tolist() == np.flatnonzero(rules.pi_threshold(risk, budget, tie).pi).tolist()


def test_counts_of_shards_merge_in_any_order_to_the_count_of_all():
    rng = np.random.default_rng(4)
    risk, tie, cost = rng.choice(LIKERT, 300), rng.random(300), rng.integers(1, 2**45, 300)
    shards = np.array_split(rng.permutation(300), 4)
    whole = streams.TopCount()
    whole.add(by_risk(risk, tie, cost)(np.arange(300)))
    money = int(cost.sum()) // 3

    windows = []
    for order in itertools.permutations(shards):
        parts = []
        for rows in order:
            parts.append(streams.TopCount())
            parts[-1].add(by_risk(risk, tie, cost)(rows))
        left, right = parts[0], parts[2]
        left.merge(parts[1])
        right.merge(parts[3])
        left.merge(right)
        assert (left.counts == whole.counts).all()
        assert (left.costs == whole.costs).all()
        windows.append(left.solve(money))

    assert set(windows) == {whole.solve(money)}


def test_selections_of_shards_merge_to_that_of_all():
    rng = np.random.default_rng(5)
    score, u = rng.choice(LIKERT, 300), rng.random(300)
    make = by_priority(score, u)
    count = streams.TopCount()
    count.add(make(np.arange(300)))
    window = count.solve(40)
    first, second = streams.Selection(window, 40), streams.Selection(window, 40)
    sure = [first.add(make(np.arange(100))).size, second.add(make(np.arange(100, 300))).size]

    second.merge(first)
    rest, cut = second.finish()

    assert sum(sure) + rest.key.size == 40
    assert cut.tau == draws.draw_exact(score, u, 40).tau


def test_a_cut_takes_the_same_items_in_any_later_pass():
    rng = np.random.default_rng(6)
    risk, tie = rng.choice(LIKERT, 500), rng.random(500)
    taken = streams.take(passes(by_risk(risk, tie), 500, rng), 123)

    again = np.concatenate([rows[taken.cut.takes(by_risk(risk, tie)(rows))] for rows in chunks(500, rng)])

    assert sorted(again.tolist()) == taken.place.tolist()


def test_places_may_be_given_by_the_first_alone():
    rng = np.random.default_rng(7)
    risk, tie = rng.choice(LIKERT, 500), rng.random(500)

    def consecutive():
        for first in range(0, 500, 90):
            part = slice(first, first + 90)
            yield orders.by_risk(risk[part], tie[part], first)

    taken = streams.take(consecutive, 123)

    assert taken.place.tolist() == streams.take(passes(by_risk(risk, tie), 500, rng), 123).place.tolist()


def test_more_items_than_there_are_cannot_be_taken():
    with pytest.raises(ValueError, match="budget: expected at most 2 items, those that can be taken, got 3"):
        streams.take(lambda: [orders.by_priority([0.5, 0.0, 0.5], [0.5] * 3, 0)], 3)


def test_costs_whose_sum_passes_63_bits_are_refused():
    keys = orders.by_risk([0.5, 0.5], [0.1, 0.2], 0, np.array([2**62, 2**62]))
    count = streams.TopCount()

    with pytest.raises(words.SumTooLarge, match="sum to at most 2\\^63 - 1, got 9223372036854775808"):
        count.add(keys)


def test_merged_costs_whose_sum_passes_63_bits_are_refused():
    counts = [streams.TopCount(), streams.TopCount()]
    for count in counts:
        count.add(orders.by_risk([0.5], [0.1], 0, np.array([2**62])))

    with pytest.raises(words.SumTooLarge):
        counts[0].merge(counts[1])


def test_the_largest_sum_of_costs_is_counted_exactly():
    cost = np.array([2**62, 2**62 - 1])
    score, u = np.array([1.0, 1.0]), np.array([0.1, 0.2])

    def taken(money):
        return streams.take(
            passes(by_priority(score, u, cost), 2, np.random.default_rng(0)), money
        ).place.size

    assert [taken(2**62 - 1), taken(2**62), taken(2**63 - 2), taken(2**63 - 1)] == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: orders.by_risk([1.5], [0.5], 0), r"risk: expected values in \[0, 1\], got 1.5 at \[0\]"),
        (lambda: orders.by_risk([math.nan], [0.5], 0), r"risk: expected values in \[0, 1\], got nan"),
        (lambda: orders.by_risk([0.5], [0.5, 0.5], 0), "tie: expected 1 values"),
        (lambda: orders.by_risk([0.5], [0.5], [0, 1]), "place: expected 1 whole numbers"),
        (lambda: orders.by_risk([0.5], [0.5], 0, [0.5]), "cost: expected 1 whole numbers, got float64"),
        (lambda: orders.by_risk([0.5], [0.5], 0, [0]), r"cost: expected whole numbers of at least 1, got 0"),
        (lambda: orders.by_priority([-1.0], [0.5], 0), r"score: expected values in .*, got -1.0"),
        (lambda: orders.by_priority([math.inf], [0.5], 0), r"score: expected values in .*, got inf"),
        (lambda: orders.by_priority([0.5], [1.0], 0), r"u: expected values in \(0, 1\), got 1.0"),
        (lambda: orders.by_priority([0.5], [0.5, 0.5], 0), "u: expected 1 values, got 2"),
        (lambda: orders.by_number([0.0], 0), r"u: expected values in \(0, 1\), got 0.0"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_costs_in_some_chunks_only_are_refused():
    count = streams.TopCount()
    count.add(orders.by_risk([0.5], [0.5], 0))

    with pytest.raises(ValueError, match="costs in all chunks or in none"):
        count.add(orders.by_risk([0.5], [0.5], 1, [3]))


def test_passes_that_differ_are_found_out():
    rng = np.random.default_rng(8)
    pools = iter([rng.random(100), rng.random(100)])

    with pytest.raises(ValueError, match="chunks: expected the same items in every pass"):
        streams.take(lambda: [orders.by_risk(next(pools), rng.random(100), 0)], 10)


def test_equal_places_are_found_out(monkeypatch):
    heavy(monkeypatch)
    keys = orders.by_risk([0.5] * 9, [0.5] * 9, np.zeros(9, dtype=np.int64))

    with pytest.raises(ValueError, match="place: expected unique places, got 0 for 9 items"):
        streams.take(lambda: [keys], 4)


def test_windows_of_different_counts_do_not_merge():
    with pytest.raises(ValueError, match="window: expected a count of"):
        streams.TopCount().merge(streams.TopCount(streams.Window(low=1)))


def test_memory_does_not_grow_with_the_pool():
    import tracemalloc

    def pool(size):
        def chunk_of(first):
            rng = np.random.default_rng(first)
            return orders.by_risk(rng.random(10_000), rng.random(10_000), first)

        return lambda: (chunk_of(first) for first in range(0, size, 10_000))

    peaks = []
    for size in (100_000, 800_000):
        tracemalloc.start()
        streams.take(pool(size), 100)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    # a window is a bin of 2^-9 of the values at most: 8 bytes for the key, tie, place and cost of each item
    # kept, three times over while they are sorted
    assert peaks[1] - peaks[0] < 700_000 * 2**-9 * 32 * 3


def hybrid(risk, u, tie, rng, budget, cost=None, **parameters):
    def make(rows):
        return streamed_hybrid.Items(
            risk=risk[rows], u=u[rows], u_tie=tie[rows], place=rows, cost=None if cost is None else cost[rows]
        )

    return streamed_hybrid.hybrid(passes(make, risk.size, rng), budget, **parameters)


@pytest.mark.parametrize("kind", ["beta", "likert", "equal", "zeros", "one item", "all"])
def test_a_hybrid_is_the_top_and_a_priority_sample_of_the_rest(kind):
    rng = np.random.default_rng(9)
    size = 1 if kind == "one item" else 3000
    risk = {"likert": rng.choice(LIKERT, size), "equal": np.full(size, 0.3), "zeros": np.zeros(size)}.get(
        kind, rng.beta(0.5, 2, size)
    )
    u, tie = rng.random(size), rng.random(size)
    budget = {"one item": 1, "all": size}.get(kind, 600)
    top = math.floor(0.7 * budget * (1.0 + 1e-12))
    expected = np.sort(rules.risk_order(risk, tie)[:top])
    rest = np.setdiff1d(np.arange(size), expected)

    found = hybrid(risk, u, tie, rng, budget)
    drawn = draws.draw_exact(found.score(risk[rest]), u[rest], budget - top)

    assert found.certain.place.tolist() == expected.tolist()
    assert found.drawn.place.tolist() == rest[drawn.selected].tolist()
    assert found.drawn.cut.tau == drawn.tau
    v = 0.7 * risk[rest] + 0.3 * math.fsum(risk[rest]) / rest.size if risk[rest].any() else 1.0
    assert found.score(risk[rest]) ** 2 == pytest.approx(v, rel=1e-12)


def test_a_hybrid_is_the_same_whatever_the_chunks():
    rng = np.random.default_rng(10)
    risk, u, tie = rng.beta(0.5, 2, 3000), rng.random(3000), rng.random(3000)
    cost = rng.integers(1, 50, 3000)

    for costs, parameters in ((None, {}), (cost, {}), (None, {"gamma": 0.01, "floor_share": 0.9})):
        found = [hybrid(risk, u, tie, rng, 700, costs, **parameters) for _ in range(4)]
        assert (
            len({(f.drawn.place.tobytes(), f.drawn.cut, f.certain.cut, f.family, f.least) for f in found})
            == 1
        )


def test_a_hybrid_whose_numbers_are_all_large_is_drawn_all_the_same():
    rng = np.random.default_rng(11)
    risk, tie = rng.beta(0.5, 2, 3000), rng.random(3000)
    u = 1.0 - rng.random(3000) * 1e-3  # no r below what uniform numbers would have
    top = np.sort(rules.risk_order(risk, tie)[:420])
    rest = np.setdiff1d(np.arange(3000), top)

    found = hybrid(risk, u, tie, rng, 600)

    drawn = draws.draw_exact(found.score(risk[rest]), u[rest], 180)
    assert found.drawn.place.tolist() == rest[drawn.selected].tolist()
    assert found.drawn.cut.tau == drawn.tau


def test_a_hybrid_with_costs_spends_at_most_its_budget():
    rng = np.random.default_rng(12)
    risk, u, tie = rng.beta(0.5, 2, 3000), rng.random(3000), rng.random(3000)
    cost = rng.integers(1, 50, 3000)

    found = hybrid(risk, u, tie, rng, 9000, cost)

    spent = int(cost[found.certain.place].sum() + cost[found.drawn.place].sum())
    assert spent == found.certain.cut.used + found.drawn.cut.used
    assert 9000 - 49 <= spent <= 9000
    assert not set(found.certain.place.tolist()) & set(found.drawn.place.tolist())


def test_a_cut_that_reaches_all_takes_all():
    keys = orders.by_risk([0.5, 0.2], [0.1, 0.2], 0)

    taken = streams.take(lambda: [keys], 2)

    assert taken.cut.takes(keys).tolist() == [0, 1]
    assert taken.cut.tau == math.inf


def test_counts_of_which_one_has_costs_do_not_merge():
    counts = [streams.TopCount(), streams.TopCount()]
    counts[0].add(orders.by_risk([0.5], [0.1], 0))
    counts[1].add(orders.by_risk([0.5], [0.1], 1, np.array([3])))

    with pytest.raises(ValueError, match="cost: expected costs in both counts or in none"):
        counts[0].merge(counts[1])


def test_counts_without_costs_merge():
    counts = [streams.TopCount(), streams.TopCount()]
    for place, count in enumerate(counts):
        count.add(orders.by_risk([0.5], [0.1], place))

    counts[0].merge(counts[1])

    assert (counts[0].items, counts[0].spent, int(counts[0].counts.sum())) == (2, 2, 2)


def test_an_empty_count_takes_the_costs_of_another():
    counts = [streams.TopCount(), streams.TopCount()]
    counts[1].add(orders.by_risk([0.5], [0.1], 0, np.array([3])))

    counts[0].merge(counts[1])

    assert counts[0].solve(3) is None
    assert counts[0].solve(2) == counts[1].solve(2)


def test_a_window_of_more_items_than_may_be_kept_is_to_be_counted_again():
    with pytest.raises(
        ValueError, match="window: expected at most 524288 items inside, got 524289; count it again"
    ):
        streams.Selection(streams.Window(items=524_289), 1)


def test_a_second_count_of_other_items_is_found_out():
    count = streams.TopCount(streams.Window(low=5, items=3))
    count.add(orders.by_risk([0.5], [0.1], 0))

    with pytest.raises(ValueError, match="expected the same items in every pass, 3 of them"):
        count.solve(0)


def test_a_window_on_places_ends_at_one_item(monkeypatch):
    monkeypatch.setattr(streams, "KEPT_ITEMS", 0)
    window = streams.Window(prefix=(words.INFINITE, 7), low=0, high=3, items=4)
    count = streams.TopCount(window)
    count.add(
        orders.Keys(key=np.full(4, words.INFINITE), tie=np.full(4, 7 * 5e-324), place=np.array([2, 0, 3, 1]))
    )

    assert count.solve(2) == streams.Window(prefix=(words.INFINITE, 7), low=2, high=2, used=2, items=1)


def test_a_hybrid_with_costs_needs_no_floor():
    rng = np.random.default_rng(13)
    risk, u, tie, cost = rng.random(300), rng.random(300), rng.random(300), rng.integers(1, 50, 300)

    found = hybrid(risk, u, tie, rng, 900, cost, floor_share=0.0)

    assert found.least == 0.0
    assert found.certain.cut.used + found.drawn.cut.used <= 900

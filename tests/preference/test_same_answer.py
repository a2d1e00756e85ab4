"""What must not change an answer: sides, names, repeats within clusters, shards."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from preference import drift, fit_bradley_terry, fit_cells, ratings_by, win_rates
from preference.counts import Cells, count
from preference.diagnostics import pair_residuals
from preference.encoding import encode

SWAP = np.array([1, 0, 2, 3], dtype=np.uint8)
seeds = st.integers(0, 2**32 - 1)


def drawn(seed, n=80, k=4):
    """Random judgments with one win each way round a ring, so that every rating is finite."""
    rng = np.random.default_rng(seed)
    a = rng.integers(0, k, n)
    b = (a + rng.integers(1, k, n)) % k
    v = rng.choice(4, n, p=[0.4, 0.3, 0.2, 0.1])
    ring = np.arange(k)
    a, b = np.concatenate([a, ring, ring]), np.concatenate([b, (ring + 1) % k, (ring + 1) % k])
    v = np.concatenate([v, np.zeros(k), np.ones(k)]).astype(np.uint8)
    size = len(a)
    return {
        "rng": rng,
        "columns": (a, b, v),
        "who": rng.integers(0, 9, size),
        "prompt": rng.integers(0, 7, size),
        "place": rng.choice([-1, 1], size),
    }


def clusters(d):
    return ([], [d["who"]], [d["who"], d["prompt"]])


RATES = ("value", "se", "ci_low", "ci_high", "n", "effective_n")


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_win_rates_do_not_depend_on_sides_and_reverse_with_the_verdicts(seed):
    d = drawn(seed)
    a, b, v = d["columns"]
    for ways in clusters(d):
        options = {"cluster": ways} if ways else {}
        one = win_rates(a, b, v, **options)
        two = win_rates(b, a, SWAP[v], **options)
        for name in RATES:
            assert_array_equal(getattr(one, name), getattr(two, name))
            assert_array_equal(getattr(one.pairs, name), getattr(two.pairs, name))
        back = win_rates(a, b, SWAP[v], **options)
        assert_allclose(back.value, 1 - one.value, atol=1e-12)
        assert_allclose(back.ci_low, 1 - one.ci_high, atol=1e-9)
        assert_allclose(back.effective_n, one.effective_n, rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_win_rates_follow_their_items_under_new_names(seed):
    d = drawn(seed)
    a, b, v = d["columns"]
    names = d["rng"].permutation(["w", "x", "y", "z"])
    labels = np.array([f"person {i}" for i in d["rng"].permutation(9)])
    one = win_rates(a, b, v, cluster=d["who"])
    two = win_rates(names[a], names[b], v, cluster=labels[d["who"]])
    place = [two.items.index(names[i]) for i in one.items]
    for name in RATES:
        assert_allclose(getattr(two, name)[place], getattr(one, name), rtol=1e-9, atol=1e-12)
    for i in range(4):
        for j in range(i):
            if np.isnan(one.matrix()[i, j]):
                continue
            got, want = two.pair(str(names[i]), str(names[j])), one.pair(i, j)
            assert got.value == pytest.approx(want.value)
            assert (got.ci_low, got.ci_high) == pytest.approx((want.ci_low, want.ci_high))


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(2, 4))
def test_the_same_judgments_by_the_same_people_again_narrow_nothing(seed, times):
    d = drawn(seed)
    again = tuple(np.tile(c, times) for c in d["columns"])
    for ways in clusters(d)[1:]:
        tiled = [np.tile(w, times) for w in ways]
        once, more = (
            win_rates(*columns, cluster=c) for columns, c in ((d["columns"], ways), (again, tiled))
        )
        assert_allclose(more.value, once.value, atol=1e-12)
        assert_allclose(more.se, once.se, rtol=1e-9, atol=1e-12)
        fit, repeated = (
            fit_bradley_terry(*columns, cluster=c)
            for columns, c in ((d["columns"], ways), (again, tiled))
        )
        assert_allclose(repeated.ratings, fit.ratings, atol=1e-8)
        # with few clusters no error is below the plain one, which repeats do narrow
        assert (repeated.se <= fit.se * (1 + 1e-7)).all()
        assert (repeated.se >= fit.se / np.sqrt(times) * (1 - 1e-7)).all()
    many = np.random.default_rng(seed).permutation(len(d["who"])) % 40
    for ways in ([many], [many, d["rng"].permutation(len(many)) % 30]):
        tiled = [np.tile(w, times) for w in ways]
        fit, repeated = (
            fit_bradley_terry(*d["columns"], cluster=ways),
            fit_bradley_terry(*again, cluster=tiled),
        )
        assert_allclose(repeated.se, fit.se, rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_two_ways_of_the_same_people_are_one_way(seed):
    d = drawn(seed)
    one = fit_bradley_terry(*d["columns"], cluster=d["who"])
    two = fit_bradley_terry(*d["columns"], cluster=[d["who"], d["who"]])
    assert_allclose(two.se, one.se, rtol=1e-7)
    a, b = d["who"], d["prompt"]
    ab, ba = (fit_bradley_terry(*d["columns"], cluster=c) for c in ([a, b], [b, a]))
    assert_allclose(ab.covariance, ba.covariance, rtol=1e-9, atol=1e-12)


def added(parts, items):
    """Counts of shards, summed cell by cell as a ledger would."""
    table = {}
    for part in parts:
        place = {i: items.index(item) for i, item in enumerate(part.items)}
        rows = zip(part.a, part.b, part.placement, strict=True)
        counts = np.stack([part.wins_a, part.wins_b, part.ties, part.both_bad], axis=1)
        for (a, b, p), own in zip(rows, counts, strict=True):
            key = place[int(a)], place[int(b)], float(p)
            table[key] = table.get(key, 0) + own
    keys = sorted(table)
    a, b, p = (np.array([k[i] for k in keys]) for i in range(3))
    return Cells(items, a, b, p, *np.stack([table[k] for k in keys], axis=1).copy())


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(2, 6), st.booleans())
def test_shards_added_together_fit_like_the_whole_to_the_last_digit(seed, shards, placed):
    d = drawn(seed)
    place = d["place"] if placed else None
    whole = fit_bradley_terry(*d["columns"], placement=place)
    of = d["rng"].integers(0, shards, len(d["who"]))
    parts = [
        count(
            encode(
                *(c[of == s] for c in d["columns"]),
                placement=None if place is None else place[of == s],
            )
        )
        for s in range(shards)
        if (of == s).any()
    ]
    merged = fit_cells(added(parts, whole.items))
    assert merged.items == whole.items
    for name in ("ratings", "se", "covariance", "wins", "losses", "ties", "both_bad"):
        assert_array_equal(getattr(merged, name), getattr(whole, name))
    assert merged.log_likelihood == whole.log_likelihood
    assert merged.effects == whole.effects
    assert merged.n_judgments == whole.n_judgments
    assert pair_residuals(merged, most=9) == pair_residuals(whole, most=9)


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_groups_and_drift_do_not_depend_on_sides_or_names(seed):
    d = drawn(seed, n=60)
    columns = tuple(np.concatenate([c, c]) for c in d["columns"])
    a, b, v = columns
    v = v.copy()
    half = np.repeat([False, True], len(d["who"]))
    free = half & (d["rng"].random(len(half)) < 0.3) & (np.arange(len(half)) % len(d["who"]) < 60)
    v[free] = SWAP[v[free]]
    names = np.array(["p", "q", "r", "s"])
    one = drift(a, b, v, later=half)
    for other in (drift(b, a, SWAP[v], later=half), drift(names[a], names[b], v, later=half)):
        assert_allclose(other.change, one.change, atol=1e-8)
        assert_allclose(other.se, one.se, rtol=1e-6)
        assert other.p_largest == pytest.approx(one.p_largest, rel=1e-5, abs=1e-12)
    back = drift(a, b, v, later=~half)
    assert_allclose(back.change, -one.change, atol=1e-8)
    groups = ratings_by(a, b, v, half)
    assert groups.statistic == pytest.approx(one.statistic, rel=1e-5, abs=1e-9)
    assert ratings_by(b, a, SWAP[v], half).statistic == pytest.approx(groups.statistic, rel=1e-6)

"""What must not depend on how the same judgments are written down."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from preference import PreferenceError, fit_bradley_terry
from preference.counts import count
from preference.encoding import encode

SWAP = np.array([1, 0, 2, 3], dtype=np.uint8)


@st.composite
def judgments(draw, connected=True):
    k = draw(st.integers(2, 5))
    n = draw(st.integers(1, 40))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    a = rng.integers(0, k, n)
    b = (a + rng.integers(1, k, n)) % k
    verdict = rng.choice(4, n, p=[0.4, 0.3, 0.2, 0.1]).astype(np.uint8)
    if connected:  # one win and one loss round the ring, and one tie
        ring = np.arange(k)
        a = np.concatenate([a, ring, ring, [0]])
        b = np.concatenate([b, (ring + 1) % k, (ring + 1) % k, [1]])
        verdict = np.concatenate([verdict, np.zeros(k), np.ones(k), [2]]).astype(np.uint8)
    return {"a": a, "b": b, "v": verdict, "who": rng.integers(0, 4, len(a)), "rng": rng}


def fit(d, rows=slice(None), **options):
    return fit_bradley_terry(d["a"][rows], d["b"][rows], d["v"][rows], **options)


@settings(max_examples=40, deadline=None)
@given(judgments())
def test_order_of_rows_changes_no_digit(d):
    order = d["rng"].permutation(len(d["a"]))
    one, two = fit(d, cluster=d["who"]), fit(d, order, cluster=d["who"][order])
    assert_array_equal(one.ratings, two.ratings)
    assert_array_equal(one.covariance, two.covariance)
    assert one.log_likelihood == two.log_likelihood


@settings(max_examples=40, deadline=None)
@given(judgments())
def test_swapping_the_sides_of_any_judgment_changes_no_digit(d):
    flip = d["rng"].random(len(d["a"])) < 0.5
    place = d["rng"].choice([-1, 0, 1], len(d["a"]))
    other = {
        "a": np.where(flip, d["b"], d["a"]),
        "b": np.where(flip, d["a"], d["b"]),
        "v": np.where(flip, SWAP[d["v"]], d["v"]).astype(np.uint8),
    }
    try:
        one = fit(d, placement=place, prior="ridge")
    except PreferenceError:
        return
    two = fit(other, placement=np.where(flip, -place, place), prior="ridge")
    assert_array_equal(one.ratings, two.ratings)
    assert_array_equal(one.se, two.se)
    assert one.placement_effect == two.placement_effect


@settings(max_examples=40, deadline=None)
@given(judgments())
def test_reversing_every_verdict_negates_the_ratings(d):
    one = fit(d)
    two = fit(d | {"v": SWAP[d["v"]]})
    assert_allclose(two.ratings, -one.ratings, atol=1e-8)
    assert_allclose(two.se, one.se, rtol=1e-6, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(judgments())
def test_new_names_give_the_same_ratings(d):
    k = int(max(d["a"].max(), d["b"].max())) + 1
    names = d["rng"].permutation([f"item {i}" for i in range(k)])
    one, two = fit(d), fit(d | {"a": names[d["a"]], "b": names[d["b"]]})
    by_name = dict(zip(two.items, two.ratings, strict=True))
    assert_allclose([by_name[names[i]] for i in one.items], one.ratings, atol=1e-8)


@settings(max_examples=40, deadline=None)
@given(judgments())
def test_every_judgment_twice_halves_the_variance_but_not_the_clustered_one(d):
    twice = {x: np.concatenate([d[x], d[x]]) for x in ("a", "b", "v", "who")}
    assert_allclose(fit(twice).ratings, fit(d).ratings, atol=1e-8)
    assert_allclose(fit(twice).covariance, fit(d).covariance / 2, atol=1e-7)
    for options in ({"ties": "half"}, {}):
        one = fit(d, cluster=np.arange(len(d["a"])), **options)
        two = fit(twice, cluster=np.concatenate([np.arange(len(d["a"]))] * 2), **options)
        assert_allclose(two.covariance, one.covariance, rtol=1e-6, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(judgments())
def test_weight_two_is_the_judgment_made_twice(d):
    heavy = d["rng"].integers(1, 4, len(d["a"]))
    repeated = {x: np.repeat(d[x], heavy) for x in ("a", "b", "v")}
    one, two = fit(d, weight=heavy), fit(repeated)
    assert_allclose(one.ratings, two.ratings, atol=1e-9)
    assert_allclose(one.se, two.se, rtol=1e-9)


@settings(max_examples=30, deadline=None)
@given(judgments())
def test_counts_of_shards_add_up_to_the_counts_of_the_whole(d):
    cut = d["rng"].integers(0, 2, len(d["a"])).astype(bool)
    k = int(max(d["a"].max(), d["b"].max())) + 1
    whole = count(encode(d["a"], d["b"], d["v"]))
    total = np.zeros((k, k))
    for rows in (cut, ~cut):
        if not rows.any():
            continue
        part = count(encode(d["a"][rows], d["b"][rows], d["v"][rows]))
        at = np.array(part.items)
        total[np.ix_(at, at)] += part.wins()
    assert_array_equal(total, whole.wins())


@settings(max_examples=40, deadline=None)
@given(judgments(connected=False), st.sampled_from(["half", "davidson", "rao_kupper"]))
def test_any_judgments_give_finite_ratings_or_one_clear_refusal(d, ties):
    try:
        result = fit(d, ties=ties)
    except PreferenceError as error:
        assert "\n" not in str(error)
        return
    assert np.isfinite(result.ratings).all() and np.isfinite(result.se).all()
    assert abs(result.ratings.mean()) < 1e-12
    assert np.abs(result.ratings).max() < 60


def test_chunks_and_codes_change_no_digit(monkeypatch):
    rng = np.random.default_rng(0)
    n = 5000
    a = rng.integers(0, 6, n)
    b = (a + rng.integers(1, 6, n)) % 6
    verdict = rng.integers(0, 4, n).astype(np.uint8)
    weight = rng.random(n)
    one = fit_bradley_terry(a, b, verdict, weight=weight)
    monkeypatch.setattr("preference.counts._CHUNK", 97)
    monkeypatch.setattr("preference.counts._DENSE_BINS", 0)
    names = np.array(["a", "b", "tie", "both_bad"])[verdict]
    two = fit_bradley_terry(a.astype(np.uint8), b.astype(np.int16), list(names), weight=weight)
    assert_array_equal(one.ratings, two.ratings)
    monkeypatch.setattr("preference.counts._DENSE_BINS", -(10**9))
    three = fit_bradley_terry(a.astype(str), b.astype(str), verdict, weight=weight)
    assert three.ratings == pytest.approx(one.ratings, abs=1e-12)

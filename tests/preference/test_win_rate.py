"""Win rates and their intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preference import InputError, wilson, win_rates


def test_wilsons_interval_has_newcombes_published_digits():
    """Newcombe 1998, Statistics in Medicine 17:857-872, table I: method 3."""
    for wins, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        got = wilson(wins / n, n, 1.959964)
        assert (float(got[0]), float(got[1])) == (
            pytest.approx(low, abs=5e-5),
            pytest.approx(high, abs=5e-5),
        )


def test_a_tie_is_half_a_win_and_both_bad_is_apart():
    r = win_rates(["x"] * 5, ["y"] * 5, ["a", "a", "tie", "b", "both_bad"])
    assert r.value[0] == pytest.approx(2.5 / 4)
    assert list(r.n) == [4, 4]
    assert list(r.both_bad) == [1, 1]
    assert r.both_bad_rate[0] == pytest.approx(1 / 5)
    assert r.pair("x", "y").value == pytest.approx(1 - r.pair("y", "x").value)


def test_an_item_with_only_both_bad_has_no_win_rate():
    r = win_rates(["x", "x"], ["y", "z"], ["a", "both_bad"])
    assert np.isnan(r.value[2])
    assert np.isnan(r.ci_low[2])
    assert np.isnan(r.matrix()[0, 2])
    assert r.matrix()[0, 1] == 1


def test_pairs_that_never_met_are_refused_by_name():
    r = win_rates(["x", "y"], ["y", "z"], ["a", "a"])
    with pytest.raises(InputError, match="'x' and 'z' were never compared"):
        r.pair("x", "z")


def test_annotators_who_disagree_widen_the_interval():
    who = np.repeat(np.arange(20), 50)
    verdict = np.where(who % 2 == 0, "a", "b")
    alone = win_rates(["x"] * 1000, ["y"] * 1000, verdict)
    robust = win_rates(["x"] * 1000, ["y"] * 1000, verdict, cluster=who)
    assert alone.ci_high[0] - alone.ci_low[0] < 0.07
    assert robust.ci_high[0] - robust.ci_low[0] > 0.4
    assert robust.effective_n[0] == pytest.approx(19, abs=1)


def test_one_judgment_an_annotator_is_like_no_clusters():
    rng = np.random.default_rng(1)
    verdict = rng.integers(0, 2, 500).astype(np.uint8)
    alone = win_rates(["x"] * 500, ["y"] * 500, verdict)
    robust = win_rates(["x"] * 500, ["y"] * 500, verdict, cluster=np.arange(500))
    assert robust.ci_low[0] == pytest.approx(alone.ci_low[0], abs=1e-3)


def test_unanimous_annotators_count_as_people_not_as_judgments():
    who = np.repeat(np.arange(8), 100)
    r = win_rates(["x"] * 800, ["y"] * 800, ["a"] * 800, cluster=who)
    assert r.ci_low[0] < 0.7
    assert r.ci_high[0] == 1


def test_two_ways_of_clustering_are_never_narrower_than_either():
    rng = np.random.default_rng(2)
    who, prompt = rng.integers(0, 12, 600), rng.integers(0, 9, 600)
    lean = rng.normal(0, 1, 12)[who] + rng.normal(0, 1, 9)[prompt]
    verdict = (rng.random(600) > 1 / (1 + np.exp(-lean))).astype(np.uint8)
    columns = (["x"] * 600, ["y"] * 600, verdict)
    both = win_rates(*columns, cluster=[who, prompt])
    for one in (who, prompt):
        assert both.se[0] >= win_rates(*columns, cluster=one).se[0] - 1e-12


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_order_of_rows_and_sides_change_no_digit(seed):
    rng = np.random.default_rng(seed)
    n = 50
    a = rng.integers(0, 4, n)
    b = (a + rng.integers(1, 4, n)) % 4
    v = rng.integers(0, 4, n).astype(np.uint8)
    who = rng.integers(0, 5, n)
    order = rng.permutation(n)
    one = win_rates(a, b, v, cluster=who)
    swapped = np.array([1, 0, 2, 3], dtype=np.uint8)[v]
    two = win_rates(b[order], a[order], swapped[order], cluster=who[order])
    for name in ("value", "ci_low", "ci_high", "n"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        np.testing.assert_array_equal(getattr(one.pairs, name), getattr(two.pairs, name))


def test_intervals_cover_with_forty_annotators_of_different_taste():
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(400):
        taste = 1 / (1 + np.exp(-rng.normal(0.3, 0.8, 40)))
        who = np.repeat(np.arange(40), 15)
        v = (rng.random(600) > taste[who]).astype(np.uint8)
        r = win_rates(["x"] * 600, ["y"] * 600, v, cluster=who)
        hits += r.ci_low[0] < 0.5636 < r.ci_high[0]  # mean of the logistic over N(0.3, 0.8)
    assert 0.92 < hits / 400 < 0.98

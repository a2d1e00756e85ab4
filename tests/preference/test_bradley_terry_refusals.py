"""What is refused, and with which words."""

import numpy as np
import pandas as pd
import pytest

from preference import (
    ConfoundedError,
    DisconnectedError,
    InputError,
    PreferenceError,
    SeparationError,
    UnidentifiedError,
    fit_bradley_terry,
)

GOOD = (["x", "y", "x"], ["y", "x", "y"], ["a", "a", "tie"])


@pytest.mark.parametrize(
    ("columns", "options", "words"),
    [
        ((["x", "y"], ["y", "x"], ["a", "c"]), {}, "verdict 'c' at index 1 is unknown"),
        ((["x", "y"], ["y", "x"], ["a", None]), {}, "verdict is missing at index 1"),
        ((["x", "y"], ["y", "x"], ["a", "skip"]), {}, "verdict 'skip' at index 1"),
        ((["x", "y"], ["y", "x"], np.array([0, 4])), {}, "verdict 4 at index 1 is unknown"),
        ((["x", "y"], ["y", "x"], np.array([0, -1])), {}, "verdict -1 at index 1 is unknown"),
        ((["x", "y"], ["y", "x"], np.array([0, np.nan])), {}, "verdict is missing at index 1"),
        ((["x", "y"], ["y", "y"], ["a", "a"]), {}, "item 'y' is compared with itself at index 1"),
        ((["x", None], ["y", "x"], ["a", "a"]), {}, "item_a is missing at index 1"),
        ((np.array([1.0, np.nan]), [1, 2], ["a", "a"]), {}, "item_a is missing (NaN) at index 1"),
        ((["x", 1], ["y", "x"], ["a", "a"]), {}, "items mix strings and integers (1)"),
        (([True, False], ["y", "x"], ["a", "a"]), {}, "item_a True at index 0"),
        (([], [], []), {}, "no judgments"),
        ((["x"], ["y", "z"], ["a"]), {}, "item_b has 2 values where verdict has 1"),
        (GOOD, {"weight": [1, -2, 1]}, "weight -2 at index 1"),
        (GOOD, {"weight": [1, np.nan, 1]}, "weight nan at index 1"),
        (GOOD, {"weight": [0, 0, 0]}, "every weight is zero"),
        (GOOD, {"weight": [1, 1]}, "weight has 2 values where verdict has 3"),
        (GOOD, {"weight": [1, "much", 1]}, "weight 'much' at index 1 is not a number"),
        (GOOD, {"placement": [1, 2, 0]}, "placement 2 at index 1 is unknown"),
        (GOOD, {"covariates": [0.1, np.nan, 0]}, "covariate covariate_0 is nan at index 1"),
        (GOOD, {"covariates": {"length": [1, 2]}}, "covariate length has 2 values"),
        (GOOD, {"cluster": ["k", None, "k"]}, "cluster is missing at index 1"),
        (GOOD, {"cluster": ["k", "k", "k"]}, "cluster 0 has a single label"),
        (GOOD, {"cluster": [[1, 2, 3], [1, 2, 3], [1, 2, 3]]}, "one or two arrays"),
        (GOOD, {"ties": "quarter"}, "ties 'quarter' is unknown"),
        (GOOD, {"ci": 95}, "ci 95 must lie between 0 and 1"),
        (GOOD, {"prior": -1.0}, "prior -1.0 must be a precision above zero"),
        (GOOD, {"prior": "uniform"}, "prior 'uniform' is unknown"),
        (GOOD, {"prior": "firth", "ties": "rao_kupper"}, "available for ties half and davidson"),
        (GOOD, {"variance": "bootstrap"}, "variance 'bootstrap' is unknown"),
        (("xyx", ["y", "x", "y"], ["a", "a", "b"]), {}, "item_a must be a column of values"),
    ],
)
def test_wrong_values_are_refused_with_index_and_value(columns, options, words):
    with pytest.raises(InputError) as caught:
        fit_bradley_terry(*columns, **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_an_undefeated_item_is_refused_by_name():
    with pytest.raises(SeparationError, match="never lost or tied: best") as caught:
        fit_bradley_terry(["best", "best", "x", "y"], ["x", "y", "y", "x"], ["a"] * 4)
    assert caught.value.undefeated == ("best",)
    assert caught.value.components == (("x", "y"), ("best",))


def test_five_to_nothing_is_refused_not_answered():
    with pytest.raises(SeparationError, match=r"never lost or tied: x; never won or tied: y"):
        fit_bradley_terry(["x"] * 5, ["y"] * 5, ["a"] * 5)


def test_disconnected_items_are_refused_with_their_groups():
    with pytest.raises(DisconnectedError, match=r"2 groups .*: p, q; x, y") as caught:
        fit_bradley_terry(["x", "y", "p", "q"], ["y", "x", "q", "p"], ["a"] * 4)
    assert caught.value.components == (("p", "q"), ("x", "y"))


def test_both_bad_connects_nothing():
    with pytest.raises(DisconnectedError):
        fit_bradley_terry(["x", "y", "x"], ["y", "x", "z"], ["a", "a", "both_bad"])


def test_one_way_groups_without_an_undefeated_item_are_refused():
    a = ["w1", "w2", "l1", "l2", "w1"]
    b = ["w2", "w1", "l2", "l1", "l1"]
    with pytest.raises(SeparationError, match="wins run one way only") as caught:
        fit_bradley_terry(a, b, ["a"] * 5)
    assert set(caught.value.components) == {("w1", "w2"), ("l1", "l2")}


def test_ties_that_join_only_neighbours_are_refused_though_the_graph_is_connected():
    """A beats C, A ties B, B ties C: strongly connected, yet nu and the ratings run away."""
    with pytest.raises(SeparationError, match="infinite values of the tie parameter"):
        fit_bradley_terry(["A", "A", "B"], ["C", "B", "C"], ["a", "tie", "tie"])


def test_a_first_place_that_always_wins_is_refused():
    with pytest.raises(SeparationError, match="infinite values of placement"):
        fit_bradley_terry(["x", "y"] * 3, ["y", "x"] * 3, ["a"] * 6, placement=[1] * 6)


def test_a_placement_that_goes_with_the_item_is_refused():
    with pytest.raises(ConfoundedError, match="placement cannot be told apart"):
        fit_bradley_terry(["x"] * 4, ["y"] * 4, ["a", "b", "a", "a"], placement=[1] * 4)


def test_only_ties_are_refused_with_the_remedy():
    with pytest.raises(UnidentifiedError, match="ties='half'"):
        fit_bradley_terry(["x", "y"], ["y", "x"], ["tie", "tie"])
    equal = fit_bradley_terry(["x", "y"], ["y", "x"], ["tie", "tie"], ties="half")
    assert list(equal.ratings) == [0, 0]


def test_only_both_bad_is_refused():
    with pytest.raises(UnidentifiedError, match="both_bad"):
        fit_bradley_terry(["x", "y"], ["y", "x"], ["both_bad"] * 2)


@pytest.mark.parametrize("prior", ["firth", "ridge", 0.1])
def test_a_prior_answers_undefeated_items_finitely_and_flags_them(prior):
    fit = fit_bradley_terry(["x"] * 5, ["y"] * 5, ["a"] * 5, prior=prior)
    gap = fit.difference("x", "y")
    assert 0.5 < gap.value < 6
    assert gap.ci_low < gap.value < gap.ci_high
    assert gap.se > 0.5, "five judgments cannot settle it"
    assert fit.flags["x"] == ("undefeated",)
    assert fit.flags["y"] == ("winless",)
    assert fit.prior != "none"


def test_every_error_has_the_rooms_root_and_a_standard_cousin():
    import preference.errors as errors

    kinds = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, Exception)]
    for kind in kinds:
        assert issubclass(kind, PreferenceError)
        assert kind is PreferenceError or issubclass(kind, (ValueError, ArithmeticError))


def test_strings_integers_categoricals_and_codes_are_the_same_judgments():
    a, b, v = ["x", "y", "x", "z"], ["y", "x", "z", "x"], ["a", "a", "tie", "b"]
    codes = np.array([0, 0, 2, 1], dtype=np.uint8)
    base = fit_bradley_terry(a, b, v)
    for column in (np.array, pd.Series, lambda x: pd.Series(pd.Categorical(x)), tuple):
        same = fit_bradley_terry(column(a), column(b), column(v))
        assert same.items == ("x", "y", "z")
        assert list(same.ratings) == list(base.ratings)
    place = {"x": 10, "y": 700_000, "z": 800_000}
    numbers = fit_bradley_terry([place[i] for i in a], [place[i] for i in b], codes)
    assert numbers.items == (10, 700_000, 800_000)
    assert list(numbers.ratings) == list(base.ratings)


def test_the_fit_is_frozen_and_sums_to_zero():
    fit = fit_bradley_terry(*GOOD)
    with pytest.raises(ValueError):
        fit.ratings[0] = 1.0
    with pytest.raises(AttributeError):
        fit.items = ()
    assert fit.covariance.shape == (2, 2)
    assert abs(fit.covariance.sum(axis=0)).max() < 1e-12
    assert list(fit.n) == [3, 3]
    assert list(fit.wins) == [1, 1]
    assert list(fit.ties) == [1, 1]


def test_both_bad_is_counted_apart_and_moves_nothing():
    with_bad = fit_bradley_terry([*GOOD[0], "x"], [*GOOD[1], "y"], [*GOOD[2], "both_bad"])
    without = fit_bradley_terry(*GOOD)
    assert list(with_bad.ratings) == list(without.ratings)
    assert list(with_bad.se) == list(without.se)
    assert list(with_bad.both_bad) == [1, 1]
    assert (with_bad.n_judgments, without.n_judgments) == (4, 3)


def test_ten_million_judgments_are_counted_in_little_memory():
    import tracemalloc

    n = 10_000_000
    rng = np.random.default_rng(0)
    a = rng.integers(0, 100, n, dtype=np.uint8)
    b = ((a + rng.integers(1, 100, n, dtype=np.uint8)) % 100).astype(np.uint8)
    verdict = rng.integers(0, 4, n, dtype=np.uint8)
    tracemalloc.start()
    fit = fit_bradley_terry(a, b, verdict)
    peak = tracemalloc.get_traced_memory()[1]
    assert fit.n.sum() + fit.both_bad.sum() == 2 * n
    assert peak < 100e6

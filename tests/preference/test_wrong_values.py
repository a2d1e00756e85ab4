"""Every public function against values that mean nothing: one clear line, or a right answer."""

import warnings

import numpy as np
import pandas as pd
import pytest

from preference import (
    ConfoundedError,
    InputError,
    annotator_table,
    bootstrap,
    cohen_kappa,
    drift,
    enough,
    fit_bradley_terry,
    fit_crowd,
    fleiss_kappa,
    gwet_ac1,
    krippendorff_alpha,
    length_controlled_win_rate,
    next_pairs,
    win_rate_sequence,
    win_rates,
)

A, B = ["x", "y", "x", "z", "y", "x"], ["y", "x", "z", "x", "z", "y"]
V = ["a", "a", "tie", "b", "b", "b"]
nan, NA = np.nan, pd.NA


def int64(*values):
    return pd.array(list(values), dtype="Int64")


def fit(*columns, **options):
    return fit_bradley_terry(*(columns or (A, B, V)), **options)


def two(verdict=("a", "b"), **options):
    return fit_bradley_terry(["x", "y"], ["y", "x"], verdict, **options)


TABLES = [[1, 2, 1], [1, 2, 2]]
LEVELS = {
    "fit": lambda ci: fit(ci=ci),
    "win_rates": lambda ci: win_rates(A, B, V, ci=ci),
    "alpha": lambda ci: krippendorff_alpha(TABLES, ci=ci),
    "kappa": lambda ci: cohen_kappa(*TABLES, ci=ci),
    "fleiss": lambda ci: fleiss_kappa(TABLES, ci=ci),
    "ac1": lambda ci: gwet_ac1(TABLES, ci=ci),
    "sequence": lambda ci: win_rate_sequence(V, ci=ci),
    "length": lambda ci: length_controlled_win_rate(V, range(6), [3, 2, 2, 5, 1, 1], ci=ci),
    "bootstrap": lambda ci: bootstrap(A, B, V, replicates=3, ci=ci),
    "crowd": lambda ci: fit_crowd(A, B, V, [1] * 6, ci=ci),
    "annotators": lambda ci: annotator_table(A, B, V, [1] * 6, ci=ci),
}


@pytest.mark.parametrize("ci", ["x", None, 0, 1, nan, True, [0.9], np.array([0.9, 0.95]), 95])
@pytest.mark.parametrize("name", LEVELS)
def test_a_level_that_is_none_is_refused_everywhere(name, ci):
    with pytest.raises(InputError, match="must lie between 0 and 1") as caught:
        LEVELS[name](ci)
    assert str(caught.value).startswith("ci ")


FITS = [
    (lambda: fit(int64(1, 2, None), [2, 1, 1], ["a", "a", "b"]), "item_a is missing at index 2"),
    (lambda: fit([2, 1, 1], int64(1, 2, None), ["a", "a", "b"]), "item_b is missing at index 2"),
    (lambda: fit(pd.array(["x", NA], dtype="string"), ["y", "x"], ["a", "b"]), "item_a is missing"),
    (lambda: fit(pd.Categorical(["x", None]), ["y", "x"], ["a", "b"]), "item_a is missing at ind"),
    (lambda: fit(np.array([True, False]), [1, 2], ["a", "b"]), "item_a has dtype bool"),
    (lambda: fit(np.array([1.0, 2.0]), [2, 1], ["a", "b"]), "item_a has dtype float64"),
    (lambda: fit(["x", 1], [1, "x"], ["a", "b"]), "items mix strings and integers (1)"),
    (lambda: fit([["x"], ["y"]], ["y", "x"], ["a", "b"]), "item_a ['x'] at index 0"),
    (lambda: fit(["x", {}], ["y", "x"], ["a", "b"]), "item_a {} at index 1"),
    (lambda: fit({"x", "y"}, ["y", "x"], ["a", "b"]), "must be a column of values, not set"),
    (lambda: fit({"x": 1}, ["y"], ["a"]), "must be a column of values, not dict"),
    (lambda: fit(pd.DataFrame({"a": ["x"]}), ["y"], ["a"]), "must be a column of values, not Data"),
    (lambda: fit(np.array([["x"], ["y"]]), ["y", "x"], ["a", "b"]), "one dimension, not shape"),
    (lambda: fit(None, ["y"], ["a"]), "item_a must be a column of values, not NoneType"),
    (lambda: fit(["x"], ["x"], ["a"]), "item 'x' is compared with itself at index 0"),
    (lambda: fit(np.array([]), np.array([]), np.array([])), "no judgments"),
    (lambda: fit([], [], ["a"]), "item_a has 0 values where verdict has 1"),
    (lambda: two(int64(0, None)), "verdict is missing at index 1"),
    (lambda: two(["a", NA]), "verdict is missing at index 1"),
    (lambda: two(pd.array(["a", NA], dtype="string")), "verdict is missing at index 1"),
    (lambda: two(pd.Categorical(["a", None])), "verdict is missing at index 1"),
    (lambda: two([["a"], ["b"]]), "verdict ['a'] at index 0"),
    (lambda: two(["a", 1]), "verdict 1 at index 1 is unknown"),
    (lambda: two([True, False]), "verdict True at index 0 is unknown"),
    (lambda: two(np.array([[0], [1]])), "one dimension"),
    (lambda: two("ab"), "verdict must be a column"),
    (lambda: fit(weight=[1, 1, np.inf, 1, 1, 1]), "weight inf at index 2"),
    (lambda: fit(weight=int64(1, 1, 1, 1, 1, None)), "weight nan at index 5"),
    (lambda: fit(weight=[1e308] * 6), "weight 1e+308 at index 0 is beyond 1e-09 to 1e+09"),
    (lambda: fit(weight=[1e-300] * 6), "multiply all weights"),
    (lambda: fit(weight=2), "weight must have one dimension"),
    (lambda: fit(weight=np.ones((6, 1))), "weight must have one dimension"),
    (lambda: fit(weight=np.ones(6) * 1j), "weight has dtype complex128"),
    (lambda: fit(weight=pd.to_datetime(["2020"] * 6)), "weight has dtype datetime64"),
    (lambda: fit(placement=["left"] * 6), "placement 'left' at index 0"),
    (lambda: fit(placement=[True, False] * 3), "placement holds True and False: use +1"),
    (lambda: fit(placement=int64(1, -1, None, 1, 1, 1)), "placement nan at index 2"),
    (lambda: fit(placement=[1]), "placement has 1 values where verdict has 6"),
    (lambda: fit(cluster=[1.0, 2.0, nan] * 2), "cluster is missing at index 2"),
    (lambda: fit(cluster=[1, 2]), "cluster 0 has 2 values where verdict has 6"),
    (lambda: fit(cluster=[]), "cluster 0 has 0 values"),
    (lambda: fit(cluster=5), "cluster must be a column"),
    (lambda: fit(cluster=[{}] * 6), "cluster {} at index 0"),
    (lambda: fit(cluster=np.ones((6, 2))), "cluster takes one or two arrays of labels, not 6"),
    (lambda: fit(prior=-1), "prior -1 must be a precision above zero"),
    (lambda: fit(prior=nan), "prior nan must be a precision above zero"),
    (lambda: fit(prior=[1]), "prior [1] must be a precision above zero"),
    (lambda: fit(prior=True), "prior True must be a precision above zero"),
    (lambda: fit(ties=None), "ties None is unknown"),
    (lambda: fit(variance=["model"]), "variance ['model'] is unknown"),
    (lambda: fit(covariates="length"), "covariates must hold numbers"),
    (lambda: fit(covariates=3.0), "covariates must have shape (n,) or (n, m)"),
    (lambda: fit(covariates={"persona": ["k", "b"] * 3}), "with ratings_by"),
    (lambda: fit(covariates={"u": [1.0] * 6}), "covariate u is 1 throughout"),
    (lambda: fit(covariates={"u": np.arange(6) * 1e9}), "covariate u reaches 5e+09: divide it by"),
    (lambda: fit(covariates={"placement": range(6)}), "has the name of another effect"),
    (lambda: fit(covariates=pd.DataFrame(np.eye(6)[:, :2], columns=["u", "u"])), "share a name"),
    (lambda: fit(covariates=int64(1, 2, None, 3, 4, 5)), "covariate covariate_0 is nan at index 2"),
]
OTHERS = [
    (lambda: win_rates(A, B, V, weight=[-1] * 6), "weight -1 at index 0"),
    (lambda: win_rates(A, B, V, cluster=[1, None] * 3), "cluster is missing at index 1"),
    (lambda: win_rates(["x"], ["x"], ["a"]), "compared with itself"),
    (lambda: krippendorff_alpha(TABLES, None), "level None is unknown"),
    (lambda: krippendorff_alpha([]), "two dimensions"),
    (lambda: krippendorff_alpha("abc"), "two dimensions"),
    (lambda: krippendorff_alpha([[-1, 2], [1, 2]], "ratio"), "rating -1 at level ratio"),
    (lambda: krippendorff_alpha(np.array([[{}, {}]] * 2)), "not lists or dictionaries"),
    (lambda: krippendorff_alpha([["a", 1]] * 2, "interval"), "nominal only"),
    (lambda: fleiss_kappa([1, 2]), "two dimensions"),
    (lambda: fleiss_kappa([[1, 2], [1]]), "every row needs the same length"),
    (lambda: cohen_kappa(None, [1]), "a must be a column of values, not NoneType"),
    (lambda: cohen_kappa("ab", "ab"), "a must be a column of values, not str"),
    (lambda: cohen_kappa([[1], [2]], [[1], [1]]), "a must have one dimension"),
    (lambda: cohen_kappa([{}], [{}]), "not lists or dictionaries"),
    (lambda: cohen_kappa([1, 2], [1, 1], weights=[["a", "b"]] * 2), "matrix of numbers"),
    (lambda: cohen_kappa([1, 2], [1, 1], weights=[[1, nan], [0, 1]]), "ones on the diagonal"),
    (lambda: cohen_kappa([1, 2], [1, 1], weights=[[0, 1], [1, 0]]), "ones on the diagonal"),
    (lambda: cohen_kappa([1, np.inf], [1, 1], weights="linear"), "infinite"),
    (lambda: next_pairs(None), "fit must be what fit_bradley_terry gave back, not NoneType"),
    (lambda: next_pairs(fit(), n="3"), "n '3' must be a whole number"),
    (lambda: next_pairs(fit(), n=1.5), "n 1.5 must be a whole number"),
    (lambda: next_pairs(fit(), ["xy"]), "candidate 'xy' at index 0 must be a pair"),
    (lambda: next_pairs(fit(), [("x",)]), "must be a pair of items"),
    (lambda: next_pairs(fit(), [("x", "x")]), "compares an item with itself"),
    (lambda: next_pairs(fit(), [(["x"], "y")]), "item ['x'] is not in this fit"),
    (lambda: next_pairs(fit(), 5), "candidates must be a column"),
    (lambda: next_pairs(fit(), starved=nan), "starved nan must be a number 0 or more"),
    (lambda: next_pairs(fit(), question=("x", "x")), "is about one item: name two"),
    (lambda: next_pairs(fit(), question=np.array(["x", "y"])), "is unknown"),
    (lambda: enough(None), "there is nothing to say yet"),
    (lambda: enough(fit(), ("x", "x")), "is about one item"),
    (lambda: enough(fit(), margin=-1), "margin -1 must be a number 0 or more"),
    (lambda: enough(fit(), share=2), "share 2 must be a number above 0, at most 1"),
    (lambda: enough(fit(), "ratings", half_width=0), "half_width 0 must be a number above 0"),
    (lambda: win_rate_sequence("ab"), "verdict must be a column"),
    (lambda: win_rate_sequence(["a"], challenger=[NA]), "challenger <NA> at index 0"),
    (lambda: win_rate_sequence(["a"], challenger=1), "challenger must be a column"),
    (lambda: win_rate_sequence(V, cluster=[[1, 2, 3] * 2] * 2), "one array of labels"),
    (lambda: length_controlled_win_rate(["a"], ["x"], [1]), "length_a 'x' at index 0"),
    (lambda: length_controlled_win_rate(["a", "b"], 1, 2), "length_a must have one dimension"),
    (lambda: length_controlled_win_rate(["a"], int64(None), [1]), "length is missing at index 0"),
    (lambda: drift(A, B, V, later=[nan] * 6), "later nan at index 0"),
    (lambda: drift(A, B, V, later=True), "later must be a column"),
    (lambda: bootstrap(A, B, V, replicates=2.5), "replicates 2.5 must be a whole number"),
    (lambda: bootstrap(A, B, V, ties=None), "ties None is unknown"),
    (lambda: bootstrap(A, B, V, seed=-1), "seed -1 must be a whole number"),
    (lambda: annotator_table(A, B, V, [1] * 6, seconds=["x"] * 6), "seconds 'x' at index 0"),
    (lambda: annotator_table(A, B, V, [1] * 6, seconds=[1]), "seconds has 1 values"),
    (lambda: annotator_table(A, B, V, [1] * 6, gold=[["a"]] * 6), "gold ['a'] at index 0"),
    (lambda: annotator_table(A, B, V, [[1] * 6] * 2), "one array of labels"),
    (lambda: fit_crowd(A, B, V, [1, None] * 3), "is missing at index 1"),
]


@pytest.mark.parametrize(("call", "words"), FITS + OTHERS)
def test_values_that_mean_nothing_are_refused_in_one_line(call, words):
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with pytest.raises(InputError) as caught:
            call()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_covariates_that_say_the_same_are_refused_by_name():
    rng = np.random.default_rng(0)
    u, strength = rng.normal(size=60), {"x": 1.0, "y": 2.0, "z": 5.0}
    columns = (A * 10, B * 10, V * 10)
    with pytest.raises(ConfoundedError, match=r"effects of u, v cannot be told apart: .*leave one"):
        fit(*columns, covariates={"u": u, "v": 2 * u})
    own = [strength[a] - strength[b] for a, b in zip(*columns[:2], strict=True)]
    with pytest.raises(ConfoundedError, match=r"effect of q .* the items' .* fit_item_covariates"):
        fit(*columns, covariates={"u": u, "q": own})
    both = {"u": u, "q": u + own}
    with pytest.raises(ConfoundedError, match=r"effects of u, q .*\(and of the items' ratings\)"):
        fit(*columns, covariates=both)
    assert np.isfinite(fit(*columns, covariates=both, prior="ridge").effects["q"].value)


def test_columns_of_other_kinds_are_read_as_what_they_mean():
    base = fit(cluster=[1, 2, 3] * 2)
    for cluster in (pd.DataFrame({"who": [1, 2, 3] * 2}), {"who": [1, 2, 3] * 2}):
        assert list(fit(cluster=cluster).se) == list(base.se)
    assert list(fit(weight=[True] * 6).ratings) == list(fit().ratings)
    texts = [["9", "10", "10"], ["9", "10", "9"]]
    numbers = [[9, 10, 10], [9, 10, 9]]
    for level in ("ordinal", "interval", "ratio"):
        of_texts = krippendorff_alpha([[*texts[0], "2"], [*texts[1], "2"]], level)
        of_numbers = krippendorff_alpha([[*numbers[0], 2], [*numbers[1], 2]], level)
        assert of_texts.value == of_numbers.value
    missing = pd.DataFrame({"r": int64(1, None, 2, 1), "s": int64(1, 2, 2, 2)})
    assert cohen_kappa(missing["r"], missing["s"]).units == 3
    assert krippendorff_alpha(missing.T).units == 3
    assert set(fit(A * 5, B * 5, V * 5, covariates={1: range(30)}).effects) >= {"1"}

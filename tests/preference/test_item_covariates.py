"""Ratings explained by properties: a published table, direct optimisation, truth, invariants."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import approx_fprime, minimize
from simulated import draw
from worked_examples import flatlizards, springall

from preference import (
    ConfoundedError,
    InputError,
    SeparationError,
    fit_bradley_terry,
    fit_item_covariates,
)

PRICE = {0: 1.0, 1: 2.0, 2: 0.5, 3: 4.0, 4: 3.0, 5: 2.5}
SIZE = {0: 3.0, 1: 1.0, 2: 2.0, 3: 5.0, 4: 4.0, 5: 0.0}
BOTH = {i: {"price": PRICE[i], "size": SIZE[i]} for i in PRICE}
SWAP = np.array([1, 0, 2, 3], dtype=np.uint8)


def drawn(n, seed, **options):
    truth = np.array([0.6 * PRICE[i] - 0.3 * SIZE[i] for i in range(6)])
    d = draw(truth, n, seed, **options)
    return d, truth


def test_flat_lizards_have_the_published_coefficients_errors_and_deviance():
    """Whiting and others 2006, table 1, with the digits that BradleyTerry2 prints for it.

    Two lizards lack measures and have abilities of their own there: lizard099 by a column of its
    own; lizard096 won all its contests, so its ability is infinite and its contests say nothing.
    """
    contests, measures = flatlizards()
    contests = [pair for pair in contests if "lizard096" not in pair]
    for name, own in measures.items():
        own["lizard099"] = float(name == "lizard099")
        if name in ("lizard096", "lizard099"):
            own.update(dict.fromkeys(("throat_pc1", "throat_pc3", "head_length", "svl"), 0.0))
    won, lost = zip(*contests, strict=True)
    fit = fit_item_covariates(won, lost, ["a"] * len(won), measures, variance="model")
    for name, value, se in (
        ("throat_pc1", -0.0926, 0.0291),
        ("throat_pc3", 0.3421, 0.1109),
        ("head_length", -1.1252, 0.4944),
        ("svl", 0.1883, 0.0985),
        ("lizard099", 0.8358, 1.1591),
    ):
        got = fit.coefficients[name]
        assert (got.value, got.se) == (pytest.approx(value, abs=5e-5), pytest.approx(se, abs=5e-5))
    assert -2 * fit.log_likelihood == pytest.approx(95.361, abs=5e-4)
    assert "never compared with each other" in fit.lack_of_fit.explanation


def direct(a, b, verdict, weight, x, ties):
    """Maximum and robust errors by quasi-Newton and finite differences, with none of our code."""
    gaps = np.array([np.subtract(x[i], x[j]) for i, j in zip(a, b, strict=True)], dtype=float)
    code = np.array([["a", "b", "tie"].index(v) for v in verdict])
    weight = np.asarray(weight, dtype=float)

    def each(z):
        eta, tie = gaps @ z[:-1], np.exp(z[-1])
        p, q = np.exp(eta / 2), np.exp(-eta / 2)
        if ties == "davidson":
            share = np.stack([p, q, np.full_like(p, tie)]) / (p + q + tie)
        else:
            win, lose = p / (p + (1 + tie) * q), q / ((1 + tie) * p + q)
            share = np.stack([win, lose, 1 - win - lose])
        return np.log(share[code, np.arange(len(code))])

    unit = np.append(np.abs(gaps).max(axis=0), 1.0)  # or the first step goes far astray
    best = minimize(
        lambda z: -float(weight @ each(z / unit)) / weight.sum(),
        np.zeros(gaps.shape[1] + 1),
        method="BFGS",
        options={"gtol": 1e-9},
    )
    z = best.x / unit
    scores = np.stack([(each(z + h) - each(z - h)) / 2e-5 for h in 1e-5 * np.eye(len(z))], axis=1)
    slope = lambda y: approx_fprime(y, lambda t: -float(weight @ each(t)), 1e-6)  # noqa: E731
    hessian = np.array([(slope(z + h) - slope(z - h)) / 2e-4 for h in 1e-4 * np.eye(len(z))])
    bread = np.linalg.inv((hessian + hessian.T) / 2)
    return z, float(weight @ each(z)), bread, scores


@pytest.mark.parametrize("ties", ["davidson", "rao_kupper"])
def test_springalls_response_surface_equals_a_direct_optimisation(ties):
    (a, b, verdict, weight), x = springall()
    rows = {i: list(own.values()) for i, own in x.items()}
    z, best, bread, scores = direct(a, b, verdict, weight, rows, ties)
    fit = fit_item_covariates(a, b, verdict, x, weight=weight, ties=ties)
    assert_allclose([e.value for e in fit.coefficients.values()], z[:-1], atol=2e-5)
    assert fit.tie_parameter == pytest.approx(np.exp(z[-1]) + (ties == "rao_kupper"), abs=2e-5)
    assert fit.log_likelihood == pytest.approx(best, abs=1e-6)
    meat = (scores * np.asarray(weight, dtype=float)[:, None]).T @ scores
    assert_allclose(
        fit.coefficient_covariance, (bread @ meat @ bread)[:-1, :-1], rtol=2e-3, atol=1e-7
    )
    free = fit_bradley_terry(a, b, verdict, weight=weight, ties=ties)
    lack = fit.lack_of_fit
    assert lack.degrees_of_freedom == 9 - 1 - 5
    assert lack.statistic == pytest.approx(2 * (free.log_likelihood - best), abs=1e-5)
    assert lack.explained > 0.95, "flavour and gel say nearly all"


def test_clustered_errors_equal_summed_scores_by_hand():
    d, _ = drawn(900, 3, annotators=30, spread=0.7)
    names = np.array(["a", "b", "tie"])[d["verdict"]]
    rows = {i: [PRICE[i], SIZE[i]] for i in PRICE}
    _, _, bread, scores = direct(d["a"], d["b"], names, np.ones(900), rows, "davidson")
    prompt = np.random.default_rng(0).integers(0, 25, 900)

    def meat(groups):
        sums = np.stack([np.bincount(groups, s) for s in scores.T], axis=1)
        sums = sums[np.bincount(groups) > 0]
        return sums.T @ sums * len(sums) / (len(sums) - 1)

    who = d["annotator"]
    columns = (d["a"], d["b"], d["verdict"], BOTH)
    one = fit_item_covariates(*columns, cluster=who)
    assert_allclose(one.coefficient_covariance, (bread @ meat(who) @ bread)[:-1, :-1], rtol=2e-3)
    assert (one.clusters, one.degrees_of_freedom) == ((30,), 29)
    two = fit_item_covariates(*columns, cluster=[who, prompt])
    by_hand = bread @ (meat(who) + meat(prompt) - meat(who * 25 + prompt)) @ bread
    want = np.maximum(np.diag(by_hand)[:2], np.diag(one.coefficient_covariance))
    assert (np.diag(two.coefficient_covariance) >= want * 0.998).all()
    assert two.clusters == (30, 25)


def test_truth_comes_back_with_ties_and_placement():
    d, truth = drawn(60_000, 1, nu=0.7, placement=0.3)
    fit = fit_item_covariates(d["a"], d["b"], d["verdict"], BOTH, placement=d["placement"])
    for name, value in (("price", 0.6), ("size", -0.3)):
        got = fit.coefficients[name]
        assert abs(got.value - value) < 3.5 * got.se < 0.05
        assert got.ci_low < got.value < got.ci_high
    assert fit.tie_parameter == pytest.approx(0.7, abs=0.03)
    assert fit.placement_effect == pytest.approx(0.3, abs=0.04)
    assert fit.ratings == pytest.approx(truth - truth.mean(), abs=0.05)
    assert fit.lack_of_fit.p_value > 0.001
    assert fit.lack_of_fit.explained == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("clusters", [0, 40])
def test_lack_of_fit_has_its_size_and_finds_what_the_properties_miss(clusters):
    low = 0
    for seed in range(80):
        d, _ = drawn(1200, 100 + seed, annotators=clusters, spread=0.6 if clusters else 0.0)
        lack = fit_item_covariates(
            d["a"], d["b"], d["verdict"], BOTH, cluster=d["annotator"]
        ).lack_of_fit
        low += lack.p_value < 0.05
    assert low <= 11
    d = draw([2.0, 0, 0, 0, 0, 0.0], 2000, 5)
    lack = fit_item_covariates(d["a"], d["b"], d["verdict"], BOTH).lack_of_fit
    assert lack.p_value < 1e-6
    assert lack.explained < 0.9


def test_few_clusters_and_as_many_properties_as_items_say_why_there_is_no_test():
    d, _ = drawn(400, 2)
    few = fit_item_covariates(d["a"], d["b"], d["verdict"], BOTH, cluster=np.arange(400) % 3)
    assert "3 clusters are too few to test 3 directions" in few.lack_of_fit.explanation
    own = {i: {str(k): float(i == k) for k in range(5)} for i in range(6)}
    full = fit_item_covariates(d["a"], d["b"], d["verdict"], own)
    free = fit_bradley_terry(d["a"], d["b"], d["verdict"])
    assert "they explain any ratings" in full.lack_of_fit.explanation
    assert full.ratings == pytest.approx(free.ratings, abs=1e-8)
    assert full.se == pytest.approx(free.se, abs=1e-8)
    assert full.log_likelihood == pytest.approx(free.log_likelihood, abs=1e-8)


def test_properties_come_as_frames_series_sequences_numbers_and_names():
    d, _ = drawn(500, 4)
    columns = (d["a"], d["b"], d["verdict"])
    base = fit_item_covariates(*columns, BOTH)
    frame = pd.DataFrame(BOTH).T
    assert list(fit_item_covariates(*columns, frame).ratings) == list(base.ratings)
    listed = fit_item_covariates(*columns, {i: [PRICE[i], SIZE[i]] for i in PRICE})
    assert list(listed.coefficients) == ["covariate_0", "covariate_1"]
    assert list(listed.ratings) == list(base.ratings)
    one = fit_item_covariates(*columns, PRICE)
    series = fit_item_covariates(*columns, pd.Series(PRICE, name="price"))
    assert list(series.coefficients) == ["price"]
    assert list(series.ratings) == list(one.ratings)
    family = {i: {"family": ("llama", "gpt", "qwen")[i % 3]} for i in range(6)}
    named = fit_item_covariates(*columns, family)
    assert list(named.coefficients) == ["family=llama", "family=qwen"]
    assert named.ratings[0] == named.ratings[3]


def test_a_unit_far_from_one_changes_the_coefficient_and_nothing_else():
    d, _ = drawn(500, 6)
    columns = (d["a"], d["b"], d["verdict"])
    one, far = (
        fit_item_covariates(*columns, {i: f * PRICE[i] + off for i in PRICE})
        for f, off in ((1, 0), (2.0**40, 2024.0))
    )
    small, large = one.coefficients["covariate_0"], far.coefficients["covariate_0"]
    assert large.value * 2.0**40 == pytest.approx(small.value)
    assert large.se * 2.0**40 == pytest.approx(small.se)
    assert far.ratings == pytest.approx(one.ratings)


@pytest.mark.parametrize(
    ("properties", "error", "words"),
    [
        ({0: 1.0}, InputError, "items 1, 2, 3, 4, 5 have no properties"),
        (BOTH | {3: {"price": 1.0}}, InputError, "item 3 has other properties than the rest"),
        (PRICE | {2: np.nan}, InputError, "covariate_0 of item 2 is nan: every value is needed"),
        (PRICE | {2: None}, InputError, "covariate_0 of item 2 is None"),
        (PRICE | {2: pd.NA}, InputError, "covariate_0 of item 2 is <NA>"),
        (5, InputError, "items must map each item to its properties"),
        ([1, 2, 3], InputError, "items must map each item"),
        (dict.fromkeys(range(6), 2.0), ConfoundedError, "covariate_0 is the same on both sides"),
        (dict.fromkeys(range(6), "gpt"), InputError, "no property of the items that differs"),
        ({i: {} for i in range(6)}, InputError, "no property of the items that differs"),
        (
            {i: [PRICE[i], 2 * PRICE[i] + 1] for i in range(6)},
            ConfoundedError,
            "effects of covariate_0, covariate_1 cannot be told apart",
        ),
        ({i: {"placement": PRICE[i]} for i in range(6)}, InputError, "name of another effect"),
        (pd.DataFrame({"p": range(7)}, index=[0, 1, 2, 3, 4, 5, 5]), InputError, "two rows"),
    ],
)
def test_properties_that_cannot_be_used_are_refused_by_name(properties, error, words):
    d, _ = drawn(100, 7)
    with pytest.raises(error) as caught:
        fit_item_covariates(d["a"], d["b"], d["verdict"], properties)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_property_that_explains_every_verdict_is_refused():
    with pytest.raises(SeparationError, match=r"infinite values of covariate_0.*leave out that"):
        fit_item_covariates(["x", "y", "x"], ["y", "z", "z"], ["a"] * 3, {"x": 3, "y": 2, "z": 1})
    # free ratings would be infinite here, one coefficient is not
    a, b = ["x", "y", "x", "y"], ["y", "z", "z", "z"]
    fit = fit_item_covariates(a, b, ["a", "a", "a", "b"], {"x": 3, "y": 2, "z": 1})
    assert np.isfinite(fit.ratings).all()
    assert "no finite ratings exist" in fit.lack_of_fit.explanation


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_rows_sides_names_and_weights_change_no_digit(seed, clustered):
    rng = np.random.default_rng(seed)
    d, _ = drawn(120, seed)
    v = np.where(rng.random(120) < 0.1, 3, d["verdict"]).astype(np.uint8)
    who = rng.integers(0, 25, 120) if clustered else None
    place = rng.choice([-1, 0, 1], 120)
    options = {"placement": place, "cluster": who}
    one = fit_item_covariates(d["a"], d["b"], v, BOTH, **options)
    order, flip = rng.permutation(120), rng.random(120) < 0.5
    a, b = np.where(flip, d["b"], d["a"]), np.where(flip, d["a"], d["b"])
    two = fit_item_covariates(
        a[order],
        b[order],
        np.where(flip, SWAP[v], v).astype(np.uint8)[order],
        dict(reversed(BOTH.items())),
        placement=np.where(flip, -place, place)[order],
        cluster=None if who is None else who[order],
    )
    assert_array_equal(one.ratings, two.ratings)
    assert_array_equal(one.se, two.se)
    assert one.effects == two.effects
    assert one.coefficients == two.coefficients
    # every verdict the other way round; new names
    back = fit_item_covariates(d["a"], d["b"], SWAP[v], BOTH, placement=-place, cluster=who)
    assert_allclose(back.ratings, -one.ratings, atol=1e-8)
    names = rng.permutation([f"item {i}" for i in range(6)])
    other = fit_item_covariates(
        names[d["a"]], names[d["b"]], v, {names[i]: BOTH[i] for i in BOTH}, **options
    )
    for name, value in one.coefficients.items():
        assert other.coefficients[name].value == pytest.approx(value.value, abs=1e-8)
        assert other.coefficients[name].se == pytest.approx(value.se, rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_judgments_made_twice_halve_the_variance_but_not_the_clustered_one(seed):
    d, _ = drawn(150, seed)
    rng = np.random.default_rng(seed)
    who, prompt = rng.integers(0, 30, 150), rng.integers(0, 25, 150)
    once = (d["a"], d["b"], d["verdict"])
    twice = tuple(np.concatenate([c, c]) for c in once)
    plain, doubled = fit_item_covariates(*once, BOTH), fit_item_covariates(*twice, BOTH)
    assert_allclose(doubled.coefficient_covariance, plain.coefficient_covariance / 2, rtol=1e-6)
    heavy = fit_item_covariates(*once, BOTH, weight=np.full(150, 2.0))
    assert_allclose(heavy.se, doubled.se, rtol=1e-9)
    one = fit_item_covariates(*once, BOTH, cluster=who)
    same = fit_item_covariates(*twice, BOTH, cluster=np.concatenate([who, who]))
    assert_allclose(same.coefficient_covariance, one.coefficient_covariance, rtol=1e-6)
    ways = [np.concatenate([who, who]), np.concatenate([prompt, prompt])]
    both = fit_item_covariates(*once, BOTH, cluster=[who, prompt])
    again = fit_item_covariates(*twice, BOTH, cluster=ways)
    assert_allclose(again.se, both.se, rtol=1e-6)

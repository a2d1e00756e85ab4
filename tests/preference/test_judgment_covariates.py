"""Covariates of a judgment: what fits, its sandwich, and groups that rate differently."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from simulated import draw

from preference import InputError, fit_bradley_terry, ratings_by
from preference.ratings_by import homogeneity

TRUTH = np.array([-0.8, -0.2, 0.1, 0.9])
SWAP = np.array([1, 0, 2, 3], dtype=np.uint8)


def with_covariates(n=1500, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 4, n)
    b = (a + rng.integers(1, 4, n)) % 4
    length, lists = rng.normal(0, 1, n), rng.integers(-1, 2, n).astype(float)
    place, who = rng.choice([-1, 1], n), rng.integers(0, 40, n)
    eta = TRUTH[a] - TRUTH[b] + 0.5 * length - 0.4 * lists + 0.3 * place
    odds = np.stack([np.exp(eta / 2), np.exp(-eta / 2), np.full(n, 0.6)])
    share = np.cumsum(odds / odds.sum(axis=0), axis=0)
    u = rng.random(n)
    verdict = ((u > share[0]).astype(int) + (u > share[1])).astype(np.uint8)
    return {
        "columns": (a, b, verdict),
        "covariates": {"length": length, "lists": lists},
        "placement": place,
        "who": who,
        "prompt": rng.integers(0, 30, n),
    }


def numerical(d):
    """Maximum, inverse Hessian and scores per judgment by finite differences only."""
    a, b, verdict = d["columns"]
    x = np.column_stack([d["placement"], d["covariates"]["length"], d["covariates"]["lists"]])
    incidence = np.eye(4)[a] - np.eye(4)[b]

    def each(z):
        eta = incidence @ np.append(0.0, z[:3]) + x @ z[4:]
        odds = np.stack([np.exp(eta / 2), np.exp(-eta / 2), np.full(len(a), np.exp(z[3]))])
        return np.log(odds / odds.sum(axis=0))[verdict, np.arange(len(a))]

    best = minimize(lambda z: -each(z).mean(), np.zeros(7), method="BFGS", options={"gtol": 1e-9})
    z, step = best.x, 1e-4
    scores = np.stack([(each(z + h) - each(z - h)) / (2 * step) for h in step * np.eye(7)], axis=1)
    total = lambda y: each(y).sum()  # noqa: E731
    hessian = np.empty((7, 7))
    for i, h in enumerate(step * np.eye(7)):
        for k, g in enumerate(step * np.eye(7)):
            up, down = total(z + h + g) + total(z - h - g), total(z + h - g) + total(z - h + g)
            hessian[i, k] = (up - down) / (4 * step**2)
    return z, np.linalg.inv(-hessian), scores


def test_estimates_and_sandwiches_equal_a_numerical_optimisation():
    d = with_covariates()
    z, bread, scores = numerical(d)
    fit = fit_bradley_terry(*d["columns"], covariates=d["covariates"], placement=d["placement"])
    names = ("log_tie_parameter", "placement", "length", "lists")
    assert_allclose([fit.effects[n].value for n in names], z[3:], atol=1e-5)
    ratings = np.append(0.0, z[:3])
    assert_allclose(fit.ratings, ratings - ratings.mean(), atol=1e-5)

    def errors(meat):
        return np.sqrt(np.diag(bread @ meat @ bread))[3:]

    def clustered(groups):
        sums = np.stack([np.bincount(groups, s) for s in scores.T], axis=1)
        sums = sums[np.bincount(groups) > 0]
        return sums.T @ sums * len(sums) / (len(sums) - 1)

    assert_allclose([fit.effects[n].se for n in names], errors(scores.T @ scores), rtol=1e-4)
    who, prompt = d["who"], d["prompt"]
    one, two = (
        fit_bradley_terry(
            *d["columns"], covariates=d["covariates"], placement=d["placement"], cluster=c
        )
        for c in (who, [who, prompt])
    )
    assert_allclose([one.effects[n].se for n in names], errors(clustered(who)), rtol=1e-4)
    ways = clustered(who), clustered(prompt)
    joint = clustered(who * 30 + prompt)
    want = np.maximum.reduce([errors(m) for m in (*ways, ways[0] + ways[1] - joint)])
    assert_allclose([two.effects[n].se for n in names], want, rtol=1e-3)
    for effect in fit.effects.values():
        assert effect.ci_high - effect.value == pytest.approx(1.959964 * effect.se)


def test_swapped_sides_negate_covariates_and_change_nothing():
    d = with_covariates(400)
    a, b, verdict = d["columns"]
    one = fit_bradley_terry(a, b, verdict, covariates=d["covariates"], cluster=d["who"])
    flip = np.arange(400) % 3 == 0
    turned = {name: np.where(flip, -x, x) for name, x in d["covariates"].items()}
    two = fit_bradley_terry(
        np.where(flip, b, a),
        np.where(flip, a, b),
        np.where(flip, SWAP[verdict], verdict).astype(np.uint8),
        covariates=turned,
        cluster=d["who"],
    )
    assert_allclose(two.ratings, one.ratings, atol=1e-9)
    for name in ("length", "lists"):
        assert two.effects[name].value == pytest.approx(one.effects[name].value, abs=1e-9)
        assert two.effects[name].se == pytest.approx(one.effects[name].se, rel=1e-8)


# --- names: a persona ---------------------------------------------------------------------------


def personas(n, seed, other):
    """Two personas; under the second the ratings are `other`."""
    one, two = draw(TRUTH, n, seed), draw(other, n, seed + 10_000)
    columns = [np.concatenate([one[x], two[x]]) for x in ("a", "b", "verdict")]
    return columns, np.repeat(["blunt", "kind"], n)


def test_personas_with_the_same_taste_are_told_so_and_others_are_found():
    low = 0
    for seed in range(100):
        columns, persona = personas(400, seed, TRUTH)
        low += ratings_by(*columns, persona).p_value < 0.05
    assert low <= 12
    columns, persona = personas(800, 0, TRUTH[::-1])
    got = ratings_by(*columns, persona)
    assert got.groups == ("blunt", "kind")
    assert got.p_value < 1e-6
    assert (got.degrees_of_freedom, got.items) == (3, (0, 1, 2, 3))
    assert got.fits[0].ratings[3] > 0.5 > got.fits[1].ratings[3]


def test_two_groups_are_the_difference_of_their_ratings_over_its_variance():
    columns, persona = personas(500, 3, TRUTH + np.array([0.2, 0, 0, 0]))
    got = ratings_by(*columns, persona)
    first, second = got.fits
    gap = first.ratings - second.ratings
    inverse = np.linalg.pinv(first.covariance + second.covariance, rcond=1e-10, hermitian=True)
    assert got.statistic == pytest.approx(gap @ inverse @ gap)
    assert homogeneity([(first.ratings, first.covariance)] * 3)[0] == pytest.approx(0, abs=1e-9)


def test_groups_that_cannot_be_compared_say_why():
    columns, persona = personas(100, 1, TRUTH)
    columns[2][persona == "kind"] = 0
    a, b = columns[0], columns[1]
    a[persona == "kind"], b[persona == "kind"] = 3, 0
    got = ratings_by(*columns, persona)
    assert got.fits[1] is None and "never lost" in got.refusals[1]
    assert got.explanation == "1 of 2 groups have finite ratings: two are needed to compare"
    apart = ratings_by(
        ["x", "y", "p", "q"], ["y", "x", "q", "p"], ["a"] * 4, ["one", "one", "two", "two"]
    )
    assert "no two items are rated in every group" in apart.explanation
    with pytest.raises(InputError, match="every judgment is in the group kind"):
        ratings_by(["x", "y"], ["y", "x"], ["a", "a"], ["kind", "kind"])
    with pytest.raises(InputError, match="group takes one array"):
        ratings_by(["x", "y"], ["y", "x"], ["a", "a"], [["k", "b"], ["k", "b"]])


def test_rows_in_another_order_give_the_same_groups():
    columns, persona = personas(200, 5, TRUTH)
    order = np.random.default_rng(0).permutation(400)
    one = ratings_by(*columns, persona)
    two = ratings_by(*(c[order] for c in columns), persona[order])
    assert (one.statistic, one.groups) == (two.statistic, two.groups)

"""Recovery of simulated truth, and intervals that cover it as often as they say."""

import numpy as np
import pytest
from simulated import draw

from preference import fit_bradley_terry

TRUTH = np.array([-1.2, -0.5, 0.0, 0.3, 1.4])


@pytest.mark.parametrize("ties", ["davidson", "auto"])
def test_ratings_ties_and_placement_come_back_from_many_judgments(ties):
    d = draw(TRUTH, 200_000, seed=1, nu=0.8, placement=0.25)
    fit = fit_bradley_terry(d["a"], d["b"], d["verdict"], ties=ties, placement=d["placement"])
    assert fit.tie_model == "davidson"
    assert fit.ratings == pytest.approx(TRUTH - TRUTH.mean(), abs=0.03)
    assert fit.tie_parameter == pytest.approx(0.8, abs=0.02)
    assert fit.placement_effect == pytest.approx(0.25, abs=0.02)


def test_half_wins_shrink_ratings_and_davidson_does_not():
    d = draw(TRUTH, 100_000, seed=2, nu=2.0)
    half = fit_bradley_terry(d["a"], d["b"], d["verdict"], ties="half").ratings
    full = fit_bradley_terry(d["a"], d["b"], d["verdict"]).ratings
    assert np.ptp(full) == pytest.approx(np.ptp(TRUTH), rel=0.03)
    assert 0.4 < np.ptp(half) / np.ptp(full) < 0.8


def test_auto_chooses_rao_kupper_where_ties_follow_it_and_says_by_how_much():
    rng = np.random.default_rng(3)
    n = 60_000
    a = rng.integers(0, 5, n)
    b = (a + rng.integers(1, 5, n)) % 5
    eta = 2.5 * (TRUTH[a] - TRUTH[b])
    p = 1 / (1 + np.exp(-(eta - 1.0)))
    q = 1 / (1 + np.exp(-(-eta - 1.0)))
    u = rng.random(n)
    verdict = np.where(u < p, 0, np.where(u < p + q, 1, 2)).astype(np.uint8)
    fit = fit_bradley_terry(a, b, verdict, ties="auto")
    assert fit.tie_model == "rao_kupper"
    assert fit.tie_choice["rao_kupper"] > fit.tie_choice["davidson"]
    assert fit.tie_parameter == pytest.approx(np.exp(1.0), rel=0.03)


def test_covariate_effect_comes_back_with_its_error():
    rng = np.random.default_rng(4)
    n = 40_000
    a = rng.integers(0, 5, n)
    b = (a + rng.integers(1, 5, n)) % 5
    longer = rng.normal(0, 1, n)
    eta = TRUTH[a] - TRUTH[b] + 0.6 * longer
    verdict = (rng.random(n) > 1 / (1 + np.exp(-eta))).astype(np.uint8)
    fit = fit_bradley_terry(a, b, verdict, covariates={"length": longer})
    effect = fit.effects["length"]
    assert abs(effect.value - 0.6) < 3 * effect.se
    assert effect.se < 0.03
    assert fit.ratings == pytest.approx(TRUTH - TRUTH.mean(), abs=0.08)


@pytest.fixture(scope="module")
def centre():
    """What the ratings converge to when annotators differ: the fit of very many annotators."""
    d = draw(TRUTH, 400_000, seed=9, annotators=400_000, spread=0.7)
    return fit_bradley_terry(d["a"], d["b"], d["verdict"]).ratings


def covered(centre, repeats, *, cluster):
    hits = []
    for seed in range(repeats):
        d = draw(TRUTH, 40 * 25, seed=1000 + seed, annotators=40, spread=0.7)
        groups = d["annotator"] if cluster else None
        fit = fit_bradley_terry(d["a"], d["b"], d["verdict"], cluster=groups)
        hits.append((fit.ci_low < centre) & (centre < fit.ci_high))
    return float(np.mean(hits))


def test_clustered_intervals_cover_with_forty_heterogeneous_annotators(centre):
    assert 0.925 < covered(centre, 150, cluster=True) < 0.975


def test_unclustered_intervals_are_too_narrow_when_annotators_differ(centre):
    assert covered(centre, 60, cluster=False) < 0.93


@pytest.mark.slow
def test_clustered_coverage_lies_between_94_and_96_percent(centre):
    assert 0.94 < covered(centre, 1000, cluster=True) < 0.96


@pytest.mark.slow
def test_plain_coverage_lies_between_94_and_96_percent():
    hits = []
    for seed in range(1000):
        d = draw(TRUTH, 1000, seed=seed)
        fit = fit_bradley_terry(d["a"], d["b"], d["verdict"])
        truth = TRUTH - TRUTH.mean()
        hits.append((fit.ci_low < truth) & (truth < fit.ci_high))
    assert 0.94 < np.mean(hits) < 0.96


def test_two_annotators_never_look_surer_than_their_judgments_alone():
    for seed in range(20):
        d = draw(TRUTH, 300, seed=seed, annotators=2, spread=0.3)
        plain = fit_bradley_terry(d["a"], d["b"], d["verdict"])
        few = fit_bradley_terry(d["a"], d["b"], d["verdict"], cluster=d["annotator"])
        assert (few.se >= plain.se - 1e-12).all()
        assert few.degrees_of_freedom == 1
        assert few.ci_high[0] - few.ci_low[0] > 6 * (plain.ci_high[0] - plain.ci_low[0])

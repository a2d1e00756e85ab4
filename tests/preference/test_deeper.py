"""Differences and ranks, next pairs, annotators, diagnostics, bootstrap."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from simulated import draw
from worked_examples import puddings

from preference import InputError, fit_bradley_terry
from preference.annotators import annotator_table, fit_crowd, negative_log_posterior
from preference.asking import enough, next_pairs
from preference.comparisons import chance_better, pairwise_differences, rank_intervals
from preference.diagnostics import goodness_of_fit, intransitive_cycles
from preference.drift import drift
from preference.resampling import bootstrap

TRUTH = [-1.0, -0.3, 0.0, 0.1, 0.9]


def fitted(n=2000, seed=0, **options):
    d = draw(TRUTH, n, seed, **options)
    return fit_bradley_terry(d["a"], d["b"], d["verdict"])


# --- differences and ranks ------------------------------------------------------------------------


def test_simultaneous_differences_are_tukeys_for_a_balanced_design():
    """For equal variances the largest of all differences follows the studentized range."""
    from scipy.stats import studentized_range

    k = 4
    a, b = np.triu_indices(k, 1)
    fit = fit_bradley_terry(
        np.repeat(a, 200), np.repeat(b, 200), np.tile([0, 1], 100 * len(a)).astype(np.uint8)
    )
    d = pairwise_differences(fit)
    assert d.critical == pytest.approx(studentized_range.ppf(0.95, k, 1e9) / np.sqrt(2), abs=0.08)
    assert d.critical > pairwise_differences(fit, simultaneous=False).critical


def test_rank_intervals_hold_the_true_order_jointly():
    misses = 0
    for seed in range(60):
        ranks = rank_intervals(fitted(800, seed))
        truth = [5, 4, 3, 2, 1]
        misses += any(
            not low <= t <= high for low, t, high in zip(ranks.low, truth, ranks.high, strict=True)
        )
    assert misses <= 6
    assert chance_better(fitted(), 4, 0) > 0.999


# --- next pairs -----------------------------------------------------------------------------------


def test_a_decision_between_two_items_asks_for_these_two():
    picks = next_pairs(fitted(), None, 5, question=(2, 3))
    assert {(p.first, p.second) for p in picks} == {(2, 3)}


def test_a_batch_spreads_and_candidates_are_asked_once():
    fit = fitted(300)
    pairs = [(i, j) for i in range(5) for j in range(i + 1, 5)]
    picks = next_pairs(fit, pairs, 20, question="ratings")
    assert len(picks) == 10
    assert sorted(p.position for p in picks) == list(range(10))
    many = next_pairs(fit, None, 20, question="ratings")
    assert len({(p.first, p.second) for p in many}) >= 4


def test_a_starved_item_is_served_first():
    d = draw(TRUTH, 400, seed=3)
    a = np.concatenate([d["a"], [5, 5]])
    b = np.concatenate([d["b"], [0, 4]])
    v = np.concatenate([d["verdict"], [0, 1]]).astype(np.uint8)
    fit = fit_bradley_terry(a, b, v)
    for question in ("ranking", "ratings"):
        picks = next_pairs(fit, None, 10, question=question)
        assert all(5 in (p.first, p.second) for p in picks)
    with pytest.raises(InputError, match="item 9 is not in this fit"):
        next_pairs(fit, [(0, 9)])
    with pytest.raises(InputError, match="question 'all' is unknown"):
        next_pairs(fit, question="all")


def test_gain_of_one_judgment_is_the_drop_in_summed_variance():
    fit = fit_bradley_terry([0, 1, 2, 0, 1, 2], [1, 2, 0, 1, 2, 0], list("abababab")[:6])
    c = np.array(fit.covariance)
    pick = next_pairs(fit, [(0, 1)], question="ratings")[0]
    d = np.array([1.0, -1, 0])
    p = 1 / (1 + np.exp(-(fit.ratings[0] - fit.ratings[1])))
    w = p * (1 - p)
    after = c - w * np.outer(c @ d, c @ d) / (1 + w * d @ c @ d)
    assert pick.gain == pytest.approx(np.trace(c) - np.trace(after))


@pytest.mark.slow
def test_chosen_pairs_bring_the_order_right_with_fewer_judgments_than_random_ones():
    """Twelve items, ratings normal with sd 1: pairs in the wrong order after 288 judgments."""
    first, second = np.triu_indices(12, 1)

    def wrong(seed, choose):
        rng = np.random.default_rng(seed)
        truth = rng.normal(0, 1, 12)
        ring = rng.permutation(12)
        asked = [(int(ring[i]), int(ring[i - 1])) for i in range(12)]
        verdicts = []
        while True:
            for i, j in asked[len(verdicts) :]:
                verdicts.append(int(rng.random() > 1 / (1 + np.exp(-(truth[i] - truth[j])))))
            fit = fit_bradley_terry(
                [p[0] for p in asked],
                [p[1] for p in asked],
                np.array(verdicts, dtype=np.uint8),
                ties="half",
                prior=0.3,
                variance="model",
            )
            if len(asked) >= 288:
                order = np.sign(fit.ratings[first] - fit.ratings[second])
                return np.mean(order != np.sign(truth[first] - truth[second]))
            asked += choose(fit, rng)

    def random_pairs(_fit, rng):
        return [tuple(int(x) for x in rng.choice(12, 2, replace=False)) for _ in range(12)]

    def best_pairs(fit, _rng):
        return [(p.first, p.second) for p in next_pairs(fit, None, 12)]

    random, chosen = (
        np.mean([wrong(seed, choose) for seed in range(30)])
        for choose in (random_pairs, best_pairs)
    )
    assert chosen < 0.93 * random


def test_enough_says_yes_no_and_how_many_more():
    fit = fitted(3000)
    assert enough(fit, (4, 0)).enough
    assert "4 is better than 0" in enough(fit, (0, 4)).reason
    close = enough(fit, (2, 3))
    assert not close.enough and close.more > 500
    assert enough(fitted(40_000), (2, 3), margin=0.5).enough
    assert not enough(fitted(200), "ranking").enough
    assert enough(fitted(200), "ratings", half_width=0.2).more > 200
    assert enough(fitted(20_000), "ratings", half_width=0.2).enough


def test_enough_is_never_sure_of_what_hardly_anything_says():
    ties = fit_bradley_terry(["x"] * 4, ["y"] * 4, ["tie"] * 4, ties="half")
    assert ties.se[0] == pytest.approx(0.5), "the model's: 4 judgments at even odds"
    for cluster in (None, [1, 2, 1, 2]):
        fit = fit_bradley_terry(["x"] * 4, ["y"] * 4, ["tie"] * 4, ties="half", cluster=cluster)
        for question in (("x", "y"), "ranking", "ratings"):
            assert not enough(fit, question).enough
    many = fit_bradley_terry(["x"] * 2000, ["y"] * 2000, ["tie"] * 2000, ties="half")
    assert enough(many, ("x", "y")).reason == "x and y differ by less than 0.2: call it a tie"
    one = fit_bradley_terry(["x"], ["y"], ["a"], prior="firth")
    for question in (("x", "y"), "ranking", "ratings"):
        answer = enough(one, question)
        assert not answer.enough and answer.more > 1
    two = fit_bradley_terry(["x"] * 4, ["y"] * 4, list("abab"), cluster=[1, 1, 2, 2])
    for question in (("x", "y"), "ranking", "ratings"):
        answer = enough(two, question)
        assert "2 annotators (or prompts) only, ask others" in answer.reason
        assert answer.more is None


# --- annotators -----------------------------------------------------------------------------------


def test_the_crowd_gradient_equals_finite_differences():
    rng = np.random.default_rng(0)
    k, m, n = 4, 3, 50
    a = rng.integers(0, k, n)
    b = (a + rng.integers(1, k, n)) % k
    who, y = rng.integers(0, m, n), rng.choice([0.0, 0.5, 1.0], n)
    x = rng.normal(0, 1, k + m)
    value = lambda z: negative_log_posterior(z, a, b, who, y, k, m)[0]  # noqa: E731
    slope = negative_log_posterior(x, a, b, who, y, k, m)[1]
    assert slope == pytest.approx(approx_fprime(x, value, 1e-7), abs=1e-4)


def test_reliable_annotators_are_told_from_coin_flippers_and_contrarians():
    rng = np.random.default_rng(1)
    n = 6000
    who = rng.integers(0, 6, n)
    a = rng.integers(0, 5, n)
    b = (a + rng.integers(1, 5, n)) % 5
    truth = np.array([1.0, 1.0, 1.0, 1.0, 0.5, 0.1])
    p = 1 / (1 + np.exp(-2 * (np.array(TRUTH)[a] - np.array(TRUTH)[b])))
    follows = rng.random(n) < truth[who]
    wins = np.where(follows, rng.random(n) < p, rng.random(n) > p)
    fit = fit_crowd(a, b, np.where(wins, "a", "b"), who)
    assert list(fit.annotators) == [0, 1, 2, 3, 4, 5]
    assert fit.reliability[:4].min() > 0.85
    assert fit.reliability[4] == pytest.approx(0.5, abs=0.1)
    assert fit.reliability[5] < 0.25
    assert (fit.ci_low < fit.reliability).all() and (fit.reliability < fit.ci_high).all()
    assert np.corrcoef(fit.ratings, TRUTH)[0, 1] > 0.99


def test_annotator_table_measures_bias_agreement_gold_and_speed():
    t = annotator_table(
        ["x", "x", "y", "x"],
        ["y", "y", "x", "y"],
        ["a", "a", "b", "tie"],
        ["ann", "bob", "bob", "cyd"],
        placement=[1, 1, 1, -1],
        gold=["a", None, "a", None],
        seconds=[3.0, 5.0, 7.0, np.nan],
    )
    assert t.annotators == ("ann", "bob", "cyd")
    assert list(t.n) == [1, 2, 1]
    assert t.first_place[0] == 1 and t.first_place[1] == 0.5
    assert np.isnan(t.first_place[2])
    assert t.gold[0] == 1 and t.gold[1] == 0 and np.isnan(t.gold[2])
    assert t.seconds[1] == 6
    assert np.isnan(t.seconds[2])
    assert t.agreement[0] == pytest.approx(2 / 3), "ann says x; bob x twice, cyd tie"
    assert t.agreement[2] == 0
    with pytest.raises(InputError, match="gold 'left' at index 0"):
        annotator_table(["x"], ["y"], ["a"], ["k"], gold=["left"])


# --- diagnostics ----------------------------------------------------------------------------------


def test_goodness_of_fit_accepts_the_puddings_as_davidson_did():
    """Davidson (1970) calls the fit satisfactory; 15 pairs, 2 free verdicts each, 6 parameters."""
    a, b, v, n = puddings()
    got = goodness_of_fit(fit_bradley_terry(a, b, v, weight=n))
    assert got.degrees_of_freedom == 24
    assert got.p_value > 0.05
    assert got.explanation is None


def test_goodness_of_fit_has_the_right_size_and_finds_a_circle():
    low = 0
    for seed in range(100):
        low += goodness_of_fit(fitted(2000, seed)).p_value < 0.05
    assert low <= 13
    a, b = ["r", "s", "p"] * 40, ["s", "p", "r"] * 40
    v = (["a"] * 30 + ["b"] * 10) * 3
    fit = fit_bradley_terry(a, b, v)
    assert goodness_of_fit(fit).p_value < 1e-3
    (cycle,) = intransitive_cycles(fit)
    assert {cycle.first, cycle.second, cycle.third} == {"r", "s", "p"}
    assert cycle.evidence == pytest.approx(20 / np.sqrt(40), rel=0.5)
    assert intransitive_cycles(fit, least=10) == []


def test_drift_is_found_where_it_is_and_not_where_it_is_not():
    d = draw(TRUTH, 6000, seed=8)
    later = np.arange(6000) >= 3000
    still = drift(d["a"], d["b"], d["verdict"], later=later)
    assert still.p_value > 0.01
    e = draw([-1.0, -0.3, 0.0, 0.9, 0.1], 6000, seed=9)
    mixed = {x: np.where(later, e[x], d[x]) for x in ("a", "b", "verdict")}
    moved = drift(mixed["a"], mixed["b"], mixed["verdict"].astype(np.uint8), later=later)
    assert moved.p_value < 1e-6
    assert moved.z[3] > 3 and moved.z[4] < -3
    with pytest.raises(InputError, match="the later part holds no judgment"):
        drift(["x"], ["y"], ["a"], later=[False])


# --- bootstrap ------------------------------------------------------------------------------------


def test_bootstrap_errors_equal_the_sandwich_with_and_without_clusters():
    d = draw(TRUTH, 3000, seed=4, annotators=60, spread=0.8)
    for cluster in (None, d["annotator"]):
        fit = fit_bradley_terry(d["a"], d["b"], d["verdict"], cluster=cluster)
        boot = bootstrap(d["a"], d["b"], d["verdict"], cluster=cluster, replicates=400)
        assert boot.se == pytest.approx(fit.se, rel=0.2)
        assert boot.prior_used == 0


def test_bootstrap_depends_on_the_seed_and_not_on_the_order_of_rows():
    d = draw(TRUTH, 300, seed=5, annotators=20, spread=0.5)
    order = np.random.default_rng(0).permutation(300)
    one = bootstrap(d["a"], d["b"], d["verdict"], cluster=d["annotator"], replicates=10)
    two = bootstrap(
        d["a"][order],
        d["b"][order],
        d["verdict"][order],
        cluster=d["annotator"][order],
        replicates=10,
    )
    np.testing.assert_array_equal(one.ratings, two.ratings)
    other = bootstrap(d["a"], d["b"], d["verdict"], cluster=d["annotator"], replicates=10, seed=1)
    assert (other.ratings != one.ratings).any()


@pytest.mark.parametrize("by_table", [True, False])
def test_bootstrap_counts_are_multinomial(monkeypatch, by_table):
    import preference.resampling as resampling
    from preference.resampling import _multinomial

    monkeypatch.setattr(resampling, "_LARGEST_MEAN", 1000 if by_table else 0)
    counts = np.array([400.0, 90.0, 9.0, 1.0, 0.0])
    got = _multinomial(np.random.default_rng(0), counts, 4000)
    assert (got.sum(axis=1) == 500).all()
    assert (got[:, 4] == 0).all()
    share = counts / 500
    want = 500 * (np.diag(share) - np.outer(share, share))
    assert got.mean(axis=0) == pytest.approx(counts, rel=0.05, abs=0.05)
    assert np.cov(got.T)[:4, :4] == pytest.approx(want[:4, :4], rel=0.1, abs=1.5)


@pytest.mark.parametrize("ties", ["half", "davidson", "rao_kupper"])
@pytest.mark.parametrize("n", [60, 3000])
def test_bootstrap_ratings_are_those_of_a_fit_of_each_replicate(monkeypatch, ties, n):
    import preference.resampling as resampling

    d = draw(TRUTH, n, seed=6)
    columns = d["a"], d["b"], d["verdict"]
    together = bootstrap(*columns, ties=ties, replicates=30)
    monkeypatch.setattr(resampling, "_MOST_STEPS", 0)
    apart = bootstrap(*columns, ties=ties, replicates=30)
    assert together.ratings == pytest.approx(apart.ratings, abs=1e-8)
    assert together.prior_used == apart.prior_used

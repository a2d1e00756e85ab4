"""Sums over clusters, by kinds and by sorted keys, against loops that a reader can check."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import preference.covariance
import preference.win_rate_spread
from preference import fit_bradley_terry, win_rates
from preference.agreement import ac1_of_counts, alpha_of_counts, fleiss_of_counts, patterns
from preference.counts import count
from preference.encoding import encode, encode_clusters
from preference.outcomes import derivatives
from preference.report import build
from preference.tallies import tally


def ledger(seed, n=400, k=4, people=12, prompts=15, overlap=3):
    """Comparisons of a prompt, each judged by a few; some judge one twice, some find both bad."""
    rng = np.random.default_rng(seed)
    asked = -(-n // overlap)
    a = rng.integers(0, k, asked)
    b = (a + rng.integers(1, k, asked)) % k
    row = np.repeat(np.arange(asked), overlap)[:n]
    verdict = rng.choice(4, n, p=[0.4, 0.3, 0.2, 0.1]).astype(np.uint8)
    who = rng.integers(0, people, n)
    who[verdict == 3] = np.where(rng.random((verdict == 3).sum()) < 0.3, people, who[verdict == 3])
    return {
        "a": a[row],
        "b": b[row],
        "v": verdict,
        "place": rng.choice([-1, 1], n).astype(np.int8),
        "who": who,
        "prompt": (row % prompts),
        "comparison": row,
    }


def by_rows(monkeypatch):
    """Every sum from the rows, as with weights, covariates or very many kinds of judgment."""
    for module in (preference.covariance, preference.win_rate_spread):
        monkeypatch.setattr(module, "tally", lambda *_: None)


# --- plain versions -------------------------------------------------------------------------------


def plain_meat(d, fit, ways):
    """Sum over clusters of U U' with its correction, U by a loop over judgments."""
    k = len(fit.items)
    place = {item: i for i, item in enumerate(fit.items)}
    tau = fit.effects["log_tie_parameter"].value
    sums = defaultdict(lambda: np.zeros(k + 2))
    for i, cluster in enumerate(zip(*ways, strict=True)):
        u = sums[cluster]
        x, y, v, shown = (int(d[name][i]) for name in ("a", "b", "v", "place"))
        if v == 3:
            continue
        eta = fit.ratings[place[x]] - fit.ratings[place[y]] + fit.placement_effect * shown
        one = [np.array([float(v == w)]) for w in range(3)]
        s = derivatives("davidson", np.array([eta]), tau, *one)
        u[place[x]] += s.e[0]
        u[place[y]] -= s.e[0]
        u[k] += s.t[0]
        u[k + 1] += s.e[0] * shown
    meat = sum(np.outer(u, u) for u in sums.values())
    return meat * (len(sums) / (len(sums) - 1))


def informative(d, ways):
    """Without clusters that hold both_bad only, which say nothing and count for nothing."""
    good = [set(way[d["v"] != 3].tolist()) for way in ways]
    return [
        np.array([x if x in g else min(g) for x in way.tolist()])
        for way, g in zip(ways, good, strict=True)
    ]


def plain_variances(d, ways, unit_of):
    """Variance of every unit's win rate over clusters, and its clusters, by loops."""
    out = {}
    units = defaultdict(list)
    for i in range(len(d["v"])):
        if d["v"][i] != 3:
            for unit, score in unit_of(d, i):
                units[unit].append((tuple(way[i] for way in ways), score))
    for unit, rows in units.items():
        p = sum(score for _, score in rows) / len(rows)
        s, n = defaultdict(float), Counter()
        for cluster, score in rows:
            s[cluster] += score
            n[cluster] += 1
        g = len(n)
        squares = sum((s[c] - p * n[c]) ** 2 for c in n)
        out[unit] = squares / len(rows) ** 2 * g / (g - 1) if g > 1 else np.nan, g
    return out


def of_items(d, i):
    score = (1.0, 0.0, 0.5)[d["v"][i]]
    return (int(d["a"][i]), score), (int(d["b"][i]), 1 - score)


def of_pairs(d, i):
    score = (1.0, 0.0, 0.5)[d["v"][i]]
    x, y = int(d["a"][i]), int(d["b"][i])
    return (((x, y), score),) if x < y else (((y, x), 1 - score),)


def plain_spread(d, unit_of):
    """Two ways: V1 + V2 - V12, not below either, and the fewest clusters."""
    who, prompt = d["who"], d["prompt"]
    one, two = plain_variances(d, [who], unit_of), plain_variances(d, [prompt], unit_of)
    both = plain_variances(d, [who, prompt], unit_of)
    return {
        u: (
            max(one[u][0] + two[u][0] - both[u][0], one[u][0], two[u][0]),
            min(one[u][1], two[u][1]),
        )
        for u in one
    }


# --- ratings --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["kinds", "rows"])
@pytest.mark.parametrize("prompts", [15, 3])
@pytest.mark.parametrize("seed", range(3))
def test_clustered_covariances_are_those_of_a_loop_over_judgments(monkeypatch, path, prompts, seed):
    d = ledger(seed, prompts=prompts)
    if path == "rows":
        by_rows(monkeypatch)
    ways = informative(d, [d["who"], d["prompt"]])

    def fit(cluster):
        return fit_bradley_terry(
            d["a"], d["b"], d["v"], placement=d["place"], cluster=cluster, prior="ridge"
        )

    base = fit(d["who"])
    k = len(base.items)
    plain = fit_bradley_terry(
        d["a"], d["b"], d["v"], placement=d["place"], prior="ridge", variance="model"
    )
    bread = plain.parameter_covariance
    for cluster, parts in ((d["who"], [ways[0]]), (d["prompt"], [ways[1]])):
        want = bread @ plain_meat(d, base, parts) @ bread
        got = fit(cluster).parameter_covariance
        # no variance lies below that of the model or of plain scores: compare what was not widened
        loose = np.isclose(np.diag(got), np.diag(want), rtol=1e-7)
        assert (np.diag(got) >= np.diag(want) * (1 - 1e-7)).all()
        assert_allclose(
            got[np.ix_(loose, loose)], want[np.ix_(loose, loose)], rtol=1e-6, atol=1e-12
        )
    assert fit([d["who"], d["prompt"]]).clusters == (12, prompts)
    assert k == 4


@pytest.mark.parametrize("people", [12, 40])
@pytest.mark.parametrize("prompts", [2, 7, 60])
def test_meats_by_kinds_and_by_rows_are_those_of_a_loop(people, prompts):
    from preference.bradley_terry import cell_design
    from preference.cluster_sums import meats_of_counts, meats_of_rows

    d = ledger(5, n=600, people=people, prompts=prompts)
    fit = fit_bradley_terry(d["a"], d["b"], d["v"], placement=d["place"])
    j = encode(d["a"], d["b"], d["v"], placement=d["place"])
    clusters = encode_clusters([d["who"], d["prompt"]], j.n)
    cells = count(j)
    design = cell_design(cells)
    parameters = np.concatenate(
        [fit.ratings, [fit.effects["log_tie_parameter"].value, fit.placement_effect]]
    )
    counted = tally(j, cells, clusters)
    assert counted is not None
    meats, joint = meats_of_counts(counted, design, "davidson", parameters)
    sizes, slow, slow_joint = meats_of_rows(j, clusters, design, "davidson", parameters, cells)
    assert counted.sizes == tuple(sizes)
    ways = informative(d, [d["who"], d["prompt"]])
    for got, other, parts in (
        (meats[0], slow[0], [ways[0]]),
        (meats[1], slow[1], [ways[1]]),
        (joint, slow_joint, ways),
    ):
        want = plain_meat(d, fit, parts)
        assert_allclose(got, want, rtol=1e-7, atol=1e-7)
        assert_allclose(other, want, rtol=1e-7, atol=1e-7)


def test_covariates_and_weights_have_the_meat_of_repeated_rows(monkeypatch):
    d = ledger(7, n=300)
    x = np.random.default_rng(0).normal(size=(300, 2))
    heavy = np.random.default_rng(1).integers(1, 3, 300)
    twice = {name: np.repeat(value, heavy) for name, value in d.items()}
    one = fit_bradley_terry(
        d["a"], d["b"], d["v"], weight=heavy, covariates=x, cluster=[d["who"], d["prompt"]]
    )
    two = fit_bradley_terry(
        twice["a"],
        twice["b"],
        twice["v"],
        covariates=np.repeat(x, heavy, axis=0),
        cluster=[twice["who"], twice["prompt"]],
    )
    assert_allclose(one.covariance, two.covariance, rtol=1e-6, atol=1e-10)


# --- win rates ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["kinds", "rows"])
@pytest.mark.parametrize(("people", "prompts"), [(12, 15), (3, 2), (90, 100)])
def test_win_rate_errors_are_those_of_a_loop_over_judgments(monkeypatch, path, people, prompts):
    d = ledger(people, people=people, prompts=prompts)
    if path == "rows":
        by_rows(monkeypatch)
    r = win_rates(d["a"], d["b"], d["v"], cluster=[d["who"], d["prompt"]])
    items = plain_spread(d, of_items)
    assert_allclose(r.se, [np.sqrt(items[i][0]) for i in r.items], rtol=1e-12)
    pairs = plain_spread(d, of_pairs)
    want = [pairs[both] for both in zip(r.pairs.first, r.pairs.second, strict=True)]
    assert_allclose(r.pairs.se, [np.sqrt(v) for v, _ in want], rtol=1e-12)
    assert r.clusters == (len(set(d["who"].tolist())), len(set(d["prompt"].tolist())))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.booleans())
def test_kinds_and_rows_give_the_same_win_rates(seed, n, wide):
    d = ledger(seed, n=n, people=50 if wide else 3, prompts=40 if wide else 2)
    columns = d["a"], d["b"], d["v"]
    fast = win_rates(*columns, cluster=[d["who"], d["prompt"]])
    with pytest.MonkeyPatch.context() as patch:
        by_rows(patch)
        slow = win_rates(*columns, cluster=[d["who"], d["prompt"]])
    for one, two in ((fast, slow), (fast.pairs, slow.pairs)):
        for name in ("value", "se", "ci_low", "ci_high", "effective_n"):
            assert_allclose(getattr(one, name), getattr(two, name), rtol=1e-9, atol=1e-12)


def test_order_of_rows_changes_no_digit_on_either_path(monkeypatch):
    d = ledger(11, n=2000, people=60, prompts=50)
    order = np.random.default_rng(0).permutation(2000)
    for _ in range(2):
        one, two = (
            (
                win_rates(
                    *(d[x][rows] for x in "abv"), cluster=[d["who"][rows], d["prompt"][rows]]
                ),
                fit_bradley_terry(
                    *(d[x][rows] for x in "abv"),
                    placement=d["place"][rows],
                    cluster=[d["who"][rows], d["prompt"][rows]],
                ),
            )
            for rows in (slice(None), order)
        )
        assert_array_equal(one[0].se, two[0].se)
        assert_array_equal(one[0].pairs.ci_low, two[0].pairs.ci_low)
        assert_array_equal(one[1].covariance, two[1].covariance)
        by_rows(monkeypatch)


def test_weights_of_one_are_no_weights():
    d = ledger(3)
    columns = d["a"], d["b"], d["v"]
    one = win_rates(*columns, weight=np.ones(400), cluster=d["who"])
    assert_array_equal(one.se, win_rates(*columns, cluster=d["who"]).se)


# --- agreement ------------------------------------------------------------------------------------


def test_units_of_equal_counts_are_counted_once_and_give_the_same_coefficients():
    counts = np.random.default_rng(2).multinomial(5, [0.5, 0.3, 0.15, 0.05], size=900)
    counts[::7] = [1, 0, 0, 0]
    counts = counts.astype(float)
    rows, times = patterns(counts)
    assert len(rows) < 60
    assert times.sum() == 900
    assert_array_equal(times @ rows, counts.sum(axis=0))
    for of in (alpha_of_counts, fleiss_of_counts, ac1_of_counts):
        fast, slow = of(counts), of(counts, times=np.ones(900))
        assert (fast.units, fast.ratings) == (slow.units, slow.ratings)
        for name in ("value", "se", "ci_low", "ci_high", "observed", "expected"):
            assert getattr(fast, name) == pytest.approx(getattr(slow, name), rel=1e-10)
        shuffled = of(counts[np.random.default_rng(0).permutation(900)])
        assert shuffled == fast, "the order of units changes no digit"


def test_many_values_and_many_ratings_still_have_patterns():
    counts = np.random.default_rng(3).integers(0, 1000, (50, 6)).astype(float)
    rows, times = patterns(np.vstack([counts, counts]))
    assert_array_equal(times, np.full(50, 2.0))
    assert_array_equal(np.sort(rows.sum(axis=1)), np.sort(counts.sum(axis=1)))
    halves = counts / 2
    assert patterns(halves)[0] is halves


def frame(d, **more):
    names = np.array([f"item {i}" for i in range(10)])
    return {
        "item_a": names[d["a"]],
        "item_b": names[d["b"]],
        "verdict": np.array(["a", "b", "tie", "both_bad"])[d["v"]],
        "annotator": [f"p{w}" for w in d["who"]],
        "prompt": [f"q{p}" for p in d["prompt"]],
        "placement": d["place"],
        **more,
    }


@pytest.mark.parametrize("told", [True, False])
def test_a_reports_units_and_repeats_are_those_of_a_loop(told):
    d = ledger(21, n=500, people=5, prompts=9)
    more = {"comparison": [f"c{c}" for c in d["comparison"]]} if told else {}
    units = defaultdict(Counter)
    seen = Counter()
    for i in range(500):
        x, y, v = (int(d[name][i]) for name in ("a", "b", "v"))
        name = d["comparison"][i] if told else d["prompt"][i]
        unit = min(x, y), max(x, y), int(name)
        units[unit][v if v > 1 or x < y else 1 - v] += 1
        seen[(*unit, int(d["who"][i]))] += 1
    counts = np.array([[c[v] for v in range(4)] for c in units.values()], dtype=float)
    got = build(frame(d, **more)).agreement
    assert got["comparisons"] == len(units)
    assert got["comparisons_judged_more_than_once"] == int((counts.sum(axis=1) > 1).sum())
    assert got["repeated_by_one_annotator"] == sum(c - 1 for c in seen.values())
    assert got["krippendorff_alpha"].value == pytest.approx(alpha_of_counts(counts).value)
    assert got["gwet_ac1"].se == pytest.approx(ac1_of_counts(counts).se)


def test_a_report_has_the_same_digits_by_kinds_and_by_rows(monkeypatch):
    d = ledger(31, n=6000, k=6, people=60, prompts=300, overlap=5)
    fast = build(frame(d)).to_json_dict()
    by_rows(monkeypatch)
    slow = build(frame(d)).to_json_dict()
    for part in ("finding", "agreement", "pairs", "notes", "ranks", "settings", "ties"):
        assert fast[part] == slow[part], part
    for one, two in zip(fast["items"], slow["items"], strict=True):
        for name, value in one.items():
            assert value == pytest.approx(two[name], rel=1e-8), name

"""Reports that doubt themselves: fit, circles, drift, length; and what they cannot answer."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import draw

from preference import fit_bradley_terry, goodness_of_fit, intransitive_cycles, report
from preference.diagnostics import pair_residuals
from preference.encoding import encode
from preference.length_effect import length_effect
from preference.render_html import html
from preference.render_text import markdown, table

TRUTH = np.array([-0.6, 0.0, 0.2, 1.0])
SWAP = {"a": "b", "b": "a", "tie": "tie"}


def frame(n=900, seed=0, ratings=TRUTH, **options):
    d = draw(ratings, n, seed, annotators=20, spread=0.3, **options)
    order = np.random.default_rng(seed).permutation(n)  # people come and go all the time
    return pd.DataFrame(
        {
            "item_a": [f"m{i}" for i in d["a"][order]],
            "item_b": [f"m{i}" for i in d["b"][order]],
            "verdict": np.array(["a", "b", "tie"])[d["verdict"][order]],
            "annotator": [f"p{i}" for i in d["annotator"][order]],
        }
    )


def timed(n=900, seed=0, **options):
    d = frame(n, seed, **options)
    return d.assign(created_at=pd.date_range("2026-01-01", periods=n, freq="min", tz="UTC"))


def long(n=4000, beta=0.8, seed=1):
    """Judgments in which a longer answer gains beta * tanh(difference over its spread)."""
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 4, n)
    b = (a + rng.integers(1, 4, n)) % 4
    length = np.round(200 + 40 * np.arange(4)[a] + rng.normal(0, 60, n)).clip(1)
    other = np.round(200 + 40 * np.arange(4)[b] + rng.normal(0, 60, n)).clip(1)
    gap = length - other
    eta = TRUTH[a] - TRUTH[b] + beta * np.tanh(gap / np.sqrt(np.mean(gap**2)))
    odds = np.stack([np.exp(eta / 2), np.exp(-eta / 2), np.full(n, 0.5)])
    share = np.cumsum(odds / odds.sum(axis=0), axis=0)
    u = rng.random(n)
    verdict = (u > share[0]).astype(int) + (u > share[1])
    return pd.DataFrame(
        {
            "item_a": [f"m{i}" for i in a],
            "item_b": [f"m{i}" for i in b],
            "verdict": np.array(["a", "b", "tie"])[verdict],
            "annotator": [f"p{i}" for i in rng.integers(0, 30, n)],
            "length_a": length,
            "length_b": other,
        }
    )


def strict(made):
    return json.loads(json.dumps(made.to_json_dict(), allow_nan=False))


def facts_of(made):
    return table(made).splitlines()


# --- drift --------------------------------------------------------------------------------------


def test_drift_is_seen_where_tastes_changed_and_not_elsewhere():
    still = strict(report.build(timed(2000)))["diagnostics"]["drift"]
    assert still["p_value"] > 0.01 and still["explanation"] is None
    assert (still["earlier"], still["later"]) == (1000, 1000)
    half = frame(1500, 1), frame(1500, 2, TRUTH[::-1])
    moved = pd.concat(half, ignore_index=True).assign(time=range(3000))
    made = report.build(moved)
    drift = strict(made)["diagnostics"]["drift"]
    assert drift["p_value"] < 1e-4
    assert {drift["changes"][0]["item"], drift["changes"][1]["item"]} == {"m0", "m3"}
    assert any(
        line.startswith("drift: between 1,500 earlier and 1,500 later judgments m")
        for line in facts_of(made)
    )


def test_other_prompts_in_the_later_half_are_not_taken_for_other_tastes():
    loud = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        n, lean = 900, rng.normal(0, 0.8, (16, 4))  # prompts that favour some items
        prompt = np.repeat(np.arange(16), n // 16 + 1)[:n]
        a = rng.integers(0, 4, n)
        b = (a + rng.integers(1, 4, n)) % 4
        eta = lean[prompt, a] - lean[prompt, b]
        columns = {
            "item_a": a.astype(str),
            "item_b": b.astype(str),
            "verdict": np.where(rng.random(n) < 1 / (1 + np.exp(-eta)), "a", "b"),
            "annotator": rng.integers(0, 30, n).astype(str),
            "prompt": prompt,
            "time": np.arange(n),
        }
        loud += report.build(columns).diagnostics["drift"]["p_value"] < 0.05
    assert loud <= 4


def test_a_time_is_read_from_dates_texts_and_numbers_alike(tmp_path):
    base = timed(300)
    want = report.build(base).diagnostics["drift"]
    texts = base["created_at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    for other in (texts, texts.astype("category"), np.arange(300), np.arange(300) / 7):
        assert report.build(base.assign(created_at=other)).diagnostics["drift"] == want
    renamed = base.drop(columns="created_at").assign(time=texts)
    assert report.build(renamed).diagnostics["drift"] == want
    base.assign(created_at=texts).to_csv(tmp_path / "j.csv", index=False)
    assert report.build(report.read_csv(tmp_path / "j.csv")).diagnostics["drift"] == want


def test_a_judgment_without_a_time_is_left_out_of_drift_alone():
    d = timed(300)
    d.loc[::3, "created_at"] = pd.NaT
    made = report.build(d)
    drift = made.diagnostics["drift"]
    assert drift["earlier"] + drift["later"] == 200
    assert made.n_judgments == 300


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda d: d.drop(columns="created_at"), "no column created_at"),
        (lambda d: d.assign(created_at="yesterday"), "created_at 'yesterday' is no time"),
        (lambda d: d.assign(created_at="2026-01-01"), "every judgment has the same time"),
        (lambda d: d.assign(created_at=None), "every judgment has the same time"),
        (
            lambda d: d.assign(annotator=np.where(np.arange(len(d)) < 450, "me", d["annotator"])),
            "one annotator alone judged the earlier part",
        ),
        (
            lambda d: d.assign(verdict=np.where(np.arange(len(d)) < 450, "tie", d["verdict"])),
            "in the earlier part: every judgment is a tie",
        ),
    ],
)
def test_drift_that_cannot_be_asked_says_why(change, why):
    made = report.build(change(timed()))
    drift = strict(made)["diagnostics"]["drift"]
    assert why in drift["explanation"]
    assert drift["p_value"] is None and drift["changes"] == []
    (line,) = [x for x in facts_of(made) if x.startswith("not asked: ")]
    assert why in line


def test_items_judged_in_one_half_only_are_left_out_of_drift_and_counted():
    d = timed()
    early = np.arange(len(d)) < 450
    for side in ("item_a", "item_b"):
        d[side] = np.where(early & (d[side] == "m0"), "m9", d[side])
    made = report.build(d)
    drift = strict(made)["diagnostics"]["drift"]
    assert drift["left_out"] == 2
    assert not {"m0", "m9"} & {one["item"] for one in drift["changes"]}
    assert any("2 items of one half only left out" in line for line in facts_of(made))


# --- length -------------------------------------------------------------------------------------


def test_what_length_gains_comes_back_and_ratings_stand_at_equal_length():
    made = report.build(long())
    length = strict(made)["length"]
    truth = 0.8 * np.tanh(1)
    assert length["ci_low"] < truth < length["ci_high"]
    assert length["longer_win_rate"] > 0.6
    rating = {item["item"]: item for item in length["items"]}
    raw = {item["item"]: item["rating"] for item in strict(made)["items"]}
    for i in range(4):
        own = rating[f"m{i}"]
        assert own["ci_low"] - 0.05 < TRUTH[i] - TRUTH.mean() < own["ci_high"] + 0.05
    assert raw["m3"] - raw["m0"] > rating["m3"]["rating"] - rating["m0"]["rating"] + 0.2
    assert any(re.match(r"length: \d+ units of length_a and", x) for x in facts_of(made))


def test_rounding_the_difference_moves_the_effect_by_far_less_than_its_error():
    d = long(2000)
    gap = (d["length_a"] - d["length_b"]).to_numpy()
    spread = np.sqrt(np.mean(gap**2))
    columns = (d["item_a"], d["item_b"], d["verdict"])
    for cluster in (None, d["annotator"]):
        exact = fit_bradley_terry(
            *columns, covariates={"length": np.tanh(gap / spread)}, cluster=cluster
        )
        groups = [] if cluster is None else [np.unique(cluster, return_inverse=True)[1]]
        got = length_effect(encode(*columns), groups, gap, "davidson", 0.95)
        one = np.tanh(1)
        assert got.effect.value == pytest.approx(exact.effects["length"].value * one, abs=1e-3)
        assert got.effect.se == pytest.approx(exact.effects["length"].se * one, rel=1e-2)
        assert got.ratings == pytest.approx(exact.ratings, abs=1e-3)
        assert got.spread == pytest.approx(spread)


def test_texts_are_measured_in_characters():
    d = long(400)
    texts = {f"text_{s}": ["x" * int(n) for n in d[f"length_{s}"]] for s in ("a", "b")}
    bare = d.drop(columns=["length_a", "length_b"])
    want = dict(report.build(d).length) | {"unit": "characters"}
    assert report.build(bare.assign(**texts)).length == want
    responses = {name.replace("text", "response"): own for name, own in texts.items()}
    assert report.build(bare.assign(**responses)).length == want


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda d: d.drop(columns="length_b"), "no lengths or texts of both sides"),
        (lambda d: d.assign(length_a="long"), "length_a 'long' is no length"),
        (lambda d: d.assign(length_b=-1), "length_b '-1' is no length"),
        (lambda d: d.assign(length_a=7, length_b=7), "equally long in every judgment"),
        (lambda d: d.assign(length_a=None), "no judgment has both lengths"),
    ],
)
def test_length_that_cannot_be_asked_says_why(change, why):
    made = report.build(change(long(300)))
    length = strict(made)["length"]
    assert why in length["explanation"]
    assert length["effect"] is None and length["items"] == []
    assert any(x.startswith("not asked: ") and why in x for x in facts_of(made))


def test_undefeated_items_have_neither_drift_nor_length_and_it_is_said():
    columns = {"item_a": ["x"] * 6, "item_b": ["y"] * 6, "verdict": ["a"] * 6}
    extra = {"time": range(6), "length_a": range(6), "length_b": [3] * 6}
    out = strict(report.build(columns | extra))
    assert "no finite rating" in out["diagnostics"]["drift"]["explanation"]
    assert "no finite rating" in out["length"]["explanation"]
    nothing = strict(
        report.build({k: v[:1] for k, v in columns.items()} | {"verdict": ["both_bad"]})
    )
    for part in nothing["diagnostics"].values():
        assert part["explanation"] == "nothing is rated"


# --- fit and circles ----------------------------------------------------------------------------


def circle(names=("r", "s", "p"), times=60):
    r, s, p = names
    return pd.DataFrame(
        {
            "item_a": [r, s, p] * times,
            "item_b": [s, p, r] * times,
            "verdict": (["a"] * 4 + ["b"]) * (3 * times // 5),
        }
    )


def test_a_circle_is_named_and_one_by_chance_is_not():
    made = report.build(circle())
    cycles = strict(made)["diagnostics"]["cycles"]
    assert cycles["count"] == 1
    assert cycles["strongest"][0]["items"] == ["p", "r", "s"]
    assert cycles["strongest"][0]["p_value"] < 1e-4
    assert any(x.startswith("circle: p over r over s over p, each by 4.6") for x in facts_of(made))
    weak = report.build(frame(200, 4, np.zeros(4)))
    assert not any(x.startswith("circle") for x in facts_of(weak))


def test_circles_by_chance_stay_below_their_level():
    loud = 0
    for seed in range(150):
        d = draw(np.linspace(-0.2, 0.2, 6), 1500, seed)
        found = intransitive_cycles(fit_bradley_terry(d["a"], d["b"], d["verdict"]))
        loud += bool(found) and found[0].p_value < 0.05
    assert loud <= 7


def test_the_pair_that_fits_worst_is_one_pair_over_both_placements():
    d = draw(TRUTH, 3000, 2, placement=0.2)
    a, b, v = d["a"], d["b"], d["verdict"].copy()
    odd = ((a == 0) & (b == 3)) | ((a == 3) & (b == 0))
    v[odd] = np.where(a[odd] == 0, 0, 1)
    fit = fit_bradley_terry(a, b, v, placement=d["placement"])
    worst = goodness_of_fit(fit).worst
    assert worst[0][:2] == (0, 3) and worst[0][2] > 5
    assert len(worst) == 6, "each pair once"
    (top, *_), pairs = pair_residuals(fit, most=3)
    assert pairs == 6
    assert (top.first, top.second, top.win_rate) == (0, 3, 1)
    assert top.expected < 0.9 and top.p_value < 1e-6
    names, verdicts = np.array([f"m{i}" for i in range(4)]), np.array(["a", "b", "tie"])
    made = report.build({"item_a": names[a], "item_b": names[b], "verdict": verdicts[v]})
    assert any(re.match(r"fit: m0 over m3 100% of \d+ where the ra", x) for x in facts_of(made))


def test_people_who_repeat_themselves_make_residuals_smaller_not_larger():
    d = frame(600)
    alone = report.build(d.drop(columns="annotator")).diagnostics["goodness_of_fit"]
    many = report.build(pd.concat([d] * 5)).diagnostics["goodness_of_fit"]
    assert "too small" in many["explanation"]
    assert abs(many["worst_pairs"][0]["residual"]) < 3 * abs(alone["worst_pairs"][0]["residual"])
    weighted = report.build(d.assign(weight=2.0)).diagnostics["goodness_of_fit"]
    assert "weights are not counts" in weighted["explanation"]


# --- the same whoever writes it down --------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_order_and_sides_change_no_digit_of_the_doubts(seed):
    rng = np.random.default_rng(seed)
    d = long(300, seed=seed)
    d["created_at"] = rng.integers(0, 50, 300)
    one = report.build(d)
    two = d.sample(frac=1, random_state=int(rng.integers(1000)))
    flip = rng.random(300) < 0.5
    other = {"item_a": "item_b", "item_b": "item_a", "length_a": "length_b", "length_b": "length_a"}
    turned = two.copy()
    for name, source in other.items():
        turned[name] = np.where(flip, two[source], two[name])
    turned["verdict"] = np.where(flip, two["verdict"].map(SWAP), two["verdict"])
    again = report.build(turned)
    assert strict(one)["diagnostics"] == strict(again)["diagnostics"]
    assert strict(one)["length"] == strict(again)["length"]


# --- pages ----------------------------------------------------------------------------------------

NASTY = '<script>alert("x")</script>|`*_\n[a](javascript:1)&amp;\x1b[2J'


def test_hostile_names_are_escaped_in_every_line_of_doubt():
    made = report.build(circle((NASTY, "s", "p")))
    page, text, terminal = html(made), markdown(made), table(made)
    assert "circle: " in page and "circle: " in text and "circle: " in terminal
    assert "<script" not in page and "<script>" not in text
    assert not re.search(r"(src|href)\s*=|url\(|@import|<link|<img", page)
    assert "\x1b" not in terminal and "\x1b" not in text
    (line,) = [x for x in text.splitlines() if "circle: " in x]
    assert not re.search(r"(?<!\\)[|`<>]", line)


def test_odd_extra_columns_never_stop_a_report(tmp_path):
    path = tmp_path / "j.csv"
    path.write_text(
        "item_a,item_b,verdict,time,time,length_a,length_b,created_at\n"
        "x,y,a,noon,1,many,2,\ny,x,a,,2,1,1,soon\nx,y,tie,x,,,,\n"
    )
    made = report.build(report.read_csv(path))
    assert made.n_judgments == 3
    assert "created_at 'soon' is no time" in made.diagnostics["drift"]["explanation"]
    assert "length_a 'many' is no length" in made.length["explanation"]

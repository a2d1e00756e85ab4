"""Charts state their finding, carry intervals and counts, and treat names as text."""

import json

import pandas as pd
import pytest

from annotate_app import charts, interval_charts

HOSTILE = '<img src=x onerror="alert(1)"> :red[x] datum.value $x^2$'
RATED = pd.DataFrame(
    {
        "item": [HOSTILE, "b", "c"],
        "label": [HOSTILE, "b", "b"],
        "rating": [0.5, 0.1, -0.6],
        "ci_low": [0.2, -0.2, -0.9],
        "ci_high": [0.8, 0.4, -0.3],
        "n": [40, 31, 1],
        "mark": ["answers now", None, ""],
    }
)
PAIRS = pd.DataFrame(
    {
        "item": ["a", "b"],
        "opponent": ["b", "a"],
        "win_rate": [0.95, 0.05],
        "ci_low": [0.9, 0.02],
        "ci_high": [0.98, 0.1],
        "n": [60, 60],
    }
)
ROUNDS = pd.DataFrame(
    {
        "persona": ["p", "p", "q"],
        "round": [1, 2, 1],
        "value": [0.6, 0.7, 0.69],
        "low": [0.5, 0.6, 0.5],
        "high": [0.7, 0.8, 0.8],
        "n": [30, 60, 20],
    }
)
GATE = pd.DataFrame(
    {
        "persona": ["p"],
        "label": [HOSTILE],
        "win_rate": [0.62],
        "ci_low": [0.51],
        "ci_high": [0.72],
        "n": [88],
    }
)
COURSE = pd.DataFrame(
    {"n": [5, 20, 60], "value": [0.8, 0.7, 0.66], "low": [0.1, 0.4, 0.51], "high": [1, 0.9, 0.8]}
)
CURVE = pd.DataFrame(
    {
        "step": [1, 2, 3, 2],
        "value": [0.69, 0.6, 0.5, 0.62],
        "series": ["training"] * 3 + ["held-out"],
    }
)
SOME = {"colours": {"p": "#123456"}, "names": {"p": "Playful"}}


def every_chart(ink=charts.LIGHT):
    """One of each kind, by name."""
    return {
        "ratings": charts.ratings(RATED, title="B leads", ink=ink),
        "win_matrix": charts.win_matrix(PAIRS, title="A beats b", ink=ink),
        "over_rounds": charts.over_rounds(ROUNDS, title="It rose", ink=ink, **SOME),
        "curve": charts.curve(CURVE, title="Loss fell", value="Loss", ink=ink),
        "gate_strip": charts.gate_strip(GATE, title="New beats old", ink=ink, **SOME),
        "narrowing": interval_charts.narrowing(COURSE, title="It narrowed", ink=ink),
    }


def walk(node):
    """Every mapping in a specification."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


@pytest.mark.parametrize("name", list(every_chart()))
@pytest.mark.parametrize("ink", [charts.LIGHT, charts.DARK], ids=["light", "dark"])
def test_the_title_is_the_finding_and_is_read_aloud(name, ink):
    spec = every_chart(ink)[name].to_dict()
    assert spec["title"]["text"]
    assert spec["description"] == spec["title"]["text"]
    assert spec["height"] > 40


@pytest.mark.parametrize(
    "name", ["ratings", "win_matrix", "over_rounds", "gate_strip", "narrowing"]
)
def test_every_estimate_says_its_interval_and_its_count(name):
    spec = every_chart()[name].to_dict()
    tooltips = [node["tooltip"] for node in walk(spec) if isinstance(node.get("tooltip"), list)]
    assert tooltips
    told = json.dumps(spec)
    assert "judgment" in told  # the count, in words, is in the data
    assert " to " in told  # and so is the interval


@pytest.mark.parametrize("name", list(every_chart()))
def test_names_are_data_and_never_expressions_or_fields(name):
    spec = every_chart()[name].to_dict()
    datasets = spec.pop("datasets")
    assert HOSTILE not in json.dumps(spec, ensure_ascii=False)
    if name in ("ratings", "gate_strip"):
        assert HOSTILE in json.dumps(datasets, ensure_ascii=False).replace('\\"', '"')
    for node in walk(spec):
        assert node.get("title") != "image"  # a tooltip field of that name would load pictures
        assert node.get("type") != "url"


def test_the_matrix_is_centred_at_one_half():
    spec = charts.win_matrix(PAIRS, title="x").to_dict()
    scales = [node["scale"] for node in walk(spec) if "scale" in node and "domain" in node["scale"]]
    assert [0, 0.5, 1] in [scale["domain"] for scale in scales]


def test_the_same_persona_has_the_same_colour():
    spec = json.dumps(charts.over_rounds(ROUNDS, title="x", **SOME).to_dict())
    assert "#123456" in spec
    assert "#123456" in json.dumps(charts.gate_strip(GATE, title="x", **SOME).to_dict())


def test_rows_of_one_name_stay_apart():
    assert charts.unique(["b", "b", "a"]) == ["b", "b ·2", "a"]


def test_labels_at_the_ends_of_lines_do_not_overlap():
    moved = charts.spread([0.5, 0.51, 0.9], 0.06)
    assert moved[1] - moved[0] == pytest.approx(0.06, abs=1e-6)
    assert moved[2] == 0.9


def test_sixty_items_still_fit():
    names = [f"model {n:02d}" for n in range(60)]
    pairs = pd.DataFrame(
        [(a, b, 0.5, 0.4, 0.6, 3) for a in names for b in names if a != b],
        columns=["item", "opponent", "win_rate", "ci_low", "ci_high", "n"],
    )
    spec = charts.win_matrix(pairs, title="x").to_dict()
    assert spec["height"] < 1200
    assert len(json.dumps(spec)) < 1_500_000

"""Reports: what they say, refuse and leave unchanged."""

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from simulated import draw
from worked_examples import REAL

from preference import ReportError, report
from preference.errors import PreferenceError
from preference.render_html import html
from preference.render_text import markdown, table

ITEM = [
    "item",
    "rating",
    "se",
    "ci_low",
    "ci_high",
    "wins",
    "losses",
    "ties",
    "win_rate",
    "win_rate_ci_low",
    "win_rate_ci_high",
    "n",
]
PROMISED = (
    "items",
    "ties",
    "bias",
    "agreement",
    "components",
    "n_judgments",
    "dropped",
    "settings",
)


def frame(n=600, seed=0, **options):
    d = draw([-0.6, 0.0, 0.2, 1.0], n, seed, annotators=20, spread=0.4, placement=0.3, **options)
    return pd.DataFrame(
        {
            "item_a": [f"m{i}" for i in d["a"]],
            "item_b": [f"m{i}" for i in d["b"]],
            "verdict": np.array(["a", "b", "tie"])[d["verdict"]],
            "annotator": [f"p{i}" for i in d["annotator"]],
            "prompt": np.arange(n) % 15,
            "placement": d["placement"],
        }
    )


def strict(made):
    return json.loads(json.dumps(made.to_json_dict(), allow_nan=False))


def test_the_json_has_the_promised_fields_in_falling_order():
    out = strict(report.build(frame()))
    for key in PROMISED:
        assert key in out
    assert [list(item) for item in out["items"]] == [ITEM] * 4
    ratings = [item["rating"] for item in out["items"]]
    assert ratings == sorted(ratings, reverse=True)
    assert out["items"][0]["item"] == "m3"
    assert out["n_judgments"] == 600
    assert out["dropped"] == 0
    assert out["components"] == [["m0", "m1", "m2", "m3"]]
    assert out["settings"]["clusters"] == {"annotator": 20, "prompt": 15}
    assert out["bias"]["ci_low"] < 0.3 < out["bias"]["ci_high"]
    assert out["ties"]["model"] == "davidson"


def test_rows_in_another_order_give_the_same_report_to_the_last_digit():
    one = frame()
    two = one.sample(frac=1, random_state=3)
    assert report.build(one).to_json_dict() == report.build(two).to_json_dict()


def test_an_undefeated_item_gets_a_stated_prior_and_a_flag():
    made = report.build({"item_a": ["x"] * 5, "item_b": ["y"] * 5, "verdict": ["a"] * 5})
    out = strict(made)
    assert out["settings"]["prior"] == "firth"
    assert out["flags"] == {"x": ["undefeated"], "y": ["winless"]}
    assert any("Firth" in note for note in out["notes"])
    assert out["items"][0]["win_rate"] == 1
    with pytest.raises(PreferenceError, match="never lost"):
        report.build({"item_a": ["x"], "item_b": ["y"], "verdict": ["a"]}, prior=None)


def test_groups_that_never_met_are_rated_apart_and_it_is_said():
    columns = {
        "item_a": ["x", "y", "p", "q", "p", "lone"],
        "item_b": ["y", "x", "q", "p", "q", "other"],
        "verdict": ["a", "a", "a", "a", "a", "both_bad"],
    }
    out = strict(report.build(columns))
    assert "2 groups of items never met" in out["finding"]
    assert "must not be compared" in out["notes"][0]
    assert [i["item"] for i in out["items"]] == ["p", "q", "x", "y", "lone", "other"]
    assert out["items"][-1]["rating"] is None
    assert out["items"][0]["rating"] == -out["items"][1]["rating"]
    assert out["ranks"] == {}
    assert "no rating for lone, other: every judgment there found both bad" in out["notes"]


def test_an_item_that_was_only_found_bad_hides_no_ranking_of_the_others():
    d = frame(4000, seed=2)
    d = pd.concat([d, d[:1].assign(item_a="bad", item_b="m0", verdict="both_bad")])
    made = report.build(d)
    assert made.finding == "m3 is ahead of all 3 others"
    assert list(made.ranks) == ["m0", "m1", "m2", "m3"]
    assert made.items[-1].item == "bad" and made.items[-1].rating is None
    assert "no rating for bad: every judgment there found both bad" in made.notes


def test_only_ties_are_equal_ratings_with_honest_width():
    out = strict(report.build({"item_a": ["x"] * 4, "item_b": ["y"] * 4, "verdict": ["tie"] * 4}))
    assert [i["rating"] for i in out["items"]] == [0, 0]
    assert out["items"][0]["ci_high"] > 0.5


def test_only_both_bad_ranks_nothing_and_says_so():
    made = report.build({"item_a": ["x"], "item_b": ["y"], "verdict": ["both_bad"]})
    assert "nothing to rank" in made.finding
    for render in (table, markdown, html):
        assert render(made)


def test_simulated_annotators_are_named_in_the_notes():
    d = frame(200)
    d["annotator_kind"] = np.where(np.arange(200) % 4 == 0, "human", "simulated")
    made = report.build(d)
    assert "75% of the judgments come from simulated annotators" in made.notes
    assert made.settings["judgments_by_kind"] == {"human": 50, "simulated": 150}


def test_an_automatic_judge_is_compared_with_people_on_the_same_comparisons():
    d = pd.concat([frame(300)] * 2, ignore_index=True)
    d["comparison"] = list(range(300)) * 2
    d["annotator_kind"] = ["human"] * 300 + ["automatic"] * 300
    d.loc[300:, "annotator"] = "judge"
    agreement = report.build(d).agreement
    assert agreement["automatic"].value == pytest.approx(1)
    rng = np.random.default_rng(0)
    d.loc[300:, "verdict"] = rng.choice(["a", "b", "tie"], 300)
    agreement = report.build(d).agreement
    assert abs(agreement["automatic"].value) < 0.15
    assert agreement["automatic"].ci_low < 0 < agreement["automatic"].ci_high


def test_agreement_without_overlap_or_annotators_says_why():
    d = frame(30)
    d["comparison"] = range(30)
    assert "raise the overlap" in report.build(d).agreement["explanation"]
    assert (
        "no annotator column" in report.build(d.drop(columns="annotator")).agreement["explanation"]
    )


def test_few_prompts_and_one_annotator_are_not_clustered_and_it_is_said():
    d = frame(200)
    d["prompt"], d["annotator"] = "only", "me"
    made = report.build(d)
    assert made.settings["clusters"] == {}
    assert any("one annotator only" in n for n in made.notes)
    assert any("one prompt only" in n for n in made.notes)


def test_fewer_than_five_annotators_widen_no_interval_and_it_is_said():
    d = frame(200)
    d["annotator"] = ["ann", "bob", "cy", "di"] * 50
    made = report.build(d.drop(columns="prompt"))
    assert made.settings["clusters"] == {}
    assert any("4 annotators are too few to speak for others" in n for n in made.notes)
    d["annotator"] = ["ann", "bob", "cy", "di", "eve"] * 40
    assert report.build(d).settings["clusters"]["annotator"] == 5


def test_a_clear_leader_is_called_ahead_and_a_close_one_is_not():
    d = frame(4000, seed=2)
    assert report.build(d).finding == "m3 is ahead of all 3 others"
    two = {"item_a": ["x", "y"] * 6, "item_b": ["y", "x"] * 6, "verdict": ["a", "a", "b"] * 4}
    assert report.build(two).finding.startswith("x and y cannot be told apart yet")


def test_auto_ties_say_how_they_chose():
    out = strict(report.build(frame(), ties="auto"))
    assert set(out["ties"]["held_out_log_likelihood"]) == {"davidson", "rao_kupper"}
    assert out["settings"]["ties_asked"] == "auto"
    assert out["settings"]["ties"] in ("davidson", "rao_kupper")


def test_weighted_rows_and_zero_weights_are_counted():
    d = frame(200)
    d["weight"] = np.where(np.arange(200) < 10, 0.0, 2.0)
    out = strict(report.build(d))
    assert out["dropped"] == 10
    assert out["settings"]["weighted"] is True
    assert sum(i["n"] for i in out["items"]) == 2 * 2 * 190


def test_a_judgment_of_weight_zero_counts_nowhere():
    d = frame(200)
    d["weight"] = 1.0
    ghost = d.assign(item_a="ghost", annotator="nobody", weight=0.0)
    out = strict(report.build(pd.concat([d, ghost])))
    assert (out["n_judgments"], out["dropped"]) == (400, 200)
    assert out["items"] == strict(report.build(d))["items"]
    assert out["agreement"] == strict(report.build(d))["agreement"]
    assert out["finding"] == report.build(d).finding


def test_weights_without_annotators_are_said_to_set_the_width_of_intervals():
    d = frame(200).assign(weight=0.5)
    assert not any("scale" in note for note in report.build(d).notes)
    assert any("scale" in note for note in report.build(d.drop(columns="annotator")).notes)


def test_one_prompt_under_two_personas_is_two_comparisons():
    d = frame(300)
    d["prompt"] = np.arange(300)
    d["persona"] = "kind"
    other = d.assign(persona="blunt", annotator="q", verdict="tie")
    out = report.build(pd.concat([d, other]))
    assert "raise the overlap" in out.agreement["explanation"]
    pooled = report.build(pd.concat([d, other]).drop(columns="persona"))
    assert pooled.agreement["comparisons_judged_more_than_once"] == 300


@pytest.mark.parametrize(
    ("places", "why"),
    [
        ([1] * 60, "cannot be told apart"),
        ([0] * 60, "no judgment that counts says which item had the first place"),
        (None, "no placement column"),
    ],
)
def test_a_missing_effect_of_the_first_place_says_why(places, why):
    d = pd.DataFrame({"item_a": ["x"] * 60, "item_b": ["y"] * 60, "verdict": ["a", "b", "a"] * 20})
    made = report.build(d if places is None else d.assign(placement=places))
    assert made.bias["placement_effect"] is None
    assert why in made.bias["explanation"]


def test_equal_leaders_are_not_called_ahead():
    cycle = {"item_a": ["x", "y", "z"], "item_b": ["y", "z", "x"], "verdict": ["a", "a", "a"]}
    assert report.build(cycle).finding == "No item is ahead of all others: x, y, z are level"
    assert "-0.00" not in table(report.build(cycle))


def test_strength_counts_twice_only_when_asked():
    d = frame(200)
    d["strength"] = 2
    once = report.build(d)
    twice = report.build(d, strength=True)
    decided = (d["verdict"] != "tie").sum()
    assert sum(i.n for i in once.items) == 2 * 200
    assert sum(i.n for i in twice.items) == 2 * (200 + decided)
    with pytest.raises(ReportError, match="no column strength"):
        report.build(frame(200), strength=True)
    with pytest.raises(ReportError, match="row 0, field strength: '3'"):
        report.build(d.assign(strength=3))


# --- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty file"),
        ("item_a,item_b,verdict\n", "no judgments below the header"),
        ("left,right,winner\nx,y,a\n", "line 1: column item_a, item_b, verdict is missing"),
        ("item_a;item_b;verdict\nx;y;a\n", "separate the columns by commas"),
        ("item_a,item_b,verdict,verdict\nx,y,a,b\n", "column verdict occurs twice"),
        ("item_a,item_b,verdict\nx,y,a\nx,y,win\n", "line 3, field verdict: 'win' is unknown"),
        ("item_a,item_b,verdict\nx,y,\n", "line 2, field verdict: '' is unknown"),
        ("item_a,item_b,verdict\nx,y,a\n\n,y,a\n", "line 4, field item_a: empty"),
        ("item_a,item_b,verdict\nx,y,a\ny,y,b\n", "line 3, fields item_a and item_b: 'y' is"),
        ("item_a,item_b,verdict,weight\nx,y,a,-1\n", "line 2, field weight: '-1'"),
        ("item_a,item_b,verdict,weight\nx,y,a,nan\n", "line 2, field weight: 'nan'"),
        ("item_a,item_b,verdict,weight\nx,y,a,0\n", "every weight is zero"),
        ("item_a,item_b,verdict,placement\nx,y,a,2\n", "line 2, field placement: '2'"),
        ("item_a,item_b,verdict\nx,y,a,extra\n", "line 2: 4 fields where the header has 3"),
        ("item_a,item_b,verdict,prompt\nx,y,a,1\nx,y,a\n", "line 3: 3 fields where the header"),
        ("item_a,item_b,verdict,weight\nx,y,a,1_0\n", "line 2, field weight: '1_0'"),
        ("item_a,item_b,verdict,weight\nx,y,a,1e300\n", "line 2, field weight: '1e300'; use a n"),
        ("item_a,item_b,verdict,weight\nx,y,a,1e-300\n", "line 2, field weight: '1e-300'"),
        ("item_a,item_b,verdict\nx,y,a\nx,y,a,b\n", "line 3: 4 fields where the header has 3"),
        ('item_a,item_b,verdict\n"two\nlines",y,a\nx,y,c\n', "line 4, field verdict: 'c'"),
        (b"item_a,item_b,verdict\nx,\xff\xfe,a\n", "not UTF-8"),
    ],
)
def test_a_bad_file_is_refused_with_file_line_field_and_remedy(tmp_path, text, words):
    path = tmp_path / "judgments.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ReportError) as caught:
        report.read_csv(path)
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ReportError, match="no such file"):
        report.read_csv(tmp_path / "none.csv")
    with pytest.raises(ReportError, match="not a regular file"):
        report.read_csv(tmp_path)


@pytest.mark.parametrize("damage", [lambda b: b[:-6], lambda b: b[:10] + b"\xff" * 20])
def test_a_damaged_gzip_file_is_refused(tmp_path, damage):
    path = tmp_path / "j.csv.gz"
    path.write_bytes(damage(gzip.compress(b"item_a,item_b,verdict\nx,y,a\n" * 3)))
    with pytest.raises(ReportError, match="cannot be read as CSV"):
        report.read_csv(path)


def test_names_that_look_like_numbers_stay_as_written(tmp_path):
    path = tmp_path / "j.csv"
    names = ["007", "1.10", "1.1", "1e3", "True"] * 20_000
    rows = [f"{a},{b},a\n" for a, b in zip(names, names[1:] + names[:1], strict=True)]
    path.write_text("item_a,item_b,verdict\n" + "".join(rows[:-1]))
    assert list(report.read_csv(path).item_a) == names[:-1]
    assert {i.item for i in report.build(report.read_csv(path)).items} == set(names)


def test_columns_without_a_name_and_repeated_extra_ones_are_ignored(tmp_path):
    path = tmp_path / "j.csv"
    path.write_text("note,item_a,item_b,verdict,note,,\n1,x,y,a,2,,\n1,y,x,a,,,\n")
    assert list(report.read_csv(path).item_a) == ["x", "y"]


def test_two_candidates_of_one_item_are_dropped_where_the_file_has_their_texts(tmp_path):
    path = tmp_path / "j.csv"
    path.write_text("item_a,item_b,verdict,text_a,text_b\nx,y,a,1,2\ny,x,a,2,1\nx,x,a,1,3\n")
    made = report.build(report.read_csv(path))
    assert (made.n_judgments, made.dropped, made.items[0].n) == (3, 1, 2)


def test_a_file_may_have_a_mark_spaces_other_columns_and_be_compressed(tmp_path):
    text = "\ufeffitem_a , note,item_b,verdict,placement\n x,hi, y ,A,left\ny,,x, tie ,right\n"
    plain, packed = tmp_path / "j.csv", tmp_path / "j.csv.gz"
    plain.write_text(text, encoding="utf-8")
    packed.write_bytes(gzip.compress(text.encode()))
    for path in (plain, packed):
        columns = report.read_csv(path)
        assert list(columns.item_a) == ["x", "y"]
        assert list(columns.verdict) == [0, 2]
        assert list(columns.placement) == [1, -1]


def test_a_frame_is_refused_by_row():
    with pytest.raises(ReportError, match="row 1, field verdict"):
        report.build({"item_a": ["x", "x"], "item_b": ["y", "y"], "verdict": ["a", "?"]})
    with pytest.raises(ReportError, match="columns verdict are missing"):
        report.build({"item_a": ["x"], "item_b": ["y"]})
    with pytest.raises(ReportError, match="no judgments yet"):
        report.build({"item_a": [], "item_b": [], "verdict": []})
    with pytest.raises(ReportError, match="ties 'x' is unknown"):
        report.build(frame(), ties="x")


# --- pages --------------------------------------------------------------------------------------

NASTY = '<script>alert("x")</script>|`*_\n[a](javascript:1)&amp;'


def nasty():
    names = [NASTY, "plain", "third"]
    rng = np.random.default_rng(0)
    a = rng.integers(0, 3, 60)
    b = (a + rng.integers(1, 3, 60)) % 3
    return report.build(
        {
            "item_a": [names[i] for i in a],
            "item_b": [names[i] for i in b],
            "verdict": rng.choice(["a", "b", "tie", "both_bad"], 60),
        },
        source=NASTY,
    )


def test_no_name_commands_the_terminal_or_breaks_a_line():
    text = table(
        report.build(
            {"item_a": ["\x1b[2Jx\n", "y"], "item_b": ["y", "\x1b[2Jx\n"], "verdict": ["a", "tie"]}
        )
    )
    assert "\x1b" not in text and r"\x1b[2Jx" in text
    two = {
        "item_a": ["a\nb", "y👩\u200d💻"],
        "item_b": ["y👩\u200d💻", "a\nb"],
        "verdict": ["a"] * 2,
    }
    assert r"a\nb" in table(report.build(two)) and "y👩\u200d💻" in table(report.build(two))


def test_the_page_escapes_every_name_and_loads_nothing():
    page = html(nasty())
    assert "<script" not in page
    assert "javascript:1)&amp;amp;" in page
    assert not re.search(r"(src|href)\s*=|url\(|@import|<link|<img", page)
    assert page.count("<table") == page.count("</table>") == 2
    for tag in ("svg", "figure", "tr", "td", "g"):
        assert page.count(f"<{tag}") - page.count("</" + tag + ">") in (0, page.count("<title>"))


def test_the_page_and_the_markdown_state_the_finding_in_their_title():
    made = report.build(frame(4000, seed=2))
    assert "<title>m3 is ahead of all 3 others</title>" in html(made)
    assert markdown(made).startswith("# m3 is ahead of all 3 others\n")
    assert table(made).startswith("m3 is ahead of all 3 others\n")


def test_markdown_keeps_nasty_names_on_one_escaped_line():
    text = markdown(nasty())
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 4
    assert "<script>" not in text
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 9 for row in rows)


# --- real judgments -----------------------------------------------------------------------------


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared LLMFAO data are not here")
def test_real_crowd_judgments_rank_as_their_author_found():
    crowd = pd.read_csv(REAL / "llmfao_crowd.csv.gz")
    judge = pd.read_csv(REAL / "llmfao_gpt4_judge.csv.gz").assign(worker="gpt-4")
    both = pd.concat([crowd, judge], ignore_index=True)

    def columns(d, **more):
        return pd.DataFrame(
            {
                "item_a": d["left"],
                "item_b": d["right"],
                "verdict": d["winner"].map({"left": "a", "right": "b", "tie": "tie"}),
                "annotator": d["worker"],
                "prompt": d["prompt"],
                "placement": 1,
                **more,
            }
        )

    made = report.build(columns(crowd))
    assert made.n_judgments == 8931
    assert made.settings["clusters"] == {"annotator": 124, "prompt": 13}
    assert made.items[0].item == "GPT 4"
    assert 0.2 < made.agreement["krippendorff_alpha"].value < 0.4
    assert made.bias["first_place_win_rate"] == pytest.approx(0.520, abs=5e-4)
    kinds = np.where(both["worker"] == "gpt-4", "automatic", "human")
    agreement = report.build(columns(both, annotator_kind=kinds)).agreement["automatic"]
    assert 0 < agreement.ci_low < agreement.value < agreement.ci_high < 0.6


# --- documents ----------------------------------------------------------------------------------


def test_the_walk_through_shows_what_the_example_prints():
    root = Path(__file__).resolve().parents[2]
    made = report.build(report.read_csv(root / "data" / "example_judgments.csv"))
    text = (root / "docs" / "report.md").read_text(encoding="utf-8")
    assert f"```\n{table(made)}```" in text
    assert made.fits[0].difference("warm", "short").value == pytest.approx(1.49, abs=0.005)


def test_every_public_name_of_the_room_is_explained():
    import preference

    root = Path(__file__).resolve().parents[2]
    text = (root / "docs" / "statistics.md").read_text(encoding="utf-8")
    for name in preference.__all__:
        value = getattr(preference, name)
        assert value.__doc__
        if not isinstance(value, type):
            assert f"`{name}" in text, name

"""Import and export: the same ledger comes out that went in, and a bad row takes nothing."""

import itertools
import json
from pathlib import Path

import filling
import pytest
from filling import PERSONA
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from db import batches, exporting, importing, judgments, labeling, pair_export, prompts, rounds
from db.errors import ImportRefused
from db.models import Adapter, Annotator, AnnotatorKind, Comparison, Judgment, Prompt
from db.session import sessions
from db.writing import write_rows

Make = sessionmaker[Session]
TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1
).filter(str.strip)
NUMBERS = itertools.count()


def everything(make: Make) -> list[dict]:
    with make() as session:
        return list(exporting.judgment_rows(session, history=True))


def counted(make: Make, what: type) -> int:
    with make() as session:
        return session.scalar(select(func.count()).select_from(what)) or 0


def exported(make: Make, path: Path) -> Path:
    write_rows(path, everything(make), exporting.JUDGMENT_COLUMNS, path.suffixes[0][1:])
    return path


def ledger(make: Make, texts: list[str], comment: str) -> None:
    """Pairs in two batches judged by three, with an undo, a revision, ties and comments."""
    with make.begin() as session:
        filling.persona(session)
        made = filling.batch(session, pairs=0, overlap=3)
        late = [
            filling.candidate(session, text, adapter="new", seed=100 + number)
            for number, text in enumerate(texts)
        ]
        for number, one in enumerate(late):
            early = filling.candidate(session, f"old {number} {texts[number]}", seed=number)
            batches.put_comparison(session, made, one, early, gold="a" if number else None)
        filling.batch(session, pairs=1, name="blind", kind="blind")
        first = rounds.open_round(session, PERSONA, f"{PERSONA}-old")
        first.label_batch_id = made.id
        ann, bob = filling.crowd(session, ["ann", f"bob {comment[:50]}"])
        robot = filling.somebody(session, "robot", "simulated").id
    with make.begin() as session:
        for who, verdict in ((ann, "a"), (bob, "both_bad"), (robot, "tie")):
            while shown := labeling.claim(session, who):
                labeling.judge(
                    session,
                    shown.token,
                    who,
                    verdict,
                    strength=2 if verdict == "a" else None,
                    comment=comment,
                    tags=["tone", comment],
                    safe="yes",
                    min_dwell=False,
                )
        again = labeling.undo(session, ann)
        labeling.judge(session, again.token, ann, "b", min_dwell=False)
        old = labeling.my_history(session, bob)[-1].judgment_id
        shown = labeling.revise(session, bob, old)
        labeling.judge(session, shown.token, bob, "a", min_dwell=False)


@pytest.mark.parametrize("name", ["j.jsonl", "j.csv", "j.parquet", "j.csv.gz"])
def test_what_is_exported_and_imported_again_is_the_same_ledger(
    make: Make, another: str, tmp_path: Path, name: str
) -> None:
    ledger(make, ["=1+1", "line\nbreak 😀", '\'quoted, "twice"'], "@all\t\r\nthanks")
    path = exported(make, tmp_path / name)
    fresh = sessions(another)
    with fresh.begin() as session:
        done = importing.import_judgments(session, path)
    assert (done.added, done.known) == (12, 0)
    assert {row["round"] for row in everything(make)} == {1, None}
    assert everything(fresh) == everything(make)
    with fresh.begin() as session:
        again = importing.import_judgments(session, path)
    assert (again.added, again.known) == (0, 12)
    with make.begin() as session:
        own = importing.import_judgments(session, path)
    assert (own.added, own.known) == (0, 12)
    assert everything(fresh) == everything(make)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(TEXT, min_size=2, max_size=4, unique_by=str.strip), comment=TEXT)
def test_any_text_survives_the_round_trip(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory, texts: list[str], comment: str
) -> None:
    folder = tmp_path_factory.mktemp("trip")
    urls = [f"sqlite:///{folder / name}" for name in ("one.db", "two.db")]
    for name in ("one.db", "two.db"):
        (folder / name).write_bytes(sqlite_template.read_bytes())
    here, there = sessions(urls[0]), sessions(urls[1])
    ledger(here, texts, comment.strip() or "x")
    for name in ("j.csv", "j.jsonl"):
        path = exported(here, folder / name)
        with there.begin() as session:
            importing.import_judgments(session, path)
        assert everything(there) == everything(here)


def test_pairs_keep_their_order_when_ids_come_out_otherwise(
    make: Make, another: str, tmp_path: Path
) -> None:
    ledger(make, ["one", "two", "three"], "x")
    fresh = sessions(another)
    with fresh.begin() as session:  # the first candidate here is the second of a pair there
        filling.persona(session)
        filling.candidate(session, "unrelated", seed=77)
    rows = [row for row in everything(make) if row["retracted"] is None]
    flipped = []
    for number, row in enumerate(rows):
        row["judgment"] = f"row-{number}"
        other = {"a": "b", "b": "a"}.get(row["verdict"], row["verdict"])
        sides = {
            f"{name}_{side}": row[f"{name}_{'b' if side == 'a' else 'a'}"]
            for name in ("item", "kind", "text", "seed", "sampling", "source", "stop_reason")
            for side in "ab"
        }
        flipped.append({**row, **sides, "verdict": other, "placement": -row["placement"]})
    path = tmp_path / "flipped.jsonl"
    write_rows(path, flipped[:1] + rows[1:], (), "jsonl")
    with fresh.begin() as session:
        importing.import_judgments(session, path)
        assert len(judgments.standing_frame(session)) == len(rows)
    for row in everything(fresh):
        first = next(each for each in rows if {row["text_a"], row["text_b"]} == {
            each["text_a"], each["text_b"]} and each["annotator"] == row["annotator"])  # fmt: skip
        same = first["text_a"] == row["text_a"]
        expected = first["verdict"] if same else {"a": "b", "b": "a"}.get(first["verdict"])
        assert row["verdict"] == (expected or first["verdict"])
        assert row["placement"] == (first["placement"] if same else -first["placement"])


def test_anybodys_table_of_verdicts_is_taken(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        "item_a,item_b,verdict,annotator,prompt,placement,weight\n"
        "gpt,llama,a,w1,p1,1,2.5\n"
        "llama,gpt,B,w2,p1,-1,\n"
        "gpt,llama,tie,w1,p2,,\n"
        "gpt,llama,tie,w1,p2,,\n"
    )
    with make.begin() as session:
        done = importing.import_judgments(session, path)
        assert (done.added, done.batches) == (4, ("mine",))
        frame = judgments.standing_frame(session)
        assert frame["weight"].tolist() == [2.5, 1.0, 1.0, 1.0]
        wins = [
            row.item_a if row.verdict == "a" else row.item_b
            for row in frame.itertuples()
            if row.verdict in {"a", "b"}
        ]
        assert wins == ["gpt", "gpt"]
        assert set(frame["placement"]) <= {-1, 0, 1}
        assert session.get_one(Adapter, "gpt").kind == "external"
        assert prompts.prompts(session) == []  # nothing to generate answers for
        assert importing.import_judgments(session, path).added == 0
        ann = filling.somebody(session, "someone").id
        assert labeling.claim(session, ann) is None
    assert counted(make, Judgment) == 4


@pytest.mark.parametrize(
    ("columns", "row", "message"),
    [
        ("item_a,verdict", "x,a", "field item_b: is missing"),
        ("item_a,item_b,verdict", ",y,a", "line 3: field item_a: is missing; give it a value"),
        ("item_a,item_b,verdict", "x,y,left", "field verdict: 'left' is not a, b, tie or both_bad"),
        ("item_a,item_b,verdict,weight", "x,y,a,-1", "field weight: must be above 0"),
        ("item_a,item_b,verdict,weight", "x,y,a,lots", "field weight: 'lots' is not a number"),
        ("item_a,item_b,verdict,placement", "x,y,a,2", "field placement: 2 is not one of -1, 0, 1"),
        ("item_a,item_b,verdict,strength", "x,y,tie,2", "field strength: a tie has none"),
        ("item_a,item_b,verdict,created_at", "x,y,a,now", "field created_at: 'now' is not a time"),
        ("item_a,item_b,verdict,annotator_kind", "x,y,a,cat", "is not one of human, simulated"),
        ("item_a,item_b,verdict,tags", "x,y,a,[", "field tags: is not valid JSON"),
        ("item_a,item_b,verdict,annotator", f"x,y,a,{'n' * 121}", "has 121 characters; at most"),
        ("item_a,item_b,verdict,messages", 'x,y,a,"[{}]"', "field messages: turn 1"),
        ("item_a,item_b,verdict,tags", 'x,y,a,"[NaN]"', "field tags: holds nan, which is no"),
        ("item_a,item_b,verdict,tags", f"x,y,a,{'[' * 99}{']' * 99}", "nested more than 64 deep"),
        ("item_a,item_b,verdict,tags", 'x,y,a,"[""\\ud800""]"', "has a character that no"),
        ("item_a,item_b,verdict,sampling_a", 'x,y,a,"[1]"', "sampling_a: must be a JSON object"),
        ("item_a,item_b,verdict,seed_a", f"x,y,a,{10**30}", "field seed_a: must be from"),
        ("item_a,item_b,verdict,dwell_ms", "x,y,a,-5", "field dwell_ms: must be from 0 to"),
        ("item_a,item_b,verdict,placement", "x,y,a,0.5", "placement: '0.5' is not a whole number"),
        ("item_a,item_b,verdict,helpful", "x,y,a,maybe", "'maybe' is not one of yes, no, unsure"),
        ("item_a,item_b,verdict,retracted", "x,y,a,lost", "is not one of undone, revised"),
        ("item_a,item_b,verdict,flag", f"x,y,a,{'f' * 33}", "field flag: has 33 characters"),
        ("item_a,item_b,verdict,id", f"x,y,a,{'i' * 161}", "field id: has 161 characters"),
        ("item_a,item_b,verdict,persona", "x,y,a,../up", "field persona: '../up' is no slug"),
        ("item_a,item_b,verdict,created_at", "x,y,a,0001-01-01T00:00+14:00", "outside the calend"),
        ("item_a,item_b,verdict", "x,x,a", "field item_b: a comparison needs two different"),
        ("item_a,item_b,verdict", "x,y\x00,a", "field item_b: has a character"),
        ("item_a,item_b,verdict,attempt", "x,y,a,0", "field attempt: must be from 1 to"),
        ("item_a,item_b,verdict,shown_at", "x,y,a,soon", "field shown_at: 'soon' is not a time"),
        ("item_a,item_b,verdict,batch_strategy", "x,y,a,best", "'best' is not one of listed, inf"),
        ("item_a,item_b,verdict,author_a", f"x,y,a,{'n' * 121}", "author_a: has 121 characters"),
        ("item_a,item_b,verdict,flags", "x,y,a,{}", "field flags: must be a JSON list of objects"),
        ("item_a,item_b,verdict,flags", "x,y,a,[3]", "field flags[0]: must be an object of fields"),
        ("item_a,item_b,verdict,flags", 'x,y,a,"[{""kind"": ""odd""}]"', "flags[0].kind: 'odd'"),
        ("item_a,item_b,verdict,returns", 'x,y,a,"[{}]"', "field returns[0].by: is missing"),
        ("item_a,item_b,verdict,repeats", 'x,y,a,"[{}]"', "field repeats[0].placement: is missing"),
        (
            "item_a,item_b,verdict,adjudications",
            'x,y,a,"[{""verdict"": ""a"", ""by"": ""m""}]"',
            "field adjudications[0].placement: is missing",
        ),
        ("item_a,item_b,verdict,adjudicated", "x,y,a,b", "adjudicated: is not the last of adjudi"),
    ],
)
def test_a_bad_row_is_named_and_nothing_of_the_file_is_taken(
    sqlite_url: str, tmp_path: Path, columns: str, row: str, message: str
) -> None:
    good = ",".join({"verdict": "a"}.get(name, "x" + name[-1]) if name in {"item_a", "item_b",
                    "verdict"} else "" for name in columns.split(","))  # fmt: skip
    path = tmp_path / "bad.csv"
    path.write_text(f"{columns}\n{good}\n{row}\n")
    make = sessions(sqlite_url)
    with pytest.raises(ImportRefused) as refused, make.begin() as session:
        importing.import_judgments(session, path)
    assert message in str(refused.value)
    assert str(path) in str(refused.value) and "nothing was imported" in str(refused.value)
    assert [counted(make, each) for each in (Judgment, Annotator, Adapter, Comparison)] == [0] * 4


def test_an_annotators_name_cannot_change_its_kind(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "j.csv"
    path.write_text("item_a,item_b,verdict,annotator\nx,y,a,ann\n")
    with make.begin() as session:
        filling.somebody(session, "ann", "simulated")
    with pytest.raises(ImportRefused, match="line 2: field annotator"), make.begin() as session:
        importing.import_judgments(session, path)


def test_a_table_that_has_its_whole_numbers_with_a_point_is_taken(
    make: Make, tmp_path: Path
) -> None:
    path = tmp_path / "pandas.csv"
    path.write_text("item_a,item_b,verdict,placement,strength\nx,y,a,1.0,2.0\ny,x,tie,,\n")
    with make.begin() as session:
        importing.import_judgments(session, path)
        frame = judgments.standing_frame(session)
    assert (frame["placement"].iloc[0], frame["strength"].iloc[0]) == (1, 2)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "x", "split": "test"}, "field split: must be one of loop, heldout, imported"),
        ({"messages": [], "prompt": ""}, "field prompt: give "),
        ({"messages": {"role": "user"}}, "field messages: turn 1 must be "),
        ({"prompt": "x", "journey": "j" * 65}, "field journey: has 65 characters; at most 64"),
    ],
)
def test_a_bad_prompt_is_named_by_line_and_field(
    sqlite_url: str, tmp_path: Path, row: dict, message: str
) -> None:
    path = tmp_path / "p.jsonl"
    write_rows(path, [row], (), "jsonl")
    with pytest.raises(ImportRefused) as refused, sessions(sqlite_url).begin() as session:
        importing.import_prompts(session, path)
    assert f"line 1: {message}" in str(refused.value)


def test_prompts_are_taken_once(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes?"}]
    rows = [
        {"prompt": "reset my password", "intent": "reset", "tags": ["a"], "split": "heldout"},
        {"messages": [*turns, {"role": "user", "content": "bye"}]},
        {"prompt": "reset my password"},
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    with make.begin() as session:
        done = importing.import_prompts(session, path)
        assert (done.rows, done.added, done.known) == (3, 2, 1)
        assert [prompt.split for prompt in prompts.prompts(session)] == ["heldout", "loop"]
        assert importing.import_prompts(session, path).added == 0
    path.write_text('{"prompt": "fine"}\n{"messages": [{"role": "assistant", "content": "x"}]}')
    with pytest.raises(ImportRefused, match="line 2: field messages"), make.begin() as session:
        importing.import_prompts(session, path)
    assert counted(make, Prompt) == 2


def test_imported_pairs_can_be_judged_and_judgments_of_them_find_them(
    make: Make, tmp_path: Path
) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(
        "id,prompt,text_a,text_b,item_a,item_b,gold\n"
        "1,Who?,Me.,You.,x,y,a\n2,Why?,Because.,,x,y,\n3,How?,So.,Thus.,y,x,\n"
    )
    verdicts = tmp_path / "verdicts.csv"
    verdicts.write_text(
        "comparison_external_id,item_a,item_b,verdict,annotator\n1,y,x,a,w\n3,x,y,a,w\n"
    )
    with make.begin() as session:
        done = importing.import_comparisons(session, pairs, batch="set", overlap=2)
        assert (done.added, done.hidden) == (3, 1)
        importing.import_judgments(session, verdicts, batch="set")
        frame = judgments.standing_frame(session)
        winner = [r.item_a if r.verdict == "a" else r.item_b for r in frame.itertuples()]
        assert winner == ["y", "x"]
        assert session.scalar(select(func.count()).select_from(Comparison)) == 3
        ann = filling.somebody(session).id
        while filling.judge_next(session, ann):
            pass
        progress = batches.progress(session, batches.batch(session, "set").id)
        assert (progress.wanted, progress.judged, progress.imported) == (4, 2, 2)


def test_texts_may_come_after_the_judgments(make: Make, tmp_path: Path) -> None:
    verdicts = tmp_path / "v.csv"
    verdicts.write_text("comparison_external_id,item_a,item_b,verdict,prompt\n7,x,y,b,p\n")
    pairs = tmp_path / "p.jsonl"
    pairs.write_text(
        '{"id": "7", "prompt": "Who?", "text_a": "You", "text_b": "Me", "item_a": "y",'
        ' "item_b": "x"}'
    )
    with make.begin() as session:
        filling.persona(session)
        prompts.put_prompt(session, [{"role": "user", "content": "Who?"}])
        importing.import_judgments(session, verdicts, batch="set")
        done = importing.import_comparisons(session, pairs, batch="set", overlap=1)
        assert (done.added, done.completed) == (0, 1)
    (row,) = everything(make)
    texts = {row["item_a"]: row["text_a"], row["item_b"]: row["text_b"]}
    assert texts == {"x": "Me", "y": "You"}
    assert row[f"item_{row['verdict']}"] == "y"
    assert row["messages"] == [{"role": "user", "content": "Who?"}]
    with make.begin() as session:
        assert importing.import_comparisons(session, pairs, batch="set").known == 1
        assert labeling.claim(session, filling.somebody(session).id) is not None


def test_another_pair_under_a_known_id_is_refused(make: Make, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("id,prompt,text_a,text_b,item_a,item_b\n1,Who?,Me.,You.,x,y\n")
    with make.begin() as session:
        importing.import_comparisons(session, pairs)
    for changed, why in (("x,z", "is x against y here"), ("x,y", "answered otherwise")):
        pairs.write_text(f"id,prompt,text_a,text_b,item_a,item_b\n1,Who?,Me!,You.,{changed}\n")
        with pytest.raises(ImportRefused, match=why), make.begin() as session:
            importing.import_comparisons(session, pairs)


def test_identical_responses_are_refused_by_line(make: Make, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("prompt,text_a,text_b\nWho?,Me.,You.\nWhy?,Yes, Yes\n")
    with pytest.raises(ImportRefused, match=r"line 3.*same text"), make.begin() as session:
        importing.import_comparisons(session, pairs)
    assert counted(make, Comparison) == 0


def test_another_text_under_the_same_seed_is_refused(
    make: Make, another: str, tmp_path: Path
) -> None:
    ledger(make, ["one", "two"], "x")
    path = exported(make, tmp_path / "j.jsonl")
    fresh = sessions(another)
    with fresh.begin() as session:
        filling.persona(session)
        filling.candidate(session, "something else", adapter="new", seed=100)
    another_text = r"line 1: field seed_.: .* another text"
    with pytest.raises(ImportRefused, match=another_text), fresh.begin() as session:
        importing.import_judgments(session, path)
    assert counted(fresh, Judgment) == 0


def test_a_tie_never_becomes_a_pair(make: Make) -> None:
    ledger(make, ["one", "two"], "x")
    left_out = pair_export.LeftOut()
    with make() as session:
        pairs = list(pair_export.pair_rows(session, left_out))
        everything_standing = list(exporting.judgment_rows(session))
    assert (left_out.ties, left_out.both_bad, left_out.blind) == (2, 1, 1)
    assert len(pairs) == len(everything_standing) - 4
    assert {pair["annotator_kind"] for pair in pairs} == {"human"}
    for pair in pairs:
        row = next(each for each in everything_standing if each["judgment"] == pair["judgment"])
        assert pair["chosen"] == row[f"text_{row['verdict']}"]
        assert (pair["persona"], pair["batch"]) == (PERSONA, "batch")


def test_pairs_come_in_the_formats_of_trl_and_of_the_cookbook(make: Make) -> None:
    ledger(make, ["one", "two"], "x")
    with make() as session:
        pairs = list(pair_export.pair_rows(session, pair_export.LeftOut()))
    for pair, trl in zip(pairs, pair_export.trl_rows(iter(pairs)), strict=True):
        assert trl["prompt"][-1]["role"] == "user"
        assert trl["chosen"] == [{"role": "assistant", "content": pair["chosen"]}]
        assert trl["rejected"] == [{"role": "assistant", "content": pair["rejected"]}]
    unpaired = list(pair_export.trl_unpaired_rows(iter(pairs)))
    assert [row["label"] for row in unpaired] == [True, False] * len(pairs)
    assert unpaired[1]["completion"] == [{"role": "assistant", "content": pairs[0]["rejected"]}]
    for pair, row in zip(pairs, pair_export.cookbook_rows(iter(pairs)), strict=True):
        chosen = row["comparison"][f"completion_{row['label']}"]
        assert chosen == [{"role": "assistant", "content": pair["chosen"]}]
        assert (row["label"] == "A") == (pair["chosen_shown"] == "first")


def test_a_label_for_the_cookbook_does_not_always_name_the_first(
    make: Make, tmp_path: Path
) -> None:
    path = tmp_path / "unplaced.jsonl"
    rows = [
        {"prompt": "hi", "item_a": "x", "item_b": "y", "text_a": "1", "text_b": "2", "verdict": v}
        for v in ("a", "b")
    ]
    write_rows(path, rows, (), "jsonl")
    with make.begin() as session:
        importing.import_judgments(session, path)
        pairs = pair_export.pair_rows(session, pair_export.LeftOut())
        made = list(pair_export.cookbook_rows(pairs))
    assert [row["label"] for row in made] == ["A", "B"]
    assert made[0]["comparison"] == made[1]["comparison"]


def test_an_automatic_judge_keeps_its_name(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "judge.csv"
    path.write_text(
        "id,prompt,model_x,model_y,winner,left,right\n0,8,97,98,left,Air,Weaver\n"
        "1,8,29,98,tie,Alpaca,Weaver\n"
    )
    with make.begin() as session:
        importing.import_judgments(session, path, annotator="gpt-4", kind=AnnotatorKind.AUTOMATIC)
        frame = judgments.standing_frame(session)
    assert frame["annotator_kind"].tolist() == ["automatic", "automatic"]
    assert frame["verdict"].tolist()[1] == "tie"
    first = frame.iloc[0]
    assert first[f"item_{first['verdict']}"] == "Air"

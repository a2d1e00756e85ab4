"""Preference files of trainers as judgments, and files that were imported before."""

import json
from pathlib import Path

import filling
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from db import importing, labeling
from db.errors import ImportRefused
from db.export_commands import export
from db.import_commands import import_
from db.models import Judgment
from db.session import sessions

Make = sessionmaker[Session]
ASKED = [{"role": "user", "content": "Hi?"}]
GOOD, BAD = ([{"role": "assistant", "content": words}] for words in ("Hello!", "What."))


def run(command, *given: object) -> Result:
    return CliRunner().invoke(command, [str(each) for each in given], catch_exceptions=False)


def judged(make: Make) -> None:
    with make.begin() as session:
        filling.persona(session)
        filling.batch(session, pairs=5, overlap=2)
        for name, verdicts in (("ann", "abab"), ("bob", "bbta")):
            who = filling.somebody(session, name).id
            for said in verdicts:
                shown = labeling.claim(session, who)
                verdict = "tie" if said == "t" else said
                labeling.judge(session, shown.token, who, verdict, min_dwell=False)


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "trl", "cookbook"])
def test_pairs_that_were_exported_for_a_trainer_come_in_as_the_judgments_they_were(
    make: Make, url: str, another: str, tmp_path: Path, form: str
) -> None:
    judged(make)
    end = form if form in {"csv", "parquet"} else "jsonl"
    files = [tmp_path / f"{name}.{end}" for name in ("one", "two")]
    run(export, "pairs", "--format", form, "--output", files[0], "--database-url", url)
    done = run(import_, "judgments", files[0], "--database-url", another)
    assert "7 judgments added" in done.output
    run(export, "pairs", "--format", form, "--output", files[1], "--database-url", another)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert (
        "7 known already" in run(import_, "judgments", files[0], "--database-url", another).output
    )


def test_turns_that_both_conversations_begin_with_are_the_prompt(
    make: Make, tmp_path: Path
) -> None:
    path = tmp_path / "x.jsonl"
    rows = [
        {"chosen": ASKED + GOOD, "rejected": ASKED + BAD},
        {"prompt": "Hi?", "chosen": "Yes.", "rejected": "No."},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    with make.begin() as session:
        assert importing.import_judgments(session, path).added == 2
        for each in session.scalars(select(Judgment)):
            pair = each.comparison
            sides = {"a": pair.candidate_a, "b": pair.candidate_b}
            assert sides[each.verdict.value].text in {"Hello!", "Yes."}
            assert (pair.prompt.messages, each.placement) == (ASKED, 0)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"chosen": "x", "rejected": "y"}, "field prompt: is missing, and chosen and rejected beg"),
        ({"prompt": "x", "chosen": 3, "rejected": "y"}, "field chosen: must be text, or a list of"),
        ({"prompt": "x", "chosen": GOOD + BAD, "rejected": "y"}, "chosen: must be one response"),
        (
            {"comparison": {}, "label": "A"},
            "field comparison.prompt_conversation: must be text,",
        ),
        ({"comparison": {}, "label": "C"}, "field label: 'C' is not A, B or Tie"),
        ({"comparison": [], "label": "A"}, "field comparison: must be an object with"),
        (
            {"prompt": "x", "completion": "y", "label": True},
            "field completion: is half a pair; a file",
        ),
    ],
)
def test_a_bad_pair_is_named_by_line_and_field(
    sqlite_url: str, tmp_path: Path, row: dict, message: str
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(row))
    with pytest.raises(ImportRefused) as refused, sessions(sqlite_url).begin() as session:
        importing.import_judgments(session, path)
    assert "line 1: field" in str(refused.value) and message in str(refused.value)


def test_a_copy_of_an_imported_file_is_not_taken_as_another_batch(
    make: Make, url: str, tmp_path: Path
) -> None:
    first, copy = tmp_path / "votes.csv", tmp_path / "votes (1).csv"
    for path in (first, copy):
        path.write_text("item_a,item_b,verdict,annotator\nx,y,a,ann\nx,y,b,bob\n")
    assert "2 judgments added" in run(import_, "judgments", first, "--database-url", url).output
    with pytest.raises(ImportRefused, match=r"was imported as votes\.csv on .* --batch"):
        run(import_, "judgments", copy, "--database-url", url)
    count = select(func.count()).select_from(Judgment)
    with make() as session:
        assert session.scalar(count) == 2
    again = run(import_, "judgments", copy, "--batch", "votes", "--database-url", url)
    assert "0 judgments added, 2 known already" in again.output
    more = run(import_, "judgments", copy, "--batch", "second", "--database-url", url)
    assert "2 judgments added" in more.output

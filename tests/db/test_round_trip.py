"""Out of one ledger and into an empty one: the same files come out again, in every format."""

import csv
import json
from datetime import timedelta
from pathlib import Path

import filling
import pytest
from click.testing import CliRunner, Result
from filling import PERSONA
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from db import (
    adapters,
    adjudication,
    batches,
    doctor,
    flags,
    gold,
    guidelines,
    labeling,
    people,
    repeat_answers,
    repeats,
    returns,
    snapshots,
)
from db.clock import utcnow
from db.eligibility import open_for
from db.export_commands import export
from db.import_commands import import_
from db.models import (
    Adjudication,
    Annotator,
    Assignment,
    Candidate,
    Comparison,
    Flag,
    JobKind,
    Judgment,
    JudgmentReturn,
    Repeat,
    Run,
)
from db.session import sessions

Make = sessionmaker[Session]
HOSTILE = [
    '=HYPERLINK("http://x","y")',
    "line\nbreak\r\nand\ttab, and a lone \r too",
    '\'=already safe, "twice"',
    "日本語 עברית 😀 e\u0301 \u202e",
    "+1\\n",
    "@" + "long " * 20_000,
]
WRITTEN = ["-1+1", "'", '"', "{}", "null", "x;y,z"]


def run(command, *given: object) -> Result:
    return CliRunner().invoke(command, [str(each) for each in given], catch_exceptions=False)


def exported(url: str, folder: Path, kind: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    files = [folder / f"judgments.{kind}", folder / f"skips.{kind}"]
    for what, file in (("judgments", files[0]), ("skips", files[1])):
        history = ["--history"] if what == "judgments" else []
        assert run(export, what, *history, "--output", file, "--database-url", url).exit_code == 0
    return files


def judge(session: Session, who: int, verdict: str, **more) -> Judgment:
    shown = labeling.claim(session, who)
    assert shown is not None
    return labeling.judge(session, shown.token, who, verdict, min_dwell=False, **more)


def ledger(make: Make) -> None:
    """Everything that can be said of a judgment, said at least once."""
    with make.begin() as session:
        filling.persona(session)
        made = filling.batch(session, pairs=0, overlap=3)
        made.strategy = "random"
        for number, text in enumerate(HOSTILE):
            one, other = (
                filling.candidate(session, words, ask=f"{text[:50]} {number}?", adapter=adapter)
                for words, adapter in ((text, "old"), (WRITTEN[number], "new"))
            )
            batches.put_comparison(session, made, one, other)
        known = filling.batch(session, pairs=1, name="=known", kind="label")
        known.purpose = "gold"
        session.scalars(select(Comparison).where(Comparison.batch_id == known.id)).one().gold = "b"
        ann, bob = filling.crowd(session, ["ann", '@bob, "the\nbuilder"'])
        filling.somebody(session, "-robot", "simulated")
        people.invite(session, "mo", "admin")
        guidelines.publish(session, "Be kind.", "mo")
        guidelines.accept(session, ann, 1)
        session.scalars(select(Candidate).order_by(Candidate.id.desc())).first().author_id = bob
    with make.begin() as session:
        for text in HOSTILE[:-1]:
            judge(session, ann, "a", comment=text, tags=[text, "tone"], safe="no", strength=2)
        shown = labeling.claim(session, ann)
        labeling.skip(session, shown.token, ann, "=cannot tell")
        flags.raise_flag(session, shown.comparison_id, ann, "broken", HOSTILE[5])
        judge(session, bob, "b", flag="unsafe", comment="@see\nhere")
        judge(session, bob, "tie")
        again = labeling.undo(session, bob)
        labeling.judge(session, again.token, bob, "b", min_dwell=False)
        old = labeling.my_history(session, bob)[-1].judgment_id
        returns.give_back(session, old, "-look again", actor="mo")
        shown = labeling.revise(session, bob, old)
        labeling.judge(session, shown.token, bob, "both_bad", min_dwell=False)
        waiting = flags.waiting(session)
        flags.resolve(session, waiting[0].id, "=looked", actor="mo")
        answer_gold(session, ann)
    with make.begin() as session:
        repeat(session, ann)
        mo = people.person(session, "mo").id
        pair = session.scalars(
            select(Judgment.comparison_id).where(Judgment.annotator_id == bob)
        ).first()
        case = adjudication.case(session, pair, mo)
        adjudication.decide(
            session, pair, mo, "b", seen=case.seen, strength=2, note="=b it is", first=("tie", None)
        )


def answer_gold(session: Session, who: int) -> None:
    held = gold.next_for(session, who, PERSONA, b"k", 1, utcnow())
    assert held is not None
    labeling.judge(session, held.token, who, "a", min_dwell=False)


def repeat(session: Session, who: int) -> None:
    """A repeat that was answered, and one that was skipped with a flag."""
    first = session.scalars(select(Judgment).where(Judgment.annotator_id == who)).all()
    now = utcnow()
    for number, judgment in enumerate(first[:2]):
        made = repeats._put(
            session, who, judgment.comparison_id, judgment.id, -judgment.placement, now
        )
        session.flush()
        if number:
            labeling.skip(session, made.token, who)
            flags.raise_flag(session, judgment.comparison_id, who, "comment", "+again?")
        else:
            labeling.judge(
                session, made.token, who, "tie", min_dwell=False, now=now + timedelta(seconds=9)
            )


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet", "csv.gz"])
def test_what_comes_out_goes_in_and_comes_out_again_to_the_byte(
    make: Make, url: str, another: str, tmp_path: Path, kind: str
) -> None:
    ledger(make)
    first = exported(url, tmp_path / "first", kind)
    for what, file in zip(("judgments", "skips"), first, strict=True):
        done = run(import_, what, file, "--database-url", another)
        assert done.exit_code == 0, done.output
    second = exported(another, tmp_path / "second", kind)
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    with make() as session, sessions(another)() as copied:
        for table in (Judgment, Flag, JudgmentReturn, Repeat, Adjudication):
            count = select(func.count()).select_from(table)
            assert session.scalar(count) == copied.scalar(count) > 0, table
        assert not [each for each in doctor.examine(another) if not each.ok]
        assert repeat_answers.twice(copied) and len(flags.waiting(copied)) == len(
            flags.waiting(session)
        )
        assert gold.scores(copied) and len(adjudication.decisions(copied)) == 1
    for what, file in zip(("judgments", "skips"), first, strict=True):
        again = run(import_, what, file, "--database-url", another)
        assert f": 0 {what} added" in again.output and "known already" in again.output
    assert [file.read_bytes() for file in exported(another, tmp_path / "third", kind)] == [
        file.read_bytes() for file in first
    ]


def test_an_export_says_all_that_is_known_of_a_judgment(
    make: Make, url: str, tmp_path: Path
) -> None:
    ledger(make)
    judgments, skips = exported(url, tmp_path / "out", "jsonl")
    rows = [json.loads(line) for line in judgments.read_text("utf-8").splitlines()]
    by_id = {row["judgment"]: row for row in rows}
    ann = [row for row in rows if row["annotator"] == "ann"]
    assert {row["guideline_version"] for row in ann} == {1}
    assert all(row["leased_at"] <= row["shown_at"] <= row["created_at"] for row in rows)
    assert {row["batch_strategy"] for row in rows if row["batch"] == "batch"} == {"random"}
    known = next(row for row in rows if row["batch"] == "=known")
    assert (known["batch_purpose"], known["gold"], known["verdict"] in "ab") == ("gold", "b", True)
    assert known["author_b"] == '@bob, "the\nbuilder"' and known["author_a"] is None
    changed = [row for row in rows if row["replaces"]]
    assert [by_id[row["replaces"]]["retracted"] for row in changed] == ["undone", "revised"]
    assert [row["attempt"] for row in changed] == [2, 2]
    (back,) = [each for row in rows for each in row["returns"]]
    assert (back["note"], back["by"], bool(back["answered_at"])) == ("-look again", "mo", True)
    decided = [row for row in rows if row["adjudications"]]
    assert {len(row["adjudications"]) for row in decided} == {2}
    last = decided[-1]["adjudications"][-1]
    assert (last["by"], last["note"], last["looked_at"]) == ("mo", "=b it is", True)
    assert {row["adjudicated"] for row in decided} == {last["verdict"]}
    assert not any(row["adjudications"][-1]["looked_at"] for row in decided if row["retracted"])
    told = [each for row in rows for each in row["repeats"]]
    assert [each["verdict"] for each in told] == ["tie", None]
    flagged = {each["kind"]: each for row in rows for each in row["flags"]}
    assert flagged["unsafe"]["note"] == "@see\nhere" and flagged["comment"]["with_skip"]
    (skip,) = [json.loads(line) for line in skips.read_text("utf-8").splitlines()]
    assert "verdict" not in skip
    assert (skip["annotator"], skip["reason"]) == ("ann", "=cannot tell")
    assert skip["flags"][0]["resolution"] == "=looked"


def test_without_history_no_row_names_one_that_is_not_there(
    make: Make, url: str, another: str, tmp_path: Path
) -> None:
    ledger(make)
    files = [tmp_path / name for name in ("one.jsonl", "two.jsonl")]
    run(export, "judgments", "--output", files[0], "--database-url", url)
    rows = [json.loads(line) for line in files[0].read_text("utf-8").splitlines()]
    assert not any(row["retracted"] or row["replaces"] for row in rows)
    assert {row["attempt"] for row in rows} == {1, 2}
    run(import_, "judgments", files[0], "--database-url", another)
    run(export, "judgments", "--output", files[1], "--database-url", another)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_an_export_names_the_runs_and_adapters_that_trained_on_a_judgment(
    make: Make, url: str, another: str, tmp_path: Path
) -> None:
    with make.begin() as session:
        filling.persona(session)
        filling.batch(session, pairs=2)
        ann = filling.somebody(session).id
        filling.judge_next(session, ann)
        taken = snapshots.take(session, PERSONA)
        trained = Run(kind=JobKind.RETRAIN, persona_slug=PERSONA, snapshot_id=taken.id)
        session.add(trained)
        session.flush()
        made = adapters.put_adapter(session, id="made", kind="dpo", persona=PERSONA, sha256="m")
        made.run_id = number = trained.id
        filling.judge_next(session, ann)
    (file, _) = exported(url, tmp_path, "jsonl")
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert [row["trained"] for row in rows] == [[{"run": number, "adapter": "made"}], []]
    assert run(import_, "judgments", file, "--database-url", another).exit_code == 0


def test_no_cell_of_an_export_is_a_formula(make: Make, url: str, tmp_path: Path) -> None:
    ledger(make)
    for file in exported(url, tmp_path / "out", "csv"):
        with file.open(newline="", encoding="utf-8") as stream:
            cells = [cell for row in csv.reader(stream) for cell in row]
        assert len(cells) > 50
        numbers = {"-1", "-2"}
        assert not [c for c in cells if c[:1] in {*"=+-@\t\r"} and c and c not in numbers]


def test_an_imported_skip_is_not_asked_again_and_an_author_never(
    make: Make, tmp_path: Path
) -> None:
    pairs, skips = tmp_path / "pairs.csv", tmp_path / "skips.csv"
    pairs.write_text(
        "id,prompt,text_a,text_b,item_a,item_b,author_a,author_b\n"
        "1,Who?,Me.,You.,x,y,ann,\n2,Why?,So.,Thus.,x,y,,bob\n3,How?,Oh.,Ah.,x,y,,\n"
    )
    skips.write_text("comparison_external_id,item_a,item_b,annotator,reason\n3,y,x,ann,hard\n")
    with make.begin() as session:
        ann = filling.somebody(session, "ann").id
    url = str(session.get_bind().url.render_as_string(hide_password=False))
    for what, file in (("comparisons", pairs), ("skips", skips)):
        done = run(import_, what, file, "--batch", "set", "--database-url", url)
        assert done.exit_code == 0, done.output
    with make.begin() as session:
        bob = people.person(session, "bob").id
        free = {
            who: {
                session.get_one(Comparison, each).external_id
                for each in session.scalars(open_for(who))
            }
            for who in (ann, bob)
        }
        assert free == {ann: {"2"}, bob: {"1", "3"}}
        assert session.scalars(select(Assignment.skip_reason)).one() == "hard"
        assert session.scalar(select(func.count()).select_from(Judgment)) == 0
    pairs.write_text(pairs.read_text().replace(",ann,", ",eve,"))
    refused = CliRunner().invoke(
        import_, ["comparisons", str(pairs), "--batch", "set", "--database-url", url]
    )
    assert "line 2: field author_a: 'ann' wrote this text here, not 'eve'" in str(refused.exception)
    with make() as session:
        assert "eve" not in session.scalars(select(Annotator.name)).all()

"""Judgments by column: blocks and rows together always tell what stands."""

import json
import random
from pathlib import Path

import pytest
from sqlalchemy import inspect, select, text, update
from sqlalchemy.orm import Session, sessionmaker

from db import backup, blocks, doctor, importing, judgments, labeling
from db.migrations.run import upgrade_to
from db.models import (
    Annotator,
    Batch,
    Candidate,
    Comparison,
    Judgment,
    JudgmentBlock,
    Retraction,
)
from db.session import open_database, sessions, upgrade
from tests.db import filling


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of four judgments, looked for at each."""
    monkeypatch.setattr(blocks, "BLOCK", 4)
    monkeypatch.setattr(blocks, "EVERY", 1)


def by_rows(session: Session) -> list[tuple[object, ...]]:
    """What stands, by the plainest query."""
    names = {row[0]: row[1] for row in session.execute(select(Candidate.id, Candidate.adapter_id))}
    rows = session.execute(
        select(Judgment, Comparison, Annotator.name, Batch.name)
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .join(Annotator, Annotator.id == Judgment.annotator_id)
        .join(Batch, Batch.id == Comparison.batch_id)
        .where(Judgment.id.not_in(select(Retraction.judgment_id)))
        .order_by(Judgment.id)
    ).all()
    return [
        (
            judgment.id,
            judgment.created_at,
            names[comparison.candidate_a_id],
            names[comparison.candidate_b_id],
            judgment.verdict.value,
            judgment.strength or 0,
            judgment.placement,
            comparison.id,
            comparison.prompt_id,
            comparison.persona_slug,
            annotator,
            batch,
        )
        for judgment, comparison, annotator, batch in rows
    ]


def by_columns(session: Session) -> list[tuple[object, ...]]:
    """The same from blocks and young rows."""
    frame = judgments.standing_frame(session)
    frame["strength"] = frame["strength"].fillna(0).astype(int)
    frame["created_at"] = [moment.to_pydatetime() for moment in frame["created_at"]]
    names = [
        *("judgment", "created_at", "item_a", "item_b", "verdict", "strength", "placement"),
        *("comparison", "prompt", "persona", "annotator", "batch"),
    ]
    return [tuple(row) for row in frame[names].itertuples(index=False)]


def filled(make: sessionmaker[Session], pairs: int = 5) -> list[int]:
    """Two annotators with open pairs of a persona and of none."""
    with make.begin() as session:
        filling.persona(session)
        filling.batch(session, pairs=pairs, overlap=2)
        filling.batch(session, name="other", pairs=pairs, overlap=2, persona=None)
        return filling.crowd(session, ["ann", "bob"])


@pytest.mark.parametrize("seed", range(3))
def test_blocks_and_rows_tell_what_stands_after_any_course_of_judging(
    make: sessionmaker[Session], seed: int
) -> None:
    people = filled(make)
    chance = random.Random(seed)
    for _ in range(24):
        who = chance.choice(people)
        with make.begin() as session:
            if chance.random() < 0.3:
                if labeling.my_day(session, who).judged_today:
                    labeling.undo(session, who)
            else:
                filling.judge_next(session, who, chance.choice(["a", "b", "tie", "both_bad"]))
        with make.begin() as session:
            assert by_columns(session) == by_rows(session)
            assert not list(blocks.verify(session))
    with make.begin() as session:
        assert blocks.last_sealed(session) > 0
        assert session.scalar(select(Retraction.judgment_id).limit(1)) is not None


def test_a_block_is_sealed_by_the_transaction_that_judges_and_goes_with_it(
    make: sessionmaker[Session],
) -> None:
    who = filled(make)[0]
    for _ in range(3):
        with make.begin() as session:
            filling.judge_next(session, who)
    session = make()
    filling.judge_next(session, who)
    assert blocks.last_sealed(session) == 4
    session.rollback()
    session.close()
    with make.begin() as session:
        assert blocks.last_sealed(session) == 0
        assert len(by_columns(session)) == 3


def test_no_block_is_sealed_while_another_writer_holds_ids_that_nobody_sees(
    make: sessionmaker[Session], url: str
) -> None:
    if url.startswith("sqlite"):
        pytest.skip("SQLite has one writer at a time")
    ann, bob = filled(make)
    slow = make()
    filling.judge_next(slow, bob)  # holds the first id, not committed yet
    for _ in range(5):
        with make.begin() as session:
            assert filling.judge_next(session, ann) is not None
    with make.begin() as session:
        assert blocks.last_sealed(session) == 0
    slow.commit()
    slow.close()
    with make.begin() as session:
        filling.judge_next(session, ann)
    with make.begin() as session:
        assert blocks.last_sealed(session) > 0
        assert by_columns(session) == by_rows(session)
        assert len(by_columns(session)) == 7


def test_columns_read_before_a_block_was_sealed_still_tell_everything(
    make: sessionmaker[Session],
) -> None:
    who = filled(make)[0]
    for _ in range(5):
        with make.begin() as session:
            filling.judge_next(session, who)
    with make.begin() as session:
        known = blocks.sealed(session)
    with make.begin() as session:
        for _ in range(4):
            filling.judge_next(session, who)
    with make.begin() as session:
        assert blocks.sealed(session).n > known.n
        told = blocks.standing(session, known)
        assert told.judgment.tolist() == blocks.standing(session).judgment.tolist()


def test_doctor_finds_a_block_that_says_something_else_and_it_can_be_made_again(
    sqlite_url: str,
) -> None:
    make = sessions(sqlite_url)
    who = filled(make)[0]
    filling.judge_all(make, who)
    with make.begin() as session:
        block = session.scalars(select(JudgmentBlock).limit(1)).one()
        content = bytearray(block.content)
        content[0] += 1  # the first judgment's id
        session.execute(
            update(JudgmentBlock)
            .where(JudgmentBlock.last_id == block.last_id)
            .values(content=bytes(content))
        )
    wrong = [found.text for found in doctor.examine(sqlite_url) if not found.ok]
    assert len(wrong) == 1
    assert "judgments 1 to 4" in wrong[0]
    assert "doctor --rebuild-blocks" in wrong[0]
    with make.begin() as session:
        assert blocks.rebuild(session) == 2
    assert all(found.ok for found in doctor.examine(sqlite_url))


def test_a_damaged_block_is_refused_with_the_remedy(sqlite_url: str) -> None:
    make = sessions(sqlite_url)
    filling.judge_all(make, filled(make)[0])
    with make.begin() as session:
        session.execute(text("UPDATE judgment_block SET content = substr(content, 1, 50)"))
    with make.begin() as session, pytest.raises(Exception, match="doctor --rebuild-blocks"):
        blocks.standing(session)


def test_an_upgraded_ledger_has_its_judgments_sealed(
    make: sessionmaker[Session], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "EVERY", 10**9)
    filling.judge_all(make, filled(make)[0])
    with make.begin() as session:
        assert blocks.last_sealed(session) == 0
    upgrade(url)
    with make.begin() as session:
        assert blocks.last_sealed(session) == 8
        assert by_columns(session) == by_rows(session)


def test_a_dump_holds_no_blocks_and_its_restored_ledger_has_them(
    make: sessionmaker[Session], url: str, another: str, tmp_path: Path
) -> None:
    filling.judge_all(make, filled(make)[0])
    file = tmp_path / "dump.jsonl"
    backup.back_up(url, file)
    assert "judgment_block" not in file.read_text(encoding="utf-8")
    backup.put_back(another, file)
    with make.begin() as here, sessions(another).begin() as there:
        assert blocks.last_sealed(there) == blocks.last_sealed(here) == 8
        assert by_columns(there) == by_columns(here)


def as_of(revision: str, lines: list[str], folder: Path) -> list[str]:
    """The lines of a dump as that revision would have written them."""
    engine = open_database(f"sqlite:///{folder / 'older.db'}")
    upgrade_to(engine, revision)
    known = {
        name: {column["name"] for column in inspect(engine).get_columns(name)}
        for name in inspect(engine).get_table_names()
    }
    *rows, _ = [json.loads(line) for line in lines]
    kept = [
        [table, {name: value for name, value in row.items() if name in known[table]}]
        for table, row in rows
        if table in known
    ]
    return [*map(json.dumps, kept), json.dumps({"rows": len(kept)})]


def test_a_dump_of_an_earlier_version_is_restored_and_brought_up_to_date(
    make: sessionmaker[Session], url: str, another: str, tmp_path: Path
) -> None:
    filling.judge_all(make, filled(make)[0])
    file = tmp_path / "dump.jsonl"
    backup.back_up(url, file)
    (tmp_path / "dump.jsonl.sha256").unlink()
    head, *rest = file.read_text(encoding="utf-8").splitlines()
    header = json.loads(head) | {"revision": "0002"}
    older = as_of("0002", rest, tmp_path)
    file.write_text("\n".join([json.dumps(header), *older]) + "\n", encoding="utf-8")
    backup.put_back(another, file)
    with make.begin() as here, sessions(another).begin() as there:
        assert by_columns(there) == by_columns(here)
        assert blocks.last_sealed(there) == 8


def test_texts_that_come_later_are_measured_again(sqlite_url: str, tmp_path: Path) -> None:
    judged = tmp_path / "judged.csv"
    rows = [f"p{n},x,y,a,ann{n % 3},hello {n}?" for n in range(6)]
    judged.write_text(
        "comparison_external_id,item_a,item_b,verdict,annotator,prompt\n" + "\n".join(rows) + "\n"
    )
    texts = tmp_path / "texts.jsonl"
    texts.write_text(
        json.dumps(
            {
                "id": "p1",
                "prompt": "hello 1?",
                "item_a": "x",
                "item_b": "y",
                "text_a": "short",
                "text_b": "much longer",
            }
        )
    )
    make = sessions(sqlite_url)
    with make.begin() as session:
        importing.import_judgments(session, judged, batch="set")
        assert blocks.last_sealed(session) == 4
        assert not blocks.standing(session).length_a.any()
        known = judgments.columns_of(blocks.standing(session), judgments.tables(session))
        assert known.length_a is None
        before = blocks.fingerprint(session)
    with make.begin() as session:
        done = importing.import_comparisons(session, texts, batch="set")
        assert done.completed == 1
    with make.begin() as session:
        told = blocks.standing(session)
        assert sorted(told.length_a[told.length_a > 0].tolist()) in ([5], [11])
        assert (told.length_a > 0).sum() == (told.length_b > 0).sum() == 1
        assert not list(blocks.verify(session))
        assert blocks.fingerprint(session) != before

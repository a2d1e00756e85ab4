"""A person's name and words go; their verdicts, and every number made of them, stay."""

from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from sqlalchemy import JSON, String, func, select, text
from sqlalchemy.orm import Session, sessionmaker

from db import audit, doctor, erasing, flags, identities, labeling, models, people
from db.dump import write_dump
from db.erasable import EMPTIED, GONE, KEPT, RENAMED
from db.errors import Refused
from db.judgments import standing_frame
from db.session import open_database
from personaloop import personaloop
from tests.db import filling

Make = sessionmaker[Session]
WORDS = "I am Ann Lee of Elm Street"


@pytest.fixture
def judged(make: Make) -> int:
    """Ann Lee judged with a comment, was invited, flagged a pair and is in the audit log."""
    with make.begin() as session:
        filling.persona(session)
        filling.batch(session)
        people.redeem(session, people.invite(session, "Ann Lee", "admin"))
        ann = people.person(session, "Ann Lee").id
        shown = labeling.claim(session, ann)
        assert shown is not None
        labeling.judge(session, shown.token, ann, "a", comment=WORDS, min_dwell=False)
        flags.raise_flag(session, shown.comparison_id, ann, "unsafe", WORDS)
        audit.record(session, "Ada", "invite", "Ann Lee", role="admin", others=["Ann Lee", "Bo"])
        audit.record(session, "Ann Lee", "pause", "batch", why="Ann Lee asked")
    return ann


def _frame(make: Make) -> pd.DataFrame:
    with make() as session:
        return standing_frame(session)


def test_nothing_in_the_ledger_names_an_erased_person(
    make: Make, judged: int, url, tmp_path
) -> None:
    with make.begin() as session:
        done = erasing.erase(session, "Ann Lee", actor="Ada")
        assert (done.judgments, done.comments, done.entries) == (1, 1, 2)
    file = tmp_path / "dump.jsonl"
    write_dump(open_database(url), file)
    dumped = file.read_text(encoding="utf-8")
    assert "Ann Lee" not in dumped and "Elm Street" not in dumped
    with make() as session:
        newest = audit.entries(session)[0]
        assert (newest.actor, newest.act, newest.subject) == ("Ada", "erase", done.pseudonym)
        assert not people.person(session, done.pseudonym).active
        for table in ("invite", "login", "password", "identity"):
            assert session.scalar(text(f"SELECT count(*) FROM {table}")) == 0


def _everywhere(session: Session, ann: int) -> None:
    """Ann Lee's name and words in every column of text that people's doings write to."""
    said = f"Ann Lee says: {WORDS}"
    judgment = session.scalar(select(models.Judgment.id))
    pair = session.get_one(models.Comparison, 1)
    session.add_all(
        [
            models.AliasChange(
                persona_slug=filling.PERSONA,
                adapter_id=f"{filling.PERSONA}-new",
                reason="Ann Lee likes it",
                actor="Ann Lee",
            ),
            models.Guideline(version=1, text="Ask Ann Lee, please.", author="Ann Lee"),
            models.Adjudication(
                comparison_id=1,
                annotator_id=ann,
                verdict=models.Verdict.TIE,
                note=said,
                judgments=[judgment],
                placement=1,
            ),
            models.Job(
                kind=models.JobKind.GENERATE, requested_by="Ann Lee", message="cancelled by Ann Lee"
            ),
            models.Round(
                persona_slug=filling.PERSONA,
                number=1,
                incumbent_id=f"{filling.PERSONA}-old",
                decision={"early": "Ann Lee is in a hurry", "rule": "margin"},
            ),
            models.Flag(
                comparison_id=1,
                annotator_id=ann,
                kind="unsafe",
                note=said,
                resolution="Ann Lee mended it",
                resolved_by="Ann Lee",
            ),
            models.JudgmentReturn(
                judgment_id=judgment, annotator_id=ann, note="Ann Lee, look again", actor="Ann Lee"
            ),
            models.SetAside(comparison_id=2, reason="Ann Lee wrote it", overlap=1),
            models.Notice(kind="flag", subject="Ann Lee", text="Ann Lee waits", seen_by="Ann Lee"),
            models.Erasure(
                annotator_id=filling.somebody(session, "old").id,
                pseudonym="annotator-0",
                comments=0,
                actor="Ann Lee",
                finished_at=pair.created_at,
            ),
        ]
    )
    pair.batch.name, pair.batch.rubric = "pairs for Ann Lee", "Ask Ann Lee."
    held = labeling.claim(session, ann)
    assert held is not None
    labeling.skip(session, held.token, ann, "Ann Lee does not know")
    session.get_one(models.SetAside, 2).decided_by = "Ann Lee"
    who = session.get_one(models.Annotator, ann)
    who.paused_at, who.paused_reason = pair.created_at, "Ann Lee, let us talk"
    identities.link(session, "Ann Lee", "https://id.example.com", email="lee@example.com")
    audit.record(session, "Ada", "link", "Ann Lee", account="lee@example.com")
    session.flush()


def test_no_column_that_a_person_reaches_keeps_their_name(
    make: Make, judged: int, url: str, tmp_path: Path
) -> None:
    with make.begin() as session:
        _everywhere(session, judged)
        for table, columns in RENAMED.items():
            for column in columns:
                stored = map(str, session.scalars(select(getattr(table, column))))
                assert any("Ann Lee" in each for each in stored), f"{table.__name__}.{column}"
    before = _counts(make)
    with make.begin() as session:
        erasing.erase(session, "Ann Lee", actor="Ada")
    after = _counts(make)
    gone = {table.__tablename__ for table in GONE}
    more = {table: before[table] + 1 for table in ("audit_entry", "erasure")}
    assert after == before | dict.fromkeys(gone, 0) | more
    file = tmp_path / "dump.jsonl"
    write_dump(open_database(url), file)
    dumped = file.read_text(encoding="utf-8")
    for words in ("Ann Lee", "Elm Street", "lee@example.com"):
        assert words not in dumped, next(line for line in dumped.splitlines() if words in line)
    findings = [each.text for each in doctor.examine(url) if not each.ok]
    assert findings == []


def _counts(make: Make) -> dict[str, int]:
    with make() as session:
        return {
            table.name: session.scalar(select(func.count()).select_from(table)) or 0
            for table in models.Base.metadata.sorted_tables
        }


def test_every_column_of_text_is_renamed_emptied_gone_or_kept_for_a_reason() -> None:
    thought_of = {"annotator.name", "annotator.paused_reason", *KEPT}
    for table, columns in RENAMED.items():
        thought_of |= {f"{table.__tablename__}.{column}" for column in columns}
    thought_of |= {f"{table.__tablename__}.{column}" for table, column in EMPTIED.items()}
    gone = {table.__tablename__ for table in GONE}
    there = {
        f"{table.name}.{column.name}"
        for table in models.Base.metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, String | JSON)
        and not column.foreign_keys
        and table.name not in gone
    }
    assert there - thought_of == set()
    assert thought_of - there == set()


def test_what_a_round_looks_for_by_name_keeps_its_name(make: Make, judged: int) -> None:
    with make.begin() as session:
        batch = session.scalars(select(models.Batch)).one()
        batch.name = "Ann Lee round 1"
        session.add(
            models.Round(
                persona_slug=filling.PERSONA,
                number=1,
                incumbent_id=f"{filling.PERSONA}-old",
                label_batch_id=batch.id,
            )
        )
        session.flush()
        erasing.erase(session, "Ann Lee", actor="Ada")
        session.refresh(batch)
        assert batch.name == "Ann Lee round 1"


def test_who_erases_is_told_of_comments_by_others_that_name_the_person(
    make: Make, judged: int
) -> None:
    with make.begin() as session:
        other = filling.somebody(session, "Bo").id
        shown = labeling.claim(session, other)
        assert shown is not None
        labeling.judge(session, shown.token, other, "b", comment="as Ann Lee", min_dwell=False)
        done = erasing.erase(session, "Ann Lee", actor="Ada")
        assert done.mentions == 1
        assert "1 comment by others names this person and stays." in done.in_words()


def test_only_the_label_of_their_judgments_differs(make: Make, judged: int) -> None:
    before = _frame(make)
    with make.begin() as session:
        done = erasing.erase(session, "Ann Lee", actor="Ada")
    after = _frame(make)
    assert set(after["annotator"]) == {done.pseudonym}
    pd.testing.assert_frame_equal(before.drop(columns="annotator"), after.drop(columns="annotator"))


def test_comments_can_be_kept_under_the_pseudonym(make: Make, judged: int) -> None:
    with make.begin() as session:
        assert erasing.erase(session, "Ann Lee", actor="Ada", keep_comments=True).comments == -1
        assert session.scalar(text("SELECT comment FROM judgment")) == WORDS


def test_a_person_is_erased_once_and_never_by_themselves(make: Make, judged: int) -> None:
    with make.begin() as session:
        with pytest.raises(Refused, match="another admin"):
            erasing.erase(session, "Ann Lee", actor="Ann Lee")
        done = erasing.erase(session, "Ann Lee", actor="Ada")
        with pytest.raises(Refused, match="already"):
            erasing.erase(session, done.pseudonym, actor="Ada")


def test_a_name_that_is_also_a_role_changes_no_role_in_the_log(make: Make) -> None:
    with make.begin() as session:
        people.put_annotator(session, "admin")
        audit.record(session, "Ada", "set role", "Bo", role="admin")
        erasing.erase(session, "admin", actor="Ada")
        assert audit.entries(session, audit.Asked(act="set role"))[0].detail == {"role": "admin"}


def test_the_command_wants_a_yes_and_says_what_stays(
    make: Make, judged: int, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    asked = CliRunner().invoke(personaloop, ["users", "erase", "Ann Lee"])
    assert "nothing was changed" in str(asked.exception)
    done = CliRunner().invoke(personaloop, ["users", "erase", "Ann Lee", "--yes"])
    assert done.exit_code == 0, done.output
    assert "1 judgment stays, 1 comment blanked" in done.output
    listed = CliRunner().invoke(personaloop, ["audit", "--act", "erase", "--format", "csv"])
    assert listed.output.count("erase,annotator-") == 1

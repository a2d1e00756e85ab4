"""A person's name and words go; their verdicts, and every number made of them, stay."""

import pandas as pd
import pytest
from click.testing import CliRunner
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from db import audit, erasing, flags, labeling, people
from db.dump import write_dump
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
    assert "1 judgments stay, 1 comments blanked" in done.output
    listed = CliRunner().invoke(personaloop, ["audit", "--act", "erase", "--format", "csv"])
    assert listed.output.count("erase,annotator-") == 1

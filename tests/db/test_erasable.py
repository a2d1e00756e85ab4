"""What the triggers let an erasure change, and what not even an erasure may."""

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session, sessionmaker

from db import labeling
from db.clock import utcnow
from db.models import AuditEntry, Erasure
from tests.db import filling

Make = sessionmaker[Session]


@pytest.fixture
def whose(make: Make) -> int:
    """Somebody whose judgment has a comment, in a ledger whose audit log names people."""
    with make.begin() as session:
        filling.persona(session)
        filling.batch(session)
        who = filling.crowd(session, ["ann"])[0]
        shown = labeling.claim(session, who)
        assert shown is not None
        later = utcnow() + timedelta(minutes=1)
        labeling.judge(session, shown.token, who, "a", comment="I am Ann Lee", now=later)
        session.add(AuditEntry(actor="ann", act="invite", subject="bob", detail={}))
    return who


def _refused(make: Make, statement: str) -> bool:
    try:
        with make.begin() as session:
            session.execute(text(statement))
    except DatabaseError as error:
        return "append-only" in str(error)
    return False


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE judgment SET comment = NULL",
        "UPDATE judgment SET verdict = 'b'",
        "UPDATE audit_entry SET actor = 'x'",
        "DELETE FROM judgment",
        "DELETE FROM audit_entry",
    ],
)
def test_without_an_erasure_nothing_can_be_changed(make: Make, whose: int, statement: str) -> None:
    assert _refused(make, statement)


def test_an_erasure_under_way_blanks_that_persons_comments_only(make: Make, whose: int) -> None:
    with make.begin() as session:
        session.add(Erasure(annotator_id=whose, pseudonym="p", comments=0, actor="admin"))
    for statement in (
        "UPDATE judgment SET verdict = 'b'",
        "UPDATE judgment SET comment = 'other words'",
        "UPDATE judgment SET comment = NULL, weight = 2",
        "UPDATE audit_entry SET act = 'nothing'",
        "DELETE FROM judgment",
    ):
        assert _refused(make, statement), statement
    with make.begin() as session:
        session.execute(text("UPDATE judgment SET comment = NULL"))
        session.execute(text("UPDATE audit_entry SET actor = 'p', subject = 'p'"))
        done = session.get_one(Erasure, whose)
        done.finished_at = utcnow()
    assert _refused(make, "UPDATE audit_entry SET actor = 'ann'")
    assert _refused(make, "UPDATE judgment SET comment = NULL")
